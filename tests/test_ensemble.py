"""Concatenations and ensembles answer what their members say together, and refuse what is none."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from netprops.ensemble import Concatenation, Ensemble
from netprops.errors import MeasurementError
from netprops.measures.chunks import ensemble_error
from netprops.subject import Readout


def member(seed, *, outputs=3, **other):
    rng = np.random.default_rng(seed)
    readout = Readout(rng.standard_normal((outputs, 5)).astype(np.float32), rng.random(outputs, np.float32))
    features = rng.standard_normal((40, 5)).astype(np.float32)
    facts = {
        "id": f"fc5-x-w5-s{seed}",
        "family": "fc5-x",
        "variant": None,
        "factor": 5.0,
        "epoch": 10,
        "width": 5,
        "readout": readout,
        "features": lambda split: features,
        "logits": lambda split: features @ readout.weight.T + readout.bias,
        "labels": lambda split: np.arange(40) % 3 if outputs > 1 else np.where(np.arange(40) % 2, 1.0, -1.0),
        "at": lambda epoch: member(seed, outputs=outputs, epoch=epoch),
    }
    return SimpleNamespace(**(facts | other))


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_last_layers_side_by_side_give_the_summed_logits(outputs):
    both = Ensemble([member(0, outputs=outputs), member(1, outputs=outputs)])
    summed = both.features("test") @ both.readout.weight.T + both.readout.bias
    np.testing.assert_allclose(summed, both.logits("test"), rtol=1e-5, atol=1e-5)
    assert both.width == 10
    assert both.id == "fc5-x-w5-x2"


def test_its_error_is_the_measured_one():
    members = [member(seed) for seed in range(4)]
    measured = ensemble_error([one.logits("test") for one in members], members[0].labels("test"))
    assert Ensemble(members).error("test") == measured.value


def test_it_goes_back_to_a_snapshot_with_all_members():
    assert [one.epoch for one in Ensemble([member(0), member(1)]).at(3).members] == [3, 3]


def test_its_generator_depends_on_the_purpose_and_nothing_else():
    both = Ensemble([member(0), member(1)])
    assert both.rng("a").random() == both.rng("a").random() != both.rng("b").random()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([], "needs at least two networks, got 0"),
        ([member(0)], r"needs at least two networks, got 1 \(fc5-x-w5-s0\)"),
        ([member(0), member(1, factor=7.0)], "nothing but their seed"),
        ([member(0), member(1, variant="nodecay")], "nothing but their seed"),
    ],
)
def test_what_is_no_ensemble_is_refused_in_one_sentence(members, said):
    with pytest.raises(MeasurementError, match=said):
        Ensemble(members)


def test_a_concatenation_has_its_members_features_side_by_side():
    three = Concatenation([member(seed) for seed in (2, 3, 4)])
    assert three.id == "fc5-x-w5-x3-s2"
    assert three.width == 15
    np.testing.assert_array_equal(three.features("test")[:, 5:10], member(3).features("test"))
    assert [block.shape for block in three.blocks("train")] == [(40, 5)] * 3
    assert {one.epoch for one in three.at(3).members} == {3}


def test_concatenations_of_other_members_have_other_generators():
    first, second = Concatenation([member(0), member(1)]), Concatenation([member(2), member(3)])
    assert first.rng("a").random() != second.rng("a").random()


def test_a_concatenation_of_nothing_or_of_unlike_networks_is_refused():
    with pytest.raises(MeasurementError, match=r"concatenation: .* got none"):
        Concatenation([])
    with pytest.raises(MeasurementError, match="nothing but their seed"):
        Concatenation([member(0), member(1, factor=7.0)])
