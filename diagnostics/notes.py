"""Tags and a note on a run: what people say of it, in a small file beside its log.

docs/run-log.md describes the file. It is written by people through any number of processes and
may be edited by hand, so that nothing in it is trusted: what is too long is cut, what is no such
file is left alone.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostics.errors import DiagnosticsError

NOTES_NAME = "seesaw-notes.json"
FORMAT, VERSION = "seesaw-notes", 1
# A tag is a word or two, a note a paragraph; both are shown for hundreds of runs at once.
MOST_TAGS, LONGEST_TAG, LONGEST_NOTE = 12, 40, 2000
# The notes of some hundred runs of one log; what is larger is no file of ours.
MOST_BYTES = 1 << 20

# A link could lead out of the folders that may be read; a pipe would never end.
_PLAIN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class NotesRefused(DiagnosticsError):
    """Tags or a note that cannot be kept, in one sentence."""


@dataclass(frozen=True)
class Notes:
    """What people say of one run: tags in the order in which they were given, and a note."""

    tags: tuple[str, ...] = ()
    note: str = ""


def notes_file(log: Path) -> Path:
    """Return where the notes on the runs of a log are kept: in its folder, or beside its file.

    Examples
    --------
    >>> notes_file(Path("runs/train.log")).name
    'train.log.seesaw-notes.json'
    """
    return log / NOTES_NAME if log.is_dir() else log.with_name(f"{log.name}.{NOTES_NAME}")


def tags_in(text: str) -> tuple[str, ...]:
    """Return the tags of a text that holds them with commas between, each once.

    Raises
    ------
    NotesRefused
        When there are too many, or one is too long.

    Examples
    --------
    >>> tags_in("baseline, to  publish,,Baseline")
    ('baseline', 'to publish')
    """
    found = _each_once(text.split(","))
    long = next((tag for tag in found if len(tag) > LONGEST_TAG), None)
    if long is not None:
        raise NotesRefused(
            f"the tag {long[:LONGEST_TAG]}… has {len(long)} signs, expected {LONGEST_TAG} at"
            " most; put a comma between two tags, or write it as a note"
        )
    if len(found) > MOST_TAGS:
        raise NotesRefused(
            f"{len(found)} tags were given, expected {MOST_TAGS} at most; leave some out"
        )
    return found


def read_notes(log: Path, part: int = 0) -> Notes:
    """Return the notes on a run, none where there are none or the file is not one of ours.

    `part` counts the runs of a log that holds several.
    """
    try:
        return _notes_of(_load(notes_file(log)), part)
    except (OSError, ValueError):
        return Notes()


def write_notes(log: Path, notes: Notes, part: int = 0, before: Notes | None = None) -> None:
    """Keep the notes on a run; empty ones take the old ones away.

    The file appears whole, and processes that write at the same time wait for each other.
    `before` is what the person who wrote the notes had seen.

    Raises
    ------
    NotesRefused
        When the note is too long, the folder cannot be written, the file is somebody else's, or
        the notes have changed since `before`.
    """
    if len(notes.note) > LONGEST_NOTE:
        raise NotesRefused(
            f"the note has {len(notes.note):,} signs, expected {LONGEST_NOTE:,} at most; shorten it"
        )
    notes = Notes(tags_in(",".join(notes.tags)), _clean(notes.note, lines=True))
    file = notes_file(log)
    try:
        with _alone(file.parent):
            runs = _load(file)
            if before is not None and _notes_of(runs, part) != before:
                raise NotesRefused(
                    f"somebody else has changed the notes on {log.name} meanwhile; look at what"
                    " they say now, and write yours again"
                )
            runs.pop(str(part), None)
            if notes != Notes():
                runs[str(part)] = {"tags": list(notes.tags), "note": notes.note}
            _store(file, runs)
    except ValueError:
        raise NotesRefused(
            f"{file.name} beside the log is no file of notes that Seesaw wrote; rename it first"
        ) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise NotesRefused(
            f"the notes on {log.name} cannot be kept beside it ({reason}); make"
            f" {file.parent} writable"
        ) from None


def _load(file: Path) -> dict[str, Any]:
    """Return the entries of a file of notes by part; a file that is not there has none.

    Raises
    ------
    ValueError
        When it is not one of ours.
    """
    try:
        descriptor = os.open(file, _PLAIN)
    except FileNotFoundError:
        return {}
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(file)
        content = stream.read(MOST_BYTES + 1)
    try:
        value = json.loads(content) if len(content) <= MOST_BYTES else None
    except RecursionError:
        value = None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ValueError(file)
    runs = value.get("runs")
    return dict(runs) if isinstance(runs, dict) else {}


def _notes_of(runs: dict[str, Any], part: int) -> Notes:
    """Return one run's notes, cut to the lengths that are shown."""
    found = runs.get(str(part))
    if not isinstance(found, dict):
        return Notes()
    tags, note = found.get("tags"), found.get("note")
    words = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    kept = _each_once(tag[:LONGEST_TAG] for tag in words[:MOST_TAGS])
    return Notes(kept, _clean(note, lines=True)[:LONGEST_NOTE] if isinstance(note, str) else "")


def _each_once(words: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for clean in filter(None, map(_clean, words)):
        found.setdefault(clean.lower(), clean)
    return tuple(found.values())


def _clean(text: str, *, lines: bool = False) -> str:
    """Return a text without signs that cannot be seen, on one line or with its line breaks."""
    rows = ["".join(c if c.isprintable() else " " for c in row) for row in text.splitlines()]
    rows = [" ".join(row.split()) for row in rows]
    return "\n".join(rows).strip() if lines else " ".join(" ".join(rows).split())


def _store(file: Path, runs: dict[str, Any]) -> None:
    if not runs:
        file.unlink(missing_ok=True)
        return
    text = json.dumps({"format": FORMAT, "version": VERSION, "runs": runs}, indent=1) + "\n"
    # Hidden, so that nobody takes a half-written one for a log.
    partial = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        with partial.open("x", encoding="utf-8") as stream:
            stream.write(text)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from writing notes in this folder, where the system can."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows: the last writer wins there
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
