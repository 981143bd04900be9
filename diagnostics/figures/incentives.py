"""The entanglement band: whether the loss pulls so that chosen rises and rejected falls.

q says how much harder the loss pulls on chosen than on rejected. Between rho q* and q*/rho, drawn
as a band, chosen rises and rejected falls to first order; below it both fall, above it both rise.
All three are ratios without a unit, on a logarithmic axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np
import plotly.graph_objects as go

from diagnostics.axis import WHOLE, View
from diagnostics.entanglement import Measured
from diagnostics.figures import style
from diagnostics.figures.small import log_ticks

AIR = 1.6
"""Times the largest and the smallest ratio to which the axis reaches."""

FARTHEST = 30.0
"""Times q beyond which an edge of the band does not stretch the axis: it is far away."""


def incentives(bands: Sequence[Measured], view: View = WHOLE, height: int = 300) -> go.Figure:
    """Return q and its band over the evaluations whose gradients were measured."""
    steps = np.array([one.step for one in bands], dtype=np.float64)
    places = view.axis.at(steps)
    seen = np.isfinite(places)
    if view.steps is not None:
        seen &= (steps >= view.steps[0]) & (steps <= view.steps[1])
    places = places[seen]
    q, low, high = (
        np.array([getattr(one.band, name) for one in bands], dtype=np.float64)[seen]
        for name in ("q", "low", "high")
    )
    bottom, top = _range(q, low, high)
    ticks = log_ticks(np.array([bottom, top]))
    drawing = style.figure(
        height,
        style.along(view.axis),
        style.axis("Ratio, log scale", range=[np.log10(bottom), np.log10(top)], **ticks),
    )
    _band(drawing, places, np.maximum(low, bottom), np.minimum(high, top))
    _edge(drawing, places, np.where(low > 0, low, np.nan), "ρ q*, below it chosen falls", "dash")
    _edge(drawing, places, np.where(np.isfinite(high), high, np.nan), "q*/ρ, above rejected rises")
    drawing.add_scatter(
        x=places,
        y=np.where((q > 0) & np.isfinite(q), q, np.nan),
        mode="lines+markers",
        line={"color": style.MARGIN, "width": 2.4},
        marker={"size": 8, "color": style.MARGIN},
        text=[
            style.regime_label(one.band.regime)
            for one, kept in zip(bands, seen, strict=True)
            if kept
        ],
        name="q",
        hovertemplate="%{y:.3~g}, %{text}",
    )
    if view.steps is not None:
        drawing.update_xaxes(range=list(view.axis.span(*view.steps)))
    drawing.update_layout(showlegend=True, hovermode="x unified")
    _zones(drawing)
    return drawing


def _range(q: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest ratio to show: every q, and the edges near it."""
    own = [value for value in q if value > 0 and isfinite(value)]
    if not own:
        return 0.1, 10.0
    near = [value for value in (*low, *high) if max(own) * FARTHEST >= value >= min(own) / FARTHEST]
    found = [*own, *near]
    return min(found) / AIR, max(found) * AIR


def _band(drawing: go.Figure, x: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    known = np.isfinite(low) & np.isfinite(high)
    if known.sum() < 2:
        return
    x, low, high = x[known], low[known], high[known]
    drawing.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        mode="lines",
        fill="toself",
        fillcolor=style.translucent(style.MARGIN, 0.13),
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        name="band in which chosen rises and rejected falls",
    )


def _edge(drawing: go.Figure, x: np.ndarray, y: np.ndarray, name: str, dash: str = "dot") -> None:
    if not np.isfinite(y).any():
        return
    drawing.add_scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": style.REFERENCE, "width": 1.4, "dash": dash},
        marker={"size": 4, "color": style.REFERENCE},
        name=name,
        hovertemplate="%{y:.3~g}",
    )


def _zones(drawing: go.Figure) -> None:
    """Name what the gradients foretell above and below the band, in the figure's corners."""
    drawing.update_layout(
        annotations=[
            {
                "text": style.regime_label(regime),
                "x": 1,
                "xref": "x domain",
                "xanchor": "right",
                "xshift": -4,
                "y": y,
                "yref": "y domain",
                "yanchor": anchor,
                "showarrow": False,
                "font": {"size": style.NOTE_SIZE},
            }
            for regime, y, anchor in (("both_rise", 1, "top"), ("both_fall", 0, "bottom"))
        ]
    )
