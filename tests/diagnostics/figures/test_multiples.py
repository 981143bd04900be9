"""Small multiples: one scale for all, intervals where they can be read, courses in their order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diagnostics.courses import course
from diagnostics.examples import example
from diagnostics.figures import style
from diagnostics.figures.multiples import (
    FEW,
    MAX_POINTS,
    SIDES,
    Drawn,
    by_quantity,
    by_run,
    smoothed,
    spans,
)
from diagnostics.reading import Reading
from diagnostics.seeds import SeedBand


def drawn(*regimes: str) -> list[Drawn]:
    return [
        Drawn(course(regime, Reading(example(regime))), style.run_colour(i), style.run_symbol(i))
        for i, regime in enumerate(regimes)
    ]


def test_one_quantity_of_every_run_shares_the_range_of_all() -> None:
    runs = drawn("ideal", "both_fall")
    span = spans(runs, "step", SIDES)
    figures = [by_quantity(runs, side, "step", span) for side in SIDES]
    assert {tuple(one.layout.yaxis.range) for one in figures} == {span[1]}
    assert span[1][0] < -0.8
    assert span[1][1] > 0.6
    assert figures[0].layout.yaxis.title.text == "Δ chosen [nats per token]"
    names = [trace.name for trace in figures[0].data]
    assert names == ["95 % interval", "ideal", "95 % interval", "both_fall", "ideal", "both_fall"]


def test_many_lines_carry_their_intervals_at_their_ends_only() -> None:
    runs = drawn(*["ideal"] * (FEW + 1))
    figure = by_quantity(runs, "chosen", "step", spans(runs, "step", SIDES))
    assert "95 % interval" not in [trace.name for trace in figure.data]
    ends = [trace for trace in figure.data if trace.mode == "markers"]
    assert sum(len(end.x) for end in ends) == FEW + 1
    assert all(bar > 0 for end in ends for bar in (*end.error_y.array, *end.error_y.arrayminus))


@pytest.mark.parametrize("matched", ["margin", "drift"])
def test_along_a_margin_or_a_drift_the_points_stay_in_the_order_of_training(matched: str) -> None:
    (run,) = drawn("both_fall")
    # A run that went far and came back.
    turned = {
        name: replace(line, value=line.value[::-1]) for name, line in run.course.lines.items()
    }
    run = replace(run, course=replace(run.course, lines=turned))
    x = run.course.along(matched)
    assert x is not None
    assert x[0] > x[-1]
    figure = by_quantity([run], "chosen", matched, spans([run], matched, SIDES))
    (line,) = [
        trace for trace in figure.data if trace.name == "both_fall" and trace.mode == "lines"
    ]
    np.testing.assert_array_equal(line.x, x)
    np.testing.assert_array_equal(line.y, run.course.lines["chosen"].value)


def test_each_run_has_its_own_chart_with_both_sides_on_one_scale() -> None:
    runs = drawn("ideal", "both_fall", "both_rise")
    figure = by_run(runs, "step", spans(runs, "step", SIDES))
    notes = [note.text for note in figure.layout.annotations]
    assert notes == ["<b>ideal</b>", "<b>both_fall</b>", "<b>both_rise</b>"]
    axes = [figure.layout[name] for name in ("yaxis", "yaxis2", "yaxis3")]
    assert len({tuple(axis.range) for axis in axes}) == 1
    lines = [t for t in figure.data if t.name == "both_fall, rejected"]
    assert lines[0].line.color == style.REJECTED
    assert lines[0].line.dash == style.SIDE_DASH["rejected"]


def test_seeds_stand_out_as_median_and_range_and_their_runs_step_back() -> None:
    runs = drawn("ideal", "both_fall")
    at = np.array([0.0, 200.0])
    band = SeedBand("both", ("ideal", "both_fall"), "chosen", at, at * 0, at - 1, at + 1)
    figure = by_quantity(runs, "chosen", "step", spans(runs, "step", SIDES), [band])
    names = [trace.name for trace in figure.data]
    assert "both, 2 seeds, range" in names
    assert "both, 2 seeds, median" in names
    faint = [trace for trace in figure.data if trace.name == "ideal"]
    assert [trace.line.width for trace in faint] == [1]
    other = by_quantity(runs, "rejected", "step", spans(runs, "step", SIDES), [band])
    assert "both, 2 seeds, median" not in [trace.name for trace in other.data]


def test_a_long_log_is_smoothed_thinned_and_dotted() -> None:
    run = example("ideal")
    bare = replace(run, probes=run.probes.iloc[:0], samples=run.samples.iloc[:0])
    steps = np.arange(1, 100_001)
    train = bare.train.iloc[np.arange(100_000) % len(bare.train)].set_axis(steps)
    found = course("long", Reading(replace(bare, train=train)))
    smooth = smoothed(found)
    assert np.std(np.diff(smooth.lines["chosen"].value)) < np.std(
        np.diff(found.lines["chosen"].value)
    )
    one = [Drawn(smooth, "#8A63D2")]
    figure = by_quantity(one, "chosen", "step", spans(one, "step", SIDES))
    line = next(trace for trace in figure.data if trace.mode == "lines")
    assert len(line.x) <= MAX_POINTS
    assert line.line.dash == "dot"
    assert "of the log" in line.hovertemplate


def test_nothing_known_gives_an_empty_figure() -> None:
    run = example("ideal")
    blind = [Drawn(course("a", Reading(replace(run, samples=run.samples.iloc[:0]))), "#8A63D2")]
    assert spans([], "step", SIDES)[0] == (0.0, 1.0)
    assert by_quantity(blind, "drift", "step", spans(blind, "step", ["drift"])).data == ()
    assert spans(blind, "drift", SIDES)[0] == (0.0, 1.0)
