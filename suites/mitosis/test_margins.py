"""Claim: margins at the boundary decide with which exponent the error of chunks falls."""

import math
from dataclasses import replace

import pytest

from netprops.measurement import Measurement
from netprops.measures.margins import margin_density
from netprops.measures.scaling import power_law
from netprops.statistics import t_quantile

FIG_3 = "Doimo et al. 2022, Fig. 3 gives 1/2; that margins decide it is ours: netprops/measures/margins.py"


@pytest.mark.netprops(on="widest", families=("clones", "planted-balanced"))
def test_margins_predict_the_exponent_of_chunks(subject, chunk_errors, verdict):
    """The exponent of the chunks' error is the one that the layer's margins and the chunks' noise predict.

    A chunk of w of W neurons adds noise of variance 1/w - 1/W to the answers. Where right answers alone reach
    the boundary, the error then falls with exponent 1/2; where right and wrong ones do so equally, with 1.
    The prediction draws no chunk: it knows the margins and how the neurons' contributions spread. What would
    count against the claim: a measured exponent that differs from the predicted one by more than 0.25.
    """
    width, errors = subject.width, chunk_errors(subject, "test")
    sizes = [int(size) for size in errors.x if width / 16 <= size <= width / 2]
    found = margin_density(subject.features("test"), *subject.readout, subject.labels("test"), sizes=sizes)
    at = [i for i, size in enumerate(errors.x) if size in {*sizes, width}]
    part = replace(
        errors,
        x=errors.x[at],
        y=errors.y[at],
        low=errors.low[at],
        high=errors.high[at],
        replicates=errors.replicates[:, at],
    )
    law = power_law(part, rng=subject.rng("margins"), full_width=width)
    verdict.figure(
        "predicted-chunk-error",
        [part, found.predicted],
        title="Error of chunks, measured and predicted from margins",
        caption=f"Exponent in 1/w - 1/W: measured {law.exponent}, predicted {found.exponent}.",
        y_scale="log",
    )
    verdict.note(
        f"Asymmetry of the margins at the boundary: {found.asymmetry}; 1 would give an exponent of 1/2, "
        "0 one of 1."
    )
    error = math.hypot(law.exponent.standard_error, found.exponent.standard_error)
    value = law.exponent.value - found.exponent.value
    half = t_quantile(0.975, law.exponent.df) * error
    verdict.expect(
        Measurement(
            name="measured minus predicted exponent",
            value=value,
            low=value - half,
            high=value + half,
            standard_error=error,
            df=law.exponent.df,
            n=law.exponent.n,
            n_of=law.exponent.n_of,
            how="difference; errors over chunks and over samples combined",
        ),
        at_least=-0.25,
        at_most=0.25,
        source=FIG_3,
    )
