"""How a figure is put on a page: full width, described for screen readers, and to be taken along.

Beside its title, or else below it, stands one small button. It offers the picture as the screen
shows it, as PNG or SVG, made in the browser, and the numbers as CSV, made when somebody asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from diagnostics.figures.data import csv, drawn
from pages.components.picture import picture
from pages.components.text import literal

CONFIG = {
    "displaylogo": False,
    "displayModeBar": False,
    "scrollZoom": False,
}

Table = Callable[[], Any]
"""Returns the pandas table of a figure, with units in its column heads."""


def show(drawing: Any, key: str, alt: str, data: Table | None = None, title: str = "") -> None:
    """Show a plotly figure and what can be taken along from it.

    Parameters
    ----------
    alt
        What the figure shows, in words; the downloaded files are named after it.
    data
        Returns the whole table behind the figure; called when somebody downloads it. Without,
        the table holds the points that are drawn.
    title
        Stands above the figure, the button beside it; without, the button stands below.
    """
    with st.container(gap=None):
        if title:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(f"**{literal(title)}**")
                downloads(drawing, key, alt, data)
        st.plotly_chart(drawing, width="stretch", key=key, alt=alt, config=CONFIG)
        if not title:
            downloads(drawing, key, alt, data)


def downloads(drawing: Any, key: str, alt: str, data: Table | None = None) -> None:
    """Show the button that offers the figure with this key as PNG, SVG and CSV."""
    name = file_name(alt)
    with st.popover(
        ":small[:gray[↓ Download]]", type="tertiary", key=f"take {key}", on_change="rerun"
    ) as menu:
        if not menu.open:
            return
        picture(data={"chart": key, "name": name}, key=f"picture {key}")
        st.download_button(
            "Data as CSV",
            partial(_csv, data or partial(drawn, drawing)),
            file_name=f"{name}.csv",
            mime="text/csv",
            on_click="ignore",
            key=f"data {key}",
            width="stretch",
        )


def file_name(words: str) -> str:
    """Return a file name made of these words, without what a file system may refuse.

    Examples
    --------
    >>> file_name("Chosen share of the margin, by step")
    'chosen-share-of-the-margin-by-step'
    """
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:80] or "figure"


def _csv(table: Table) -> bytes:
    return csv(table())
