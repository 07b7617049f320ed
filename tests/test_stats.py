"""Bootstrap intervals, against scipy's definition worked in plain loops and known coverage."""

from __future__ import annotations

import numpy as np

from harness.stats import bootstrap, mean_of, percentile_interval, sum_by


def test_resamples_equal_a_plain_loop():
    matrix = np.array([[3.0, 2.0], [1.0, 1.0], [4.0, 2.0], [0.0, 3.0]])
    found = bootstrap(matrix, mean_of, resamples=50, seed=11)
    rng = np.random.Generator(np.random.PCG64(11))
    expected = []
    for rows in rng.integers(0, 4, size=(50, 4)):
        total = [sum(matrix[r][k] for r in rows) for k in (0, 1)]
        expected.append(total[0] / total[1])
    assert found.tolist() == expected


def test_blocks_change_nothing(monkeypatch):
    matrix = np.random.default_rng(0).random((30, 3))
    whole = bootstrap(matrix, lambda s: s[:, 0], resamples=100, seed=1)
    monkeypatch.setattr("harness.stats._BLOCK_CELLS", 200)
    assert bootstrap(matrix, lambda s: s[:, 0], resamples=100, seed=1).tolist() == whole.tolist()


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(4)
    hits = 0
    for trial in range(300):
        values = rng.normal(size=40)
        low, high = percentile_interval(
            bootstrap(np.stack([values, np.ones(40)], axis=1), mean_of, resamples=300, seed=trial)
        )
        hits += low <= 0 <= high
    # nominal 0.95, a percentile interval at n = 40 has about 0.935; 0.90 is 3 standard errors below that
    assert 0.89 <= hits / 300 <= 0.98


def test_an_interval_of_one_value_is_that_value_and_of_none_is_none():
    assert percentile_interval(np.array([2.0, 2.0])) == (2.0, 2.0)
    assert percentile_interval(np.array([np.nan])) is None


def test_values_that_are_no_numbers_are_left_out():
    assert percentile_interval(np.array([1.0, np.nan, 1.0])) == (1.0, 1.0)


def test_sum_by_cluster():
    rows = np.array([[1.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    assert sum_by(np.array([1.0, 0.0, 1.0]), rows, 3).tolist() == [[2.0, 1.0], [5.0, 2.0], [0.0, 0.0]]


def test_mean_of_nothing_is_nan():
    assert np.isnan(mean_of(np.array([[0.0, 0.0]]))[0])
