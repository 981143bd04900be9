"""One JSON object a line: row by row, or in bulk into columns; and on from where a file was left.

The bulk way goes through Arrow and takes uniform, flat rows; whatever it does not take (nested
objects, a text among numbers, a damaged line) is parsed line by line.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.json

from diagnostics.readers.columns import MOST_COLUMNS, Columns, Table, column_of, columns_of
from diagnostics.readers.following import MOST_ROWS
from diagnostics.readers.lineblocks import LONGEST_LINE, LineBlocks, parsed_ahead
from diagnostics.readers.numbers import numbers
from diagnostics.readers.opening import json_value

# What Arrow parses at once, so that it stays in the cache.
ARROW_BYTES = 1 << 20
# A block of this size is read line by line; after so many that had to be, the file is.
SMALLEST_BLOCK = 1 << 15
MOST_FAILURES = 64
# What stands around an object on its line; a crash of the machine can leave zero bytes.
_AROUND = b" \t\r\n\0,"
_BARE_NAN = re.compile(rb": ?NaN(?=[,}])")


class JsonRows:
    """The objects of a file's lines, as far as it was read; `damaged` lines hold none.

    An unfinished last line is how a growing file looks, and no damage.
    """

    def __init__(self) -> None:
        self.offset = 0
        self.rows: list[dict[str, Any]] = []
        self.damaged: list[int] = []
        self._lines = 0
        self._rest = b""

    @property
    def is_bulky(self) -> bool:
        """Whether there are too many rows to be kept until the file has grown."""
        return len(self.rows) > MOST_ROWS

    def read_on(self, stream: BinaryIO) -> None:
        """Add the lines from the stream's position on."""
        blocks = LineBlocks(stream)
        for block in blocks:
            for line in block[:-1].split(b"\n"):
                self._lines += 1
                text = line.strip(_AROUND)
                row = json_value(text) if text and len(text) <= LONGEST_LINE else None
                if isinstance(row, dict):
                    self.rows.append(row)
                elif text:
                    self.damaged.append(self._lines)
        self.offset, self._rest = blocks.offset, blocks.rest

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows, that of an unfinished last line too where it is whole."""
        yield from self.rows
        last = json_value(self._rest.strip(_AROUND)) if self._rest else None
        if isinstance(last, dict):
            yield last


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


class JsonColumns:
    """The rows of a file as columns, as far as it was read.

    `damaged` are the numbers of the lines that hold no object; an unfinished last line is none.
    """

    is_bulky = False

    def __init__(self) -> None:
        self.offset = 0
        self.damaged: list[int] = []
        self._table = Table()
        self._lines = 0
        self._failures = 0
        self._rest = b""

    def read_on(self, stream: BinaryIO) -> None:
        """Add the lines from the stream's position on."""
        blocks = LineBlocks(stream)
        done = self.offset
        for block, plain in parsed_ahead(iter(blocks), self._parse):
            done += len(block)
            self._add(block, plain, done / blocks.size)
        self.offset, self._rest = blocks.offset, blocks.rest

    def columns(self) -> Columns:
        """Return the columns (T,): floats where all values are numbers, quoted or not.

        A name that a row lacks is NaN there, None in a column of other values. An unfinished last
        line counts where it is whole.
        """
        table = self._table
        last = json_value(self._rest.strip(_AROUND)) if self._rest else None
        if isinstance(last, dict):
            table = copy.deepcopy(table)
            table.add(columns_of([flat(last)]), 1)
        return {name: as_numbers(values) for name, values in table.columns().items()}

    def caveats(self) -> list[str]:
        """Return what could not be read."""
        said = damage(self.damaged)
        if self._table.left_out:
            said.append(f"{self._table.left_out} columns beyond the bounds were left out.")
        return said

    def _parse(self, block: bytes) -> Columns | None:
        return _uniform(block) if self._failures < MOST_FAILURES else None

    def _add(self, block: bytes, plain: Columns | None, share: float) -> None:
        """Add the rows of whole lines, in bulk where they are uniform."""
        if plain is not None:
            count = block.count(b"\n")
            self._table.add(plain, count, share)
            self._lines += count
            return
        middle = block.rfind(b"\n", 0, len(block) // 2) + 1
        if len(block) <= SMALLEST_BLOCK or not middle or self._failures >= MOST_FAILURES:
            self._add_lines(block, share)
            return
        for half in (block[:middle], block[middle:]):
            self._failures += len(half) <= SMALLEST_BLOCK
            self._add(half, self._parse(half), share)

    def _add_lines(self, block: bytes, share: float) -> None:
        rows = []
        for number, line in enumerate(block[:-1].split(b"\n"), start=self._lines + 1):
            text = line.strip(_AROUND)
            row = json_value(text) if text and len(text) <= LONGEST_LINE else None
            if isinstance(row, dict):
                rows.append(flat(row))
            elif text:
                self.damaged.append(number)
        self._lines += block.count(b"\n")
        self._table.add(columns_of(rows), len(rows), share)


def _uniform(block: bytes) -> Columns | None:
    """Return a block of uniform flat rows as columns, None for any other block."""
    if len(block) <= SMALLEST_BLOCK:
        return None
    first = block[: block.find(b"\n")]
    try:
        names = list(orjson.loads(first))
    except (orjson.JSONDecodeError, TypeError):
        return None
    if len(names) > MOST_COLUMNS or b"{" in first.strip()[1:] or b"[" in first:
        return None
    rows = arrow_rows(block)
    # A bare NaN is no JSON; as a number that is missing it comes to the same in a float column.
    if rows is None and b"NaN" in block:
        rows = arrow_rows(_BARE_NAN.sub(b":null", block))
        if rows is not None and any(pa.types.is_string(kind) for kind in rows.schema.types):
            return None
    if rows is None or rows.num_columns > MOST_COLUMNS:
        return None
    if any(pa.types.is_nested(kind) or pa.types.is_temporal(kind) for kind in rows.schema.types):
        return None
    try:
        return {name: _arrow_values(rows.column(name)) for name in rows.column_names}
    except (pa.ArrowException, ValueError):
        # Arrow does not check that texts are UTF-8: reading them out does.
        return None


def arrow_rows(block: bytes) -> pa.Table | None:
    """Return whole lines as Arrow reads them, None where they are not one object a line."""
    try:
        rows = pa.json.read_json(
            pa.BufferReader(block),
            read_options=pa.json.ReadOptions(use_threads=False, block_size=ARROW_BYTES),
        )
        names = set(rows.column_names)
    except (pa.ArrowException, ValueError):
        return None
    if rows.num_rows != block.count(b"\n") or len(names) < rows.num_columns:
        return None
    return rows


def arrow_floats(column: Any) -> Any:
    """Return an Arrow column of numbers as floats (T,), NaN for what is missing."""
    return column.cast(pa.float64(), safe=False).to_numpy()


def _arrow_values(column: Any) -> Any:
    return arrow_floats(column) if _is_number(column.type) else column_of(column.to_pylist())


def _is_number(kind: Any) -> bool:
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)
    return bool(number or pa.types.is_boolean(kind))


def arrow_column(column: Any) -> Any:
    """Return an Arrow column as an array: floats where all of it are numbers, quoted or not."""
    return as_numbers(_arrow_values(column))


def as_numbers(values: Any) -> Any:
    """Return a column as floats where all of its values are numbers or stand for none."""
    if values.dtype != object:
        return values
    found = numbers(values.tolist())
    return values if found is None else found


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
