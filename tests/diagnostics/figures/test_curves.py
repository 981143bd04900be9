"""The curves of the two sides: one unit an axis, raw and smoothed, phases named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from diagnostics.axis import View, axes
from diagnostics.errors import MissingMetric
from diagnostics.events import Event
from diagnostics.examples import example
from diagnostics.figures import rail, style
from diagnostics.figures.curves import FAMILIES, Band, curves, families, reading_aid
from diagnostics.figures.lines import smoothing_window
from diagnostics.figures.thinning import MAX_POINTS
from diagnostics.run import Run
from diagnostics.schema import metric
from diagnostics.trends import fitted


def long_run(steps: int = 100_000) -> Run:
    run = example("ideal")
    index = pd.Index(np.arange(1, steps + 1), name="step")
    chosen = np.linspace(0, 1, steps)
    chosen[steps // 3] = 50.0
    columns = {"rewards/chosen": chosen, "rewards/rejected": -chosen}
    return replace(run, train=pd.DataFrame(columns, index=index))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_columns_of_a_family_share_one_unit(family: str) -> None:
    assert len({metric(name).unit for name in FAMILIES[family]}) == 1


@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_axis_tells_the_unit_of_the_schema(family: str) -> None:
    figure = curves(example("ideal"), family)
    assert metric(FAMILIES[family][0]).unit in figure.layout.yaxis.title.text
    assert figure.layout.xaxis.title.text == "Optimizer step"


def test_chosen_is_blue_and_solid_and_rejected_vermillion_and_dashed() -> None:
    lines = {
        trace.name: trace.line
        for trace in curves(example("ideal")).data
        if trace.showlegend is None
    }
    assert (lines["chosen"].color, lines["chosen"].dash) == ("#0072B2", "solid")
    assert (lines["rejected"].color, lines["rejected"].dash) == ("#D55E00", "dash")
    assert (lines["margin"].color, lines["margin"].dash) == (style.MARGIN, "dot")


def test_every_logged_step_is_drawn_faint_beneath_its_mean() -> None:
    run = example("ideal")
    figure = curves(run)
    raw = next(trace for trace in figure.data if trace.name == "chosen, every step")
    assert np.asarray(raw.y) == pytest.approx(run.train["rewards/chosen"].to_numpy())
    assert raw.line.color.startswith("rgba")


def test_held_out_values_are_open_marks() -> None:
    run = example("ideal")
    marks = next(trace for trace in curves(run).data if trace.name == "rejected, held-out")
    assert marks.mode == "markers"
    assert marks.marker.symbol == "square-open"
    assert np.asarray(marks.y) == pytest.approx(run.evals["rewards/rejected"].to_numpy())


def test_a_long_run_leaves_the_server_thinned_with_its_spike() -> None:
    figure = curves(long_run())
    assert all(len(trace.x) <= MAX_POINTS for trace in figure.data)
    raw = next(trace for trace in figure.data if trace.name == "chosen, every step")
    assert max(raw.y) == 50.0
    assert len(figure.to_json()) < 200_000


def test_a_window_is_cut_before_thinning_so_that_every_step_shows() -> None:
    figure = curves(long_run(), view=View(steps=(5_000, 5_400)))
    raw = next(trace for trace in figure.data if trace.name == "chosen, every step")
    assert list(raw.x) == list(range(5_000, 5_401))
    assert figure.layout.xaxis.range == (5_000, 5_400)


def test_a_window_does_not_bend_the_mean_at_its_edges() -> None:
    run = long_run(2_000)
    run = replace(run, train=run.train.assign(**{"rewards/chosen": np.arange(2_000.0)}))
    figure = curves(run, view=View(steps=(500, 900)))
    mean = next(trace for trace in figure.data if trace.name == "chosen")
    assert mean.y[0] == pytest.approx(499.0)
    assert mean.y[-1] == pytest.approx(899.0)


def test_the_smoothing_and_the_open_marks_are_said() -> None:
    run = example("ideal")
    assert reading_aid(run, "rewards") == (
        "Lines are means over 11 logged steps, every step faint behind them; "
        "open marks are held-out pairs."
    )
    bare = replace(run, evals=run.evals.iloc[:0])
    assert reading_aid(bare, "rewards", View(steps=(1, 20))) == "Lines are the values as logged."


def test_phases_are_shaded_in_turn_and_named_where_there_is_room() -> None:
    bands = [Band(0, 10, "narrow"), Band(10, 120, "first"), Band(120, 200, "second")]
    figure = curves(example("ideal"), bands=bands)
    fills = [shape.fillcolor for shape in figure.layout.shapes if shape.type == "rect"]
    assert fills == [style.SHADE, "rgba(0,0,0,0)", style.SHADE]
    changes = [shape.x0 for shape in figure.layout.shapes if shape.type == "line"]
    assert changes == [10, 120]
    assert [note.text for note in figure.layout.annotations] == ["first", "second"]


def test_a_run_without_the_family_says_what_is_missing() -> None:
    run = replace(example("ideal"), train=pd.DataFrame(), evals=pd.DataFrame())
    assert families(run) == []
    with pytest.raises(MissingMetric, match="rewards/chosen"):
        curves(run)


def test_columns_without_a_finite_number_are_not_offered() -> None:
    run = example("ideal")
    train = run.train.assign(**dict.fromkeys(FAMILIES["rewards"], np.nan))
    run = replace(run, train=train, evals=run.evals.iloc[:0])
    assert "rewards" not in families(run)
    assert "logps" in families(run)


def test_one_point_is_drawn_as_a_mark_on_a_whole_step() -> None:
    run = example("ideal")
    figure = curves(replace(run, train=run.train.iloc[:1], evals=run.evals.iloc[:0]))
    assert all("markers" in trace.mode for trace in figure.data)
    assert figure.layout.xaxis.dtick == 1


@pytest.mark.parametrize(
    ("points", "window"), [(0, 1), (39, 1), (40, 3), (200, 11), (100_000, 5001)]
)
def test_the_smoothing_window_is_odd_and_grows_with_the_log(points: int, window: int) -> None:
    assert smoothing_window(points) == window


def test_the_line_since_when_stands_at_its_step_and_says_so() -> None:
    bands = [Band(0, 60, "first"), Band(60, 200, "second")]
    layout = curves(example("ideal"), bands=bands, since=60).layout
    [line] = [shape for shape in layout.shapes if shape.type == "line"]
    assert (line.x0, line.line.dash) == (60, "solid")
    assert "since step 60" in [note.text for note in layout.annotations]
    zoomed = curves(example("ideal"), bands=bands, since=60, view=View(steps=(100, 200))).layout
    assert [note.text for note in zoomed.annotations] == ["second"]


def test_phases_and_curves_follow_the_axis() -> None:
    run = example("ideal")
    run = replace(run, train=run.train.assign(epoch=run.train.index / 100))
    bands = [Band(0, 60, "first"), Band(60, 200, "second")]
    figure = curves(run, bands=bands, since=60, view=View(axes(run).axes["epoch"]))
    assert figure.layout.xaxis.title.text == "Epoch [passes over the data]"
    line = next(trace for trace in figure.data if trace.name == "chosen")
    assert (line.x[0], line.x[-1]) == (run.train.index[0] / 100, 2.0)
    assert [(one.x0, one.x1) for one in figure.layout.shapes] == [(0, 0.6), (0.6, 2), (0.6, 0.6)]


def test_records_without_a_place_on_the_axis_are_left_out() -> None:
    run = example("ideal")
    epochs = run.train.index / 100
    run = replace(run, train=run.train.assign(epoch=epochs.where(epochs <= 1)))
    figure = curves(run, view=View(axes(run).axes["epoch"]))
    assert max(float(np.nanmax(trace.x)) for trace in figure.data) == 1.0


def test_a_fitted_line_stands_in_its_band() -> None:
    run = example("both_fall")
    fit = fitted(
        run.train.index.to_numpy(),
        run.train["rewards/chosen"].to_numpy(),
        run.train["rewards/rejected"].to_numpy(),
    )
    traces = {trace.name: trace for trace in curves(run, fit=fit).data}
    assert fit is not None
    assert list(traces["rejected, trend"].y) == pytest.approx(list(fit.lines[:, 1]))
    band = np.asarray(traces["rejected, 95 % band of the trend"].y)
    top = fit.lines[:, 1] + fit.half[:, 1]
    assert band[: len(top)] == pytest.approx(top)
    unknown = replace(fit, half=np.full_like(fit.half, np.nan))
    names = {trace.name for trace in curves(run, fit=unknown).data}
    assert "chosen, trend" in names
    assert "chosen, 95 % band of the trend" not in names


def test_the_rail_marks_each_kind_of_event_in_a_row_of_its_own() -> None:
    happened = [
        Event("loss spike", 40, "loss 9 loss units, usually 1"),
        Event("not finite", 60, "not finite: loss", 90),
    ]
    figure = curves(example("ideal"), events=happened)
    assert figure.layout.yaxis2.ticktext == ("loss", "no number")
    marks = {trace.name: trace for trace in figure.data if trace.yaxis == "y2"}
    assert list(marks["event: loss"].x) == [40]
    assert "step 60 to 90" in marks["event: no number"].text[0]
    assert list(marks["event: no number, how long"].x[:2]) == [60, 90]
    assert figure.layout.yaxis.domain[0] > figure.layout.yaxis2.domain[1]
    outside = curves(example("ideal"), events=happened, view=View(steps=(100, 200)))
    assert "yaxis2" not in outside.layout.to_plotly_json()


def test_a_rail_of_very_many_events_is_thinned_and_says_so() -> None:
    happened = [Event("loss spike", step, "loss") for step in range(1, 5001)]
    figure = curves(example("ideal"), events=happened)
    [marks] = [trace for trace in figure.data if trace.yaxis == "y2"]
    assert len(marks.x) == rail.MOST
    assert (marks.x[0], marks.x[-1]) == (1, 5000)
    assert "5,000 in view" in marks.text[0]
