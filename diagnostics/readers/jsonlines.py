"""One JSON object a line: streamed row by row, or in bulk into columns.

The bulk way goes through Arrow and takes uniform, flat rows; whatever it does not take (bare NaN,
nested objects, a text among numbers, a damaged line) is parsed line by line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.json

from diagnostics.readers.numbers import numbers
from diagnostics.readers.opening import json_value, open_log
from diagnostics.readers.progress import tell

Columns = dict[str, Any]

# A longer line is no row of metrics; the bound keeps a damaged file out of memory.
LONGEST_LINE = 1 << 24
CHUNK_BYTES = 1 << 23
BLOCK_BYTES = 1 << 20
# A block of this size that is not uniform is read line by line, and after so many the file is.
SMALLEST_BLOCK = 1 << 15
MOST_FAILURES = 64
# A file with more names than this is no table of metrics; the rest would fill the memory.
MOST_COLUMNS = 1000


def json_rows(path: Path, damaged: list[int]) -> Iterator[dict[str, Any]]:
    """Yield the object of each line; the numbers of lines that hold none are appended.

    An unfinished last line is how a growing file looks, and no damage.

    Raises
    ------
    ReadError
        When the file cannot be opened.
    """
    with open_log(path) as stream:
        for number, line in enumerate(_lines(stream), start=1):
            text = b"" if line is None else line.strip(b" \t\r\n\0,")
            if line is not None and not text:
                continue
            row = json_value(text) if line is not None else None
            if isinstance(row, dict):
                yield row
            elif line is None or line.endswith(b"\n"):
                damaged.append(number)


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Yield each line, None for one that is too long."""
    while line := stream.readline(LONGEST_LINE):
        whole = len(line) < LONGEST_LINE or line.endswith(b"\n")
        while len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)
        yield line if whole else None


def damage(damaged: list[int]) -> list[str]:
    """Return the caveat for lines that are no JSON object, none when there are none.

    Examples
    --------
    >>> damage([7])
    ['1 line of the log could not be read (line 7).']
    """
    if not damaged:
        return []
    lines = "line" if len(damaged) == 1 else "lines"
    first = ", ".join(map(str, damaged[:3])) + (", …" if len(damaged) > 3 else "")
    return [f"{len(damaged)} {lines} of the log could not be read ({lines} {first})."]


def json_columns(path: Path, damaged: list[int]) -> Columns:
    """Return the rows of a file as columns (T,): floats where all values are numbers.

    A name that a row lacks is NaN there, None in a column of other values.

    Raises
    ------
    ReadError
        When the file cannot be opened.
    """
    table = Table()
    lines = 0
    with open_log(path) as stream:
        while piece := stream.read(CHUNK_BYTES):
            block = piece if piece.endswith(b"\n") else piece + whole_line(stream)
            _add_block(table, block, lines, damaged)
            lines += block.count(b"\n")
            tell(stream)
    return table.columns()


def whole_line(stream: BinaryIO) -> bytes:
    """Return the rest of a line, a short piece of it where it is too long to be a row."""
    rest = stream.readline(LONGEST_LINE)
    if len(rest) < LONGEST_LINE or rest.endswith(b"\n"):
        return rest
    while rest and not rest.endswith(b"\n"):
        rest = stream.readline(LONGEST_LINE)
    return b" a line too long to be a row\n"


def _add_block(table: Table, block: bytes, before: int, damaged: list[int]) -> None:
    """Add the rows of whole lines, in bulk where they are uniform."""
    if block.isspace():
        return
    plain = _arrow(block) if table.failures < MOST_FAILURES else None
    if plain is not None:
        table.add(plain)
        return
    middle = block.rfind(b"\n", 0, len(block) // 2) + 1
    if len(block) > SMALLEST_BLOCK and middle and table.failures < MOST_FAILURES:
        _add_block(table, block[:middle], before, damaged)
        skipped = before + block.count(b"\n", 0, middle)
        _add_block(table, block[middle:], skipped, damaged)
        return
    table.failures += 1
    rows = []
    for number, line in enumerate(block.split(b"\n"), start=before + 1):
        text = line.strip(b" \t\r\0,")
        row = json_value(text) if text and len(text) <= LONGEST_LINE else None
        if isinstance(row, dict):
            rows.append(flat(row))
        elif text and not (block.endswith(line) and not block.endswith(b"\n")):
            # An unfinished last line is how a growing file looks.
            damaged.append(number)
    table.add(columns_of(rows))


def _arrow(block: bytes) -> Columns | None:
    """Return a block of uniform flat rows as columns, None for any other block."""
    first = block[: block.find(b"\n") if b"\n" in block else None]
    try:
        names = list(orjson.loads(first))
    except (orjson.JSONDecodeError, TypeError):
        return None
    if len(names) > MOST_COLUMNS or b"{" in first.strip()[1:] or b"[" in first:
        return None
    try:
        rows = pa.json.read_json(
            pa.BufferReader(block), read_options=pa.json.ReadOptions(block_size=BLOCK_BYTES)
        )
        # Arrow does not check that names and texts are UTF-8: reading them out does.
        return _uniform(rows, block)
    except (pa.ArrowException, ValueError):
        return None


def _uniform(rows: pa.Table, block: bytes) -> Columns | None:
    """Return the columns of a block that Arrow has read, None where it is not one row a line."""
    if rows.num_columns > MOST_COLUMNS or rows.num_rows != block.count(b"\n") + (
        not block.endswith(b"\n")
    ):
        return None
    if any(pa.types.is_nested(kind) or pa.types.is_temporal(kind) for kind in rows.schema.types):
        return None
    if len(set(rows.column_names)) < rows.num_columns:
        return None
    return {name: arrow_column(rows.column(name)) for name in rows.column_names}


def arrow_column(column: Any) -> Any:
    """Return an Arrow column as an array: floats with NaN for what is missing, or objects."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind):
        return column.cast(pa.float64()).to_numpy().astype(np.float64, copy=False)
    values = column.to_pylist()
    floats = numbers(values)
    return _objects(values) if floats is None else floats


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the entries of nested objects beside the others, one level deep.

    Examples
    --------
    >>> flat({"step": 1, "train": {"loss": 0.5}, "tags": ["a"]})
    {'step': 1, 'train/loss': 0.5}
    """
    found: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            for name, inner in value.items():
                if not isinstance(inner, Mapping | list):
                    found[f"{key}/{name}"] = inner
        elif not isinstance(value, list):
            found[str(key)] = value
    return found


def columns_of(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """Return rows as columns (T,), at most `MOST_COLUMNS` of them."""
    names: dict[str, None] = {}
    for row in rows:
        if len(names) < MOST_COLUMNS or not row.keys() <= names.keys():
            for name in row:
                if len(names) >= MOST_COLUMNS:
                    break
                names.setdefault(name)
    found: Columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        floats = numbers(values)
        found[name] = _objects(values) if floats is None else floats
    if not names:
        return {}
    return found


def _objects(values: Sequence[Any]) -> Any:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


class Table:
    """Columns that grow by blocks; a name that a block lacks is missing there."""

    def __init__(self) -> None:
        self._blocks: dict[str, list[tuple[int, Any]]] = {}
        self.rows = 0
        self.failures = 0  # blocks that had to be read line by line

    def add(self, block: Columns) -> None:
        """Append a block: columns of one length."""
        if not block:
            return
        for name, values in block.items():
            if name in self._blocks or len(self._blocks) < MOST_COLUMNS:
                self._blocks.setdefault(name, []).append((self.rows, values))
        self.rows += len(next(iter(block.values())))

    def columns(self) -> Columns:
        """Return the columns (T,); the blocks are given up one by one."""
        found: Columns = {}
        while self._blocks:
            name = next(iter(self._blocks))
            blocks = self._blocks.pop(name)
            mixed = any(values.dtype == object for _, values in blocks)
            whole: Any = np.full(self.rows, None if mixed else np.nan, object if mixed else float)
            for start, values in blocks:
                whole[start : start + len(values)] = values
            found[name] = whole
        return found
