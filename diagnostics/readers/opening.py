"""Opening foreign files: ordinary ones only, a bounded head for sniffing, errors in a sentence."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from diagnostics.errors import MalformedLog, ReadError

# Enough to tell every format: the header and some rows.
HEAD_BYTES = 1 << 16
# A JSON document is held as a whole while it is read.
LARGEST_DOCUMENT = 1 << 28
# Deeper documents are no logs, and would end the parsers that recurse.
DEEPEST = 100


def open_log(path: Path) -> BinaryIO:
    """Return a file opened for reading.

    Raises
    ------
    ReadError
        When it is no ordinary file or the system refuses to open it.
    """
    try:
        # Opening a named pipe would wait for its writer for ever.
        if stat.S_ISREG(path.stat().st_mode):
            return path.open("rb", buffering=1 << 20)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ReadError(
            f"{path}: cannot be read ({reason.lower()}), expected a log file;"
            " check the path and its permissions"
        ) from None
    raise ReadError(f"{path}: is no ordinary file, expected a log; give a file that holds one")


def head(path: Path) -> bytes:
    """Return the first bytes of an ordinary file; nothing for whatever cannot be read.

    Every reader looks at the same few files in turn, so the last heads are kept.
    """
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return b""
    if not stat.S_ISREG(facts.st_mode):
        return b""
    return _head(str(path), facts.st_size, facts.st_mtime_ns, facts.st_mode, facts.st_ino)


@lru_cache(maxsize=16)
def _head(path: str, *_: int) -> bytes:
    try:
        with open(path, "rb", buffering=0) as stream:
            return stream.read(HEAD_BYTES)
    except (OSError, ValueError):
        return b""


def names_in(folder: Path) -> list[str]:
    """Return the names of what a folder holds, sorted; nothing for what is no folder."""
    try:
        return sorted(os.listdir(folder))
    except (OSError, ValueError):
        return []


def check_access(folder: Path, suffix: str = ".csv") -> None:
    """Open every file of a suffix in a folder, so that none is left out in silence.

    Raises
    ------
    ReadError
        When the system refuses to open one.
    """
    for name in names_in(folder):
        if name.endswith(suffix) and (folder / name).is_file():
            open_log(folder / name).close()


def head_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects among the first lines of a file, whole lines only."""
    data = head(path)
    if data.lstrip()[:1] != b"{":
        return
    lines = data.split(b"\n")
    for line in lines[: None if len(data) < HEAD_BYTES else -1]:
        row = json_value(line)
        if isinstance(row, dict):
            yield row


def json_document(path: Path, expected: str) -> Any:
    """Return the value of a JSON file; bare NaN is taken, and so is a file cut short by nothing.

    Raises
    ------
    ReadError
        When it cannot be opened.
    MalformedLog
        When it is no JSON, too large or too deeply nested.
    """
    with open_log(path) as stream:
        if os.fstat(stream.fileno()).st_size > LARGEST_DOCUMENT:
            raise MalformedLog(
                f"{path}: is larger than {LARGEST_DOCUMENT >> 20} MiB, expected {expected};"
                " write one row a line (JSONL), which is read piece by piece"
            )
        data = stream.read()
    value = json_value(data)
    if value is None:
        raise MalformedLog(
            f"{path}: is no whole JSON document, expected {expected};"
            " copy the file again once it is written"
        )
    return value


def json_value(data: bytes) -> Any:
    """Return the value of a JSON text; None for what is none, or too deeply nested."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    if _depth(data) > DEEPEST:
        return None
    try:
        value = json.loads(data)
        # Lone surrogates pass that parser and would break every later use of the text.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value


def _depth(data: bytes) -> int:
    """Return a bound of how deeply a text is nested, cheaply."""
    return (
        min(data.count(b"{") + data.count(b"["), data.count(b"}") + data.count(b"]"))
        if len(data) < 4096
        else _nesting(data)
    )


def _nesting(data: bytes) -> int:
    deepest = level = 0
    for byte in data:
        if byte in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif byte in b"]}":
            level -= 1
    return deepest


def recognising(test: Callable[[Path], bool]) -> Callable[[Path], bool]:
    """Return a recogniser that says no where the system refuses to look."""

    def recognises(path: Path) -> bool:
        try:
            return test(path)
        except (OSError, ValueError, RecursionError):
            return False

    return recognises
