"""The rows of `run.jsonl` as columns, without an object for each of them where they are many.

Blocks of plain rows go through Arrow; a block that holds anything else (the header, a resume
marker, a torn line) is halved until the rest of it is plain, and what is left is read line by line.
The rules are those of `diagnostics.logcontents`: abandoned branches are dropped, the last row of a
step counts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute

from diagnostics.logcontents import ROW_KINDS, LogContents, is_torn_header, record_of, take
from diagnostics.readers.columns import Columns, Table, columns_of
from diagnostics.readers.jsonlines import MOST_FAILURES, SMALLEST_BLOCK, arrow_floats, arrow_rows
from diagnostics.readers.lineblocks import LONGEST_LINE, LineBlocks, parsed_ahead

# The rows of a block by kind: steps (N,) and columns (N,).
Plain = dict[str, tuple[Any, Columns]]
STEP = "step"


@dataclass
class BulkLog:
    """What a log says: `contents` without its rows, and the rows of each kind.

    `steps` are ascending and unique (T,), `columns` are by name (T,). `appended` says that rows
    came only behind those of the look before.
    """

    contents: LogContents
    steps: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Columns] = field(default_factory=dict)
    left_out: int = 0
    appended: bool = False


class LogRows:
    """The rows of a log as far as it was read, in the order of writing."""

    is_bulky = False

    def __init__(self) -> None:
        self.offset = 0
        self.contents = LogContents()
        self._tables = {kind: Table() for kind in ROW_KINDS}
        self._latest = dict.fromkeys(ROW_KINDS, -1)
        # Whether steps ascend, so far, for each kind; and where markers stand among the rows.
        self._ordered = dict.fromkeys(ROW_KINDS, True)
        self._resumes: list[tuple[dict[str, int], int]] = []
        self._ended: dict[str, int] | None = None
        self._failures = 0
        self._rest = b""
        self._looked = False

    def read_on(self, stream: BinaryIO) -> None:
        """Add the lines from the stream's position on."""
        first = b"" if self.offset else stream.readline(LONGEST_LINE)
        if first.endswith(b"\n"):
            # The header is no plain row, and would have the first block halved for nothing.
            self._add_lines(first, 1.0)
            self.offset = len(first)
        stream.seek(self.offset)
        blocks = LineBlocks(stream)
        done = self.offset
        for block, plain in parsed_ahead(_without_marks(blocks), self._parse):
            done += len(block)
            self._add(block, plain, done / blocks.size)
        self.offset, self._rest = blocks.offset, blocks.rest

    def settled(self) -> BulkLog:
        """Return what the log says now."""
        rest = record_of(self._rest if len(self._rest) <= LONGEST_LINE else None)
        if rest:
            # A whole record that only lacks its line end counts, but may be taken back.
            ended = copy.deepcopy(self)
            ended._add_lines(self._rest, 1.0)
            ended._rest = b""
            return ended.settled()
        appended = self._looked and all(self._ordered.values()) and not self._resumes
        contents = replace(self.contents)
        found = BulkLog(contents, appended=appended)
        kept = {kind: self._kept(kind) for kind in ROW_KINDS}
        for kind in ROW_KINDS:
            columns = self._tables[kind].columns()
            steps = columns.pop(STEP, np.zeros(0, np.int64))
            found.steps[kind], found.columns[kind] = self._of_steps(
                kind, steps, columns, kept[kind], contents
            )
            found.left_out += self._tables[kind].left_out
        if rest is None:
            contents.torn_lines += 1
            contents.open_line = True
            contents.starting = not self.offset and is_torn_header(self._rest, len(self._rest))
        self._compact(kept)
        self._looked = True
        return found

    def _parse(self, block: bytes) -> Plain | None:
        return _plain(block) if self._failures < MOST_FAILURES else None

    def _add(self, block: bytes, plain: Plain | None, share: float) -> None:
        """Add whole lines, in bulk where they are plain."""
        if plain is not None:
            for kind, (steps, columns) in plain.items():
                self._add_rows(kind, steps, columns, share)
            return
        middle = block.rfind(b"\n", 0, len(block) // 2) + 1
        if len(block) <= SMALLEST_BLOCK or not middle or self._failures >= MOST_FAILURES:
            self._add_lines(block, share)
            return
        for half in (block[:middle], block[middle:]):
            self._failures += len(half) <= SMALLEST_BLOCK
            self._add(half, self._parse(half), share)

    def _add_lines(self, block: bytes, share: float) -> None:
        """Add lines one by one, by the rules of `logcontents`."""
        waiting: dict[str, list[dict[str, Any]]] = {kind: [] for kind in ROW_KINDS}
        for line in block.removesuffix(b"\n").split(b"\n"):
            record = record_of(line if len(line) <= LONGEST_LINE else None)
            if record is None:
                self.contents.torn_lines += 1
            elif record and record["kind"] in ROW_KINDS:
                waiting[record.pop("kind")].append(record)
            elif record:
                self._flush(waiting, share)
                take(record, {}, self.contents)
                if record["kind"] == "resume":
                    self._resumes.append((self._counts(), record[STEP]))
                elif record["kind"] == "end":
                    self._ended = self._counts()
        self._flush(waiting, share)

    def _flush(self, waiting: dict[str, list[dict[str, Any]]], share: float) -> None:
        for kind, records in waiting.items():
            if records:
                steps = np.array([record.pop(STEP) for record in records], dtype=np.int64)
                self._add_rows(kind, steps, columns_of(records), share)
                records.clear()

    def _add_rows(self, kind: str, steps: Any, columns: Columns, share: float) -> None:
        ascending = steps[0] > self._latest[kind] and bool((np.diff(steps) > 0).all())
        self._ordered[kind] &= ascending
        self._latest[kind] = int(steps[-1])
        self._tables[kind].add({STEP: steps, **columns}, len(steps), share)

    def _counts(self) -> dict[str, int]:
        return {kind: table.rows for kind, table in self._tables.items()}

    def _kept(self, kind: str) -> Any:
        """Return the places of the rows that no later resume gives up; None for all of them."""
        if not self._resumes:
            return None
        steps = self._tables[kind].columns().get(STEP, np.zeros(0, np.int64))
        limits = np.full(len(steps) + 1, np.iinfo(np.int64).max)
        for counts, step in self._resumes:
            limits[counts[kind]] = min(limits[counts[kind]], step)
        # A row is given up by any later resume from an earlier step.
        limits = np.minimum.accumulate(limits[::-1])[::-1][1:]
        return np.flatnonzero(steps <= limits)

    def _of_steps(
        self, kind: str, steps: Any, columns: Columns, kept: Any, contents: LogContents
    ) -> tuple[Any, Columns]:
        """Return the rows that count, by step: none of abandoned branches, the last of each."""
        end = contents.end
        if end is not None and self._ended is not None:
            behind = steps[self._ended[kind] :]
            if len(behind) and (behind > end[STEP]).any():
                contents.end = None
        if kept is None and self._ordered[kind]:
            return steps, columns
        kept = np.arange(len(steps)) if kept is None else kept
        own = steps[kept]
        contents.backward += int((np.diff(own) < 0).sum())
        if len(own) and (np.diff(own) <= 0).any():
            order = np.argsort(own, kind="stable")
            last = np.append(own[order][1:] != own[order][:-1], True)
            kept = kept[order[last]]
        return steps[kept], {name: values[kept] for name, values in columns.items()}

    def _compact(self, kept: dict[str, Any]) -> None:
        """Give up abandoned rows for good, where what is left is in order."""
        if not self._resumes:
            return
        steps = {kind: self._tables[kind].columns().get(STEP, ()) for kind in ROW_KINDS}
        own = {kind: np.asarray(steps[kind])[kept[kind]] for kind in ROW_KINDS}
        if not all((np.diff(found) > 0).all() for found in own.values()):
            return
        for kind in ROW_KINDS:
            if self._ended is not None:
                self._ended[kind] = int((kept[kind] < self._ended[kind]).sum())
            self._tables[kind].keep(kept[kind])
            self._ordered[kind] = True
            self._latest[kind] = int(own[kind][-1]) if len(own[kind]) else -1
        self._resumes.clear()


def _without_marks(blocks: LineBlocks) -> Iterator[bytes]:
    """Yield the blocks; a last line that is no row, as the end of a run is, comes by itself.

    It would have a large block halved many times for nothing.
    """
    for block in blocks:
        last = block.rfind(b"\n", 0, len(block) - 1) + 1
        record = record_of(block[last:-1]) if len(block) > SMALLEST_BLOCK and last else None
        if record and record["kind"] not in ROW_KINDS:
            yield block[:last]
            yield block[last:]
        else:
            yield block


def _plain(block: bytes) -> Plain | None:
    """Return a block of nothing but plain rows, None for any other block."""
    if len(block) <= SMALLEST_BLOCK:
        return None
    rows = arrow_rows(block)
    if rows is None and b'"NaN"' in block:
        # Only columns of numbers are taken here, where no value comes to the same as NaN.
        block = block.replace(b'"NaN"', b"null")
        rows = arrow_rows(block)
    if rows is None or not {"kind", STEP} <= {*rows.column_names}:
        return None
    kinds, steps = rows.column("kind"), rows.column(STEP)
    names = [name for name in rows.column_names if name not in ("kind", STEP)]
    if (
        steps.type != pa.int64()
        or steps.null_count
        or not all(_is_number(rows.schema.field(name).type) for name in names)
    ):
        return None
    known = pa.compute.is_in(kinds, pa.array(ROW_KINDS)) if kinds.type == pa.string() else None
    if known is None or not pa.compute.all(known).as_py() or pa.compute.min(steps).as_py() < 0:
        return None
    present = pa.compute.unique(kinds).to_pylist()
    lines = block.split(b"\n") if len(present) > 1 and b"null" in block else []
    found = {}
    for kind in present:
        chosen = rows if len(present) == 1 else rows.filter(pa.compute.equal(kinds, kind))
        # Where Arrow saw rows of both kinds, each has the names of the other.
        first = orjson.loads(lines[pa.compute.index(kinds, kind).as_py()]) if lines else {}
        own = [
            name
            for name in names
            if len(present) == 1 or chosen.column(name).null_count < len(chosen) or name in first
        ]
        columns = {name: arrow_floats(chosen.column(name)) for name in own}
        found[kind] = (chosen.column(STEP).to_numpy(), columns)
    return found


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind))
