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

from diagnostics.axis import WHOLE, View
from diagnostics.figures import style
from diagnostics.figures.thinning import thin
from diagnostics.forecast import Forecast
from diagnostics.intervals import Interval
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.share import ShareEstimate

FARTHEST = (-3.0, 4.0)
"""Shares beyond are cut off: what matters there is the side of 0 and 1."""

_ENDS = ("low", "high")

Pick = Callable[[ShareEstimate], Interval | None]

LINES: tuple[tuple[str, str, str, Pick], ...] = (
    ("chosen", style.CHOSEN, "solid", lambda e: e.delta_chosen),
    ("rejected", style.REJECTED, "dash", lambda e: e.delta_rejected),
    ("margin", style.MARGIN, "dot", lambda e: e.margin),
    ("reference samples", style.REFERENCE, "dashdot", lambda e: _negated(e.drift)),
)


def change(
    estimates: Sequence[ShareEstimate],
    view: View = WHOLE,
    *,
    ahead: Forecast | None = None,
    height: int = 340,
) -> go.Figure:
    """Return the changes per token of one split over the steps, each with its band.

    `ahead` is where chosen is going; it is drawn against steps only, the one axis on which what
    has not happened yet has a place.
    """
    drawing = style.figure(
        height,
        style.along(view.axis),
        style.axis(f"Δ since the start [{NATS_PER_TOKEN}]"),
    )
    for name, colour, dash, pick in LINES:
        _band(drawing, within(estimates, view), pick, (name, colour, dash), view)
    if ahead is not None and view.axis.counts_steps and view.steps is None:
        _ahead(drawing, ahead)
    look(drawing, view)
    drawing.update_layout(showlegend=True, hovermode="x unified")
    return drawing


def within(estimates: Sequence[ShareEstimate], view: View) -> list[ShareEstimate]:
    """Return the evaluations in view, and the next one on either side to draw lines to."""
    if view.steps is None:
        return list(estimates)
    low, high = view.steps
    before = [at for at, one in enumerate(estimates) if one.step < low]
    after = [at for at, one in enumerate(estimates) if one.step > high]
    first = before[-1] if before else 0
    last = after[0] if after else len(estimates) - 1
    return list(estimates[first : last + 1])


def look(drawing: go.Figure, view: View) -> None:
    """Fit the x-axis to the steps in view."""
    if view.steps is not None:
        drawing.update_xaxes(range=list(view.axis.span(*view.steps)))


def share(estimates: Sequence[ShareEstimate], view: View = WHOLE, height: int = 240) -> go.Figure:
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
        style.along(view.axis),
        style.axis("Chosen share S", range=[low, high], dtick=1),
    )
    drawing.add_hrect(y0=0, y1=1, fillcolor=style.SHADE, line={"width": 0}, layer="below")
    seen = within(estimates, view)
    _band(drawing, seen, lambda e: e.share, ("share", style.MARGIN, "solid"), view)
    look(drawing, view)
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
    shape: tuple[str, str, str],
    view: View,
) -> None:
    """Draw one quantity as a line in its interval's band; nothing when it was never estimated."""
    name, colour, dash = shape
    intervals = [pick(estimate) for estimate in estimates]
    if all(interval is None for interval in intervals):
        return
    places = view.axis.at([estimate.step for estimate in estimates])
    rows = [(np.nan, np.nan, np.nan) if i is None else (i.value, i.low, i.high) for i in intervals]
    value, low, high = np.array(rows, dtype=float).T
    for edge in (low, high):
        edge[~np.isfinite(edge)] = value[~np.isfinite(edge)]
    on_axis = np.isfinite(places)
    places, value, low, high = (one[on_axis] for one in (places, value, low, high))
    _fill(drawing, places, low, high, colour, name)
    x, y = thin(places, value, 500)
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


def _ahead(drawing: go.Figure, found: Forecast) -> None:
    """Draw the forecast of chosen as a dashed path with its interval, its peak, its crossing."""
    if found.path:
        x = np.array([step for step, _ in found.path])
        low, high = (np.array([getattr(one, end) for _, one in found.path]) for end in _ENDS)
        _fill(drawing, x, low, high, style.CHOSEN, "forecast")
        drawing.add_scatter(
            x=x,
            y=[one.value for _, one in found.path],
            mode="lines",
            line={"color": style.CHOSEN, "width": 2, "dash": "longdash"},
            legendgroup="forecast",
            name="forecast of chosen",
            hovertemplate="%{y:+.3f}",
        )
    marks = (
        ("peak of chosen", found.peak_step, found.peak, "triangle-up-open"),
        ("chosen back at its start", found.crossing_step, 0.0, "x-open"),
    )
    for name, step, value, symbol in marks:
        if step is not None and value is not None:
            drawing.add_scatter(
                x=[step.value],
                y=[value],
                mode="markers",
                marker={"symbol": symbol, "size": 11, "color": style.CHOSEN, "line": {"width": 2}},
                legendgroup="forecast",
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
