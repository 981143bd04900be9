"""The line forms in which trainers print their metrics, found in bytes at the speed of a search.

Nothing is evaluated: Python dicts become JSON by their quotes, and what that does not read is
taken apart by a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson

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


# From an opening brace to the next one or its end: linear in whatever a text holds.
_DICT = re.compile(rb"\{[^{}]*\}")
_LINE = re.compile(rb"[^\r\n]*")
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


# One row, and where it ends in the text.
Found = tuple[Printed, int]


def without_colours(text: bytes) -> bytes:
    """Return a text without the codes that steer a terminal."""
    return _ANSI.sub(b"", text) if b"\x1b" in text else text


def dict_rows(text: bytes) -> list[Found]:
    """Return the rows that are Python dicts: transformers, ms-swift, EM, HALOs."""
    places = [
        (found.start(), found.end())
        for found in _DICT.finditer(text)
        if found.end() - found.start() <= LONGEST_ROW and _is_row(found[0])
    ]
    values = _all_parsed([text[start:end] for start, end in places])
    rows = []
    last = 0
    for one, (start, end) in zip(values, places, strict=True):
        if one:
            rows.append((_with_context(one, text, max(start - BEFORE, last), start), end))
        last = end
    return rows


def _is_row(row: bytes) -> bool:
    measured = b"loss" in row or b"reward" in row or b"train_runtime" in row
    return measured and (row[1] == QUOTE or row[1:4].lstrip()[:1] == b"'")


def other_rows(text: bytes) -> list[Found]:
    """Return the rows of all other forms, in the order of their ends."""
    rows: list[Found] = []
    if b"chosen_reward=" in text:
        rows += _postfixes(text)
    if b" | loss:" in text:
        for found in _TORCHTUNE.finditer(text):
            row = Printed(_pairs(_TORCHTUNE_PAIR, found[2]), None, int(found[1]), "torchtune")
            rows.append((row, found.end()))
    if b"Iter " in text and b"hosen reward" in text:
        rows += [(_mlx(found), found.end()) for found in _MLX.finditer(text)]
    if _COLONS in text:
        rows += _colons(text)
    return sorted(rows, key=lambda row: row[1])


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


def _with_context(values: dict[str, Any], text: bytes, first: int, end: int) -> Printed:
    """Return a row with the bar and the heading in the text in front of it."""
    if end - first <= 3:
        return Printed(values)
    bar = None
    opening = text.rfind(b" [", first, end)
    if opening >= 0:
        bar = _bar(text, max(first, opening - LONGEST_BAR), opening) or _any_bar(text[first:end])
    if text.find(b" after ", first, end) < 0:
        return Printed(values, bar)
    heading = _STATS.search(text[first:end])
    if heading is None:
        return Printed(values, bar)
    unit = (heading[3] or b" examples").decode().strip()
    return Printed(values, bar, int(heading[2]), unit)


def _bar(text: bytes, first: int, opening: int) -> tuple[int, int] | None:
    """Return the progress bar (done, total) whose numbers end at an opening bracket."""
    done, _, total = text[first:opening].rpartition(b"/")
    done = done[done.rfind(b" ") + 1 :]
    return (int(done), int(total)) if done.isdigit() and total.isdigit() else None


def _any_bar(text: bytes) -> tuple[int, int] | None:
    bars = _BAR.findall(text)
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


def _colons(text: bytes) -> Iterator[Found]:
    """Yield the lines of "name: value, name: value"."""
    position = 0
    while (mark := text.find(_COLONS, position)) >= 0:
        before = max(text.rfind(end, position, mark) for end in (b"\n", b"\r")) + 1
        start = max(position, before, mark - LONGEST_ROW // 10)
        line = _LINE.match(text, mark, mark + LONGEST_ROW // 10)
        position = line.end() if line is not None else mark + len(_COLONS)
        yield Printed(_pairs(_COLONS_PAIR, text[start:position])), position


def _postfixes(text: bytes) -> Iterator[Found]:
    """Yield the rows behind OpenRLHF's progress bars, each time that one is drawn."""
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
            stated = int(evaluated) if evaluated else None
            yield Printed(own, None, stated, "openrlhf eval"), end
        elif "chosen_reward" in values:
            yield Printed(values, (int(done), int(total)), int(epoch or 0), "openrlhf"), end


def _mlx(found: re.Match[bytes]) -> Printed:
    prefix = "eval_" if found[2] == b"Val" else ""
    pairs: Mapping[str, str] = _pairs(_MLX_PAIR, found[3])
    values = {_MLX_NAMES.get(key.lower(), key.lower()): value for key, value in pairs.items()}
    named = {prefix + key: value for key, value in values.items()}
    return Printed(named, None, int(found[1]), "mlx")
