"""Which runs a table shows: a text to find, methods, regimes, states; all of it in the URL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from diagnostics.figures.style import regime_label
from diagnostics.notes import Notes
from diagnostics.regimes import Regime
from diagnostics.run import Run
from pages.components.runs import Reading
from pages.components.verdict import STATUS

UNREADABLE, NOT_KNOWN = "cannot be read", "not known"
REGIMES = (*(regime_label(one).partition(" ")[2] for one in Regime), UNREADABLE)
STATES = tuple(name for name in STATUS if name != "stopping")
KEYS = ("find", "method", "regime", "status")


@dataclass(frozen=True)
class Filter:
    """What a run must be to be shown; an empty field asks for nothing."""

    words: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    regimes: tuple[str, ...] = ()
    states: tuple[str, ...] = ()

    def lets_through(self, reading: Reading, notes: Notes) -> bool:
        """Say whether a run is shown: every word stands somewhere in its name, model or tags."""
        said = (*notes.tags, notes.note)
        known = (reading.name, reading.entry.key, method_of(reading), model_of(reading.run))
        text = " ".join((*known, *said)).lower()
        return (
            all(word in text for word in self.words)
            and (not self.methods or method_of(reading) in self.methods)
            and (not self.regimes or regime_of(reading) in self.regimes)
            and (not self.states or reading.status in self.states)
        )


def ask(readings: Sequence[Reading]) -> Filter:
    """Show the filters and return what was asked for."""
    with st.grid(4, min_column_width=160, gap="small"):
        find = st.text_input(
            "Find", placeholder="name, model, tag or note", key="find", bind="query-params"
        )
        methods = st.multiselect(
            "Method",
            sorted({method_of(reading) for reading in readings}),
            placeholder="all",
            key="method",
            bind="query-params",
        )
        regimes = st.multiselect(
            "Regime", REGIMES, placeholder="all", key="regime", bind="query-params"
        )
        states = st.multiselect(
            "Status", STATES, placeholder="all", key="status", bind="query-params"
        )
    return Filter(tuple(find.lower().split()), tuple(methods), tuple(regimes), tuple(states))


def shown(readings: Sequence[Reading], notes: Mapping[str, Notes]) -> list[Reading]:
    """Show the filters and return the runs that they let through; `notes` are by key."""
    wanted = ask(readings)
    found = [one for one in readings if wanted.lets_through(one, notes[one.entry.key])]
    if not found:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.info(f"None of the {len(readings)} runs is what the filters ask for.")
            st.button("Show all runs", on_click=_clear)
    return found


def _clear() -> None:
    for key in KEYS:
        st.session_state[key] = "" if key == "find" else []


def method_of(reading: Reading) -> str:
    """Return the method of a run, or that nobody knows it."""
    return (reading.run.method if reading.run else None) or NOT_KNOWN


def regime_of(reading: Reading) -> str:
    """Return the regime of a run in words, without its arrows."""
    verdict = reading.verdict
    return regime_label(verdict.regime).partition(" ")[2] if verdict else UNREADABLE


def model_of(run: Run | None) -> str:
    """Return the last part of the name of the model that a run trains, nothing where unknown."""
    if run is None:
        return ""
    header, config = run.header.get("model"), run.config
    named = header.get("name") if isinstance(header, Mapping) else header
    known = named or config.get("model_name_or_path") or config.get("model")
    return known.rstrip("/").rpartition("/")[2] if isinstance(known, str) else ""
