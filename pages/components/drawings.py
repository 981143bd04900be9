"""Figures and tables worked out once for a state of a log, so that a rerun draws nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from diagnostics.diagnosis import Diagnosis
from diagnostics.run import Run
from pages.components.runs import Reading

MOST_RUNS = 12
"""Runs whose figures are kept, of those looked at last."""

MOST_EACH = 60
"""Figures kept of one run: those of a few views of its page."""


@dataclass
class _Shelf:
    """What was made of one state of a run's log."""

    run: Run | None
    diagnosis: Diagnosis | None
    made: dict[Hashable, Any] = field(default_factory=dict)


@st.cache_resource
def _shelves() -> dict[Hashable, _Shelf]:
    return {}


def kept(reading: Reading, key: Hashable, make: Callable[[], Any]) -> Any:
    """Return what `make` returns, made once for this state of the log.

    What is kept is shared by all sessions: it is shown, and never changed.
    """
    shelves = _shelves()
    place = (reading.entry.path, reading.entry.part)
    shelf = shelves.pop(place, None)
    if shelf is None or shelf.run is not reading.run or shelf.diagnosis is not reading.diagnosis:
        shelf = _Shelf(reading.run, reading.diagnosis)
    shelves[place] = shelf  # now the youngest
    _bound(shelves, MOST_RUNS)
    if key not in shelf.made:
        shelf.made[key] = make()
        _bound(shelf.made, MOST_EACH)
    return shelf.made[key]


def _bound(held: dict[Hashable, Any], most: int) -> None:
    """Forget the oldest of what is held, down to `most`."""
    for key in list(held)[: max(0, len(held) - most)]:
        held.pop(key, None)
