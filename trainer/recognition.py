"""Which format a data set is in, and what its columns are called.

A format is recognised by the columns of the first row, or named by a LLaMA-Factory description.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trainer.errors import DataError
from trainer.files import nearest
from trainer.formats import (
    ALPACA,
    ALPACA_PAIR,
    CONVERSATION,
    DEMONSTRATIONS,
    FORMATS,
    LABELLED_ALPACA,
    LABELLED_CONVERSATION,
    SHAREGPT_PAIR,
    Format,
)
from trainer.rows import COLUMNS, Layout, Record, Row, TextRow
from trainer.sources import RawData

# LLaMA-Factory's names of columns that are called differently here.
DESCRIBED = {"prompt": "instruction", "query": "input", "response": "output", "kto_tag": "label"}
TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
TAG_ROLES = {
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "assistant",
    "system_tag": "system",
}


def read_rows(data: RawData, demonstrations: bool = False) -> tuple[Format, list[Row]]:
    """Return the format and every row of it.

    Parameters
    ----------
    demonstrations
        Whether completions without a label are taken, all as desirable.

    Raises
    ------
    DataError
        When a row lacks a column, holds another type than its format, or mixes text and messages.
    """
    found, layout = recognise(data, demonstrations)
    rows = list(_rows(data, found, layout))
    return found, rows


def _rows(data: RawData, found: Format, layout: Layout) -> Iterator[Row]:
    first: type[Row] | None = None
    for index, raw in enumerate(data.rows):
        row = found.read(Record(raw, layout, data.place(index)))
        first = first or type(row)
        if type(row) is not first:
            kinds = ("messages", "text") if first is TextRow else ("text", "messages")
            raise DataError(
                f"{data.place(index)}: holds {kinds[0]} where {data.place(0)} holds {kinds[1]}; "
                "split them into two data sets."
            )
        yield row


def recognise(data: RawData, demonstrations: bool = False) -> tuple[Format, Layout]:
    """Return the format of a data set and where its rows keep their parts.

    Raises
    ------
    DataError
        When the columns of the first row fit no format; it names the missing column of the
        nearest one.
    """
    if data.description is not None:
        return _recognise_described(data, data.description, demonstrations)
    found = data.rows[0].keys()
    columns: dict[str, str] = {}
    for part, names in COLUMNS.items():
        columns.update([(part, name) for name in names if name in found][:1])
    for candidate in FORMATS + (DEMONSTRATIONS if demonstrations else ()):
        if all(part in columns for part in candidate.parts):
            return candidate, Layout(columns, data.typed)
    raise _unknown_format(data.place(0), [str(name) for name in found], columns)


def _unknown_format(place: str, found: Sequence[str], columns: Mapping[str, str]) -> DataError:
    """Name what the nearest format lacks, counting columns that are merely misspelt."""

    def lacks(candidate: Format) -> dict[str, str]:
        unused = [name for name in found if name not in columns.values()]
        return {
            COLUMNS[part][0]: nearest(COLUMNS[part][0], unused)
            for part in candidate.parts
            if part not in columns
        }

    def distance(candidate: Format) -> tuple[int, int]:
        missing = lacks(candidate)
        return sum(not near for near in missing.values()), len(missing)

    closest = min(FORMATS, key=distance)
    missing = [f"{column!r}{near}" for column, near in lacks(closest).items()]
    return DataError(
        f"{place}: found the columns {', '.join(found) or '(none)'}; {' and '.join(missing)} "
        f"missing for {closest.name}; rename columns or map them in a dataset_info.json."
    )


def _recognise_described(
    data: RawData, entry: Mapping[str, Any], demonstrations: bool
) -> tuple[Format, Layout]:
    """Read LLaMA-Factory's description; columns that it does not name are not used."""
    formatting = entry.get("formatting", "alpaca")
    if formatting not in ("alpaca", "sharegpt", "openai"):
        raise DataError(
            f"{data.name}: dataset_info.json gives the formatting {formatting!r}, expected alpaca, "
            "sharegpt or openai."
        )
    alpaca = formatting == "alpaca"
    named: Mapping[str, str] = entry.get("columns") or {}
    columns = {"instruction": "instruction"} if alpaca else {"messages": "conversations"}
    if not named:
        columns |= {"input": "input", "output": "output"}
    columns |= {DESCRIBED.get(part, part): str(column) for part, column in named.items()}
    if "label" in columns:
        found = LABELLED_ALPACA if alpaca else LABELLED_CONVERSATION
    elif entry.get("ranking"):
        columns = {"chosen": "chosen", "rejected": "rejected"} | columns
        found = ALPACA_PAIR if alpaca else SHAREGPT_PAIR
    elif demonstrations:
        found = ALPACA if alpaca else CONVERSATION
    else:
        raise DataError(
            f"{data.name}: dataset_info.json describes neither pairs nor labels; add "
            '"ranking": true for pairs, or the column "kto_tag" for labels.'
        )
    if "output" in found.parts:
        columns.setdefault("output", "output")
    _check_columns(data, found, columns)
    return found, _tagged(Layout(columns, data.typed), entry)


def _tagged(layout: Layout, entry: Mapping[str, Any]) -> Layout:
    """Add the keys and roles of messages; LLaMA-Factory's defaults hold where none are given."""
    tags = TAGS | (entry.get("tags") or {})
    roles = {str(tags[tag]): role for tag, role in TAG_ROLES.items()}
    return replace(
        layout, role_key=str(tags["role_tag"]), content_key=str(tags["content_tag"]), roles=roles
    )


def _check_columns(data: RawData, found: Format, columns: Mapping[str, str]) -> None:
    present = data.rows[0]
    for part in found.parts:
        if columns[part] not in present:
            raise DataError(
                f"{data.place(0)}: dataset_info.json names the column {columns[part]!r} for "
                f"{part}, which is not there{nearest(columns[part], present)}; found "
                f"{', '.join(map(str, present)) or 'no columns'}."
            )
