"""Drawing a page again when a log has changed, and only then.

A fragment that draws nothing looks at names, sizes and dates of the logs every second. Where
nothing has changed, nothing is read, drawn or sent. Where something has, the page runs again; the
browser is sent those charts and texts that came out different, and keeps the others.

A page that is watched has no fragment beside this one: where a look follows at once on a fragment,
Streamlit 1.67 tells the browser that the fragment was cut short, and what a click took away from
the page would stand there until the next full run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import streamlit as st

from pages.components import runs

LOOK_SECONDS = 1.0
"""Time between two looks at the logs."""

REST_SECONDS = 1.5
"""Time that a drawn page stands at least: drawing a dozen charts keeps a browser busy for a good
part of it. Together with a look's wait this is how late a new record is at most."""

BEAT_SECONDS = 60.0
"""What the clock alone changes, such as a run that has fallen silent, shows within this."""


def watch(shown: Sequence[runs.Entry]) -> None:
    """Run the page again when the log of a run that it shows changes, or a run comes or goes.

    To be called before the page reads any log: what changes while it is being drawn is then seen
    at the next look.
    """
    st.fragment(_look, run_every=LOOK_SECONDS)(_state(shown), tuple(shown), time.monotonic())


def _look(drawn: object, shown: Sequence[runs.Entry], when: float) -> None:
    stood = time.monotonic() - when
    # The page's own run comes by here too, just after the state was taken.
    if stood >= BEAT_SECONDS or (stood >= REST_SECONDS and _state(shown) != drawn):
        st.rerun()


def _state(shown: Sequence[runs.Entry]) -> object:
    """Return what changes with the list of runs, and with the log of a run that is shown."""
    return runs.places(), [runs.mark(path) for path in {entry.path: None for entry in shown}]
