"""What both sides of the comparison share: the model, the tokenizer, the data and the cases.

Everything is made from Python's own generator, whose stream is the same on every machine and in
every version, so that a recording stays valid where torch changes its initialisation.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STEPS = 20
BATCH = 4
LEARNING_RATE = 1e-3
MAX_LENGTH = 128
SIDES = ("chosen", "rejected")

WORDS = (
    *("red", "green", "blue", "tall", "small", "cat", "dog", "bird"),
    *("sings", "jumps", "sleeps", "under", "over", "behind", "the", "a"),
)


@dataclass(frozen=True)
class Case:
    """One training, as TRL and as ours spell it.

    `trl` holds settings of the trainer class `trainer`; `ours` holds settings of `TrainConfig`.
    `family` says how TRL's metric names translate, see `parity_metrics`.
    """

    name: str
    trainer: str
    trl: dict[str, Any]
    ours: dict[str, Any]
    family: str = "reference"
    data: str = field(default="pairs")


# TRL's loss_type, our method, and settings that both call the same.
_DPO_LOSSES: tuple[tuple[str, str, dict[str, float]], ...] = (
    ("sigmoid", "dpo", {}),
    ("hinge", "hinge", {}),
    ("ipo", "ipo", {}),
    ("exo_pair", "exo_pair", {"label_smoothing": 0.01}),
    ("nca_pair", "nca_pair", {}),
    ("robust", "robust", {"label_smoothing": 0.1}),
    ("bco_pair", "bco_pair", {}),
    ("sppo_hard", "sppo_hard", {}),
    ("aot", "aot", {"label_smoothing": 0.1}),
    ("aot_unpaired", "aot_unpaired", {"label_smoothing": 0.1}),
    ("apo_zero", "apo_zero", {}),
    ("apo_down", "apo_down", {}),
    ("discopop", "discopop", {}),
    ("sigmoid_norm", "sigmoid_norm", {"beta": 2.0}),
)


def _dpo_cases() -> list[Case]:
    cases = []
    for loss_type, method, given in _DPO_LOSSES:
        shared = {"beta": 0.1} | given
        ours = shared | {"method": method, "sft_weight": 0.0}
        name = f"dpo-{loss_type}"
        cases.append(Case(name, "DPOTrainer", shared | {"loss_type": [loss_type]}, ours))
        both = {"loss_type": [loss_type, "sft"], "loss_weights": [1.0, 0.5]}
        cases.append(Case(f"{name}-sft", "DPOTrainer", shared | both, ours | {"sft_weight": 0.5}))
    sft = Case(
        "dpo-only-sft",
        "DPOTrainer",
        {"beta": 0.1, "loss_type": ["sft"]},
        {"method": "sft"},
        family="sft",
    )
    return [*cases, sft]


def _kto_cases() -> list[Case]:
    weights = {"desirable_weight": 1.5, "undesirable_weight": 0.8}
    return [
        Case(
            name,
            "KTOTrainer",
            {"beta": 0.1} | given,
            {"method": "kto", "beta": 0.1} | given,
            family="kto",
            data="labels",
        )
        for name, given in (("kto", {}), ("kto-weights", weights))
    ]


def _reference_free_cases() -> list[Case]:
    orpo = Case(
        "orpo",
        "ORPOTrainer",
        {"beta": 0.25},
        {"method": "orpo", "beta": 0.25, "sft_scope": "prompt_and_completion"},
        family="orpo",
    )
    cases = [orpo]
    for alpha in (0.0, 1.0):
        for loss_type, method, given, extra in (
            ("sigmoid", "cpo", {"beta": 0.1, "label_smoothing": 0.1}, {}),
            ("simpo", "simpo", {"beta": 2.0}, {"simpo_gamma": 0.7}),
        ):
            both = given | extra
            cases.append(
                Case(
                    f"cpo-{loss_type}-alpha-{alpha:.0f}",
                    "CPOTrainer",
                    both | {"loss_type": loss_type, "cpo_alpha": alpha},
                    both | {"method": method, "sft_weight": alpha},
                    family=method,
                )
            )
    return cases


CASES = {case.name: case for case in (*_dpo_cases(), *_kto_cases(), *_reference_free_cases())}


def _sentence(draw: random.Random, longest: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, longest)))


def rows(kind: str) -> list[dict[str, Any]]:
    """Return forty rows of plain text: "pairs", or "labels" for single completions."""
    draw = random.Random(f"parity-{kind}")
    found = []
    for number in range(40):
        prompt = f"{number} {_sentence(draw, 3)}:"
        if kind == "pairs":
            sides = {"chosen": " " + _sentence(draw, 4), "rejected": " " + _sentence(draw, 6)}
            found.append({"prompt": prompt, **sides})
        else:
            completion = " " + _sentence(draw, 4)
            found.append({"prompt": prompt, "completion": completion, "label": draw.random() < 0.6})
    return found


def write_setting(folder: Path) -> None:
    """Write the model with its tokenizer to `folder/model`, the data to `folder/<kind>.jsonl`."""
    for kind in ("pairs", "labels"):
        lines = [json.dumps(row) + "\n" for row in rows(kind)]
        (folder / f"{kind}.jsonl").write_text("".join(lines), encoding="utf-8")
    _tokenizer().save_pretrained(folder / "model")
    _model().save_pretrained(folder / "model")


def _tokenizer() -> Any:
    """Return a tokenizer of single bytes: no merge can cross from prompt to completion."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = ["<pad>", "<end>"]
    vocabulary = {token: number for number, token in enumerate(specials + letters)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>")


def _model() -> Any:
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=258,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            eos_token_id=1,
            pad_token_id=0,
        )
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.fill_(1.0)
            else:
                draw = random.Random(f"parity-{name}")
                values = [draw.uniform(-0.3, 0.3) for _ in range(weight.numel())]
                weight.copy_(torch.tensor(values).view_as(weight))
    return model


def our_settings(case: Case, setting: Path, output: Path, **changes: Any) -> dict[str, Any]:
    """Return the settings with which our trainer does what TRL does on a case."""
    settings = {
        "model": str(setting / "model"),
        "data": str(setting / f"{case.data}.jsonl"),
        "output_dir": str(output),
        "max_steps": STEPS,
        "per_device_train_batch_size": BATCH,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "max_length": MAX_LENGTH,
        "held_out": 0.0,
        "shuffle": False,
        "eval_steps": 0,
        "save_steps": 0,
        "save_model": False,
        "log_pairs": False,
        "probe_pairs": 1,
        "probe_samples": 0,
        "use_cpu": True,
    }
    return {**settings, **case.ours, **changes}
