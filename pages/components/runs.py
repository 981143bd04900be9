"""The runs under the configured roots: found, read once per change, and picked in the URL.

This is the only place where pages touch files. A reading is kept until the log it came from
changes; one store serves all browser sessions, and each run holds one slot in it, so a run that
grows all day does not pile up old copies of itself.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from diagnostics.diagnosis import Diagnosis, diagnose
from diagnostics.errors import DiagnosticsError
from diagnostics.phases import NamedPhase, RegimeVerdict
from diagnostics.readers import find_runs, fingerprint, is_guess, read_all
from diagnostics.run import Run
from diagnostics.runlog import LOG_NAME
from diagnostics.share import SPLITS, ShareEstimate, trajectory

ROOTS_VARIABLE = "SEESAW_RUNS"
HOME = Path(__file__).resolve().parents[2]
LIVE_SECONDS = 4
"""Time between two looks at the folders: a new record shows within this."""

SILENT_SECONDS = 15 * 60
"""A log without an end that has been silent for so long is most likely of a killed process."""


@dataclass(frozen=True)
class Entry:
    """A run that was found: its name in the URL, where it lies, its place among all runs.

    `part` counts the runs of a log that holds several.
    """

    key: str
    path: Path
    index: int
    part: int = 0

    @property
    def changed(self) -> float:
        """When the run's folder was last written to [seconds, Unix]; 0 when it is gone."""
        try:
            return self.path.stat().st_mtime
        except OSError:
            return 0.0


@dataclass(frozen=True)
class Reading:
    """What a run's log says now; `run` is None when it could not be read, `problem` says why."""

    entry: Entry
    run: Run | None = None
    diagnosis: Diagnosis | None = None
    tracks: Mapping[str, Sequence[ShareEstimate]] = field(default_factory=dict)
    problem: str = ""

    @property
    def verdict(self) -> RegimeVerdict | None:
        """The regime of the run."""
        return self.diagnosis.regime if self.diagnosis else None

    @property
    def phases(self) -> Sequence[NamedPhase]:
        """The phases to shade: those of the verdict."""
        return self.diagnosis.regime.phases if self.diagnosis else ()

    @property
    def track(self) -> Sequence[ShareEstimate]:
        """The trajectory of the split that the verdict speaks of."""
        split = self.verdict.estimate.split if self.verdict else SPLITS[0]
        return self.tracks.get(split) or next(iter(self.tracks.values()), ())

    @property
    def name(self) -> str:
        """The run's own name, or its key where none was read."""
        return self.run.name if self.run else self.entry.key

    @property
    def status(self) -> str:
        """The run's status, "silent" for one that should be training and has long said nothing."""
        if self.run is None:
            return "unreadable"
        if self.run.status != "running":
            return self.run.status
        return "running" if time.time() - self.updated < SILENT_SECONDS else "silent"

    @property
    def updated(self) -> float:
        """When the newest record was written [seconds, Unix]."""
        if self.run is not None and "time" in self.run.train and len(self.run.train):
            return float(self.run.train["time"].max())
        return self.entry.changed


def roots() -> list[Path]:
    """Return the folders that may hold runs: those of `SEESAW_RUNS`, else ours."""
    named = os.environ.get(ROOTS_VARIABLE, "")
    if named.strip():
        return [Path(part).expanduser() for part in named.split(os.pathsep) if part.strip()]
    return [HOME / "runs", HOME / "examples"]


def entries() -> list[Entry]:
    """Return every run under the roots, by key.

    A key is the root's name and the path below it, so that a link means the same run tomorrow.
    Links that lead out of the root are left out.
    """
    found: dict[str, Path] = {}
    for root in roots():
        if not root.is_dir():
            continue
        home = root.resolve()
        for path in find_runs(root):
            place = path.resolve()
            if not place.is_relative_to(home) or place in found.values():
                continue
            key = "/".join((home.name, *place.relative_to(home).parts))
            while key in found and found[key] != place:
                key += "~"
            found[key] = place
    places = _places(tuple(roots()))
    several = ((key, found[key], part) for key in sorted(found) for part in _parts(found[key]))
    named = ((f"{key}#{part + 1}" if part else key, path, part) for key, path, part in several)
    return [
        Entry(key, path, places.setdefault(key, len(places)), part) for key, path, part in named
    ]


def reading(entry: Entry) -> Reading:
    """Return what the run's log says now, from the store when nothing has changed since."""
    log = _log(entry.path)
    if log.problem or entry.part >= len(log.runs):
        problem = log.problem or "the log no longer holds this run; pick another one"
        return log.kept.setdefault(entry, Reading(entry, problem=problem))
    if entry not in log.kept:
        log.kept[entry] = _diagnosed(entry, log.runs[entry.part])
    return log.kept[entry]


def pick_run(found: Sequence[Entry], *, arrived: bool) -> Entry:
    """Show the picker of one run, tied to `?run=` in the URL; the newest run when none is picked.

    `arrived` says that the page was just opened: then a run named in the URL is what the link
    asked for, and the browser's memory of an earlier visit, which it sends along, must not win.
    """
    by_key = {entry.key: entry for entry in found}
    named = st.query_params.get("run")
    if arrived and named in by_key:
        st.session_state["run"] = named
    newest = max(found, key=lambda entry: entry.changed)
    picked = st.selectbox(
        "Run",
        list(by_key),
        # No option is the default: whatever is picked stands in the URL, the first run too.
        index=None,
        key="run",
        bind="query-params",
        placeholder=f"{newest.key} (the newest)",
        label_visibility="collapsed",
    )
    return by_key.get(picked or "", newest)


def pick_runs(found: Sequence[Entry]) -> list[Entry]:
    """Show the picker of several runs, tied to `?runs=`; nothing picked means all of them."""
    by_key = {entry.key: entry for entry in found}
    picked = st.multiselect(
        "Runs",
        list(by_key),
        key="runs",
        bind="query-params",
        placeholder="All runs; pick some to compare only those",
        label_visibility="collapsed",
    )
    return [by_key[key] for key in picked if key in by_key] or list(found)


@st.cache_resource(max_entries=20)
def _places(folders: tuple[Path, ...]) -> dict[str, int]:
    """Return the place of each run seen under these roots, in the order of their appearance.

    A run that appears later takes the next place, so that the others keep their colours.
    """
    return {}


@dataclass(frozen=True)
class _Log:
    """What a path held at one time: its runs, or why it could not be read; and their readings."""

    mark: str
    runs: Sequence[Run] = ()
    problem: str = ""
    kept: dict[Entry, Reading] = field(default_factory=dict)


@st.cache_resource
def _store() -> tuple[dict[Path, _Log], threading.Lock]:
    return {}, threading.Lock()


def _log(path: Path) -> _Log:
    """Return what the path holds now, from the store when nothing has changed since."""
    slots, lock = _store()
    mark = fingerprint(path)
    with lock:
        kept = slots.get(path)
    if kept is not None and kept.mark == mark:
        return kept
    try:
        fresh = _Log(mark, read_all(path))
    except DiagnosticsError as problem:
        fresh = _Log(mark, problem=str(problem))
    except OSError as problem:
        fresh = _Log(mark, problem=f"{path.name} cannot be read: {problem.strerror}")
    with lock:
        slots[path] = fresh
    return fresh


def _parts(path: Path) -> range:
    """Return the places of the runs in a log; one that cannot be read is listed once.

    A file that only looked like a log, a table or a page beside the runs, is not listed.
    """
    if (path / LOG_NAME).is_file():  # a run folder of ours holds one, whatever is in it
        return range(1)
    log = _log(path)
    return range(0 if log.problem and is_guess(path) else max(1, len(log.runs)))


def _diagnosed(entry: Entry, run: Run) -> Reading:
    tracks = {split: trajectory(run, split) for split in SPLITS}
    tracks = {split: track for split, track in tracks.items() if track}
    try:
        return Reading(entry, run, diagnose(run), tracks)
    except DiagnosticsError as problem:
        return Reading(entry, problem=str(problem))
