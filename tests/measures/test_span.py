import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from netprops.errors import MeasurementError, UsageError
from netprops.measures.span import feature_span, residual_features, seeds_and_samples, span_gap


def again(seed=1):
    return np.random.default_rng(seed)


def linear(rng, n=1000, sources=10, targets=8, noise=0.5):
    """Targets that are linear in the sources but for independent noise of a known share of their variance."""
    x = rng.standard_normal((n, sources))
    y = x @ np.linalg.qr(rng.standard_normal((sources, sources)))[0][:, :targets]
    y = y + noise * rng.standard_normal(y.shape)
    return x.astype(np.float32), y.astype(np.float32)


def by_scikit_learn(x, y, span):
    """Validation errors by one Ridge a half and strength, with rows and halves as the span has them."""
    rows = span.held_out.rows
    fit = np.setdiff1d(np.arange(len(x)), rows)
    mean, spread = x[fit].mean(axis=0, dtype=float), x[fit].std(axis=0, dtype=float)
    z = (x - mean) / spread
    missed = np.zeros(y.shape[1])
    order = again().permutation(len(x))[: len(rows)]
    for half, strength in zip((order[::2], order[1::2]), span.strengths, strict=False):
        model = Ridge(alpha=strength).fit(z[fit], y[fit].astype(float))
        missed += ((y[half] - model.predict(z[half])) ** 2).sum(axis=0)
    return missed / ((y[rows] - y[rows].mean(axis=0, dtype=float)) ** 2).sum(axis=0)


def test_the_error_is_the_share_of_noise():
    x, y = linear(np.random.default_rng(0), n=6000, noise=0.5)
    span = feature_span(x[:4000], y[:4000], test_sources=x[4000:], test_targets=y[4000:], rng=again())
    truth = 0.25 / 1.25
    for found, rows in ((span.validation, 800), (span.test, 2000)):
        assert found.low < truth < found.high
        assert found.high - found.low < 0.02
        assert found.n == rows
    assert span.per_target == pytest.approx(truth, abs=0.05)
    assert span.per_target.mean() == pytest.approx(span.validation.value)
    assert span.test_per_target.mean() == pytest.approx(span.test.value)
    assert span.without_outliers.value == span.validation.value


def test_a_network_that_holds_the_targets_spans_them_and_noise_spans_nothing():
    rng = np.random.default_rng(1)
    x, y = linear(rng, noise=0)
    assert feature_span(x, y, rng=again()).validation.value < 1e-5
    assert feature_span(np.concatenate([x, y**2], axis=1), y, rng=again()).validation.value < 1e-5
    unrelated = rng.standard_normal((1000, 200)).astype(np.float32)
    found = feature_span(unrelated, y, rng=again()).validation
    assert 0.98 < found.value < 1.03


def test_errors_are_those_of_scikit_learn():
    rng = np.random.default_rng(2)
    x, y = linear(rng, n=300, sources=40)
    y[:, 0] = np.maximum(x[:, 0] * x[:, 1], 0)
    span = feature_span([x[:, :15], x[:, 15:]], y, rng=again())
    np.testing.assert_allclose(span.per_target, by_scikit_learn(x, y, span), rtol=1e-8)
    assert span.outliers == ()


def test_each_half_is_scored_with_the_strength_that_the_other_chose():
    rng = np.random.default_rng(3)
    x, y = linear(rng, n=60, sources=30, noise=2.0)
    grid = np.geomspace(1e-2, 1e4, 25)
    span = feature_span(x, y, strengths=grid, rng=again())
    order = again().permutation(60)[:12]
    fit = np.setdiff1d(np.arange(60), order)
    z = (x - x[fit].mean(axis=0, dtype=float)) / x[fit].std(axis=0, dtype=float)
    weights = 1 / (48 * y[fit].var(axis=0, dtype=float) + 12 * y[order].var(axis=0, dtype=float))
    losses = [
        [
            ((y[half] - Ridge(alpha=s).fit(z[fit], y[fit].astype(float)).predict(z[half])) ** 2).sum(axis=0)
            @ weights
            for s in grid
        ]
        for half in (order[1::2], order[::2], order)
    ]
    assert span.strengths == tuple(grid[np.argmin(loss)] for loss in losses)
    assert span.strengths[0] != span.strengths[1]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-5, 5))
def test_units_origins_and_order_of_features_change_nothing(seed, factor, shift):
    rng = np.random.default_rng(seed)
    x, y = (one.astype(np.float64) for one in linear(rng, n=80))
    order = rng.permutation(8)
    first = feature_span(x, y, rng=again(seed))
    second = feature_span(factor * x[:, ::-1] + shift, (y / factor - shift)[:, order], rng=again(seed))
    np.testing.assert_allclose(second.per_target, first.per_target[order], rtol=1e-6)
    np.testing.assert_allclose(second.influence, first.influence, atol=1e-6)
    assert second.validation.high == pytest.approx(first.validation.high, rel=1e-6)


def test_dead_features_are_dropped_and_counted():
    x, y = linear(np.random.default_rng(4), n=200)
    plain = feature_span(x, y, rng=again())
    wide = np.concatenate([np.full((200, 2), 0.1, np.float32), x], axis=1)
    more = np.concatenate([y, np.full((200, 3), 0.1, np.float32)], axis=1)
    once = np.zeros((200, 2), dtype=np.float32)
    once[plain.held_out.rows[0], 0] = 1  # varies on held-out rows alone
    once[np.setdiff1d(np.arange(200), plain.held_out.rows)[0], 1] = 1  # on fit rows alone
    span = feature_span(wide, np.concatenate([more, once], axis=1), rng=again())
    assert (span.dead_regressors, span.dead_targets) == (2, 5)
    np.testing.assert_allclose(span.per_target[:8], plain.per_target, rtol=1e-9)
    assert np.isnan(span.per_target[8:]).all()
    assert span.validation.value == pytest.approx(plain.validation.value)


def test_an_outlier_is_listed_and_the_mean_given_without_it():
    rng = np.random.default_rng(5)
    x, y = linear(rng, n=600)
    other = y[400:].copy()
    other[:, 3] = 0.01 * rng.standard_normal(200)
    span = feature_span(x[:400], y[:400], test_sources=x[400:], test_targets=other, rng=again())
    assert span.outliers == ()
    assert span.tested.outliers == (3,)
    assert span.test.value > 100
    rest = np.delete(span.test_per_target, 3).mean()
    assert span.tested.without_outliers.value == pytest.approx(rest)
    assert span.tested.without_outliers.high < 0.4
    with pytest.raises(MeasurementError, match="every target is dead or an outlier, with an error above 5"):
        feature_span(x[:400], y[:400], test_sources=x[400:], test_targets=other[:, [3] * 8], rng=again())


def test_intervals_hold_for_other_test_rows():
    rng = np.random.default_rng(6)
    x, y = linear(rng, n=40_000, sources=6, targets=5)
    y = y + (0.3 * x[:, :1] ** 3 / 4)  # heavier tails than the normal
    train = (x[:300], y[:300])
    truth = feature_span(*train, test_sources=x[300:], test_targets=y[300:], rng=again()).test.value
    hits = 0
    for start in range(300, 300 + 100 * 150, 150):
        part = slice(start, start + 150)
        found = feature_span(*train, test_sources=x[part], test_targets=y[part], rng=again())
        hits += found.test.low <= truth <= found.test.high
        assert found.test_influence.mean() == pytest.approx(0, abs=1e-12)
    assert hits >= 88  # 95 expected, standard deviation 2.2


def test_an_influence_is_what_a_row_adds_to_the_error():
    x, y = linear(np.random.default_rng(7), n=1300, sources=6, targets=5)
    train = (x[:300], y[:300])
    whole = feature_span(*train, test_sources=x[300:], test_targets=y[300:], rng=again())
    twice = np.concatenate([np.arange(300, 1300), [421]])  # one test row counts twice
    more = feature_span(*train, test_sources=x[twice], test_targets=y[twice], rng=again())
    assert 1001 * (more.test.value - whole.test.value) == pytest.approx(whole.test_influence[121], rel=0.02)


def test_shuffling_closes_the_gap_of_features_that_know_their_training_data():
    rng = np.random.default_rng(8)
    x, y = linear(rng, n=1200, noise=0.0)
    y[800:] += 0.7 * rng.standard_normal((400, 8)).astype(np.float32)
    data = {"test_sources": x[800:], "test_targets": y[800:]}
    regular = feature_span(x[:800], y[:800], **data, rng=again())
    mixed = feature_span(x[:800], y[:800], **data, shuffled=True, rng=again())
    assert regular.test.value - regular.validation.value > 0.2
    assert mixed.validation.value == pytest.approx(mixed.test.value, abs=0.05)
    assert regular.validation.value < mixed.validation.value < regular.test.value
    assert mixed.test.details["shuffled"]
    assert len(mixed.held_out.rows) == 120
    assert len(mixed.tested.rows) == 600
    assert (mixed.tested.rows < 800).sum() == 400
    assert not np.intersect1d(mixed.held_out.rows, mixed.tested.rows).size


def test_equal_generators_give_equal_rows():
    x, y = linear(np.random.default_rng(9), n=100)
    one, two = feature_span(x, y, rng=again(3)), feature_span(x[:, :4], y[:, ::-1], rng=again(3))
    np.testing.assert_array_equal(one.held_out.rows, two.held_out.rows)
    assert not np.array_equal(one.held_out.rows, feature_span(x, y, rng=again(4)).held_out.rows)


def test_residuals_are_what_the_regression_leaves():
    x, y = linear(np.random.default_rng(10), n=500)
    y[:, 2] = 0.5
    train, test = residual_features(
        [x[:400, :4], x[:400, 4:]], y[:400], test_sources=x[400:], test_targets=y[400:], rng=again()
    )
    assert (train.shape, test.shape, train.dtype) == ((400, 8), (100, 8), np.float32)
    span = feature_span(x[:400], y[:400], rng=again())
    rows = np.setdiff1d(np.arange(400), span.held_out.rows)
    mean, spread = x[rows].mean(axis=0, dtype=float), x[rows].std(axis=0, dtype=float)
    model = Ridge(alpha=span.strengths[2]).fit((x[rows] - mean) / spread, y[rows].astype(float))
    np.testing.assert_allclose(test, y[400:] - model.predict((x[400:] - mean) / spread), atol=1e-6)
    assert np.ptp(train[:, 2]) == np.ptp(test[:, 2]) == 0
    share = np.delete(test.var(axis=0) / y[400:].var(axis=0).clip(1e-9), 2)
    assert share == pytest.approx(0.2, abs=0.07)


def test_what_is_spanned_leaves_nothing_for_a_probe_to_see():
    x, y = linear(np.random.default_rng(17), n=500, noise=0)
    both = np.concatenate([x[:, :3], y, y + 0.1 * y**2], axis=1)
    train, test = residual_features(
        x[:400], both[:400], test_sources=x[400:], test_targets=both[400:], rng=again()
    )
    assert not train[:, :11].any()
    assert not test[:, :11].any()
    assert (train[:, 11:].std(axis=0) > 0.01).all()


def pairs(rng, seeds=4, n=400, step=0.2):
    """Spans of wide and narrow networks over the same samples: the narrow ones see each feature less well."""
    hidden = rng.standard_normal((n, 6))
    found = []
    for _ in range(seeds):
        target, wide, narrow = (
            hidden @ rng.standard_normal((6, 12)) + noise * rng.standard_normal((n, 12))
            for noise in (0.3, 0.5, 0.5 + step)
        )
        spans = [feature_span(one.astype("f4"), target.astype("f4"), rng=again()) for one in (narrow, wide)]
        found.append(tuple(spans))
    return found


def test_a_gap_is_the_mean_difference_with_seeds_and_rows_in_its_interval():
    spans = pairs(np.random.default_rng(11))
    gap = span_gap(spans, name="FSG(1/4)")
    values = [a.validation.value - b.validation.value for a, b in spans]
    assert gap.value == pytest.approx(np.mean(values))
    assert gap.low > 0
    assert (gap.n, gap.n_of, gap.name) == (4, "seeds", "FSG(1/4)")
    assert gap.details["samples"] == 80
    assert gap.standard_error >= np.std(values, ddof=1) / 2
    paired = np.mean([a.influence - b.influence for a, b in spans], axis=0)
    assert gap.standard_error >= paired.std(ddof=1) / np.sqrt(80)
    reverse = span_gap([(b, a) for a, b in spans])
    assert (reverse.value, reverse.low) == pytest.approx((-gap.value, -gap.high))


def test_networks_of_one_kind_have_no_gap():
    gaps = [span_gap(pairs(np.random.default_rng(seed), step=0.0)) for seed in range(20)]
    assert sum(one.low <= 0 <= one.high for one in gaps) >= 17
    same = pairs(np.random.default_rng(0), seeds=2)
    none = span_gap([(a, a) for a, _ in same])
    assert (none.value, none.standard_error) == (0, 0)


def test_a_single_pair_has_an_interval_over_rows():
    ((a, b),) = pairs(np.random.default_rng(12), seeds=1)
    gap = span_gap([(a, b)])
    error = (a.influence - b.influence).std(ddof=1) / np.sqrt(80)
    assert gap.standard_error == pytest.approx(error)
    assert (gap.n, gap.n_of) == (80, "samples")
    assert error < np.hypot(a.validation.standard_error, b.validation.standard_error)


def test_spans_of_different_rows_are_not_compared():
    x, y = linear(np.random.default_rng(13), n=100)
    one, two = feature_span(x, y, rng=again(1)), feature_span(x, y, rng=again(2))
    with pytest.raises(MeasurementError, match="scored on different rows; measure all of them on the same"):
        span_gap([(one, two)])
    with pytest.raises(MeasurementError, match="at least one pair of spans"):
        span_gap([])
    with pytest.raises(UsageError, match="no test error; give test_sources"):
        span_gap([(one, one)], part="test")
    with pytest.raises(UsageError, match="'validation' or 'test', got 'train'"):
        span_gap([(one, one)], part="train")


def test_intervals_over_seeds_and_samples_hold_for_others():
    rng = np.random.default_rng(14)
    hits = 0
    for _ in range(200):
        table = (
            0.3
            + 0.1 * rng.standard_normal((4, 1))  # seeds
            + rng.standard_normal((1, 100))  # samples
            + rng.standard_normal((4, 100))
        )
        values = table.mean(axis=1)
        found = seeds_and_samples(values, table - values[:, None], name="FSG")
        hits += found.low <= 0.3 <= found.high
    assert hits >= 180  # 190 expected, standard deviation 3.1


def test_seeds_and_samples_have_the_error_that_was_worked_out_by_hand():
    only_seeds = seeds_and_samples([1.0, 3.0], np.zeros((2, 5)), name="a")
    assert (only_seeds.value, only_seeds.standard_error, only_seeds.df) == pytest.approx((2, 1, 1))
    sample = np.array([1.0, -1.0, 1.0, -1.0, 0.0])
    only_samples = seeds_and_samples([2.0, 2.0], [sample, sample], name="a")
    assert only_samples.standard_error == pytest.approx(np.sqrt(1 / 5))
    assert only_samples.df == pytest.approx(4)
    both = seeds_and_samples([1.0, 3.0], [sample, sample], name="a")
    assert both.standard_error == pytest.approx(np.sqrt(1 + 1 / 5))


def test_bad_values_and_influences_are_named():
    with pytest.raises(MeasurementError, match=r"values \(2,\) and influences \(3, 4\) do not fit"):
        seeds_and_samples([1, 2], np.zeros((3, 4)), name="a")
    with pytest.raises(MeasurementError, match="n at least 2"):
        seeds_and_samples([1, 2], np.zeros((2, 1)), name="a")
    with pytest.raises(MeasurementError, match="a value or an influence is not finite"):
        seeds_and_samples([1, np.nan], np.zeros((2, 4)), name="a")


def test_what_cannot_be_measured_is_named():
    x, y = linear(np.random.default_rng(15), n=50)
    with pytest.raises(MeasurementError, match="sources of 50 samples and targets of 49 samples"):
        feature_span(x, y[:49], rng=again())
    with pytest.raises(MeasurementError, match=r"50 \+ 3 samples and targets of 50 \+ 4 samples"):
        feature_span(x, y, test_sources=x[:3], test_targets=y[:4], rng=again())
    with pytest.raises(MeasurementError, match="40 sources for 40 rows to fit on and 10 held out"):
        feature_span([x] * 4, y, rng=again())
    with pytest.raises(MeasurementError, match="at least 4 held out: give more samples"):
        feature_span(x[:15], y[:15], rng=again())
    with pytest.raises(MeasurementError, match="all 8 targets are dead"):
        feature_span(x, np.full_like(y, 0.1), rng=again())
    with pytest.raises(MeasurementError, match="regressors are constant"):
        feature_span(np.full_like(x, 0.1), y, rng=again())
    with pytest.raises(MeasurementError, match="expected the same features of other samples"):
        feature_span(x, y, test_sources=x[:, 1:], test_targets=y, rng=again())
    broken = y.copy()
    broken[7, 2] = np.inf
    with pytest.raises(MeasurementError, match="feature 2 of row 7 of the targets is inf"):
        feature_span(x, broken, rng=again())


def test_wrong_arguments_are_refused():
    x, y = linear(np.random.default_rng(16), n=50)
    with pytest.raises(UsageError, match="strengths are positive numbers"):
        feature_span(x, y, strengths=[0.0, 1.0], rng=again())
    with pytest.raises(UsageError, match="within \\(0, 1\\), got 1"):
        feature_span(x, y, validation=1.0, rng=again())
    with pytest.raises(UsageError, match="shuffled regression needs test features"):
        feature_span(x, y, shuffled=True, rng=again())
    with pytest.raises(UsageError, match="come together"):
        feature_span(x, y, test_sources=x, rng=again())
