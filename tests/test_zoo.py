from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from netprops.cache import Cache
from netprops.companion import Companion
from netprops.data.gegenbauer import Gegenbauer
from netprops.declaration import Family, Variant
from netprops.errors import MissingDataError, TrainingError, UsageError
from netprops.training import loop
from netprops.training.recipe import Recipe
from netprops.zoo import Zoo

RECIPE = Recipe(
    epochs=2, batch=256, optimizer="adam", lr=1e-3, weight_decay=1e-3, loss="squared-hinge", snapshots=(0, 1)
)
FAMILY = Family(
    name="fc5",
    architecture="fc5",
    data="pdigits",
    scale="mini",
    widths=(4, 8),
    seeds=2,
    source="none",
    recipe=RECIPE,
    variants={"nodecay": Variant(changes={"weight_decay": 0.0}, widths=(8,), seeds=1, why="a control")},
)
SPEC = FAMILY.spec(8, 0)


def weights(zoo: Zoo, spec=SPEC) -> dict[str, torch.Tensor]:
    return dict(zoo.subject(spec).network.state_dict())


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the helper forks")
def test_processes_that_want_the_same_network(tmp_path):
    program = Path(__file__).with_name("crowd.py")
    plans = ["lock", "no lock", "takeover", "stealing", "block"]
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path), *plans],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    outcome = json.loads(done.stdout)
    one = ["fc5-pdigits-w16-s0"]
    assert outcome["lock"] == {"statuses": [0] * 4, "begun": one, "right": True, "damaged": 0}
    assert outcome["no lock"]["right"]
    assert outcome["no lock"]["statuses"] == [0] * 4
    assert outcome["no lock"]["damaged"] == 0
    takeover = outcome["takeover"]
    assert takeover["killed by"] == 9
    assert takeover["right"]
    assert min(takeover["epochs"]) == 4, "it goes on where the killed one was"
    assert takeover["history"] == [1, 2, 3, 4, 5, 6]
    assert outcome["stealing"] == {
        "statuses": [0],
        "begun": [*one, "fc5-pdigits-w8-s1"],
        "ready": True,
        "order": ["fc5-pdigits-w8-s1"],
    }
    assert outcome["block"] == {
        "statuses": [0] * 4,
        "begun": ["fc5-pdigits-w8-s0..3"],
        "ready": True,
        "right": True,
    }


def test_a_network_is_trained_once_and_then_found(zoo, cache, trainings):
    assert not zoo.ready(SPEC)
    first = weights(zoo)
    assert zoo.ready(SPEC)
    assert same(weights(Zoo(cache, device="cpu")), first)
    assert zoo.subject(SPEC) is zoo.subject(FAMILY.spec(8, 0))
    assert trainings == [SPEC.id]


def test_wide_networks_are_trained_first_and_each_once(zoo, trainings):
    zoo.ensure([*FAMILY.specs(), FAMILY.spec(8, 1)])
    assert trainings == [f"fc5-pdigits-w{w}-s{s}" for w, s in ((8, 0), (8, 1), (4, 0), (4, 1))]


def test_the_manifest_tells_where_the_network_comes_from(zoo):
    facts = zoo.subject(SPEC).entry.manifest
    assert facts["id"] == SPEC.id
    assert facts["parameters"] == sum(t.numel() for t in weights(zoo).values()) == 10 * 8 + 8 + 3 * 72 + 9
    assert facts["decisive"]["network"]["recipe"] == RECIPE.model_dump(mode="json", exclude_defaults=True)
    assert facts["origin"]["torch"] == torch.__version__
    assert facts["machine"]["threads"] == 1
    assert facts["snapshots"] == [0, 1, 2]
    assert [line["epoch"] for line in facts["history"]] == [1, 2]
    assert facts["test_error"] == facts["history"][-1]["test_error"]


def test_the_key_holds_everything_that_decides_the_weights(zoo, cache, monkeypatch):
    keys = [zoo.key(spec) for spec in FAMILY.all_specs()]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 64 for key in keys)
    assert zoo.key(SPEC) == Zoo(cache, device="cpu").key(FAMILY.model_copy().spec(8, 0))
    key = zoo.key(SPEC)
    for change in ("other data", "other torch", "other code"):
        with monkeypatch.context() as patch:
            if change == "other data":
                patch.setitem(zoo._datasets, "pdigits", zoo.dataset("digits"))
            if change == "other torch":
                patch.setattr(torch, "__version__", "9.9")
            if change == "other code":
                patch.setattr(loop, "TRAINING_VERSION", 999)
            assert zoo.key(SPEC) != key, change
    monkeypatch.setattr(torch, "__version__", torch.__version__.partition("+")[0] + "+cu999")
    assert zoo.key(SPEC) == key, "the same torch for another driver"


def test_weights_and_features_do_not_depend_on_the_number_of_threads_of_the_process(tmp_path):
    found, features = [], []
    before = torch.get_num_threads()
    for number in (1, 2):
        torch.set_num_threads(number)
        zoo = Zoo(Cache(tmp_path / str(number)), device="cpu")
        found.append(weights(zoo))
        features.append(zoo.subject(SPEC).features("train"))
        assert torch.get_num_threads() == number
    torch.set_num_threads(before)
    assert same(*found)
    assert np.array_equal(*features)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 8
    path.write_bytes(data)


@pytest.mark.parametrize(
    "pattern",
    [
        "manifest.json",
        "weights.safetensors",
        "snapshots/epoch-00000.safetensors",
        "snapshots/epoch-00001.safetensors",
        "features/test-hidden.*.npy",
        "features/*.sidecar.json",
    ],
)
def test_one_flipped_bit_in_any_file_is_said_aloud_and_rebuilt(zoo, cache, pattern, caplog, trainings):
    subject = zoo.subject(SPEC)
    before, features = weights(zoo), np.array(subject.features("test"))
    (path,) = subject.entry.path.glob(pattern)
    flip(path)
    again = Zoo(Cache(cache.root), device="cpu")
    with caplog.at_level(logging.WARNING, "netprops"):
        assert np.array_equal(again.subject(SPEC).features("test"), features)
    assert same(weights(again), before)
    assert "it was moved to" in caplog.text
    assert path.name in caplog.text
    assert list((cache.root / "damaged").iterdir())
    assert len(trainings) == (1 if pattern.startswith("features") else 2)


def test_what_a_running_process_has_is_checked_again_when_it_changes(zoo, trainings, caplog):
    before = weights(zoo)
    flip(zoo.subject(SPEC).entry.path / "weights.safetensors")
    assert same(weights(zoo), before)
    assert len(trainings) == 2


def test_a_snapshot_that_is_damaged_later_is_an_error_that_says_how_to_go_on(zoo):
    from netprops.errors import DamagedEntryError

    subject = zoo.subject(SPEC)
    flip(subject.entry.path / "snapshots" / "epoch-00001.safetensors")
    with pytest.raises(DamagedEntryError, match="run again to rebuild it"):
        subject.at(1).network  # noqa: B018 - loading it is the test


def test_a_failing_training_leaves_no_entry_and_no_lock(zoo, cache):
    broken = Family(**{**FAMILY.model_dump(), "recipe": RECIPE.changed(lr=1e20)}).spec(8, 0)
    with pytest.raises(TrainingError, match=r"fc5-pdigits-w8-s0: the loss is (inf|nan) at epoch \d, step \d"):
        zoo.ensure([broken])
    assert not zoo.ready(broken)
    with cache.claim(zoo.key(broken), blocking=False) as mine:
        assert mine


def test_an_unwritable_cache_and_missing_data_are_said_before_anything_trains(tmp_path, trainings):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        Zoo(Cache(tmp_path / "file" / "cache"), device="cpu").ensure([SPEC])
    absent = Family(**{**FAMILY.model_dump(), "data": "pmnist"}).spec(8, 0)
    with pytest.raises(MissingDataError, match="mnist"):
        Zoo(Cache(tmp_path / "cache"), data_root=tmp_path, device="cpu").ensure([absent])
    assert trainings == []


def test_a_stream_that_runs_dry_is_said_before_the_first_training(zoo, trainings, monkeypatch):
    online = Recipe(epochs=2, batch=50, optimizer="sgd", lr=0.1, loss="squared", online=True)
    facts = {"name": "mlp", "architecture": "mlp", "data": "gegenbauer:2:4", "recipe": online, "variants": {}}
    short = Family(**{**FAMILY.model_dump(), **facts, "kwargs": {"base": 4}})
    long = Family(**{**short.model_dump(), "widths": (2, 4), "recipe": online.changed(epochs=4)})
    monkeypatch.setattr(Gegenbauer, "chunks", 3)
    said = (
        "mlp-gegenbauer:2:4-w[24]-s0: the stream of gegenbauer:2:4 runs dry: it has 3,000 samples and 4 "
        "epochs of 1,000 need 4,000; train for 3 epochs at most"
    )
    for refuse in (zoo.refuse_dry, zoo.ensure):
        with pytest.raises(UsageError, match=said):
            refuse([*short.specs(), *long.specs()])
    assert not trainings
    zoo.refuse_dry([*FAMILY.specs(), *short.specs()])


def test_others_whose_data_are_missing_are_left_alone(tmp_path, trainings):
    absent = Family(**{**FAMILY.model_dump(), "data": "pmnist"}).spec(8, 0)
    Zoo(Cache(tmp_path / "cache"), data_root=tmp_path, device="cpu").ensure([SPEC], others=[absent])
    assert trainings == [SPEC.id]


def test_a_full_disk_is_said_before_the_training(zoo, cache, trainings, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(UsageError, match="MB free, expected"):
        zoo.ensure([SPEC])
    assert trainings == []


def test_a_remote_store_is_asked_on_a_miss_and_offered_what_was_built(tmp_path, trainings):
    pytest.importorskip("fsspec")
    url = (tmp_path / "store").as_uri()
    theirs = Zoo(Cache(tmp_path / "theirs", remote=url), device="cpu")
    ours = Zoo(Cache(tmp_path / "ours", remote=url), device="cpu")
    before = weights(theirs)
    assert same(weights(ours), before)
    assert trainings == [SPEC.id]


def test_the_plan_tells_what_would_be_trained_and_trains_nothing(zoo, trainings):
    zoo.ensure([SPEC])
    rows = zoo.plan([SPEC, FAMILY.spec(4, 0), SPEC])
    assert [(row.id, row.cached) for row in rows] == [(SPEC.id, True), ("fc5-pdigits-w4-s0", False)]
    assert rows[0].seconds == 0 < rows[1].seconds
    assert rows[1].parameters == 10 * 4 + 4 + 3 * 20 + 5
    assert rows[1].epochs == 2
    assert rows[1].bytes == 3 * 4 * rows[1].parameters + 4 * 4 * 1797
    assert trainings == [SPEC.id]


def test_the_time_of_a_relative_is_scaled_by_the_cost(zoo):
    zoo.ensure([SPEC])
    known = zoo.subject(SPEC).entry.manifest
    longer = Family(**{**FAMILY.model_dump(), "recipe": RECIPE.changed(epochs=200)}).spec(8, 0)
    (row,) = zoo.plan([longer])
    assert row.seconds == pytest.approx(100 * known["seconds"])
    # Two operations a weight and sample forwards, three times that a step, 897 samples, 2 epochs.
    assert known["cost"] == 2 * (10 * 8 + 3 * 64 + 8) * 3 * 897 * 2


def test_companions_share_the_work_and_change_nothing(tmp_path, trainings):
    alone = Zoo(Cache(tmp_path / "alone"), device="cpu")
    alone.ensure(FAMILY.specs())
    by_itself = len(trainings)
    zoo = Zoo(Cache(tmp_path / "cache"), device="cpu")
    long = Family(**{**FAMILY.model_dump(), "recipe": RECIPE.changed(epochs=5000)})
    companion = Companion(zoo, [*FAMILY.specs(), long.spec(8, 0)])
    heard = None
    while heard is None or heard.epochs < 5000:
        assert companion.works()
        heard = companion.heard(0.1)
    companion.dismiss()
    assert not companion.works()
    assert all(same(weights(zoo, spec), weights(alone, spec)) for spec in FAMILY.specs())
    assert len(trainings) == by_itself, "the companion has trained them all"
    state = zoo.cache.workspace(zoo.key(long.spec(8, 0)), make=False)
    assert list(state.glob("state-*.safetensors")), "what it had begun is saved"
