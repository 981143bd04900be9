"""Tags and notes on runs: read for a table, and written in a form; they lie beside the logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from diagnostics.notes import (
    LONGEST_NOTE,
    Notes,
    NotesRefused,
    read_notes,
    tags_in,
    write_notes,
)
from pages.components.runs import Entry, Reading
from pages.components.text import literal, sentence


def notes_on(entries: Sequence[Entry]) -> dict[str, Notes]:
    """Return the notes on each run by its key."""
    return {entry.key: read_notes(entry.path, entry.part) for entry in entries}


def editor(chosen: Sequence[Reading], notes: Mapping[str, Notes]) -> None:
    """Show a form for the tags and the note of one run, or for a tag that several get."""
    # The form of another choice of runs is another form: nothing typed for one is kept for both.
    form = "notes on " + " ".join(sorted(reading.entry.key for reading in chosen))
    with st.popover("Tag and note", key="notes"):
        if len(chosen) == 1:
            _one(chosen[0].entry, notes[chosen[0].entry.key], form)
        else:
            _several([reading.entry for reading in chosen], notes, form)
        refused = st.session_state.pop(f"{form} refused", None)
        if refused:
            st.error(literal(sentence(refused)))
        if st.session_state.pop(f"{form} kept", False):
            st.success("Kept.")


def _one(entry: Entry, now: Notes, form: str) -> None:
    seen = f"{form} seen"
    # What a form held goes when it is not shown; what somebody is typing must not.
    if f"{form} tags" not in st.session_state:
        _fill(form, now)
    with st.form(form, border=False):
        st.text_input("Tags", placeholder="baseline, to publish", key=f"{form} tags")
        st.text_area("Note", max_chars=LONGEST_NOTE, height=120, key=f"{form} note")
        with st.container(horizontal=True):
            st.form_submit_button("Keep", on_click=_keep_one, args=(entry, form))
            if st.session_state[seen] != now:
                st.form_submit_button("Show what is kept now", on_click=_fill, args=(form, now))
    if st.session_state[seen] != now:
        st.warning("Somebody else has changed these notes since they were shown here.")
    st.caption("Kept beside the run, for everybody who reads its folder.")


def _fill(form: str, now: Notes) -> None:
    """Have the form show these notes."""
    st.session_state[f"{form} seen"] = now
    st.session_state[f"{form} tags"] = ", ".join(now.tags)
    st.session_state[f"{form} note"] = now.note


def _keep_one(entry: Entry, form: str) -> None:
    state = st.session_state
    try:
        given = Notes(tags_in(state[f"{form} tags"]), state[f"{form} note"])
        write_notes(entry.path, given, entry.part, before=state[f"{form} seen"])
    except NotesRefused as reason:
        state[f"{form} refused"] = str(reason)
    else:
        _fill(form, read_notes(entry.path, entry.part))
        state[f"{form} kept"] = True


def _several(entries: Sequence[Entry], notes: Mapping[str, Notes], form: str) -> None:
    with st.form(form, border=False):
        st.text_input(f"Tags to add to {len(entries)} runs", key=f"{form} tags")
        st.form_submit_button("Add", on_click=_keep_several, args=(entries, notes, form))


def _keep_several(entries: Sequence[Entry], notes: Mapping[str, Notes], form: str) -> None:
    state = st.session_state
    try:
        given = tags_in(state[f"{form} tags"])
        for entry in entries:
            old = notes[entry.key]
            added = Notes(tags_in(",".join((*old.tags, *given))), old.note)
            write_notes(entry.path, added, entry.part, before=old)
    except NotesRefused as reason:
        state[f"{form} refused"] = str(reason)
    else:
        state[f"{form} tags"] = ""
        state[f"{form} kept"] = True
