"""Our token ids are those that TRL's trainers train on, collated and truncated by TRL itself."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tokenizers import processors
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from tests.conftest import Need
from trainer.data import Example, load_examples
from trainer.tiny import train_tokenizer

pytestmark = [
    pytest.mark.parity,
    # TRL asks transformers for a name that the latter is about to drop.
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
]

TRL_IS_INSTALLED = find_spec("trl") is not None
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
TEXTS = [
    "The sky is blue and the grass is green, as bees know.",
    "Was ist grün? Die Wiese! 草是绿的。",
]


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


ASKED = [said("system", "Be kind."), said("user", "What is green?")]
PAIRS: dict[str, list[dict[str, Any]]] = {
    "text": [
        {"prompt": "The sky is", "chosen": " blue.", "rejected": " green, as bees know.<|im_end|>"},
        {"prompt": "The gra", "chosen": "ss is green.", "rejected": " is blue"},  # merges
        {"prompt": "Was ist grün? ", "chosen": "Die Wiese!", "rejected": "草是绿的。" * 60},
        {"prompt": "The sky is blue. " * 80, "chosen": "a", "rejected": "b"},  # fills max_length
    ],
    "implicit text": [
        {"chosen": "Was ist grün? Die Wiese!", "rejected": "Was ist grün? Das Meer!"},
        {"chosen": "The sky is", "rejected": "The sky is blue."},
    ],
    "conversations": [
        {"prompt": ASKED, "chosen": [said("assistant", "Grass.")],
         "rejected": [said("assistant", "The sky." * 80)]},
        {"prompt": [*ASKED, said("assistant", "Grass."), said("user", "草?")],
         "chosen": [said("assistant", "是"), said("user", "Yes?"), said("assistant", "Yes.")],
         "rejected": [said("assistant", "!")]},
    ],
    "implicit conversations": [
        {"chosen": [*ASKED, said("assistant", "Grass.")],
         "rejected": [*ASKED, said("assistant", "Sky.")]},
    ],
    "conversations with tools": [
        {"prompt": ASKED, "chosen": [said("assistant", "Grass.")],
         "rejected": [said("assistant", "Sky.")], "tools": json.dumps(TOOLS)},
    ],
}  # fmt: skip
LABELLED: dict[str, list[dict[str, Any]]] = {
    "text": [
        {"prompt": "The sky is", "completion": " blue.", "label": True},
        {"prompt": "The gra", "completion": "ss is green." * 80, "label": False},
    ],
    "conversations": [
        {"prompt": ASKED, "completion": [said("assistant", "Grass.")], "label": True},
        {"prompt": ASKED, "completion": [said("assistant", "Sky.")], "label": False},
    ],
}
MAX_LENGTH = 160

# The last answer is rendered with an empty thought that the generation prompt lacks, as in Qwen3.
THINKING = (
    "{%- if tools %}{{ tools | tojson }}{% endif %}"
    "{%- for m in messages %}<|im_start|>{{ m.role }}\n"
    "{%- if loop.last and m.role == 'assistant' %}<think></think>{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n<think>{% endif %}"
)


def plain() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS * 3, 420)


def thinking() -> PreTrainedTokenizerFast:
    tokenizer = plain()
    tokenizer.chat_template = THINKING
    return tokenizer


def with_start_token() -> PreTrainedTokenizerFast:
    """A tokenizer that writes a start and an end token around text, as Llama's can."""
    tokenizer = plain()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", 1), ("<|im_end|>", 2)]
    )
    return tokenizer


TOKENIZERS = {"plain": plain, "thinking": thinking, "start token": with_start_token}


def trl_sequences(
    kind: str, rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerFast, folder: Path
) -> list[tuple[list[int], list[int]]]:
    """Return TRL's training sequences in order, chosen before rejected: ids and completion mask."""
    import trl
    from datasets import Dataset

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
             "num_attention_heads": 1, "num_key_value_heads": 1}  # fmt: skip
    config = Qwen2Config(vocab_size=len(tokenizer), **sizes)
    settings = getattr(trl, f"{kind}Config")(
        output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, max_length=MAX_LENGTH
    )
    job = getattr(trl, f"{kind}Trainer")(
        Qwen2ForCausalLM(config),
        ref_model=Qwen2ForCausalLM(config),
        args=settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    sequences = []
    for row in job.train_dataset:
        batch = job.data_collator([row])
        for ids, scored, attended in zip(
            batch["input_ids"], batch["completion_mask"], batch["attention_mask"], strict=True
        ):
            length = int(attended.sum())
            sequences.append((ids[:length].tolist(), scored[:length].tolist()))
    return sequences


def our_sequences(examples: tuple[Example, ...]) -> list[tuple[list[int], list[int]]]:
    return [
        (
            [*example.prompt_ids, *completion],
            [0] * len(example.prompt_ids) + [1] * len(completion),
        )
        for example in examples
        for completion in example.completions
    ]


@pytest.mark.parametrize("tokenizer_name", TOKENIZERS)
@pytest.mark.parametrize("shape", PAIRS)
def test_pairs_have_the_token_ids_of_dpo_trainer(
    need: Need, tmp_path: Path, shape: str, tokenizer_name: str
) -> None:
    need(TRL_IS_INSTALLED, "trl is not installed")
    tokenizer = TOKENIZERS[tokenizer_name]()
    (tmp_path / "pairs.json").write_text(json.dumps(PAIRS[shape]))

    data = load_examples(str(tmp_path / "pairs.json"), tokenizer, MAX_LENGTH)

    theirs = trl_sequences("DPO", PAIRS[shape], tokenizer, tmp_path)
    assert our_sequences(data.examples) == theirs
    assert len(theirs) == 2 * (len(PAIRS[shape]) - (shape == "text"))


@pytest.mark.parametrize("tokenizer_name", TOKENIZERS)
@pytest.mark.parametrize("shape", LABELLED)
def test_labelled_completions_have_the_token_ids_of_kto_trainer(
    need: Need, tmp_path: Path, shape: str, tokenizer_name: str
) -> None:
    need(TRL_IS_INSTALLED, "trl is not installed")
    tokenizer = TOKENIZERS[tokenizer_name]()
    (tmp_path / "labels.json").write_text(json.dumps(LABELLED[shape]))

    data = load_examples(str(tmp_path / "labels.json"), tokenizer, MAX_LENGTH)

    assert our_sequences(data.examples) == trl_sequences(
        "KTO", LABELLED[shape], tokenizer, tmp_path
    )
