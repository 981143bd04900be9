"""Where the margin came from: what each group of tokens brought, and what it moved in common."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from diagnostics.attribution import Attribution, GroupShare
from diagnostics.figures import style

WORDS = {
    "template": "template",
    "shared_prefix": "before the first difference",
    "first_difference": "first difference",
    "shared_after": "shared, after it",
    "unique": "in one side only",
    "eos": "end of turn",
}

BARS = (
    ("margin", "margin", style.MARGIN, ""),
    ("moved in common", "common", style.REFERENCE, "/"),
)


def tokens(found: Attribution, height: int = 300) -> go.Figure:
    """Return what each group of tokens contributed, as bars with their 95 % intervals."""
    rows = found.groups[::-1]
    drawing = style.figure(
        height,
        style.axis("Contribution [nats per pair]", zeroline=True),
        style.axis(showgrid=False, zeroline=False),
    )
    names = [_label(one) for one in rows]
    for label, quantity, colour, pattern in BARS[::-1]:
        intervals = [getattr(one, quantity) for one in rows]
        value, low, high = np.array(
            [(one.value, one.low, one.high) for one in intervals], dtype=np.float64
        ).T
        drawing.add_bar(
            y=names,
            x=value,
            orientation="h",
            name=label,
            marker={
                "color": style.translucent(colour, 0.8),
                "line": {"width": 0},
                "pattern": {"shape": pattern, "size": 6, "solidity": 0.25, "fillmode": "overlay"},
            },
            error_x=_bars(value, low, high),
            hovertemplate="%{x:+.2f} nats per pair",
        )
    drawing.update_layout(
        barmode="group",
        bargap=0.3,
        showlegend=True,
        hovermode="y unified",
        legend={"traceorder": "reversed"},
    )
    return drawing


def _label(group: GroupShare) -> str:
    return f"{style.plain(WORDS.get(group.group, group.group), 30)}, {100 * group.tokens:.0f} %"


def _bars(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, object]:
    up, down = high - value, value - low
    return {
        "type": "data",
        "symmetric": False,
        "array": np.where(np.isfinite(up), up, 0.0),
        "arrayminus": np.where(np.isfinite(down), down, 0.0),
        "color": style.ZERO_LINE,
        "thickness": 1.4,
        "width": 3,
    }
