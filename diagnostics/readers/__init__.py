"""Readers of training logs, one format a file: from a path to a Run."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from diagnostics.errors import ReadError, UnknownFormat
from diagnostics.pairtables import FOLDER as PAIRS
from diagnostics.readers.contract import NO_HINTS, Hints, Reader
from diagnostics.readers.native import READER as NATIVE
from diagnostics.run import Run

__all__ = [
    "NO_HINTS",
    "READERS",
    "Hints",
    "Reader",
    "find_runs",
    "fingerprint",
    "read",
    "read_all",
]

READERS: tuple[Reader, ...] = (NATIVE,)

# Folders inside a run, or of tools, which hold no runs and may be large.
_CLOSED = frozenset(("model", PAIRS, "node_modules", "site-packages", "wandb"))
_CLOSED_STARTS = (".", "_", "checkpoint-")
# Deep enough for project/sweep/method/seed/run; a bound for a root that is a home folder.
DEEPEST = 6


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
    path = Path(path)
    _check_access(path)
    for reader in READERS:
        if reader.recognises(path):
            return reader.read(path, hints)
    raise UnknownFormat(_unknown(path))


def find_runs(root: str | os.PathLike[str], deepest: int = DEEPEST) -> list[Path]:
    """Return the run folders in a folder, itself included, sorted by path.

    Cheap enough to call every few seconds on thousands of folders: nothing is read, and
    checkpoints, models and hidden folders are not entered. A folder that several links lead to is
    listed once, and links in a circle or to a folder around the root are not followed. A root
    that does not exist holds no runs.
    """
    root = Path(root)
    around = {key for parent in _parents(root) if (key := _identity(parent)) is not None}
    return sorted(_walk(root, around, deepest))


def _walk(folder: Path, seen: set[tuple[int, int]], depth: int) -> Iterator[Path]:
    """Yield the runs in a folder, itself included, that are not among those seen."""
    key = _identity(folder)
    if key is None or key in seen:
        return
    seen.add(key)
    if any(reader.recognises(folder) for reader in READERS):
        yield folder
    if depth == 0:
        return
    # Real folders first: a run that is also linked is listed under its own path.
    for entry in sorted(_entries(folder), key=lambda entry: (entry.is_symlink(), entry.name)):
        closed = entry.name in _CLOSED or entry.name.startswith(_CLOSED_STARTS)
        if not closed and _leads_to_folder(entry):
            yield from _walk(Path(entry.path), seen, depth - 1)


def _parents(root: Path) -> Sequence[Path]:
    try:
        return root.resolve().parents
    except (OSError, RuntimeError, ValueError):
        return ()


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return what tells a folder from others whatever its path, or None when it is no folder."""
    try:
        facts = folder.stat()
    except (OSError, ValueError):
        return None
    return (facts.st_dev, facts.st_ino) if stat.S_ISDIR(facts.st_mode) else None


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what a folder holds; a folder that is gone or closed to us holds nothing."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (OSError, ValueError):
        return []


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Return a short text that changes whenever the log of a run changes.

    It covers names, sizes and modification times of the files directly in the folder and of its
    pair tables; nothing is read. A path that does not exist has a fingerprint too.
    """
    path = Path(path)
    is_folder = os.path.isdir(path)
    folder = path if is_folder else path.parent
    files = [path / entry.name for entry in _entries(path)] if is_folder else [path]
    files += [folder / PAIRS / entry.name for entry in _entries(folder / PAIRS)]
    facts = sorted(f"{file.parent.name}/{file.name} {_facts(file)}" for file in files)
    text = "\n".join(facts).encode(errors="surrogateescape")
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def _facts(path: Path) -> str:
    """Return size and modification time of a file; folders and missing files have none."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return ""
    return f"{facts.st_size} {facts.st_mtime_ns}" if stat.S_ISREG(facts.st_mode) else ""


def _check_access(path: Path) -> None:
    """Raise a ReadError for a path that the system does not let us look into."""
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            os.listdir(path)
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
    formats = ", ".join(reader.title for reader in READERS)
    if not os.path.isdir(path):
        return f"{path}: is no log that Seesaw knows, expected one of: {formats}; give a run folder"
    runs = find_runs(path, deepest=2)
    if runs:
        names = ", ".join(str(run.relative_to(path)) for run in runs[:3])
        more = ", …" if len(runs) > 3 else ""
        return f"{path}: is no run but holds runs ({names}{more}), expected one; give one of these"
    return (
        f"{path}: holds no log that Seesaw knows, expected one of: {formats};"
        f" {READERS[0].export_hint[0].lower()}{READERS[0].export_hint[1:].rstrip('.')}"
    )
