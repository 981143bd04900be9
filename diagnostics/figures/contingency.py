"""Ranked rightly or wrongly, at the start and now: the four cases as a table and over training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from diagnostics.figures import style
from diagnostics.pairs import RANKINGS, Contingency

KEPT, LEARNED, FORGOTTEN, WRONG = RANKINGS

COLOUR = {KEPT: "#0E8F7E", LEARNED: "#0E8F7E", FORGOTTEN: "#8A63D2", WRONG: "#808890"}
PATTERN = {KEPT: "", LEARNED: "/", FORGOTTEN: "\\", WRONG: "."}
"""Right now is teal, right no longer is purple; the hatching tells them apart without colour."""

# (row, column) of a case in `Contingency.counts`, and its place on the map: now to the right,
# the start upwards.
_PLACES = {KEPT: (0, 0), FORGOTTEN: (0, 1), LEARNED: (1, 0), WRONG: (1, 1)}
WORDS = ("ranked right", "ranked wrong")


def contingency(found: Contingency, *, height: int = 320) -> go.Figure:
    """Return the 2 by 2 map: rows are the start, columns are now, the deeper the more pairs."""
    total = max(found.pairs, 1)
    drawing = style.figure(
        height,
        _axis("Policy now", WORDS),
        _axis("At the start", WORDS[::-1]),
    )
    drawing.add_heatmap(
        x=[0, 1],
        y=[1, 0],
        z=found.counts,
        colorscale=[[0, "rgba(0,0,0,0)"], [1, "rgba(0,0,0,0)"]],
        showscale=False,
        hovertemplate="%{z} pairs<extra></extra>",
    )
    for name, (row, column) in _PLACES.items():
        count = int(found.counts[row, column])
        y = 1 - row
        drawing.add_shape(
            type="rect",
            **{"x0": column - 0.48, "x1": column + 0.48, "y0": y - 0.48, "y1": y + 0.48},
            fillcolor=style.translucent(COLOUR[name], 0.06 + 0.5 * count / total),
            line={"width": 1, "color": style.translucent(COLOUR[name], 0.6)},
            layer="below",
        )
        drawing.add_annotation(
            x=column,
            y=y,
            text=f"<b>{count:,}</b> · {100 * count / total:.0f} %<br>{name}",
            showarrow=False,
            font={"size": style.NOTE_SIZE + 2},
        )
    drawing.update_layout(margin={"t": 8})
    return drawing


def _axis(title: str, words: tuple[str, str]) -> dict[str, object]:
    return style.axis(
        title,
        range=[-0.5, 1.5],
        tickvals=[0, 1],
        ticktext=list(words),
        showgrid=False,
        zeroline=False,
        fixedrange=True,
    )


def history(shares: pd.DataFrame, *, height: int = 320) -> go.Figure:
    """Return the four cases stacked over the evaluations; the first two are right now."""
    drawing = style.figure(
        height,
        style.along(),
        style.axis("Pairs [%]", range=[0, 100], zeroline=False),
    )
    for name in RANKINGS:
        drawing.add_scatter(
            x=shares.index,
            y=100 * np.asarray(shares[name], dtype=np.float64),
            name=name,
            mode="lines",
            stackgroup="pairs",
            line={"width": 1.2, "color": COLOUR[name]},
            fillcolor=style.translucent(COLOUR[name], 0.5 if name == KEPT else 0.25),
            fillpattern={
                "shape": PATTERN[name],
                "fgcolor": style.translucent(COLOUR[name], 0.7),
                "bgcolor": style.translucent(COLOUR[name], 0.2),
                "size": 7,
            },
            hovertemplate="%{y:.0f} %",
        )
    if len(shares):
        style.whole_steps(drawing, float(shares.index[0]), float(shares.index[-1]))
    drawing.update_layout(hovermode="x unified", legend={"traceorder": "normal"})
    return drawing
