"""The two sides of the pair over training: chosen, rejected, and the margin between them.

Every logged value is drawn faint, a running mean on top; the held-out evaluations are open marks
in the same colours. Phases are shaded and named. One axis, one unit: the reward in the method's
own units, or log-probabilities, never both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from diagnostics.errors import MissingMetric
from diagnostics.figures import style
from diagnostics.figures.thinning import finite, smooth, thin
from diagnostics.run import Run
from diagnostics.schema import metric

FAMILIES = {
    "rewards": ("rewards/chosen", "rewards/rejected", "rewards/margins"),
    "logps": ("logps/chosen", "logps/rejected"),
    "logps_per_token": ("logps_per_token/chosen", "logps_per_token/rejected"),
}
"""What the two sides can be shown as; the columns of one family share one unit."""

WINDOWS = 20
"""The running mean covers one in so many of the logged points …"""

SHORTEST_SMOOTHED = 40
"""… and none when fewer are there: then the line is the log itself."""


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
    steps: tuple[float, float] | None = None,
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
        window shows every logged value.

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
    drawing = style.figure(
        height,
        style.step_axis(),
        style.axis(f"{quantity} [{entry.unit}]"),
    )
    first, last = extent(run, steps)
    style.whole_steps(drawing, first, last)
    _shade(drawing, bands, (first, last))
    for name in names:
        if name in run.train:
            _line(drawing, cut(run.train[name], steps), side_of(name))
    for name in names:
        if name in run.evals:
            _marks(drawing, cut(run.evals[name], steps), side_of(name))
    if steps:
        drawing.update_xaxes(range=list(steps))
    drawing.update_layout(showlegend=True, hovermode="x unified")
    return drawing


def side_of(name: str) -> str:
    """Return which side a column tells about: "chosen", "rejected", or "margin"."""
    side = name.rpartition("/")[2]
    return side if side in style.SIDE_COLOUR else "margin"


def smoothing_window(points: int) -> int:
    """Return the number of logged points in the running mean; 1 means none is taken."""
    return 1 if points < SHORTEST_SMOOTHED else max(3, points // WINDOWS) | 1


def _present(run: Run, names: Sequence[str]) -> list[str]:
    """Return the columns that hold a finite number in the training or held-out rows."""
    return [
        name
        for name in names
        if any(
            name in frame and bool(np.isfinite(finite(frame[name])).any())
            for frame in (run.train, run.evals)
        )
    ]


def cut(series: pd.Series, steps: tuple[float, float] | None) -> pd.Series:
    """Return the part of a series between the first and the last step, both included."""
    if steps is None:
        return series
    return series[(series.index >= steps[0]) & (series.index <= steps[1])]


def extent(run: Run, steps: tuple[float, float] | None) -> tuple[float, float]:
    """Return the first and last step in view."""
    if steps is not None:
        return steps
    ends = [
        float(step)
        for frame in (run.train, run.evals)
        if len(frame)
        for step in (frame.index.min(), frame.index.max())
    ]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def _line(drawing: go.Figure, series: pd.Series, side: str) -> None:
    """Draw the logged values faint and their running mean on top."""
    colour, dash = style.SIDE_COLOUR[side], style.SIDE_DASH[side]
    window = smoothing_window(len(series))
    x, mean = thin(series.index, smooth(series, window))
    if window > 1:
        raw_x, raw = thin(series.index, series)
        drawing.add_scatter(
            x=raw_x,
            y=raw,
            mode="lines",
            line={"color": style.translucent(colour, 0.22), "width": 1},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=side,
            name=f"{side}, every step",
        )
    drawing.add_scatter(
        x=x,
        y=mean,
        # A lone point has no line to be seen by.
        mode="lines+markers" if len(series) < SHORTEST_SMOOTHED else "lines",
        marker={"size": 5, "color": colour},
        line={"color": colour, "width": 2.2, "dash": dash},
        legendgroup=side,
        name=side,
        hovertemplate="%{y:.3~g}",
    )


def _marks(drawing: go.Figure, series: pd.Series, side: str) -> None:
    """Draw held-out values as open marks."""
    series = series.dropna()
    if series.empty:
        return
    x, y = thin(series.index, series, 200)
    drawing.add_scatter(
        x=x,
        y=y,
        mode="markers",
        marker={
            "size": 8,
            "symbol": "circle-open"
            if side == "chosen"
            else "square-open"
            if side == "rejected"
            else "diamond-open",
            "color": style.SIDE_COLOUR[side],
            "line": {"width": 1.8},
        },
        legendgroup=f"held-out {side}",
        name=f"{side}, held-out",
        hovertemplate="%{y:.3~g}",
    )


def _shade(drawing: go.Figure, bands: Sequence[Band], extent: tuple[float, float]) -> None:
    """Shade every other phase and write each one's name at its top, where it has the room."""
    low, high = extent
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
