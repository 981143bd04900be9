"""Data files become raw rows: JSON, JSON lines, CSV, TSV, Parquet and Arrow, by their suffix.

A JSON, JSON-lines or CSV file may be gzipped. A `.json` file may hold a list of objects or one
object a line.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson

from trainer.errors import DataError

Raw = dict[str, Any]


def data_suffix(path: Path) -> str:
    """Return the suffix that decides the parser, with `.gz` taken off.

    Examples
    --------
    >>> data_suffix(Path("train.jsonl.gz"))
    '.jsonl'
    """
    return Path(path.stem).suffix.lower() if path.suffix == ".gz" else path.suffix.lower()


def nearest(wanted: str, names: Iterable[Any]) -> str:
    """Return a hint at the most similar name, to stand in an error, or nothing.

    Examples
    --------
    >>> nearest("chosen", ["prompt", "choosen"])
    " (did you mean 'choosen'?)"
    """
    near = difflib.get_close_matches(wanted, [str(name) for name in names], n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, without its full stop."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(". ")


def parse_file(path: Path, content: bytes) -> list[Raw]:
    """Return the rows that the bytes of a file hold.

    Raises
    ------
    DataError
        With the line where the file is broken, where its format has lines.
    """
    suffix = data_suffix(path)
    if suffix not in PARSERS:
        raise DataError(
            f"{path} has the unknown suffix {suffix!r}; expected one of {', '.join(PARSERS)}."
        )
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path} cannot be unpacked: {one_line(error)}; fetch or write the file again."
            ) from error
    return PARSERS[suffix](path, content)


def parse_json_value(path: Path, content: bytes, first_line: int = 1) -> Any:
    """Parse one JSON value that begins on line `first_line` of the file.

    Raises
    ------
    DataError
        With line and column of the first mistake.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        # The standard parser takes NaN, which orjson refuses, and explains mistakes better.
        return _parse_json_slowly(path, content, first_line)


def _parse_json_slowly(path: Path, content: bytes, first_line: int) -> Any:
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {first_line + error.lineno - 1}, column {error.colno}: not JSON "
            f"({error.msg}); expected a list of objects or one object a line."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text; save it as UTF-8.") from error
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply to be preference data.") from error


def _parse_json(path: Path, content: bytes) -> list[Raw]:
    """Read a list of objects, or one object a line: many `.json` files are JSON lines."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    if not content.lstrip().startswith(b"["):
        return _parse_json_lines(path, content)
    rows = parse_json_value(path, content)
    for number, row in enumerate(rows, 1):
        _check_object(row, f"{path}, row {number}")
    return rows  # type: ignore[no-any-return]


def _parse_json_lines(path: Path, content: bytes) -> list[Raw]:
    rows = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if line.strip():
            row = parse_json_value(path, line, number)
            _check_object(row, f"{path}, line {number}")
            rows.append(row)
    return rows


def _check_object(row: Any, place: str) -> None:
    if not isinstance(row, dict):
        raise DataError(
            f"{place}: found {type(row).__name__}, expected an object with named columns."
        )


def _parse_csv(path: Path, content: bytes) -> list[Raw]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text; save it as UTF-8.") from error
    # A completion is often longer than the 128 KiB the csv module allows a cell by default.
    csv.field_size_limit(2**31 - 1)
    delimiter = "\t" if data_suffix(path) == ".tsv" else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise DataError(
                    f"{path}, line {reader.line_num}: found another number of cells than the "
                    f"{len(reader.fieldnames or [])} columns of the first line; quote cells that "
                    "hold a delimiter or a line break."
                )
            rows.append({name: _cell(text) for name, text in row.items()})
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.reader.line_num}: not CSV ({one_line(error)}); quote cells that "
            "hold a delimiter, a quote or a line break."
        ) from error
    return rows


def _cell(text: str) -> Any:
    """Return the messages that a CSV cell holds as JSON; any other cell stays text."""
    if not text.startswith(("[", "{")):
        return text
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    first = value[0] if isinstance(value, list) and value else value
    return value if isinstance(first, dict) and ({"role", "from"} & first.keys()) else text


def _parse_parquet(path: Path, content: bytes) -> list[Raw]:
    import pyarrow as pa
    from pyarrow import parquet

    return _table_rows(path, lambda: parquet.read_table(pa.BufferReader(content)))


def _parse_arrow(path: Path, content: bytes) -> list[Raw]:
    import pyarrow as pa

    # An Arrow file starts with a magic number, an Arrow stream (what `datasets` writes) does not.
    open_arrow = pa.ipc.open_file if content.startswith(b"ARROW1") else pa.ipc.open_stream
    return _table_rows(path, lambda: open_arrow(pa.BufferReader(content)).read_all())


def _table_rows(path: Path, read: Callable[[], Any]) -> list[Raw]:
    import pyarrow as pa

    try:
        rows: list[Raw] = read().to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read: {one_line(error)}; fetch or write the file again."
        ) from error
    return rows


PARSERS: dict[str, Callable[[Path, bytes], list[Raw]]] = {
    ".json": _parse_json,
    ".jsonl": _parse_json_lines,
    ".ndjson": _parse_json_lines,
    ".csv": _parse_csv,
    ".tsv": _parse_csv,
    ".parquet": _parse_parquet,
    ".arrow": _parse_arrow,
}
