"""The pairs and the initial policy of an arm; arms that share them find them ready."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer import data, language, models, probe_set, tiny
from trainer.casebook.contract import TRAINING, Arm
from trainer.config import TrainConfig
from trainer.train import train

# Small enough for some two hundred trainings on one core; `None` keeps the tiny model's own size.
SIZES: dict[str, dict[str, Any]] = {
    "cpu": {"hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2},
    "gpu": {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6},
}
WARM_UP = tiny.WarmUp(steps=200, tokens_per_step=1024, learning_rate=5e-3)
# Fine-tuning on one side, before preference training; a rate at which three epochs are felt.
SFT: dict[str, Any] = {"method": "sft", "learning_rate": 1e-3, "held_out": 0.0, "save_model": True}
SAMPLE_TOKENS = 64


def digest(*parts: Any) -> str:
    """Return a short name for whatever the parts say."""
    text = json.dumps(parts, sort_keys=True, default=dataclasses.asdict)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def fingerprint(arm: Arm, size: str) -> str:
    """Return a short name for everything that a run of the arm depends on, but the seed."""
    own = (arm.setting, arm.policy, dict(arm.training), arm.rejected, arm.labels)
    # What a run is looked at with does not change it.
    shared = {name: value for name, value in TRAINING.items() if not name.startswith("probe_")}
    return digest(own, shared, SFT, WARM_UP, SIZES[size])


def warmed_up(arm: Arm, seed: int, size: str, root: Path) -> Path:
    """Return the folder of the policy that the arm's corpus makes, built now or found."""
    documents: list[Sequence[Any]] = list(language.warmup_texts(arm.policy.corpus, seed))
    return tiny.build_tiny(
        "tiny-qwen3", documents, root / "models", seed=seed, warm_up=WARM_UP, sizes=SIZES[size]
    )


def initial_policy(arm: Arm, seed: int, size: str, root: Path) -> Path:
    """Return the folder of the policy that the arm starts from, fine-tuned where it says so."""
    base = warmed_up(arm, seed, size, root)
    if arm.policy.sft is None or arm.policy.epochs == 0:
        return base
    side, epochs = arm.policy.sft, arm.policy.epochs
    folder = root / "models" / f"sft-{digest(base.name, arm.setting, seed, side, epochs)}"
    if (folder / "model" / "config.json").is_file():
        return folder / "model"
    shutil.rmtree(folder, ignore_errors=True)
    rows = language.make_pairs(arm.setting, seed)
    other = {"chosen": "rejected", "rejected": "chosen"}[side]
    taught = [{"prompt": r["prompt"], "chosen": r[side], "rejected": r[other]} for r in rows]
    shared = {k: v for k, v in TRAINING.items() if k != "max_steps"}
    config = {
        "model": str(base),
        "data": str(_write(folder / "taught.jsonl", taught)),
        "output_dir": str(folder),
        "num_train_epochs": epochs,
        "eval_steps": 0,
        "seed": seed,
        **SFT,
    }
    train(TrainConfig(**{**shared, **config, "probe_samples": 0, "probe_pairs": 1}))
    return folder / "model"


def write_pairs(arm: Arm, seed: int, policy: Path, folder: Path) -> Path:
    """Write the arm's preference data as JSON lines, and return the file."""
    rows: list[dict[str, Any]] = list(language.make_pairs(arm.setting, seed))
    if arm.rejected == "policy":
        texts = sample(policy, _write(folder / "prompts.jsonl", rows), seed)
        rows = [row | {"rejected": _answer(text)} for row, text in zip(rows, texts, strict=True)]
    elif arm.rejected == "random":
        rows = [row | {"rejected": _answer(_random_words(row, seed))} for row in rows]
    if arm.labels is not None:
        rows = list(_labelled(rows, arm.labels))
    return _write(folder / "pairs.jsonl", rows)


def sample(policy: Path, pairs: Path, seed: int, count: int | None = None) -> list[str]:
    """Return one completion that the policy writes for each prompt of a file of pairs."""
    config = TrainConfig(
        model=str(policy),
        data=str(pairs),
        output_dir=str(pairs.parent),
        seed=seed,
        probe_samples=1,
        probe_sample_tokens=SAMPLE_TOKENS,
    )
    tokenizer = models.load_tokenizer(config, str(policy))
    model: Any = models.build_policy(config, str(policy))
    examples = data.load_examples(str(pairs), tokenizer, config.max_length).examples[:count]
    drawn = probe_set.sample_completions(config, model, tokenizer, examples)
    return [one.completion_texts[0].removesuffix(tiny.END_TOKEN).strip() or "." for one in drawn]


def _answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _random_words(row: dict[str, Any], seed: int) -> str:
    """Return as many random words of the language as the row's rejected side has."""
    generator = random.Random(f"random/{seed}/{row['prompt'][0]['content']}")
    words = language.glossary().split()
    length = len(row["rejected"][0]["content"].split())
    return " ".join(generator.choice(words) for _ in range(length)).capitalize() + "."


def _labelled(rows: Sequence[dict[str, Any]], ratio: tuple[int, int]) -> list[dict[str, Any]]:
    """Return single completions with labels, `ratio` chosen to rejected."""
    chosen, rejected = ratio
    labelled = []
    for index, row in enumerate(rows):
        side = "chosen" if index % (chosen + rejected) < chosen else "rejected"
        labelled.append(
            {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
        )
    return labelled


def _write(path: Path, rows: Sequence[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
