"""What every figure shares: colours, marks and layout.

Blue and vermillion keep a contrast of 3:1 on light and dark backgrounds and stay apart under
the three colour-vision deficiencies; because their greys are close, the side of a pair is also
told by the dash, and a run also by its mark.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from diagnostics.axis import STEP, Axis

CHOSEN = "#0072B2"
REJECTED = "#D55E00"
MARGIN = "#009E73"
REFERENCE = "#808890"

SIDE_COLOUR = {"chosen": CHOSEN, "rejected": REJECTED, "margin": MARGIN}
SIDE_DASH = {"chosen": "solid", "rejected": "dash", "margin": "dot"}

RUN_COLOURS = (
    "#8A63D2",
    "#0E8F7E",
    "#B87503",
    "#D64B7F",
    "#3E7CB1",
    "#5E8C1F",
    "#9A7448",
    "#6B7A8F",
)
"""Each has a contrast of at least 3.8:1 on white and on the dark background."""

RUN_MARKS = (
    ("circle", "●"),
    ("square", "■"),
    ("triangle-up", "▲"),
    ("diamond", "◆"),
    ("star", "★"),
    ("triangle-down", "▼"),
    ("cross", "✚"),
    ("hexagon", "⬢"),
    ("pentagon", "⬟"),
)
"""Plotly symbol and the character that stands for it in text; nine marks against eight
colours, so that 72 runs differ in at least one of the two."""

REGIME_ARROWS = {
    "ideal": "↑↓",
    "both_rise": "↑↑",
    "both_fall": "↓↓",
    "reversed": "↓↑",
    "margin_loss": "⇅",
    "mixed": "≈",
    "flat": "→→",
    "unknown": "?",
}
"""What chosen does, then what rejected does; plain characters, because icon fonts may be absent
on a machine without a network."""

ZERO_LINE = "rgba(128,136,144,0.75)"
GRID = "rgba(128,136,144,0.18)"
SHADE = "rgba(128,136,144,0.09)"

# One step finer than the layout's font, so that notes inside the plot step back.
NOTE_SIZE = 12


def run_colour(index: int) -> str:
    """Return the colour of the run at this place in the list of all runs."""
    return RUN_COLOURS[index % len(RUN_COLOURS)]


def run_symbol(index: int) -> str:
    """Return the plotly symbol of the run at this place in the list of all runs."""
    return RUN_MARKS[index % len(RUN_MARKS)][0]


def run_mark(index: int) -> str:
    """Return the character that shows the run's symbol in a table or a sentence."""
    return RUN_MARKS[index % len(RUN_MARKS)][1]


def regime_label(regime: str) -> str:
    """Return a regime as its arrows and its words.

    Examples
    --------
    >>> regime_label("both_fall")
    '↓↓ both fall'
    """
    words = {"margin_loss": "margin lost", "unknown": "cannot tell"}
    return f"{REGIME_ARROWS.get(regime, '?')} {words.get(regime, regime.replace('_', ' '))}"


def translucent(colour: str, alpha: float) -> str:
    """Return a #rrggbb colour as rgba with this opacity.

    Examples
    --------
    >>> translucent("#0072B2", 0.2)
    'rgba(0,114,178,0.2)'
    """
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def axis(title: str | None = None, **more: Any) -> dict[str, Any]:
    """Return the settings of one axis: its title, a faint grid, a clear zero line."""
    base: dict[str, Any] = {
        "gridcolor": GRID,
        "zeroline": True,
        "zerolinecolor": ZERO_LINE,
        "zerolinewidth": 1.2,
        "automargin": True,
        "title": {"text": title, "standoff": 14} if title else None,
    }
    return base | more


def figure(height: int, x: dict[str, Any], y: dict[str, Any]) -> go.Figure:
    """Return an empty figure with the shared layout."""
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"}
    layout = {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 34, "b": 8},
        "xaxis": x,
        "yaxis": y,
        "hovermode": "closest",
        "legend": legend | {"title": None},
        # Figures are redrawn on every new record; the eye should not have to follow a morph.
        "transition": {"duration": 0},
    }
    # Handed over whole: set piece by piece, plotly takes five times as long.
    return go.Figure(layout=layout)


def along(x: Axis = STEP, **more: Any) -> dict[str, Any]:
    """Return the settings of the x-axis that curves are drawn along."""
    form = {"step": ",d", "tokens": "~s"}.get(x.name, "")
    return axis(x.title, zeroline=False, tickformat=form, **more)


def whole_steps(drawing: go.Figure, first: float, last: float) -> None:
    """Keep the ticks of a very short run on whole steps; plotly would repeat rounded ones."""
    if last - first < 6:
        drawing.update_xaxes(dtick=1, range=[first - 0.5, last + 0.5])


def plain(text: str, longest: int = 40) -> str:
    """Return untrusted text safe to stand in a figure: no markup, no more than `longest` signs.

    Plotly reads a few HTML tags in labels; a run's name must not reach that reading.

    Examples
    --------
    >>> plain("<b>dpo</b> & co")
    '&lt;b&gt;dpo&lt;/b&gt; &amp; co'
    """
    text = " ".join(text.split())
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
