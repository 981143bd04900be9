"""The event rail: a strip below the curves that marks the records at which something happened.

Each kind has a row, a mark and a word of its own. The rail shares the x-axis with the curves
above it and has no scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from diagnostics.axis import View
from diagnostics.events import GRADIENT_BURST, KINDS, LOSS_SPIKE, NOT_FINITE, Event
from diagnostics.figures import style

LOOKS = {
    LOSS_SPIKE: ("loss", "triangle-up", "#B87503"),
    GRADIENT_BURST: ("gradient", "diamond", "#8A63D2"),
    NOT_FINITE: ("no number", "x", "#D64B7F"),
}
"""Word in the margin, mark and colour of each kind."""

ROW = 0.06
"""Share of the figure's height that one kind takes."""

MOST = 200
"""Marks of one kind at most; of more, evenly chosen ones are drawn, and the hover says so."""


def add(drawing: go.Figure, events: Sequence[Event], view: View) -> None:
    """Add the rail to a figure of curves; nothing where nothing happened in view."""
    first, last = view.steps or (-np.inf, np.inf)
    seen = [one for one in events if one.step <= last and (one.last or one.step) >= first]
    kinds = [kind for kind in KINDS if any(one.kind == kind for one in seen)]
    if not kinds:
        return
    top = ROW * len(kinds)
    drawing.update_layout(
        xaxis={"anchor": "y2"},
        yaxis={"domain": [top + 0.04, 1]},
        yaxis2={
            "domain": [0, top],
            "range": [len(kinds) - 0.5, -0.5],
            "tickvals": list(range(len(kinds))),
            "ticktext": [LOOKS[kind][0] for kind in kinds],
            "tickfont": {"size": style.NOTE_SIZE - 1},
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
            "automargin": True,
        },
    )
    for row, kind in enumerate(kinds):
        _draw(drawing, [one for one in seen if one.kind == kind], row, view)


def _draw(drawing: go.Figure, events: list[Event], row: int, view: View) -> None:
    """Draw the marks of one kind, and a line over the stretches."""
    word, symbol, colour = LOOKS[events[0].kind]
    kept = np.unique(np.linspace(0, len(events) - 1, MOST).astype(int))
    shown = [events[at] for at in kept] if len(events) > MOST else events
    more = f"<br>{len(events):,} in view, {MOST} drawn" if len(events) > MOST else ""
    places = view.axis.at([one.step for one in shown])
    drawing.add_scatter(
        x=places,
        y=np.full(len(shown), row),
        mode="markers",
        marker={"symbol": symbol, "color": colour, "size": 9},
        text=[_words(one) + more for one in shown],
        hovertemplate="%{text}<extra></extra>",
        yaxis="y2",
        showlegend=False,
        name=f"event: {word}",
    )
    stretches = [one for one in shown if one.last is not None and one.last > one.step]
    if stretches:
        ends = np.array([(one.step, one.last, one.last) for one in stretches], dtype=np.float64)
        x = view.axis.at(ends)
        x[:, 2] = np.nan  # lifts the pen
        drawing.add_scatter(
            x=x.ravel(),
            y=np.full(x.size, row),
            mode="lines",
            line={"color": colour, "width": 3},
            hoverinfo="skip",
            yaxis="y2",
            showlegend=False,
            name=f"event: {word}, how long",
        )


def _words(event: Event) -> str:
    until = f" to {event.last:,}" if event.last is not None and event.last > event.step else ""
    return f"step {event.step:,}{until}: {style.plain(event.text, 90)}"
