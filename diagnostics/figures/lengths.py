"""Margin against length: every pair, and the mean of pairs whose lengths differ alike."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from diagnostics.figures import style
from diagnostics.figures.small import NEUTRAL
from diagnostics.pairs import LONGER, MARGIN, PAIR, LengthEffect
from diagnostics.schema import NATS_PER_TOKEN

MOST_POINTS = 1000


def margin_by_length(effect: LengthEffect, *, height: int = 340) -> go.Figure:
    """Return the margin of the pairs by how many tokens longer chosen is, with binned means."""
    drawing = style.figure(
        height,
        style.axis("Chosen longer by [tokens]", showgrid=True),
        style.axis(f"Margin [{NATS_PER_TOKEN}]"),
    )
    points = _spread(effect)
    drawing.add_scatter(
        x=points[LONGER],
        y=points[MARGIN],
        mode="markers",
        name="pair",
        marker={"size": 5, "color": NEUTRAL, "opacity": 0.45},
        customdata=points[PAIR],
        hovertemplate="pair %{customdata}<br>%{x:+d} tokens<br>margin %{y:+.3f}<extra></extra>",
    )
    bins = effect.bins
    low, high = (bins[f"{MARGIN} {end}"].to_numpy(np.float64) for end in ("from", "to"))
    mean = bins[MARGIN].to_numpy(np.float64)
    above, below = high - mean, mean - low
    drawing.add_scatter(
        x=bins[LONGER],
        y=mean,
        mode="lines+markers",
        name="mean of similar pairs, 95 %",
        line={"color": style.MARGIN, "width": 2.2},
        marker={"size": 9, "symbol": "diamond"},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": np.where(np.isfinite(above), above, 0),
            "arrayminus": np.where(np.isfinite(below), below, 0),
            "color": style.translucent(style.MARGIN, 0.6),
            "width": 0,
        },
        customdata=bins["Pairs"],
        hovertemplate="mean of %{customdata} pairs %{y:+.3f}<extra></extra>",
    )
    return drawing


def _spread(effect: LengthEffect) -> dict[str, object]:
    """Return at most `MOST_POINTS` points, the smallest and largest margins among them."""
    points = effect.points
    if len(points) > MOST_POINTS:
        order = np.argsort(points[MARGIN].to_numpy(), kind="stable")
        edge = MOST_POINTS // 10
        inner = order[edge:-edge]
        every = np.linspace(0, len(inner) - 1, MOST_POINTS - 2 * edge).round().astype(int)
        points = points.iloc[np.concatenate([order[:edge], inner[every], order[-edge:]])]
    return {name: points[name].to_numpy() for name in points}
