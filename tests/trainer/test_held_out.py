"""Examples → a training and a held-out part that share no prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data import Example, PreferenceData, split_examples
from trainer.errors import DataError


def preference_data(prompts: list[int]) -> PreferenceData:
    examples = tuple(
        Example([prompt], ((1,), (2,)), (True, False), index, f"prompt {prompt}", ("a", "b"))
        for index, prompt in enumerate(prompts)
    )
    return PreferenceData(examples, True, {"source": "data"}, None)


@given(
    prompts=st.lists(st.integers(0, 8), min_size=2, max_size=30),
    held_out=st.integers(1, 8) | st.floats(0.05, 0.5),
    seed=st.integers(0, 3),
)
def test_a_split_shares_no_prompt_loses_nothing_and_repeats_itself(
    prompts: list[int], held_out: float, seed: int
) -> None:
    data = preference_data(prompts)
    try:
        train, held = split_examples(data, held_out, seed)
    except DataError:
        return

    assert not {e.prompt_text for e in train.examples} & {e.prompt_text for e in held.examples}
    wanted = held_out if isinstance(held_out, int) else max(1, round(held_out * len(prompts)))
    assert 1 <= len(held.examples) <= wanted
    merged = sorted((*train.examples, *held.examples), key=lambda e: e.index)
    assert tuple(merged) == data.examples
    assert [e.index for e in held.examples] == sorted(e.index for e in held.examples)
    assert split_examples(data, held_out, seed) == (train, held)


def test_a_split_has_the_size_that_was_asked_for_and_follows_the_seed() -> None:
    data = preference_data(list(range(300)))

    held = [{e.index for e in split_examples(data, 0.1, seed)[1].examples} for seed in (0, 1)]

    assert [len(indices) for indices in held] == [30, 30]
    assert held[0] != held[1]
    assert len(split_examples(data, 7, 0)[1].examples) == 7
    assert len(split_examples(preference_data([1, 2, 3]), 0.1, 0)[1].examples) == 1


def test_no_held_out_part_is_given_where_none_is_wanted() -> None:
    data = preference_data([1, 2])

    assert split_examples(data, 0.0, 0) == (data, PreferenceData((), True, data.identity, None))


@pytest.mark.parametrize(("prompts", "held_out"), [([1, 1, 1], 0.4), ([1, 2], 2)])
def test_a_split_that_would_leave_a_side_empty_is_refused(
    prompts: list[int], held_out: float
) -> None:
    with pytest.raises(DataError, match=r"data: . examples of . prompts cannot be split with held"):
        split_examples(preference_data(prompts), held_out, 0)
