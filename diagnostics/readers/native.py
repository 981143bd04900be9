"""Seesaw's own run log: `run.jsonl` and `pairs/` of a run folder, see docs/run-log.md.

Names are the schema's already. Columns of other names are kept and listed in `Run.unrecognised`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from diagnostics.errors import MalformedLog
from diagnostics.logcontents import ROW_KINDS
from diagnostics.meaning import Base, Meaning, Scope
from diagnostics.methods import METHODS
from diagnostics.pairtables import FOLDER, LARGE
from diagnostics.readers.bulk import BulkLog, LogRows
from diagnostics.readers.contract import Reader
from diagnostics.readers.following import GrowingFile
from diagnostics.run import EXTRA_COLUMNS, Run, Source, empty_steps, pair_frame
from diagnostics.runlog import (
    FORMAT,
    LOG_NAME,
    PAIR_TABLES,
    STATUSES,
    VERSION,
    LogContents,
    RunLog,
    log_file,
    scan_pairs,
)
from diagnostics.schema import METRICS

# Enough for the first line's format mark.
HEAD_BYTES = 4096
# Pair tables that `Run.tables` holds; those of every training pair are too large to be read here.
_TABLES = tuple(table for table in PAIR_TABLES if table not in ("probe", "samples", *LARGE))
# A log with more columns than this is damaged; the rest would only fill the memory.
MOST_UNRECOGNISED = 500


def recognises(path: Path) -> bool:
    """Say whether the path is a run folder or a log file of this format."""
    try:
        if path.is_dir():
            return (path / LOG_NAME).is_file()
        if not path.is_file():
            return False
        if path.name == LOG_NAME:
            return True
        with path.open("rb") as stream:
            return FORMAT.encode() in stream.read(HEAD_BYTES)
    except (OSError, ValueError):
        return False


class NativeLog:
    """The run of a folder or a log file that may still grow."""

    def __init__(self, path: Path) -> None:
        self.appended = False
        self._path = path
        self._log = GrowingFile(LogRows)
        self._rows: LogRows | None = None
        self._pairs: tuple[object, dict[str, tuple[pd.DataFrame, tuple[str, ...]]]] = (None, {})

    def read(self) -> tuple[Run, ...]:
        """Return the run, in whatever state its log is.

        Raises
        ------
        ReadError
            When the system refuses to read it.
        MalformedLog
            When it holds no record at all, or another format.
        """
        log_path = log_file(self._path)
        rows = self._log.read(log_path)
        found = rows.settled()
        self.appended = rows is self._rows and found.appended
        self._rows = rows
        _check(log_path, found.contents, sum(map(len, found.steps.values())))
        folder = log_path.parent
        # Pair tables beside a log that was copied elsewhere belong to another run.
        pairs = self._pair_frames(folder if log_path.name == LOG_NAME else log_path)
        return (_run(self._path, log_path, found, pairs),)

    def _pair_frames(self, folder: Path) -> dict[str, tuple[pd.DataFrame, tuple[str, ...]]]:
        """Return rows and unreadable parts of each pair table, anew when a part has changed."""
        facts = _facts_of(folder / FOLDER)
        if facts is None or self._pairs[0] != facts:
            found = {table: scan_pairs(folder, table) for table in ("probe", "samples", *_TABLES)}
            frames = {table: (pair_frame(s.rows), s.unreadable) for table, s in found.items()}
            self._pairs = facts, frames
        return self._pairs[1]


def _facts_of(folder: Path) -> object:
    """Return names, sizes and dates of the files in a folder, None where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            facts = ((entry.name, entry.stat()) for entry in entries)
            return sorted((name, one.st_size, one.st_mtime_ns) for name, one in facts)
    except FileNotFoundError:
        return ()
    except OSError:
        return None


def read(path: Path) -> Run:
    """Return the run, in whatever state its log is.

    Raises
    ------
    ReadError
        When the system refuses to read it.
    MalformedLog
        When it holds no record at all, or another format.
    """
    return NativeLog(path).read()[0]


def _run(
    path: Path,
    log_path: Path,
    found: BulkLog,
    pairs: Mapping[str, tuple[pd.DataFrame, tuple[str, ...]]],
) -> Run:
    """Return the run of what its log and its pair tables hold."""
    contents, folder = found.contents, log_path.parent
    dropped: set[str] = set()
    train, evals = (_framed(found.columns[k], found.steps[k], dropped) for k in ROW_KINDS)
    known = {*METRICS, *EXTRA_COLUMNS}
    unrecognised = sorted({*train.columns, *evals.columns} - known)
    header = contents.header
    if contents.remarks:
        texts = [str(one.get("text", "")) for one in contents.remarks]
        header = {**header, "remarks": list(dict.fromkeys(texts))}
    if contents.end and contents.end.get("message"):
        header = {**header, "ended": str(contents.end["message"])}
    versions = header.get("versions")
    method = str(header["method"]) if header.get("method") else None
    config = _config(header, folder)
    name = folder.resolve().name if log_path.name == LOG_NAME else log_path.stem
    imported = header.get("imported")
    imported = imported if isinstance(imported, dict) else {}
    unreadable = [part for _, parts in pairs.values() for part in parts]
    left_out = len(dropped) + found.left_out
    return Run(
        name=str(header.get("name") or name),
        method=method,
        source=_source(path, versions, imported),
        train=train,
        evals=evals,
        probes=pairs["probe"][0],
        samples=pairs["samples"][0],
        config=config,
        header=header,
        status=_status(contents),
        unrecognised=tuple(unrecognised),
        caveats=(*_texts(imported), *_caveats(contents, unreadable, left_out)),
        meaning=_imported_meaning(imported)
        if imported
        else _meaning(method, config.get("beta", header.get("beta"))),
        tables={table: pairs[table][0] for table in _TABLES if len(pairs[table][0])},
    )


def _source(path: Path, versions: Any, imported: dict[str, Any]) -> Source:
    """Return where the run came from: this trainer, or the framework it was imported from."""
    framework, version = imported.get("framework"), imported.get("version")
    if not isinstance(framework, str):
        return Source(str(path), READER.name, "seesaw", _version(versions))
    return Source(str(path), READER.name, framework, None if version is None else str(version))


def _texts(imported: dict[str, Any]) -> list[str]:
    caveats = imported.get("caveats")
    return [one for one in caveats if isinstance(one, str)] if isinstance(caveats, list) else []


def _imported_meaning(imported: dict[str, Any]) -> Meaning | None:
    """Return what the rewards of an imported log are, as its reader worked it out."""
    found = imported.get("meaning")
    if not isinstance(found, dict):
        return None
    number = found.get("factor")
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    factor = float(str(number)) if is_number else None
    try:
        base, scope = Base(str(found.get("base"))), Scope(str(found.get("scope")))
    except ValueError:
        return None
    return Meaning(base, factor, scope, str(found.get("why", "")))


def _imported(run: Run) -> dict[str, Any]:
    """Return the header field that says what a foreign log was found to mean, none for ours."""
    if run.source.framework == "seesaw":
        return {}
    meaning = run.meaning
    return {
        "imported": {
            "framework": run.source.framework,
            "version": run.source.version,
            "reader": run.source.reader,
            "file": Path(run.source.path).name,
            "part": run.source.part,
            "caveats": list(run.caveats),
            "meaning": None
            if meaning is None
            else {
                "base": meaning.base.value,
                "factor": meaning.factor,
                "scope": meaning.scope.value,
                "why": meaning.why,
            },
        }
    }


_BASES = {
    "beta*delta": Base.LOGRATIO_SUM,
    "beta*logps": Base.LOGPS_SUM,
    "beta*logps_per_token": Base.LOGPS_MEAN,
}


def _meaning(method: str | None, beta: Any) -> Meaning | None:
    """Return what the rewards of this trainer are; it logs means over the window on all ranks."""
    if method not in METHODS:
        return None
    base = _BASES.get(METHODS[method].reward_kind, Base.OTHER)
    if isinstance(beta, bool) or not isinstance(beta, int | float) or not 0 < beta < inf:
        return Meaning(base, None, Scope.WINDOW, "the header holds no beta")
    return Meaning(base, float(beta), Scope.WINDOW, f"beta is {beta:g} in the header")


def write(run: Run, directory: str | os.PathLike[str]) -> None:
    """Write a run as a run folder that `read` gives back.

    Raises
    ------
    LogWriteError
        When the folder cannot be written or already holds a run that has trained.
    """
    known = {"name": run.name, "method": run.method, "config": dict(run.config)}
    header = {**run.header, **known, **_imported(run)}
    with RunLog.create(directory, header) as log:
        for kind, frame in (("train", run.train), ("eval", run.evals)):
            for step, row in zip(frame.index, frame.to_dict("records"), strict=True):
                log.write(kind, int(step), {"time": None, **row})
        for table, rows in {"probe": run.probes, "samples": run.samples, **run.tables}.items():
            for step, part in rows.groupby("step"):
                log.write_pairs(table, int(step), int(step), part.to_dict("list"))
        if run.status in STATUSES:
            log.write("end", run.last_step or 0, {"status": run.status})


def _check(path: Path, contents: LogContents, rows: int) -> None:
    """Raise MalformedLog for a file that is no log of this format and version."""
    found = contents.header.get("format", FORMAT)
    if found != FORMAT:
        raise MalformedLog(
            f"{path}: the header names the format {str(found)[:40]!r}, expected {FORMAT!r};"
            " give a folder that Seesaw's trainer wrote"
        )
    version = contents.header.get("version", VERSION)
    if isinstance(version, int) and version > VERSION:
        raise MalformedLog(
            f"{path}: was written in version {version} of the run log, expected {VERSION};"
            " update Seesaw"
        )
    read_any = contents.header or rows or contents.resumes
    if not read_any and contents.torn_lines and not contents.starting:
        raise MalformedLog(
            f"{path}: none of its lines is a record of a run log, expected JSON objects with a"
            " 'kind'; give a folder that Seesaw's trainer wrote"
        )


def _wanted(names: Iterable[str], dropped: set[str]) -> list[str]:
    """Return names in the order of a frame, those beyond the bound left out."""
    names = set(names)
    canonical = [name for name in (*EXTRA_COLUMNS, *METRICS) if name in names]
    others = sorted(names - set(canonical))
    dropped.update(others[MOST_UNRECOGNISED:])
    return [*canonical, *others[:MOST_UNRECOGNISED]]


def _framed(columns: Mapping[str, Any], steps: Any, dropped: set[str]) -> pd.DataFrame:
    """Return columns (T,) as a frame by step, in the order of the schema."""
    if not len(steps):
        return empty_steps()
    index = pd.Index(steps, dtype=np.int64, name="step", copy=False)
    table: dict[str, Any] = {}
    for name in _wanted(columns, dropped):
        values = columns[name]
        if values.dtype != object:
            table[name] = values
        elif name in METRICS or name in EXTRA_COLUMNS or _are_numbers(values):
            table[name] = _numbers(list(values))
        else:
            table[name] = pd.Series(list(values), index=index, dtype=object)
    return pd.DataFrame(table, index=index, copy=False)


def _are_numbers(values: Iterable[Any]) -> bool:
    return all(value is None or isinstance(value, int | float) for value in values)


def _numbers(values: list[Any]) -> np.ndarray:
    """Return values as float64; what is no number becomes NaN."""
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.array([_number(value) for value in values], dtype=np.float64)
    return numbers if numbers.ndim == 1 else np.full(len(values), np.nan)


def _number(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf
    except (TypeError, ValueError):
        return np.nan


def _config(header: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the configuration of the header, else the one that the trainer saved beside it."""
    config = header.get("config")
    if not isinstance(config, dict):
        try:
            config = orjson.loads((folder / "config.json").read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return {}
    return config if isinstance(config, dict) else {}


def _version(versions: Any) -> str | None:
    """Return the version of Seesaw among the versions that a header lists."""
    found = versions.get("seesaw") if isinstance(versions, dict) else None
    return None if found is None else str(found)


def _status(contents: LogContents) -> str:
    if contents.end is None:
        return "running"
    status = contents.end.get("status")
    return status if status in STATUSES else "stopped"


def _caveats(contents: LogContents, unreadable: list[str], left_out: int) -> Iterable[str]:
    """Yield a sentence for everything that could not be read as it was meant."""
    garbage = contents.torn_lines - contents.open_line
    if garbage:
        yield f"{garbage} {_plural(garbage, 'line')} of the log could not be read."
    kinds = contents.unknown_kinds
    if kinds:
        count = sum(kinds.values())
        were = "was" if count == 1 else "were"
        yield (
            f"{count} {_plural(count, 'record')} of {_plural(len(kinds), 'kind')} unknown to this"
            f" version ({_some(kinds)}) {were} left out."
        )
    if contents.backward:
        times = "once" if contents.backward == 1 else f"{contents.backward} times"
        yield (
            f"Steps go back {times} without a resume marker;"
            " later records replace earlier ones of the same step."
        )
    if not contents.header:
        yield "The log has no header, so the method and the configuration are unknown."
    if unreadable:
        yield (
            f"{len(unreadable)} {_plural(len(unreadable), 'part')} of the pair tables could not"
            f" be read: {_some(unreadable)}."
        )
    if left_out:
        yield f"{left_out} columns beyond the first {MOST_UNRECOGNISED} were left out."


def _some(names: Iterable[str]) -> str:
    """Return the first few names, cut to a length that a sentence can hold."""
    first, *rest = sorted(names)
    texts = [name[:40] for name in (first, *rest[:2])]
    return ", ".join([*texts, "…"] if len(rest) > 2 else texts)


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


READER = Reader(
    name="native",
    title="Seesaw run log",
    recognises=recognises,
    read=lambda path, hints: NativeLog(path).read(),
    follow=lambda path, hints: NativeLog(path),
    export_hint="Train with Seesaw's trainer (python -m trainer): its output folder is the log.",
)
