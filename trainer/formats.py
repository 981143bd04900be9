"""The formats of preference data, and how a row of each becomes prompt, completions and labels.

A format is recognised by its columns, or named by a LLaMA-Factory description. Alpaca rows are
turned into conversations, as LLaMA-Factory does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from trainer.errors import DataError
from trainer.files import nearest
from trainer.rows import COLUMNS, Conversation, Layout, Message, Record, Row, TextRow
from trainer.sources import RawData

Side = TypeVar("Side", str, list[Message])

# LLaMA-Factory's names of columns that are called differently here.
DESCRIBED = {"prompt": "instruction", "query": "input", "response": "output", "kto_tag": "label"}
# What a text pair's prompt is often called; without it a pair would be trained on alone.
PROMPT_LIKE = ("question", "query", "input", "instruction", "context", "system")
TAGS = {
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}


# Pairs


def _read_pair(record: Record) -> Row:
    """Prompt, chosen and rejected: text, or messages, or a question with whole conversations."""
    prompt, chosen, rejected = (record.part(p) for p in ("prompt", "chosen", "rejected"))
    if not any(isinstance(value, list | dict) for value in (prompt, chosen, rejected)):
        return TextRow(
            record.text("prompt"), (record.text("chosen"), record.text("rejected")), (True, False)
        )
    sides = record.messages("chosen", chosen), record.messages("rejected", rejected)
    if isinstance(prompt, list | dict):
        return _conversational_pair(record, record.messages("prompt", prompt), *sides)
    if all(side and side[0]["role"] != "assistant" for side in sides):
        # The prompt is also the first turn of both conversations, as in UltraFeedback.
        return _conversational_pair(record, *_shared_start(*sides))
    asked = record.messages("prompt", record.text("prompt"), "user")
    return _conversational_pair(record, asked, *sides)


def _conversational_pair(
    record: Record, prompt: list[Message], chosen: list[Message], rejected: list[Message]
) -> Row:
    n = len(prompt)
    if n and chosen[:n] == prompt and rejected[:n] == prompt:
        chosen, rejected = chosen[n:], rejected[n:]
    return Conversation(prompt, (chosen, rejected), (True, False), record.options())


def _read_implicit_pair(record: Record) -> Row:
    """Chosen and rejected only: the prompt is what both start with."""
    chosen, rejected = record.part("chosen"), record.part("rejected")
    if isinstance(chosen, list) and isinstance(rejected, list):
        sides = record.messages("chosen", chosen), record.messages("rejected", rejected)
        return _conversational_pair(record, *_shared_start(*sides))
    texts = record.text("chosen"), record.text("rejected")
    other = [name for name in PROMPT_LIKE if isinstance(record.raw.get(name), str)]
    if other:
        raise DataError(
            f"{record.place}: 'chosen' and 'rejected' are text and column 'prompt' is missing; "
            f"rename {other[0]!r} to 'prompt', or map it in a dataset_info.json beside the file."
        )
    prompt, first, second = _shared_start(*texts)
    return TextRow(prompt, (first, second), (True, False))


def _shared_start(chosen: Side, rejected: Side) -> tuple[Side, Side, Side]:
    """Split off what both sides start with, as TRL does.

    At least the last element of the shorter side stays a completion, and so does a blank before
    the first difference.

    Examples
    --------
    >>> _shared_start("The sky is blue.", "The sky is green.")
    ('The sky is', ' blue.', ' green.')
    """
    low, high = 0, min(len(chosen), len(rejected))
    while low < high:  # Slices compare far faster than a loop over characters.
        middle = (low + high + 1) // 2
        low, high = (middle, high) if chosen[:middle] == rejected[:middle] else (low, middle - 1)
    if low == min(len(chosen), len(rejected)):
        low = max(low - 1, 0)
    elif low and chosen[low - 1] == " ":
        low -= 1
    return chosen[:low], chosen[low:], rejected[low:]


def _read_described_pair(record: Record) -> Row:
    """Read a conversation and the two messages that could follow it."""
    prompt = _with_system(record, record.messages("messages", record.part("messages"), "user"))
    sides = (record.messages(part, record.part(part)) for part in ("chosen", "rejected"))
    return _conversational_pair(record, prompt, *sides)


def _read_rejected_response(record: Record) -> Row:
    """Read a whole conversation and another last answer to it, as ms-swift has it."""
    messages = record.messages("messages", record.part("messages"))
    rejected = record.messages("rejected_response", record.part("rejected_response"))
    prompt, chosen = _last_answer(record, messages)
    return Conversation(prompt, (chosen, rejected), (True, False), record.options())


def _read_rejected_messages(record: Record) -> Row:
    """Read a chosen and a rejected conversation under ms-swift's names."""
    sides = (record.messages(p, record.part(p)) for p in ("messages", "rejected_messages"))
    return _conversational_pair(record, *_shared_start(*sides))


def _read_alpaca_pair(record: Record) -> Row:
    """Read instruction, input, system and history, and two texts."""
    sides = [
        [{"role": "assistant", "content": record.text(part)}] for part in ("chosen", "rejected")
    ]
    return Conversation(
        _alpaca_prompt(record), (sides[0], sides[1]), (True, False), record.options()
    )


def _alpaca_prompt(record: Record) -> list[Message]:
    prompt: list[Message] = []
    for turn in record.optional("history") or []:
        if not isinstance(turn, list) or len(turn) != 2:
            raise record.wrong("history", turn, "pairs of a question and an answer")
        for role, content in zip(("user", "assistant"), turn, strict=True):
            prompt.append({"role": role, "content": record.text_content(content)})
    asked = [record.text("instruction"), record.optional("input") or ""]
    if not isinstance(asked[1], str):
        raise record.wrong("input", asked[1], "text")
    prompt.append({"role": "user", "content": "\n".join(filter(None, asked))})
    return _with_system(record, prompt)


def _with_system(record: Record, prompt: list[Message]) -> list[Message]:
    """Put the system column first, unless the conversation has its own system message."""
    system = record.optional("system")
    if not system or (prompt and prompt[0]["role"] == "system"):
        return prompt
    return [{"role": "system", "content": record.text_content(system)}, *prompt]


# Labelled completions


def _read_labelled(record: Record) -> Row:
    """Prompt, completion and label."""
    prompt, completion = record.part("prompt"), record.part("completion")
    labels = (record.label(),)
    if not any(isinstance(value, list | dict) for value in (prompt, completion)):
        return TextRow(record.text("prompt"), (record.text("completion"),), labels)
    asked = record.messages("prompt", prompt, "user")
    answered = record.messages("completion", completion)
    if asked and answered[: len(asked)] == asked:
        answered = answered[len(asked) :]
    return Conversation(asked, (answered,), labels, record.options())


def _read_labelled_conversation(record: Record) -> Row:
    """Read a conversation whose last message is labelled."""
    messages = record.messages("messages", record.part("messages"))
    prompt, completion = _last_answer(record, messages)
    return Conversation(
        _with_system(record, prompt), (completion,), (record.label(),), record.options()
    )


def _last_answer(record: Record, messages: list[Message]) -> tuple[list[Message], list[Message]]:
    if not messages or messages[-1]["role"] != "assistant":
        last = f"a {messages[-1]['role']} message" if messages else "nothing"
        raise DataError(
            f"{record.place}: the conversation ends with {last}, expected the assistant's answer; "
            "remove the row or add the answer."
        )
    return messages[:-1], messages[-1:]


def _read_labelled_alpaca(record: Record) -> Row:
    """Read instruction, input, system and history, one text and its label."""
    completion = [{"role": "assistant", "content": record.text("output")}]
    return Conversation(_alpaca_prompt(record), (completion,), (record.label(),), record.options())


@dataclass(frozen=True)
class Format:
    """One way to write preference data: the parts a row must have, and how to read it."""

    name: str
    parts: tuple[str, ...]
    paired: bool
    read: Callable[[Record], Row]


PAIR = Format("prompt, chosen and rejected", ("prompt", "chosen", "rejected"), True, _read_pair)
ALPACA_PAIR = Format("alpaca pairs", ("instruction", "chosen", "rejected"), True, _read_alpaca_pair)
SHAREGPT_PAIR = Format(
    "sharegpt pairs", ("messages", "chosen", "rejected"), True, _read_described_pair
)
LABELLED = Format(
    "prompt, completion and label", ("prompt", "completion", "label"), False, _read_labelled
)
LABELLED_CONVERSATION = Format(
    "labelled conversations", ("messages", "label"), False, _read_labelled_conversation
)
LABELLED_ALPACA = Format(
    "labelled alpaca", ("instruction", "output", "label"), False, _read_labelled_alpaca
)
# The first whose columns are all there is taken, so a format stands before those that need less.
FORMATS = (
    PAIR,
    ALPACA_PAIR,
    SHAREGPT_PAIR,
    Format(
        "messages and rejected_response",
        ("messages", "rejected_response"),
        True,
        _read_rejected_response,
    ),
    Format(
        "messages and rejected_messages",
        ("messages", "rejected_messages"),
        True,
        _read_rejected_messages,
    ),
    Format("chosen and rejected", ("chosen", "rejected"), True, _read_implicit_pair),
    LABELLED,
    LABELLED_ALPACA,
    LABELLED_CONVERSATION,
)


def recognise(data: RawData) -> tuple[Format, Layout]:
    """Return the format of a data set and where its rows keep their parts.

    Raises
    ------
    DataError
        When the columns of the first row fit no format; it names the missing column of the
        nearest one.
    """
    if data.description is not None:
        return _recognise_described(data, data.description)
    found = data.rows[0].keys()
    columns = {
        part: next((name for name in names if name in found), "") for part, names in COLUMNS.items()
    }
    columns = {part: name for part, name in columns.items() if name}
    for candidate in FORMATS:
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


def _recognise_described(data: RawData, entry: Mapping[str, Any]) -> tuple[Format, Layout]:
    """Read LLaMA-Factory's description; columns it does not name are not used."""
    named: Mapping[str, str] = entry.get("columns") or {}
    columns = {DESCRIBED.get(part, part): str(column) for part, column in named.items()}
    formatting = entry.get("formatting", "alpaca")
    if formatting not in ("alpaca", "sharegpt", "openai"):
        raise DataError(
            f"{data.name}: dataset_info.json gives the formatting {formatting!r}, expected alpaca, "
            "sharegpt or openai."
        )
    alpaca = formatting == "alpaca"
    if not named:
        columns = {"instruction": "instruction", "input": "input"} if alpaca else {}
    columns.setdefault(
        "instruction" if alpaca else "messages", "instruction" if alpaca else "conversations"
    )
    if "label" in columns:
        columns.setdefault("output", "output")
        chosen_format = LABELLED_ALPACA if alpaca else LABELLED_CONVERSATION
    elif entry.get("ranking"):
        columns = {"chosen": "chosen", "rejected": "rejected", **columns}
        chosen_format = ALPACA_PAIR if alpaca else SHAREGPT_PAIR
    else:
        raise DataError(
            f"{data.name}: dataset_info.json describes neither pairs nor labels; add "
            '"ranking": true for pairs, or the column "kto_tag" for labels.'
        )
    _check_columns(data, chosen_format, columns)
    tags = {**TAGS, **(entry.get("tags") or {})}
    roles = {
        tags["user_tag"]: "user",
        tags["assistant_tag"]: "assistant",
        tags["observation_tag"]: "tool",
        tags["function_tag"]: "assistant",
        tags["system_tag"]: "system",
    }
    keys = str(tags.get("role_tag", "from")), str(tags.get("content_tag", "value"))
    return chosen_format, Layout(columns, data.typed, *keys, roles)


def _check_columns(data: RawData, chosen: Format, columns: Mapping[str, str]) -> None:
    for part in chosen.parts:
        if columns[part] not in data.rows[0]:
            raise DataError(
                f"{data.place(0)}: dataset_info.json names the column {columns[part]!r} for "
                f"{part}, which is not there{nearest(columns[part], data.rows[0])}; found "
                f"{', '.join(map(str, data.rows[0])) or 'no columns'}."
            )


def read_rows(data: RawData) -> tuple[Format, list[Row]]:
    """Return the format and every row of it.

    Raises
    ------
    DataError
        When a row lacks a column, holds another type than its format, or mixes text and messages.
    """
    found, layout = recognise(data)
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
