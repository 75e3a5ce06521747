"""FC5 on pMNIST by the earlier protocol at full length, as far as two cores go."""

from netprops import Family, Recipe

FAMILIES = (
    Family(
        name="fc5cosine",
        architecture="fc5",
        data="pmnist",
        scale="paper",
        widths=(16, 32, 64, 128),
        seeds=4,
        recipe=Recipe(
            epochs=5000,
            batch=256,
            optimizer="sgd",
            lr=1e-3,
            momentum=0.9,
            weight_decay=1e-2,
            schedule="cosine",
            loss="squared-hinge",
            snapshots=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 3000, 4000),
        ),
        stacked=128,
        roles=("clones", "snapshots"),
        source="Doimo et al. 2021 (the first version), App. A.1: SGD with momentum and a cosine",
    ),
)
