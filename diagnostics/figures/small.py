"""One more quantity of the log as a small chart: its two sides, or itself, in one unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from diagnostics.axis import WHOLE, View
from diagnostics.errors import MissingMetric
from diagnostics.figures import style
from diagnostics.figures.lines import (
    Look,
    draw,
    draw_held_out,
    frame,
    has_numbers,
    side_of,
)
from diagnostics.figures.thinning import finite
from diagnostics.run import Run
from diagnostics.schema import METRICS, metric

NEUTRAL = "#6B7A8F"
"""The colour of a quantity that belongs to no side of the pair."""

LOG_SCALED = {"grad_norm"}
"""Quantities whose healthy values span decades."""


MAX_TICKS = 7


@dataclass(frozen=True)
class Chart:
    """A small chart: its title and the schema columns it draws, all of one unit."""

    title: str
    names: tuple[str, ...]


CHARTS = {
    "Learning": (
        Chart("Loss", ("loss",)),
        Chart("Accuracy", ("rewards/accuracies", "ranking_accuracies")),
        Chart("Saturated pairs", ("saturated",)),
        Chart("Entropy", ("entropy/chosen", "entropy/rejected")),
        Chart("KTO reference point", ("kl",)),
        Chart("Gradient norm", ("grad_norm",)),
        Chart("SFT term", ("sft_loss",)),
        Chart("Log odds ratio", ("log_odds_ratio",)),
        Chart("Odds term", ("odds_loss",)),
        Chart("Top-1 rate", ("top1_rate/chosen", "top1_rate/rejected")),
    ),
    "Optimizer": (
        Chart("Learning rate", ("learning_rate",)),
        Chart("Curvature of a step", ("curvature",)),
        Chart("First-order share", ("entanglement/share",)),
        Chart("Step, as promised", ("first_order/chosen", "first_order/rejected")),
        Chart("Step, as measured", ("virtual_step/chosen", "virtual_step/rejected")),
        Chart("Gradient cosine", ("entanglement/cosine",)),
        Chart("Band slack", ("entanglement/slack",)),
    ),
    "Data": (
        Chart("Length", ("completion_tokens/chosen", "completion_tokens/rejected")),
        Chart("Reference log-prob", ("ref_logps/chosen", "ref_logps/rejected")),
        Chart("Ranking accuracy, per token", ("ranking_accuracies_per_token",)),
    ),
    "Machine": (
        Chart("Token rate", ("tokens_per_second",)),
        Chart("Example rate", ("examples_per_second",)),
        Chart("Peak memory", ("memory",)),
    ),
}
"""By group, in the order in which they are shown; a run draws those it has numbers for."""


def groups(run: Run) -> dict[str, list[Chart]]:
    """Return the small charts that the run has at least one finite number for, by group."""
    found = {}
    for group, members in CHARTS.items():
        known = [
            Chart(chart.title, names)
            for chart in members
            if (names := tuple(name for name in chart.names if _known(run, name)))
        ]
        if known:
            found[group] = known
    return found


def small(
    run: Run,
    names: Sequence[str],
    view: View = WHOLE,
    height: int = 235,
) -> go.Figure:
    """Return a small chart of one or a few columns; held-out values are open marks.

    Raises
    ------
    MissingMetric
        When the run holds none of the columns.
    ValueError
        When the columns do not share one unit.
    """
    units = {metric(name).unit for name in names}
    if len(units) != 1:
        raise ValueError(f"one axis shows one unit, not {sorted(units)}")
    known = [name for name in names if _known(run, name)]
    if not known:
        raise MissingMetric(f"run {run.name!r} logs none of {', '.join(names)}")
    ticks: dict[str, object] = {"nticks": 5}
    if LOG_SCALED & set(known) and _spans_decades(run, known):
        ticks = log_ticks(_numbers(run, known))
    unit = units.pop()
    if unit.startswith("fraction") and np.ptp(_numbers(run, known)) == 0:
        ticks["range"] = [-0.05, 1.05]  # a constant would be drawn on a range below and above it
    drawing = style.figure(
        height, style.along(view.axis, nticks=5), style.axis(unit, exponentformat="power", **ticks)
    )
    frame(drawing, run, view)
    for number, name in enumerate(known):
        if name in run.train:
            draw(drawing, run.train[name], view, _look(name, number))
        if name in run.evals:
            draw_held_out(drawing, run.evals[name], view, _look(name, number))
    drawing.update_layout(
        showlegend=len(known) > 1, hovermode="x unified", margin={"t": 26 if len(known) > 1 else 8}
    )
    return drawing


def not_finite(run: Run) -> dict[str, tuple[int, int]]:
    """Return how many values of a column are not finite, and the first such step, by column.

    Told only for columns that hold a number at more than half of the steps, or an infinity: in a
    column that is logged now and then, a step without a number is no finding.
    """
    found = {}
    for name in METRICS.keys() & set(run.train.columns):
        values = np.asarray(run.train[name], dtype=float)
        broken = np.flatnonzero(~np.isfinite(values))
        dense = bool(np.isinf(values).any()) or len(broken) < len(values) / 2
        if len(broken) > 0 and dense:
            found[name] = (len(broken), int(run.train.index[broken[0]]))
    return {name: found[name] for name in METRICS if name in found}


def log_ticks(values: np.ndarray) -> dict[str, object]:
    """Return the settings of a log axis with its ticks written out.

    Plotly labels the ticks between two decades by their digit alone: 0.5 would read "5".
    """
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for digits in ((1, 2, 5), (1, 5), (1,)):
        ticks = [digit * 10.0**decade for decade in decades for digit in digits]
        ticks = [tick for tick in ticks if low / 2 <= tick <= 2 * high]
        if len(ticks) <= MAX_TICKS:
            break
    ticks = ticks[:: -(-len(ticks) // MAX_TICKS)]
    return {
        "type": "log",
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
    }


def _known(run: Run, name: str) -> bool:
    return has_numbers(run.train, name) or has_numbers(run.evals, name)


def _numbers(run: Run, names: Sequence[str]) -> np.ndarray:
    """Return every finite number of the columns, as drawn."""
    frames = (run.train, run.evals)
    values = [finite(frame[name]) for frame in frames for name in names if name in frame]
    found = np.concatenate(values)
    return found[np.isfinite(found)]


def _spans_decades(run: Run, names: Sequence[str]) -> bool:
    """Return whether all values are positive and too far apart for a linear axis."""
    values = _numbers(run, names)
    low, high = float(values.min()), float(values.max())
    return low > 0 and high > 5 * low


def _look(name: str, number: int) -> Look:
    """Return a side's own look, or the next neutral one."""
    side = side_of(name)
    if side is None:
        colour, dash = ((NEUTRAL, "solid"), (style.MARGIN, "dot"))[number % 2]
        return Look(metric(name).label, colour, dash, width=1.8, size=6)
    return Look(side, style.SIDE_COLOUR[side], style.SIDE_DASH[side], width=1.8, size=6)
