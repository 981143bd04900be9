"""Large run logs in bulk: the rows of `run.jsonl` as columns, without an object for each of them.

Blocks of plain rows go through Arrow; a block that holds anything else (the header, a resume
marker, a NaN, a torn line) is halved until the rest of it is plain, and what is left is read line
by line. The rules are those of `diagnostics.logcontents`: abandoned branches are dropped, the last
row of a step counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.json

from diagnostics.logcontents import LONGEST_LINE, ROW_KINDS, LogContents, record_of, take
from diagnostics.readers.jsonlines import Columns, Table, columns_of, whole_line
from diagnostics.readers.opening import open_log
from diagnostics.readers.progress import tell

# A smaller log is read line by line in a moment.
BULK_BYTES = 1 << 22
CHUNK_BYTES = 1 << 23
# A block of this size that is not plain is read line by line.
SMALLEST_BLOCK = 1 << 15
# After so many such blocks the log is taken to be of another kind, and read line by line.
MOST_FAILURES = 64


@dataclass
class BulkLog:
    """What a large log says: `contents` without its rows, and the rows of each kind.

    `steps` are ascending and unique (T,), `columns` are by name (T,).
    """

    contents: LogContents
    steps: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Columns] = field(default_factory=dict)


@dataclass
class _Rows:
    """The rows so far, in the order of writing, and where markers stand among them."""

    contents: LogContents = field(default_factory=LogContents)
    tables: dict[str, Table] = field(default_factory=lambda: {kind: Table() for kind in ROW_KINDS})
    steps: dict[str, list[Any]] = field(default_factory=lambda: {kind: [] for kind in ROW_KINDS})
    resumes: list[tuple[dict[str, int], int]] = field(default_factory=list)
    ended: dict[str, int] | None = None
    failures: int = 0

    def counts(self) -> dict[str, int]:
        return {kind: table.rows for kind, table in self.tables.items()}

    def add(self, kind: str, steps: Any, columns: Columns) -> None:
        if len(steps):
            self.steps[kind].append(steps)
            # A row of a step alone still is a row.
            self.tables[kind].add({"step": steps.astype(np.float64), **columns})


def read_bulk(path: Path) -> BulkLog:
    """Return what a large log says.

    Raises
    ------
    ReadError
        When the system refuses to read it.
    """
    rows = _Rows()
    with open_log(path) as stream:
        # The header is no plain row, and would have the first block halved for nothing.
        _add_lines(stream.readline(LONGEST_LINE + 1), rows)
        while piece := stream.read(CHUNK_BYTES):
            _add(piece if piece.endswith(b"\n") else piece + whole_line(stream), rows)
            tell(stream)
    found = BulkLog(rows.contents)
    for kind in ROW_KINDS:
        found.steps[kind], found.columns[kind] = _settled(kind, rows)
    return found


def _add(block: bytes, rows: _Rows) -> None:
    """Add whole lines."""
    if not block:
        return
    if rows.failures < MOST_FAILURES and _add_plain(block, rows):
        return
    middle = block.rfind(b"\n", 0, len(block) // 2) + 1
    if len(block) <= SMALLEST_BLOCK or not middle or rows.failures >= MOST_FAILURES:
        rows.failures += 1
        _add_lines(block, rows)
        return
    _add(block[:middle], rows)
    _add(block[middle:], rows)


def _add_plain(block: bytes, rows: _Rows) -> bool:
    """Add a block of nothing but plain rows; False for any other block."""
    try:
        table = pa.json.read_json(
            pa.BufferReader(block), read_options=pa.json.ReadOptions(block_size=1 << 20)
        )
    except (pa.ArrowException, ValueError):
        return False
    names, types = table.column_names, table.schema.types
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    if table.num_rows != lines or len(set(names)) < len(names) or not {"kind", "step"} <= {*names}:
        return False
    numbers = [name for name in names if name not in ("kind", "step")]
    if table.schema.field("step").type != pa.int64() or not all(
        _is_number(types[names.index(name)]) for name in numbers
    ):
        return False
    kinds, steps = table.column("kind"), table.column("step")
    known = pa.compute.is_in(kinds, pa.array(ROW_KINDS))
    if not pa.compute.all(known).as_py() or steps.null_count:
        return False
    if pa.compute.min(steps).as_py() < 0:
        return False
    present = pa.compute.unique(kinds).to_pylist()
    for kind in present:
        chosen = table if len(present) == 1 else table.filter(pa.compute.equal(kinds, kind))
        own = {name: chosen.column(name) for name in numbers}
        columns = {
            name: column.cast(pa.float64()).to_numpy()
            for name, column in own.items()
            if column.null_count < len(column)
        }
        rows.add(kind, chosen.column("step").to_numpy().astype(np.int64), columns)
    return True


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind))


def _add_lines(block: bytes, rows: _Rows) -> None:
    """Add lines one by one, by the rules of the small logs."""
    waiting: dict[str, list[dict[str, Any]]] = {kind: [] for kind in ROW_KINDS}
    contents = rows.contents
    for line in block.splitlines(keepends=True):
        record = record_of(line if len(line) <= LONGEST_LINE else None)
        contents.open_line = False
        if record is None:
            contents.torn_lines += 1
            contents.open_line = not line.endswith(b"\n")
        elif record and record["kind"] in ROW_KINDS:
            waiting[record["kind"]].append(record)
        elif record:
            _flush(waiting, rows)
            take(record, {}, contents)
            if record["kind"] == "resume":
                rows.resumes.append((rows.counts(), record["step"]))
            elif record["kind"] == "end":
                rows.ended = rows.counts()
    _flush(waiting, rows)


def _flush(waiting: dict[str, list[dict[str, Any]]], rows: _Rows) -> None:
    for kind, records in waiting.items():
        steps = np.array([record["step"] for record in records], dtype=np.int64)
        rows.add(kind, steps, columns_of([_values(record) for record in records]))
        records.clear()


def _values(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in ("kind", "step")}


def _settled(kind: str, rows: _Rows) -> tuple[Any, Columns]:
    """Return the rows that count: none of abandoned branches, the last of each step, by step."""
    steps = np.concatenate(rows.steps[kind]) if rows.steps[kind] else np.zeros(0, np.int64)
    columns = rows.tables[kind].columns()
    columns.pop("step", None)
    end = rows.contents.end
    behind = steps[rows.ended[kind] :] if rows.ended is not None else steps[:0]
    if end is not None and (behind > end["step"]).any():
        rows.contents.end = None
    limits = np.full(len(steps) + 1, np.iinfo(np.int64).max)
    for counts, step in rows.resumes:
        limits[counts[kind]] = min(limits[counts[kind]], step)
    # A row is given up by any later resume from an earlier step.
    limits = np.minimum.accumulate(limits[::-1])[::-1][1:]
    kept = np.flatnonzero(steps <= limits)
    own = steps[kept]
    rows.contents.backward += int((np.diff(own) < 0).sum())
    if len(own) and (np.diff(own) <= 0).any():
        order = np.argsort(own, kind="stable")
        last = np.append(own[order][1:] != own[order][:-1], True)
        kept = kept[order[last]]
    if len(kept) < len(steps):
        columns = {name: values[kept] for name, values in columns.items()}
    return steps[kept] if len(kept) < len(steps) else steps, columns
