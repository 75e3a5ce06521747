"""What decides the exponent with which the error of full networks falls with their width.

FC5 on pMNIST, widths 16 to 256, four seeds: the exponent of the test error over that of an ensemble of the
widest, and over a fitted asymptote, after several numbers of epochs of several protocols. Adam has a constant
learning rate, so that one training is measured at many epochs; the cosine of SGD ends with its training.
The data are found through NETPROPS_DATA, the networks go to netprops' cache.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

from netprops import Family, Recipe
from netprops.cache import Cache, default_root
from netprops.companion import spare_cores
from netprops.errors import NetpropsError
from netprops.measurement import Curve
from netprops.measures.chunks import ensemble_error
from netprops.measures.scaling import power_law
from netprops.zoo import Zoo

WIDTHS, SEEDS = (16, 32, 64, 128, 256), 4
EPOCHS = (10, 20, 50, 100, 200)
ADAM = Recipe(epochs=200, batch=256, optimizer="adam", lr=1e-3, loss="squared-hinge", snapshots=EPOCHS)
SGD = Recipe(
    epochs=200, batch=256, optimizer="sgd", lr=1e-3, momentum=0.9, schedule="cosine", loss="squared-hinge"
)
PROTOCOLS = {
    "Adam, no decay": ADAM,
    "Adam, decay 1e-3": ADAM.changed(weight_decay=1e-3),
    "Adam, decay 1e-2": ADAM.changed(weight_decay=1e-2),
    "Adam, decay 1e-2, cosine": ADAM.changed(weight_decay=1e-2, schedule="cosine", snapshots=()),
    "AdamW, decay 1e-2": ADAM.changed(optimizer="adamw", weight_decay=1e-2),
    "SGD, lr 1e-3, decay 1e-2": SGD.changed(weight_decay=1e-2),
    "SGD, lr 1e-1, decay 1e-4": SGD.changed(lr=0.1, weight_decay=1e-4),
    "SGD, lr 1e-1, decay 1e-3": SGD.changed(lr=0.1, weight_decay=1e-3),
}


def declared(recipe):
    """Return the family of one protocol."""
    return Family(
        name="fc5",
        architecture="fc5",
        data="pmnist",
        scale="paper",
        widths=WIDTHS,
        seeds=SEEDS,
        recipe=recipe,
        stacked=128,
        source="benchmarks/exponent.py",
    )


def fitted(curve, asymptote):
    """Return an exponent with its interval as text, or why there is none."""
    try:
        law = power_law(curve, rng=np.random.default_rng(0), asymptote=asymptote)
    except NetpropsError as error:
        return f"none: {type(error).__name__}"
    return f"{law.exponent.value:.2f} [{law.exponent.low:.2f}, {law.exponent.high:.2f}]"


def rows(zoo, protocol, recipe):
    """Yield one line of the table for each number of epochs of a protocol."""
    family = declared(recipe)
    networks = {(spec.width, spec.seed): zoo.subject(spec) for spec in family.specs()}
    for epoch in recipe.snapshots or (recipe.epochs,):
        then = {place: one.at(epoch) for place, one in networks.items()}
        errors = {
            split: np.array([[then[w, s].error(split) for w in WIDTHS] for s in range(SEEDS)])
            for split in ("train", "test")
        }
        widest = [then[WIDTHS[-1], s] for s in range(SEEDS)]
        infinite = ensemble_error([one.logits("test") for one in widest], widest[0].labels("test"))
        curve = Curve(
            name="test error",
            x=WIDTHS,
            y=errors["test"].mean(axis=0),
            low=errors["test"].min(axis=0),
            high=errors["test"].max(axis=0),
            x_name="width W (neurons)",
            y_name="error",
            n=SEEDS,
            n_of="seeds",
            how="mean over seeds",
            replicates=errors["test"],
        )
        excess = " ".join(f"{value:.4f}" for value in curve.y - infinite.value)
        trained = f"{errors['train'][:, -1].mean():.2%}"
        exponents = f"{fitted(curve, infinite)} | {fitted(curve, None)}"
        yield f"| {protocol} | {epoch} | {trained} | {infinite.value:.4f} | {excess} | {exponents} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", dest="only", default="", help="protocols whose name holds this text")
    parser.add_argument("-o", "--out", type=Path, help="write the table to this file as well")
    arguments = parser.parse_args()
    if "NETPROPS_DATA" not in os.environ:
        parser.error("set NETPROPS_DATA to the folder that holds MNIST/raw")
    zoo = Zoo(Cache(default_root()), data_root=Path(os.environ["NETPROPS_DATA"]), companions=spare_cores())
    lines = [
        "| protocol | epochs | training error, W = 256 | error∞ | excess at W = 16, 32, 64, 128, 256 "
        "| exponent over error∞ | exponent, fitted asymptote |",
        "|---|---:|---:|---:|---|---|---|",
    ]
    for protocol, recipe in PROTOCOLS.items():
        if arguments.only in protocol:
            for line in rows(zoo, protocol, recipe):
                print(line, flush=True)
                lines.append(line)
    zoo.close()
    if arguments.out:
        heading = (
            "# What decides the exponent of full networks\n\nMade by `python benchmarks/exponent.py`: FC5 on "
            "pMNIST (10,000 training images), four seeds a width. error∞ is that of the summed logits of the "
            "four networks of width 256; intervals are over seeds.\n\n"
        )
        arguments.out.write_text(heading + "\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
