"""Forest plots: marks and words agree with the intervals, in any range and with any name."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import pytest

from diagnostics.examples import example
from diagnostics.figures.contrasts import Look, differences, efficiency, panels, short_names
from diagnostics.figures.forest import Estimate, forest, span_of
from diagnostics.intervals import Interval
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.summary import summarise

RUNS = [replace(example(regime), name=regime) for regime in ("ideal", "both_fall", "both_rise")]
LOOKS = {run.name: Look("#8A63D2", "square") for run in RUNS}


def marks(drawing):
    """Return the marks from top to bottom: where each lies, and its symbol."""
    found = [trace for trace in drawing.data if trace.mode == "markers"]
    assert len(found) <= 1
    return [mark for one in found for mark in zip(one.x, one.y, one.marker.symbol, strict=True)]


def words(drawing):
    """Return label and number of each row."""
    labels, numbers = (trace.text for trace in drawing.data if trace.mode == "text")
    return list(zip(labels, numbers, strict=True))


def test_rows_come_from_top_to_bottom_with_number_and_word() -> None:
    rows = [
        Estimate("first", Interval(0.5, 0.4, 0.6), "#000000", word="beyond noise"),
        Estimate("second", Interval(-0.1, -0.3, 0.1), "#000000", filled=False, word="within noise"),
    ]
    drawing = forest(rows, "nats per token")
    assert words(drawing) == [("first", "+0.50 beyond noise"), ("second", "−0.10 within noise")]
    (_, above, first), (_, below, second) = marks(drawing)
    assert (first, second) == ("circle", "circle-open")
    assert above < below
    top, bottom = drawing.layout.yaxis.range[1], drawing.layout.yaxis.range[0]
    assert top < bottom


def test_an_unbounded_end_runs_to_the_edge_and_an_unknown_value_is_said() -> None:
    rows = [
        Estimate("open", Interval(0.5, -inf, inf), "#000000"),
        Estimate("none", Interval(nan, nan, nan), "#000000"),
    ]
    drawing = forest(rows, "", (-1.0, 2.0))
    assert len(marks(drawing)) == 1
    (line,) = [trace for trace in drawing.data if trace.mode == "lines"]
    assert tuple(line.x) == (-1.0, 2.0, None)
    assert words(drawing)[1] == ("none", "not known")


def test_the_range_holds_zero_and_every_end() -> None:
    low, high = span_of([Estimate("a", Interval(2.0, 1.0, 3.0), "#000000")])
    assert low < 0
    assert high > 3
    assert span_of([]) == (-1.0, 1.0)


@pytest.mark.parametrize("matched", ["step", "margin", "drift"])
def test_filled_marks_are_those_beyond_noise_on_one_range(matched: str) -> None:
    found = summarise(RUNS, matched).contrasts
    shown = panels(found)
    assert [quantity for quantity, _ in shown] == [
        one for one in ("chosen", "rejected", "margin", "drift") if one != matched
    ]
    ranges = set()
    for quantity, unit in shown:
        drawing = differences(found, quantity, unit, LOOKS)
        clear = [d.beyond_noise for one in found for d in one.differences if d.quantity == quantity]
        assert [symbol == "square" for _, _, symbol in marks(drawing)] == clear
        assert drawing.layout.xaxis.title.text == NATS_PER_TOKEN
        ranges.add(tuple(drawing.layout.xaxis.range))
    assert len(ranges) == 1


def test_the_price_puts_the_best_run_first() -> None:
    found = summarise(RUNS).efficiency
    drawing = efficiency(found, LOOKS)
    values = [value for value, _, _ in marks(drawing)]
    assert values == sorted(values, reverse=True)
    assert len(values) == 3


def test_names_reach_the_plot_as_text() -> None:
    drawing = forest([Estimate("<b>x</b>", Interval(0, -1, 1), "#000000")], "")
    assert words(drawing)[0][0] == "&lt;b&gt;x&lt;/b&gt;"
    assert short_names(["<b> one", "<b> two"]) == {"<b> one": "one", "<b> two": "two"}
    assert short_names([]) == {}
