"""The margin's parts, the entanglement band and the tokens, as figures and as whole tables."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from diagnostics import runtables
from diagnostics.attribution import Attribution, GroupShare
from diagnostics.axis import View, axes
from diagnostics.band import Band
from diagnostics.entanglement import Measured
from diagnostics.examples import example
from diagnostics.figures import style
from diagnostics.figures.incentives import incentives
from diagnostics.figures.margin import MOST_BARS, margin
from diagnostics.figures.tokens import tokens
from diagnostics.intervals import Interval
from diagnostics.parts import Parts, of_probe
from diagnostics.share import trajectory


def parts(points: int) -> Parts:
    steps = np.arange(points, dtype=float)
    return Parts(steps, -steps, 3 * steps, 2 * steps, np.full(points, np.nan), "nats per token")


def band(step: int, q: float, q_star: float = 2.0, cosine: float = 0.8) -> Measured:
    return Measured(step, Band(q, 1.0, 1.0, q_star, cosine), 0.01)


def test_both_bars_stand_on_each_other_and_end_at_the_margin() -> None:
    found = of_probe(trajectory(example("both_fall")))
    assert found is not None
    figure = margin(found)
    chosen, rejected, line = figure.data
    assert figure.layout.barmode == "relative"
    assert np.asarray(chosen.y) + np.asarray(rejected.y) == pytest.approx(np.asarray(line.y))
    assert min(chosen.y) < 0 < min(rejected.y[1:])
    assert line.text[-1] == f", S {found.share[-1]:.2f}"
    assert "nats per token" in figure.layout.yaxis.title.text


def test_the_sides_differ_by_more_than_their_colour() -> None:
    chosen, rejected, line = margin(parts(5)).data
    assert chosen.marker.pattern.shape == ""
    assert rejected.marker.pattern.shape == "/"
    assert line.line.dash == "dot"


def test_many_evaluations_become_few_bars_with_first_and_last() -> None:
    figure = margin(parts(1000))
    assert len(figure.data[0].x) == MOST_BARS
    assert (figure.data[0].x[0], figure.data[0].x[-1]) == (0, 999)
    zoomed = margin(parts(1000), View(steps=(10, 20)))
    assert list(zoomed.data[0].x) == list(range(10, 21))


def test_bars_of_uneven_evaluations_do_not_cover_each_other() -> None:
    uneven = replace(parts(4), steps=np.array([0.0, 1.0, 100.0, 101.0]))
    bars = margin(uneven).data[0]
    ends = [(x - w / 2, x + w / 2) for x, w in zip(bars.x, bars.width, strict=True)]
    assert all(left[1] < right[0] for left, right in pairwise(ends))
    assert margin(parts(1)).data[0].width[0] > 0


def test_the_band_is_shaded_between_its_edges_and_q_tells_its_regime() -> None:
    figure = incentives([band(0, 1.0), band(10, 2.0), band(20, 3.0)])
    traces = {trace.name: trace for trace in figure.data}
    assert list(traces["q"].y) == [1.0, 2.0, 3.0]
    regimes = [style.regime_label(one) for one in ("both_fall", "ideal", "both_rise")]
    assert list(traces["q"].text) == regimes
    [shade] = [trace for name, trace in traces.items() if name.startswith("band")]
    assert list(shade.y) == pytest.approx([2.5] * 3 + [1.6] * 3)
    assert figure.layout.yaxis.type == "log"


@pytest.mark.parametrize("cosine", [0.0, -0.5])
def test_a_band_without_bounds_reaches_over_the_whole_axis(cosine: float) -> None:
    figure = incentives([band(0, 1.0, cosine=cosine), band(10, 1.0, cosine=cosine)])
    bottom, top = figure.layout.yaxis.range
    shade = next(trace for trace in figure.data if trace.fill == "toself")
    assert max(shade.y) == pytest.approx(10**top)
    assert min(shade.y) == pytest.approx(10**bottom)
    assert {trace.name for trace in figure.data if trace.fill is None} == {"q"}


def test_a_far_edge_does_not_flatten_q() -> None:
    figure = incentives([band(0, 1.0, cosine=0.001), band(10, 1.1, cosine=0.001)])
    bottom, top = figure.layout.yaxis.range
    assert top - bottom < 1


@pytest.mark.parametrize("q", [0.0, float("inf"), float("nan")])
def test_a_q_that_is_no_ratio_is_a_gap_and_no_error(q: float) -> None:
    figure = incentives([band(0, 1.0), band(10, q)])
    line = next(trace for trace in figure.data if trace.name == "q")
    assert np.isnan(line.y[1])


def attribution() -> Attribution:
    def of(value: float) -> Interval:
        return Interval(value, value - 1, value + 1)

    groups = (
        GroupShare("unique", 0.6, of(5.0), of(-2.0), None),
        GroupShare("<b>own</b>", 0.4, of(-1.0), of(-3.0), None),
    )
    return Attribution(40, 0, 8, of(4.0), of(-5.0), groups, 0.3, None, 0.0)


def test_each_group_of_tokens_has_two_bars_with_their_intervals() -> None:
    common, own = tokens(attribution()).data
    assert list(own.x) == [-1.0, 5.0]
    assert list(common.x) == [-3.0, -2.0]
    assert list(own.y) == ["&lt;b&gt;own&lt;/b&gt;, 40 %", "in one side only, 60 %"]
    assert list(own.error_x.array) == list(own.error_x.arrayminus) == [1.0, 1.0]


def test_an_interval_without_bounds_is_a_bar_without_one() -> None:
    found = attribution()
    wide = replace(found.groups[0], margin=Interval(5.0, -np.inf, np.inf))
    _, own = tokens(replace(found, groups=(wide,))).data
    assert list(own.error_x.array) == [0.0]


def test_tables_hold_every_row_with_units_and_the_other_axes() -> None:
    run = example("ideal")
    path = trajectory(run)
    choice = axes(run, path)
    table = runtables.logged(run, ("rewards/chosen", "loss"), choice)
    assert table.index.name == "Optimizer step"
    assert list(table)[: len(choice.axes) - 1] == [
        axis.title for axis in choice.axes.values() if not axis.counts_steps
    ]
    own = table["Reward, chosen [reward units]"].dropna()
    assert own.tolist() == run.train["rewards/chosen"].tolist()
    held = table["Reward, chosen, held-out [reward units]"].dropna()
    assert held.tolist() == run.evals["rewards/chosen"].tolist()
    assert table.index.is_monotonic_increasing


def test_tables_of_parts_band_and_tokens_say_what_the_figures_say() -> None:
    run = example("ideal")
    choice = axes(run, trajectory(run))
    made = of_probe(trajectory(run))
    assert made is not None
    table = runtables.parts(made, choice)
    assert table["Margin [nats per token]"].tolist() == made.margin.tolist()
    measured = [band(0, 1.0), band(10, 3.0)]
    assert runtables.bands(measured, choice)["q [ratio]"].tolist() == [1.0, 3.0]
    assert runtables.bands(measured, choice)["ρ q*, lower edge [ratio]"].tolist() == [1.6, 1.6]
    assert runtables.tokens(attribution())["Margin [nats per pair]"].tolist() == [5.0, -1.0]
