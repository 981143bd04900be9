"""How a figure is put on a page: full width, no branding, described for screen readers."""

from __future__ import annotations

from typing import Any

import streamlit as st

CONFIG = {
    "displaylogo": False,
    "displayModeBar": False,
    "scrollZoom": False,
}


def show(figure: Any, key: str, alt: str) -> None:
    """Show a plotly figure; `alt` says in words what it shows."""
    st.plotly_chart(figure, width="stretch", key=key, alt=alt, config=CONFIG)
