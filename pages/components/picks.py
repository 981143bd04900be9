"""The runs that are picked, as `?runs=` in the URL, and what can be done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from diagnostics.notes import Notes
from pages.components import report
from pages.components.link import to_compare, to_run
from pages.components.notes import editor
from pages.components.runs import Reading

NAME = "runs"
# More runs cannot be told apart on one page.
MOST_COMPARED = 20


def picked(readings: Sequence[Reading]) -> list[Reading]:
    """Return the picked runs among these, in the order in which they were picked."""
    by_key = {reading.entry.key: reading for reading in readings}
    return [by_key[key] for key in st.query_params.get_all(NAME) if key in by_key]


def keep(keys: Sequence[str]) -> None:
    """Have these runs picked, and no others."""
    if keys:
        st.query_params[NAME] = list(dict.fromkeys(keys))
    else:
        st.query_params.pop(NAME, None)


def actions(chosen: Sequence[Reading], hidden: int, notes: Mapping[str, Notes]) -> None:
    """Show what can be done with the picked runs; `hidden` of them are not in the table."""
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", key="picked actions"
    ):
        if not chosen:
            st.caption("Tick rows to compare runs, to keep a report of them, or to tag them.")
            return
        also = f", {hidden} of them filtered out" if hidden else ""
        st.markdown(f"**{len(chosen)} picked**{also}", width="content")
        if len(chosen) == 1:
            to_run(chosen[0], "Open")
        elif len(chosen) <= MOST_COMPARED:
            to_compare(
                [reading.entry.key for reading in chosen], f"**Compare {len(chosen)} runs →**"
            )
        else:
            st.caption(f"Up to {MOST_COMPARED} runs can be compared.")
        if len(chosen) <= MOST_COMPARED:
            name = chosen[0].name if len(chosen) == 1 else "comparison"
            report.button([one.diagnosis for one in chosen if one.diagnosis], name)
        editor(chosen, notes)
        st.button("Untick all", key="clear picks", on_click=keep, args=([],))
