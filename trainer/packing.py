"""Examples → one packed row without padding, each prompt stored once for all its completions.

One item lies in the row as [prompt | completion 0 | completion 1 | …]; the positions of every
completion go on from the end of the prompt. Completion 0's queries and keys are the prompt and
itself; a later completion's queries attend to the prompt's keys and its own. Rows are scored
from the token before each completion token, so the last prompt token is scored once for each
completion (arXiv 2410.20305 shares prompts in the same sense).

Shapes: N packed tokens, S query segments (one a completion), K gathered keys, R scored rows,
C completions, I items.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Item:
    """A prompt with one or more completions, as token ids."""

    prompt_ids: Sequence[int]
    completions: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Layout:
    """Which keys each query of the packed row attends to.

    Segment s owns the queries `cu_queries[s]:cu_queries[s+1]` of the row, and its keys are
    `key_index_K[cu_keys[s]:cu_keys[s+1]]`, causal from the bottom right corner.
    """

    cu_queries: tuple[int, ...]
    cu_keys: tuple[int, ...]
    key_index_K: Tensor
    cu_queries_S: Tensor  # int32, on the device of the row
    cu_keys_S: Tensor

    @property
    def max_queries(self) -> int:
        """Length of the longest query segment in tokens."""
        return _longest(self.cu_queries)

    @property
    def max_keys(self) -> int:
        """Length of the longest key segment in tokens."""
        return _longest(self.cu_keys)


@dataclass(frozen=True)
class PackedBatch:
    """One packed row, ready for the model; `completion_R` says which sum each row belongs to.

    Indices below C are completions; C + i is the prompt of item i, present when prompts are
    scored too.
    """

    input_ids_1N: Tensor
    position_ids_1N: Tensor
    layout: Layout
    rows_R: Tensor
    labels_R: Tensor
    completion_R: Tensor
    n_completions: int
    n_items: int
    scored_tokens: tuple[int, ...]  # per completion, then per prompt when prompts are scored

    @property
    def n_tokens(self) -> int:
        """Tokens that the model computes for this batch."""
        return self.input_ids_1N.shape[1]


def pack(
    items: Sequence[Item], device: torch.device | str = "cpu", *, score_prompts: bool = False
) -> PackedBatch:
    """Pack items into one row.

    A completion behind an empty prompt has no token to predict its first token from, so that
    token is context only.

    Raises
    ------
    ValueError
        When a completion has no token that can be scored.

    Examples
    --------
    >>> batch = pack([Item([5, 6], [[7, 8], [9]])])
    >>> batch.input_ids_1N.tolist(), batch.position_ids_1N.tolist()
    ([[5, 6, 7, 8, 9]], [[0, 1, 2, 3, 2]])
    >>> batch.rows_R.tolist(), batch.labels_R.tolist(), batch.completion_R.tolist()
    ([1, 2, 1], [7, 8, 9], [0, 0, 1])
    """
    rows = _Rows()
    n_completions = sum(len(item.completions) for item in items)
    for number, item in enumerate(items):
        rows.add(item, prompt_slot=n_completions + number if score_prompts else None)
    scored = [0] * (n_completions + (len(items) if score_prompts else 0))
    for slot in rows.slots:
        scored[slot] += 1
    if 0 in scored[:n_completions]:
        raise ValueError(f"completion {scored.index(0)} has no token that can be scored")
    return PackedBatch(
        input_ids_1N=torch.tensor([rows.ids], device=device),
        position_ids_1N=torch.tensor([rows.positions], device=device),
        layout=Layout(
            cu_queries=tuple(rows.cu_queries),
            cu_keys=tuple(rows.cu_keys),
            key_index_K=torch.tensor(rows.keys, device=device),
            cu_queries_S=torch.tensor(rows.cu_queries, dtype=torch.int32, device=device),
            cu_keys_S=torch.tensor(rows.cu_keys, dtype=torch.int32, device=device),
        ),
        rows_R=torch.tensor(rows.rows, device=device),
        labels_R=torch.tensor(rows.labels, device=device),
        completion_R=torch.tensor(rows.slots, device=device),
        n_completions=n_completions,
        n_items=len(items),
        scored_tokens=tuple(scored),
    )


class _Rows:
    """The growing lists behind one packed row."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.cu_queries, self.cu_keys = [0], [0]
        self.keys: list[int] = []
        self.rows: list[int] = []
        self.labels: list[int] = []
        self.slots: list[int] = []
        self.n_completions = 0

    def add(self, item: Item, prompt_slot: int | None) -> None:
        start, n_prompt = len(self.ids), len(item.prompt_ids)
        prompt = range(start, start + n_prompt)
        self._extend(item.prompt_ids, 0)
        if prompt_slot is not None:
            self._score(list(prompt)[:-1], item.prompt_ids[1:], prompt_slot)
        for completion in item.completions:
            own = range(len(self.ids), len(self.ids) + len(completion))
            self._extend(completion, n_prompt)
            self.cu_queries.append(len(self.ids))
            self.keys += [*prompt, *own]
            self.cu_keys.append(len(self.keys))
            before = [*prompt[-1:], *own][: len(completion) if n_prompt else -1]
            self._score(before, completion[len(completion) - len(before) :], self.n_completions)
            self.n_completions += 1

    def _extend(self, ids: Sequence[int], first_position: int) -> None:
        self.ids += ids
        self.positions += range(first_position, first_position + len(ids))

    def _score(self, rows: Sequence[int], labels: Sequence[int], slot: int) -> None:
        self.rows += rows
        self.labels += labels
        self.slots += [slot] * len(rows)


def shared_tokens(item: Item) -> int:
    """Return the tokens an item takes in a packed row."""
    return len(item.prompt_ids) + sum(len(completion) for completion in item.completions)


def balance(tokens: Sequence[int], n_parts: int) -> list[list[int]]:
    """Split items into parts of nearly equal tokens, longest first; order within a part is kept.

    Every part receives at least one item when there are enough items.

    Examples
    --------
    >>> balance([10, 1, 1, 8], 2)
    [[0], [1, 2, 3]]
    """
    if n_parts == 1:
        return [list(range(len(tokens)))]
    parts: list[list[int]] = [[] for _ in range(n_parts)]
    loads = [0] * n_parts
    for index in sorted(range(len(tokens)), key=lambda i: -tokens[i]):
        lightest = min(range(n_parts), key=lambda part: (loads[part], part))
        parts[lightest].append(index)
        loads[lightest] += tokens[index]
    return [sorted(part) for part in parts]


def _longest(bounds: Sequence[int]) -> int:
    return max(after - before for before, after in itertools.pairwise(bounds))
