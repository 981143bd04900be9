"""Logs made ready: repeats, gaps, spikes, blocks."""

from __future__ import annotations

import numpy as np
import pytest

from diagnostics.blocks import MAX_BLOCKS, Blocks, blocks


def ready(steps: list[int] | np.ndarray, values: list[float] | np.ndarray) -> Blocks:
    return blocks(np.asarray(steps), [np.asarray(values, dtype=float)], 1.0)


def test_the_last_write_of_a_step_wins_and_an_abandoned_branch_is_dropped() -> None:
    found = ready([1, 2, 3, 4, 5, 3, 4], [1, 2, 30, 40, 50, 3, 4])
    assert found.steps.tolist() == [1, 2, 3, 4]
    assert found.table.tolist() == [[1, 2, 3, 4]]


def test_steps_in_no_order_are_sorted() -> None:
    found = ready([5, 4, 3, 2, 1, 1], [5, 4, 3, 2, 1, 10])
    assert found.steps.tolist() == [1, 2, 3, 4, 5]
    assert found.table[0].tolist() == [10, 2, 3, 4, 5]


def test_gaps_are_counted_among_the_rows_kept() -> None:
    found = ready([1, 2, 3], [1, np.nan, np.inf])
    assert found.gaps.tolist() == [False, True, True]
    assert found.points == 1


def test_an_isolated_spike_is_clipped_and_two_in_a_row_are_not() -> None:
    values = np.random.default_rng(0).normal(0, 1, 100)
    values[50] += 40
    found = ready(np.arange(100), values)
    assert np.flatnonzero(found.spikes).tolist() == [50]
    assert abs(found.table[0, 50]) < 5
    values[51] += 40
    assert ready(np.arange(100), values).table[0, 50] == values[50]


def test_a_slope_however_steep_is_no_spike() -> None:
    rng = np.random.default_rng(0)
    steep = 100 * np.linspace(0, 1, 60) ** 2 + 0.01 * rng.standard_normal(60)
    assert not ready(np.arange(60), steep).spikes.any()


@pytest.mark.parametrize("points", [1, 199, 200, 201, 399, 401, 12_345])
def test_blocks_keep_every_point_once_and_stay_few(points: int) -> None:
    values = np.random.default_rng(1).standard_normal(points)
    steps = np.arange(points) * 3
    found = ready(steps, values)
    assert len(found.place) <= MAX_BLOCKS
    sizes = np.searchsorted(steps, found.last, side="right") - np.searchsorted(steps, found.first)
    assert sizes.sum() == points
    assert sizes @ found.values[:, 0] == pytest.approx(found.table[0].sum(), abs=1e-9)
    assert max(sizes) <= 2 * min(sizes)


def test_nothing_gives_no_blocks() -> None:
    assert ready([], []).points == 0
    assert ready([], []).values.shape == (0, 1)
