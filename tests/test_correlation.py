"""Correlations against scipy, alpha against the krippendorff package and the published example, pairs by plain loops."""

from __future__ import annotations

import itertools
import math

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.correlation import COEFFICIENTS, LEVELS, Resamples, correlations, krippendorff_alpha, row_correlations

SCIPY = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}
PAIRS = ("pairwise_accuracy", "pairwise_accuracy_half", "pairwise_accuracy_eq", "ties_x", "ties_y", "pairs", "decided")


def by_loops(x, y, owners=None):
    """Everything about pairs, of items with different owners (a copy makes no pair with its original)."""
    owners = range(len(x)) if owners is None else owners
    right = half = decided = alike = tied_x = tied_y = every = 0
    for i, j in itertools.combinations(range(len(x)), 2):
        if owners[i] == owners[j]:
            continue
        a, b = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
        every += 1
        decided += b != 0
        right += b != 0 and a == b
        half += (1 if a == b else 0.5 if a == 0 else 0) if b != 0 else 0
        alike += a == b
        tied_x += a == 0
        tied_y += b == 0
    parts = ((right, decided), (half, decided), (alike, every), (tied_x, every), (tied_y, every))
    shares = [part / whole if whole else math.nan for part, whole in parts]
    return dict(zip(PAIRS, [*shares, every, decided], strict=True))


def by_scipy(x, y):
    if len(x) < 2 or min(x) == max(x) or min(y) == max(y):
        return dict.fromkeys(SCIPY, math.nan)
    return {name: function(x, y).statistic for name, function in SCIPY.items()}


def check(found, expected, row=0):
    for name, value in expected.items():
        assert found[name][row] == pytest.approx(value, abs=1e-12, nan_ok=True), name


def tied_columns(seed, n, kinds=4):
    random = np.random.default_rng(seed)
    x = random.integers(0, kinds, n).astype(float)
    return x, x * 0.3 + random.integers(0, kinds, n)


numbers = st.integers(-3, 3).map(float) | st.floats(-1e6, 1e6).map(lambda v: round(v, 6))
columns = st.lists(st.tuples(numbers, numbers), min_size=0, max_size=25)


@settings(max_examples=200, deadline=None)
@given(columns)
def test_equal_to_scipy_and_to_loops(pairs):
    x, y = ([p[k] for p in pairs] for k in (0, 1))
    check(correlations(x, y), by_scipy(x, y) | by_loops(x, y))
    if pairs:
        check(row_correlations(np.array([x]), np.array([y])), by_scipy(x, y) | by_loops(x, y))


@pytest.mark.parametrize("size", [2, 3, 7, 64, 65, 200])
def test_rows_by_themselves(size):
    """Both ways in which rows are counted: all pairs at once, and (longer rows) by sorting."""
    x, y = (np.array(c) for c in zip(*(tied_columns(seed, size) for seed in range(6)), strict=True))
    found = row_correlations(x, y)
    for row in range(6):
        check(found, by_scipy(x[row], y[row]) | by_loops(x[row], y[row]), row)


@pytest.mark.parametrize(("kinds_x", "kinds_y"), [(3, 1000), (1000, 3), (1000, 1000), (2, 2)])
def test_long_columns_with_few_and_with_many_ties(kinds_x, kinds_y):
    random = np.random.default_rng(2)
    x, y = random.integers(0, kinds_x, 700) * 1.0, random.integers(0, kinds_y, 700) * 1.0
    check(correlations(x, y), by_scipy(x, y) | by_loops(x, y))


def test_a_worked_example():
    """Six pairs: three in order, one tied by x, one by y, one turned round."""
    found = correlations([1, 2, 2, 3], [1, 3, 4, 3])
    assert found["pairs"][0] == 6
    assert found["decided"][0] == 5
    assert found["pairwise_accuracy"][0] == 3 / 5
    assert found["pairwise_accuracy_half"][0] == 3.5 / 5
    assert found["pairwise_accuracy_eq"][0] == 3 / 6
    assert (found["ties_x"][0], found["ties_y"][0]) == (1 / 6, 1 / 6)
    assert found["kendall"][0] == pytest.approx((3 - 1) / 5)


@pytest.mark.parametrize("x", [[], [1.0], [2.0, 2.0, 2.0]])
def test_what_does_not_vary_correlates_with_nothing(x):
    found = correlations(x, list(range(len(x))))
    assert all(np.isnan(found[name][0]) for name in SCIPY)
    assert not np.isfinite(found["pairwise_accuracy"][0]) or found["pairwise_accuracy"][0] == 0


@pytest.mark.parametrize("constant", [0.1, 1e-300, 1e300, -7.3])
def test_a_constant_that_binary_numbers_cannot_hold_is_constant(constant):
    found = correlations([constant] * 7, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert np.isnan([found[name][0] for name in SCIPY]).all()


@pytest.mark.parametrize("scale", [1e-200, 1e-5, 1e150])
def test_scale_and_offset_change_no_correlation(scale):
    x, y = tied_columns(5, 40, kinds=30)
    plain, scaled = correlations(x, y), correlations(x * scale, y + 1e6)
    for name in COEFFICIENTS:
        assert scaled[name][0] == pytest.approx(plain[name][0], abs=1e-9)


def test_neighbouring_numbers_lie_on_a_line_like_any_two():
    """Their mean is one of the two, so that they do not lie about it."""
    x = [0.75, 0.7500000000000001]
    for y, expected in (([1.0, 2.0], 1.0), ([2.0, 1.0], -1.0)):
        assert correlations(x, y)["pearson"][0] == pytest.approx(expected, abs=1e-12)
        for one, other in ((x, y), (y, x)):
            assert row_correlations(np.array([one]), np.array([other]))["pearson"][0] == pytest.approx(
                expected, abs=1e-12
            )


@pytest.mark.filterwarnings("error")
def test_huge_numbers_do_not_overflow():
    x, y = np.array([1.0, -1.0, 0.5, 0.9, 0.8]), np.array([2.0, -1.0, 1.0, 1.9, 2.0])
    expected = by_scipy(x, y) | by_loops(x, y)
    check(correlations(x * 1.7e308, y), expected)
    check(row_correlations(np.array([x * 1.7e308]), np.array([y * 8e307])), expected)
    ratings = np.stack([x, y / 2], axis=1)
    plain = krippendorff_alpha(ratings, "interval")[0]
    assert krippendorff_alpha(ratings * 1.7e308, "interval")[0] == pytest.approx(plain, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(columns)
def test_swapping_and_turning_round(pairs):
    x, y = (np.array([p[k] for p in pairs]) for k in (0, 1))
    found, swapped, turned = correlations(x, y), correlations(y, x), correlations(-x, y)
    for name in SCIPY:
        assert swapped[name][0] == pytest.approx(found[name][0], abs=1e-12, nan_ok=True)
        assert turned[name][0] == pytest.approx(-found[name][0], abs=1e-12, nan_ok=True)
    assert swapped["ties_y"][0] == pytest.approx(found["ties_x"][0], nan_ok=True)
    assert swapped["pairwise_accuracy_eq"][0] == pytest.approx(found["pairwise_accuracy_eq"][0], nan_ok=True)
    if found["decided"][0]:
        assert turned["pairwise_accuracy_half"][0] == pytest.approx(1 - found["pairwise_accuracy_half"][0])


@pytest.mark.parametrize("order", range(3))
def test_the_order_of_items_changes_nothing_of_ranks_and_pairs(order):
    x, y = tied_columns(6, 90)
    places = np.random.default_rng(order).permutation(90)
    found, moved = correlations(x, y), correlations(x[places], y[places])
    for name in (*COEFFICIENTS, *PAIRS):
        assert moved[name][0] == pytest.approx(found[name][0], abs=1e-14), name


# Resamples


def test_each_resample_is_what_scipy_says_of_the_items_drawn():
    x, y = tied_columns(3, 30)
    clusters = np.arange(30) // 3
    resamples = Resamples.draw(10, 40, seed=5)
    found = correlations(x, y, resamples, clusters)
    for row, counts in enumerate(resamples.counts.astype(int)):
        drawn = np.repeat(np.arange(30), counts[clusters])
        check(found, by_scipy(x[drawn], y[drawn]) | by_loops(x[drawn], y[drawn], drawn), row)


def test_a_resample_that_drew_nothing_that_varies_has_no_value():
    found = correlations([1, 2, 2], [1, 1, 2], Resamples(np.array([[1, 1, 1], [0, 3, 0], [0, 1, 1], [1, 0, 1.0]])))
    assert np.isfinite(found["pearson"]).tolist() == [True, False, False, True]
    assert np.isfinite(found["kendall"]).tolist() == [True, False, False, True]
    assert np.isfinite(found["spearman"]).tolist() == [True, False, False, True]


def test_draws_are_with_replacement_the_same_each_time_and_each_once_at_first():
    one, other = Resamples.draw(50, 300, seed=1), Resamples.draw(50, 300, seed=2)
    assert one.counts.tolist() == Resamples.draw(50, 300, seed=1).counts.tolist()
    assert one.counts.tolist() != other.counts.tolist()
    assert one.counts[0].tolist() == [1.0] * 50
    assert (one.counts.sum(axis=1) == 50).all()
    left_out = (one.counts[1:] == 0).mean()
    assert left_out == pytest.approx((1 - 1 / 50) ** 50, abs=0.02)
    assert len(Resamples.draw(0, 3)) == 4


def test_blocks_change_no_bit(monkeypatch):
    x, y = tied_columns(8, 60)
    values = np.random.default_rng(3).integers(0, 4, (60, 3)).astype(float)
    resamples = Resamples.draw(60, 50)
    whole = correlations(x, y, resamples)
    alphas = [krippendorff_alpha(values, level, resamples).tolist() for level in LEVELS]
    rows = row_correlations(x.reshape(6, 10), y.reshape(6, 10))
    monkeypatch.setattr("harness.correlation._BLOCK_CELLS", 130)
    for name, found in correlations(x, y, resamples).items():
        assert found.tolist() == whole[name].tolist(), name
    assert [krippendorff_alpha(values, level, resamples).tolist() for level in LEVELS] == alphas
    for name, found in row_correlations(x.reshape(6, 10), y.reshape(6, 10)).items():
        assert found.tolist() == rows[name].tolist()


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(7)
    truth, hits = 0.6, 0
    for trial in range(200):
        x = random.normal(size=50)
        y = truth * x + math.sqrt(1 - truth**2) * random.normal(size=50)
        drawn = correlations(x, y, Resamples.draw(50, 200, seed=trial))["pearson"][1:]
        low, high = np.percentile(drawn, [2.5, 97.5])
        hits += low <= truth <= high
    # nominal 0.95; a percentile interval of a correlation at n = 50 has about 0.93, three standard errors below are 0.875
    assert 0.87 <= hits / 200 <= 0.99


@pytest.mark.slow
def test_six_thousand_items_and_a_thousand_resamples_take_a_moment():
    import time

    random = np.random.default_rng(0)
    x, y = random.random(6000), random.integers(0, 13, 6000) / 3
    start = time.perf_counter()
    correlations(x, y, Resamples.draw(6000, 1000))
    assert time.perf_counter() - start < 10  # 0.5 s where nothing else runs


# Krippendorff's alpha

PUBLISHED = np.array(  # four observers, twelve units: Krippendorff 2011, section C
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, np.nan, np.nan, np.nan],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, np.nan, 3],
        [np.nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, np.nan],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, np.nan],
    ]
).T


@pytest.mark.parametrize(("level", "value"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_the_published_example(level, value):
    assert krippendorff_alpha(PUBLISHED, level)[0] == pytest.approx(value, abs=5e-4)


def oracle(values, level):
    pairable = values[np.isfinite(values).sum(axis=1) > 1]
    if not len(pairable) or len(np.unique(pairable[np.isfinite(pairable)])) < 2:
        return math.nan
    return krippendorff.alpha(values.T, level_of_measurement=level)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda raters: st.lists(
            st.lists(st.none() | st.sampled_from([0.0, 1.0, 1.5, 2.0, 4.0]), min_size=raters, max_size=raters),
            min_size=1,
            max_size=12,
        )
    ),
    st.sampled_from(LEVELS),
)
def test_alpha_is_that_of_the_krippendorff_package(rows, level):
    values = np.array([[np.nan if v is None else v for v in row] for row in rows])
    assert krippendorff_alpha(values, level)[0] == pytest.approx(oracle(values, level), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("level", LEVELS)
def test_each_resample_of_alpha_is_that_of_the_units_drawn(level):
    random = np.random.default_rng(1)
    values = random.integers(0, 4, (20, 3)).astype(float)
    values[random.random(values.shape) < 0.25] = np.nan
    clusters = np.arange(20) // 2
    resamples = Resamples.draw(10, 25, seed=3)
    found = krippendorff_alpha(values, level, resamples, clusters)
    for row, counts in enumerate(resamples.counts.astype(int)):
        drawn = np.repeat(np.arange(20), counts[clusters])
        assert found[row] == pytest.approx(oracle(values[drawn], level), abs=1e-12, nan_ok=True)


def test_alpha_of_raters_who_always_agree_is_one_and_of_nothing_none():
    same = np.repeat([[1.0], [2.0], [5.0]], 3, axis=1)
    for level in LEVELS:
        assert krippendorff_alpha(same, level)[0] == 1.0
        assert np.isnan(krippendorff_alpha(np.full((3, 2), np.nan), level)[0])
        assert np.isnan(krippendorff_alpha(np.ones((3, 2)), level)[0])
        assert np.isnan(krippendorff_alpha(np.empty((0, 2)), level)[0])
