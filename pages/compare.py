"""Runs of any methods side by side: what differs beyond noise, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from diagnostics.contrasts import MATCHES
from diagnostics.figures import style
from diagnostics.figures.plane import Track, plane
from diagnostics.summary import summarise
from pages.components import figure, report, runs, states
from pages.components.link import navigation
from pages.components.table import table
from pages.components.text import literal, sentence

# More runs cannot be told apart on one page.
MOST = 20


def matching() -> str:
    """Show where runs are held against each other, tied to `?at=` in the URL."""
    return (
        st.segmented_control(
            "Compared at the same",
            MATCHES,
            default=MATCHES[0],
            required=True,
            key="at",
            bind="query-params",
        )
        or MATCHES[0]
    )


@st.fragment(run_every=runs.LIVE_SECONDS)
def body(picked: Sequence[runs.Entry], matched: str) -> None:
    """Draw the comparison, again whenever a log has grown."""
    readings = [runs.reading(entry) for entry in picked]
    for reading in readings:
        if reading.problem:
            states.unreadable(reading)
    known = [reading for reading in readings if reading.run and reading.diagnosis]
    if len(known) < 2:
        st.info("Pick two runs or more.")
        return
    report.button([one.diagnosis for one in known if one.diagnosis], "comparison", matched)
    found = summarise([one.run for one in known if one.run], matched)
    st.markdown("\n".join(f"- {literal(sentence(text))}" for text in found.sentences))
    table(known)
    tracks = [
        Track(
            one.name,
            one.track,
            style.run_colour(one.entry.index),
            style.run_symbol(one.entry.index),
        )
        for one in known
        if one.track
    ]
    if tracks:
        figure.show(plane(tracks), "plane", "Change of chosen against change of rejected")


st.set_page_config(page_title="Seesaw: compare", layout="wide")
navigation("compare")
st.title("Compare")
found = runs.entries()
if found:
    picked = runs.pick_runs(found)
    body(picked[:MOST], matching())
else:
    states.no_runs(runs.roots())
