"""Blocks: networks that are trained at once, and variants that train on parts of the data."""

from __future__ import annotations

import pytest
import torch

from netprops.cache import Cache
from netprops.companion import Companion
from netprops.declaration import Family, Variant
from netprops.training.recipe import Recipe
from netprops.zoo import Zoo

RECIPE = Recipe(
    epochs=2, batch=256, optimizer="adam", lr=1e-3, weight_decay=1e-3, loss="squared-hinge", snapshots=(0, 1)
)
BLOCKS = Family(
    name="fc5",
    architecture="fc5",
    data="pdigits",
    scale="mini",
    widths=(4, 8),
    seeds=3,
    stacked=4,
    source="none",
    recipe=RECIPE,
    variants={"thirds": Variant(changes={"batch": 64}, widths=(4,), seeds=5, parts=3, why="bias, variance")},
)
SINGLE = Family(**{**BLOCKS.model_dump(), "stacked": None})
MEMBER = BLOCKS.spec(4, 1)


def weights(zoo: Zoo, spec) -> dict[str, torch.Tensor]:
    return dict(zoo.subject(spec).network.state_dict())


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_who_asks_for_one_network_of_a_block_gets_all_each_under_its_own_key(zoo, trainings):
    zoo.ensure([MEMBER])
    assert trainings == ["fc5-pdigits-w4-s0..2"]
    assert [zoo.ready(spec) for spec in BLOCKS.specs()] == [True] * 3 + [False] * 3
    facts = zoo.subject(MEMBER).entry.manifest
    assert facts["id"] == MEMBER.id
    assert facts["decisive"]["together"] == [0, 1, 2]
    assert facts["decisive"]["network"]["seed"] == 1
    assert facts["kin"].endswith(" stacked")
    assert facts["snapshots"] == [0, 1, 2]
    assert facts["test_error"] == facts["history"][-1]["test_error"]
    assert len({zoo.key(spec) for spec in BLOCKS.all_specs()}) == len(list(BLOCKS.all_specs()))
    zoo.ensure(BLOCKS.specs())
    assert trainings[1:] == [f"fc5-pdigits-w8-s{seed}" for seed in range(3)]


def test_a_network_of_a_block_is_the_one_that_trains_by_itself(zoo):
    alone = SINGLE.spec(4, 1)
    assert zoo.key(alone) != zoo.key(MEMBER)
    ours, theirs = weights(zoo, MEMBER), weights(zoo, alone)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-5)


def test_only_networks_of_a_block_have_other_keys(zoo):
    assert zoo.key(BLOCKS.spec(8, 1)) == zoo.key(SINGLE.spec(8, 1))
    assert "together" not in zoo._decisive(BLOCKS.spec(8, 1))
    more = Family(**{**BLOCKS.model_dump(), "seeds": 4})
    assert zoo.key(more.spec(4, 1)) != zoo.key(MEMBER), "it was trained with others"
    undeclared = BLOCKS.spec(4, 3)
    assert zoo.key(undeclared) == zoo.key(SINGLE.spec(4, 3)), "no block has it: it trains by itself"


def test_weights_of_a_block_do_not_depend_on_what_was_missing(zoo, tmp_path, trainings):
    before = [weights(zoo, spec) for spec in MEMBER.block]
    kept = zoo.subject(MEMBER.block[2]).entry.path
    folder = kept.stat().st_ino
    (zoo.subject(MEMBER).entry.path / "weights.safetensors").write_bytes(b"damaged")
    again = Zoo(Cache(zoo.cache.root), device="cpu")
    assert [same(weights(again, spec), old) for spec, old in zip(MEMBER.block, before, strict=True)] == [
        True
    ] * 3
    assert trainings == ["fc5-pdigits-w4-s0..2"] * 2
    assert kept.stat().st_ino == folder, "what was there stays"
    assert not zoo.cache.workspace(zoo.key(MEMBER.block[0]), make=False).exists()


def test_a_block_that_is_killed_while_it_is_published_is_completed(zoo, cache, monkeypatch, trainings):
    whole = Zoo(Cache(cache.root.with_name("whole")), device="cpu")
    expected = [weights(whole, spec) for spec in MEMBER.block]
    publish, calls = Cache.publish, 0

    def dying(self, *arguments):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return publish(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Cache, "publish", dying)
        with pytest.raises(KeyboardInterrupt):
            zoo.ensure([MEMBER])
    assert [zoo.ready(spec) for spec in MEMBER.block] == [False, False, True]
    again = Zoo(Cache(cache.root), device="cpu")
    again.ensure([MEMBER])
    assert all(same(weights(again, s), old) for s, old in zip(MEMBER.block, expected, strict=True))
    assert not again.cache.workspace(again.key(MEMBER.block[0]), make=False).exists()


def test_the_plan_gives_the_networks_of_a_block_the_time_of_the_whole(zoo):
    zoo.ensure([MEMBER])
    known = zoo.subject(MEMBER).entry.manifest
    longer = Family(**{**BLOCKS.model_dump(), "recipe": RECIPE.changed(epochs=200)})
    whole = 3 * 100 * known["seconds"]
    rows = zoo.plan(longer.specs()[:3])
    assert [row.seconds for row in rows] == pytest.approx([whole / 3] * 3)
    (row,) = zoo.plan([longer.spec(4, 2)])
    assert row.seconds == pytest.approx(whole), "the others are trained too"
    rows = zoo.plan([*longer.specs()[:2], MEMBER])
    assert [row.seconds for row in rows] == pytest.approx([whole / 2, whole / 2, 0])


def test_networks_of_a_variant_with_parts_train_on_their_own_part(zoo, trainings):
    specs = BLOCKS.specs("thirds")
    zoo.ensure(specs[:1])
    assert trainings == ["fc5-pdigits-thirds-w4-s0..4"]
    subjects = [zoo.subject(spec) for spec in specs]
    assert {len(subject.dataset.train) for subject in subjects} == {897 // 3}
    assert [len(subject.features("train")) for subject in subjects] == [299] * 5
    assert len({subject.entry.manifest["origin"]["data_digest"] for subject in subjects}) == 5
    assert {len(subject.labels("test")) for subject in subjects} == {900}
    whole = zoo.dataset("pdigits")
    assert [subject.dataset.digest for subject in subjects] == [
        whole.part(seed % 3, 3, seed // 3).digest for seed in range(5)
    ]
    (row,) = zoo.plan([specs[0]])
    assert row.parameters == zoo.plan([MEMBER])[0].parameters


def test_a_network_that_trains_by_itself_trains_on_its_part_too(zoo, trainings):
    subject = zoo.subject(SINGLE.spec(4, 4, "thirds"))
    assert trainings == ["fc5-pdigits-thirds-w4-s4"]
    assert subject.entry.manifest["origin"]["data_digest"] == zoo.dataset("pdigits").part(1, 3, 1).digest


def test_a_companion_trains_whole_blocks(tmp_path, trainings):
    wanted = [*BLOCKS.specs()[:3], *BLOCKS.specs("thirds")]
    alone = Zoo(Cache(tmp_path / "alone"), device="cpu")
    alone.ensure(wanted)
    assert len(trainings) == 2
    zoo = Zoo(Cache(tmp_path / "cache"), device="cpu")
    companion = Companion(zoo, [BLOCKS.spec(4, 2, "thirds"), MEMBER])
    while companion.works():
        companion.heard(0.1)
    companion.dismiss()
    zoo.ensure(wanted)
    assert len(trainings) == 2, "the companion has trained both blocks"
    assert all(same(weights(zoo, spec), weights(alone, spec)) for spec in wanted)


def test_as_many_companions_are_called_as_there_are_other_blocks(zoo, monkeypatch):
    called = []
    monkeypatch.setattr(zoo, "_wanted_companions", 7)
    monkeypatch.setattr("netprops.companion.Companion", lambda zoo, specs: called.append(specs))
    monkeypatch.setattr(zoo, "_build_one", lambda wanted: bool(wanted and wanted.popitem()))
    zoo.ensure(BLOCKS.specs()[:3], others=BLOCKS.specs("thirds"))
    zoo._companions.clear()
    assert [[spec.id for spec in specs] for specs in called] == [
        ["fc5-pdigits-w4-s0", "fc5-pdigits-thirds-w4-s0"]
    ]


def test_a_training_that_stops_early_publishes_its_best_weights_as_the_final_ones(zoo):
    recipe = RECIPE.changed(epochs=90, lr=0.05, batch=64, validation=0.2, patience=2, snapshots=(0,))
    spec = Family(**{**SINGLE.model_dump(), "recipe": recipe, "variants": {}}).spec(8, 0)
    subject = zoo.subject(spec)
    facts = subject.entry.manifest
    assert subject.snapshots == (0, 90)
    assert 1 <= len(subject.history) < 90
    assert {line.epoch for line in subject.history} == set(range(1, len(subject.history) + 1))
    last = subject.history[-1]
    assert last.validation_error == min(line.validation_error for line in subject.history)
    assert subject.error("test") == pytest.approx(last.test_error) == pytest.approx(facts["test_error"])
    assert facts["seconds"] > sum(line.seconds for line in subject.history)
    assert subject.at(0).error("test") > subject.error("test")
