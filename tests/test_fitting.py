"""Weights go into a network under the names that wrappers gave them, or not at all."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from netprops.checkpoints import Weights
from netprops.errors import UsageError
from netprops.fitting import fit


def network():
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


def weights(tensors):
    return Weights(Path("one.pt"), tensors)


def equal(one, other):
    return all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    ("before", "note"),
    [
        ("", None),
        ("module.", "stripped 'module.' from its names"),
        ("_orig_mod.", "stripped '_orig_mod.' from its names"),
        ("module._orig_mod.", "stripped 'module._orig_mod.' from its names"),
        ("model.", "stripped 'model.' from its names"),
        ("model.net.", "stripped 'model.net.' from its names"),
    ],
)
def test_a_prefix_is_stripped_and_said(before, note):
    source, target = network(), network()
    notes = fit(target, weights({before + name: one for name, one in source.state_dict().items()}))
    assert equal(source, target)
    assert notes == ((note,) if note else ())


@given(st.lists(st.sampled_from(["module", "_orig_mod", "model", "net", "backbone"]), max_size=4))
def test_any_nest_of_wrappers_is_taken_off(wrappers):
    source, target = network(), network()
    before = "".join(f"{one}." for one in wrappers)
    fit(target, weights({before + name: one for name, one in source.state_dict().items()}))
    assert equal(source, target)


def test_a_part_that_was_compiled_alone():
    source, target = network(), network()
    state = {f"0._orig_mod.{n[2:]}" if n[0] == "0" else n: one for n, one in source.state_dict().items()}
    assert fit(target, weights(state)) == ("stripped '_orig_mod.' from its names",)
    assert equal(source, target)


def test_weights_beside_the_network_are_left_out_aloud():
    source, target = network(), network()
    state = {f"model.{name}": one for name, one in source.state_dict().items()}
    notes = fit(target, weights({**state, "loss_fn.weight": torch.ones(3), "metric.sum": torch.ones(1)}))
    assert notes == ("stripped 'model.' from its names", "left out 'loss_fn.weight', 'metric.sum'")


def test_a_network_that_is_itself_wrapped():
    target = nn.Module()
    target.inner, source = network(), network()
    assert fit(target, weights(dict(source.state_dict()))) == ("put 'inner.' before its names",)
    assert equal(source, target.inner)


def test_what_decides_nothing_may_lack_or_be_more():
    source, target = network(), network()
    state = {name: one for name, one in source.state_dict().items() if "num_batches" not in name}
    notes = fit(target, weights({**state, "n_averaged": torch.tensor(3)}))
    assert notes == ("it has no num_batches_tracked, which eval mode does not need",)
    assert torch.equal(target[0].weight, source[0].weight)


def test_half_precision_is_converted_aloud():
    source, target = network(), network()
    assert fit(target, weights({name: one.half() if one.is_floating_point() else one
                                for name, one in source.state_dict().items()})) == (
        "weights of type float16 were converted to the network's",
    )  # fmt: skip
    assert target[0].weight.dtype == torch.float32


def test_names_that_differ_are_shown_with_the_nearest():
    state = {name.replace("3.", "head."): one for name, one in network().state_dict().items()}
    with pytest.raises(
        UsageError,
        match=r"one.pt: its weights do not fit.*2 of the network's are missing: '3.weight' \(the file has "
        "'head.weight'",
    ):
        fit(network(), weights(state))


def test_many_names_are_shortened():
    with pytest.raises(UsageError, match=r"are missing: .* and 5 more; 1 are not in the network: 'x'"):
        fit(network(), weights({"x": torch.zeros(2)}))


def test_a_sparse_tensor_is_refused():
    state = dict(network().state_dict())
    state["0.weight"] = state["0.weight"].to_sparse()
    with pytest.raises(UsageError, match="its weights cannot be put into the network"):
        fit(network(), weights(state))
