"""The formats of preference data, and how a row of each becomes prompt, completions and labels.

Alpaca rows are turned into conversations, as LLaMA-Factory does; rows of text stay text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from trainer.errors import DataError
from trainer.rows import Conversation, Message, Record, Row, TextRow

Side = TypeVar("Side", str, list[Message])

# What a text pair's prompt is often called; without it a pair would be trained on alone.
PROMPT_LIKE = ("question", "query", "input", "instruction", "context", "system")


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
    asked = record.messages("prompt", record.text("prompt") or None, "user")
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


def _read_preferred_output(record: Record) -> Row:
    """Read OpenAI's form: the conversation is an object of its own in the input column."""
    asked = record.part("input")
    if not isinstance(asked, dict) or "messages" not in asked:
        raise record.wrong("input", asked, 'an object with "messages"')
    prompt = record.messages("input", asked["messages"], "user")
    sides = (record.messages(part, record.part(part)) for part in ("preferred", "non_preferred"))
    return _conversational_pair(record, prompt, *sides)


def _read_alpaca_pair(record: Record) -> Row:
    """Read instruction, input, system and history, and two answers."""
    sides = [record.messages(part, record.part(part)) for part in ("chosen", "rejected")]
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


# Single completions


def _read_labelled(record: Record) -> Row:
    """Prompt, completion and label."""
    prompt, completion = record.part("prompt"), record.part("completion")
    labels = (record.label(),)
    if not any(isinstance(value, list | dict) for value in (prompt, completion)):
        return TextRow(record.text("prompt"), (record.text("completion"),), labels)
    asked = record.messages("prompt", prompt or None, "user")
    answered = record.messages("completion", completion)
    if asked and answered[: len(asked)] == asked:
        answered = answered[len(asked) :]
    return Conversation(asked, (answered,), labels, record.options())


def _read_labelled_conversation(record: Record) -> Row:
    """Read a conversation whose last message is labelled."""
    messages = record.messages("messages", record.part("messages"))
    prompt, completion = _last_answer(record, messages)
    prompt = _with_system(record, prompt)
    return Conversation(prompt, (completion,), (record.label(),), record.options())


def _last_answer(record: Record, messages: list[Message]) -> tuple[list[Message], list[Message]]:
    if not messages or messages[-1]["role"] != "assistant":
        last = f"a {messages[-1]['role']} message" if messages else "nothing"
        raise DataError(
            f"{record.place}: the conversation ends with {last}, expected the assistant's answer; "
            "remove the row or add the answer."
        )
    return messages[:-1], messages[-1:]


def _read_labelled_alpaca(record: Record) -> Row:
    """Read instruction, input, system and history, one answer and its label."""
    completion = record.messages("output", record.part("output"))
    labels = (record.label(),)
    return Conversation(_alpaca_prompt(record), (completion,), labels, record.options())


def _read_text(record: Record) -> Row:
    """Text without a prompt."""
    return TextRow("", (record.text("text"),), (True,))


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
REJECTED_RESPONSE = Format(
    "messages and rejected_response",
    ("messages", "rejected_response"),
    True,
    _read_rejected_response,
)
REJECTED_MESSAGES = Format(
    "messages and rejected_messages",
    ("messages", "rejected_messages"),
    True,
    _read_rejected_messages,
)
PREFERRED_OUTPUT = Format(
    "input, preferred_output and non_preferred_output",
    ("input", "preferred", "non_preferred"),
    True,
    _read_preferred_output,
)
IMPLICIT_PAIR = Format("chosen and rejected", ("chosen", "rejected"), True, _read_implicit_pair)
LABELLED = Format(
    "prompt, completion and label", ("prompt", "completion", "label"), False, _read_labelled
)
LABELLED_ALPACA = Format(
    "labelled alpaca", ("instruction", "output", "label"), False, _read_labelled_alpaca
)
LABELLED_CONVERSATION = Format(
    "labelled conversations", ("messages", "label"), False, _read_labelled_conversation
)
# The first whose parts are all there is taken, so a format stands before those that need less.
FORMATS = (
    PAIR,
    ALPACA_PAIR,
    SHAREGPT_PAIR,
    REJECTED_RESPONSE,
    REJECTED_MESSAGES,
    PREFERRED_OUTPUT,
    IMPLICIT_PAIR,
    LABELLED,
    LABELLED_ALPACA,
    LABELLED_CONVERSATION,
)

DEMONSTRATION = Format("prompt and completion", ("prompt", "completion"), False, _read_labelled)
ALPACA = Format("alpaca", ("instruction", "output"), False, _read_labelled_alpaca)
CONVERSATION = Format("conversations", ("messages",), False, _read_labelled_conversation)
# Good completions only, for supervised training: read where they are asked for, since a missing
# label is a mistake in preference data.
DEMONSTRATIONS = (
    DEMONSTRATION,
    ALPACA,
    CONVERSATION,
    Format("text", ("text",), False, _read_text),
)
