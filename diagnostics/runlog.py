"""The native run log: an append-only writer that never blocks training, and a tolerant reader.

A run folder holds `run.jsonl` (one JSON object a line, read by `logcontents`) and
`pairs/*.parquet` (per-pair tables in parts, `pairtables`). A process killed at any byte leaves a
folder that reads and resumes: the worst that is left is an unfinished last line and a temporary
file that no reader looks at. The format is documented in docs/run-log.md.
"""

from __future__ import annotations

import atexit
import functools
import math
import numbers
import os
import queue
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from diagnostics import pairtables
from diagnostics.errors import DiagnosticsError, ReadError
from diagnostics.logcontents import (
    FORMAT,
    LOG_NAME,
    ROW_KINDS,
    STATUSES,
    VERSION,
    LogContents,
    follow,
    log_file,
    one_line,
    read_log,
)
from diagnostics.pairtables import TABLES as PAIR_TABLES
from diagnostics.pairtables import read_pairs, scan_pairs

__all__ = [
    "FORMAT",
    "LOG_NAME",
    "PAIR_TABLES",
    "STATUSES",
    "VERSION",
    "LogContents",
    "LogWriteError",
    "RunLog",
    "follow",
    "log_file",
    "read_log",
    "read_pairs",
    "scan_pairs",
]

# Jobs that may wait for a slow disk before `write` has to wait too.
QUEUE_LENGTH = 10_000


class LogWriteError(DiagnosticsError):
    """The run log could not be written; raised at the first call after the failure."""


class RunLog:
    """Appends to the log of one run from a background thread.

    `RunLog.create` starts a run and `RunLog.resume` continues one. `RunLog(directory)` joins a
    run without writing anything first: the processes of other ranks use it for `write_pairs`.
    Only `flush` and `close` wait for the disk. When the thread fails (disk full, folder deleted)
    every later call raises the same `LogWriteError`, so nothing is lost in silence.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self.path = self.directory / LOG_NAME
        self._descriptor: int | None = None
        self._links = 0
        self._process = os.getpid()
        self._failure: str | None = None
        self._closed = False
        # A SimpleQueue may be used from a signal handler, a Queue may not. An Event in it tells
        # when everything before it is done.
        self._jobs: queue.SimpleQueue[Callable[[], None] | threading.Event | None]
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="run-log", daemon=True)
        self._thread.start()
        # A daemon thread dies with the interpreter; what waits in the queue must be written first.
        atexit.register(self._stop)

    @classmethod
    def create(cls, directory: str | os.PathLike[str], header: Mapping[str, Any]) -> Self:
        """Return the log of a new run, its header already on disk.

        A folder whose log holds no training step yet (a run that failed at its start) is
        started afresh.

        Raises
        ------
        LogWriteError
            When the folder cannot be written or already holds a run that has trained.
        """
        path = Path(directory) / LOG_NAME
        try:
            trained = path.exists() and bool(read_log(path).train)
        except (ReadError, OSError) as error:
            raise LogWriteError(one_line(error)) from None
        if trained:
            raise LogWriteError(
                f"{path}: already holds a run, expected a folder without one;"
                " resume that run or choose another output folder"
            )
        first = {
            "kind": "header",
            "format": FORMAT,
            "version": VERSION,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        return cls._begin(
            directory,
            functools.partial(_start_afresh, Path(directory)),
            _line({**first, **header}, default=str),
        )

    @classmethod
    def resume(
        cls,
        directory: str | os.PathLike[str],
        step: int,
        details: Mapping[str, Any] | None = None,
    ) -> Self:
        """Return the log of a run that continues after `step`, the resume marker already on disk.

        Pair records of later steps are dropped. Call it once, before other ranks write parts.

        Raises
        ------
        LogWriteError
            When there is no log to continue or it cannot be written.
        """
        log_path = Path(directory) / LOG_NAME
        if not os.path.isfile(log_path):
            raise LogWriteError(
                f"{log_path}: does not exist, expected the log of the run to resume;"
                " check the output folder or start a new run"
            )
        marker = {"kind": "resume", "step": _step(step), "time": time.time()}
        return cls._begin(
            directory,
            functools.partial(pairtables.drop_after, Path(directory), step),
            _line({**marker, **(details or {}), **marker}, default=str),
        )

    @classmethod
    def _begin(
        cls, directory: str | os.PathLike[str], prepare: Callable[[], None], line: bytes
    ) -> Self:
        """Return a log once the folder is prepared and the first line is on disk."""
        log = cls(directory)
        try:
            log._submit(prepare)
            log._submit(functools.partial(log._append, line))
            log.flush()
        except LogWriteError:
            log._stop()
            raise
        return log

    def write(self, kind: str, step: int, values: Mapping[str, float | int | str | None]) -> None:
        """Append one record of an optimizer step; `kind` is "train", "eval", "remark" or "end".

        The time of the call [seconds, Unix] is added as `time`, unless the values hold one.

        Raises
        ------
        LogWriteError
            When an earlier write failed, or for a kind or a value that the log cannot hold.
        """
        if kind not in (*ROW_KINDS, "remark", "end"):
            raise LogWriteError(
                f"{self.path}: {kind!r} is no kind of record, expected 'train', 'eval', 'remark' or"
                " 'end'"
            )
        if "kind" in values or "step" in values:
            raise LogWriteError(
                f"{self.path}: the values of step {step} contain 'kind' or 'step', which are"
                " arguments of their own; rename those metrics"
            )
        record = {"kind": kind, "step": _step(step), "time": time.time(), **values}
        # A record made after the fact has no time of its own.
        if record["time"] is None:
            del record["time"]
        try:
            line = _line(record)
        except TypeError as error:
            raise LogWriteError(f"{self.path}: step {step}: {error}") from None
        self._submit(functools.partial(self._append, line))

    def write_pairs(
        self,
        table: str,
        first_step: int,
        last_step: int,
        columns: Mapping[str, Sequence[Any]],
        rank: int = 0,
    ) -> None:
        """Write one part of a pair table; it appears whole or not at all.

        Columns of numbers that are left out are filled with NaN.

        Raises
        ------
        LogWriteError
            When an earlier write failed, or for columns that the table cannot hold.
        """
        try:
            name = pairtables.part_name(table, first_step, last_step, rank)
            rows = pairtables.conform(table, columns, first_step, last_step)
        except ValueError as error:
            raise LogWriteError(f"{self.directory}: {one_line(error)}") from None
        path = self.directory / pairtables.FOLDER / name
        self._submit(functools.partial(pairtables.write_part, path, rows))

    def flush(self) -> None:
        """Wait until everything is on disk.

        Raises
        ------
        LogWriteError
            When something could not be written.
        """
        self._submit(self._sync)
        self._wait()
        self._raise_failure()

    def close(self) -> None:
        """Write what is left and stop; a second call does nothing.

        Raises
        ------
        LogWriteError
            When something could not be written.
        """
        if self._closed:
            return
        self._stop()
        self._raise_failure()

    def __enter__(self) -> Self:
        """Return the log itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the log; the error that ended the block, if any, comes first."""
        if error is None:
            self.close()
        else:
            self._stop()
            if self._failure is not None and not isinstance(error, LogWriteError):
                error.add_note(self._failure)

    def _submit(self, job: Callable[[], None]) -> None:
        self._raise_failure()
        if self._closed:
            raise LogWriteError(f"{self.path}: the log is closed, nothing more can be written")
        if os.getpid() != self._process:
            raise LogWriteError(
                f"{self.path}: was opened by another process, whose writer a fork does not copy;"
                " open it again with RunLog(directory)"
            )
        self._jobs.put(job)
        if self._jobs.qsize() > QUEUE_LENGTH:
            self._wait()

    def _wait(self) -> None:
        done = threading.Event()
        self._jobs.put(done)
        done.wait()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise LogWriteError(self._failure)

    def _stop(self) -> None:
        if self._closed or os.getpid() != self._process:
            return
        self._jobs.put(self._sync)
        self._jobs.put(None)
        self._thread.join()
        self._closed = True
        if self._descriptor is not None:
            os.close(self._descriptor)
        atexit.unregister(self._stop)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if isinstance(job, threading.Event):
                job.set()
            elif self._failure is None:
                self._do(job)

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        # Whatever stops the thread has to reach the caller: there is no other place to say it.
        except Exception as error:
            reason = getattr(error, "strerror", None) or one_line(error)
            self._failure = (
                f"{self.directory}: the run log cannot be written ({reason.lower()}), expected a"
                " folder with free space and permission to write;"
                " fix that, then start or resume the run"
            )

    def _append(self, line: bytes) -> None:
        if self._descriptor is None:
            self._descriptor = _open_to_append(self.path)
            self._links = os.fstat(self._descriptor).st_nlink
        view = memoryview(line)
        # One write a line; only a full disk or a size limit makes a second one necessary.
        while view:
            view = view[os.write(self._descriptor, view) :]
        # Compared, because some file systems do not count links.
        if self._links and not os.fstat(self._descriptor).st_nlink:
            raise FileNotFoundError(f"{LOG_NAME} was deleted while the run wrote to it")

    def _sync(self) -> None:
        # A special file has nothing to synchronise.
        if self._descriptor is not None and stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            os.fsync(self._descriptor)


def _open_to_append(path: Path) -> int:
    """Return a descriptor that appends to the log, its last line ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Windows would turn every line end into two characters.
    binary = getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | binary, 0o644)
    if os.fstat(descriptor).st_size:
        with path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                os.write(descriptor, b"\n")
    return descriptor


def _start_afresh(directory: Path) -> None:
    """Remove what a run that never trained left behind."""
    pairtables.drop_after(directory, -1)
    path = directory / LOG_NAME
    if path.exists():
        os.truncate(path, 0)


def _line(record: Mapping[str, Any], default: Callable[[Any], str] | None = None) -> bytes:
    """Return one line of the log."""
    return orjson.dumps(_plain(record, "record", default)) + b"\n"


def _plain(value: Any, name: str, default: Callable[[Any], str] | None) -> Any:
    """Return a value that JSON can hold; NaN and infinities become strings."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        # File names may carry bytes that are no text; JSON cannot.
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, numbers.Integral):
        whole = int(value)
        return whole if -(2**63) <= whole < 2**64 else _plain(_float(whole), name, default)
    if isinstance(value, numbers.Real):
        number = float(value)
        if math.isfinite(number):
            return number
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(k): _plain(v, str(k), default) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, name, default) for item in value]
    if default is None:
        raise TypeError(
            f"{name!r} is a {type(value).__name__}, expected a number, a string or None;"
            " convert it first"
        )
    return _plain(default(value), name, None)


def _step(value: int) -> int:
    if value < 0:
        raise LogWriteError(f"step {value} is negative, expected optimizer steps from 0 on")
    return int(value)


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
