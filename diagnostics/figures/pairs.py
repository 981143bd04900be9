"""Every pair as a point: change of chosen against change of rejected, and the path of one pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from diagnostics.figures import style
from diagnostics.figures.plane import CORNERS, zero_margin
from diagnostics.figures.thinning import finite
from diagnostics.pairmarks import AGAINST, COPY, REASONS, SIDES_ALIKE
from diagnostics.pairs import DELTA, LENGTH, MARGIN, PAIR
from diagnostics.schema import NATS_PER_TOKEN

MOST_POINTS = 2000
"""Points that leave the server; more cannot be told apart on a screen."""

MARKED = "#8A63D2"
"""The colour of pairs with a mark; which one is told by the shape."""

SHAPES = {AGAINST: "x", SIDES_ALIKE: "square-open", COPY: "triangle-up-open"}
"""How a pair with this mark is drawn; a pair with several shows the first of them."""

_RIM = {"width": 1.8, "color": MARKED}
X, Y = DELTA["rejected"], DELTA["chosen"]
# The part of the points, farthest from the middle, that is drawn whatever is left out.
FARTHEST = 0.5


Outline = Sequence[tuple[float, float]]
"""A polygon on the plane: its corners as (x, y)."""


def scatter(
    frame: pd.DataFrame,
    picked: int | None = None,
    region: Sequence[Outline] = (),
    *,
    height: int = 560,
) -> go.Figure:
    """Return the pairs on the plane of both changes; a picked one stands in a ring.

    Parameters
    ----------
    frame
        The rows of a view with their marks. Those without both changes are left out.
    region
        Outlines that somebody has drawn.
    """
    known = placed(frame)
    kept = thinned(known)
    drawing = style.figure(
        height,
        style.axis(f"Δ rejected [{NATS_PER_TOKEN}]", showgrid=True),
        style.axis(f"Δ chosen [{NATS_PER_TOKEN}]"),
    )
    _quadrants(drawing, known)
    marks = kept[REASONS] if REASONS in kept else pd.Series("", kept.index)
    groups = {name: marks.str.startswith(name) for name in SHAPES}
    plain = ~pd.concat(groups.values(), axis=1).any(axis=1)
    size = 7 if len(kept) <= 400 else 5
    _points(drawing, kept[plain], "pair", {"size": size, "color": style.REFERENCE, "opacity": 0.75})
    for name, own in groups.items():
        look = {"size": size + 3, "symbol": SHAPES[name], "color": MARKED, "line": _RIM}
        _points(drawing, kept[own], name, look)
    chosen = known[known[PAIR] == picked]
    if len(chosen):
        ring = {"size": 18, "symbol": "circle-open", "color": MARKED, "line": {"width": 3}}
        _points(drawing, chosen, "picked pair", ring)
    for outline in region:
        drawing.add_shape(
            type="path",
            path="M " + " L ".join(f"{x},{y}" for x, y in outline) + " Z",
            line={"color": MARKED, "width": 1.5, "dash": "dash"},
            fillcolor=style.translucent(MARKED, 0.07),
            layer="below",
        )
    drawing.update_layout(
        dragmode="select",
        showlegend=len(drawing.data) > 1,
        legend={"y": -0.16, "yanchor": "top", "itemsizing": "constant"},
        clickmode="event+select",
    )
    return drawing


def placed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have a place on the plane."""
    return frame[np.isfinite(finite(frame[X])) & np.isfinite(finite(frame[Y]))]


def thinned(frame: pd.DataFrame, limit: int = MOST_POINTS) -> pd.DataFrame:
    """Return at most `limit` rows: the marked and the far ones first, the others evenly.

    Of the limit, half goes to the pairs that lie farthest from the median pair, so that no
    outlier is lost in a crowd; the other half is every n-th of the rest.
    """
    if len(frame) <= limit:
        return frame
    values = frame[[X, Y]].to_numpy(np.float64)
    middle = np.median(values, axis=0)
    spread = np.maximum(np.median(np.abs(values - middle), axis=0), 1e-12)
    far = np.abs((values - middle) / spread).max(axis=1)
    if REASONS in frame:
        far = far + np.where(frame[REASONS].astype(bool), far.max(), 0.0)
    order = np.argsort(-far, kind="stable")
    outer = round(limit * FARTHEST)
    rest = np.sort(order[outer:])
    every = rest[np.linspace(0, len(rest) - 1, limit - outer).round().astype(int)]
    return frame.iloc[np.sort(np.concatenate([order[:outer], every]))]


def _points(drawing: go.Figure, rows: pd.DataFrame, name: str, marker: dict[str, object]) -> None:
    if rows.empty:
        return
    numbers = [rows[name].to_numpy(np.float64) for name in (LENGTH["chosen"], LENGTH["rejected"])]
    words = [style.plain(str(mark), 60) for mark in rows[REASONS]] if REASONS in rows else []
    drawing.add_scatter(
        x=rows[X],
        y=rows[Y],
        mode="markers",
        name=name,
        marker=marker,
        # Whole numbers: what is selected is told by the first of them.
        customdata=np.stack([rows[PAIR].to_numpy(np.float64), *numbers], axis=1),
        text=words if any(words) else None,
        hovertemplate=_HOVER + ("<br>%{text}" if any(words) else "") + "<extra></extra>",
    )


_HOVER = (
    "<b>pair %{customdata[0]:.0f}</b>"
    f"<br>Δ chosen %{{y:+.3f}} {NATS_PER_TOKEN}"
    f"<br>Δ rejected %{{x:+.3f}} {NATS_PER_TOKEN}"
    "<br>%{customdata[1]:.0f} and %{customdata[2]:.0f} tokens"
)


def _quadrants(drawing: go.Figure, known: pd.DataFrame) -> None:
    """Draw the diagonal of zero margin, shade where the margin shrinks, name the quadrants."""
    reach = float(np.abs(known[[X, Y]].to_numpy(np.float64)).max(initial=1e-3)) * 20
    zero_margin(drawing, reach)
    for axis, name in (("xaxis", X), ("yaxis", Y)):
        values = [0.0, *known[name].tolist()]
        low, high = min(values), max(values)
        air = max(0.1 * (high - low), 0.02)
        # Every quadrant keeps room for its name.
        low, high = min(low - air, -0.25 * high), max(high + air, -0.25 * low)
        drawing.layout[axis].range = [low, high]
    for text, x, y in CORNERS:
        drawing.add_annotation(
            text=text,
            **{"x": x, "y": y, "xref": "paper", "yref": "paper"},
            xanchor="left" if x == 0 else "right",
            yanchor="top" if y == 1 else "bottom",
            xshift=6 if x == 0 else -6,
            yshift=-4 if y == 1 else 4,
            showarrow=False,
            font={"size": style.NOTE_SIZE + 1},
        )


def path(steps: pd.DataFrame, at: int, *, height: int = 300) -> go.Figure:
    """Return both sides of one pair and its margin over the evaluations; `at` is looked at now."""
    drawing = style.figure(height, style.along(), style.axis(f"Δ of this pair [{NATS_PER_TOKEN}]"))
    lines = {"chosen": DELTA["chosen"], "rejected": DELTA["rejected"], "margin": MARGIN}
    for side, column in lines.items():
        if not np.isfinite(finite(steps[column])).any():
            continue
        drawing.add_scatter(
            x=steps.index,
            y=finite(steps[column]),
            mode="lines+markers",
            name=side,
            line={"color": style.SIDE_COLOUR[side], "dash": style.SIDE_DASH[side], "width": 2.2},
            marker={"size": 6},
            hovertemplate="%{y:+.3f}",
        )
    if len(steps):
        drawing.add_vline(x=at, line={"color": style.ZERO_LINE, "width": 1, "dash": "dot"})
        style.whole_steps(drawing, float(steps.index[0]), float(steps.index[-1]))
    drawing.update_layout(hovermode="x unified")
    return drawing
