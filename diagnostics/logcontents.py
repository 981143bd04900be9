"""What a run's log says: a tolerant reader of run.jsonl, finished or still growing.

Lines that are no record are counted, not fatal; records of an abandoned branch (written after the
step at which the run was later resumed) are dropped; each step of a kind is kept once.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from diagnostics.errors import ReadError

FORMAT = "seesaw-run-log"
VERSION = 1
LOG_NAME = "run.jsonl"
ROW_KINDS = ("train", "eval")
STATUSES = ("completed", "failed", "stopped")

# A line longer than this is no record of a run; the bound keeps a binary file out of memory.
LONGEST_LINE = 1 << 24
# A record nested more deeply than this is damaged, and would break pickling and printing.
DEEPEST = 50
# One call of `follow` stops after this many bytes, so that a page never stalls on a long log.
FOLLOW_BYTES = 1 << 24

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
# Fields that hold text: a run called "NaN" keeps its name.
_TEXT = frozenset(
    (
        *("kind", "format", "time", "name", "method", "git_revision", "template"),
        *("status", "message", "text"),
    )
)


@dataclass
class LogContents:
    """What a log says, abandoned branches left out.

    `train` and `evals` hold each step once, the last record winning, in order of steps.
    `end` is None while the run goes on; `remarks` are sentences for people. `torn_lines` counts
    the lines that are no record; `open_line` says that the last of them is the unfinished end of
    the file (normal while a run writes), `starting` that this end is all there is and begins like
    a header. `unknown_kinds` counts records of kinds that this version does not know; `backward`
    counts the records whose step came after a later one without a resume marker. `offset` is where
    `follow` continues.
    """

    header: dict[str, Any] = field(default_factory=dict)
    train: list[dict[str, Any]] = field(default_factory=list)
    evals: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] | None = None
    resumes: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[dict[str, Any]] = field(default_factory=list)
    torn_lines: int = 0
    open_line: bool = False
    starting: bool = False
    unknown_kinds: dict[str, int] = field(default_factory=dict)
    backward: int = 0
    offset: int = 0


def read_log(path: str | os.PathLike[str]) -> LogContents:
    """Return the contents of a run folder's log, or of a log file, whatever state it is in.

    Raises
    ------
    ReadError
        When there is no such file or the system refuses to read it.
    """
    contents = LogContents()
    rows: dict[str, dict[int, dict[str, Any]]] = {kind: {} for kind in ROW_KINDS}
    with _open(log_file(path)) as stream:
        for line, after, ended in _lines(stream):
            if ended:
                contents.offset = after
            record = record_of(line)
            if record is None:
                contents.torn_lines += 1
                contents.open_line = not ended
                contents.starting = line is not None and is_torn_header(line, after)
            elif record:
                take(record, rows, contents)
    contents.train, contents.evals = (
        [rows[kind][step] for step in sorted(rows[kind])] for kind in ROW_KINDS
    )
    return contents


def follow(path: str | os.PathLike[str], offset: int) -> tuple[list[dict[str, Any]], int]:
    """Return the records written after `offset`, and the offset to ask for next.

    Lines are returned once they are finished. One call reads at most about 16 MiB: call again
    until the offset stands still. A log that became shorter (a run started afresh) is read from
    its beginning, which shows in an offset smaller than the one given, or in a header record.

    Raises
    ------
    ReadError
        When there is no such file or the system refuses to read it.
    """
    records = []
    with _open(log_file(path)) as stream:
        start = offset if offset <= os.fstat(stream.fileno()).st_size else 0
        stream.seek(start)
        offset = start
        for line, after, ended in _lines(stream):
            if not ended:
                break
            offset = after
            record = record_of(line)
            if record:
                records.append(record)
            if offset - start >= FOLLOW_BYTES:
                break
    return records, offset


def log_file(path: str | os.PathLike[str]) -> Path:
    """Return the log of a run folder, or the path itself when it is no folder."""
    path = Path(path)
    return path / LOG_NAME if path.name != LOG_NAME and os.path.isdir(path) else path


def _open(path: Path) -> BinaryIO:
    """Open a regular file for reading."""
    try:
        # Opening a named pipe would wait for its writer for ever.
        if stat.S_ISREG(path.stat().st_mode):
            return path.open("rb", buffering=1 << 20)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise ReadError(
            f"{path}: cannot be read ({reason.lower()}), expected the log of a run;"
            " check the path and its permissions"
        ) from None
    raise ReadError(
        f"{path}: is no ordinary file, expected the log of a run;"
        " give the folder that a run was written to"
    )


def _lines(stream: BinaryIO) -> Iterator[tuple[bytes | None, int, bool]]:
    """Yield each line (None when too long to be a record), the offset behind it, if it is ended."""
    offset = stream.tell()
    while chunk := stream.readline(LONGEST_LINE):
        line: bytes | None = chunk
        offset += len(chunk)
        while len(chunk) == LONGEST_LINE and not chunk.endswith(b"\n"):
            line = None
            chunk = stream.readline(LONGEST_LINE)
            offset += len(chunk)
        yield line, offset, chunk.endswith(b"\n")


def record_of(line: bytes | None) -> dict[str, Any] | None:
    """Return the record of a line, an empty one for a blank line, None for anything else."""
    if line is None:
        return None
    # A crash of the machine can leave zero bytes where a line was to be.
    text = line.strip(b" \t\r\n\0")
    if not text:
        return {}
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError:
        record = _lenient(text)
    if text.count(b"{") + text.count(b"[") > DEEPEST and _depth(record) > DEEPEST:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
        return None
    if record["kind"] != "header" and not _is_step(record.get("step")):
        return None
    if b'NaN"' not in text and b'Infinity"' not in text:
        return record
    return {name: _restored(value, name) for name, value in record.items()}


def _lenient(text: bytes) -> Any:
    """Return what Python's own parser makes of a line: it takes bare NaN and huge numbers."""
    try:
        record = json.loads(text)
        # Lone surrogates pass that parser and would break every later use of the text.
        json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return record


def _depth(value: Any) -> int:
    """Return how many mappings and lists lie inside each other."""
    deepest, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        deepest += 1
        level = [
            inner for item in level for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return deepest


def is_torn_header(line: bytes, after: int) -> bool:
    """Say whether the line is the first of its file and begins as every record does."""
    start = b'{"kind"'
    return after == len(line) and line[: len(start)] == start[: len(line)]


def _is_step(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _restored(value: Any, name: str) -> Any:
    """Return a value with the strings for NaN and infinities turned back into numbers."""
    if isinstance(value, str):
        return value if name in _TEXT else _NON_FINITE.get(value, value)
    if isinstance(value, dict):
        return {key: _restored(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_restored(item, name) for item in value]
    return value


def take(
    record: dict[str, Any], rows: dict[str, dict[int, dict[str, Any]]], contents: LogContents
) -> None:
    """Add one record to the contents of a log."""
    kind, step = record["kind"], record.get("step", 0)
    if kind in rows:
        latest = next(reversed(rows[kind]), -1)
        contents.backward += step < latest
        rows[kind].pop(step, None)
        rows[kind][step] = record
        if contents.end is not None and step > contents.end["step"]:
            contents.end = None
    elif kind == "header":
        contents.header = record
    elif kind == "end":
        contents.end = record
    elif kind == "remark":
        contents.remarks.append(record)
    elif kind == "resume":
        contents.resumes.append(record)
        contents.remarks = [one for one in contents.remarks if one["step"] <= step]
        contents.end = None
        for kept in rows.values():
            _drop_after(kept, step, in_order=not contents.backward)
    else:
        contents.unknown_kinds[kind] = contents.unknown_kinds.get(kind, 0) + 1


def _drop_after(kept: dict[int, dict[str, Any]], step: int, *, in_order: bool) -> None:
    """Drop the records of later steps; from the end when the steps are known to ascend."""
    if in_order:
        while kept and next(reversed(kept)) > step:
            kept.popitem()
        return
    for abandoned in [later for later in kept if later > step]:
        del kept[abandoned]


def one_line(error: BaseException) -> str:
    r"""Return the message of an error without line breaks.

    Examples
    --------
    >>> one_line(ValueError("first\n  second"))
    'first second'
    """
    return " ".join(str(error).split()) or type(error).__name__
