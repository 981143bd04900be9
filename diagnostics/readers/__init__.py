"""Readers of training logs, one format a file: from a path to a Run."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from diagnostics.errors import ReadError, UnknownFormat
from diagnostics.readers import wandb_online
from diagnostics.readers.cards import READER as CARDS
from diagnostics.readers.console import READER as CONSOLE
from diagnostics.readers.console import read_text
from diagnostics.readers.contract import NO_HINTS, Hints, Reader
from diagnostics.readers.discovery import DEEPEST, Scanner, fingerprint
from diagnostics.readers.following import Growing
from diagnostics.readers.llamafactory import READER as LLAMA_FACTORY
from diagnostics.readers.mlflow import READER as MLFLOW
from diagnostics.readers.native import READER as NATIVE
from diagnostics.readers.notebook import READER as NOTEBOOK
from diagnostics.readers.scalar_csv import READER as SCALAR_CSV
from diagnostics.readers.swanlab import READER as SWANLAB
from diagnostics.readers.swift import READER as SWIFT
from diagnostics.readers.table_files import kind_of, names_of
from diagnostics.readers.tables import READER as TABLE
from diagnostics.readers.tables import is_table
from diagnostics.readers.tensorboard import READER as TENSORBOARD
from diagnostics.readers.torchtune import READER as TORCHTUNE
from diagnostics.readers.trackio import READER as TRACKIO
from diagnostics.readers.trainer_state import READER as TRAINER_STATE
from diagnostics.readers.wandb import READER as WANDB
from diagnostics.readers.wandb_export import READER as WANDB_EXPORT
from diagnostics.run import Run

__all__ = [
    "DEEPEST",
    "NO_HINTS",
    "READERS",
    "Follower",
    "Hints",
    "Reader",
    "find_runs",
    "fingerprint",
    "is_guess",
    "read",
    "read_all",
    "read_text",
    "recognised",
]

# In the order in which they are asked; what anybody may write by hand comes last.
READERS: tuple[Reader, ...] = (
    NATIVE,
    SWIFT,
    LLAMA_FACTORY,
    TRAINER_STATE,
    TENSORBOARD,
    WANDB,
    TRACKIO,
    MLFLOW,
    SWANLAB,
    TORCHTUNE,
    NOTEBOOK,
    CARDS,
    CONSOLE,
    WANDB_EXPORT,
    SCALAR_CSV,
    TABLE,
)


def read(path: str | os.PathLike[str], hints: Hints = NO_HINTS) -> Run:
    """Return the only run that a folder or a log file holds.

    `hints` is what the caller knows and the log may not say: beta, method, framework, columns.

    Raises
    ------
    UnknownFormat
        When no reader recognises the content.
    ReadError
        When it is recognised and cannot be read, or holds several runs.
    """
    runs = read_all(path, hints)
    if len(runs) == 1:
        return runs[0]
    parts = ", ".join(run.source.part or run.name for run in runs[:5])
    raise ReadError(
        f"{path}: holds {len(runs)} runs ({parts}), expected one; diagnose them all with"
        f" python -m diagnostics diagnose, or split them with python -m diagnostics import"
    )


def read_all(path: str | os.PathLike[str], hints: Hints = NO_HINTS) -> tuple[Run, ...]:
    """Return the runs that a folder or a log file holds, at least one.

    Raises
    ------
    UnknownFormat
        When no reader recognises the content.
    ReadError
        When it is recognised and cannot be read.
    """
    if wandb_online.is_address(path):
        return wandb_online.read(os.fspath(path), hints)
    path = Path(path)
    return _reader_of(path, hints).read(path, hints)


def _reader_of(path: Path, hints: Hints) -> Reader:
    """Return the reader of a path, or raise a ReadError."""
    _check_access(path)
    for reader in READERS:
        if reader.recognises(path):
            return reader
    if hints.columns and is_table(path):
        return TABLE
    raise UnknownFormat(_unknown(path))


class Follower:
    """The runs of one path, whose log may grow: each reading goes on where the last one ended.

    `read` returns what `read_all` would, at the cost of what was appended since: rows are parsed
    once, and frames are views that share their memory with those of the reading before, which
    stay as they are. A log that was cut, replaced or written anew is read afresh, and so is one of
    a format whose file is written as a whole each time (see `Reader.follow`).

    `appended` says of the last reading that its rows are those of the one before, with others
    behind them; whatever was computed of the first rows still holds. It is False where that is
    not known. Any number of threads may call `read`.
    """

    def __init__(self, path: str | os.PathLike[str], hints: Hints = NO_HINTS) -> None:
        self.path = Path(path)
        self.hints = hints
        self.appended = False
        self._lock = threading.Lock()
        self._mark: str | None = None
        self._runs: tuple[Run, ...] = ()
        self._reader: Reader | None = None
        self._growing: Growing | None = None

    def read(self, mark: str | None = None) -> tuple[Run, ...]:
        """Return the runs now, the same tuple as before when nothing has changed.

        `mark` is the path's `fingerprint`, for a caller who has just taken it.

        Raises
        ------
        ReadError
            As `read_all` does; the next call starts afresh.
        """
        with self._lock:
            mark = mark or fingerprint(self.path)
            if mark != self._mark:
                self._mark, growing, self._growing = None, self._growing, None
                reader = _reader_of(self.path, self.hints)
                if reader is not self._reader or growing is None:
                    growing = reader.follow(self.path, self.hints) if reader.follow else None
                runs = growing.read() if growing else reader.read(self.path, self.hints)
                self.appended = growing is not None and growing.appended
                self._mark, self._runs, self._reader = mark, runs, reader
                self._growing = growing
            return self._runs


def recognised(path: Path) -> bool:
    """Say whether some reader knows a folder or a file."""
    return any(reader.recognises(path) for reader in READERS)


# Readers of what anybody may write.
_GUESSED = frozenset(reader.name for reader in (TABLE, NOTEBOOK, CARDS, CONSOLE))


def is_guess(path: Path) -> bool:
    """Say whether a path looks like a log only because anybody may write such a file.

    One of these that was found beside logs, and holds no rewards, is no broken log.
    """
    reader = next((one for one in READERS if one.recognises(path)), None)
    return reader is not None and reader.name in _GUESSED


_SCANNER = Scanner(recognised)


def find_runs(root: str | os.PathLike[str], deepest: int = DEEPEST) -> list[Path]:
    """Return the logs in a folder, itself included, sorted by path: run folders, and log files.

    Cheap enough to call every few seconds on thousands of folders: the head of a file is read
    only when it has changed, and checkpoints, models and hidden folders are not entered. Where a
    folder is a run, the files in it and what its trackers wrote beside it are no other runs. A
    folder that several links lead to is listed once, and links in a circle or to a folder around
    the root are not followed. A root that does not exist holds no runs.
    """
    return _SCANNER.find(root, deepest)


def _check_access(path: Path) -> None:
    """Raise a ReadError for a path that the system does not let us look into."""
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            os.listdir(path)
        elif stat.S_ISREG(kind):
            path.open("rb").close()
    except FileNotFoundError:
        raise ReadError(
            f"{path}: does not exist, expected a run folder or a log file; check the path"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ReadError(
            f"{path}: cannot be opened ({reason.lower()}), expected a run folder or a log file;"
            " check the path and its permissions"
        ) from None


def _unknown(path: Path) -> str:
    """Return the sentence for a path that no reader recognises."""
    for parent in path.parents[:2]:
        if any(reader.recognises(parent) for reader in READERS):
            return f"{path}: is a part of a run, expected the whole of it; give {parent}"
    formats = f"one of the {len(READERS)} formats that python -m diagnostics formats lists"
    names = names_of(path)
    if names and kind_of(path) != "json":
        return (
            f"{path}: is a table of {', '.join(names[:6])}, expected columns known as chosen and"
            " rejected; name them with --map chosen=COLUMN --map rejected=COLUMN"
        )
    if not os.path.isdir(path):
        return f"{path}: is no log that Seesaw knows, expected {formats}; give a run folder"
    runs = find_runs(path, deepest=2)
    if runs:
        first = ", ".join(str(run.relative_to(path)) for run in runs[:3])
        more = ", …" if len(runs) > 3 else ""
        return f"{path}: is no run but holds runs ({first}{more}), expected one; give one of these"
    return (
        f"{path}: holds no log that Seesaw knows, expected {formats};"
        f" {READERS[0].export_hint[0].lower()}{READERS[0].export_hint[1:].rstrip('.')}"
    )
