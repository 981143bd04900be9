from __future__ import annotations

import dataclasses
from math import isclose

import numpy as np
import pytest

from diagnostics.examples import TRUTH, example, gaussian_tilt, tilt_margin
from diagnostics.forecast import (
    MAX_MISFIT,
    MIN_EVALUATIONS,
    REACH,
    Forecast,
    Refusal,
    forecast,
    learning_rate_clock,
)
from diagnostics.intervals import Interval
from diagnostics.share import ShareEstimate, trajectory

TILTS = {
    "both sides rise at first": ((3.0, 0.0), (1.0, 0.2)),
    "ideal at first": ((1.0, 0.0), (-1.0, 0.2)),
    "in three dimensions": ((2.0, 1.0, 0.5), (0.5, -1.0, 0.0)),
}


def truth(chosen, rejected) -> tuple[float, float]:
    """Return S_0 and kappa of the Gaussian tilt, from its closed form."""
    a, d = np.array(chosen), np.array(chosen) - np.array(rejected)
    return float(a @ d / (d @ d)), float(1 / (d @ d))


def moved(path: list[ShareEstimate], chosen: list[float]) -> list[ShareEstimate]:
    """Return a path whose chosen side stands elsewhere."""
    return [
        dataclasses.replace(one, delta_chosen=Interval(value, value - 0.01, value + 0.01))
        for one, value in zip(path, chosen, strict=True)
    ]


@pytest.mark.parametrize("name", TILTS)
def test_peak_and_crossing_are_exact_where_the_policy_is_gaussian(name):
    chosen, rejected = TILTS[name]
    share, kappa = truth(chosen, rejected)
    got = forecast(trajectory(gaussian_tilt(chosen, rejected, range(0, 200, 20))))
    assert isinstance(got, Forecast)
    for interval, value in (
        (got.share, share),
        (got.curvature, kappa),
        (got.peak_margin, share / kappa),
        (got.crossing_margin, 2 * share / kappa),
    ):
        assert isclose(interval.value, value, rel_tol=1e-6)
        assert interval.low - 1e-6 <= value <= interval.high + 1e-6
    assert isclose(got.peak, share**2 / (2 * kappa), rel_tol=1e-6)


def test_the_step_of_the_crossing_is_found_where_the_margin_grows_steadily():
    chosen, rejected = TILTS["both sides rise at first"]
    share, kappa = truth(chosen, rejected)
    square = 1 / kappa
    # At a small beta m grows by rate beta |D|^2 / 2 a step, without slowing down.
    run = gaussian_tilt(chosen, rejected, range(0, 1001, 100), beta=1e-4, rate=30.0)
    got = forecast(trajectory(run))
    crossing = 2 * share / kappa
    steps = np.arange(1, 8000, 5)
    margins = [tilt_margin(float(step), square, rate=30.0, beta=1e-4) for step in steps]
    expected = float(np.interp(crossing, margins, steps))
    assert abs(got.crossing_step.value - expected) < 0.01 * expected


def test_a_crossing_that_lies_behind_is_dated_where_it_was():
    chosen, rejected = TILTS["ideal at first"]
    share, kappa = truth(chosen, rejected)
    run = gaussian_tilt(chosen, rejected, range(0, 3000, 100))
    got = forecast(trajectory(run))
    margins = [tilt_margin(float(step), 1 / kappa) for step in range(0, 3000, 100)]
    expected = float(np.interp(2 * share / kappa, margins, range(0, 3000, 100)))
    assert isclose(got.crossing_step.value, expected, rel_tol=1e-6)
    assert "passed at step" in got.sentence


def test_the_place_at_the_end_is_told_where_the_margin_grows_steadily():
    chosen, rejected = TILTS["ideal at first"]
    share, kappa = truth(chosen, rejected)
    steady = {"rate": 30.0, "beta": 1e-4}  # the loss does not saturate on the way
    path = trajectory(gaussian_tilt(chosen, rejected, range(0, 1000, 50), **steady))
    got = forecast(path[:11], final_step=950)
    last = tilt_margin(950.0, 1 / kappa, **steady)
    assert got.final_step == 950
    assert isclose(got.final.value, share * last - kappa * last**2 / 2, rel_tol=1e-3)
    assert got.final.low <= got.final.value <= got.final.high


def test_the_learning_rate_is_the_clock_of_the_margin():
    chosen, rejected = TILTS["ideal at first"]
    clock = learning_rate_clock("cosine", 1000, 0.1)
    steps = range(0, 1001, 50)
    times = np.round(2000 * clock(np.array(steps, dtype=float)) / clock(np.array([1000.0])))
    path = [
        dataclasses.replace(one, step=step)
        for one, step in zip(
            trajectory(gaussian_tilt(chosen, rejected, [int(t) for t in times])), steps, strict=True
        )
    ]
    final = path[-1].delta_chosen.value
    with_clock, without = (forecast(path[:11], 1000, one).final.value for one in (clock, None))
    assert abs(with_clock - final) < abs(without - final) / 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [("constant", 100.0), ("linear", 50.0), ("cosine", 50.0), ("constant_with_warmup", 95.0)],
)
def test_the_clock_sums_the_planned_rates(name, expected):
    warm_up = 0.1 if name == "constant_with_warmup" else 0.0
    clock = learning_rate_clock(name, 100, warm_up)
    assert isclose(clock(np.array([100.0]))[0], expected, rel_tol=1e-6)
    assert np.all(np.diff(clock(np.arange(101.0))) > 0)


def test_an_unknown_schedule_has_no_clock():
    assert learning_rate_clock("polynomial", 100) is None


def test_too_few_evaluations_are_refused():
    path = trajectory(gaussian_tilt((1.0, 0.0), (-1.0, 0.2), range(0, 500, 50)))
    assert isinstance(forecast(path[: MIN_EVALUATIONS + 1]), Forecast)
    refused = forecast(path[:MIN_EVALUATIONS])
    assert isinstance(refused, Refusal)
    assert f"scored {MIN_EVALUATIONS - 1} times" in refused.reason
    assert isinstance(forecast([]), Refusal)


@pytest.mark.parametrize("regime", ["flat", "margin_loss"])
def test_a_margin_that_has_not_grown_is_refused(regime):
    refused = forecast(trajectory(example(regime)))
    assert isinstance(refused, Refusal)
    assert "margin" in refused.reason


def test_a_curve_that_is_no_parabola_is_refused():
    path = trajectory(gaussian_tilt((1.0, 0.0), (-1.0, 0.2), range(0, 500, 50)))
    values = [0.3 * (-1.0) ** index for index in range(len(path))]
    refused = forecast(moved(path, values))
    assert isinstance(refused, Refusal)
    assert f"{100 * MAX_MISFIT:.0f}" in refused.reason


def test_a_chosen_side_that_falls_from_the_start_has_no_peak():
    got = forecast(trajectory(gaussian_tilt((1.0, 0.0), (3.0, 0.2), range(0, 500, 50))))
    assert got.share.high < 0
    assert got.peak_margin is None
    assert got.crossing_step is None
    assert "does not rise" in got.sentence


@pytest.mark.parametrize("regime", TRUTH)
def test_every_example_is_forecast_or_refused(regime):
    got = forecast(trajectory(example(regime)), final_step=1000)
    assert isinstance(got, Forecast | Refusal)
    assert (got.sentence if isinstance(got, Forecast) else got.reason).strip()


def test_the_path_ahead_begins_at_the_last_evaluation_and_passes_the_crossing():
    chosen, rejected = TILTS["ideal at first"]
    steps = range(0, 120, 10)
    path = trajectory(gaussian_tilt(chosen, rejected, steps))
    got = forecast(path, final_step=240)
    assert isinstance(got, Forecast)
    ahead = [step for step, _ in got.path]
    assert ahead[0] == steps[-1]
    assert ahead[-1] == 240
    assert got.path[0][1].value == pytest.approx(path[-1].delta_chosen.value, abs=1e-3)
    assert got.path[-1][1].value == pytest.approx(got.final.value)
    assert all(one.low <= one.value <= one.high for _, one in got.path)


def test_the_path_ahead_reaches_no_further_than_the_fit_was_tested():
    chosen, rejected = TILTS["ideal at first"]
    path = trajectory(gaussian_tilt(chosen, rejected, range(0, 120, 10)))
    got = forecast(path, final_step=100_000)
    assert isinstance(got, Forecast)
    assert got.final is None
    share, kappa = got.share.value, got.curvature.value
    lowest = (
        share * REACH * path[-1].margin.value - kappa * (REACH * path[-1].margin.value) ** 2 / 2
    )
    assert all(one.value >= lowest - 1e-9 for _, one in got.path)


def test_a_run_that_is_over_has_no_path_ahead():
    path = trajectory(example("both_fall"))
    got = forecast(path, final_step=path[-1].step)
    assert isinstance(got, Forecast)
    assert got.path == ()
