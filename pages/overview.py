"""All runs on one plane: who rises, who falls, whatever the method."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence, Sized

import streamlit as st

from diagnostics.figures import style
from diagnostics.figures.plane import Track, plane
from pages.components import figure, filters, live, picks, runs, states, verdict
from pages.components.link import navigation, remember, to_run
from pages.components.notes import notes_on
from pages.components.table import also_found, choose
from pages.components.text import literal, sentence

# More verdicts than stand beside the plane scroll in a list of its height.
LISTED, LIST_HEIGHT = 6, 590
# Each verdict of the list is a link, a badge and a text; the table shows the rest.
MOST_LISTED = 24
MOST_BADGES = 2
# Paths of more runs than this hide each other: only their ends are drawn.
MOST_PATHS = 20
# More names than this take more room than the plane that they explain.
MOST_NAMES = 8
# Of computing: after the one a page says what it waits for, after the other it shows what it has.
PATIENCE, LONGEST = 1.0, 4.0  # seconds


def read(found: Sequence[runs.Entry]) -> list[runs.Reading]:
    """Return what the runs' logs say now: of all, or of the newest where all take too long.

    What is read stays read, so that the next look at the folders goes on where this one ended.
    """
    place, readings = st.empty(), {}
    # The time of this thread: on a busy machine a page is slow, and shows no less.
    begun = time.thread_time()
    for entry in sorted(found, key=lambda entry: entry.changed, reverse=True):
        readings[entry.key] = runs.reading(entry)
        spent = time.thread_time() - begun
        if spent > PATIENCE:
            place.progress(len(readings) / len(found), _read_so_far(readings, found))
        if spent > LONGEST:
            break
    if len(readings) == len(found):
        place.empty()
    return [readings[entry.key] for entry in found if entry.key in readings]


def _read_so_far(readings: Sized, found: Sized) -> str:
    return f"{len(readings)} of {len(found)} runs read, the newest first"


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


def track(reading: runs.Reading, *, faint: bool = False) -> Track:
    """Return the path of a run, in the colour and with the mark that it keeps."""
    place = reading.entry.index
    if faint:
        return Track(reading.name, reading.track, style.REFERENCE)
    return Track(reading.name, reading.track, style.run_colour(place), style.run_symbol(place))


def map_of(shown: Sequence[runs.Reading], chosen: Sequence[runs.Reading]) -> None:
    """Draw the plane: the picked runs as paths and the others faint, or all of the few shown."""
    known = [reading for reading in shown if reading.track]
    marked = [reading for reading in chosen if reading.track]
    if not known and not marked:
        states.no_probes()
        return
    if marked:
        paths = [track(reading) for reading in marked[:MOST_PATHS]]
        ends = [track(reading, faint=True) for reading in known if reading not in marked]
    elif len(known) <= MOST_PATHS:
        paths, ends = [track(reading) for reading in known], []
    else:
        paths, ends = [], [track(reading) for reading in known]
    drawing = plane(paths, ends=ends, legend=len(paths) <= MOST_NAMES)
    figure.show(drawing, "plane", "Change of chosen against change of rejected")
    explained = (
        "Each mark is where a run stands now; pick runs in the table to see their paths."
        if not paths
        else "Each path starts at the origin and ends at its mark, with its 95 % interval."
    )
    left_out = len(shown) - len(known)
    without = f" {left_out} without a probe set {'is' if left_out == 1 else 'are'} not on it."
    st.caption(
        f"{explained} Above the dotted line the margin has grown.{without if left_out else ''}"
    )


def verdicts(readings: Sequence[runs.Reading]) -> None:
    """List the sentence of each run, the worst first, its page one click away."""
    read = sorted((one for one in readings if one.diagnosis), key=lambda one: one.diagnosis.urgency)
    with st.container(height=LIST_HEIGHT if len(read) > LISTED else "content", border=False):
        for reading in read[:MOST_LISTED]:
            with st.container(gap="xxsmall"):
                with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                    to_run(reading, style.run_mark(reading.entry.index))
                    verdict.badge(reading.verdict.regime)
                    findings(reading)
                st.caption(literal(sentence(reading.verdict.sentence)))
        if len(read) > MOST_LISTED:
            st.caption(f"And {len(read) - MOST_LISTED} more, none of them worse, in the table.")


def findings(reading: runs.Reading) -> None:
    """Show what is established beside the regime as badges, the worst first."""
    titles = also_found(reading)
    for title in titles[:MOST_BADGES]:
        st.badge(literal(title), color="red")
    if len(titles) > MOST_BADGES:
        more = titles[MOST_BADGES:]
        st.badge(f"{len(more)} more", color="red", help=literal(", ".join(more)))


def overview() -> None:
    """Draw the page's body, again whenever a log has grown."""
    found = runs.entries()
    if not found:
        states.no_runs(runs.roots())
        return
    readings, notes = read(found), notes_on(found)
    st.markdown(summary(readings))
    states.unreadable_runs([reading for reading in readings if reading.problem])
    shown = filters.shown(readings, notes)
    chosen = picks.picked(readings)
    if shown or chosen:
        left, right = st.columns([3, 2], gap="large")
        with left:
            map_of(shown, chosen)
        with right:
            verdicts(chosen or shown)
    hidden = len([one for one in chosen if one not in shown])
    picks.actions(chosen, hidden, notes)
    choose(shown, notes)
    remember("overview")
    if len(readings) < len(found):
        st.rerun()  # reads and draws on at once


st.set_page_config(page_title="Seesaw: all runs", layout="wide")
navigation("overview")
st.title("All runs on one plane")
st.caption(
    "A growing margin does not tell whether the chosen side rises or only the rejected one falls. "
    "The plane does, on a scale that every method shares."
)
live.watch(runs.entries())
overview()
