"""Claim: where samples are repeated, or labels are noise, networks of different widths differ more."""

import numpy as np
import pytest

from netprops.measures.consistency import more_consistent
from netprops.measures.initialisations import logit_variance
from netprops.statistics import mean_interval

OFFLINE = "Vyas et al. 2023, section 3.2, Fig. 8 and 19: offline, gaps between widths are larger"
NOISY = "Vyas et al. 2023, Fig. 8 f: with half of the labels drawn at random, variance is much larger"


@pytest.mark.netprops(on="family", families="consistency", variant="offline")
def test_gaps_between_widths_are_larger_offline(family, distances, over_widths, verdict):
    """Networks that see one chunk of the stream again and again differ more across widths than online ones.

    Everything else is equal: steps, batches, seeds. What would count against the claim: distances between
    neighbouring widths that are not larger.
    """
    found, curves = {}, []
    for variant, label in ((None, "online"), ("offline", "offline")):
        widths, found[label] = distances(family, "logits", "successive", variant=variant, like="offline")
        curves.append(
            over_widths(widths, found[label], name=label, y_name="distance of logits", family=family)
        )
    verdict.figure(
        "online-and-offline",
        curves,
        title="Distance of logits between neighbouring widths, online and offline",
        caption="The same number of steps; relative to the spread of the wider network's logits.",
        y_scale="log",
    )
    verdict.expect(
        more_consistent(found["online"], found["offline"], name="distance of logits, online against offline"),
        at_most=0.0,
        source=OFFLINE,
    )


@pytest.mark.netprops(on="family", families="consistency", variant="offline")
def test_training_losses_do_not_agree_offline(family, rows, over_widths, verdict):
    """Offline, training losses of different widths part: the wide ones fall to far smaller numbers.

    Compared are ratios, as the losses come near to 0. What would count against the claim: a ratio of the
    narrowest's to the widest's final loss that is not larger offline than online.
    """
    ratios, curves = {}, []
    for variant, label in ((None, "online"), ("offline", "offline")):
        widths, found = rows(family, "losses", variant=variant, like="offline")
        window = max(1, len(found[0][0]) // 20)
        last = np.array([[np.mean(one[-window:]) for one in row] for row in found])
        ratios[label] = np.log2(last[:, 0]) - np.log2(last[:, -1])
        curves.append(over_widths(widths, last, name=label, y_name="final training loss", family=family))
    verdict.figure(
        "final-losses",
        curves,
        title="Final training loss over width, online and offline",
        caption="Mean over the last twentieth of the steps.",
        y_scale="log",
    )
    verdict.expect(
        mean_interval(
            ratios["offline"] - ratios["online"],
            name="log2 ratio of final losses, narrowest over widest, offline minus online",
            n_of="seeds",
        ),
        at_least=0.0,
        source=OFFLINE,
    )


@pytest.mark.netprops(on="family", families="consistency", variant="noisy")
def test_variance_is_larger_with_noisy_labels(family, rows, verdict):
    """Half of the labels drawn at random, and repeated: first weights decide more of what is answered.

    Against the same offline training with clean labels. What would count against the claim: a variance of
    logits over seeds, relative to their spread, that is not larger.
    """
    variances = {}
    for variant in ("offline", "noisy"):
        widths, logits = rows(family, "logits", variant=variant)
        stacked = np.swapaxes(np.asarray(logits, dtype=np.float64), 0, 1)
        spreads = [float(one.mean(axis=0).var(axis=0).mean()) for one in stacked]
        variances[variant] = np.log2(
            [logit_variance(one).value / spread for one, spread in zip(stacked, spreads, strict=True)]
        )
    difference = variances["noisy"] - variances["offline"]
    verdict.note(
        "Log2 ratio at each width: "
        + ", ".join(f"{width:g}: {value:.2f}" for width, value in zip(widths, difference, strict=True))
    )
    verdict.expect(
        mean_interval(difference, name="log2 ratio of relative variance, noisy over clean", n_of="widths"),
        at_least=0.0,
        source=NOISY,
    )
