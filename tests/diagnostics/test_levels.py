"""Short logs: the level at the end against a start that is known, and what it must not do."""

from __future__ import annotations

import numpy as np
import pytest

from diagnostics.intervals import Floats
from diagnostics.levels import FEW, with_levels
from diagnostics.trends import Direction, PairTrends, pair_trends

SMOOTH = 0.5 * (1 - np.exp(-np.arange(9) / 3))  # nine records of a saturating rise


def judged(chosen: Floats, rejected: Floats, floor: float = 0.01) -> tuple[PairTrends, PairTrends]:
    """Return the trends of a log without and with the look at its levels."""
    steps = 5 * (1 + np.arange(len(chosen)))
    plain = pair_trends(steps, chosen, rejected, floor=floor)
    return plain, with_levels(plain, (chosen, rejected, chosen - rejected), floor)


def noise(count: int, phi: float, rng: np.random.Generator, grows: bool) -> Floats:
    """Return AR(1) noise of sd 1, or with an sd that grows from a tenth to 1."""
    values = np.empty(count + 50)
    values[0] = rng.standard_normal()
    for i, fresh in enumerate(rng.standard_normal(count + 49), start=1):
        values[i] = phi * values[i - 1] + np.sqrt(1 - phi * phi) * fresh
    return values[50:] * (np.linspace(0.1, 1, count) if grows else 1.0)


def test_a_bend_that_its_trend_cannot_tell_from_wander_is_told_by_its_level() -> None:
    rng = np.random.default_rng(3)
    chosen = SMOOTH + 0.02 * rng.standard_normal(9) * (np.arange(9) > 0)
    rejected = -0.6 * SMOOTH + 0.02 * rng.standard_normal(9) * (np.arange(9) > 0)
    _, seen = judged(chosen, rejected)
    directions = seen.chosen.direction, seen.rejected.direction, seen.margin.direction
    assert directions == (Direction.UP, Direction.DOWN, Direction.UP)
    assert seen.chosen.change.low > 0
    assert seen.chosen.reason is None
    assert seen.rejected.change.value == pytest.approx(rejected[-5:].mean())


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize(("phi", "most"), [(0.0, 0.01), (0.3, 0.01), (0.6, 0.08)])
def test_logs_that_stay_at_the_start_are_seldom_named(phi: float, most: float, grows: bool) -> None:
    rng = np.random.default_rng(11)
    named = 0
    runs = 100
    for run in range(runs):
        count = 6 + run % (FEW - 6)
        plain, seen = judged(noise(count, phi, rng, grows), noise(count, phi, rng, grows))
        fresh = [
            after.direction
            for before, after in ((plain.chosen, seen.chosen), (plain.rejected, seen.rejected))
            if after.direction is not before.direction
        ]
        named += bool(fresh)
    # Two sides a log; three standard deviations above the rate leave room for chance.
    assert named <= runs * most + 3 * np.sqrt(runs * most)


def test_a_log_that_begins_far_from_the_start_is_left_open() -> None:
    late = 0.5 + 0.001 * np.array([0.0, 1, -1, 1, 0, -1, 1, 0])
    plain, seen = judged(late, -late)
    assert seen == plain


def test_what_the_trend_decides_and_longer_logs_are_left_alone() -> None:
    rng = np.random.default_rng(5)
    values = rng.standard_normal(FEW) + 3.0 * (np.arange(FEW) > 0)
    plain, seen = judged(values, -values)
    assert seen == plain


def test_a_level_below_the_floor_is_no_direction() -> None:
    plain, seen = judged(SMOOTH, -SMOOTH, floor=1.0)
    assert seen == plain


def test_gaps_and_constant_logs_raise_nothing() -> None:
    values = np.array([0.0, np.nan, 0.1, 0.1, np.inf, 0.1, 0.1, 0.1, np.nan])
    judged(values, -values)
    judged(np.zeros(9), np.zeros(9))
    judged(np.full(9, np.nan), np.zeros(9))
