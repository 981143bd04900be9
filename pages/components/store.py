"""What every log said when it was last looked at: one store for all browser sessions.

Each log holds one slot. It is read again only when it has changed, by one session at a time while
the others wait for what it finds; a growing one is followed from where the last reading ended, and
diagnosed anew as `diagnostics.renewal` says. A run that grows all day piles up no old copies.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from diagnostics.diagnosis import Diagnosis, diagnose
from diagnostics.errors import DiagnosticsError
from diagnostics.readers import Follower, fingerprint
from diagnostics.renewal import is_due
from diagnostics.run import Run
from pages.components.outside import refuse_links_out


@dataclass(frozen=True)
class Judged:
    """A run with the last diagnosis made of it, or why there is none."""

    run: Run
    diagnosis: Diagnosis | None
    problem: str = ""
    made: float = 0.0
    """When the diagnosis was made [seconds of the monotonic clock]."""


class Slot:
    """One log: its runs, or why it could not be read, and what was worked out of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        self.runs: Sequence[Run] = ()
        self._follower = Follower(path)
        self._mark: str | None = None
        self._judged: dict[int, Judged] = {}
        self._lock = threading.RLock()

    @property
    def is_read(self) -> bool:
        """Whether the log was read at all."""
        return self._mark is not None

    def look(self, homes: Sequence[Path]) -> None:
        """Read the log if it has changed since the last look; wait for whoever reads it now.

        Nothing in it may lead out of all of `homes`.
        """
        with self._lock:
            mark = fingerprint(self.path)
            if mark == self._mark:
                return
            try:
                refuse_links_out(self.path, homes)
                self.runs, self.problem = self._follower.read(mark), ""
            except DiagnosticsError as problem:
                self.runs, self.problem = (), str(problem)
            except OSError as problem:
                self.runs = ()
                self.problem = f"{self.path.name} cannot be read: {problem.strerror}"
            self._mark = mark

    def judged(self, part: int) -> Judged | None:
        """Return what is known of one run of the log; None when it holds no such run."""
        with self._lock:
            if part >= len(self.runs):
                self._judged.pop(part, None)
                return None
            run, before = self.runs[part], self._judged.get(part)
            if before is None or before.run is not run:
                self._judged[part] = _judged(run, before)
            return self._judged[part]


@st.cache_resource
def _slots() -> tuple[dict[Path, Slot], threading.Lock]:
    return {}, threading.Lock()


def slot(path: Path, homes: Sequence[Path]) -> Slot:
    """Return the slot of a log as it is now; `homes` are the folders that may be read."""
    slots, lock = _slots()
    with lock:
        found = slots.setdefault(path, Slot(path))
    found.look(homes)
    return found


def is_read(path: Path) -> bool:
    """Return whether a log was read since the server was started."""
    found = _slots()[0].get(path)
    return found is not None and found.is_read


def forget_all_but(paths: Collection[Path]) -> None:
    """Free what is held of logs that are no longer there."""
    slots, lock = _slots()
    with lock:
        for path in [path for path in slots if path not in paths]:
            del slots[path]


def _judged(run: Run, before: Judged | None) -> Judged:
    """Return the diagnosis of a run: the one before, where it is too early for another."""
    now = time.monotonic()
    if before is not None and before.diagnosis is not None:
        diagnosis = before.diagnosis
        if not is_due(diagnosis.run, run, now - before.made):
            return Judged(run, diagnosis, "", before.made)
    try:
        return Judged(run, diagnose(run), "", now)
    except DiagnosticsError as problem:
        return Judged(run, None, problem=str(problem))
