"""TensorBoard event files as arrays by tag: every point, without TensorFlow and without sampling.

A record (see `event_records`) is an Event message: time, step and a summary of values. Records of
one length mostly share their layout (the same tag, another number), so a layout is worked out
once and applied to all records that have it; the rest are parsed one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from diagnostics.readers import protobuf
from diagnostics.readers.event_records import Bytes, Ints, Progress, chunks, record_rows

# Layouts that are worked out per chunk and length before the rest is parsed one by one.
MOST_LAYOUTS = 64
# A file with more tags than this is damaged; the rest would only fill the memory.
MOST_TAGS = 2000
MOST_TEXTS = 20


@dataclass
class Scalars:
    """The points of one tag in the order of the file: three arrays of shape (N,)."""

    steps: Ints
    times: NDArray[np.float64]
    numbers: NDArray[np.float64]


@dataclass
class Events:
    """What event files hold.

    `damaged` counts the places at which records could not be read, `offset` is the end of the
    last whole record: where reading goes on when the file has grown.
    """

    scalars: dict[str, Scalars] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    damaged: int = 0
    dropped_tags: int = 0
    offset: int = 0
    collected: Collected | None = None


def read_events(stream: BinaryIO, offset: int = 0, before: Collected | None = None) -> Events:
    """Return the scalars and texts of an event file.

    Reading goes on from `offset` with what was collected `before`, which grows by it.
    """
    progress = Progress(offset)
    collected = before or Collected()
    for buffer, starts, lengths in chunks(stream, progress):
        numbers = collected.count + np.arange(len(starts))
        collected.count += len(starts)
        _read_chunk(buffer, starts, lengths, numbers, collected)
    collected.damaged += progress.damaged
    return Events(
        scalars=collected.arrays(),
        texts=dict(collected.texts),
        damaged=collected.damaged,
        dropped_tags=len(collected.refused),
        offset=progress.offset,
        collected=collected,
    )


@dataclass
class Collected:
    """Points by tag, in pieces: (record numbers, steps, times, values)."""

    pieces: dict[str, list[tuple[Any, Any, Any, Any]]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    damaged: int = 0
    count: int = 0

    def add(self, tag: str, numbers: Any, steps: Any, times: Any, values: Any) -> None:
        """Add points of a tag: arrays (N,) or single numbers."""
        if tag not in self.pieces and len(self.pieces) >= MOST_TAGS:
            if len(self.refused) < MOST_TAGS:
                self.refused.add(hash(tag))
            return
        self.pieces.setdefault(tag, []).append((numbers, steps, times, values))

    def arrays(self) -> dict[str, Scalars]:
        """Return the points by tag in the order of the file."""
        found = {}
        for tag, pieces in self.pieces.items():
            numbers, steps, times, values = (
                np.concatenate([np.atleast_1d(np.asarray(part)) for part in parts])
                for parts in zip(*pieces, strict=True)
            )
            order = np.argsort(numbers, kind="stable")
            order = order[steps[order] >= 0]
            found[tag] = Scalars(
                steps[order].astype(np.int64),
                times[order].astype(np.float64),
                values[order].astype(np.float64),
            )
        return found


@dataclass(frozen=True)
class _Layout:
    """Where an event holds its numbers: offsets in the record; `mask` keeps the fixed bytes."""

    mask: Bytes
    time: int
    step: int
    step_bytes: int
    tag: str
    value: int
    kind: str


def _read_chunk(
    buffer: Bytes, starts: Ints, lengths: Ints, numbers: Ints, collected: Collected
) -> None:
    """Add the points of a chunk's records to what was collected."""
    order = np.argsort(lengths, kind="stable")
    borders = np.flatnonzero(np.diff(lengths[order])) + 1
    for chosen in np.split(order, borders):
        if not len(chosen) or not lengths[chosen[0]]:
            continue
        rows, own = record_rows(buffer, starts[chosen], int(lengths[chosen[0]])), numbers[chosen]
        for _ in range(MOST_LAYOUTS):
            if not len(rows):
                break
            layout = _layout(rows[0].tobytes())
            if layout is None:
                _parse_one(rows[0].tobytes(), int(own[0]), collected)
                rows, own = rows[1:], own[1:]
                continue
            same = ((rows & layout.mask) == (rows[0] & layout.mask)).all(axis=1)
            _take(rows[same], own[same], layout, collected)
            rows, own = rows[~same], own[~same]
        for row, number in zip(rows, own, strict=True):
            _parse_one(row.tobytes(), int(number), collected)


def _take(rows: Bytes, numbers: Ints, layout: _Layout, collected: Collected) -> None:
    """Add the points of records that share a layout."""

    def column(start: int, kind: str) -> Any:
        end = start + np.dtype(kind).itemsize
        return rows[:, start:end].copy().view(kind)[:, 0]

    times = np.full(len(rows), np.nan) if layout.time < 0 else column(layout.time, "<f8")
    steps = np.zeros(len(rows), np.int64)
    for place in range(layout.step_bytes):
        part = (rows[:, layout.step + place] & np.uint8(0x7F)).astype(np.int64)
        steps |= part << np.int64(7 * place)
    collected.add(layout.tag, numbers, steps, times, column(layout.value, layout.kind))


def _layout(record: bytes) -> _Layout | None:
    """Return the layout of a plain event (one scalar with a time and a step), else None."""
    mask = np.full(len(record), 0xFF, np.uint8)
    time, step, step_bytes, found = -1, 0, 0, None
    try:
        for number, wire, start, end in _places(record, 0, len(record)):
            if (number, wire) == (1, protobuf.FIXED64) and time < 0:
                time = start
                mask[start:end] = 0
            elif (number, wire) == (2, protobuf.VARINT) and not step_bytes:
                step, step_bytes = start, end - start
                mask[start:end] = 0x80
            elif (number, wire) == (5, protobuf.BYTES) and found is None:
                found = _one_value(record, start, end)
                if found is None:
                    return None
            else:
                return None
    except ValueError:
        return None
    # Ten bytes hold a negative number: rare, and left to the slow way.
    if found is None or step_bytes > 9:
        return None
    tag, value, kind = found
    mask[value : value + np.dtype(kind).itemsize] = 0
    return _Layout(mask, time, step, step_bytes, tag, value, kind)


def _one_value(record: bytes, start: int, end: int) -> tuple[str, int, str] | None:
    """Return tag, place and type of the number in a summary of one scalar, else None."""
    values = [
        (first, last) for number, _, first, last in _places(record, start, end) if number == 1
    ]
    if len(values) != 1:
        return None
    tag, place = "", None
    for number, wire, first, last in _places(record, *values[0]):
        if (number, wire) == (1, protobuf.BYTES):
            tag = record[first:last].decode("utf-8", "replace")
        elif (number, wire) == (2, protobuf.FIXED32):
            place = first, "<f4"
        elif number == 8:
            place = _tensor_place(record, first, last)
            if place is None:
                return None
        elif number != 9:  # metadata: the same bytes in every record of the layout
            return None
    return (tag, *place) if place else None


def _tensor_place(record: bytes, start: int, end: int) -> tuple[int, str] | None:
    """Return place and type of the number in a tensor of one float or double, else None."""
    place, kind = None, 0
    for number, wire, first, last in _places(record, start, end):
        if (number, wire) == (1, protobuf.VARINT):
            kind, _ = protobuf.varint(record, first)
        elif number in (4, 5, 6) and last - first in (4, 8):
            place = first, "<f4" if last - first == 4 else "<f8"
            # Field 5 holds floats, 6 doubles; field 4 the bytes of whatever type is named.
            if number != 4 and (number == 5) != (last - first == 4):
                return None
        elif number not in (2, 3):
            return None
    wanted = {1: "<f4", 2: "<f8"}.get(kind)
    return place if place and place[1] == wanted else None


def _places(record: bytes, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (number, wire type, start, end) of the fields of a message inside a record."""
    while position < end:
        key, position = protobuf.varint(record, position)
        wire = key & 7
        start = position
        if wire == protobuf.VARINT:
            _, position = protobuf.varint(record, position)
        elif wire == protobuf.BYTES:
            length, start = protobuf.varint(record, position)
            position = start + length
        elif wire in (protobuf.FIXED64, protobuf.FIXED32):
            position = start + (8 if wire == protobuf.FIXED64 else 4)
        else:
            raise ValueError(f"wire type {wire}")
        if position > end:
            raise ValueError("a field ends behind its message")
        yield key >> 3, wire, start, position


def _parse_one(record: bytes, number: int, collected: Collected) -> None:
    """Add the points and texts of any event; what is no event is counted as damaged."""
    time, step, summaries = np.nan, 0, []
    try:
        for name, _, value in protobuf.fields(record):
            if name == 1:
                time = protobuf.double(value)
            elif name == 2:
                step = protobuf.whole(value)
            elif name == 5:
                summaries.append(protobuf.content(value))
        for summary in summaries:
            for name, _, value in protobuf.fields(summary):
                if name == 1:
                    _parse_value(protobuf.content(value), number, step, time, collected)
    except ValueError:
        collected.damaged += 1


def _parse_value(message: bytes, number: int, step: int, time: float, collected: Collected) -> None:
    tag, scalar, words = "", None, None
    for name, _, value in protobuf.fields(message):
        if name == 1:
            tag = protobuf.text(value)
        elif name == 2:
            scalar = protobuf.single(value)
        elif name == 8:
            scalar, words = _parse_tensor(protobuf.content(value))
    if scalar is not None:
        collected.add(tag, number, step, time, scalar)
    elif words is not None and (tag in collected.texts or len(collected.texts) < MOST_TEXTS):
        collected.texts[tag] = words


def _parse_tensor(message: bytes) -> tuple[float | None, str | None]:
    """Return the only number of a tensor, or its only text; None for what it does not hold."""
    kind, numbers, words = 0, [], []
    raw: dict[int, bytes] = {}
    for name, wire, value in protobuf.fields(message):
        if name == 1:
            kind = protobuf.whole(value)
        elif name == 8:
            words.append(protobuf.text(value))
        elif name in (7, 10, 11) and wire == protobuf.VARINT:
            numbers.append(float(protobuf.whole(value)))
        elif name in (4, 5, 6) and not isinstance(value, int):
            raw[name] = raw.get(name, b"") + value
    types = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
    for name, data in raw.items():
        kind_of = {5: "<f4", 6: "<f8"}.get(name) or types.get(kind)
        if kind_of and len(data) == np.dtype(kind_of).itemsize:
            numbers.append(float(np.frombuffer(data, kind_of)[0]))
    return (
        numbers[0] if len(numbers) == 1 else None,
        words[0] if len(words) == 1 else None,
    )
