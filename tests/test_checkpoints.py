"""Checkpoints are read as tensors and nothing else; what is no checkpoint is refused in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from netprops import checkpoints
from netprops.errors import UsageError

WORDS = {
    "truncated": "damaged archive, perhaps cut off",
    "truncated-old": "damaged, cut off or none",
    "truncated-safetensors": "damaged, cut off or none",
    "wrong-keys": "4 of the network's are missing: '0.weight'",
    "wrong-shapes": r"'2.weight' has shape (5, 16) in the file and (3, 16) in the network",
    "missing-key": "1 of the network's are missing: '2.bias'",
    "code": "it names posix.system, which would run code; nothing was run",
    "code-old": "it names posix.system, which would run code; nothing was run",
    "whole-module": "save the weights alone: torch.save(model.state_dict()",
    "nan": "1 of the 48 numbers of '2.weight' are NaN or infinite",
    "infinite": "16 of the 16 numbers of '0.bias' are NaN or infinite",
    "text": "it is text, and begins with b'loss 0.31",
    "empty": "is empty: 0 bytes",
    "lfs-pointer": "git lfs pull",
    "noise": "neither a zip archive nor a pickle",
    "other-zip": "it holds word/document.xml, no data.pkl",
    "zip-bomb": "to 50,000,000 bytes; torch.save compresses nothing",
    "overlapping-zip": "to 1,001,000,000 bytes",
    "huge-pickle": "its pickle has 16,777,218 bytes, expected names and shapes only",
    "nested-list": "damaged, cut off or none",
    "huge-storage": "damaged, cut off or none",
    "list": "holds a list, expected a state dict",
    "optimizer-only": "it holds optimizer, epoch; name one with --netprops-checkpoint-key",
    "header-too-long": "its header of safetensors promises 1152921504606846976 bytes",
    "bad-header.safetensors": "damaged, cut off or none",
    "folder": "is a folder; name the file in it",
    "nowhere": "did you mean 'truncated.pt'?",
    "torchscript": "is TorchScript, which holds code; save its weights alone",
}


@pytest.fixture(scope="module")
def malformed(tmp_path_factory):
    """What a process of its own says of every malformed file."""
    script = Path(__file__).with_name("malformed.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path_factory.mktemp("malformed")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)


def test_every_malformed_file_is_expected(malformed):
    assert malformed.keys() == WORDS.keys()


@pytest.mark.parametrize("name", WORDS)
def test_a_malformed_checkpoint_gives_one_clear_line(malformed, name):
    found = malformed[name]
    assert WORDS[name] in found["message"]
    assert "\n" not in found["message"]
    assert len(found["message"]) < 500
    assert not found["ran"]
    assert found["megabytes"] < 300


@pytest.fixture
def state():
    return {"fc.weight": torch.randn(3, 4), "fc.bias": torch.randn(3)}


def saved(tmp_path, content, **how):
    torch.save(content, tmp_path / "one.pt", **how)
    return tmp_path / "one.pt"


@pytest.mark.parametrize("old", [False, True])
def test_a_plain_state_dict_in_both_formats(tmp_path, state, old):
    found = checkpoints.read(saved(tmp_path, state, _use_new_zipfile_serialization=not old))
    assert found.tensors.keys() == state.keys()
    assert all(torch.equal(found.tensors[name], state[name]) for name in state)
    assert found.notes == ()


def test_safetensors(tmp_path, state):
    save_file(state, tmp_path / "one.safetensors")
    assert torch.equal(checkpoints.read(tmp_path / "one.safetensors").tensors["fc.bias"], state["fc.bias"])


@pytest.mark.parametrize("name", [*checkpoints.PLAIN, "my_weights"])
def test_a_wrapper_is_opened_and_said(tmp_path, state, name):
    wrapped = {
        name: state,
        "epoch": 3,
        "optimizer": {"state": {0: torch.zeros(3)}},
        "best": torch.tensor(91.0),
    }
    found = checkpoints.read(saved(tmp_path, wrapped))
    assert found.tensors.keys() == state.keys()
    assert found.notes == (f"the weights are those of {name!r}",)


def test_averaged_weights_are_taken_only_by_name(tmp_path, state):
    averaged = {name: one + 1 for name, one in state.items()}
    path = saved(tmp_path, {"model": state, "model_ema": averaged})
    plain = checkpoints.read(path)
    assert torch.equal(plain.tensors["fc.bias"], state["fc.bias"])
    assert plain.notes[1] == "it also holds 'model_ema', which --netprops-checkpoint-key model_ema asks for"
    asked = checkpoints.read(path, "model_ema")
    assert torch.equal(asked.tensors["fc.bias"], averaged["fc.bias"])


def test_an_inner_key_has_dots(tmp_path, state):
    path = saved(tmp_path, {"callbacks": {"ema": {"weights": state}}})
    assert checkpoints.read(path, "callbacks.ema.weights").tensors.keys() == state.keys()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model_eam", r"has no 'model_eam'; did you mean 'model_ema'\?; it holds model, model_ema, epoch"),
        ("epoch", "'epoch' is a int, not a state dict"),
        (None, "no state dict that is found by itself; it holds a, b; name one with"),
    ],
)
def test_a_key_that_leads_nowhere(tmp_path, state, key, message):
    content = {"a": state, "b": state} if key is None else {"model": state, "model_ema": state, "epoch": 3}
    with pytest.raises(UsageError, match=message):
        checkpoints.read(saved(tmp_path, content), key)


def test_weights_are_mapped_from_the_file_and_never_unpickled_freely(tmp_path, state, monkeypatch):
    asked = {}
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda path, **how: asked.update(how) or load(path, **how))
    checkpoints.read(saved(tmp_path, state))
    assert asked == {"map_location": "cpu", "weights_only": True, "mmap": True}
