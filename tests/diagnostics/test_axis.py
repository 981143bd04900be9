"""What curves can be drawn along: what a log supports, how numbers between came about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.axis import NAMES, STEP, Axis, axes
from diagnostics.examples import example
from diagnostics.intervals import Interval
from diagnostics.run import Run
from diagnostics.share import trajectory


def run_with(steps: list[int], **columns: list[float]) -> Run:
    index = pd.Index(steps, name="step")
    run = example("ideal")
    return replace(run, train=pd.DataFrame(columns, index=index), evals=run.evals.iloc[:0])


def test_steps_are_always_offered_and_are_themselves() -> None:
    assert list(axes(run_with([])).axes) == ["step"]
    assert STEP.at([3, 7]).tolist() == [3, 7]
    assert STEP.span(2, 9) == (2, 9)
    assert STEP.steps_of(2, 9) == (2, 9)


def test_what_the_log_has_is_offered_in_one_order() -> None:
    run = run_with([10, 20], time=[5.0, 6.0], tokens=[7.0, 9.0], epoch=[0.1, 0.2])
    found = axes(run, trajectory(example("ideal"))).axes
    assert tuple(found) == NAMES


def test_epochs_and_tokens_begin_at_nothing_and_are_straight_lines_between() -> None:
    axis = axes(run_with([10, 30], epoch=[0.5, 1.5])).axes["epoch"]
    assert axis.at([0, 5, 10, 20, 30]) == pytest.approx([0, 0.25, 0.5, 1.0, 1.5])
    assert np.isnan(axis.at([31, -1])).all()
    assert axis.left_out([0, 30, 31]) == 1
    assert axis.note == ""


def test_records_without_the_number_are_filled_between_and_that_is_said() -> None:
    nan = float("nan")
    axis = axes(run_with([10, 20, 30, 40], epoch=[0.1, nan, float("inf"), 0.4])).axes["epoch"]
    assert axis.at([20]) == pytest.approx([0.2])
    assert "logged at 2 of 4 records" in axis.note


def test_a_number_that_never_moves_or_is_nowhere_finite_is_no_axis() -> None:
    nan = float("nan")
    run = run_with([0, 10], epoch=[1.0, 1.0], tokens=[nan, nan], time=[nan, 4.0])
    assert list(axes(run).axes) == ["step"]


def test_a_number_that_runs_backwards_is_refused_with_its_step() -> None:
    choice = axes(run_with([10, 20, 30], tokens=[5.0, 9.0, 2.0]))
    assert "tokens" not in choice.axes
    assert choice.refused == ("tokens runs backwards at step 30",)


@pytest.mark.parametrize(
    ("length", "unit", "end"),
    [(90, "s", 90), (600, "min", 10), (7200, "min", 120), (36_000, "h", 10), (864_000, "days", 10)],
)
def test_times_count_from_the_first_record_in_a_unit_of_their_size(
    length: float, unit: str, end: float
) -> None:
    axis = axes(run_with([1, 2], time=[1e9, 1e9 + length])).axes["time"]
    assert f"[{unit}]" in axis.title
    assert axis.at([1, 2]) == pytest.approx([0, end])


def test_rows_of_evaluations_tell_the_time_where_no_training_row_does() -> None:
    run = run_with([2, 4], time=[10.0, 14.0])
    held = pd.DataFrame({"time": [8.0, 12.5]}, index=pd.Index([0, 4], name="step"))
    axis = axes(replace(run, evals=held)).axes["time"]
    assert axis.at([0, 2, 4]) == pytest.approx([0, 2, 6])


def test_drift_is_that_of_the_evaluations_and_says_how_many() -> None:
    path = trajectory(example("ideal"))
    axis = axes(run_with([1]), path).axes["drift"]
    assert axis.at([one.step for one in path]) == pytest.approx([one.drift.value for one in path])
    assert f"measured at {len(path)} evaluations" in axis.note


def test_drift_that_shrinks_stays_an_axis_on_which_no_stretch_can_be_named() -> None:
    path = trajectory(example("ideal"))
    back = [*path[:-1], replace(path[-1], drift=Interval(0.0, 0.0, 0.0))]
    axis = axes(run_with([1]), back).axes["drift"]
    assert axis.turns_back
    assert axis.steps_of(0.0, 1.0) is None
    low, high = axis.span(path[0].step, path[-1].step)
    assert (low, high) == (0.0, max(one.drift.value for one in back))


def test_steps_at_which_the_number_stands_still_are_all_inside_a_stretch() -> None:
    still = Axis("epoch", "Epoch", np.arange(6.0), np.array([0.0, 1.0, 1.0, 1.0, 2.0, 3.0]))
    assert still.steps_of(1.0, 2.5) == (1.0, 4.5)
    assert still.steps_of(0.5, 1.0) == (0.5, 3.0)


@given(
    values=st.lists(st.floats(0, 1e6), min_size=2, max_size=30),
    first=st.integers(0, 29),
    length=st.integers(1, 29),
)
def test_a_stretch_comes_back_from_its_places(values: list[float], first: int, length: int) -> None:
    steps = np.arange(len(values), dtype=float)
    axis = Axis("epoch", "Epoch", steps, np.sort(np.array(values)))
    begin = min(first, len(values) - 2)
    end = min(begin + length, len(values) - 1)
    found = axis.steps_of(*axis.span(begin, end))
    low, high = axis.span(begin, end)
    if high > low:
        assert found is not None
        assert found[0] <= begin + 1e-6
        assert found[1] >= end - 1e-6
        assert axis.span(*found) == pytest.approx((low, high))
