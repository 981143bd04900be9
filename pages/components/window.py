"""What all curves of a run show: along which axis, and which stretch, dragged on the main chart.

Plotly's own zoom is lost whenever new records arrive. A dragged box is kept in the URL instead,
every chart is drawn again for it, and within it thinning starts anew, so that a short stretch
shows every logged step. It is kept in steps: another axis shows the same stretch.
"""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from diagnostics.axis import Axis, Choice, View
from pages.components import figure
from pages.components.text import literal, sentence

CHART = "curves"
ZOOM = "zoom"
OWNER = "run of the zoom"
_STRETCH = re.compile(r"(\d{1,12}(?:\.\d{1,3})?)-(\d{1,12}(?:\.\d{1,3})?)")


def axis(choice: Choice) -> Axis:
    """Show what the curves can be drawn along, tied to `?x=`, and return what was picked."""
    return choice.axes[pick("Along", list(choice.axes), "x")]


def pick(label: str, options: list[str], key: str) -> str:
    """Show a choice of words, tied to the URL under this key; the first where none was picked."""
    if len(options) < 2:
        return options[0]
    if st.session_state.get(key, options[0]) not in options:
        del st.session_state[key]  # picked on a run that has it
    picked = st.segmented_control(
        label,
        options,
        default=options[0],
        required=True,
        key=key,
        bind="query-params",
        label_visibility="collapsed",
    )
    return picked or options[0]


def view(run_key: str, along: Axis) -> View:
    """Return the axis with the stretch chosen for this run, all of it where none was chosen."""
    if st.session_state.setdefault(OWNER, run_key) != run_key:
        st.session_state[OWNER] = run_key
        _forget()
    found = _STRETCH.fullmatch(st.query_params.get(ZOOM, ""))
    if not found:
        return View(along)
    first, last = float(found[1]), float(found[2])
    return View(along, (first, last) if first < last else None)


def draggable(drawing: Any) -> Any:
    """Return a figure on which a mouse that is dragged marks a stretch of full height."""
    return drawing.update_layout(dragmode="select", selectdirection="h")


def chart(drawing: Any, shown: View, choice: Choice, alt: str, aid: str, data: Any) -> None:
    """Show the chart on which a stretch can be dragged, how to read it, and the way back."""
    can_drag = not shown.axis.turns_back
    st.plotly_chart(
        drawing,
        width="stretch",
        key=CHART,
        alt=alt,
        config=figure.CONFIG,
        selection_mode="box",
        on_select=(lambda: _keep(shown.axis)) if can_drag else "ignore",
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if shown.steps is not None:
            st.markdown(f"Steps {shown.steps[0]:,.0f} to {shown.steps[1]:,.0f}", width="content")
            st.button("Whole run", key="whole", on_click=_forget)
        figure.downloads(drawing, CHART, alt, data)
    notes = [aid, shown.axis.note, *_missing(choice)]
    if not can_drag:
        notes.append(f"Where {shown.axis.name} shrinks the curves turn back.")
    elif shown.steps is None:
        notes.append("Drag across the chart to look closer: the other curves follow.")
    st.caption(literal(" ".join(note for note in notes if note)))


def _missing(choice: Choice) -> list[str]:
    """Return which axes the log cannot give although it has their column, and why."""
    return [sentence(f"not offered: {reason}") for reason in choice.refused]


def _keep(along: Axis) -> None:
    boxes = st.session_state[CHART].get("selection", {}).get("box", [])
    if not boxes:
        return
    low, high = sorted(float(edge) for edge in boxes[0]["x"][:2])
    stretch = along.steps_of(low, high) if high > low else None
    if stretch is not None:
        first, last = (f"{max(0.0, step):.3f}".rstrip("0").rstrip(".") for step in stretch)
        st.query_params[ZOOM] = f"{first}-{last}"


def _forget() -> None:
    st.query_params.pop(ZOOM, None)
