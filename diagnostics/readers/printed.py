"""The rows that a console text prints, and those that it goes on to print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from diagnostics.readers.following import MOST_ROWS
from diagnostics.readers.lines import (
    BEFORE,
    LONGEST_ROW,
    Printed,
    dict_rows,
    other_rows,
    without_colours,
)
from diagnostics.readers.progress import tell

BLOCK = 1 << 20
# Text behind the last row that the next row may begin in, or have its bar in.
MOST_BEFORE = LONGEST_ROW + BEFORE
# A bar that is drawn again is the same row, with later values.
_REDRAWN = ("openrlhf", "openrlhf eval")


class PrintedRows:
    """The rows of a text as far as it was read, in order; memory stays within a few blocks.

    A text in which any row is a Python dict is one of such rows: what else looks like a row in it
    repeats them.
    """

    def __init__(self) -> None:
        self.offset = 0
        self._rows: list[Printed] = []
        self._are_dicts = False
        # What the next row may begin in: up to the last whole line, the last row ends at `_end`.
        self._text, self._end = b"", 0
        self._rest = b""  # the unfinished line

    @property
    def is_bulky(self) -> bool:
        """Whether there are too many rows to be kept until the text has grown."""
        return len(self._rows) > MOST_ROWS

    def read_on(self, stream: BinaryIO) -> None:
        """Add what stands from the stream's position on."""
        rest = b""
        while block := stream.read(BLOCK):
            text = rest + block
            end = max(text.rfind(b"\n"), text.rfind(b"\r", len(text) - MOST_BEFORE)) + 1
            # A line without end is cut anywhere: what is in front of the cut is kept.
            end = end if len(text) - end <= 4 * LONGEST_ROW else len(text) - LONGEST_ROW
            self._take(text[:end])
            self.offset += end
            rest = text[end:]
            tell(stream)
        self._rest = rest

    def __iter__(self) -> Iterator[Printed]:
        """Yield the rows, one in an unfinished last line too."""
        rows, are_dicts, _ = self._found(self._text + without_colours(self._rest))
        settled = self._rows if are_dicts == self._are_dicts else []
        if rows and settled and _is_redrawn(settled[-1], rows[0]):
            settled = settled[:-1]
        yield from settled
        yield from rows

    def _take(self, text: bytes) -> None:
        """Add whole lines."""
        text = self._text + without_colours(text)
        rows, are_dicts, end = self._found(text)
        if are_dicts != self._are_dicts:
            self._rows.clear()
            self._are_dicts = True
        if rows and self._rows and _is_redrawn(self._rows[-1], rows[0]):
            self._rows.pop()
        self._rows += rows
        # The first dict may have its bar in text that other rows were found in.
        start = max(end if are_dicts else 0, len(text) - MOST_BEFORE)
        self._text, self._end = text[start:], max(0, end - start)

    def _found(self, text: bytes) -> tuple[list[Printed], bool, int]:
        """Return the new rows of a text, whether they are dicts, and where the last one ends."""
        rows, end = dict_rows(text) if b"}" in text else ([], 0)
        if rows or self._are_dicts:
            return rows, True, end
        rows, end = other_rows(text[self._end :])
        return _last_drawn(rows), False, self._end + end


def printed_in(stream: BinaryIO) -> Iterator[Printed]:
    """Yield every row that a text holds, in order."""
    rows = PrintedRows()
    rows.read_on(stream)
    yield from rows


def _is_redrawn(row: Printed, later: Printed) -> bool:
    return row.heading in _REDRAWN and row[1:] == later[1:]


def _last_drawn(rows: list[Printed]) -> list[Printed]:
    """Return rows without the bars that are drawn again right after."""
    later = [*rows[1:], None] if rows else []
    return [
        row
        for row, after in zip(rows, later, strict=True)
        if after is None or not _is_redrawn(row, after)
    ]
