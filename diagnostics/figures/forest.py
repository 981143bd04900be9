"""Estimates one below the other, each a mark with its 95 % interval: a forest plot.

The words stand above each interval, inside the plot, so that the figure reads on a phone as on a
wide screen. What is beyond noise has a filled mark and says so; what is not has an open one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import plotly.graph_objects as go

from diagnostics.figures import style
from diagnostics.intervals import Interval, number

ROW, CLOSE_ROW, MANY = 42, 35, 8
"""Height of one estimate with its words [pixels], and where there are more than so many."""

FRAME = 62
"""Height of the axis with its title [pixels]."""

AIR = 0.08
"""Part of the range left free on either side."""

MARK = 0.05
"""How far below the middle of its row a mark lies; its words stand above it."""

WORDS = 0.2
"""How far above the middle of its row the words stand."""

LONGEST = 26
"""Signs of one label."""


@dataclass(frozen=True)
class Estimate:
    """One row: what it is of, its interval, how it is drawn, and what its mark says in a word.

    `word` stands behind the number; `filled` tells the mark. `hover` is the whole story.
    """

    label: str
    interval: Interval
    colour: str
    symbol: str = "circle"
    filled: bool = True
    word: str = ""
    hover: str = ""


def forest(
    estimates: Sequence[Estimate],
    unit: str,
    span: tuple[float, float] | None = None,
    *,
    sign: bool = True,
) -> go.Figure:
    """Return the estimates from top to bottom.

    Parameters
    ----------
    unit
        Of every estimate; the title of the axis.
    span
        The range of the axis where several figures share one; see `span_of`.
    sign
        Whether the numbers are differences and carry their sign.
    """
    count = len(estimates)
    low, high = span or span_of(estimates)
    drawing = style.figure(
        FRAME + (CLOSE_ROW if count > MANY else ROW) * max(1, count),
        style.axis(unit, showgrid=True, range=[low, high], nticks=6),
        style.axis(None, range=[count - 0.66, -0.7], showgrid=False, zeroline=False, visible=False),
    )
    rows = [(place, one) for place, one in enumerate(estimates) if isfinite(one.interval.value)]
    # Few traces of many points: a browser takes milliseconds for each trace and annotation.
    drawing.add_traces([*_bars(rows, (low, high)), *_marks(rows), *_words(estimates, sign=sign)])
    drawing.update_layout(
        # Words stand at the edges, whatever the numbers are.
        xaxis2={"overlaying": "x", "range": [0, 1], "fixedrange": True, "visible": False},
        shapes=[_stripe(place) for place in range(0, count, 2)],
        showlegend=False,
        margin={"l": 4, "r": 4, "t": 4},
    )
    return drawing


def span_of(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Return a range that holds 0 and every finite end of the intervals, with some air."""
    ends = [0.0]
    for one in estimates:
        interval = one.interval
        ends += [end for end in (interval.value, interval.low, interval.high) if isfinite(end)]
    low, high = min(ends), max(ends)
    air = AIR * (high - low) or 1.0
    return low - air, high + air


def _stripe(place: int) -> dict[str, Any]:
    """Return the shade of a row, so that its words and its mark are seen as one."""
    return {
        "type": "rect",
        "xref": "x domain",
        "x0": 0,
        "x1": 1,
        "y0": place - 0.68,
        "y1": place + 0.32,
        "fillcolor": style.SHADE,
        "line": {"width": 0},
        "layer": "below",
    }


Rows = Sequence[tuple[int, Estimate]]


def _bars(rows: Rows, span: tuple[float, float]) -> list[dict[str, Any]]:
    """Return the intervals, one trace a colour; an unbounded end runs out of the plot."""
    found: dict[str, dict[str, list[Any]]] = {}
    for place, one in rows:
        bar = found.setdefault(one.colour, {"x": [], "y": []})
        ends = zip((one.interval.low, one.interval.high), span, strict=True)
        bar["x"] += [*(end if isfinite(end) else edge for end, edge in ends), None]
        bar["y"] += [place + MARK, place + MARK, None]
    return [
        {
            "type": "scatter",
            "name": "95 % interval",
            **bar,
            "mode": "lines",
            "line": {"color": colour, "width": 2.4},
            "hoverinfo": "skip",
        }
        for colour, bar in found.items()
    ]


def _marks(rows: Rows) -> list[dict[str, Any]]:
    """Return the estimates as marks, in one trace."""
    colours = [one.colour for _, one in rows]
    marks = {
        "type": "scatter",
        "name": "estimate",
        "x": [one.interval.value for _, one in rows],
        "y": [place + MARK for place, _ in rows],
        "mode": "markers",
        "marker": {
            "size": 10,
            "symbol": [one.symbol if one.filled else f"{one.symbol}-open" for _, one in rows],
            "color": colours,
            "line": {"width": 2, "color": colours},
        },
        "text": [one.hover or style.plain(one.label) for _, one in rows],
        "hovertemplate": "%{text}<extra></extra>",
    }
    return [marks] if rows else []


def _words(estimates: Sequence[Estimate], *, sign: bool) -> list[dict[str, Any]]:
    """Return what the rows are of, at their left, and numbers with their words at their right."""
    shared = {
        "type": "scatter",
        "mode": "text",
        "xaxis": "x2",
        "y": [place - WORDS for place in range(len(estimates))],
        "hoverinfo": "skip",
        "cliponaxis": False,
    }
    labels = {
        "name": "label",
        "x": [0] * len(estimates),
        "text": [style.plain(one.label, LONGEST) for one in estimates],
        "textposition": "top right",
        "textfont": {"size": style.NOTE_SIZE + 1},
    }
    numbers = {
        "name": "number",
        "x": [1] * len(estimates),
        "text": [_number(one, sign=sign) for one in estimates],
        "textposition": "top left",
        "textfont": {"size": style.NOTE_SIZE},
    }
    return [shared | labels, shared | numbers]


def _number(one: Estimate, *, sign: bool) -> str:
    known = isfinite(one.interval.value)
    value = number(one.interval.value, sign=sign).replace("-", "−") if known else "not known"
    return f"{value} {one.word}".strip()
