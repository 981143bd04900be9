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


def without_colours(text: bytes) -> bytes:
    """Return a text without the codes that steer a terminal."""
    return _ANSI.sub(b"", text) if b"\x1b" in text else text


def dict_rows(text: bytes) -> tuple[list[Printed], int]:
    """Return the rows that are Python dicts, and where the last one ends.

    These are the rows of transformers, ms-swift, EM and HALOs.
    """
    pieces = text.split(b"}")
    found: list[bytes] = []
    contexts: list[bytes] = []
    skipped, last = b"", -1
    # From one closing brace back to its opening one: linear in whatever the text holds.
    for number, piece in enumerate(pieces[:-1]):
        before, brace, row = piece.rpartition(b"{")
        if brace and _is_row(row):
            found.append(row)
            contexts.append((skipped + before)[-BEFORE:])
            skipped, last = b"", number
        else:
            skipped = (skipped + piece)[1 - BEFORE :] + b"}"
    rows = []
    for values, before in zip(_all_parsed(found), contexts, strict=True):
        if values:
            rows.append(_with_context(values, before) if len(before) > 3 else Printed(values))
    behind = sum(map(len, pieces[last + 1 :])) + len(pieces) - last - 2
    return rows, len(text) - behind if found else 0


def _is_row(row: bytes) -> bool:
    """Say whether the inside of braces is a printed dict of measurements."""
    measured = b"loss" in row or b"reward" in row or b"train_runtime" in row
    quoted = row[:1] == b"'" or row[:3].lstrip()[:1] == b"'"
    return measured and quoted and len(row) < LONGEST_ROW


def other_rows(text: bytes) -> tuple[list[Printed], int]:
    """Return the rows of all other forms in the order of their ends, and the last end."""
    rows: list[tuple[Printed, int]] = []
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
    rows.sort(key=lambda row: row[1])
    return [row for row, _ in rows], rows[-1][1] if rows else 0


def _all_parsed(rows: list[bytes]) -> list[dict[str, Any]]:
    """Return the values of many printed dicts, given without their braces.

    They are parsed as one document where all of them are JSON.
    """
    if not rows:
        return []
    try:
        found = orjson.loads(b"[{" + b"},{".join(rows).replace(b"'", b'"') + b"}]")
    except orjson.JSONDecodeError:
        if len(rows) <= 8:
            return [parsed(b"{" + row + b"}") for row in rows]
        # A few rows with nan need not slow down the others.
        half = len(rows) // 2
        return _all_parsed(rows[:half]) + _all_parsed(rows[half:])
    return found if len(found) == len(rows) else [parsed(b"{" + row + b"}") for row in rows]


def _with_context(values: dict[str, Any], before: bytes) -> Printed:
    """Return a row with the bar and the heading in the text in front of it."""
    # The numbers of the last bar end at the last bracket.
    numbers, bracket, _ = before.rpartition(b" [")
    bar = None
    if bracket:
        done, _, total = numbers[-LONGEST_BAR:].rpartition(b"/")
        done = done[done.rfind(b" ") + 1 :]
        plain = done.isdigit() and total.isdigit()
        bar = (int(done), int(total)) if plain else _any_bar(before)
    if b" after " not in before:
        return Printed(values, bar)
    heading = _STATS.search(before)
    if heading is None:
        return Printed(values, bar)
    unit = (heading[3] or b" examples").decode().strip()
    return Printed(values, bar, int(heading[2]), unit)


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


def _colons(text: bytes) -> Iterator[tuple[Printed, int]]:
    """Yield the lines of "name: value, name: value"."""
    position = 0
    while (mark := text.find(_COLONS, position)) >= 0:
        before = max(text.rfind(end, position, mark) for end in (b"\n", b"\r")) + 1
        start = max(position, before, mark - LONGEST_ROW // 10)
        line = _LINE.match(text, mark, mark + LONGEST_ROW // 10)
        position = line.end() if line is not None else mark + len(_COLONS)
        yield Printed(_pairs(_COLONS_PAIR, text[start:position])), position


def _postfixes(text: bytes) -> Iterator[tuple[Printed, int]]:
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
