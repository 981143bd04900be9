"""A random Qwen3 small enough for fractions of a second, its tokenizer, and pairs to train on."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from trainer import tiny
from trainer.config import TrainConfig

WORDS = ("red", "green", "blue", "cat", "dog", "bird", "sings", "jumps", "under", "the", "tall")


def sentence(draw: random.Random, longest: int = 9) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, longest)))


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    draw = random.Random(0)
    return tiny.train_tokenizer([sentence(draw) for _ in range(200)], 320)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer) -> Path:
    """A saved checkpoint of 50 thousand random weights."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tiny_tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pairs of ragged lengths as plain text."""
    draw = random.Random(1)
    rows = [
        {
            "prompt": f"{number} {sentence(draw)}: ",
            "chosen": sentence(draw),
            "rejected": sentence(draw) + " red",
        }
        for number in range(40)
    ]
    return write_rows(tmp_path_factory.mktemp("data") / "pairs.jsonl", rows)


@pytest.fixture(scope="session")
def labels_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty single completions with a label."""
    draw = random.Random(2)
    rows = [
        {
            "prompt": f"{number} {sentence(draw)}: ",
            "completion": sentence(draw),
            "label": draw.random() < 0.5,
        }
        for number in range(40)
    ]
    return write_rows(tmp_path_factory.mktemp("data") / "labels.jsonl", rows)


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def settings(tiny_model: Path, pairs_file: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """Build the settings of a short CPU training; keywords override."""

    def build(**given: object) -> TrainConfig:
        default = {
            "model": str(tiny_model),
            "data": str(pairs_file),
            "output_dir": str(tmp_path / "run"),
            "learning_rate": 1e-3,
            "lr_scheduler_type": "constant",
            "max_steps": 4,
            "per_device_train_batch_size": 8,
            "eval_steps": 0,
            "save_steps": 0,
            "probe_pairs": 4,
            "probe_sample_tokens": 8,
            "probe_entanglement_pairs": 2,
            "probe_token_pairs": 2,
            "probe_family_prompts": 2,
            "probe_virtual_steps": 0,
            "use_cpu": True,
            "save_model": False,
        }
        return TrainConfig(**{**default, **given})  # type: ignore[arg-type]

    return build
