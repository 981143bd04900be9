"""Looks at a growing log."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.simulator import FLOOR, Nuisance, Segment, simulate
from diagnostics.trends import Direction, pair_trends
from diagnostics.watch import expected_delay, look, watch

TURN = [Segment(0.5, 1.0, -1.0), Segment(1.0, -1.0, -1.0)]


def test_a_turn_is_announced_after_the_rise() -> None:
    log = simulate(np.random.default_rng(0), 300, TURN, Nuisance(noise=0.1))
    *before, last = watch(log.steps, log.chosen, log.rejected, floor=FLOOR)
    assert before[-1].directions == (Direction.UP, Direction.DOWN)
    assert before[-1].step < 0.5 * log.steps[-1]
    assert last.directions == (Direction.DOWN, Direction.DOWN)
    assert 0.5 * log.steps[-1] < last.step < 0.85 * log.steps[-1]
    assert abs(last.phase.start / log.steps[-1] - 0.5) < 0.06


def test_an_alert_uses_nothing_that_came_later() -> None:
    log = simulate(np.random.default_rng(0), 300, TURN, Nuisance(noise=0.1))
    whole = watch(log.steps, log.chosen, log.rejected, floor=FLOOR)
    half = watch(log.steps[:150], log.chosen[:150], log.rejected[:150], floor=FLOOR, looks=10)
    assert half
    assert half[0].phase.start == whole[0].phase.start


def test_one_of_many_looks_needs_more_than_the_only_one() -> None:
    rng = np.random.default_rng(4)
    values = np.linspace(0, 0.45, 60) + 0.2 * rng.standard_normal(60)
    args = (np.arange(60), values, values)
    assert pair_trends(*args, floor=FLOOR).chosen.direction is Direction.UP
    assert look(*args, floor=FLOOR, looks=10_000).chosen.direction is Direction.INCONCLUSIVE


def test_a_flat_or_empty_log_announces_nothing() -> None:
    nothing = np.empty(0)
    assert watch(np.empty(0, int), nothing, nothing, floor=FLOOR) == ()
    flat = simulate(np.random.default_rng(1), 200, nuisance=Nuisance(noise=0.1))
    assert watch(flat.steps, flat.chosen, flat.rejected, flat.chosen, floor=FLOOR) == ()


def test_a_stronger_signal_and_a_known_start_shorten_the_delay() -> None:
    delays = [expected_delay(t) for t in (5, 15, 30, 60)]
    assert delays == sorted(delays, reverse=True)
    assert expected_delay(30, from_zero=True) < expected_delay(30)
    assert expected_delay(0) == 1.0
    assert expected_delay(15, from_zero=True) == pytest.approx(0.35)
