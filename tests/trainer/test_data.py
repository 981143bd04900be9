"""Rows → token ids, with everything that is dropped counted."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from trainer.data import (
    documents,
    load_examples,
    raw_texts,
)
from trainer.errors import DataError
from trainer.tiny import CHAT_TEMPLATE, train_tokenizer

TEXTS = ["The sky is blue and the grass is green.", "Bees make honey.", "What do bees make?"]


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS * 2, 400)


def write(folder: Path, *rows: dict[str, Any]) -> str:
    path = folder / "pairs.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return str(path)


def pair(prompt: str = "The sky is", chosen: str = " blue.", rejected: str = " green.") -> Any:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_text_is_concatenated_and_ended(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    data = load_examples(write(tmp_path, pair(rejected=" green.<|im_end|>")), tokenizer, 64)

    (example,) = data.examples
    assert data.paired
    assert data.template is None
    assert example.labels == (True, False)
    assert tokenizer.decode(example.prompt_ids) == example.prompt_text == "The sky is"
    assert [tokenizer.decode(side) for side in example.completions] == [
        " blue.<|im_end|>",
        " green.<|im_end|>",
    ]
    assert example.completion_texts == (" blue.", " green.<|im_end|>")


def test_a_conversation_goes_through_the_chat_template(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    row = {
        "prompt": [said("user", "What do bees make?")],
        "chosen": [said("assistant", "Honey.")],
        "rejected": [said("assistant", "Milk.")],
    }

    data = load_examples(write(tmp_path, row), tokenizer, 64)

    (example,) = data.examples
    assert example.prompt_text == (
        "<|im_start|>user\nWhat do bees make?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.decode(example.prompt_ids) == example.prompt_text
    assert tokenizer.decode(example.completions[1]) == "Milk.<|im_end|>\n"
    assert example.completion_texts == ("Honey.", "Milk.")
    assert data.template == CHAT_TEMPLATE
    assert (
        data.identity["chat_template_sha256"] == hashlib.sha256(CHAT_TEMPLATE.encode()).hexdigest()
    )


def test_only_text_gets_the_special_tokens_that_the_tokenizer_adds(
    root: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )

    text = load_examples(write(tmp_path, pair(), pair(prompt="")), tokenizer, 64)
    conversations = load_examples(str(root / "tests/data/pairs/kto.json"), tokenizer, 64)

    assert tokenizer.decode(text.examples[0].prompt_ids) == "<|endoftext|>The sky is"
    assert text.examples[1].prompt_ids == [0]
    assert tokenizer.decode(conversations.examples[0].prompt_ids).startswith("<|im_start|>user")


def test_tools_reach_the_template(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = "{{ tools[0]['name'] if tools else '' }}" + CHAT_TEMPLATE
    row = {"prompt": [said("user", "Q")], "chosen": "A", "rejected": "B"}

    data = load_examples(write(tmp_path, row | {"tools": [{"name": "find"}]}, row), tokenizer, 64)

    assert [e.prompt_text[:4] for e in data.examples] == ["find", "<|im"]


def test_an_unpaired_example_has_one_completion_and_its_label(
    root: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    data = load_examples(str(root / "tests/data/pairs/kto.json"), tokenizer, 64)

    assert not data.paired
    assert [example.labels for example in data.examples] == [(True,), (False,)]
    assert [len(example.completions) for example in data.examples] == [1, 1]
    assert (data.identity["desirable"], data.identity["undesirable"]) == (1, 1)


def test_the_prompt_ends_where_the_tokenised_sequences_diverge(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    # "ab" is one token, so the prompt's last token is another one before " b" than before "b".
    tokenizer.add_tokens(["ab"])
    data = load_examples(write(tmp_path, pair("sky a", "b", " b")), tokenizer, 64)

    (example,) = data.examples
    assert tokenizer.decode(example.prompt_ids) == "sky "
    assert [tokenizer.decode(c) for c in example.completions] == ["ab<|im_end|>", "a b<|im_end|>"]
    assert data.identity["prompts_shortened"] == 1


def test_a_sequence_is_cut_at_its_end(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    path = write(tmp_path, pair(rejected=" green, green, green."))
    (whole,) = load_examples(path, tokenizer, 64).examples
    limit = len(whole.prompt_ids) + len(whole.completions[0])

    data = load_examples(path, tokenizer, limit)

    (cut,) = data.examples
    assert cut.prompt_ids == whole.prompt_ids
    assert cut.completions[0] == whole.completions[0]
    assert cut.completions[1] == whole.completions[1][: len(whole.completions[0])]
    assert data.identity["truncated"] == 1
    longest = len(whole.prompt_ids) + len(whole.completions[1])
    just_enough = load_examples(path, tokenizer, longest)
    assert just_enough.examples == (whole,)
    assert just_enough.identity["truncated"] == 0


def test_what_cannot_be_trained_on_is_dropped_and_counted_by_reason(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    path = write(
        tmp_path,
        pair(),
        pair(prompt="The sky is " * 20),
        pair(chosen=" \n"),
        pair(rejected=None),
        pair(rejected=" blue."),
        # Equal once cut at 40 tokens.
        pair(chosen=" the grass is green" * 20, rejected=" the grass is green" * 30),
        pair(prompt=""),
    )

    data = load_examples(path, tokenizer, 40)

    assert [example.index for example in data.examples] == [0]
    assert data.identity["rows"] == 7
    assert data.identity["kept"] == 1
    assert data.identity["dropped"] == {
        "no_prompt": 1,
        "empty_completion": 2,
        "prompt_fills_max_length": 1,
        "identical_completions": 2,
    }


def test_a_completion_that_the_template_leaves_out_is_empty(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    row = {"prompt": [said("user", "Q")], "chosen": "A", "rejected": "B"}

    with pytest.raises(DataError, match="of the 1 rows can be trained on: 1 have an empty compl"):
        load_examples(write(tmp_path, row), tokenizer, 64)


def test_a_prompt_that_leaves_one_token_is_kept(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    path = write(tmp_path, pair())
    prompt = len(load_examples(path, tokenizer, 64).examples[0].prompt_ids)

    (example,) = load_examples(path, tokenizer, prompt + 1).examples

    assert [len(completion) for completion in example.completions] == [1, 1]
    with pytest.raises(DataError, match="1 have a prompt that alone fills max_length; correct"):
        load_examples(path, tokenizer, prompt)


def test_a_tool_call_is_no_empty_completion(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer.chat_template = CHAT_TEMPLATE.replace(
        "message['content'] + ", "message['content'] + (message['tool_calls'] | default('')) + "
    )
    call = {"role": "assistant", "content": None, "tool_calls": "f()"}
    row = {"prompt": [said("user", "Q")], "chosen": [call], "rejected": [said("assistant", "No")]}

    (example,) = load_examples(write(tmp_path, row), tokenizer, 64).examples

    assert tokenizer.decode(example.completions[0]) == "f()<|im_end|>\n"


def test_index_counts_the_rows_of_the_data_not_the_examples(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = [pair(chosen=""), *(pair(prompt=f"The sky {i}") for i in range(2100))]

    data = load_examples(write(tmp_path, *rows), tokenizer, 64)

    assert [example.index for example in data.examples] == list(range(1, 2101))
    assert data.examples[-1].prompt_text == "The sky 2099"
    assert tokenizer.decode(data.examples[-1].prompt_ids) == "The sky 2099"


def test_the_identity_can_be_written_to_a_header(
    root: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    path = root / "tests" / "data" / "pairs" / "text.jsonl"

    identity = load_examples(str(path), tokenizer, 64).identity

    assert json.loads(json.dumps(identity)) == {
        "source": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "format": "prompt, chosen and rejected",
        "conversational": False,
        "rows": 3,
        "kept": 3,
        "dropped": {},
        "truncated": 0,
        "prompts_shortened": 0,
        "max_length": 64,
        "chat_template_sha256": None,
    }


@pytest.mark.parametrize("name", ["dpo_en_demo.json", "dpo_zh_demo.json", "kto_en_demo.json"])
def test_real_data_is_read_whole(
    real_pairs: Path, tokenizer: PreTrainedTokenizerFast, name: str
) -> None:
    raw = json.loads((real_pairs / name).read_text(encoding="utf-8"))

    data = load_examples(str(real_pairs / name), tokenizer, 100_000)

    assert len(data.examples) == data.identity["rows"] == len(raw) == 300
    if data.paired:
        assert [e.completion_texts for e in data.examples] == [
            (row["chosen"]["value"], row["rejected"]["value"]) for row in raw
        ]
    else:
        assert [e.labels for e in data.examples] == [(row["label"],) for row in raw]
        assert [e.completion_texts[0] for e in data.examples] == [
            row["messages"][-1]["content"] for row in raw
        ]
    for example, (prompt, completions) in zip(
        data.examples, raw_texts(str(real_pairs / name)), strict=True
    ):
        assert completions == example.completion_texts
        assert prompt.split("\n")[0] in tokenizer.decode(example.prompt_ids)


# Refusals


@pytest.mark.parametrize(
    ("rows", "said_so"),
    [
        (
            [pair(chosen=""), pair(prompt="The sky is " * 50)],
            r"none of the 2 rows can be trained on: 1 have an empty completion, 1 have a prompt "
            r"that alone fills max_length; correct the data or raise max_length \(64\)\.",
        ),
        (
            [pair(chosen="")],
            r"none of the 1 rows .*: 1 have an empty completion; correct the data\.",
        ),
        ([pair(), pair(chosen=" \ud83d")], r"pairs\.json, row 2: holds half of a surrogate pair"),
    ],
)
def test_data_with_nothing_to_train_on_says_why(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, rows: list[Any], said_so: str
) -> None:
    with pytest.raises(DataError, match=said_so):
        load_examples(write(tmp_path, *rows), tokenizer, 64)


def test_conversations_need_a_chat_template(root: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = None

    with pytest.raises(DataError, match="holds conversations, and the tokenizer has no chat templ"):
        load_examples(str(root / "tests/data/pairs/alpaca.json"), tokenizer, 64)


def test_text_needs_an_end_of_sequence_token(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer.eos_token = None

    with pytest.raises(DataError, match="the tokenizer has no end-of-sequence token"):
        load_examples(write(tmp_path, pair()), tokenizer, 64)


def test_a_conversation_that_the_template_refuses_is_named(
    root: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system role') }}{% endif %}"
    )

    with pytest.raises(DataError, match=r"alpaca\.json, row 1: .* refuses .*\(No system role\)"):
        load_examples(str(root / "tests/data/pairs/alpaca.json"), tokenizer, 64)


# Texts before a tokenizer exists


def test_raw_texts_are_the_contents_of_messages(root: Path) -> None:
    assert list(raw_texts(str(root / "tests/data/pairs/sharegpt.json"))) == [
        ("Be kind.\nWhat do bees make?", ("Bees make honey.", "Bees make milk.")),
        ("Say hello.\nHello.\nIn French?", ("Bonjour.", "Hola.")),
    ]


def test_raw_texts_of_completions_without_labels_are_read_too(tmp_path: Path) -> None:
    path = write(tmp_path, {"instruction": "Q", "input": "x", "output": "A"})

    assert list(raw_texts(path)) == [("Q\nx", ("A",))]


def test_documents_are_the_desirable_completions_after_their_prompts(root: Path) -> None:
    folder = root / "tests" / "data" / "pairs"

    assert next(documents(str(folder / "text.jsonl"))) == "The sky is blue."
    assert list(documents(str(folder / "kto.json"))) == [
        [said("user", "Is ice cold?"), said("assistant", "Yes, ice is cold.")]
    ]
    assert list(documents(str(folder / "text.jsonl"), undesirable=True))[:2] == [
        "The sky is blue.",
        "The sky is green.",
    ]


def test_demonstrations_are_loaded_where_they_are_asked_for(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    path = write(tmp_path, {"prompt": "The sky is", "completion": " blue."})

    (example,) = load_examples(path, tokenizer, 64, demonstrations=True).examples

    assert example.labels == (True,)
    with pytest.raises(DataError, match="'label' missing"):
        load_examples(path, tokenizer, 64)
