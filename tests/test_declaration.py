"""What the shipped families declare; networks and recipes of the paper scale: test_paper_recipes.py."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from netprops import models
from netprops.content import families
from netprops.data import Dataset, Split
from netprops.declaration import Family, Variant
from netprops.errors import UsageError
from netprops.training.loop import train
from netprops.training.recipe import Recipe

SHAPES = {
    "pdigits": (10,),
    "pmnist": (10,),
    "digits": (1, 8, 8),
    "teacher": (30,),
    "entailment": (10, 32),
    "signals": (6, 16),
    "random-labels:digits": (1, 8, 8),
    "gaussian:10": (10,),
    "random-labels:gaussian:10": (10,),
    "gaussian:10000": (10_000,),
    "gegenbauer:2:16": (16,),
    "digit-stream": (1, 8, 8),
    "source-bytes": (64,),
    "wikitext2:top1000": (64,),
}
OUTPUTS = {
    "pdigits": 1,
    "pmnist": 1,
    "digits": 10,
    "teacher": 10,
    "entailment": 3,
    "signals": 1,
    "random-labels:digits": 10,
    "gaussian:10": 2,
    "random-labels:gaussian:10": 2,
    "gaussian:10000": 2,
    "gegenbauer:2:16": 1,
    "digit-stream": 10,
    "source-bytes": 97,
    "wikitext2:top1000": 1000,
}
LAST = {
    "fc5": lambda factor: factor,
    "wrn28": lambda factor: 64 * factor,
    "densenet40": lambda factor: 5.5 * factor,
    "smallcnn": lambda factor: factor,
    "transformer": lambda factor, hidden, **kwargs: hidden * factor,
    "signals": lambda factor, **kwargs: 64,
    "alexnetsmall": lambda factor, units, **kwargs: units[1] * factor,
    "resnet56": lambda factor, **kwargs: 64 * factor,
    "mlp1": lambda factor, units=128: units * factor,
    "mlp": lambda factor, **kwargs: factor,
    "resnet18ln": lambda factor, blocks, **kwargs: 2 ** (len(blocks) - 1) * factor,
    "tokentransformer": lambda factor, **kwargs: factor,
}
SHIPPED = [
    pytest.param(family, id=f"{family.id}-{scale}")
    for scale in ("mini", "paper")
    for family in families(scale)
    if not family.planted
]
MINI = [pytest.param(family, id=family.id) for family in families("mini") if not family.planted]


def few_samples(family, count):
    """Return data of the shapes that the family trains on, with every label present."""
    rng = np.random.default_rng(0)
    shape, outputs = SHAPES[family.data], OUTPUTS[family.data]
    if family.architecture == "tokentransformer":
        part = Split.of_arrays(*rng.integers(0, outputs, (2, count, *shape)))
        return Dataset(
            name="few", train=part, test=part, task="tokens", classes=tuple(map(str, range(outputs)))
        )
    if family.recipe.loss == "squared":
        targets = rng.standard_normal(count).astype(np.float32)
        part = Split.of_arrays(rng.standard_normal((count, *shape)).astype(np.float32), targets)
        return Dataset(name="few", train=part, test=part, task="regression", classes=())
    if outputs == 1:
        labels = np.where(np.arange(count) % 2, 1, -1).astype(np.float32)
        part = Split.of_arrays(rng.standard_normal((count, *shape)).astype(np.float32), labels)
        return Dataset(name="few", train=part, test=part, task="parity", classes=("even", "odd"))
    if len(shape) < 3:
        vectors = rng.standard_normal((count, *shape)).astype(np.float32)
        part = Split.of_arrays(vectors, np.arange(count, dtype=np.int64) % outputs)
        classes = tuple(map(str, range(outputs)))
        return Dataset(name="few", train=part, test=part, task="classification", classes=classes)
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    part = Split.of_arrays(images, np.arange(count, dtype=np.int64) % outputs)
    return Dataset.of_images("few", part, part, classes=tuple(map(str, range(outputs))))


@pytest.mark.parametrize("family", MINI)
def test_every_network_is_built_at_its_real_size(family):
    for factor in family.widths:
        with torch.device("meta"):
            network = models.build(
                family.architecture,
                width=factor,
                inputs=SHAPES[family.data],
                outputs=OUTPUTS[family.data],
                **family.kwargs,
            )
        readout = network.get_submodule(network.readout_layer)
        assert (
            network.feature_width == readout.in_features == LAST[family.architecture](factor, **family.kwargs)
        )
        assert readout.out_features == OUTPUTS[family.data]


@pytest.mark.parametrize("family", MINI)
def test_the_smallest_network_takes_a_step_of_its_recipe(family):
    recipe = family.recipe_for(family.widths[0]).changed(epochs=1, snapshots=(), warmup=0, online=False)
    data = few_samples(family, min(recipe.batch, 16))
    torch.manual_seed(0)
    network = models.build(
        family.architecture,
        width=family.widths[0],
        inputs=SHAPES[family.data],
        outputs=OUTPUTS[family.data],
        **family.kwargs,
    )
    before = [parameter.detach().clone() for parameter in network.parameters()]
    trained = train(network, data, recipe, seed=0, device=torch.device("cpu"))
    assert np.isfinite(trained.history[-1].loss)
    assert any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize("family", SHIPPED)
def test_ids_are_unique_ascii_and_carry_family_data_width_and_seed(family):
    specs = list(family.all_specs())
    assert len({spec.id for spec in specs}) == len(specs)
    for spec in specs:
        assert spec.id.isascii()
        assert spec.id.startswith(f"{family.name}-{family.data}-")
        assert spec.id.endswith(f"-w{spec.width:g}-s{spec.seed}")


@pytest.mark.parametrize("family", SHIPPED)
def test_a_variant_changes_its_fields_alone_and_pairs_with_plain_networks(family):
    plain = set(family.specs())
    for name, variant in family.variants.items():
        for spec in family.specs(name):
            assert variant.parts or family.spec(spec.width, spec.seed) in plain
            base = family.recipe_for(spec.width).model_dump()
            changed = {field for field, value in spec.recipe.model_dump().items() if value != base[field]}
            assert changed <= set(variant.changes)
            assert changed or variant.kwargs or variant.parts


def test_the_papers_recipes_differ_by_width_where_the_paper_says_so():
    wrn = {family.id: family for family in families("paper")}
    cifar10, cifar100 = wrn["wrn28-cifar10"], wrn["wrn28-cifar100"]
    assert [cifar10.recipe_for(n).label_smoothing for n in cifar10.widths] == [0.1, 0.1, 0.1, 0.1, 0, 0]
    assert [cifar100.recipe_for(n).label_smoothing for n in cifar100.widths] == [0.1, 0.07, 0.05, 0, 0]
    assert [cifar100.recipe_for(n).weight_decay for n in cifar100.widths] == [10e-4, 7e-4, 5e-4, 5e-4, 5e-4]


RECIPE = Recipe(epochs=2, batch=4, optimizer="sgd", lr=0.1)
FAMILY = Family(
    name="toy",
    architecture="fc5",
    data="pdigits",
    scale="mini",
    widths=(2, 4),
    seeds=2,
    widest_seeds=3,
    recipe=RECIPE,
    variants={"calm": Variant(changes={"lr": 0.01}, widths=(4,), seeds=1, why="test")},
    source="test",
)


def test_the_widest_may_have_more_seeds():
    assert [spec.id for spec in FAMILY.specs()] == [
        "toy-pdigits-w2-s0",
        "toy-pdigits-w2-s1",
        "toy-pdigits-w4-s0",
        "toy-pdigits-w4-s1",
        "toy-pdigits-w4-s2",
    ]
    assert [spec.id for spec in FAMILY.specs("calm")] == ["toy-pdigits-calm-w4-s0"]


def test_an_unknown_variant_or_a_bad_change_is_refused():
    with pytest.raises(UsageError, match=r"no variant 'wild'; it has \['calm'\]"):
        FAMILY.specs("wild")
    with pytest.raises(ValidationError, match="learning_rate"):
        FAMILY.recipe.changed(learning_rate=1)
    with pytest.raises(ValidationError, match="lie outside"):
        RECIPE.changed(snapshots=(3,))
    with pytest.raises(ValidationError, match="belongs to cross-entropy"):
        RECIPE.changed(loss="squared-hinge", label_smoothing=0.1)


STACKED = Family(
    name="fc5",
    architecture="fc5",
    data="pdigits",
    scale="mini",
    widths=(4, 8, 16),
    seeds=6,
    widest_seeds=45,
    stacked=16,
    source="none",
    recipe=Recipe(epochs=1, batch=8, optimizer="sgd", lr=0.1, loss="squared-hinge"),
    variants={"thirds": Variant(widths=(8, 32), seeds=5, parts=3, why="a control")},
)


@pytest.mark.parametrize(
    ("spec", "together"),
    [
        (STACKED.spec(4, 3), range(6)),
        (STACKED.spec(16, 3), range(10)),
        (STACKED.spec(16, 39), range(30, 40)),
        (STACKED.spec(16, 44), range(40, 45)),
        (STACKED.spec(4, 6), [6]),
        (STACKED.spec(8, 4, "thirds"), range(5)),
        (STACKED.spec(32, 4, "thirds"), [4]),
    ],
    ids=lambda value: getattr(value, "id", None),
)
def test_blocks_are_the_declared_seeds_of_a_width_ten_at_a_time(spec, together):
    assert spec.together == tuple(together)
    assert [one.seed for one in spec.block] == list(together)
    assert spec in spec.block
    alone = STACKED.model_copy(update={"stacked": None}).spec(spec.width, spec.seed, spec.variant)
    assert alone.together == (spec.seed,)


def test_seeds_go_through_the_parts_of_one_partition_after_another():
    assert [spec.part for spec in STACKED.specs("thirds")[:5]] == [
        (0, 3, 0),
        (1, 3, 0),
        (2, 3, 0),
        (0, 3, 1),
        (1, 3, 1),
    ]
    assert STACKED.spec(4, 0).part is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"recipe": STACKED.recipe.changed(augmentation={"crop": 1})},
            "stacked=16 takes in width 4, .* augment",
        ),
        ({"per_width": {8: {"precision": "bf16"}}}, "takes in width 8, whose recipe has bf16"),
        (
            {"variants": {"many": Variant(changes={"accumulate": 2}, widths=(4,), seeds=1, why="none")}},
            "takes in width 4, whose recipe has accumulation",
        ),
    ],
)
def test_a_family_whose_recipes_cannot_be_stacked_is_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        Family(**{**STACKED.model_dump(), **changes})
    Family(**{**STACKED.model_dump(), **changes, "stacked": None})
    Family(**{**STACKED.model_dump(), **changes, "stacked": 2})
