"""Text fitted to a width, in columns of a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# For terminals that know ASCII only: marks that stay apart, of the same width.
_ASCII = str.maketrans("●○◉┈┤│─–−…·Δδβλρσ×≥≤→↑↓≈•", "*o@.||---.-ddblrsx><>^v~*")


def for_encoding(text: str, encoding: str) -> str:
    """Return the text in marks that the encoding knows.

    Examples
    --------
    >>> for_encoding("Δ chosen ●", "ascii"), for_encoding("Δ", "utf-8")
    ('d chosen *', 'Δ')
    """
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(_ASCII)
    return text


def beside(left: str, right: str, width: int) -> str:
    """Return two texts at the two ends of a line, the left one shortened to fit."""
    right = cut(right, width - 10)
    room = max(8, width - display_width(right) - 2)
    left = shortened(" ".join(left.split()), room)
    return f"{left}{' ' * (room - display_width(left))}  {right}"


def display_width(text: str) -> int:
    """Return how many columns a text takes: wide characters two, combining marks none.

    Examples
    --------
    >>> display_width("dpo"), display_width("模型"), display_width("e\u0301")
    (3, 4, 1)
    """
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """Return the text without the part beyond `width`."""
    if display_width(text) <= width:
        return text
    kept = 0
    for index, character in enumerate(text):
        kept += _columns(character)
        if kept > width - 1:
            return text[:index] + "…"
    return text


def shortened(text: str, width: int) -> str:
    """Return the text with its middle left out where it is wider than `width`.

    Both ends of a run's name tell: the project at its front, the seed at its end.
    """
    if display_width(text) <= width:
        return text
    head = (width - 1) // 2
    front = cut(text, head + 1)[:-1]
    back = cut(text[::-1], width - head)[:-1][::-1]
    return f"{front}…{back}"


def capital(text: str) -> str:
    """Return the text with a capital at its start."""
    return text[:1].upper() + text[1:]


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return the text in lines of at most `width` columns, the later ones indented."""
    lines: list[str] = []
    current = ""
    for word in text.split():
        lead = indent if lines else ""
        joined = f"{current} {word}" if current else lead + word
        if current and display_width(joined) > width:
            lines.append(current)
            joined = indent + word
        while display_width(joined) > width:
            # A word wider than the line, such as a path, is broken where the line ends.
            part = cut(joined, width + 1)[:-1]
            lines.append(part)
            joined = indent + joined[len(part) :]
        current = joined
    return [*lines, current] if current else lines


def listed(prefix: str, items: Iterable[str], width: int) -> list[str]:
    """Return each item in lines that begin with the prefix."""
    return [part for item in items for part in wrapped(f"{prefix}{item}", width, "  ")]
