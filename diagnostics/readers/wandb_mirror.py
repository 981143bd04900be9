"""Copies of the runs of a W&B project as run folders, brought up to date again and again.

A run lies in `wandb-mirror/<entity>/<project>/<run>` under a folder of runs, as a run log like any
other. It is fetched when it is new, or when what W&B's list of runs says of it has changed, and
its log is replaced as a whole: nobody sees half of it. A run that is deleted on W&B stays; a copy
that is deleted here comes back when the run goes on.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from diagnostics.errors import DiagnosticsError, ReadError, UnknownFormat
from diagnostics.readers.discovery import is_entered
from diagnostics.readers.native import write
from diagnostics.readers.opening import json_value
from diagnostics.readers.wandb_online import (
    MOST_RUNS,
    PREFIX,
    answers,
    client_of,
    newest_runs,
    read_run,
)
from diagnostics.run import Run
from diagnostics.runlog import LOG_NAME

FOLDER = "wandb-mirror"
"""Where copies lie in a folder of runs; W&B itself writes into folders called wandb."""

STATE_NAME = ".mirror.json"
"""What is known of the copies of a project, beside them."""

# What is being written; folders that begin with a dot are not looked into.
_PARTIAL = ".partial-"
LONGEST_WRITE = 3600.0  # seconds; a copy that is older was given up

# W&B's own ids have eight signs; people may choose longer ones.
LONGEST_NAME = 80
# So many runs in a row that cannot be fetched mean that no other can.
MOST_FAILURES = 3


@dataclass(frozen=True)
class Look:
    """What one look at a project came to: `runs` of it are listed, and `fetched` of them anew.

    `problems` says in a sentence each which runs could not be copied; `is_whole` whether all of
    the listed ones were looked at.
    """

    runs: int
    fetched: int
    problems: Sequence[str] = ()
    is_whole: bool = True

    @property
    def is_cut(self) -> bool:
        """Whether the project may hold older runs that are not copied."""
        return self.runs >= MOST_RUNS


def mirror_of(address: str, root: str | os.PathLike[str]) -> Path:
    """Return the folder of the copies of a project's runs, under a folder of runs.

    Raises
    ------
    UnknownFormat
        When the address is none of a project.

    Examples
    --------
    >>> mirror_of("wandb:me/dpo", "runs").as_posix()
    'runs/wandb-mirror/me/dpo'
    """
    parts = address.removeprefix(PREFIX).split("/")
    if len(parts) != 2 or not all(parts):
        raise UnknownFormat(
            f"{address}: is no project of W&B, expected wandb://entity/project; copy both names"
            " from the address of the project's page"
        )
    return Path(root, FOLDER, *map(folder_name, parts))


def folder_name(text: str) -> str:
    """Return a folder's name for a name on W&B: the same one where it is harmless.

    Another one is made of plain characters, and of a digest that keeps apart what differs.

    Examples
    --------
    >>> folder_name("abc123"), folder_name("../../etc"), folder_name("checkpoint-1")
    ('abc123', 'f470a0ab-etc', '9951d5a9-checkpoint-1')
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:LONGEST_NAME]
    if plain and plain == text and is_entered(plain):
        return plain
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{digest}-{plain}".rstrip("-")


def checked(folder: Path) -> float | None:
    """Return when a project was last looked at to the end [seconds, Unix]; None when never."""
    when = _state(folder).get("checked")
    return float(when) if isinstance(when, int | float) else None


def bring_up_to_date(
    address: str,
    root: str | os.PathLike[str],
    client: Any = None,
    say: Callable[[str], None] = lambda text: None,
) -> Look:
    """Copy the runs of a project that are new or have changed, the newest first.

    `client` is W&B's public API, made from the key of the environment when None. `say` is told
    how far it is.

    Raises
    ------
    UnknownFormat
        When the address is none of a project.
    ReadError
        When the project cannot be listed, or nothing can be written.
    """
    folder = mirror_of(address, root)
    with answers(address):
        listed = newest_runs(client or client_of(address), address.removeprefix(PREFIX))
    try:
        _make(folder, Path(root))
        return _copy_all(listed, address, folder, say)
    except OSError as error:
        raise ReadError(
            f"{folder}: cannot be written ({(error.strerror or str(error)).lower()}), expected a"
            " folder for copies from W&B; check its permissions and the disk"
        ) from None


def _make(folder: Path, root: Path) -> None:
    """Make the folder of the copies.

    Raises
    ------
    ReadError
        When a link leads it out of the root: what lies there is not shown.
    """
    if not folder.resolve().is_relative_to(root.resolve()):
        raise ReadError(
            f"{folder}: leads out of {root}, where copies from W&B would not be shown; replace the"
            " link by a folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_PARTIAL}*"):  # by a server that was ended while it wrote
        if left.stat().st_mtime < time.time() - LONGEST_WRITE:
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()


def _copy_all(
    listed: Sequence[Any], address: str, folder: Path, say: Callable[[str], None]
) -> Look:
    """Copy what has changed of the listed runs, and keep what W&B said of those copied."""
    state = _state(folder)
    marks = state["runs"] if isinstance(state.get("runs"), dict) else {}
    problems: list[str] = []
    fetched = in_a_row = 0
    for number, run in enumerate(listed, start=1):
        if in_a_row == MOST_FAILURES:
            break
        one = f"{address}/{_text(run.id)}"
        name = folder_name(_text(run.id))
        try:
            with answers(one):
                mark = _mark(run)
                if marks.get(name) == mark:
                    continue
                say(f"run {number} of {len(listed)}")
                found = read_run(run, one, say=say)
            fetched += _copy(found, run, folder / name)
            marks[name], in_a_row = mark, 0
        except DiagnosticsError as problem:
            problems.append(str(problem))
            in_a_row += 1
    is_whole = in_a_row < MOST_FAILURES
    if is_whole:
        state["checked"] = time.time()
    _replace(folder / STATE_NAME, orjson.dumps({**state, "runs": marks}))
    return Look(len(listed), fetched, tuple(problems), is_whole)


def _mark(run: Any) -> list[Any]:
    """Return what changes whenever there is more to fetch of a run; a list of runs says it all."""
    rows = getattr(run, "historyLineCount", None)
    if rows is None:  # not said by every server
        rows = run.lastHistoryStep + 1
    return [_text(run.name), _text(run.state), int(rows)]


def _text(value: object) -> str:
    """Return a text that every file can hold."""
    return str(value).encode("utf-8", "backslashreplace").decode()


def _copy(found: Run, run: Any, place: Path) -> bool:
    """Write a run into its folder; return whether there was anything to write."""
    if found.train.empty and found.evals.empty:
        return False
    # The time of the copy would make every copy look like another run.
    begun = str(getattr(run, "created_at", "") or "") or None
    with tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=place.parent) as partial:
        write(replace(found, header={"time": begun}), partial)
        place.mkdir(exist_ok=True)
        os.replace(Path(partial, LOG_NAME), place / LOG_NAME)
    # Folders are told apart by when they were written to: by the training, not by the copy.
    last = max((_last_time(frame) for frame in (found.train, found.evals)), default=math.nan)
    if math.isfinite(last):
        os.utime(place, (last, last))
    return True


def _last_time(frame: Any) -> float:
    return float(frame["time"].max()) if "time" in frame and len(frame) else -math.inf


def _state(folder: Path) -> dict[str, Any]:
    """Return what is known of the copies in a folder, nothing where that is lost or damaged."""
    try:
        value = json_value((folder / STATE_NAME).read_bytes())
    except OSError:
        return {}
    return value if isinstance(value, dict) else {}


def _replace(file: Path, content: bytes) -> None:
    """Write a file such that nobody sees half of it."""
    descriptor, partial = tempfile.mkstemp(prefix=_PARTIAL, dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        os.replace(partial, file)
    except OSError:
        os.unlink(partial)
        raise
