"""Reading SQLite files that other programs may be writing: never locked, never changed."""

from __future__ import annotations

import sqlite3
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diagnostics.errors import MalformedLog, ReadError
from diagnostics.readers.opening import head, open_log

MARK = b"SQLite format 3\0"
LARGEST_TEXT = 1 << 20


def is_sqlite(path: Path) -> bool:
    """Say whether a file is an SQLite database."""
    return path.is_file() and head(path)[:16] == MARK


def tables_of(path: Path) -> dict[str, set[str]]:
    """Return the column names of the tables of a database; nothing for what is none."""
    try:
        with opened(path) as database:
            names = [row[0] for row in database.execute(_TABLES)]
            return {
                name: {
                    row[1]
                    for row in database.execute("SELECT * FROM pragma_table_info(?)", (name,))
                }
                for name in names[:200]
            }
    except ReadError:
        return {}


_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for reading; what SQLite raises inside becomes a MalformedLog.

    Raises
    ------
    ReadError
        When the file cannot be opened.
    MalformedLog
        When it is damaged.
    """
    with open_log(path):
        pass
    # A write-ahead log beside the file means that newer rows are in it; without one the file is
    # taken as it is, so that a read-only folder needs no lock file.
    fixed = "" if Path(f"{path}-wal").exists() else "&immutable=1"
    address = f"file:{urllib.parse.quote(str(path))}?mode=ro{fixed}"
    try:
        database = sqlite3.connect(address, uri=True, timeout=1.0)
    except sqlite3.Error as error:
        raise MalformedLog(_sentence(path, error)) from None
    try:
        database.text_factory = lambda data: data.decode("utf-8", "replace")
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_TEXT)
        # A damaged or crafted schema must run no function of ours.
        database.execute("PRAGMA trusted_schema = OFF")
        yield database
    # Python stumbles over an error message that quotes a damaged name.
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
        raise MalformedLog(_sentence(path, error)) from None
    finally:
        database.close()


def rows(database: sqlite3.Connection, query: str, *given: Any) -> Iterator[Sequence[Any]]:
    """Yield the rows of a query."""
    yield from database.execute(query, given)


def _sentence(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).lower().split())[:200]  # it may quote a schema of many lines
    return (
        f"{path}: cannot be read as a database ({reason}), expected a whole SQLite"
        " file; copy it again while nothing writes to it"
    )
