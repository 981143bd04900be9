"""The plane: where each run has moved its chosen and its rejected completions.

x is the change of the rejected, y the change of the chosen log-probability since the start, both
in nats per token, so that runs of every method share one picture whatever their reward, beta or
completion length. A run starts at the origin. Its quadrant names what it does; its distance above
the diagonal is its margin. Both axes have the same scale: the diagonal is drawn at 45 degrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from diagnostics.figures import style
from diagnostics.intervals import Interval
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.share import ShareEstimate

SMALLEST_SPAN = 0.04
"""Nats per token that an axis shows at least, so that noise is not blown up to a journey."""

CORNERS = (
    ("↑↓ ideal", 0.0, 1.0),
    ("↑↑ both rise", 1.0, 1.0),
    ("↓↓ both fall", 0.0, 0.0),
    ("↓↑ reversed", 1.0, 0.0),
)
"""The four quadrants: direction of chosen and of rejected, and the corner of the figure."""

CORNER_WIDTH, CORNER_HEIGHT = 0.4, 0.2
"""Each quadrant reaches at least this part of the opposite one, so that its name fits in."""

MAX_MARKS = 60
"""Points of one path that carry a mark; the line goes through all that were kept."""


@dataclass(frozen=True)
class Track:
    """One path on the plane: estimates in order of step, and how they are drawn."""

    name: str
    estimates: Sequence[ShareEstimate]
    colour: str
    symbol: str = "circle"
    dash: str = "solid"


def plane(
    tracks: Sequence[Track],
    *,
    ends: Sequence[Track] = (),
    height: int = 480,
    legend: bool = True,
) -> go.Figure:
    """Return the plane with one path a track; tracks without a finite point are left out.

    Of the tracks in `ends` only the last point is drawn, without its interval: paths of hundreds
    of runs would hide each other.
    """
    known = [track for track in tracks if _path(track.estimates)]
    last = [(track, path[-1]) for track in ends if (path := _path(track.estimates))]
    (x_low, x_high), (y_low, y_high) = _ranges(known, [one for _, one in last])
    square = {"scaleanchor": "x", "scaleratio": 1}
    drawing = style.figure(
        height,
        style.axis(f"Δ rejected [{NATS_PER_TOKEN}]", showgrid=True, range=[x_low, x_high]),
        style.axis(f"Δ chosen [{NATS_PER_TOKEN}]", range=[y_low, y_high], **square),
    )
    _background(drawing, max(abs(v) for v in (x_low, x_high, y_low, y_high)))
    for text, x, y in CORNERS:
        drawing.add_annotation(
            text=text,
            x=x,
            y=y,
            xref="paper",
            yref="paper",
            xanchor="left" if x == 0 else "right",
            yanchor="top" if y == 1 else "bottom",
            xshift=6 if x == 0 else -6,
            yshift=-4 if y == 1 else 4,
            showarrow=False,
            font={"size": style.NOTE_SIZE + 1},
        )
    _draw_ends(drawing, last)
    for track in known:
        _draw(drawing, track)
    drawing.update_layout(
        showlegend=legend and len(known) > 0,
        margin={"t": 12},
        legend={"y": -0.16, "yanchor": "top", "itemsizing": "constant"},
    )
    return drawing


def _path(estimates: Sequence[ShareEstimate]) -> list[ShareEstimate]:
    """Return the estimates whose two changes are finite numbers."""
    return [
        estimate
        for estimate in estimates
        if math.isfinite(estimate.delta_chosen.value)
        and math.isfinite(estimate.delta_rejected.value)
    ]


def _ranges(
    tracks: Sequence[Track], ends: Sequence[ShareEstimate]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the x and the y range: every point, the last intervals and the origin inside."""
    xs = [0.0, *(end.delta_rejected.value for end in ends)]
    ys = [0.0, *(end.delta_chosen.value for end in ends)]
    for track in tracks:
        path = _path(track.estimates)
        xs += [estimate.delta_rejected.value for estimate in path]
        ys += [estimate.delta_chosen.value for estimate in path]
        xs += _finite(path[-1].delta_rejected)
        ys += _finite(path[-1].delta_chosen)
    return _padded(xs, CORNER_WIDTH), _padded(ys, CORNER_HEIGHT)


def _finite(interval: Interval) -> list[float]:
    return [bound for bound in (interval.low, interval.high) if math.isfinite(bound)]


def _padded(values: Sequence[float], corner: float) -> tuple[float, float]:
    """Return the range of the values with air around them, and room to name each quadrant."""
    low, high = min(values), max(values)
    air = max(0.14 * (high - low), (SMALLEST_SPAN - (high - low)) / 2)
    low, high = low - air, high + air
    return min(low, -corner * high), max(high, -corner * low)


def zero_margin(drawing: go.Figure, far: float) -> None:
    """Draw the diagonal of zero margin, `far` both ways, and shade where the margin shrinks."""
    drawing.add_shape(
        type="path",
        path=f"M {-far},{-far} L {far},{far} L {far},{-far} Z",
        fillcolor=style.SHADE,
        line={"width": 0},
        layer="below",
    )
    drawing.add_shape(
        type="line",
        x0=-far,
        y0=-far,
        x1=far,
        y1=far,
        line={"color": style.ZERO_LINE, "width": 1.2, "dash": "dot"},
        layer="below",
    )


def _background(drawing: go.Figure, reach: float) -> None:
    """Draw the diagonal of zero margin and its name."""
    zero_margin(drawing, 20 * reach)
    lows, highs = zip(drawing.layout.xaxis.range, drawing.layout.yaxis.range, strict=True)
    at = 0.62 * max(min(highs), max(lows), key=abs)
    drawing.add_annotation(
        text="zero margin",
        x=at,
        y=at,
        textangle=-45,
        xshift=8,
        yshift=-8,
        showarrow=False,
        font={"size": style.NOTE_SIZE},
    )


def _draw(drawing: go.Figure, track: Track) -> None:
    """Draw one path from the origin, small marks on the way, its symbol at the end."""
    path = _thinned(_path(track.estimates))
    x = np.array([0.0] + [estimate.delta_rejected.value for estimate in path])
    y = np.array([0.0] + [estimate.delta_chosen.value for estimate in path])
    hover = ["<b>start</b>"] + [_hover(track.name, estimate) for estimate in path]
    open_mark = track.dash != "solid"
    drawing.add_scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": track.colour, "width": 2, "dash": track.dash},
        marker={"size": 4, "color": track.colour},
        text=hover,
        hovertemplate="%{text}<extra></extra>",
        legendgroup=track.name,
        showlegend=False,
        name=style.plain(track.name, 28),
    )
    last = path[-1]
    drawing.add_scatter(
        x=x[-1:],
        y=y[-1:],
        mode="markers",
        marker={
            "size": 13,
            "symbol": track.symbol + ("-open" if open_mark else ""),
            "color": track.colour,
            "line": {"width": 2, "color": track.colour},
        },
        error_x=_error(last.delta_rejected, track.colour),
        error_y=_error(last.delta_chosen, track.colour),
        text=hover[-1:],
        hovertemplate="%{text}<extra></extra>",
        legendgroup=track.name,
        name=style.plain(track.name, 28),
    )


def _draw_ends(drawing: go.Figure, ends: Sequence[tuple[Track, ShareEstimate]]) -> None:
    """Draw where each track has come to, all of them as one trace."""
    if not ends:
        return
    drawing.add_scatter(
        x=np.array([end.delta_rejected.value for _, end in ends]),
        y=np.array([end.delta_chosen.value for _, end in ends]),
        mode="markers",
        marker={
            "size": 8,
            "symbol": [track.symbol for track, _ in ends],
            "color": [track.colour for track, _ in ends],
            "opacity": 0.7,
        },
        text=[_hover(track.name, end) for track, end in ends],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        name="ends",
    )


def _thinned(path: list[ShareEstimate]) -> list[ShareEstimate]:
    """Return at most `MAX_MARKS` of the points, evenly spread, first and last among them."""
    if len(path) <= MAX_MARKS:
        return path
    kept = np.unique(np.linspace(0, len(path) - 1, MAX_MARKS).round().astype(int))
    return [path[index] for index in kept]


def _error(interval: Interval, colour: str) -> dict[str, object] | None:
    """Return plotly's error bar for an interval, None when it has no width that can be drawn."""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [interval.high - interval.value],
        "arrayminus": [interval.value - interval.low],
        "color": style.translucent(colour, 0.55),
        "thickness": 1.5,
        "width": 0,
    }


def _hover(name: str, estimate: ShareEstimate) -> str:
    """Return the text shown at one point of a path."""
    share = "" if estimate.share is None else f"<br>share S {estimate.share.value:.2f}"
    return (
        f"<b>{style.plain(name)}</b>, step {estimate.step:,}"
        f"<br>Δ chosen {estimate.delta_chosen.value:+.3f}"
        f"<br>Δ rejected {estimate.delta_rejected.value:+.3f}"
        f"<br>margin {estimate.margin.value:+.3f} {NATS_PER_TOKEN}{share}"
    )
