"""The runs under the configured roots: found, read once per change, and picked in the URL.

A reading is kept until the log it came from changes; one store serves all browser sessions.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from diagnostics.diagnosis import Diagnosis
from diagnostics.phases import NamedPhase, RegimeVerdict
from diagnostics.readers import find_runs, fingerprint, is_guess
from diagnostics.readers.wandb_online import online_address
from diagnostics.run import Run
from diagnostics.runlog import LOG_NAME
from diagnostics.share import SPLITS, ShareEstimate
from pages.components import store

ROOTS_VARIABLE = "SEESAW_RUNS"
HOME = Path(__file__).resolve().parents[2]
LONGEST_NAME = 200  # signs of a run's name that are shown

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
    problem: str = ""

    @property
    def verdict(self) -> RegimeVerdict | None:
        """The regime of the run."""
        return self.diagnosis.regime if self.diagnosis else None

    @property
    def verdict_step(self) -> int | None:
        """The last step that the verdict knows of, where the log has grown since; else None."""
        if self.run is None or self.diagnosis is None or self.diagnosis.run is self.run:
            return None
        return self.diagnosis.run.last_step

    @property
    def phases(self) -> Sequence[NamedPhase]:
        """The phases to shade: those of the verdict."""
        return self.diagnosis.regime.phases if self.diagnosis else ()

    @property
    def tracks(self) -> Mapping[str, Sequence[ShareEstimate]]:
        """The trajectories of those splits of the probe set that were scored."""
        known = self.diagnosis.reading.tracks if self.diagnosis else {}
        return {split: track for split, track in known.items() if track}

    @property
    def track(self) -> Sequence[ShareEstimate]:
        """The trajectory of the split that the verdict speaks of."""
        split = self.verdict.estimate.split if self.verdict else SPLITS[0]
        return self.tracks.get(split) or next(iter(self.tracks.values()), ())

    @property
    def name(self) -> str:
        """The run's own name, cut where it is endless, or its key where none was read."""
        name = self.run.name if self.run else self.entry.key
        return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"

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
    """Return the folders that may hold runs: those of `SEESAW_RUNS`, else ours.

    What is trained, imported or copied from W&B goes into the first one. Where projects of W&B
    are named and no folder is, that is our own folder of runs.
    """
    named = _named()
    folders = [Path(part).expanduser() for part in named if not _IS_PROJECT.match(part)]
    return folders or ([HOME / "runs"] if named else [HOME / "runs", HOME / "examples"])


def projects() -> list[str]:
    """Return the addresses of the projects of W&B that `SEESAW_RUNS` names."""
    found = [online_address(part) for part in _named() if _IS_PROJECT.match(part)]
    return list(dict.fromkeys(found))


# Addresses hold the sign that stands between two folders: behind the scheme, and before a port.
_IS_PROJECT = re.compile(r"(?:wandb|https?)://")
_PART = re.compile(
    r"\s*(?:wandb|https?)://(?:[^/:]*:\d+(?=/))?[^SEP]*|[^SEP]+".replace("SEP", os.pathsep)
)


def _named() -> list[str]:
    """Return the parts of `SEESAW_RUNS`."""
    found = _PART.findall(os.environ.get(ROOTS_VARIABLE, ""))
    return [part.strip() for part in found if part.strip()]


def _homes() -> list[Path]:
    return [root.resolve() for root in roots()]


def places() -> dict[str, Path]:
    """Return where the logs under the roots lie, by key; nothing is read.

    A key is the root's name and the path below it, so that a link means the same run tomorrow.
    Links that lead out of the root are left out.
    """
    found: dict[str, Path] = {}
    seen: set[Path] = set()
    for root in roots():
        if not root.is_dir():
            continue
        home = root.resolve()
        for path in find_runs(root):
            place = path.resolve()
            if place in seen or not place.is_relative_to(home):
                continue
            seen.add(place)
            key = "/".join((home.name, *place.relative_to(home).parts))
            while key in found:
                key += "~"
            found[key] = place
    return found


def entries() -> list[Entry]:
    """Return every run under the roots, by key."""
    found = places()
    store.forget_all_but(set(found.values()))
    kept = _places(tuple(roots()))
    several = ((key, found[key], part) for key in sorted(found) for part in _parts(found[key]))
    named = ((f"{key}#{part + 1}" if part else key, path, part) for key, path, part in several)
    return [Entry(key, path, kept.setdefault(key, len(kept)), part) for key, path, part in named]


def mark(path: Path) -> str:
    """Return what changes whenever this log changes; nothing is read."""
    return fingerprint(path)


def is_read(entry: Entry) -> bool:
    """Return whether somebody has looked at the run's log already."""
    return store.is_read(entry.path)


def reading(entry: Entry) -> Reading:
    """Return what the run's log says now, from the store when nothing has changed since."""
    log = store.slot(entry.path, _homes())
    judged = log.judged(entry.part)
    if judged is None:
        problem = log.problem or "the log no longer holds this run; pick another one"
        return Reading(entry, problem=problem)
    if judged.problem:
        return Reading(entry, problem=judged.problem)
    return Reading(entry, judged.run, judged.diagnosis)


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


def pick_runs(found: Sequence[Entry], *, arrived: bool) -> list[Entry]:
    """Show the picker of several runs, tied to `?runs=`; nothing picked means all of them.

    `arrived` is as in `pick_run`. The runs come in the order in which they were picked.
    """
    by_key = {entry.key: entry for entry in found}
    named = [key for key in st.query_params.get_all("runs") if key in by_key]
    if arrived and named:
        st.session_state["runs"] = list(dict.fromkeys(named))
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


def _parts(path: Path) -> range:
    """Return the places of the runs in a log; one that cannot be read is listed once.

    A file that only looked like a log, a table or a page beside the runs, is not listed.
    """
    if (path / LOG_NAME).is_file():  # a run folder of ours holds one, whatever is in it
        return range(1)
    log = store.slot(path, _homes())
    return range(0 if log.problem and is_guess(path) else max(1, len(log.runs)))
