"""What a page says when there is nothing to show: what is missing, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from diagnostics.figures.style import figure
from pages.components import runs
from pages.components.runs import ROOTS_VARIABLE, Entry, Reading
from pages.components.text import literal, sentence

MOST_ERRORS = 3  # that stand open on a page; more would push everything else off it
MOST_LISTED = 30
VISITED = "something was shown"
START = """\
# five methods on the same small synthetic pairs, a few minutes on a laptop
python -m trainer demo
# your own pairs and model
python -m trainer --method dpo --model MODEL --data PAIRS.jsonl --output_dir runs/NAME"""


@contextmanager
def reading(entries: Sequence[Entry]) -> Iterator[None]:
    """Hold the place of what is to come while a new visitor waits for logs to be read.

    The empty chart has the browser load what draws charts in the meantime, which takes it about
    as long. Whoever has seen a page already keeps looking at that one.
    """
    place = st.empty()  # also when there is nothing to say: what follows keeps its place
    unread = [entry for entry in entries if not runs.is_read(entry)]
    is_new, st.session_state[VISITED] = VISITED not in st.session_state, True
    if not unread or not is_new:
        yield
        return
    with place.container():
        logs = "the log" if len(unread) == 1 else f"{len(unread)} logs"
        st.caption(f"Reading {logs}…")
        st.plotly_chart(figure(300, {"visible": False}, {"visible": False}), key="reading")
    try:
        yield
    finally:
        place.empty()


def no_runs(folders: Sequence[Path]) -> None:
    """Say where was looked, and how a first run comes to be."""
    with st.container(border=True):
        st.markdown("### No runs yet")
        looked = " and ".join(literal(folder) for folder in folders)
        st.markdown(
            f"Looked in {looked}. Start a training, and it appears here by itself with its first "
            "record; one that has just been started may still be preparing its model:"
        )
        st.code(START, language="bash")
        st.markdown(
            f"Runs that lie elsewhere are found by setting `{ROOTS_VARIABLE}` to their folder, or "
            "to a project on W&B as `wandb://entity/project`, before starting the dashboard:"
        )
        st.code(f"{ROOTS_VARIABLE}=/path/to/runs streamlit run app.py", language="bash")


def unreadable(reading: Reading) -> None:
    """Say why a run could not be read; the other runs are not affected."""
    st.error(f"**{literal(reading.entry.key)}** could not be read: {literal(reading.problem)}")


def unreadable_runs(readings: Sequence[Reading]) -> None:
    """Say why each of several runs could not be read, folded away where there are many."""
    if len(readings) <= MOST_ERRORS:
        for reading in readings:
            unreadable(reading)
        return
    with st.expander(f"✕ {len(readings)} logs could not be read"):
        for reading in readings[:MOST_LISTED]:
            st.markdown(f"**{literal(reading.entry.key)}**: {literal(sentence(reading.problem))}")
        if len(readings) > MOST_LISTED:
            st.caption(f"And {len(readings) - MOST_LISTED} more: filter the table for them.")


def no_probes() -> None:
    """Say what is missing for a regime, and how a run gets it."""
    st.info(
        "This log has no probe set, so nobody can say how far the same pairs have moved. "
        "A run started with `python -m trainer` scores a fixed probe set by itself; "
        "the charts show what the log does hold."
    )


def no_pairs() -> None:
    """Say that a log knows averages only, and how a run comes to keep its pairs."""
    with st.container(border=True):
        st.markdown("### No single pairs in this log")
        st.markdown(
            "It holds averages over batches or over a held-out set, so which pairs are behind them "
            "cannot be told: not which ones moved against their labels, nor which to drop. "
            "A run started with `python -m trainer` scores a fixed set of pairs at every "
            "evaluation and keeps their texts and tokens:"
        )
        st.code(START, language="bash")


def not_logged(what: str) -> None:
    """Say that a chart is left out because the run does not log its quantity."""
    st.caption(f"{what} is not in this log.")


def waiting() -> None:
    """Say that a run has begun but has not written a record yet."""
    st.info(
        "This run has begun, but has not written a training record yet. "
        "The page looks again every few seconds."
    )


def no_training(reason: str) -> None:
    """Say why this server starts no trainings; the command below works without it."""
    st.info(f"No training can be started from here: {reason}.")
    st.caption("The form puts the command together; it runs in a terminal, in this folder.")
