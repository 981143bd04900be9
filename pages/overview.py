"""All runs on one plane: who rises, who falls, whatever the method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from diagnostics.figures import style
from diagnostics.figures.plane import Track, plane
from pages.components import figure, runs, states, verdict
from pages.components.link import navigation, to_run
from pages.components.table import table
from pages.components.text import literal, sentence

# More verdicts than stand beside the plane scroll in a list of its height.
LISTED, LIST_HEIGHT = 6, 590


def summary(readings: Sequence[runs.Reading]) -> str:
    """Return one line that counts the regimes and names what is training now."""
    regimes = Counter(
        style.regime_label(reading.verdict.regime) for reading in readings if reading.verdict
    )
    # A regime and its number stay on one line.
    counts = " · ".join(
        f"{label} {number}".replace(" ", "\u00a0") for label, number in regimes.most_common()
    )
    live = [r.run for r in readings if r.run and r.status == "running"]
    now = ", ".join(f"{literal(run.name)} at step {run.last_step or 0:,}" for run in live[:3])
    more = f" and {len(live) - 3} more" if len(live) > 3 else ""
    training = f"  \nTraining now: {now}{more}." if live else ""
    return f"{len(readings)} run{'s' * (len(readings) != 1)}: {counts or 'none readable'}{training}"


def tracks(readings: Sequence[runs.Reading]) -> list[Track]:
    """Return the path of each run that has a probe set."""
    return [
        Track(
            reading.name,
            reading.track,
            style.run_colour(reading.entry.index),
            style.run_symbol(reading.entry.index),
        )
        for reading in readings
        if reading.track
    ]


def verdicts(readings: Sequence[runs.Reading]) -> None:
    """List the sentence of each run, its mark first, its page one click away."""
    read = [reading for reading in readings if reading.verdict]
    with st.container(height=LIST_HEIGHT if len(read) > LISTED else "content", border=False):
        for reading in read:
            with st.container(gap="xxsmall"):
                with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                    to_run(reading, style.run_mark(reading.entry.index))
                    verdict.badge(reading.verdict.regime)
                st.caption(literal(sentence(reading.verdict.sentence)))


@st.fragment(run_every=runs.LIVE_SECONDS)
def overview() -> None:
    """Draw the page's body, again whenever a log has grown."""
    found = runs.entries()
    if not found:
        states.no_runs(runs.roots())
        return
    readings = [runs.reading(entry) for entry in found]
    st.markdown(summary(readings))
    picked = {entry.key for entry in runs.pick_runs(found)}
    shown = [reading for reading in readings if reading.entry.key in picked]
    for reading in shown:
        if reading.problem:
            states.unreadable(reading)
    left, right = st.columns([3, 2], gap="large")
    with left:
        paths = tracks(shown)
        if paths:
            figure.show(plane(paths), "plane", "Change of chosen against change of rejected")
            st.caption(
                "Each path starts at the origin and ends at its mark, with its 95 % interval. "
                "Above the dotted line the margin has grown."
            )
        else:
            states.no_probes()
    with right:
        verdicts(shown)
    table(shown)


st.set_page_config(page_title="Seesaw: all runs", layout="wide")
navigation("overview")
st.title("All runs on one plane")
st.caption(
    "A growing margin does not tell whether the chosen side rises or only the rejected one falls. "
    "The plane does, on a scale that every method shares."
)
overview()
