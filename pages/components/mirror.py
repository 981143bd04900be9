"""Projects of W&B among the roots: their runs copied into the first folder, while somebody looks.

One thread of the server asks W&B, never more often than `INTERVAL`, and ends when it has its
answer; a page begins it and waits for nothing. The copies are run folders like any other. Whoever
starts the server names the projects, as he names folders: their runs are shown to all who reach it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import streamlit as st

from diagnostics.errors import DiagnosticsError
from diagnostics.readers.wandb_mirror import bring_up_to_date, checked, mirror_of
from diagnostics.readers.wandb_online import MOST_RUNS, PREFIX
from pages.components import runs
from pages.components.text import literal, sentence

INTERVAL = 60.0
"""Time from the end of one look at W&B to the beginning of the next [seconds]."""

THREAD = "wandb-mirror"
"""The name of the thread that asks."""


@dataclass(frozen=True)
class Told:
    """What is known of one project: how far the look is, what the last one came to.

    `problem` is a sentence, and so is each of those on single runs; `runs` is None until one look
    has succeeded.
    """

    progress: str = ""
    problem: str = ""
    runs: int | None = None
    of_runs: Sequence[str] = ()
    is_cut: bool = False


@dataclass
class _Mirror:
    """The looks at the projects of one server."""

    told: dict[str, Told] = field(default_factory=dict)
    thread: threading.Thread | None = None
    ended: float = -INTERVAL
    lock: threading.Lock = field(default_factory=threading.Lock)


def look() -> None:
    """Begin to look at W&B, where projects are named and the last look is long enough ago."""
    projects = runs.projects()
    if not projects:
        return
    mirror = _mirror(tuple(projects), runs.roots()[0])
    with mirror.lock:
        is_busy = mirror.thread is not None and mirror.thread.is_alive()
        if is_busy or time.monotonic() - mirror.ended < INTERVAL:
            return
        mirror.thread = threading.Thread(
            target=_look, args=(mirror, projects, runs.roots()[0]), name=THREAD, daemon=True
        )
        mirror.thread.start()


def news() -> object:
    """Return what changes whenever there is something else to tell."""
    projects = runs.projects()
    return dict(_mirror(tuple(projects), runs.roots()[0]).told) if projects else None


def tell() -> None:
    """Show what the copies of each project are: how old, how many, and what went wrong."""
    projects, root = runs.projects(), runs.roots()[0]
    for address in projects:
        told = _mirror(tuple(projects), root).told.get(address, Told(progress="asked now"))
        name = f"**W&B {literal(address.removeprefix(PREFIX))}**"
        age = _age(address, root)
        if told.problem:
            problem = literal(told.problem.removeprefix(f"{address}: "))
            kept = f"What was copied before is shown, {age}." if age else "Nothing was copied yet."
            again = f"W&B is asked again every {INTERVAL:.0f} seconds."
            st.warning(f"{name}: {problem}. {kept} {again}")
            continue
        count = f"{told.runs:,} run{'s' * (told.runs != 1)}, " if told.runs is not None else ""
        cut = f" Only the newest {MOST_RUNS} are copied." if told.is_cut else ""
        now = f" ({literal(told.progress)})" if told.progress else ""
        st.caption(f"{name}: {count}{age or 'nothing was copied yet'}{now}.{cut}")
        if told.of_runs:
            first, *others = told.of_runs
            more = f" {len(others)} more could not be copied." if others else ""
            st.warning(f"{literal(sentence(first))}{more}")


def _age(address: str, root: Path) -> str:
    """Return in words how old the copies of a project are; nothing where there are none."""
    try:
        when = checked(mirror_of(address, root))
    except DiagnosticsError:  # it is no project
        return ""
    return f"as of {_ago(time.time() - when)}" if when else ""


def _look(mirror: _Mirror, projects: Sequence[str], root: Path) -> None:
    try:
        for address in projects:
            _look_at(mirror, address, root)
    finally:
        mirror.ended = time.monotonic()


def _look_at(mirror: _Mirror, address: str, root: Path) -> None:
    """Bring the copies of one project up to date, and keep what is to be told of it."""
    before = mirror.told.get(address, Told())

    def say(progress: str) -> None:
        mirror.told[address] = replace(before, progress=progress)

    try:
        found = bring_up_to_date(address, root, say=say)
    except DiagnosticsError as problem:
        mirror.told[address] = Told(problem=str(problem))
        return
    if found.is_whole:
        mirror.told[address] = Told("", "", found.runs, found.problems, found.is_cut)
    else:
        mirror.told[address] = Told(problem=found.problems[-1])


@st.cache_resource(max_entries=20)
def _mirror(projects: tuple[str, ...], root: Path) -> _Mirror:
    return _Mirror()


def _ago(seconds: float) -> str:
    """Return a time that has passed, in words.

    Examples
    --------
    >>> _ago(20), _ago(60), _ago(7300), _ago(200_000)
    ('less than a minute ago', '1 minute ago', '2 hours ago', '2 days ago')
    """
    for length, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' * (count != 1)} ago"
    return "less than a minute ago"
