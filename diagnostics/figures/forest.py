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
    rows = list(enumerate(estimates))
    # All at once: one by one, each annotation costs plotly milliseconds.
    drawing.add_traces([line for place, one in rows for line in _lines(place, one, (low, high))])
    drawing.update_layout(
        shapes=[_stripe(place) for place, _ in rows if place % 2 == 0],
        annotations=[words for place, one in rows for words in _words(place, one, sign=sign)],
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


def _lines(place: int, one: Estimate, span: tuple[float, float]) -> list[dict[str, Any]]:
    """Return one mark on its interval; an unbounded end runs out of the plot."""
    interval = one.interval
    if not isfinite(interval.value):
        return []
    ends = [
        end if isfinite(end) else edge
        for end, edge in zip((interval.low, interval.high), span, strict=True)
    ]
    shared = {"type": "scatter", "name": style.plain(one.label)}
    bar = {
        "x": ends,
        "y": [place + MARK, place + MARK],
        "mode": "lines",
        "line": {"color": one.colour, "width": 2.4},
        "hoverinfo": "skip",
    }
    mark = {
        "x": [interval.value],
        "y": [place + MARK],
        "mode": "markers",
        "marker": {
            "size": 10,
            "symbol": one.symbol if one.filled else f"{one.symbol}-open",
            "color": one.colour,
            "line": {"width": 2, "color": one.colour},
        },
        "text": [one.hover or style.plain(one.label)],
        "hovertemplate": "%{text}<extra></extra>",
    }
    return [shared | bar, shared | mark]


def _words(place: int, one: Estimate, *, sign: bool) -> list[dict[str, Any]]:
    """Return what the row is of, at its left, and its number with its word at its right."""
    known = isfinite(one.interval.value)
    value = number(one.interval.value, sign=sign).replace("-", "−") if known else "not known"
    shared = {"xref": "paper", "y": place - 0.2, "yanchor": "bottom", "showarrow": False}
    label = {
        "text": style.plain(one.label, LONGEST),
        "x": 0,
        "xanchor": "left",
        "font": {"size": style.NOTE_SIZE + 1},
    }
    found = {
        "text": f"{value} {one.word}".strip(),
        "x": 1,
        "xanchor": "right",
        "font": {"size": style.NOTE_SIZE},
    }
    return [shared | label, shared | found]
