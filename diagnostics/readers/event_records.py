"""The chain of records of a TensorBoard event file, damage noticed and passed over.

A record is its length (8 bytes), the masked CRC-32C of the length, the data and their CRC.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from diagnostics.readers.progress import tell

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Booleans = NDArray[np.bool_]

CHUNK_BYTES = 1 << 23
# Longer records hold pictures or graphs; the bound keeps a damaged length out of memory.
LONGEST_RECORD = 1 << 22

_LENGTH = Struct("<Q")
_AROUND = 16  # length, its CRC, and the CRC behind the record
_HEAD = 12


@dataclass
class Progress:
    """How far a file was read: behind its last whole record; `damaged` counts bad places."""

    offset: int = 0
    damaged: int = 0


def chunks(stream: BinaryIO, progress: Progress) -> Iterator[tuple[Bytes, Ints, Ints]]:
    """Yield pieces of a file with the starts and lengths of the whole records they hold."""
    stream.seek(progress.offset)
    rest = b""
    while True:
        read = stream.read(CHUNK_BYTES)
        tell(stream)
        data = rest + read
        if len(data) < _AROUND:
            return
        starts, lengths, end, damaged = _records(data, final=not read)
        progress.damaged += damaged
        if len(starts):
            buffer = np.frombuffer(data, np.uint8)
            whole = _data_is_whole(buffer, starts, lengths)
            progress.damaged += int((~whole).sum())
            yield buffer, starts[whole], lengths[whole]
        progress.offset += end
        rest = data[end:]
        if not read:
            return
        if not end and len(rest) > LONGEST_RECORD + _AROUND:
            _pass_over(stream, progress, rest)
            rest = b""


def _pass_over(stream: BinaryIO, progress: Progress, data: bytes) -> None:
    """Move behind a record too long to be kept, as far as the file goes."""
    (length,) = _LENGTH.unpack_from(data)
    size = os.fstat(stream.fileno()).st_size
    progress.offset = min(progress.offset + int(length) + _AROUND, size)
    stream.seek(progress.offset)


def _records(data: bytes, *, final: bool) -> tuple[Ints, Ints, int, int]:
    """Return starts and lengths of the records, the end of the last one, the damaged places.

    A damaged length breaks the chain: it is taken up at the next length whose CRC is right.
    """
    starts: list[int] = []
    lengths: list[int] = []
    position, damaged, size = 0, 0, len(data)
    while True:
        first, begun = len(starts), position
        while position + _AROUND <= size:
            (length,) = _LENGTH.unpack_from(data, position)
            after = position + _AROUND + length
            if after > size:
                break
            starts.append(position + _HEAD)
            lengths.append(length)
            position = after
        sound = _lengths_are_sound(data, np.asarray(starts[first:], np.int64) - _HEAD)
        if not sound.all():
            broken = first + int(np.argmin(sound))
            position = starts[broken] - _HEAD
            del starts[broken:], lengths[broken:]
        elif position + _HEAD > size or _lengths_are_sound(data, np.array([position]))[0]:
            # The end of what was read; whatever is missing of the record may still come.
            break
        following = _next_record(data, position + 1)
        damaged += 1
        position = size - _HEAD if following is None else following
        if following is None and (final or position <= begun):
            position = size if final else position
            break
    return np.asarray(starts, np.int64), np.asarray(lengths, np.int64), position, damaged


def _next_record(data: bytes, position: int) -> int | None:
    """Return the first place from `position` on that holds a length and its right CRC."""
    for begin in range(position, len(data) - _HEAD + 1, 1 << 18):
        places = np.arange(begin, min(begin + (1 << 18), len(data) - _HEAD + 1))
        sound = _lengths_are_sound(data, places)
        if sound.any():
            return int(places[np.argmax(sound)])
    return None


def _lengths_are_sound(data: bytes, places: Ints) -> Booleans:
    if not len(places):
        return np.ones(0, bool)
    heads = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), _HEAD)[places]
    return _sums_are_right(heads)


def _data_is_whole(buffer: Bytes, starts: Ints, lengths: Ints) -> Booleans:
    """Say for each record whether the CRC behind it is right."""
    good = np.ones(len(starts), bool)
    for length in np.unique(lengths):
        chosen = np.flatnonzero(lengths == length)
        if int(length) * len(chosen) > CHUNK_BYTES or (length > 4096 and len(chosen) < 8):
            continue  # One long record would be summed byte by byte: longer than it takes to read.
        rows = record_rows(buffer, starts[chosen], int(length) + 4)
        good[chosen] = _sums_are_right(rows)
    return good


def _sums_are_right(rows: Bytes) -> Booleans:
    """Say for each row whether its last four bytes are the masked CRC of those before."""
    right: Booleans = _masked_crc(rows[:, :-4]) == rows[:, -4:].copy().view("<u4")[:, 0]
    return right


def _crc_table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, np.uint32(0x82F63B78) ^ (table >> 1), table >> 1)
    return table


_TABLE = _crc_table()


def _masked_crc(rows: Bytes) -> NDArray[np.uint32]:
    """Return the masked CRC-32C of each row; rows have shape (N, L)."""
    crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in np.ascontiguousarray(rows.T):
        crc = _TABLE[(crc ^ column) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    crc = ~crc
    return ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)


def record_rows(buffer: Bytes, starts: Ints, length: int) -> Bytes:
    """Return the bytes of records of one length, shape (N, length)."""
    view: Bytes = np.lib.stride_tricks.sliding_window_view(buffer, length)[starts]
    return view
