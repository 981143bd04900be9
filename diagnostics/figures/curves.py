"""The two sides of the pair over training: chosen, rejected, and the margin between them.

Every logged value is drawn faint, a running mean on top; the held-out evaluations are open marks
in the same colours. Phases are shaded and named. One axis, one unit: the reward in the method's
own units, or log-probabilities, never both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from diagnostics.errors import MissingMetric
from diagnostics.figures import style
from diagnostics.figures.lines import (
    Look,
    Steps,
    cut,
    draw,
    draw_held_out,
    extent,
    has_numbers,
    side_of,
    smoothing_window,
)
from diagnostics.run import Run
from diagnostics.schema import metric

FAMILIES = {
    "rewards": ("rewards/chosen", "rewards/rejected", "rewards/margins"),
    "logps": ("logps/chosen", "logps/rejected"),
    "logps_per_token": ("logps_per_token/chosen", "logps_per_token/rejected"),
}
"""What the two sides can be shown as; the columns of one family share one unit."""

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
    steps: Steps | None = None,
    height: int = 380,
) -> go.Figure:
    """Return the curves of the two sides, and of the margin where the log has it.

    Parameters
    ----------
    family
        A key of `FAMILIES`.
    bands
        Phases to shade, in order.
    steps
        First and last step shown; the whole run when None. Thinned after the cut, so a short
        stretch shows every logged value.

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
    drawing = style.figure(height, style.step_axis(), style.axis(f"{quantity} [{entry.unit}]"))
    first, last = extent(run, steps)
    style.whole_steps(drawing, first, last)
    _shade(drawing, bands, (first, last))
    for name in names:
        if name in run.train:
            draw(drawing, run.train[name], steps, _look(name))
    for name in names:
        if name in run.evals:
            draw_held_out(drawing, run.evals[name], steps, _look(name))
    if steps:
        drawing.update_xaxes(range=list(steps))
    drawing.update_layout(showlegend=True, hovermode="x unified")
    return drawing


def reading_aid(run: Run, family: str, steps: Steps | None = None) -> str:
    """Return in words what the lines and marks of `curves` are, the smoothing among them."""
    names = _present(run, FAMILIES[family])
    points = max(
        (len(cut(run.train[name], steps)) for name in names if name in run.train), default=0
    )
    window = smoothing_window(points)
    line = (
        f"Lines are means over {window} logged steps, every step faint behind them"
        if window > 1
        else "Lines are the values as logged"
    )
    held = any(has_numbers(run.evals, name) for name in names)
    return line + ("; open marks are held-out pairs." if held else ".")


def _present(run: Run, names: Sequence[str]) -> list[str]:
    """Return the columns that hold a finite number in the training or held-out rows."""
    frames = (run.train, run.evals)
    return [name for name in names if any(has_numbers(frame, name) for frame in frames)]


def _look(name: str) -> Look:
    side = side_of(name) or "margin"
    return Look(side, style.SIDE_COLOUR[side], style.SIDE_DASH[side], SYMBOLS[side])


def _shade(drawing: go.Figure, bands: Sequence[Band], view: Steps) -> None:
    """Shade every other phase and write each one's name at its top, where it has the room."""
    low, high = view
    for number, band in enumerate(bands):
        first, last = max(band.first, low), min(band.last, high)
        if last <= first:
            continue
        drawing.add_vrect(
            x0=first,
            x1=last,
            fillcolor=style.SHADE if number % 2 == 0 else "rgba(0,0,0,0)",
            line={"width": 0},
            layer="below",
        )
        if (last - first) >= 0.14 * (high - low):
            drawing.add_annotation(
                text=band.text,
                x=(first + last) / 2,
                y=1,
                yref="paper",
                yanchor="top",
                yshift=-2,
                showarrow=False,
                font={"size": style.NOTE_SIZE},
            )
