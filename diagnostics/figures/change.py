"""How far each side of the fixed probe pairs has moved, with what the pairs allow to be said.

Lines are means over the probe pairs, bands their 95 % confidence intervals. The same pairs are
scored at every evaluation, so these curves show the policy, not the luck of the batch. The
reference samples tell how far any typical text has fallen: a chosen side that falls no more than
they do is carried by the tide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import plotly.graph_objects as go

from diagnostics.figures import style
from diagnostics.figures.thinning import thin
from diagnostics.intervals import Interval
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.share import ShareEstimate

FARTHEST = (-3.0, 4.0)
"""Shares beyond are cut off: what matters there is the side of 0 and 1."""

Pick = Callable[[ShareEstimate], Interval | None]

LINES: tuple[tuple[str, str, str, Pick], ...] = (
    ("chosen", style.CHOSEN, "solid", lambda e: e.delta_chosen),
    ("rejected", style.REJECTED, "dash", lambda e: e.delta_rejected),
    ("margin", style.MARGIN, "dot", lambda e: e.margin),
    ("reference samples", style.REFERENCE, "dashdot", lambda e: _negated(e.drift)),
)


def change(estimates: Sequence[ShareEstimate], height: int = 340) -> go.Figure:
    """Return the changes per token of one split over the steps, each with its band."""
    drawing = style.figure(
        height,
        style.step_axis(),
        style.axis(f"Δ since the start [{NATS_PER_TOKEN}]"),
    )
    for name, colour, dash, pick in LINES:
        _band(drawing, estimates, pick, (name, colour, dash))
    drawing.update_layout(showlegend=True, hovermode="x unified")
    return drawing


def share(estimates: Sequence[ShareEstimate], height: int = 240) -> go.Figure:
    """Return the chosen share S over the steps: below 0 both fall, above 1 both rise.

    The axis shows -1 to 2, and as much of `FARTHEST` as the values need: early shares, of a small
    margin, can be anything. Where the margin is within its noise there is no share and the line
    has a gap.
    """
    values = [point.share.value for point in estimates if point.share is not None]
    low = max(FARTHEST[0], min([-1.0, *(value - 0.2 for value in values)]))
    high = min(FARTHEST[1], max([2.0, *(value + 0.2 for value in values)]))
    drawing = style.figure(
        height,
        style.step_axis(),
        style.axis("Chosen share S", range=[low, high], dtick=1),
    )
    drawing.add_hrect(y0=0, y1=1, fillcolor=style.SHADE, line={"width": 0}, layer="below")
    _band(drawing, estimates, lambda e: e.share, ("share", style.MARGIN, "solid"))
    for text, y in (("↑↑ both rise", (1 + high) / 2), ("↑↓ ideal", 0.5), ("↓↓ both fall", low / 2)):
        drawing.add_annotation(
            text=text,
            x=1,
            xref="paper",
            xanchor="left",
            xshift=4,
            y=y,
            showarrow=False,
            font={"size": style.NOTE_SIZE},
        )
    drawing.update_layout(showlegend=False, margin={"t": 12, "r": 84})
    return drawing


def _negated(interval: Interval | None) -> Interval | None:
    if interval is None:
        return None
    return Interval(-interval.value, -interval.high, -interval.low)


def _band(
    drawing: go.Figure,
    estimates: Sequence[ShareEstimate],
    pick: Pick,
    look: tuple[str, str, str],
) -> None:
    """Draw one quantity as a line in its interval's band; nothing when it was never estimated."""
    name, colour, dash = look
    intervals = [pick(estimate) for estimate in estimates]
    if all(interval is None for interval in intervals):
        return
    steps = np.array([estimate.step for estimate in estimates])
    rows = [(np.nan, np.nan, np.nan) if i is None else (i.value, i.low, i.high) for i in intervals]
    value, low, high = np.array(rows, dtype=float).T
    for edge in (low, high):
        edge[~np.isfinite(edge)] = value[~np.isfinite(edge)]
    _fill(drawing, steps, low, high, colour, name)
    x, y = thin(steps, value, 500)
    drawing.add_scatter(
        x=x,
        y=y,
        mode="lines+markers" if len(x) < 40 else "lines",
        line={"color": colour, "width": 2.2, "dash": dash},
        marker={"size": 5, "color": colour},
        legendgroup=name,
        name=name,
        hovertemplate="%{y:+.3f}",
    )


def _fill(
    drawing: go.Figure,
    steps: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    colour: str,
    name: str,
) -> None:
    """Shade between the bounds of the intervals, skipping evaluations without one."""
    known = np.isfinite(low) & np.isfinite(high)
    # A band is smooth: an even choice of its points loses nothing, and keeps both edges aligned.
    kept = np.flatnonzero(known)
    if len(kept) > 500:
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, 500).round().astype(int))]
    if len(kept) < 2:
        return
    drawing.add_scatter(
        x=np.concatenate([steps[kept], steps[kept][::-1]]),
        y=np.concatenate([high[kept], low[kept][::-1]]),
        mode="lines",
        fill="toself",
        fillcolor=style.translucent(colour, 0.16),
        line={"width": 0},
        hoverinfo="skip",
        legendgroup=name,
        showlegend=False,
        name=f"{name}, 95 % interval",
    )
