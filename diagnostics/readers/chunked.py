"""Logs in chunks of 32 KiB blocks, the format of LevelDB that W&B and SwanLab write.

Seven bytes of file header; then records: CRC-32 of type and data, length, type, data. A record
that does not fit into its block is split into a first, middle and last piece.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from struct import Struct
from typing import BinaryIO

HEADER_BYTES = 7
BLOCK_BYTES = 32768
# A longer record is no row of metrics; the bound keeps a damaged file out of memory.
LONGEST_RECORD = 1 << 24

_PIECE = Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_SEEDS = {kind: zlib.crc32(bytes([kind])) for kind in (_FULL, _FIRST, _MIDDLE, _LAST)}


def records(stream: BinaryIO, damaged: list[int]) -> Iterator[bytes]:
    """Yield the records behind the file header; the number of each damaged block is appended.

    A block with a damaged piece is left at that piece; reading goes on with the next block. The
    unfinished last record of a growing file is left out and is no damage.
    """
    pieces: list[bytes] | None = None
    kept = 0
    stream.seek(0)
    number = 0
    while block := stream.read(BLOCK_BYTES):
        last, broken = len(block) < BLOCK_BYTES, len(damaged)
        for kind, data in _pieces(block, HEADER_BYTES if number == 0 else 0, last, damaged, number):
            if kind == _FULL:
                yield data
                pieces = None
            elif kind == _FIRST:
                pieces, kept = [data], len(data)
            elif pieces is not None:
                kept += len(data)
                if kept > LONGEST_RECORD:
                    pieces = None
                    continue
                pieces.append(data)
                if kind == _LAST:
                    yield b"".join(pieces)
                    pieces = None
        if len(damaged) > broken:
            pieces = None
        number += 1


def _pieces(
    block: bytes, position: int, last: bool, damaged: list[int], number: int
) -> Iterator[tuple[int, bytes]]:
    """Yield the pieces of one block up to its padding or its first damaged piece."""
    while position + HEADER_BYTES <= len(block):
        checksum, length, kind = _PIECE.unpack_from(block, position)
        start = position + HEADER_BYTES
        position = start + length
        if not kind and not length and not checksum:
            return
        if position > len(block) and last and kind in _SEEDS:
            return
        data = block[start:position]
        if kind not in _SEEDS or zlib.crc32(data, _SEEDS[kind]) != checksum:
            damaged.append(number)
            return
        yield kind, data
