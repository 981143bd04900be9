"""The line forms in which trainers print their metrics, found in bytes at the speed of a search.

Nothing is evaluated: Python dicts become JSON by their quotes, and what that does not read is
taken apart by a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import orjson

BLOCK = 4 << 20
# A metric line is a few hundred bytes; longer ones are no rows.
LONGEST_ROW = 20_000
# How far before a row its progress bar and its heading stand.
BEFORE = 400
QUOTE = ord("'")
# Twelve digits of a hundred billion steps, twice.
LONGEST_BAR = 26


class Printed(NamedTuple):
    """One printed row: its values, and what stands around it.

    `bar` is the progress bar in front of it (done, total). `stated` is what the row itself is
    numbered with, `heading` what kind of number that is; both are None where it has none.
    """

    values: dict[str, Any]
    bar: tuple[int, int] | None = None
    stated: int | None = None
    heading: str | None = None


_ANSI = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_PAIR = re.compile(rb"'([^'{}]{1,120})':\s*('[^']*'|\"[^\"]*\"|[^,{}]*)")
_BAR = re.compile(rb"(\d{1,12})/(\d{1,12}) \[")
_STATS = re.compile(rb"(train stats|eval) after (\d{1,15})( examples| steps)?: ?$")
_NUMBER = rb"-?(?:\d[\d.]*(?:[eE][-+]?\d+)?|nan|inf)"

# A name begins where no name goes on, and is bounded: no line makes a pattern start over and over.
_POSTFIX = re.compile(
    rb"(?<!\d)(\d{1,12})/(\d{1,12}) \[[^\[\]\r\n]{0,80}?, ([a-z][^\[\]\r\n]{1,2000})\]"
)
_BAR_OF = re.compile(rb"Train step of epoch \[?(\d{1,6})\]?|Eval stage of [a-z_]{1,20} (\d{1,12})")
_POSTFIX_PAIR = re.compile(rb"(?<!\w)(\w{1,80})=(%s)" % _NUMBER)
_TORCHTUNE = re.compile(rb"Step (\d{1,12}) \| ([^\r\n]{1,4000})")
_TORCHTUNE_PAIR = re.compile(rb"(?<![\w/])([\w/]{1,80}):(%s)" % _NUMBER)
_MLX = re.compile(rb"Iter (\d{1,12}): (Train|Val) (loss [^\r\n]{1,2000})")
_MLX_PAIR = re.compile(
    rb"(?<![A-Za-z])(?:Val |Train )?([A-Za-z][A-Za-z /]{0,40}?) (%s)(?=,|$)" % _NUMBER
)
_COLONS = b"rewards/chosen: "
_COLONS_PAIR = re.compile(rb"(?<![\w/])([\w/]{1,80}): (%s)(?=,|\s|$)" % _NUMBER)
_MLX_NAMES = {
    "chosen reward": "rewards/chosen",
    "rejected reward": "rewards/rejected",
    "accuracy": "rewards/accuracies",
    "margin": "rewards/margins",
    "learning rate": "learning_rate",
}


def printed_in(stream: BinaryIO) -> Iterator[Printed]:
    """Yield every row that a text holds, in order; memory stays within a few blocks."""
    carried = b""
    while block := stream.read(BLOCK):
        text = carried + block
        whole, carried = _cut(text)
        yield from rows_of(whole)
    yield from rows_of(carried)


def _cut(text: bytes) -> tuple[bytes, bytes]:
    """Return the part of a text that ends with a line, and the rest; a long rest is cut."""
    end = max(text.rfind(b"\n"), text.rfind(b"\r", len(text) - LONGEST_ROW)) + 1
    start = text.rfind(b"{'", max(end - LONGEST_ROW, 0), end)
    if start >= 0 and b"}" not in text[start:end]:
        # A hard-wrapped row goes on in the next block, with the bar in front of it.
        end = max(start - BEFORE, text.rfind(b"}", 0, start) + 1, 0)
    if end == 0 or len(text) - end > 4 * LONGEST_ROW:
        end = max(end, len(text) - 2 * LONGEST_ROW)
    return text[:end], text[end:]


def rows_of(text: bytes) -> Iterator[Printed]:
    """Yield the rows of a text in order."""
    if b"\x1b" in text:
        text = _ANSI.sub(b"", text)
    if b"}" in text:
        any_dict = False
        for row in _dicts(text):
            any_dict = True
            yield row
        if any_dict:
            return
    if b"chosen_reward=" in text:
        yield from _postfixes(text)
    if b" | loss:" in text:
        for found in _TORCHTUNE.finditer(text):
            yield Printed(_pairs(_TORCHTUNE_PAIR, found[2]), None, int(found[1]), "torchtune")
    if b"Iter " in text and b"hosen reward" in text:
        for found in _MLX.finditer(text):
            yield _mlx(found)
    if _COLONS in text:
        yield from _colons(text)


def _dicts(text: bytes) -> Iterator[Printed]:
    """Yield the rows that are Python dicts: transformers, ms-swift, EM, HALOs."""
    rows: list[bytes] = []
    before: list[bytes] = []
    position = end = 0
    # From one closing brace back to its opening one: linear in whatever the text holds.
    while (close := text.find(b"}", position)) >= 0:
        start = text.rfind(b"{", position, close)
        position = close + 1
        if start < 0 or close - start > LONGEST_ROW:
            continue
        row = text[start:position]
        measured = b"loss" in row or b"reward" in row or b"train_runtime" in row
        if not measured or (row[1] != QUOTE and row[1:4].lstrip()[:1] != b"'"):
            continue
        rows.append(row)
        before.append(text[max(start - BEFORE, end) : start])
        end = position
    for values, context in zip(_all_parsed(rows), before, strict=True):
        if values:
            yield _with_context(values, context) if len(context) > 3 else Printed(values)


def _all_parsed(rows: list[bytes]) -> list[dict[str, Any]]:
    """Return the values of many printed dicts; as one document where all of them are JSON."""
    try:
        found = orjson.loads(b"[" + b",".join(rows).replace(b"'", b'"') + b"]")
    except orjson.JSONDecodeError:
        if len(rows) <= 8:
            return [parsed(row) for row in rows]
        # A few rows with nan need not slow down the others.
        half = len(rows) // 2
        return _all_parsed(rows[:half]) + _all_parsed(rows[half:])
    return found if len(found) == len(rows) else [parsed(row) for row in rows]


def _with_context(values: dict[str, Any], before: bytes) -> Printed:
    """Return a row with the bar and the heading in the text in front of it."""
    bar = _bar(before)
    heading = _STATS.search(before) if b" after " in before else None
    if heading is None:
        return Printed(values, bar)
    unit = (heading[3] or b" examples").decode().strip()
    return Printed(values, bar, int(heading[2]), unit)


def _bar(before: bytes) -> tuple[int, int] | None:
    """Return the last progress bar (done, total) of a text; its numbers end at the last bracket."""
    opening = before.rfind(b" [")
    if opening < 0:
        return None
    numbers = before[max(opening - LONGEST_BAR, 0) : opening].rpartition(b"/")
    done = numbers[0].rpartition(b" ")[2]
    if done.isdigit() and numbers[2].isdigit():
        return int(done), int(numbers[2])
    bars = _BAR.findall(before)
    return (int(bars[-1][0]), int(bars[-1][1])) if bars else None


def parsed(row: bytes) -> dict[str, Any]:
    """Return the values of a printed dict, broken over lines or not.

    Examples
    --------
    >>> parsed(b"{'loss': 0.5, 'rewards/chosen': nan}")
    {'loss': '0.5', 'rewards/chosen': 'nan'}
    """
    if b"\n" in row or b"\r" in row:
        row = row.replace(b"\n", b"").replace(b"\r", b"")
    try:
        found = orjson.loads(row.replace(b"'", b'"'))
    except orjson.JSONDecodeError:
        pairs = _PAIR.findall(row)
        return {_text(key): _text(value).strip().strip("'\"") for key, value in pairs}
    return found if isinstance(found, dict) else {}


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def _pairs(pattern: re.Pattern[bytes], text: bytes) -> dict[str, Any]:
    return {_text(key): _text(value) for key, value in pattern.findall(text)}


def _colons(text: bytes) -> Iterator[Printed]:
    """Yield the lines of "name: value, name: value"."""
    position = 0
    while (mark := text.find(_COLONS, position)) >= 0:
        start = max(position, text.rfind(b"\n", 0, mark) + 1, mark - LONGEST_ROW // 10)
        end = text.find(b"\n", mark, mark + LONGEST_ROW // 10)
        position = end if end >= 0 else min(mark + LONGEST_ROW // 10, len(text))
        yield Printed(_pairs(_COLONS_PAIR, text[start:position]))


def _postfixes(text: bytes) -> Iterator[Printed]:
    """Yield the rows behind OpenRLHF's progress bars; a bar that is drawn again counts once."""
    last: Printed | None = None
    end = 0
    for found in _POSTFIX.finditer(text):
        done, total, pairs = found.groups()
        values = _pairs(_POSTFIX_PAIR, pairs)
        names = _BAR_OF.findall(text[max(end, found.start() - BEFORE) : found.start()])
        epoch, evaluated = names[-1] if names else (b"", b"")
        end = found.end()
        if evaluated or "eval_loss" in values:
            keys = {key: "eval_" + key.removeprefix("eval_") for key in values}
            own = {keys[key]: value for key, value in values.items()}
            row = Printed(own, None, int(evaluated) if evaluated else None, "openrlhf eval")
        elif "chosen_reward" in values:
            row = Printed(values, (int(done), int(total)), int(epoch or 0), "openrlhf")
        else:
            continue
        if last is not None and (last.bar, last.stated, last.heading) != row[1:]:
            yield last
        last = row
    if last is not None:
        yield last


def _mlx(found: re.Match[bytes]) -> Printed:
    prefix = "eval_" if found[2] == b"Val" else ""
    pairs: Mapping[str, str] = _pairs(_MLX_PAIR, found[3])
    values = {_MLX_NAMES.get(key.lower(), key.lower()): value for key, value in pairs.items()}
    named = {prefix + key: value for key, value in values.items()}
    return Printed(named, None, int(found[1]), "mlx")
