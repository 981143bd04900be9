"""Small charts: what is offered, units, log axes, values that are not finite."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from diagnostics.axis import NAMES
from diagnostics.errors import MissingMetric
from diagnostics.examples import example, nan_ridden
from diagnostics.figures.curves import FAMILIES
from diagnostics.figures.small import CHARTS, groups, log_ticks, not_finite, small
from diagnostics.run import Run
from diagnostics.schema import METRICS, metric


def run_with(**columns: list[float]) -> Run:
    run = example("ideal")
    length = len(next(iter(columns.values())))
    index = pd.Index(np.arange(1, length + 1), name="step")
    run = replace(run, evals=run.evals.iloc[:0])
    named = {name.replace("__", "/"): values for name, values in columns.items()}
    return replace(run, train=pd.DataFrame(named, index=index))


ALL = [chart for members in CHARTS.values() for chart in members]


@pytest.mark.parametrize("chart", ALL, ids=lambda chart: chart.title)
def test_a_chart_draws_schema_columns_of_one_unit(chart: object) -> None:
    names = chart.names  # type: ignore[attr-defined]
    assert set(names) <= set(METRICS)
    assert len({metric(name).unit for name in names}) == 1


def test_two_units_are_refused() -> None:
    with pytest.raises(ValueError, match="one unit"):
        small(example("ideal"), ["loss", "grad_norm"])


def test_only_what_the_run_logs_is_offered() -> None:
    found = groups(run_with(loss=[0.7, 0.6], kl=[float("nan")] * 2))
    assert {group: [one.title for one in members] for group, members in found.items()} == {
        "Learning": ["Loss"]
    }


def test_no_metric_of_the_schema_is_left_without_a_figure() -> None:
    drawn = {name for chart in ALL for name in chart.names}
    drawn |= {name for names in FAMILIES.values() for name in names}
    drawn |= {"entanglement/q", "entanglement/q_star"}  # in the figure of the band
    assert set(METRICS) - drawn == set(NAMES) & set(METRICS)  # what curves are drawn along


def test_a_missing_column_is_said() -> None:
    with pytest.raises(MissingMetric, match="kl"):
        small(run_with(loss=[0.7]), ["kl"])


def test_the_axis_tells_the_unit() -> None:
    figure = small(run_with(loss=[0.7, 0.6]), ["loss"])
    assert figure.layout.yaxis.title.text == metric("loss").unit
    assert figure.layout.xaxis.title.text == "Optimizer step"


def test_gradient_norms_over_decades_get_a_log_axis_with_written_ticks() -> None:
    figure = small(run_with(grad_norm=[0.5, 3.0, 40.0]), ["grad_norm"])
    assert figure.layout.yaxis.type == "log"
    assert "0.5" in figure.layout.yaxis.ticktext
    assert "5" in figure.layout.yaxis.ticktext


def test_gradient_norms_close_together_or_at_zero_stay_linear() -> None:
    assert small(run_with(grad_norm=[0.9, 1.1]), ["grad_norm"]).layout.yaxis.type is None
    assert small(run_with(grad_norm=[0.0, 100.0]), ["grad_norm"]).layout.yaxis.type is None


@pytest.mark.parametrize(("low", "high"), [(1e-3, 1e7), (0.4, 3.0), (1.0, 99.0)])
def test_log_ticks_lie_around_the_values_and_are_few(low: float, high: float) -> None:
    ticks = log_ticks(np.array([low, high]))
    inside = [tick for tick in ticks["tickvals"] if low <= tick <= high]  # type: ignore[attr-defined]
    assert 2 <= len(inside) <= 8


def test_the_two_sides_keep_their_colours_and_dashes() -> None:
    run = run_with(entropy__chosen=[1.0, 2.0], entropy__rejected=[1.5, 2.5])
    lines = {
        trace.name: trace.line for trace in small(run, ["entropy/chosen", "entropy/rejected"]).data
    }
    assert (lines["chosen"].color, lines["chosen"].dash) == ("#0072B2", "solid")
    assert (lines["rejected"].color, lines["rejected"].dash) == ("#D55E00", "dash")


def test_held_out_values_are_open_marks_in_the_same_chart() -> None:
    run = run_with(loss=[0.7, 0.6])
    held = pd.DataFrame({"loss": [0.65]}, index=pd.Index([2], name="step"))
    [_, marks] = small(replace(run, evals=held), ["loss"]).data
    assert (marks.mode, marks.marker.symbol) == ("markers", "circle-open")
    assert list(marks.y) == [0.65]


def test_values_that_are_not_finite_are_counted_with_their_first_step() -> None:
    run = run_with(loss=[0.7, float("nan"), float("inf"), 0.5, 0.4])
    assert not_finite(run) == {"loss": (2, 2)}


def test_a_column_logged_now_and_then_is_no_finding() -> None:
    assert not_finite(run_with(kl=[float("nan"), 0.1, float("nan"), float("nan")])) == {}


def test_a_nan_ridden_run_draws_every_chart_it_offers() -> None:
    run = nan_ridden()
    found = [chart for members in groups(run).values() for chart in members]
    assert found
    for chart in found:
        for trace in small(run, chart.names).data:
            assert not np.isinf(np.asarray(trace.y, dtype=float)).any()


def test_a_constant_fraction_is_drawn_between_none_and_all() -> None:
    constant = small(run_with(saturated=[0.0] * 5), ["saturated"])
    assert list(constant.layout.yaxis.range) == [-0.05, 1.05]
    moving = small(run_with(saturated=[0.0, 0.1, 0.2]), ["saturated"])
    assert moving.layout.yaxis.range is None


def test_what_was_logged_once_stands_where_it_was_in_the_run() -> None:
    run = run_with(loss=[0.7] * 100)
    held = pd.DataFrame({"curvature": [0.06]}, index=pd.Index([40], name="step"))
    figure = small(replace(run, evals=held), ["curvature"])
    low, high = figure.layout.xaxis.range
    assert low < 1
    assert high > 100
    assert list(figure.data[0].x) == [40]
