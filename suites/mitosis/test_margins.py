"""Claim: margins at the boundary and the noise of chunks decide how the error of chunks falls."""

import pytest

from netprops.errors import UndeterminedError
from netprops.measures.margins import margin_density, predicted_chunk_error

OURS = (
    "the theory is ours: netprops/measures/margins.py; it explains the exponent of Doimo et al. 2022, Fig. 3"
)


def layer_of(subject):
    """Return the features of the test set, the readout and the labels."""
    return subject.features("test"), *subject.readout, subject.labels("test")


def prediction(subject, sizes):
    """Return the error of random chunks that the margins predict."""
    return subject.measured(
        f"predicted-chunk-error-{'-'.join(map(str, sizes))}",
        lambda: predicted_chunk_error(*layer_of(subject), sizes=sizes),
    )


def exponent(subject, sizes):
    """Return the exponent that the margins predict, in words."""
    try:
        found = margin_density(*layer_of(subject), sizes=sizes)
    except UndeterminedError as error:
        return f"The margins determine no exponent: {error}."
    return (
        f"Exponent that the margins predict from W/16 to W/2: {found.exponent}. Asymmetry of the margins "
        f"at the boundary: {found.asymmetry}; 1 would give an exponent of 1/2, 0 one of 1."
    )


@pytest.mark.netprops(on="widest", families="clones", uses="train")
def test_margins_predict_the_error_of_chunks(subject, chunk_errors, clone_size, verdict):
    """The error of random chunks is the one that margins predict, without drawing a single chunk.

    A chunk of w of W neurons adds noise of variance proportional to 1/w - 1/W to the answers, and turns those
    over whose margin is small. Where right answers alone reach the boundary, the error so falls with exponent
    1/2; where right and wrong ones do so equally, with 1: the prediction explains the exponent that is
    measured. Below w* single neurons decide, and noise is not normal: the prediction is held to chunks of
    twice w*, or of half of the layer where that is smaller. What would count against the claim: chunks of
    that size whose mean error on the test set is not the predicted one, within 0.3 percentage points.
    """
    width, errors = subject.width, chunk_errors(subject, "test")
    predicted = prediction(subject, [int(size) for size in errors.x if size >= width / 32])
    verdict.figure(
        "predicted-chunk-error",
        [errors, predicted],
        title="Error of chunks, measured and predicted from margins",
        caption="The prediction knows margins and noise of this network's answers on the test set.",
        y_scale="log",
    )
    verdict.note(
        subject.measured(
            "exponent-of-margins",
            lambda: exponent(subject, [int(w) for w in predicted.x if width / 16 <= w <= width / 2]),
        )
    )
    expect_prediction(errors, predicted, min(2 * clone_size(subject, verdict).value, width / 2), verdict)


@pytest.mark.netprops(on="widest", families="clones")
def test_margins_predict_the_error_of_a_quarter_of_the_layer(subject, chunk_errors, verdict):
    """Margins also predict the error of chunks of a quarter of the layer, whether they are clones or not.

    As above, at a size that may lie below w*. What would count against the claim: chunks of that size whose
    mean error is not the predicted one, within 0.3 percentage points.
    """
    size = subject.width // 4
    expect_prediction(chunk_errors(subject, "test"), prediction(subject, [size]), size, verdict)


def expect_prediction(errors, predicted, wanted, verdict):
    """Expect the measured error of chunks of a size to be the predicted one."""
    size = int(min(size for size in predicted.x if size >= wanted))
    verdict.expect(
        errors.at(size)
        .shifted(-predicted.at(size).value)
        .named(f"error of chunks of {size} minus the predicted one"),
        at_least=-0.003,
        at_most=0.003,
        source=OURS,
        calibration="benchmarks/calibration.md: 0.26 points at most in 50 networks, at 2 w*",
    )
