"""The courses of several runs as small charts of one scale: a quantity each, or a run each.

All charts of one set share both axes, so that what looks larger is larger. A line is told by its
colour and by the mark at its end, because colours repeat from the ninth run on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from diagnostics.courses import Course, Line
from diagnostics.figures import style
from diagnostics.figures.lines import smoothing_window
from diagnostics.figures.thinning import smooth, thin
from diagnostics.intervals import Floats, Interval
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.seeds import SeedBand

LABELS = {
    "chosen": "Δ chosen",
    "rejected": "Δ rejected",
    "margin": "Margin",
    "drift": "Drift",
}
SIDES = ("chosen", "rejected", "margin")
FEW = 6
"""With more runs in one chart, bands would cover one another: only ends carry intervals."""

MAX_POINTS = 300
"""Points of one line in a small chart."""

PANEL = 132
"""Height of the chart of one run [pixels]."""

Span = tuple[float, float]


@dataclass(frozen=True)
class Drawn:
    """One run's course and how it looks in every figure."""

    course: Course
    colour: str
    symbol: str = "circle"
    label: str = ""

    @property
    def name(self) -> str:
        """What the run is called in a small chart."""
        return self.label or self.course.name


def label_of(quantity: str, unit: str = NATS_PER_TOKEN) -> str:
    """Return the title of an axis: a quantity of a course, or "step".

    Examples
    --------
    >>> label_of("chosen"), label_of("step")
    ('Δ chosen [nats per token]', 'Optimizer step')
    """
    return "Optimizer step" if quantity == "step" else f"{LABELS[quantity]} [{unit}]"


def smoothed(course: Course) -> Course:
    """Return a course off a long log by its running means; one off fixed pairs as it is."""
    window = smoothing_window(len(course.steps)) if course.from_log else 1
    if window < 2:
        return course
    lines = {
        name: replace(line, value=smooth(line.value, window)) for name, line in course.lines.items()
    }
    return replace(course, lines=lines)


def spans(drawn: Sequence[Drawn], matched: str, shown: Iterable[str]) -> tuple[Span, Span]:
    """Return the ranges of x and y that hold every line of these quantities."""
    xs: list[Floats] = []
    ys: list[Floats] = [np.zeros(1)]
    for one in drawn:
        x = one.course.along(matched)
        xs += [] if x is None else [x]
        for name in shown:
            line = one.course.lines.get(name)
            if line is not None and x is not None:
                ys += [line.value, np.array(_ends(line))]
    return _span(xs, 0.03), _span(ys, 0.06)


def by_quantity(
    drawn: Sequence[Drawn],
    quantity: str,
    matched: str,
    span: tuple[Span, Span],
    bands: Sequence[SeedBand] = (),
    height: int = 300,
) -> go.Figure:
    """Return one quantity of every run over the step, the margin or the drift.

    `bands` show seeds together: their runs become faint and their median with its range stands
    out.
    """
    unit = next((one.course.unit for one in drawn if one.course.lines), NATS_PER_TOKEN)
    drawing = style.figure(height, *_axes(matched, unit, span, label_of(quantity, unit)))
    seeded = {name for band in bands for name in band.runs}
    for one in drawn:
        _course(drawing, one, quantity, matched, faint=one.course.name in seeded, few=len(drawn))
    _mark_ends(drawing, [one for one in drawn if one.course.name not in seeded], quantity, matched)
    colours = {one.course.name: one.colour for one in drawn}
    for band in bands:
        if band.quantity == quantity:
            _seeds(drawing, band, colours.get(band.runs[0], style.REFERENCE))
    drawing.update_layout(showlegend=False, margin={"t": 8})
    return drawing


def by_run(drawn: Sequence[Drawn], matched: str, span: tuple[Span, Span]) -> go.Figure:
    """Return one chart a run, below each other, each with chosen, rejected and margin."""
    unit = next((one.course.unit for one in drawn if one.course.lines), NATS_PER_TOKEN)
    count = len(drawn)
    drawing = make_subplots(count, 1, shared_xaxes=True, vertical_spacing=0.22 / count)
    x_axis, y_axis = _axes(matched, unit, span, None)
    drawing.update_xaxes(**{**x_axis, "title": None})
    drawing.update_yaxes(**y_axis, nticks=4)
    drawing.update_xaxes(title=x_axis["title"], row=count)
    for row, one in enumerate(drawn, start=1):
        for side in SIDES:
            if side != matched:
                _side(drawing, one, side, matched, row)
        drawing.add_annotation(
            text=f"<b>{style.plain(one.name, 30)}</b>",
            x=0,
            xref="paper",
            xanchor="left",
            y=1,
            yref=f"y{row if row > 1 else ''} domain",
            yanchor="bottom",
            showarrow=False,
            font={"size": style.NOTE_SIZE},
        )
    drawing.update_layout(
        height=PANEL * count + 50,
        showlegend=False,
        margin={"l": 8, "r": 12, "t": 22, "b": 8},
        hovermode="closest",
        transition={"duration": 0},
    )
    return drawing


def _axes(
    matched: str, unit: str, span: tuple[Span, Span], title: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    x = style.along() if matched == "step" else style.axis(label_of(matched, unit))
    return {**x, "range": list(span[0])}, style.axis(title, range=list(span[1]))


def _course(
    drawing: go.Figure, one: Drawn, quantity: str, matched: str, *, faint: bool, few: int
) -> None:
    """Draw one quantity of one run: band or bars, and line."""
    line, x = one.course.lines.get(quantity), one.course.along(matched)
    if line is None or x is None or not np.isfinite(line.value).any():
        return
    if few <= FEW and not faint:
        _spread(drawing, x, line, one.colour, matched)
    kept_x, kept = _thinned(x, line.value, matched)
    drawing.add_scatter(
        x=kept_x,
        y=kept,
        mode="lines",
        line={
            "color": style.translucent(one.colour, 0.45) if faint else one.colour,
            "width": 1 if faint else 2,
            "dash": "dot" if one.course.from_log else "solid",
        },
        name=style.plain(one.course.name),
        hovertemplate=_hover(one.course, quantity, matched),
    )


def _side(drawing: go.Figure, one: Drawn, side: str, matched: str, row: int) -> None:
    """Draw one side of one run in its own chart, in the side's colour and dash."""
    line, x = one.course.lines.get(side), one.course.along(matched)
    if line is None or x is None or not np.isfinite(line.value).any():
        return
    colour = style.SIDE_COLOUR[side]
    _spread(drawing, x, line, colour, matched, row)
    kept_x, kept = _thinned(x, line.value, matched)
    drawing.add_scatter(
        x=kept_x,
        y=kept,
        mode="lines",
        line={"color": colour, "width": 1.8, "dash": style.SIDE_DASH[side]},
        name=f"{style.plain(one.course.name)}, {side}",
        hovertemplate=_hover(one.course, side, matched),
        row=row,
        col=1,
    )


def _spread(
    drawing: go.Figure, x: Floats, line: Line, colour: str, matched: str, row: int | None = None
) -> None:
    """Draw the 95 % intervals: a band over the steps, bars over what does not only grow."""
    known = np.flatnonzero(np.isfinite(line.low) & np.isfinite(line.high) & np.isfinite(x))
    if len(known) < 2:
        return
    if len(known) > MAX_POINTS:
        known = known[np.unique(np.linspace(0, len(known) - 1, MAX_POINTS).round().astype(int))]
    place = {} if row is None else {"row": row, "col": 1}
    low, high, at = line.low[known], line.high[known], x[known]
    if matched == "step":
        xs, ys = np.concatenate([at, at[::-1]]), np.concatenate([high, low[::-1]])
        look = {"fill": "toself", "fillcolor": style.translucent(colour, 0.13)}
        width = 0.0
    else:
        gaps = np.full(len(known), np.nan)
        xs, ys = (np.stack(c, axis=1).ravel() for c in ((at, at, gaps), (low, high, gaps)))
        look, width = {}, 1.2
    drawing.add_scatter(
        x=xs,
        y=ys,
        mode="lines",
        line={"color": style.translucent(colour, 0.5), "width": width},
        hoverinfo="skip",
        name="95 % interval",
        **look,
        **place,
    )


def _mark_ends(drawing: go.Figure, drawn: Sequence[Drawn], quantity: str, matched: str) -> None:
    """Draw each run's mark at the end of its line, with the interval of its last estimate.

    Runs of one colour share a trace: a browser takes milliseconds for each.
    """
    found: dict[str, list[tuple[Drawn, float, Interval]]] = {}
    for one in drawn:
        end = _end(one.course, quantity, matched)
        if end is not None:
            found.setdefault(one.colour, []).append((one, *end))
    for colour, ends in found.items():
        drawing.add_scatter(
            x=[x for _, x, _ in ends],
            y=[end.value for _, _, end in ends],
            mode="markers",
            marker={"size": 9, "symbol": [one.symbol for one, _, _ in ends], "color": colour},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [end.high - end.value for _, _, end in ends],
                "arrayminus": [end.value - end.low for _, _, end in ends],
                "color": style.translucent(colour, 0.6),
                "thickness": 1.5,
                "width": 3,
            },
            name=", ".join(style.plain(one.course.name) for one, _, _ in ends),
            hovertemplate=[_hover(one.course, quantity, matched) for one, _, _ in ends],
        )


def _end(course: Course, quantity: str, matched: str) -> tuple[float, Interval] | None:
    """Return where a line ends, and the estimate there; without bounds the bar has no length."""
    line, x = course.lines.get(quantity), course.along(matched)
    if line is None or x is None:
        return None
    known = np.flatnonzero(np.isfinite(line.value) & np.isfinite(x))
    if not known.size:
        return None
    last = int(known[-1])
    value = float(line.value[last])
    end = line.end
    if end is None or not (isfinite(end.low) and isfinite(end.high)):
        end = Interval(value, value, value)
    return float(x[last]), end


def _seeds(drawing: go.Figure, band: SeedBand, colour: str) -> None:
    """Draw the median of a group of seeds in the range of its runs."""
    name = f"{style.plain(band.label)}, {band.seeds} seeds"
    drawing.add_scatter(
        x=np.concatenate([band.at, band.at[::-1]]),
        y=np.concatenate([band.high, band.low[::-1]]),
        mode="lines",
        fill="toself",
        fillcolor=style.translucent(colour, 0.2),
        line={"width": 0},
        hoverinfo="skip",
        name=f"{name}, range",
    )
    drawing.add_scatter(
        x=band.at,
        y=band.median,
        mode="lines",
        line={"color": colour, "width": 3},
        name=f"{name}, median",
        hovertemplate=f"<b>{name}</b><br>median %{{y:+.3f}}<extra></extra>",
    )


def _thinned(x: Floats, y: Floats, matched: str) -> tuple[Floats, Floats]:
    """Return the points of a line; along a margin or a drift they stay in the order of training."""
    if matched == "step":
        return thin(x, y, MAX_POINTS)
    known = np.isfinite(x) & np.isfinite(y)
    kept, _ = thin(np.flatnonzero(known), y[known], MAX_POINTS)
    return x[kept], y[kept]


def _hover(course: Course, quantity: str, matched: str) -> str:
    what = LABELS[quantity]
    where = "step %{x:,.0f}" if matched == "step" else f"{matched} %{{x:.3f}}"
    source = " of the log" if course.from_log else ""
    return (
        f"<b>{style.plain(course.name)}</b>, {where}{source}<br>{what} %{{y:+.3f}} {course.unit}"
        "<extra></extra>"
    )


def _ends(line: Line) -> list[float]:
    end = line.end
    return [] if end is None else [one for one in (end.low, end.high) if isfinite(one)]


def _span(parts: Sequence[Floats], air: float) -> Span:
    """Return the range of all finite numbers with some air, (0, 1) where there are none."""
    values = np.concatenate([*parts, np.empty(0)])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    room = air * (high - low) or 0.5
    return low - room, high + room
