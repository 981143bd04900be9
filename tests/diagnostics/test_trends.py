"""Rise, fall, flat, cannot tell: single answers, invariances, and input of any shape."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite, isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulator import FLOOR, Nuisance, Segment, SimulatedLog, simulate
from benchmarks.trends import read, signs
from diagnostics.trends import (
    Direction,
    PairTrends,
    Phase,
    Trend,
    fitted,
    pair_trends,
    trend,
)

IDEAL = [Segment(1.0, 1.0, -1.0)]
RISE_THEN_FALL = [Segment(0.4, 1.0, -1.0), Segment(1.0, -1.0, -1.0)]


def log(segments: list[Segment], points: int = 200, seed: int = 0, **how: float) -> SimulatedLog:
    nuisance = replace(Nuisance(noise=0.1, interval=5), **how)
    return simulate(np.random.default_rng(seed), points, segments, nuisance)


def directions(part: PairTrends | Phase) -> tuple[str, str, str]:
    return part.chosen.direction.value, part.rejected.direction.value, part.margin.direction.value


@pytest.mark.parametrize(
    ("chosen", "rejected", "expected"),
    [
        (1.0, -1.0, ("up", "down", "up")),
        (1.0, 0.5, ("up", "up", "up")),
        (-0.5, -1.0, ("down", "down", "up")),
        (-1.0, 1.0, ("down", "up", "down")),
        (0.0, 0.0, ("flat", "flat", "flat")),
        (0.8, 0.0, ("up", "flat", "up")),
    ],
)
def test_a_clear_pair_of_directions_is_named(
    chosen: float, rejected: float, expected: tuple[str, str, str]
) -> None:
    found = read(log([Segment(1.0, chosen, rejected)]))
    assert directions(found) == expected
    assert len(found.phases) == 1
    assert found.chosen.change.low < chosen < found.chosen.change.high
    assert found.rejected.change.low < rejected < found.rejected.change.high


def test_a_turn_is_found_where_it_is_and_phases_cover_all_steps() -> None:
    seen = log(RISE_THEN_FALL)
    found = read(seen)
    first, second = found.phases
    assert directions(first)[:2] == ("up", "down")
    assert directions(second)[:2] == ("down", "down")
    assert first.start == seen.steps[0]
    assert second.end == seen.steps[-1]
    assert second.start - first.end == 5  # neighbouring records
    assert abs(first.end / seen.steps[-1] - 0.4) < 0.03


def test_a_significant_change_below_the_floor_is_flat() -> None:
    seen = log([Segment(1.0, 0.7 * FLOOR, -0.7 * FLOOR)], noise=0.001)
    found = read(seen)
    assert found.chosen.change.excludes_zero
    assert directions(found)[:2] == ("flat", "flat")
    finer = pair_trends(seen.steps, seen.chosen, seen.rejected, floor=0.2 * FLOOR)
    assert directions(finer)[:2] == ("up", "down")


def test_noise_that_hides_everything_is_inconclusive_and_says_so() -> None:
    found = read(log([Segment(1.0, 0.1, -0.1)], points=30, noise=2.0))
    assert directions(found)[:2] == ("inconclusive", "inconclusive")
    assert found.chosen.reason == "the change is not clear of the noise: log more points"


@pytest.mark.parametrize("points", range(6))
def test_fewer_than_six_usable_points_are_always_inconclusive(points: int) -> None:
    steps, values = np.arange(points), np.linspace(0, 100, points)
    found = pair_trends(steps, values, -values, floor=0.1)
    assert directions(found) == ("inconclusive",) * 3
    assert found.phases == ()
    assert found.chosen.reason == f"{points} usable points, and 6 are needed"
    assert isnan(found.chosen.probability)
    assert trend(steps, values, floor=0.1).direction is Direction.INCONCLUSIVE


def test_nine_records_that_all_move_one_way_are_named_and_one_that_does_not_is_not() -> None:
    values = np.array([0.0, 0.04, 0.1, 0.24, 0.32, 0.35, 0.41, 0.45, 0.48])
    assert trend(np.arange(9), values, floor=0.01).direction is Direction.UP
    assert trend(np.arange(9), -values, floor=0.01).direction is Direction.DOWN
    values[4] = -0.1
    assert trend(np.arange(9), values, floor=0.01).direction is Direction.INCONCLUSIVE


def test_noise_that_both_sides_share_does_not_hide_the_margin() -> None:
    rng = np.random.default_rng(3)
    common = rng.standard_normal(60)
    ramp = np.linspace(0, 0.6, 60)
    chosen = common + ramp + 0.02 * rng.standard_normal(60)
    found = pair_trends(np.arange(60), chosen, common, floor=FLOOR)
    assert found.margin.direction is Direction.UP
    assert found.chosen.direction is Direction.INCONCLUSIVE


def test_the_margin_is_judged_on_its_own_series() -> None:
    seen = log(IDEAL)
    own = np.linspace(0, -1, len(seen.steps))
    found = pair_trends(seen.steps, seen.chosen, seen.rejected, own, floor=FLOOR)
    assert found.margin.direction is Direction.DOWN
    assert found.margin.change.value == pytest.approx(-1, abs=0.01)


def test_a_known_start_halves_the_uncertainty() -> None:
    seen = log(IDEAL, points=100, interval=1)
    free = read(seen).chosen.change
    known = pair_trends(
        seen.steps, seen.chosen, seen.rejected, floor=FLOOR, from_zero=True
    ).chosen.change
    assert (known.high - known.low) / (free.high - free.low) == pytest.approx(0.5, abs=0.08)


# Invariances.


def plain(found: PairTrends, scale: float = 1.0) -> list[object]:
    """Return what must not change: directions, ends, changes in units of the scale."""
    parts = (found, *found.phases)
    words = [directions(part) for part in parts]
    sizes = [getattr(p, side).change.value / scale for p in parts for side in ("chosen", "margin")]
    return [words, [round(size, 6) for size in sizes], found.unstable, found.spikes]


@pytest.mark.parametrize("scale", [0.001, 3.0, 1e6])
def test_the_scale_of_the_series_changes_nothing(scale: float) -> None:
    seen = log(RISE_THEN_FALL, phi=0.4, outliers=0.01)
    scaled = pair_trends(
        seen.steps, scale * seen.chosen, scale * seen.rejected, floor=scale * FLOOR
    )
    assert plain(scaled, scale) == plain(read(seen))


def test_a_shift_of_both_sides_changes_nothing() -> None:
    seen = log(RISE_THEN_FALL, phi=0.4)
    shifted = pair_trends(seen.steps, seen.chosen - 7, seen.rejected - 7, floor=FLOOR)
    assert plain(shifted) == plain(read(seen))


def test_the_unit_of_time_changes_nothing_but_the_ends() -> None:
    seen = log(RISE_THEN_FALL, phi=0.4)
    slower = pair_trends(16 * seen.steps, seen.chosen, seen.rejected, floor=FLOOR)
    assert plain(slower) == plain(read(seen))
    assert [16 * phase.end for phase in read(seen).phases] == [p.end for p in slower.phases]


def test_turning_the_sign_turns_the_directions() -> None:
    seen = log(RISE_THEN_FALL)
    turned = pair_trends(seen.steps, -seen.chosen, -seen.rejected, floor=FLOOR)
    opposite = {"up": "down", "down": "up", "flat": "flat", "inconclusive": "inconclusive"}
    expected = [tuple(opposite[word] for word in directions(p)) for p in read(seen).phases]
    assert [directions(phase) for phase in turned.phases] == expected


@pytest.mark.parametrize("every", [5, 20])
def test_logging_less_often_names_the_same_phases(every: int) -> None:
    rng = np.random.default_rng(5)
    dense = simulate(rng, 2000, RISE_THEN_FALL, Nuisance(noise=0.3))
    windows = [side.reshape(-1, every).mean(axis=1) for side in (dense.chosen, dense.rejected)]
    sparse = pair_trends(dense.steps[every - 1 :: every], *windows, floor=FLOOR)
    assert [signs(phase) for phase in sparse.phases] == [(1, -1), (-1, -1)]


# What logs do.


def test_rows_that_a_resume_went_back_over_are_replaced() -> None:
    seen = log(IDEAL)
    broken = seen.chosen[150:180] + 50
    steps = np.concatenate([seen.steps[:180], seen.steps[150:]])
    chosen = np.concatenate([seen.chosen[:150], broken, seen.chosen[150:]])
    rejected = np.concatenate([seen.rejected[:180], seen.rejected[150:]])
    assert pair_trends(steps, chosen, rejected, floor=FLOOR) == read(seen)


def test_gaps_and_infinities_are_left_out_and_counted() -> None:
    seen = log(IDEAL)
    chosen = seen.chosen.copy()
    chosen[[7, 90]], chosen[120] = np.nan, np.inf
    found = pair_trends(seen.steps, chosen, seen.rejected, floor=FLOOR)
    kept = np.isfinite(chosen)
    without = pair_trends(seen.steps[kept], chosen[kept], seen.rejected[kept], floor=FLOOR)
    assert found.dropped == 3
    assert replace(found, dropped=0) == without


def test_a_spike_is_clipped_and_counted() -> None:
    seen = log(IDEAL)
    chosen = seen.chosen.copy()
    chosen[60] += 30
    found = pair_trends(seen.steps, chosen, seen.rejected, floor=FLOOR)
    assert found.spikes == 1
    assert found.chosen.change.value == pytest.approx(read(seen).chosen.change.value, abs=0.02)
    assert found.unstable == ()


def test_a_regular_swing_with_the_epochs_is_no_phase() -> None:
    quiet = log([Segment(1.0, 0.0, 0.0)], points=1000, order=0.6, epochs=6)
    assert signs(read(quiet)) == (0, 0)
    assert all(signs(phase) == (0, 0) for phase in read(quiet).phases)
    assert read(quiet).unstable == ()


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ({"missing": 0.2}, "not finite"),
        ({"outliers": 0.1}, "spikes"),
        ({"oscillation": 4.0}, "swing"),
        ({"louder": 12.0}, "noise changes"),
    ],
)
def test_each_sign_of_instability_is_named(how: dict[str, float], word: str) -> None:
    (sentence,) = read(log([Segment(1.0, 0.0, 0.0)], points=600, seed=1, **how)).unstable
    assert word in sentence
    assert any(letter.isdigit() for letter in sentence)


def test_the_lines_for_a_figure_bend_where_the_phases_meet() -> None:
    seen = log(RISE_THEN_FALL, noise=0.01)
    lines = fitted(seen.steps, seen.chosen, seen.rejected)
    assert lines is not None
    assert (lines.steps[0], lines.steps[-1]) == (seen.steps[0], seen.steps[-1])
    at = seen.steps[-1] * np.array([0.0, 0.2, 0.4, 0.7, 1.0])
    chosen, rejected = (np.interp(at, lines.steps, side) for side in lines.lines.T)
    assert chosen == pytest.approx([0, 0.5, 1, 0.5, 0], abs=0.05)
    assert rejected == pytest.approx([0, -0.5, -1, -1.5, -2], abs=0.05)


def test_the_band_of_a_fitted_line_holds_the_truth_and_grows_with_the_noise() -> None:
    inside, widths = [], []
    for seed in range(20):
        seen = log([Segment(1.0, 0.5, -0.5)], noise=0.2, seed=seed)
        lines = fitted(seen.steps, seen.chosen, seen.rejected)
        assert lines is not None
        truth = 0.5 * lines.steps / seen.steps[-1]
        inside.append(np.mean(np.abs(lines.lines[:, 0] - truth) <= lines.half[:, 0]))
        widths.append(lines.half[:, 0].mean())
    assert np.mean(inside) >= 0.9
    calm = log([Segment(1.0, 0.5, -0.5)], noise=0.02)
    narrow = fitted(calm.steps, calm.chosen, calm.rejected)
    assert narrow is not None
    assert np.mean(widths) > 5 * narrow.half[:, 0].mean()


def test_few_points_have_no_fitted_line() -> None:
    assert fitted(np.arange(5), np.arange(5.0), np.arange(5.0)) is None


def test_exact_numbers_without_noise_are_read() -> None:
    ramp = np.linspace(0, 1, 50)
    found = pair_trends(np.arange(50), ramp, 0 * ramp, floor=FLOOR)
    assert directions(found) == ("up", "flat", "up")
    assert found.chosen.change.value == pytest.approx(1)


# Any input.

numbers = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=150)
@given(
    rows=st.lists(st.tuples(st.integers(-5, 40), numbers, numbers, numbers), max_size=80),
    floor=st.sampled_from([0.01, 1.0, 1e-300, 1e300, 0.0]),
)
def test_any_numbers_give_an_answer(
    rows: list[tuple[int, float, float, float]], floor: float
) -> None:
    steps = np.array([row[0] for row in rows], dtype=np.int64)
    series = [np.array([row[i] for row in rows], dtype=np.float64) for i in (1, 2, 3)]
    found = pair_trends(steps, *series, floor=floor)
    for part in (found, *found.phases):
        for one in (part.chosen, part.rejected, part.margin):
            assert isinstance(one, Trend)
            assert not isfinite(one.probability) or 0 <= one.probability <= 1
    ends = [phase.end for phase in found.phases]
    assert ends == sorted(ends)
    trend(steps, series[0], floor=floor)
    fitted(steps, series[0], series[1])


@settings(max_examples=25)
@given(
    points=st.integers(6, 400),
    exponent=st.integers(-250, 250),
    seed=st.integers(0, 10_000),
)
def test_phases_partition_the_steps_at_any_size_of_numbers(
    points: int, exponent: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.integers(1, 9, points))
    sides = rng.standard_normal((2, points)).cumsum(axis=1) * 10.0**exponent
    found = pair_trends(steps, *sides, floor=10.0**exponent)
    assert found.phases[0].start == steps[0]
    assert found.phases[-1].end == steps[-1]
    for before, after in zip(found.phases, found.phases[1:], strict=False):
        assert after.start > before.end
        assert not ((steps > before.end) & (steps < after.start)).any()


def test_a_long_log_of_three_points_at_one_step_does_not_break() -> None:
    steps = np.repeat(np.arange(100), 3)
    values = np.linspace(0, 1, 300)
    assert pair_trends(steps, values, -values, floor=FLOOR).chosen.points == 100
