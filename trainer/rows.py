"""One row of preference data: what it becomes, and how its parts are found in a raw row.

Every format is turned into text rows or conversations; a `Record` is a raw row whose parts can be
asked for whatever the data set calls them. Text stays text and conversations stay conversations,
because they are tokenised differently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainer.errors import DataError
from trainer.files import Raw, nearest

Message = dict[str, Any]

# What the parts of a row are called where no description says otherwise; the first name present
# counts.
COLUMNS: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt",),
    "instruction": ("instruction",),
    "input": ("input",),
    "system": ("system",),
    "history": ("history",),
    "messages": ("messages", "conversations"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "rejected_response": ("rejected_response",),
    "rejected_messages": ("rejected_messages",),
    "preferred": ("preferred_output",),
    "non_preferred": ("non_preferred_output",),
    "completion": ("completion",),
    "output": ("output",),
    "label": ("label", "kto_tag"),
    "text": ("text",),
    "tools": ("tools",),
    "chat_template_kwargs": ("chat_template_kwargs",),
}
ROLES = {
    "human": "user",
    "gpt": "assistant",
    "observation": "tool",
    "function_call": "assistant",
    **{role: role for role in ("system", "developer", "user", "assistant", "tool")},
}


@dataclass(frozen=True, slots=True)
class TextRow:
    """A prompt with its labelled completions, all plain text."""

    prompt: str
    completions: tuple[str, ...]
    labels: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages with their labelled continuations; `options` are the chat template's arguments."""

    prompt: list[Message]
    completions: tuple[list[Message], ...]
    labels: tuple[bool, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


Row = TextRow | Conversation


@dataclass(frozen=True)
class Layout:
    """Where the rows of one data set keep their parts.

    `roles` translates the roles of messages under `role_key`; an empty `role_key` stands for
    whichever of role/content and from/value a message has.
    """

    columns: Mapping[str, str]
    typed: bool = True
    role_key: str = ""
    content_key: str = ""
    roles: Mapping[str, str] = field(default_factory=lambda: ROLES)


@dataclass(frozen=True, slots=True)
class Record:
    """One raw row seen through its layout; everything raised names the row's place."""

    raw: Raw
    layout: Layout
    place: str

    def optional(self, part: str) -> Any:
        """Return a part, or None where the row has none."""
        column = self.layout.columns.get(part)
        return None if column is None else self.raw.get(column)

    def part(self, part: str) -> Any:
        """Return a part that the format cannot do without; it may be None (no value)."""
        column = self.layout.columns.get(part, COLUMNS[part][0])
        if column not in self.raw:
            raise DataError(
                f"{self.place}: column {column!r} is missing{nearest(column, self.raw)}; found "
                f"{', '.join(map(str, self.raw)) or 'no columns'}."
            )
        return self.raw[column]

    def text(self, part: str) -> str:
        """Return a part that must be text; no value is empty text."""
        value = self.part(part)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(part, value, "text")
        return value

    def wrong(self, part: str, value: Any, expected: str) -> DataError:
        """Return the error for a part of another type than expected."""
        column = self.layout.columns.get(part, part)
        return DataError(
            f"{self.place}: {column!r} holds {_kind(value)}, expected {expected}; correct the row."
        )

    def label(self) -> bool:
        """Return whether the completion is desirable; without labels all of them are."""
        if "label" not in self.layout.columns:
            return True
        value = self.part("label")
        if isinstance(value, bool):
            return value
        if not self.layout.typed and str(value).strip().lower() in ("true", "false", "1", "0"):
            return str(value).strip().lower() in ("true", "1")
        column = self.layout.columns["label"]
        raise DataError(
            f"{self.place}: the label in {column!r} is {value!r}, expected true (desirable) or "
            "false (undesirable); convert the column to booleans."
        )

    def messages(self, part: str, value: Any, role: str = "assistant") -> list[Message]:
        """Return a value as messages: one message, a list of them, or the text of one role."""
        if value is None:
            return []
        if isinstance(value, str):
            return [{"role": role, "content": value}]
        if isinstance(value, dict):
            value = [value]
        if not isinstance(value, list) or not all(isinstance(m, dict) for m in value):
            raise self.wrong(part, value, "text or messages")
        return [self.message(part, message) for message in value]

    def message(self, part: str, raw: Message) -> Message:
        """Return a message under the names that chat templates use: role and content."""
        role_key, content_key = self.layout.role_key, self.layout.content_key
        if not role_key:
            tagged = "from" in raw and "role" not in raw
            role_key, content_key = ("from", "value") if tagged else ("role", "content")
        if role_key not in raw:
            column = self.layout.columns.get(part, part)
            raise DataError(
                f"{self.place}: a message in {column!r} has no {role_key!r}"
                f"{nearest(role_key, raw)}; found {', '.join(map(str, raw)) or 'no keys'}."
            )
        found = str(raw[role_key])
        role = self.layout.roles.get(found, ROLES.get(found))
        if role is None:
            raise DataError(
                f"{self.place}: a message has the unknown role {found!r}"
                f"{nearest(found, self.layout.roles)}; expected "
                f"{', '.join(self.layout.roles)}."
            )
        message = {
            k: v for k, v in raw.items() if v is not None and k not in (role_key, content_key)
        }
        return {"role": role, "content": self.text_content(raw.get(content_key)), **message}

    def text_content(self, content: Any) -> Any:
        """Return a message's content, text or a list of pieces of text, or refuse it."""
        if content is None or isinstance(content, str):
            return content or ""
        if isinstance(content, list) and all(
            isinstance(piece, dict) and isinstance(piece.get("text"), str) for piece in content
        ):
            return content
        raise DataError(
            f"{self.place}: a message's content is {_kind(content)}, expected text; only text can "
            "be trained on."
        )

    def options(self) -> dict[str, Any]:
        """Return what the chat template is given besides the messages."""
        options = self.optional("chat_template_kwargs") or {}
        if not isinstance(options, dict):
            raise self.wrong("chat_template_kwargs", options, "named arguments")
        tools = self.optional("tools")
        if isinstance(tools, str) and tools.strip():
            try:
                tools = json.loads(tools)
            except json.JSONDecodeError as error:
                raise DataError(
                    f"{self.place}: 'tools' is not JSON ({error.msg}); expected a list of tools."
                ) from error
        if tools and not isinstance(tools, list):
            raise self.wrong("tools", tools, "a list of tools")
        return {**options, "tools": tools} if tools else options


def _kind(value: Any) -> str:
    """Name what a value is, for an error."""
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return f"a list of {_kind(value[0])}" if value else "an empty list"
    names = {str: "text", dict: "an object", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
