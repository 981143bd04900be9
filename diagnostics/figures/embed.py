"""Figures inside one HTML file that opens anywhere: plotly.js and the data are part of it.

Colours of text and background come from the page's CSS variables, so that a figure follows the
reader's light or dark setting.
"""

from __future__ import annotations

import html

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

_DRAW = """
(() => {
  const plots = [...document.querySelectorAll("div.plot")];
  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const look = () => ({
    "font.color": colour("--text"),
    "font.family": getComputedStyle(document.body).fontFamily,
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "hoverlabel.bgcolor": colour("--card"),
    "hoverlabel.bordercolor": colour("--line"),
    "hoverlabel.font.color": colour("--text"),
  });
  for (const plot of plots) {
    const drawing = JSON.parse(plot.nextElementSibling.textContent);
    Plotly.newPlot(plot, drawing.data, drawing.layout, { displayModeBar: false, responsive: true })
      .then(() => Plotly.relayout(plot, look()))
      .then(() => plot.classList.add("drawn"));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const plot of plots) Plotly.relayout(plot, look());
  });
})();
"""


def figure(drawing: go.Figure, alt: str, caption: str = "") -> str:
    """Return a figure as HTML; `alt` says in words what it shows, `caption` stands below it."""
    drawing.update_layout(template="none", autosize=True, font={"size": 13})
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    height = int(drawing.layout.height or 360)
    return (
        f'<figure><div class="plot" role="img" aria-label="{html.escape(alt)}" '
        f'style="height:{height}px"></div>'
        f'<script type="application/json">{_inside_script(drawing.to_json())}</script>'
        f"{below}</figure>"
    )


def scripts() -> str:
    """Return the scripts that draw every figure of a page; they belong at its end."""
    return f"<script>{get_plotlyjs()}</script>\n<script>{_DRAW}</script>"


def _inside_script(json: str) -> str:
    """Return JSON that cannot end the script element it stands in, whatever its texts hold."""
    return json.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
