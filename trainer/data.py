"""Preference pairs and labels: read, templated, tokenised, truncated and counted.

Token ids are those that TRL 1.16 trains on: a conversation goes through the tokenizer's chat
template, with the generation prompt after the prompt; text is concatenated, with the
end-of-sequence token after a completion that lacks it. The prompt ends where the tokenised prompt
and the tokenised prompt with a completion diverge. Sequences are cut at the end.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from trainer.errors import DataError
from trainer.files import one_line
from trainer.recognition import read_rows
from trainer.rows import Conversation, Message, Row, TextRow
from trainer.sources import RawData, read_source

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Rows tokenised at once: enough to occupy a fast tokenizer's threads, little enough to keep.
CHUNK_ROWS = 1024

# Why an example is dropped: the key under which it is counted, and the phrase for people.
DROPPED = {
    "no_prompt": "have no prompt",
    "empty_completion": "have an empty completion",
    "prompt_fills_max_length": "have a prompt that alone fills max_length",
    "identical_completions": "have a chosen completion equal to the rejected one",
}


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and its completions as token ids.

    A pair has the labels (True, False); an unpaired example has one completion. `index` is the
    row's number in the data set, from 0. `prompt_text` is what the model is given, with the chat
    template applied; `completion_texts` are the completions as they stand in the data.
    """

    prompt_ids: list[int]
    completions: tuple[tuple[int, ...], ...]
    labels: tuple[bool, ...]
    index: int
    prompt_text: str
    completion_texts: tuple[str, ...]


@dataclass(frozen=True)
class PreferenceData:
    """Examples of one data set, and the record of where they came from.

    `identity` goes into the run log's header; `template` is the chat template in force, None for
    text.
    """

    examples: tuple[Example, ...]
    paired: bool
    identity: Mapping[str, Any]
    template: str | None


def load_examples(
    data: str,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    *,
    subset: str | None = None,
    split: str | None = None,
    demonstrations: bool = False,
) -> PreferenceData:
    """Return the examples of a file, a folder or a hub data set, ready to be packed.

    Parameters
    ----------
    data, subset, split
        What `trainer.sources.read_source` takes.
    tokenizer
        The model's; conversations need its chat template, texts its end-of-sequence token.
    max_length
        Longest sequence of prompt and completion; the completion's end is cut off [tokens].
    demonstrations
        Whether completions without a label are taken, all as desirable.

    Raises
    ------
    DataError
        When the data cannot be read, fits no format, or holds nothing to train on.
    """
    raw = read_source(data, subset, split)
    found, rows = read_rows(raw, demonstrations)
    template = _chat_template(tokenizer, raw, rows[0])
    counts: Counter[str] = Counter()
    examples = tuple(_examples(raw, rows, tokenizer, max_length, counts))
    dropped = {reason: counts[reason] for reason in DROPPED if counts[reason]}
    if not examples:
        raise _nothing_left(raw, dropped, max_length)
    identity = {
        "source": raw.name,
        "sha256": raw.sha256,
        "format": found.name,
        "conversational": isinstance(rows[0], Conversation),
        "rows": len(rows),
        "kept": len(examples),
        "dropped": dropped,
        "truncated": counts["truncated"],
        "prompts_shortened": counts["prompts_shortened"],
        "max_length": max_length,
        "chat_template_sha256": sha256(template.encode()).hexdigest() if template else None,
    }
    if not found.paired:
        labels = Counter(label for example in examples for label in example.labels)
        # What KTO's two weights must balance.
        identity |= {"desirable": labels[True], "undesirable": labels[False]}
    return PreferenceData(examples, found.paired, identity, template)


def _chat_template(tokenizer: PreTrainedTokenizerBase, raw: RawData, row: Row) -> str | None:
    """Return the template of conversations, None for text; a tokenizer may lack what it takes."""
    if isinstance(row, TextRow):
        if not tokenizer.eos_token:
            raise DataError(
                f"{raw.name} holds text, and the tokenizer has no end-of-sequence token to end a "
                "completion with; set its eos_token."
            )
        return None
    try:
        return str(tokenizer.get_chat_template(None, row.options.get("tools")))
    except ValueError as error:
        raise DataError(
            f"{raw.name} holds conversations, and the tokenizer has no chat template; use the "
            "tokenizer of an instruction-tuned model, or data whose prompts are text."
        ) from error


def _nothing_left(raw: RawData, dropped: Mapping[str, int], max_length: int) -> DataError:
    reasons = ", ".join(f"{count} {DROPPED[reason]}" for reason, count in dropped.items())
    longer = f" or raise max_length ({max_length})" if "prompt_fills_max_length" in dropped else ""
    return DataError(
        f"{raw.name}: none of the {len(raw.rows)} rows can be trained on: {reasons}; "
        f"correct the data{longer}."
    )


# Tokenising


def _examples(
    raw: RawData,
    rows: Sequence[Row],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    counts: Counter[str],
) -> Iterator[Example]:
    """Yield the rows that can be trained on and count the others by reason."""
    # One object per token id: a hundred thousand pairs hold the same few ids in 50 million places.
    ids = list(range(max(tokenizer.get_vocab().values()) + 1))
    usable = []
    for index, row in enumerate(rows):
        reason = _empty(row)
        counts[reason] += bool(reason)
        if not reason:
            usable.append(index)
    # A chat template writes its special tokens itself.
    special = isinstance(rows[0], TextRow)
    for start in range(0, len(usable), CHUNK_ROWS):
        chunk = usable[start : start + CHUNK_ROWS]
        texts = [_checked(raw.place(i), _texts(raw.place(i), rows[i], tokenizer)) for i in chunk]
        tokens = iter(_tokenise([text for row in texts for text in row], tokenizer, special))
        for index, (prompt, *_) in zip(chunk, texts, strict=True):
            row = rows[index]
            prompt_ids = next(tokens)
            sides = [next(tokens) for _ in row.completions]
            cut = _cut(prompt_ids, sides, max_length, counts)
            if cut is not None:
                yield Example(
                    [ids[i] for i in cut[0]],
                    tuple(tuple([ids[i] for i in side]) for side in cut[1]),
                    row.labels,
                    index,
                    prompt,
                    tuple(completion_text(side) for side in row.completions),
                )


def _empty(row: Row) -> str:
    """Return why a row cannot be trained on before it is tokenised, or nothing."""
    if isinstance(row, Conversation) and not row.prompt:
        return "no_prompt"
    if not all(completion_text(side).strip() or _calls(side) for side in row.completions):
        return "empty_completion"
    return ""


def _calls(completion: str | list[Message]) -> bool:
    """Whether a completion without text calls a tool."""
    return not isinstance(completion, str) and any(m.get("tool_calls") for m in completion)


def completion_text(completion: str | Sequence[Message]) -> str:
    r"""Return text as it is, and the contents of messages one below the other.

    Examples
    --------
    >>> completion_text([{"role": "assistant", "content": "Yes."}])
    'Yes.'
    """
    if isinstance(completion, str):
        return completion
    contents = (message["content"] for message in completion)
    return "\n".join(
        content if isinstance(content, str) else "".join(piece["text"] for piece in content)
        for content in contents
    )


def _texts(place: str, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the prompt, and the prompt followed by each completion, as the model reads them."""
    if isinstance(row, TextRow):
        eos = tokenizer.eos_token
        ended = [side if side.endswith(eos) else side + eos for side in row.completions]
        return [row.prompt, *(row.prompt + side for side in ended)]

    def render(messages: list[Message], generate: bool) -> str:
        return str(
            tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=generate, **row.options
            )
        )

    try:
        sides = [render(row.prompt + side, False) for side in row.completions]
        return [render(row.prompt, True), *sides]
    except (TemplateError, TypeError, ValueError) as error:
        raise DataError(
            f"{place}: the tokenizer's chat template refuses the conversation "
            f"({one_line(error)}); correct or remove the row."
        ) from error


def _tokenise(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, special: bool
) -> list[list[int]]:
    options = {
        "add_special_tokens": special,
        "return_attention_mask": False,
        "return_token_type_ids": False,
        "verbose": False,
    }
    return tokenizer(texts, **options)["input_ids"]  # type: ignore[no-any-return]


def _checked(place: str, texts: list[str]) -> list[str]:
    """Return the texts if they can be encoded: JSON may hold half of a surrogate pair."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{place}: holds half of a surrogate pair ({error.object[error.start]!r}), which is no "
            "character; correct or remove the row."
        ) from error
    return texts


def _cut(
    prompt: list[int], sides: Sequence[list[int]], max_length: int, counts: Counter[str]
) -> tuple[list[int], list[list[int]]] | None:
    """Split prompt and completions where they diverge and cut them to length; None when dropped."""
    shared = min(common_prefix_length(prompt, side) for side in sides)
    completions = [side[shared:max_length] for side in sides]
    reason = ""
    if not shared:
        reason = "no_prompt"
    elif shared >= max_length:
        reason = "prompt_fills_max_length"
    elif not all(completions):
        reason = "empty_completion"
    elif len(completions) == 2 and completions[0] == completions[1]:
        reason = "identical_completions"
    if reason:
        counts[reason] += 1
        return None
    counts["prompts_shortened"] += shared < len(prompt)
    counts["truncated"] += any(len(side) > max_length for side in sides)
    return prompt[:shared], completions


def common_prefix_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many leading tokens two sequences share.

    Examples
    --------
    >>> common_prefix_length([5, 6, 7], [5, 6, 8, 9])
    2
    """
    if first == second[: len(first)]:  # Nearly always, and far faster than the loop.
        return len(first)
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )


# Before a tokenizer exists, and after


def raw_texts(
    data: str, subset: str | None = None, split: str | None = None
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield prompt and completions of every row as plain text, to train a tokenizer on.

    Parameters
    ----------
    data, subset, split
        What `trainer.sources.read_source` takes; completions without a label are taken too.
    """
    _, rows = read_rows(read_source(data, subset, split), demonstrations=True)
    for row in rows:
        yield completion_text(row.prompt), tuple(completion_text(s) for s in row.completions)


def documents(
    data: str, subset: str | None = None, split: str | None = None, *, undesirable: bool = False
) -> Iterator[str | list[Message]]:
    """Yield every desirable completion after its prompt, as text or as a conversation.

    Parameters
    ----------
    data, subset, split
        What `trainer.sources.read_source` takes; completions without a label are taken too.
    undesirable
        Whether the other completions are yielded as well.
    """
    _, rows = read_rows(read_source(data, subset, split), demonstrations=True)
    for row in rows:
        # The two kinds of row are added up apart: mypy joins neither text with messages.
        if isinstance(row, TextRow):
            sides: list[str | list[Message]] = [row.prompt + side for side in row.completions]
        else:
            sides = [row.prompt + side for side in row.completions]
        for side, label in zip(sides, row.labels, strict=True):
            if label or undesirable:
                yield side


def split_examples(
    data: PreferenceData, held_out: float, seed: int
) -> tuple[PreferenceData, PreferenceData]:
    """Return a training and a held-out part; no prompt is in both.

    Parameters
    ----------
    held_out
        An int is the number of held-out examples; a float below 1 is their share. Fewer are held
        out where prompts with several examples cannot make up the number.

    Raises
    ------
    DataError
        When nothing would be left on one of the sides.
    """
    total = len(data.examples)
    wanted: float = held_out
    if isinstance(held_out, float) and held_out:
        wanted = max(1, round(held_out * total))
    groups: dict[str, list[Example]] = {}
    for example in data.examples:
        groups.setdefault(example.prompt_text, []).append(example)
    order = list(groups)
    random.Random(seed).shuffle(order)
    chosen: set[str] = set()
    for prompt in order:
        if len(groups[prompt]) <= wanted:
            chosen.add(prompt)
            wanted -= len(groups[prompt])
    kept = tuple(e for e in data.examples if e.prompt_text not in chosen)
    held = tuple(e for e in data.examples if e.prompt_text in chosen)
    if not kept or (held_out and not held):
        raise DataError(
            f"{data.identity['source']}: {total} examples of {len(groups)} prompts cannot be split "
            f"with held_out {held_out}; hold out another number, or give more data."
        )
    return replace(data, examples=kept), replace(data, examples=held)
