"""The stretch of steps that all curves of a run show: chosen by dragging over the main chart.

Plotly's own zoom is lost whenever new records arrive. A dragged box is kept in the session
instead, every chart is drawn again for it, and within it thinning starts anew, so that a short
stretch shows every logged step.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.components.figure import CONFIG

CHART = "curves"
Steps = tuple[float, float]


def steps(run_key: str) -> Steps | None:
    """Return the stretch chosen for this run, None for the whole run."""
    window: Steps | None = st.session_state.get(_slot(run_key))
    return window


def chart(figure: Any, run_key: str, alt: str, aid: str) -> None:
    """Show the chart on which a stretch of steps can be dragged, how to read it, the way back."""
    figure.update_layout(dragmode="select", selectdirection="h")
    st.plotly_chart(
        figure,
        width="stretch",
        key=CHART,
        alt=alt,
        config=CONFIG,
        selection_mode="box",
        on_select=lambda: _keep(run_key),
    )
    window = steps(run_key)
    if window is None:
        st.caption(f"{aid} Drag across the chart to look closer: the charts by step follow.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{aid} Steps {window[0]:,.0f} to {window[1]:,.0f}.")
        st.button("Whole run", key="whole", on_click=_forget, args=(run_key,))


def _keep(run_key: str) -> None:
    boxes = st.session_state[CHART].get("selection", {}).get("box", [])
    if boxes:
        low, high = sorted(float(edge) for edge in boxes[0]["x"][:2])
        if high > low:
            st.session_state[_slot(run_key)] = (low, high)


def _forget(run_key: str) -> None:
    st.session_state.pop(_slot(run_key), None)


def _slot(run_key: str) -> str:
    return f"steps of {run_key}"
