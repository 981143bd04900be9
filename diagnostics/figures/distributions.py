"""Both sides of the pairs as two distributions on one axis."""

from __future__ import annotations

from collections.abc import Mapping
from math import pi, sqrt

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from diagnostics.figures import style
from diagnostics.figures.thinning import finite

MOST_BINS = 30
SHARE = "Completions [%]"


def distributions(
    values: Mapping[str, ArrayLike], title: str, *, normal: bool = False, height: int = 320
) -> go.Figure:
    """Return a histogram of each side on common bins, its median as a line.

    Parameters
    ----------
    values
        By side: "chosen", "rejected".
    title
        Of the axis: quantity and unit.
    normal
        Whether to draw the standard normal density beside them.
    """
    known = {side: own[np.isfinite(own)] for side, own in _floats(values).items()}
    known = {side: own for side, own in known.items() if own.size}
    drawing = style.figure(
        height,
        style.axis(title, showgrid=True, zeroline=False),
        style.axis(SHARE, rangemode="tozero"),
    )
    if not known:
        return drawing
    edges = _edges(np.concatenate(list(known.values())))
    for side, own in known.items():
        shares = 100 * np.histogram(own, edges)[0] / own.size
        colour = style.SIDE_COLOUR[side]
        drawing.add_scatter(
            x=np.repeat(edges, 2)[1:-1],
            y=np.repeat(shares, 2),
            mode="lines",
            fill="tozeroy",
            name=f"{side}, median {np.median(own):+.2f}".replace("-", "−"),
            line={"color": colour, "width": 2, "dash": style.SIDE_DASH[side]},
            fillcolor=style.translucent(colour, 0.14),
            hovertemplate="%{y:.0f} %",
        )
        drawing.add_vline(
            x=float(np.median(own)),
            line={"color": colour, "width": 1.4, "dash": style.SIDE_DASH[side]},
        )
    if normal:
        at = np.linspace(min(edges[0], -3.0), max(edges[-1], 3.0), 120)
        width = float(edges[1] - edges[0])
        drawing.add_scatter(
            x=at,
            y=100 * width * np.exp(-(at**2) / 2) / sqrt(2 * pi),
            mode="lines",
            name="the policy's own text",
            line={"color": style.REFERENCE, "width": 1.6, "dash": "dot"},
            hoverinfo="skip",
        )
    return drawing


def _floats(values: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    return {side: finite(own) for side, own in values.items()}


def _edges(values: np.ndarray) -> np.ndarray:
    """Return edges of equal bins over all values, by Freedman and Diaconis within bounds."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.array([low - 0.5, low + 0.5])
    quartiles = np.quantile(values, [0.25, 0.75])
    width = 2 * float(quartiles[1] - quartiles[0]) / values.size ** (1 / 3)
    count = (high - low) / width if width > 0 else MOST_BINS
    return np.linspace(low, high, int(np.clip(np.ceil(count), 5, MOST_BINS)) + 1)
