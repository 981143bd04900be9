"""The wire format of protocol buffers, as far as logs need it: fields of a message, by number.

A log is read without the schema's own library: TensorBoard, W&B and SwanLab each pin another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import cast

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

DOUBLE = Struct("<d")
FLOAT = Struct("<f")

Field = tuple[int, int, int | bytes]


def fields(message: bytes) -> Iterator[Field]:
    r"""Yield (number, wire type, value) of each field; a value is a whole number or bytes.

    Raises
    ------
    ValueError
        When the bytes are no message.

    Examples
    --------
    >>> list(fields(b"\x08\x96\x01\x12\x02hi"))
    [(1, 0, 150), (2, 2, b'hi')]
    """
    position, size = 0, len(message)
    while position < size:
        key, position = varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            whole, position = varint(message, position)
            yield number, wire, whole
            continue
        if wire == BYTES:
            length, position = varint(message, position)
        elif wire in (FIXED64, FIXED32):
            length = 8 if wire == FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {position}")
        after = position + length
        if after > size:
            raise ValueError(f"a field ends at byte {after} of {size}")
        yield number, wire, message[position:after]
        position = after


def varint(message: bytes, position: int) -> tuple[int, int]:
    r"""Return the whole number that starts at a position, and the position behind it.

    Raises
    ------
    ValueError
        When the bytes end, or ten of them hold no end of the number.

    Examples
    --------
    >>> varint(b"\x96\x01", 0)
    (150, 2)
    """
    value = shift = 0
    for byte in message[position : position + 10]:
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
    raise ValueError(f"no whole number ends before byte {position}")


def signed(value: int) -> int:
    """Return an int64 that was read as unsigned.

    Examples
    --------
    >>> signed(2**64 - 1)
    -1
    """
    return value - (1 << 64) if value >> 63 else value


def zigzag(value: int) -> int:
    """Return an sint64.

    Examples
    --------
    >>> [zigzag(value) for value in (0, 1, 2, 3)]
    [0, -1, 1, -2]
    """
    return (value >> 1) ^ -(value & 1)


def double(value: int | bytes) -> float:
    """Return a field of eight bytes as a float.

    Raises
    ------
    ValueError
        When it is another kind of field.
    """
    return _float(value, DOUBLE)


def single(value: int | bytes) -> float:
    """Return a field of four bytes as a float.

    Raises
    ------
    ValueError
        When it is another kind of field.
    """
    return _float(value, FLOAT)


def text(value: int | bytes) -> str:
    """Return a field as text, bytes that are none replaced.

    Raises
    ------
    ValueError
        When it is a whole number.
    """
    return content(value).decode("utf-8", "replace")


def content(value: int | bytes) -> bytes:
    """Return a field of bytes.

    Raises
    ------
    ValueError
        When it is a whole number.
    """
    if isinstance(value, int):
        raise ValueError(f"a number ({value}) where bytes belong")
    return value


def whole(value: int | bytes) -> int:
    """Return a field as an int64.

    Raises
    ------
    ValueError
        When it is no whole number.
    """
    if not isinstance(value, int):
        raise ValueError("bytes where a whole number belongs")
    return signed(value)


def _float(value: int | bytes, kind: Struct) -> float:
    if isinstance(value, int) or len(value) != kind.size:
        raise ValueError(f"a field that is no float of {kind.size} bytes")
    return cast(float, kind.unpack(value)[0])
