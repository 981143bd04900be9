"""What the margin is made of: a bar for what chosen brings and one for what rejected brings.

The two bars of an evaluation stand on each other and end at the margin; a part that works against
it hangs below 0. Where both sides fall, all of the margin is what rejected lost, less what chosen
lost with it.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from diagnostics.axis import WHOLE, View
from diagnostics.figures import style
from diagnostics.parts import Parts

MOST_BARS = 60
"""Evaluations drawn; of more, evenly chosen ones, first and last among them."""

GAP = 0.25
"""Share of a bar's place that stays free."""

SIDES = (
    ("Δ chosen", "chosen", style.CHOSEN, ""),
    ("−Δ rejected", "rejected", style.REJECTED, "/"),
)


def margin(parts: Parts, view: View = WHOLE, height: int = 300) -> go.Figure:
    """Return the two parts of the margin as stacked bars, with the margin as a line."""
    drawing = style.figure(
        height, style.along(view.axis), style.axis(f"Part of the margin [{parts.unit}]")
    )
    kept, places = _kept(parts, view)
    width = _width(places)
    for label, side, colour, pattern in SIDES:
        drawing.add_bar(
            x=places,
            y=getattr(parts, side)[kept],
            width=width,
            marker={
                "color": style.translucent(colour, 0.8),
                "line": {"width": 0},
                "pattern": {"shape": pattern, "size": 6, "solidity": 0.25, "fillmode": "overlay"},
            },
            name=label,
            hovertemplate="%{y:+.3f}",
        )
    shares = parts.share[kept]
    drawing.add_scatter(
        x=places,
        y=parts.margin[kept],
        mode="lines+markers" if len(kept) < 40 else "lines",
        line={"color": style.MARGIN, "width": 2.2, "dash": "dot"},
        marker={"size": 6, "color": style.MARGIN},
        text=["" if np.isnan(one) else f", S {one:.2f}" for one in shares],
        name="margin",
        hovertemplate="%{y:+.3f}%{text}",
    )
    if view.steps is not None:
        drawing.update_xaxes(range=list(view.axis.span(*view.steps)))
    drawing.update_layout(barmode="relative", showlegend=True, hovermode="x unified")
    return drawing


def _kept(parts: Parts, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Return which steps are drawn, and their places."""
    places = view.axis.at(parts.steps)
    seen = np.isfinite(places)
    if view.steps is not None:
        seen &= (parts.steps >= view.steps[0]) & (parts.steps <= view.steps[1])
    kept = np.flatnonzero(seen)
    if len(kept) > MOST_BARS:
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, MOST_BARS).round().astype(int))]
    return kept, places[kept]


def _width(places: np.ndarray) -> np.ndarray:
    """Return the width of each bar: its place is half the way to either neighbour."""
    if len(places) < 2:
        return np.ones(len(places))
    gaps = np.abs(np.diff(places))
    usual = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 1.0
    left, right = np.append(usual, gaps), np.append(gaps, usual)
    return np.asarray((1 - GAP) * np.minimum(np.minimum(left, right), usual))
