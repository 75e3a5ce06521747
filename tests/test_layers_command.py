"""``netprops layers``: what of a user's network can be named."""

import pytest

from netprops.cli import main

MODELS = """
import torch
from torch import nn

def net(width=8):
    return nn.Sequential(nn.Flatten(), nn.Linear(12, width), nn.ReLU(), nn.Linear(width, 3))

def open_ended():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU())

def data():
    return torch.zeros(5, 12), torch.zeros(5, dtype=torch.int64)
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("how", [("--shape", "3,2,2"), ("--data", "models.py:data")])
def test_layers_are_listed_with_what_is_found(capsys, how):
    assert main(["layers", "models.py:net", "--kwargs", '{"width": 9}', *how]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["layer", "module", "output", "can", "be", "named", "as"]
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["0", "Flatten"],
        ["1", "Linear"],
        ["2", "ReLU"],
        ["3", "Linear"],
    ]
    assert lines[4].endswith("readout")
    assert lines[5] == "found by itself: 9 features, which '3' turns into 3 outputs"


def test_what_is_not_found_by_itself_is_said(capsys):
    assert main(["layers", "models.py:open_ended", "--shape", "12"]) == 0
    assert "not found by itself: the network does not end in one Linear" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["models.py:nte"], "models.py has no 'nte'; did you mean 'net'?"),
        (
            ["models.py:net", "--shape", "3x2"],
            "--shape is '3x2', expected positive numbers such as 3,224,224",
        ),
        (["models.py:net", "--shape", "5"], "the network cannot be run on inputs of shape (2, 5)"),
    ],
)
def test_mistakes(capsys, args, message):
    assert main(["layers", *args]) == 4
    assert message in capsys.readouterr().err
