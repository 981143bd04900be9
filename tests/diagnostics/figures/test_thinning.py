"""Thinning keeps what the eye must not miss; smoothing is a plain mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.figures.thinning import MAX_POINTS, bucket_size, mean_line, smooth, thin

SERIES = st.lists(
    st.one_of(st.floats(-1e6, 1e6), st.just(float("nan")), st.just(float("inf"))),
    min_size=1,
    max_size=400,
)


def test_every_spike_of_one_step_survives() -> None:
    values = np.zeros(100_000)
    spikes = np.arange(2_500, 100_000, 5_000)
    values[spikes] = np.where(np.arange(len(spikes)) % 2 == 0, 9.0, -9.0)
    steps, kept = thin(np.arange(100_000), values)
    assert len(kept) <= MAX_POINTS
    assert set(spikes) <= set(steps[np.abs(kept) == 9.0])


def test_a_short_series_is_left_as_it_is() -> None:
    steps, kept = thin([1, 2, 5], [0.1, 0.2, 0.3])
    assert steps.tolist() == [1, 2, 5]
    assert kept.tolist() == [0.1, 0.2, 0.3]


def test_a_gap_of_one_step_still_breaks_the_line() -> None:
    values = np.sin(np.arange(10_000) / 100)
    values[4_321] = np.nan
    steps, kept = thin(np.arange(10_000), values)
    assert np.isnan(kept[steps == 4_321]).all()
    assert np.isnan(kept).sum() == 1


def test_infinities_are_gaps_and_never_extremes() -> None:
    values = np.linspace(0, 1, 5_000)
    values[100] = np.inf
    _, kept = thin(np.arange(5_000), values)
    assert not np.isinf(kept).any()


@given(SERIES, st.integers(8, 60))
def test_thinning_keeps_order_bound_ends_and_extremes(values: list[float], limit: int) -> None:
    steps, kept = thin(np.arange(len(values)), values, limit)
    finite = [value for value in values if np.isfinite(value)]
    assert len(kept) <= max(limit, 8)
    assert (np.diff(steps) > 0).all()
    assert steps[0] == 0
    assert steps[-1] == len(values) - 1
    if finite:
        assert np.nanmax(kept) == max(finite)
        assert np.nanmin(kept) == min(finite)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.integers(1, 20))
def test_smoothing_is_the_mean_of_the_neighbours(values: list[float], window: int) -> None:
    found = smooth(values, window)
    for at in range(len(values)):
        near = values[max(0, at - window // 2) : at + (window - 1) // 2 + 1]
        assert found[at] == pytest.approx(np.mean(near), abs=1e-9)


def test_smoothing_does_not_change_its_input() -> None:
    values = np.array([1.0, np.inf, 3.0])
    smooth(values, 3)
    assert np.isinf(values[1])


@given(st.integers(1, 10_000_000), st.integers(1, 2_000))
def test_buckets_cover_all_points_and_are_no_larger_than_half_as_many_again(
    n: int, buckets: int
) -> None:
    size = bucket_size(n, buckets)
    assert size * buckets >= n
    assert size == 1 or 2 * size <= 3 * -(-n // buckets)


def test_what_was_kept_of_a_growing_series_stays_kept() -> None:
    values = np.random.default_rng(0).normal(size=50_000)
    steps = np.arange(len(values))
    before, _ = thin(steps[:49_000], values[:49_000])
    after, _ = thin(steps, values)
    assert set(before[:-5]) <= set(after)


def test_an_infinity_in_a_long_series_does_not_hide_the_spike_beside_it() -> None:
    values = np.zeros(100_000)
    values[50_000], values[50_001] = np.inf, 3.0
    steps, kept = thin(np.arange(100_000), values)
    assert np.isnan(kept[steps == 50_000]).all()
    assert kept[steps == 50_001].tolist() == [3.0]


@pytest.mark.parametrize("gap", [None, np.nan, np.inf])
def test_the_mean_of_a_long_series_is_the_same_at_fewer_places(gap: float | None) -> None:
    values = np.random.default_rng(1).normal(size=30_000)
    if gap is not None:
        values[11_111] = gap
    steps, means = mean_line(np.arange(30_000), values, 1501)
    assert len(steps) <= MAX_POINTS
    assert steps[0] == 0
    assert steps[-1] == 29_999
    assert means == pytest.approx(smooth(values, 1501)[steps], abs=1e-12)


def test_the_mean_over_a_short_window_keeps_its_spikes() -> None:
    values = np.zeros(30_000)
    values[12_345] = 9.0
    _, means = mean_line(np.arange(30_000), values, 3)
    assert means.max() == pytest.approx(3.0)


@pytest.mark.parametrize("window", [3, 1501])
def test_the_mean_of_a_part_does_not_bend_at_its_edges(window: int) -> None:
    values = np.random.default_rng(2).normal(size=30_000)
    steps, means = mean_line(np.arange(30_000), values, window, part=slice(5_000, 25_000))
    assert (steps[0], steps[-1]) == (5_000, 24_999)
    assert means == pytest.approx(smooth(values, window)[steps], abs=1e-12)
