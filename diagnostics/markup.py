"""Pieces of HTML: tables, numbers with true minus signs, and texts that cannot become markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

from diagnostics.intervals import Interval, number
from diagnostics.verdicts import Evidence

NOT_KNOWN = "–"
LONGEST_VALUE = 200  # signs of one setting
COUNTED = ("pairs", "records")
_MINUS = re.compile(r"(?<![\w.])-(?=\d)")


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    texts: Sequence[int] = (),
) -> str:
    """Return a table that scrolls by itself; `rows` hold HTML, `heads` text."""
    kinds = {**dict.fromkeys(numbers, ' class="number"'), **dict.fromkeys(texts, ' class="text"')}
    head = "".join(f"<th{kinds.get(i, '')}>{escaped(one)}</th>" for i, one in enumerate(heads))
    body = "".join(
        "<tr>"
        + "".join(f"<td{kinds.get(i, '')}>{cell}</td>" for i, cell in enumerate(cells))
        + "</tr>"
        for cells in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def value_of(interval: Interval | None, *, sign: bool = False) -> str:
    """Return the value of an interval, a dash where there is none."""
    if interval is None or not isfinite(interval.value):
        return NOT_KNOWN
    return signed(interval.value, sign=sign)


def signed(value: float | None, *, sign: bool = False) -> str:
    """Return a number with a true minus, a dash where there is none."""
    return NOT_KNOWN if value is None else number(value, sign=sign).replace("-", "−")


def counted(one: Evidence) -> str:
    """Return the value of a piece of evidence; counts have no decimals."""
    if one.unit in COUNTED:
        return f"{one.value:.0f}"
    return signed(one.value, sign=one.quantity.startswith("Δ"))


def threshold(one: Evidence) -> str:
    """Return what a piece of evidence was held against."""
    if one.threshold is None:
        return NOT_KNOWN
    return f"{one.threshold:.0f}" if one.unit in COUNTED else signed(one.threshold)


def span(low: float | None, high: float | None) -> str:
    """Return both ends of an interval."""
    return NOT_KNOWN if low is None or high is None else f"{signed(low)} to {signed(high)}"


def sentence(text: str, *, capital: bool = True) -> str:
    """Return a verdict's words as HTML: capital, true minus signs, full stop."""
    text = _MINUS.sub("−", text.strip())
    text = text[:1].upper() + text[1:] if capital else text
    return escaped(text + ("." if text and not text.endswith((".", "?", "!")) else ""))


def folded(summary: str, body: str) -> str:
    """Return a part that opens on a click; nothing where it has no body."""
    return f"<details><summary>{summary}</summary>{body}</details>" if body else ""


def shortened(value: str) -> str:
    """Return a setting without what no table has room for."""
    return value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}…"


def escaped(value: Any) -> str:
    """Return anything as text that HTML shows as it is."""
    return html.escape(str(value), quote=True)
