"""Finding the logs under a folder, and telling cheaply whether one has changed.

A folder is looked into only as far as names, sizes and dates; the head of a file that may be a
log is read once and again only when the file has changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from diagnostics.notes import NOTES_NAME
from diagnostics.pairtables import FOLDER as PAIRS
from diagnostics.pairtables import LARGE
from diagnostics.runlog import LOG_NAME

# Folders inside a run, or of tools, which hold no runs and may be large.
_CLOSED = frozenset(("model", PAIRS, "node_modules", "site-packages", "venv"))
_CLOSED_STARTS = (".", "_", "checkpoint-")
# What a framework writes beside its own log: another copy of the same run.
_COPIES = frozenset(("wandb", "runs", "swanlog", "mlruns", "logs", "tensorboard"))
# A file store keeps one file a metric in these.
_PARTS = frozenset(("metrics", "params"))
STATE = "trainer_state.json"
# Deep enough for project/sweep/method/seed/run; a bound for a root that is a home folder.
DEEPEST = 6
# Files of a folder that are looked at: a folder of thousands holds data.
MOST_FILES = 500
# What was recognised is kept for this many folders and files.
MOST_KEPT = 20_000

# These tables may have a part for every training step, and no `Run` holds them.
_LARGE = tuple(f"{table}-" for table in LARGE)

_SUFFIXES = re.compile(
    r"\.(jsonl?|ndjson|csv|tsv|parquet|log|out|err|txt|ipynb|html?|md|wandb|swanlab|db|sqlite)$"
    # Rotated console logs, and event files.
    r"|\.log\.\d+$|tfevents",
    re.IGNORECASE,
)
# What lies beside models and programs.
_NO_LOGS = re.compile(
    r"(package(-lock)?|tsconfig|(generation_|adapter_|tokenizer_)?config|tokenizer|vocab"
    r"|special_tokens_map|(all|train|eval)_results|probe_set)\.json|(requirements|license)\.txt",
    re.IGNORECASE,
)

Recognise = Callable[[Path], bool]
Fact = tuple[str, int, int]


class Scanner:
    """Finds the logs under a folder; what it has recognised is kept while it does not change.

    `recognises` says of a folder or a file whether some reader knows it.
    """

    def __init__(self, recognises: Recognise) -> None:
        self._recognises = recognises
        self._kept: dict[str, tuple[object, bool]] = {}
        self._lock = threading.Lock()

    def find(self, root: str | os.PathLike[str], deepest: int = DEEPEST) -> list[Path]:
        """Return the logs in a folder, itself included, sorted by path; see `find_runs`."""
        root = Path(root)
        around = {key for parent in _parents(root) if (key := _identity(parent)) is not None}
        return sorted(self._walk(root, around, deepest, inside_run=False))

    def _walk(
        self, folder: Path, seen: set[tuple[int, int]], depth: int, *, inside_run: bool
    ) -> Iterator[Path]:
        """Yield the logs in a folder, itself included, that are not among those seen."""
        key = _identity(folder)
        if key is None or key in seen:
            return
        seen.add(key)
        entries = _entries(folder)
        is_run = self._is_run(folder, entries)
        if is_run:
            yield folder
        elif not inside_run:
            yield from self._files(entries)
        if depth == 0:
            return
        # Real folders first: a run that is also linked is listed under its own path.
        for entry in sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name)):
            closed = not is_entered(entry.name) or (is_run and entry.name in _COPIES)
            if closed or not _leads_to_folder(entry):
                continue
            inner = Path(entry.path)
            yield from self._walk(inner, seen, depth - 1, inside_run=is_run or inside_run)

    def _is_run(self, folder: Path, entries: Sequence[os.DirEntry[str]]) -> bool:
        # The common case needs no look at anything else.
        if any(entry.name == LOG_NAME and _leads_to_file(entry) for entry in entries):
            return True
        names = tuple(sorted(entry.name for entry in entries)[: 4 * MOST_FILES])
        return self._known(folder, (names, tuple(_facts_of(entries))))

    def _files(self, entries: Sequence[os.DirEntry[str]]) -> Iterator[Path]:
        for name, size, changed in _facts_of(entries):
            if size:
                path = Path(next(entry.path for entry in entries if entry.name == name))
                if self._known(path, (size, changed)):
                    yield path

    def _known(self, path: Path, facts: object) -> bool:
        """Return what was recognised before, or look again when something has changed."""
        with self._lock:
            kept = self._kept.get(str(path))
        if kept is not None and kept[0] == facts:
            return kept[1]
        found = self._recognises(path)
        with self._lock:
            while len(self._kept) >= MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[str(path)] = (facts, found)
        return found


def is_entered(name: str) -> bool:
    """Say whether runs are looked for in a folder of this name."""
    return name not in _CLOSED and not name.startswith(_CLOSED_STARTS)


def _facts_of(entries: Sequence[os.DirEntry[str]]) -> list[Fact]:
    """Return name, size and date of the files that may be logs, sorted by name."""
    found: list[Fact] = []
    for entry in entries:
        if len(found) >= MOST_FILES:
            break
        if not _may_be_log(entry.name):
            continue
        try:
            facts = entry.stat()
        except OSError:
            continue
        if stat.S_ISREG(facts.st_mode):
            found.append((entry.name, facts.st_size, facts.st_mtime_ns))
    return sorted(found)


def _may_be_log(name: str) -> bool:
    return bool(_SUFFIXES.search(name)) and not _NO_LOGS.fullmatch(name) and not _is_notes(name)


def _is_notes(name: str) -> bool:
    """Say whether a file holds what people say of runs, or is about to."""
    return name.endswith(NOTES_NAME) or name.startswith(f".{NOTES_NAME}")


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


def _leads_to_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Return a short text that changes whenever the log of a run changes.

    It covers names, sizes and modification times of the files directly in the folder, of its
    pair tables and of the state files in its checkpoints; for a file, of that file and of the
    tables beside it. The tables of every training pair are only counted. What people note on a
    run is no part of its log. Nothing is read. A path that does not exist has a fingerprint too.
    """
    path = Path(path)
    is_folder = os.path.isdir(path)
    folder = path if is_folder else path.parent
    own = [entry for entry in _entries(path) if not _is_notes(entry.name)] if is_folder else []
    files = [path / entry.name for entry in own] if is_folder else [path]
    parts = _entries(folder / PAIRS)
    looked_at = [entry.name for entry in parts if not entry.name.startswith(_LARGE)]
    files += [folder / PAIRS / name for name in looked_at]
    states = [entry.name for entry in own if entry.name.startswith("checkpoint-")]
    files += [path / name / STATE for name in states]
    inner = [entry.path for entry in own if entry.name in _PARTS and _leads_to_folder(entry)]
    files += [Path(at) / name for part in inner for at, _, names in os.walk(part) for name in names]
    facts = sorted(f"{file.parent.name}/{file.name} {_facts(file)}" for file in files)
    facts.append(f"{len(parts)} parts")
    text = "\n".join(facts).encode(errors="surrogateescape")
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def _facts(path: Path) -> str:
    """Return size and modification time of a file; folders and missing files have none."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return ""
    return f"{facts.st_size} {facts.st_mtime_ns}" if stat.S_ISREG(facts.st_mode) else ""
