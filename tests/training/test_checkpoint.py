from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netprops import durable
from netprops.errors import DamagedEntryError
from netprops.training import checkpoint

TENSORS = {
    "weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "state": torch.arange(9, dtype=torch.uint8),
    "count": torch.tensor(7),
    "empty": torch.empty(0),
}
FACTS = {"epoch": 3, "note": '"sha256":"', "history": [{"loss": 0.1}]}


def test_a_state_comes_back_as_it_was():
    state = checkpoint.from_bytes(checkpoint.to_bytes(TENSORS, FACTS), "it")
    assert state.facts == FACTS
    assert state.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert state.tensors[name].dtype == tensor.dtype
        assert torch.equal(state.tensors[name], tensor)


def test_tensors_that_share_memory_are_written_twice():
    shared = torch.ones(4)
    state = checkpoint.from_bytes(checkpoint.to_bytes({"a": shared, "b": shared.reshape(2, 2).T}, {}), "it")
    assert torch.equal(state.tensors["b"], torch.ones(2, 2))


@given(st.data())
def test_any_flipped_bit_and_any_cut_is_noticed(data):
    whole = checkpoint.to_bytes(TENSORS, FACTS)
    if data.draw(st.booleans()):
        changed = bytearray(whole)
        changed[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        changed = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(DamagedEntryError, match="the file is damaged or cut off"):
        checkpoint.from_bytes(changed, "the file")


def test_a_promised_tensor_that_is_missing_is_noticed():
    import json

    import safetensors.torch

    data = checkpoint.to_bytes(TENSORS, FACTS)
    head = json.loads(bytes(data[8 : 8 + int.from_bytes(data[:8], "little")]))["__metadata__"]
    forged = bytearray(safetensors.torch.save({"weight": TENSORS["weight"]}, {**head, "sha256": "0" * 64}))
    place = bytes(forged).index(b'"sha256":"' + b"0" * 64) + 10
    forged[place : place + 64] = durable.digest_of(forged).encode()
    with pytest.raises(DamagedEntryError, match="it lacks count, empty, half, state"):
        checkpoint.from_bytes(forged, "the file")


def test_the_two_newest_are_kept_and_the_newest_is_found(tmp_path):
    for step in (2, 9, 10, 400):
        checkpoint.save(tmp_path, step, {"step": torch.tensor(step)}, {"step": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "state-000000010.safetensors",
        "state-000000400.safetensors",
    ]
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.facts == {"step": 400}


def test_a_damaged_one_is_passed_over_and_said_aloud(tmp_path, caplog):
    for step in (1, 2):
        checkpoint.save(tmp_path, step, {}, {"step": step})
    newest = tmp_path / "state-000000002.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.facts == {"step": 1}
    assert "state-000000002.safetensors is damaged or cut off" in caplog.text
    assert checkpoint.latest(tmp_path / "nowhere") is None
