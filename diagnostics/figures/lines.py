"""One logged column: every value faint, a running mean on top, held-out values as marks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from diagnostics.axis import Axis, View
from diagnostics.figures import style
from diagnostics.figures.thinning import mean_line, thin
from diagnostics.run import Run

WINDOWS = 20
"""The running mean covers one in so many of the logged points in view …"""

SHORTEST_SMOOTHED = 40
"""… and none when fewer are there: then the line is the log itself."""

AIR = 0.02
"""Share of the width that stays free on either side, so that marks at the ends are whole."""

ROOM = 0.05
"""Of a running log's axis, as a share of the power of ten below its length."""

MAX_MARKS = 200
"""Held-out marks of one column at most."""


@dataclass(frozen=True)
class Look:
    """How one column is drawn."""

    name: str
    colour: str
    dash: str = "solid"
    symbol: str = "circle-open"
    width: float = 2.2
    size: float = 8


def side_of(name: str) -> str | None:
    """Return which side a column tells about: "chosen", "rejected", "margin", or None."""
    last = name.rpartition("/")[2]
    return "margin" if last == "margins" else last if last in style.SIDE_COLOUR else None


def has_numbers(frame: pd.DataFrame, name: str) -> bool:
    """Return whether the frame holds a finite number of this column."""
    if name not in frame:
        return False
    values = np.asarray(frame[name], dtype=float)
    # Mostly the first record answers it, however long the log is.
    return bool(np.isfinite(values[:1]).any() or np.isfinite(values).any())


def cut(series: pd.Series, view: View) -> pd.Series:
    """Return the part of a series between the first and the last step in view, both included."""
    return series.iloc[_part(series, view)]


def _told(series: pd.Series) -> pd.Series:
    """Return a series up to its last number: records of other columns change nothing about it."""
    values = np.asarray(series, dtype=float)
    if len(values) and np.isfinite(values[-1]):
        return series
    known = np.flatnonzero(np.isfinite(values))
    return series.iloc[: known[-1] + 1 if len(known) else 0]


def _part(series: pd.Series, view: View) -> slice:
    """Return the places of the rows in view; steps ascend."""
    if view.steps is None:
        return slice(0, len(series))
    first, last = view.steps
    steps = series.index.to_numpy()
    return slice(
        int(np.searchsorted(steps, first)), int(np.searchsorted(steps, last, side="right"))
    )


def frame(drawing: go.Figure, run: Run, view: View) -> tuple[float, float]:
    """Fit the x-axis to what is in view, and return its first and last place."""
    first, last = view.axis.span(*(view.steps or _extent(run)))
    # All figures of a run share one range: a quantity that was logged once stands where it was.
    air = 0.0 if view.steps is not None else AIR * (last - first)
    if last > first:
        drawing.update_xaxes(range=[first - air, last + air])
    if view.axis.counts_steps:
        style.whole_steps(drawing, first, last)
    return first, last


def smoothing_window(points: int) -> int:
    """Return the number of logged points in the running mean; 1 means none is taken."""
    return 1 if points < SHORTEST_SMOOTHED else max(3, points // WINDOWS) | 1


def draw(drawing: go.Figure, logged: pd.Series, view: View, look: Look) -> None:
    """Draw the logged values in view faint, and their running mean on top.

    The mean is taken over the whole log before the cut, so that the edges of the view do not
    bend, and before thinning, so that it does not depend on how many points are shown.
    """
    logged = _told(logged)
    seen = cut(logged, view)
    window = smoothing_window(len(seen))
    if window > 1:
        raw_x, raw = placed(view.axis, *thin(seen.index, seen))
        drawing.add_scatter(
            x=raw_x,
            y=raw,
            mode="lines",
            line={"color": style.translucent(look.colour, 0.24), "width": 1},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=look.name,
            name=f"{look.name}, every step",
        )
    x, mean = placed(view.axis, *mean_line(logged.index, logged, window, part=_part(logged, view)))
    drawing.add_scatter(
        x=x,
        y=mean,
        # A lone point has no line to be seen by.
        mode="lines" if window > 1 else "lines+markers",
        marker={"size": 5, "color": look.colour},
        line={"color": look.colour, "width": look.width, "dash": look.dash},
        legendgroup=look.name,
        name=look.name,
        hovertemplate="%{y:.3~g}",
    )


def draw_held_out(drawing: go.Figure, logged: pd.Series, view: View, look: Look) -> None:
    """Draw held-out values as open marks that come and go with their line."""
    series = cut(logged, view).dropna()
    if series.empty:
        return
    x, y = placed(view.axis, *thin(series.index, series, MAX_MARKS))
    drawing.add_scatter(
        x=x,
        y=y,
        mode="markers",
        marker={
            "size": look.size,
            "symbol": look.symbol,
            "color": look.colour,
            "line": {"width": 1.8},
        },
        legendgroup=look.name,
        showlegend=False,
        name=f"{look.name}, held-out",
        hovertemplate="%{y:.3~g}",
    )


def placed(axis: Axis, steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places and values of points (n,), those left out that have no place on the axis."""
    if axis.counts_steps:
        return steps, values
    x = axis.at(steps)
    known = np.isfinite(x)
    return x[known], values[known]


def _extent(run: Run) -> tuple[float, float]:
    """Return the first and the last step of the logged rows; of a running log, with room to grow.

    With the room the axis stands still for some records, and a chart that none of them is about
    stays as it is.
    """
    ends = [
        float(step)
        for rows in (run.train, run.evals)
        if len(rows)
        for step in (rows.index.min(), rows.index.max())
    ]
    if not ends:
        return 0.0, 1.0
    first, last = min(ends), max(ends)
    if run.status == "running" and last > first:
        grain = max(1.0, ROOM * 10 ** np.floor(np.log10(last - first)))
        last = first + grain * np.ceil((last - first) / grain)
    return first, last
