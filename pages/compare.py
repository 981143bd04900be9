"""Runs of any methods side by side: what differs beyond noise, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from diagnostics.contrasts import MATCHES
from pages.components import comparison, live, report, runs, states
from pages.components.link import navigation

# More runs cannot be told apart on one page.
MOST = 20
WHY = {
    "step": "Each two runs at the last step that both have reached. Methods do not share a clock, "
    "so a faster one looks better here.",
    "margin": "Each two runs where they had gained the same margin: who paid for it, and on which "
    "side.",
    "drift": "Each two runs where they had moved as far from the initial policy: what that "
    "distance bought.",
}
SPLITS = {"quantity": "a quantity", "run": "a run"}


def matching(*, arrived: bool) -> str:
    """Show where runs are held against each other, tied to `?at=` in the URL.

    `arrived` is as in the run picker: what the link asks for wins over an earlier visit.
    """
    named = st.query_params.get("at")
    if arrived and named in MATCHES and st.session_state.get("at", named) != named:
        st.session_state["at"] = named
    return (
        st.segmented_control(
            "At the same",
            MATCHES,
            default=MATCHES[0],
            required=True,
            key="at",
            bind="query-params",
        )
        or MATCHES[0]
    )


def body(readings: Sequence[runs.Reading], *, arrived: bool) -> None:
    """Draw the comparison of the runs that could be read."""
    known = [(one.entry.index, one.diagnosis) for one in readings if one.diagnosis]
    for reading in readings:
        if reading.problem:
            states.unreadable(reading)
    if len(known) < 2:
        st.info("A comparison takes two runs that can be read. Pick them above.")
        return
    top = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    with top:
        matched = matching(arrived=arrived)
        report.button(
            [one for _, one in known], "comparison", matched, [place for place, _ in known]
        )
    st.caption(WHY[matched])
    found = comparison.compared(
        tuple(one for _, one in known), tuple(place for place, _ in known), matched
    )
    comparison.short(found)
    comparison.verdicts(found)
    st.header("Where the runs have moved, and what it cost")
    comparison.legend(found)
    left, right = st.columns([3, 2], gap="large")
    with left:
        if not comparison.paths(found):
            states.no_probes()
    with right:
        st.markdown("**Nats of margin for each nat of drift**, with 95 % intervals")
        comparison.price(found)
    st.header(f"What differs at the same {matched}")
    if comparison.differences(found):
        st.caption(
            "The second run minus the first, with 95 % intervals. A filled mark is beyond noise, "
            "with the caution of as many looks as there are rows; an open one is within it."
        )
    else:
        st.info("None of these runs can be held against another here; the reasons stand above.")
    st.header("The way there")
    courses(found, matched)
    if found.summary.groups:
        st.header("Seeds of one setting together")
        comparison.groups(found)
    st.header("Where the configurations differ")
    everything = st.toggle("Show all settings", key="all_settings", bind="query-params")
    comparison.settings(found, everything=everything)


def courses(found: comparison.Compared, matched: str) -> None:
    """Draw the courses, one chart a quantity or one a run."""
    usual = "quantity" if found.lines <= comparison.MOST_LINES else "run"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        split = st.segmented_control(
            "One chart",
            list(SPLITS),
            default=usual,
            required=True,
            format_func=SPLITS.get,
            key="chart",
        )
        together = bool(found.summary.bands) and split == "quantity"
        if together:
            together = st.toggle("Seeds together", value=True, key="seeds")
    comparison.legend(found, together=together)
    comparison.courses(found, split or usual, seeds=together)


st.set_page_config(page_title="Seesaw: compare", layout="wide")
arrived = navigation("compare")
st.title("Compare")
found = runs.entries()
if found:
    picked = runs.pick_runs(found, arrived=arrived)
    if len(picked) > MOST:
        st.caption(
            f"△ {len(picked)} runs are more than can be told apart: these are the first {MOST}."
        )
    live.watch(picked[:MOST])
    with states.reading(picked[:MOST]):
        readings = [runs.reading(entry) for entry in picked[:MOST]]
    body(readings, arrived=arrived)
else:
    states.no_runs(runs.roots())
