"""Tables and options become families, with an id for every network."""

import textwrap

import pytest
import torch

from netprops.errors import UsageError
from netprops.modeltables import Table, family_of, from_options, read_tables

MODELS = """
from torch import nn

def wrn(width=1, depth=2):
    return nn.Linear(3, width)

def plain():
    return nn.Linear(3, 2)
"""


@pytest.fixture
def base(tmp_path):
    (tmp_path / "models.py").write_text(MODELS)
    for name in ("runs/w1/last.pt", "runs/w4/last.pt", "one/epoch9.pt", "one/epoch10.pt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save({}, tmp_path / name)
    return tmp_path


def made(base, name=None, **facts):
    return family_of(Table.model_validate({"build": "models.py:wrn", **facts}), base, name=name, scale="mini")


def ids(family):
    return [spec.id for spec in family.specs()]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["one/epoch9.pt"], ["wrn-epoch9"]),
        (["one/epoch*.pt"], ["wrn-epoch9", "wrn-epoch10"]),
        (["runs/*/last.pt"], ["wrn-w1-last", "wrn-w4-last"]),
        (["runs/**/*.pt", "runs/w1/last.pt"], ["wrn-w1-last", "wrn-w4-last"]),
        ([], ["wrn-as-built"]),
    ],
)
def test_ids_come_from_what_tells_paths_apart(base, patterns, expected):
    family = made(base, checkpoint=patterns)
    assert ids(family) == expected
    assert all(one.isascii() for one in expected)
    assert not family.over_widths
    assert [spec.seed for spec in family.specs()] == [0] * len(expected)


def test_widths_make_a_family_and_go_to_the_builder(base):
    family = made(
        base, "mine", checkpoint=["runs/w4/last.pt", "runs/w1/last.pt"], width=[4, 1], kwargs={"depth": 3}
    )
    assert family.over_widths
    assert (family.id, family.widths, family.seeds) == ("mine", (1.0, 4.0), 1)
    assert ids(family) == ["mine-w1-last", "mine-w4-last"]
    assert [spec.member.kwargs for spec in family.specs()] == [
        {"depth": 3, "width": 1},
        {"depth": 3, "width": 4},
    ]
    assert family.spec(4.0, 0).id == "mine-w4-last"


def test_seeds_tell_networks_of_one_width_apart(base):
    paths = ["runs/w1/last.pt", "runs/w4/last.pt", "one/epoch9.pt"]
    family = made(base, checkpoint=paths, width=[1, 2, 2], seed=[0, 0, 1])
    assert (family.seeds, family.widest_seeds) == (1, 2)
    with pytest.raises(
        UsageError, match=r"two networks of width 2; tell them apart by `seed = \[0, 1, ...\]`"
    ):
        made(base, checkpoint=paths, width=[1, 2, 2])


def test_a_builder_without_a_width_gets_none(base):
    family = made(base, build="models.py:plain", checkpoint="one/epoch9.pt", width=3)
    assert family.specs()[0].member.kwargs == {}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"checkpoint": "one/epok9.pt"}, r"no checkpoint matches .*epok9.pt; did you mean 'epoch9.pt'\?"),
        ({"checkpoint": "one/*.ckpt"}, r"no checkpoint matches .*; .*one holds epoch10.pt, epoch9.pt"),
        ({"checkpoint": "one/*.pt", "width": [1]}, "2 checkpoints and 1 values of 'width'; give one each"),
        ({"checkpoint": "one/*.pt", "kwargs": [{}]}, "2 checkpoints and 1 values of 'kwargs'"),
    ],
)
def test_tables_that_do_not_fit(base, facts, message):
    with pytest.raises(UsageError, match=message):
        made(base, **facts)


def test_tables_of_both_files(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.netprops.models.mine]\nbuild = "a:b"\ncheckpoint = "x.pt"\n'
    )
    (tmp_path / "netprops.toml").write_text(
        '[models.other]\nbuild = "a:c"\nwidth = [1, 2]\ndata = "digits"\n'
    )
    found = read_tables((tmp_path, tmp_path))
    assert found["mine"] == (Table(build="a:b", checkpoint=("x.pt",)), tmp_path)
    assert found["other"][0].width == (1.0, 2.0)
    assert read_tables((tmp_path / "nowhere",)) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[models.mine]\nbild = "a:b"', r"table 'mine': unknown name 'bild'; did you mean 'build'\?"),
        ("[models.mine]\nwidth = 3", "table 'mine': build: field required"),
        (
            '[models.mine]\nbuild = "a:b"\nwidth = ["wide"]',
            "table 'mine': width: input should be a valid number",
        ),
        ("[models]\nmine = 3", "expected a table, got a int"),
        ("[models", "netprops.toml is not TOML"),
    ],
)
def test_tables_that_are_wrong(tmp_path, text, message):
    (tmp_path / "netprops.toml").write_text(textwrap.dedent(text))
    with pytest.raises(UsageError, match=message):
        read_tables((tmp_path,))


def test_arguments_from_the_command_line():
    assert from_options("a:b", kwargs='{"depth": 20}').kwargs == {"depth": 20}
    for wrong, message in (("depth=20", "is no JSON"), ("[1]", "is a list, expected a JSON object")):
        with pytest.raises(UsageError, match=message):
            from_options("a:b", kwargs=wrong)
