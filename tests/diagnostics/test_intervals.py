"""Clustered means, their ratios and fractions, by hand, by property and by coverage."""

from __future__ import annotations

from math import inf, isnan, nan, sqrt

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from diagnostics.intervals import (
    Interval,
    Mean,
    clustered_fraction,
    clustered_mean,
    clustered_ratio,
    fieller,
    in_words,
    number,
    wilson,
)


def test_fieller_solves_the_quadratic_by_hand() -> None:
    # (1 - 2S)^2 = 4 (0.04 - 0.06 S + 0.09 S^2), so 3.64 S^2 - 3.76 S + 0.84 = 0.
    interval = fieller(1.0, 2.0, (0.04, 0.09, 0.03), 2.0)
    assert interval is not None
    assert interval.value == 0.5
    assert interval.low == pytest.approx((3.76 - sqrt(1.9072)) / 7.28)
    assert interval.high == pytest.approx((3.76 + sqrt(1.9072)) / 7.28)


@pytest.mark.parametrize("denominator", [0.0, 0.5, -0.5, nan, inf])
def test_a_ratio_over_a_denominator_within_noise_is_not_reported(denominator: float) -> None:
    assert fieller(1.0, denominator, (0.01, 0.25, 0.0), 1.96) is None


@given(
    st.floats(-10, 10),
    st.floats(0.1, 10),
    st.floats(0, 4),
    st.floats(0, 4),
    st.floats(-0.99, 0.99),
)
def test_fieller_holds_exactly_the_ratios_that_a_t_test_accepts(
    numerator: float, denominator: float, var_n: float, var_d: float, correlation: float
) -> None:
    cov = correlation * sqrt(var_n * var_d)
    interval = fieller(numerator, denominator, (var_n, var_d, cov), 1.96)
    assume(interval is not None)
    assert interval.low <= interval.value + 1e-9
    assert interval.value <= interval.high + 1e-9
    for bound in (interval.low, interval.high):
        spread = var_n - 2 * bound * cov + bound * bound * var_d
        statistic = (numerator - bound * denominator) ** 2
        assert statistic == pytest.approx(1.96**2 * spread, rel=1e-5, abs=1e-5 * (1 + bound**2))


@pytest.mark.parametrize(
    ("fraction", "count", "low", "high"),
    [(0.9, 10, 0.5958, 0.9821), (0.0, 8, 0.0, 3.841459 / 11.841459), (0.5, 100, 0.4038, 0.5962)],
)
def test_wilson_by_hand(fraction: float, count: int, low: float, high: float) -> None:
    interval = wilson(fraction, count)
    assert (interval.low, interval.high) == (
        pytest.approx(low, abs=1e-4),
        pytest.approx(high, abs=1e-4),
    )


def test_wilson_of_nothing_allows_everything() -> None:
    assert (wilson(0.5, 0).low, wilson(0.5, 0).high) == (0.0, 1.0)


def test_a_clustered_variance_by_hand() -> None:
    # Mean 3; the clusters' residuals sum to -2 and +2, each over 4 values, times 2 / (2 - 1).
    mean = clustered_mean(np.array([1.0, 3.0, 2.0, 6.0]), np.array([0, 0, 1, 1]), 2)
    assert mean.value == 3.0
    assert mean.covariance(mean) == pytest.approx(2 * (0.25 + 0.25))
    assert mean.interval.high == pytest.approx(3 + 12.7062047 * 1.0)


def test_clusters_of_one_give_the_ordinary_standard_error() -> None:
    values = np.array([0.3, -1.2, 2.2, 0.9, 0.4])
    mean = clustered_mean(values, np.arange(5), 5)
    assert mean.covariance(mean) == pytest.approx(values.var(ddof=1) / 5)


def test_repeating_every_observation_in_its_cluster_adds_no_certainty() -> None:
    values = np.array([0.3, -1.2, 2.2, 0.9, 0.4])
    once = clustered_mean(values, np.arange(5), 5)
    often = clustered_mean(np.tile(values, 10), np.tile(np.arange(5), 10), 5)
    assert often.interval.low == pytest.approx(once.interval.low)


def test_a_weighted_mean_is_a_ratio_of_sums() -> None:
    mean = clustered_mean(np.array([2.0, 4.0]), np.array([0, 1]), 2, np.array([1.0, 3.0]))
    assert mean.value == 1.5
    # Residuals 2 - 1.5 and 4 - 4.5, over a total weight of 4, times 2.
    assert mean.covariance(mean) == pytest.approx(2 * (0.125**2 + 0.125**2))


def test_non_finite_values_do_not_count() -> None:
    values = np.array([1.0, nan, 3.0, inf])
    mean = clustered_mean(values, np.arange(4), 4)
    assert (mean.value, mean.clusters) == (2.0, 2)


def test_no_value_at_all_is_undefined() -> None:
    interval = clustered_mean(np.array([nan]), np.array([0]), 1).interval
    assert isnan(interval.value)
    assert isnan(interval.low)
    assert not interval.excludes_zero


def test_one_cluster_leaves_the_interval_unbounded() -> None:
    interval = clustered_mean(np.array([1.0, 1.2]), np.array([0, 0]), 1).interval
    assert interval == Interval(1.1, -inf, inf)


def test_a_difference_of_means_is_the_mean_of_paired_differences() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 40))
    left += right
    clusters = np.arange(40) // 2
    difference = clustered_mean(left, clusters, 20) - clustered_mean(right, clusters, 20)
    paired = clustered_mean(left - right, clusters, 20)
    assert difference.interval.low == pytest.approx(paired.interval.low)
    assert difference.interval.high == pytest.approx(paired.interval.high)


def test_means_over_different_clusters_are_independent() -> None:
    values, clusters = np.array([1.0, 2.0, 4.0, nan, nan, nan]), np.arange(6)
    left, right = clustered_mean(values, clusters, 6), clustered_mean(values[::-1], clusters, 6)
    assert left.covariance(right) == 0
    total = left - right
    assert total.covariance(total) == pytest.approx(2 * left.covariance(left))


def test_a_fraction_is_as_uncertain_as_its_clusters() -> None:
    flags = np.array([True, False, True, True, False, True, True, False, True, True])
    once = clustered_fraction(flags, np.arange(10), 10)
    often = clustered_fraction(np.repeat(flags, 20), np.repeat(np.arange(10), 20), 10)
    assert once.low == pytest.approx(wilson(0.7, 9).low)  # the variance divides by 10 - 1
    assert often.low == pytest.approx(once.low)


def test_flags_that_all_agree_count_once_a_cluster() -> None:
    interval = clustered_fraction(np.ones(60, dtype=bool), np.arange(60) // 6, 10)
    assert interval.low == pytest.approx(wilson(1.0, 10).low)


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [
        (-0.312, False, "-0.31"),
        (0.0996, False, "0.10"),
        (0.0123, True, "+0.012"),
        (-0.0001, True, "+0.000"),
        (1234.4, False, "1234"),
        (-1e9, False, "-1.00e+09"),
        (-inf, True, "unbounded"),
        (nan, False, "nan"),
    ],
)
def test_a_number_in_words(value: float, sign: bool, text: str) -> None:
    assert number(value, sign=sign) == text


def test_an_interval_in_words() -> None:
    words = in_words(Interval(-0.6, -0.8, -0.5), sign=True)
    assert words == "-0.60, 95 % -0.80…-0.50"


# Coverage: how often a 95 % interval holds the truth. 1,500 draws: sd 0.6 %.
DRAWS = 1500


def paired_draws(rng: np.random.Generator, prompts: int) -> tuple[Mean, Mean]:
    """Return chosen and rejected of two correlated, skewed pairs to a prompt: 0.3 and -0.5."""
    clusters = np.arange(2 * prompts) // 2
    shared = rng.normal(size=prompts)[clusters]
    skewed = 0.2 * (rng.exponential(size=(2, 2 * prompts)) - 1)
    noise = 0.5 * shared + 0.4 * rng.normal(size=(2, 2 * prompts)) + skewed
    chosen, rejected = (
        clustered_mean(truth + part, clusters, prompts)
        for truth, part in zip((0.3, -0.5), noise, strict=True)
    )
    return chosen, rejected


@pytest.mark.parametrize("prompts", [12, 40])
def test_fieller_covers_the_true_share_in_95_percent(prompts: int) -> None:
    rng = np.random.default_rng(7)
    held = reported = 0
    for _ in range(DRAWS):
        chosen, rejected = paired_draws(rng, prompts)
        interval = clustered_ratio(chosen, chosen - rejected)
        if interval is not None:
            reported += 1
            held += interval.low <= 0.3 / 0.8 <= interval.high
    assert reported > 0.99 * DRAWS
    assert 0.93 <= held / reported <= 0.97


def test_ignoring_the_clusters_would_cover_too_little() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(DRAWS):
        chosen = 0.3 + np.repeat(rng.normal(size=20), 4)
        interval = clustered_mean(chosen, np.arange(80), 80).interval
        held += interval.low <= 0.3 <= interval.high
    assert held / DRAWS < 0.75


@pytest.mark.parametrize("prompts", [10, 50])
def test_a_clustered_mean_covers_the_truth_in_95_percent(prompts: int) -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(DRAWS):
        interval = paired_draws(rng, prompts)[0].interval
        held += interval.low <= 0.3 <= interval.high
    assert 0.93 <= held / DRAWS <= 0.97


def test_a_clustered_fraction_covers_the_truth_in_about_95_percent() -> None:
    rng = np.random.default_rng(5)
    held = 0
    clusters = np.arange(160) // 4
    for _ in range(DRAWS):
        chance = rng.beta(7, 3, size=40)[clusters]
        interval = clustered_fraction(rng.random(160) < chance, clusters, 40)
        held += interval.low <= 0.7 <= interval.high
    assert 0.93 <= held / DRAWS <= 0.97
