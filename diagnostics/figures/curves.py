"""The two sides of the pair over training: chosen, rejected, and the margin between them.

Every logged value is drawn faint, a running mean on top; the held-out evaluations are open marks
in the same colours. Phases are shaded and named. One axis, one unit: the reward in the method's
own units, or log-probabilities, never both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from diagnostics.axis import WHOLE, View
from diagnostics.errors import MissingMetric
from diagnostics.events import Event
from diagnostics.figures import rail, style
from diagnostics.figures.lines import (
    Look,
    cut,
    draw,
    draw_held_out,
    frame,
    has_numbers,
    placed,
    side_of,
    smoothing_window,
)
from diagnostics.run import Run
from diagnostics.schema import metric
from diagnostics.trends import FittedLines

FAMILIES = {
    "rewards": ("rewards/chosen", "rewards/rejected", "rewards/margins"),
    "logps": ("logps/chosen", "logps/rejected"),
    "logps_per_token": ("logps_per_token/chosen", "logps_per_token/rejected"),
}
"""What the two sides can be shown as; the columns of one family share one unit."""

ROOM = 0.14
"""Share of the width that a phase must have to be named."""

SYMBOLS = {"chosen": "circle-open", "rejected": "square-open", "margin": "diamond-open"}


@dataclass(frozen=True)
class Band:
    """A stretch of steps to shade, and the words that stand over it."""

    first: int
    last: int
    text: str


def families(run: Run) -> list[str]:
    """Return the families that the run holds at least one finite value of, best first."""
    return [family for family, names in FAMILIES.items() if _present(run, names)]


def curves(
    run: Run,
    family: str = "rewards",
    bands: Sequence[Band] = (),
    view: View = WHOLE,
    *,
    since: int | None = None,
    fit: FittedLines | None = None,
    events: Sequence[Event] = (),
    height: int = 380,
) -> go.Figure:
    """Return the curves of the two sides, and of the margin where the log has it.

    Parameters
    ----------
    family
        A key of `FAMILIES`.
    bands
        Phases to shade, in order; a line stands where one ends and the next begins.
    view
        Thinned after the cut, so a short stretch shows every logged value.
    since
        The step from which on the verdict holds.
    fit
        The fitted lines of the two sides in this family's unit.
    events
        What to mark in the rail below the curves.

    Raises
    ------
    MissingMetric
        When the run holds no finite value of the family.
    """
    names = _present(run, FAMILIES[family])
    if not names:
        raise MissingMetric(
            f"run {run.name!r} holds none of {', '.join(FAMILIES[family])}, "
            "so its two sides cannot be drawn; log them or add a probe set"
        )
    entry = metric(names[0])
    quantity = entry.label.partition(",")[0]
    drawing = style.figure(height, style.along(view.axis), style.axis(f"{quantity} [{entry.unit}]"))
    place = frame(drawing, run, view)
    _shade(drawing, bands, view, place, since)
    for name in names:
        if name in run.train:
            draw(drawing, run.train[name], view, _look(name))
    if fit is not None:
        _draw_fit(drawing, fit, view)
    for name in names:
        if name in run.evals:
            draw_held_out(drawing, run.evals[name], view, _look(name))
    drawing.update_layout(showlegend=True, hovermode="x unified")
    rail.add(drawing, events, view)
    return drawing


def reading_aid(run: Run, family: str, view: View = WHOLE, *, fitted: bool = False) -> str:
    """Return in words what the lines and marks of `curves` are, the smoothing among them."""
    names = _present(run, FAMILIES[family])
    points = max(
        (len(cut(run.train[name], view)) for name in names if name in run.train), default=0
    )
    window = smoothing_window(points)
    line = (
        f"Lines are means over {window:,} logged steps, every step faint behind them"
        if window > 1
        else "Lines are the values as logged"
    )
    straight = (
        "; thin lines are the trends that were read off, with their 95 % band" if fitted else ""
    )
    held = any(has_numbers(run.evals, name) for name in names)
    return line + straight + ("; open marks are held-out pairs." if held else ".")


def _present(run: Run, names: Sequence[str]) -> list[str]:
    """Return the columns that hold a finite number in the training or held-out rows."""
    frames = (run.train, run.evals)
    return [name for name in names if any(has_numbers(frame, name) for frame in frames)]


def _look(name: str) -> Look:
    side = side_of(name) or "margin"
    return Look(side, style.SIDE_COLOUR[side], style.SIDE_DASH[side], SYMBOLS[side])


def _shade(
    drawing: go.Figure,
    bands: Sequence[Band],
    view: View,
    place: tuple[float, float],
    since: int | None,
) -> None:
    """Shade every other phase, draw a line between two, and name those that have the room."""
    if view.axis.turns_back:
        return  # one place on the axis then belongs to several phases
    low, high = place
    shapes, notes = [], []
    for number, band in enumerate(bands):
        ends = view.axis.span(band.first, band.last)
        first, last = max(ends[0], low), min(ends[1], high)
        if last <= first:
            continue
        shapes.append(_area(first, last, number))
        if band.first != since and first > low:
            shapes.append(_line(first, "dot", 1))
        if (last - first) >= ROOM * (high - low):
            notes.append(_note(band.text, (first + last) / 2, "center", -2))
    if since is not None:
        start = view.axis.span(since, since)[0]
        if low <= start <= high:
            shapes.append(_line(start, "solid", 1.4))
            late = start > (low + high) / 2
            notes.append(_note(f"since step {since:,}", start, "right" if late else "left", -20))
    drawing.update_layout(shapes=shapes, annotations=notes)


def _area(first: float, last: float, number: int) -> dict[str, object]:
    return {
        "type": "rect",
        "x0": first,
        "x1": last,
        "y0": 0,
        "y1": 1,
        "yref": "y domain",
        "fillcolor": style.SHADE if number % 2 == 0 else "rgba(0,0,0,0)",
        "line": {"width": 0},
        "layer": "below",
    }


def _line(x: float, dash: str, width: float) -> dict[str, object]:
    return {
        "type": "line",
        "x0": x,
        "x1": x,
        "y0": 0,
        "y1": 1,
        "yref": "y domain",
        "line": {"color": style.ZERO_LINE, "width": width, "dash": dash},
        "layer": "below",
    }


def _note(text: str, x: float, anchor: str, shift: int) -> dict[str, object]:
    return {
        "text": text,
        "x": x,
        "xanchor": anchor,
        "xshift": {"left": 4, "right": -4}.get(anchor, 0),
        "y": 1,
        "yref": "y domain",
        "yanchor": "top",
        "yshift": shift,
        "showarrow": False,
        "font": {"size": style.NOTE_SIZE},
    }


def _draw_fit(drawing: go.Figure, fit: FittedLines, view: View) -> None:
    """Draw the fitted line of each side, with its band where the points can tell it."""
    inside = np.ones(len(fit.steps), dtype=bool)
    if view.steps is not None:
        inside = (fit.steps >= view.steps[0]) & (fit.steps <= view.steps[1])
    for side, values, half in zip(("chosen", "rejected"), fit.lines.T, fit.half.T, strict=True):
        look = _look(f"rewards/{side}")
        x, line = placed(view.axis, fit.steps[inside], values[inside])
        _, spread = placed(view.axis, fit.steps[inside], half[inside])
        if len(x) < 2:
            continue
        if np.isfinite(spread).all():
            drawing.add_scatter(
                x=np.concatenate([x, x[::-1]]),
                y=np.concatenate([line + spread, (line - spread)[::-1]]),
                mode="lines",
                fill="toself",
                fillcolor=style.translucent(look.colour, 0.14),
                line={"width": 0},
                hoverinfo="skip",
                legendgroup=side,
                showlegend=False,
                name=f"{side}, 95 % band of the trend",
            )
        drawing.add_scatter(
            x=x,
            y=line,
            mode="lines",
            line={"color": look.colour, "width": 1.2, "dash": look.dash},
            hoverinfo="skip",
            legendgroup=side,
            showlegend=False,
            name=f"{side}, trend",
        )
