"""Changes per token with their bands, and the share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diagnostics.axis import View, axes
from diagnostics.examples import DRIFT, example, gaussian_tilt, nan_ridden
from diagnostics.figures.change import change, share
from diagnostics.forecast import Forecast, forecast
from diagnostics.intervals import Interval
from diagnostics.share import trajectory


def test_lines_and_bands_are_the_estimates() -> None:
    path = trajectory(example("both_fall"), "train")
    traces = {trace.name: trace for trace in change(path).data}
    assert list(traces["chosen"].y) == [point.delta_chosen.value for point in path]
    assert list(traces["margin"].y) == [point.margin.value for point in path]
    band = np.asarray(traces["rejected, 95 % interval"].y)
    assert band[: len(path)] == pytest.approx([point.delta_rejected.high for point in path])
    assert band[len(path) :][::-1] == pytest.approx([point.delta_rejected.low for point in path])


def test_the_tide_falls_by_the_drift() -> None:
    traces = {trace.name: trace for trace in change(trajectory(example("ideal"), "train")).data}
    assert traces["reference samples"].y[-1] == pytest.approx(-DRIFT, abs=0.02)


def test_one_axis_in_nats_per_token() -> None:
    layout = change(trajectory(example("ideal"), "train")).layout
    assert "nats per token" in layout.yaxis.title.text
    assert "yaxis2" not in layout.to_plotly_json()


def test_the_share_is_held_against_its_quadrants() -> None:
    figure = share(trajectory(example("both_rise"), "train"))
    assert tuple(figure.layout.yaxis.range) == (-1.0, 2.0)
    [line] = [trace for trace in figure.data if trace.name == "share"]
    assert line.y[-1] == pytest.approx(1.5, abs=0.01)


def test_a_share_beyond_the_usual_is_in_view_and_an_absurd_one_does_not_flatten_the_rest() -> None:
    path = trajectory(example("both_fall"), "train")
    far = [replace(point, share=Interval(-1.6, -1.8, -1.4)) for point in path]
    assert share(far).layout.yaxis.range[0] == pytest.approx(-1.8)
    absurd = [*far, replace(path[-1], share=Interval(-40.0, -60.0, -20.0))]
    assert share(absurd).layout.yaxis.range[0] == -3.0


def test_a_share_that_was_never_estimated_draws_nothing() -> None:
    assert len(share(trajectory(example("flat"), "train")).data) == 0


def test_evaluations_without_numbers_leave_gaps_and_no_infinite_band() -> None:
    figure = change(trajectory(nan_ridden(), "train"))
    assert len(figure.data) > 0
    for trace in figure.data:
        values = np.asarray(trace.y, dtype=float)
        assert not np.isinf(values).any()
        # A hole in a filled outline would tear it apart.
        assert trace.fill is None or np.isfinite(values).all()


def test_a_forecast_is_a_dashed_path_with_its_interval_and_its_peak() -> None:
    path = trajectory(gaussian_tilt((1.0, 0.0), (-1.0, 0.2), range(0, 120, 10)))
    ahead = forecast(path, final_step=260)
    assert isinstance(ahead, Forecast)
    traces = {trace.name: trace for trace in change(path, ahead=ahead).data}
    line, peak = traces["forecast of chosen"], traces["peak of chosen"]
    assert line.line.dash == "longdash"
    assert (line.x[0], line.x[-1]) == (110, 260)
    assert peak.x[0] == pytest.approx(ahead.peak_step.value)
    assert peak.y[0] == pytest.approx(max(line.y), abs=1e-3)
    assert "forecast, 95 % interval" in traces
    assert not {"forecast of chosen"} & {trace.name for trace in change(path).data}


def test_what_has_not_happened_yet_has_no_place_along_other_axes() -> None:
    run = example("ideal")
    path = trajectory(run)
    ahead = forecast(path, final_step=400)
    assert isinstance(ahead, Forecast)
    along = View(axes(run, path).axes["drift"])
    drawn = change(path, along, ahead=ahead)
    assert drawn.layout.xaxis.title.text == "Drift [nats per token]"
    assert "forecast of chosen" not in {trace.name for trace in drawn.data}
    chosen = next(trace for trace in drawn.data if trace.name == "chosen")
    assert list(chosen.x) == [point.drift.value for point in path]


def test_a_stretch_keeps_one_evaluation_on_either_side_to_draw_lines_to() -> None:
    path = trajectory(example("ideal"))
    for figure in (change(path, View(steps=(45, 75))), share(path, View(steps=(45, 75)))):
        assert figure.layout.xaxis.range == (45, 75)
        line = next(trace for trace in figure.data if trace.name in ("chosen", "share"))
        assert list(line.x) == [40, 50, 60, 70, 80]
