"""Choosing the fixed probe set, drawing the reference samples, and keeping both in the run."""

from __future__ import annotations

import dataclasses
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from trainer.config import TrainConfig
from trainer.data import Example
from trainer.errors import DataError
from trainer.probes import families
from trainer.probes.contract import ProbeSet

FILE_NAME = "probe_set.json"
_PROMPTS_AT_ONCE = 32


def build(
    config: TrainConfig,
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Example],
    held_out: Sequence[Example],
) -> ProbeSet:
    """Choose the probe pairs by the seed and sample from the policy, still the initial one."""
    draw = random.Random(f"{config.seed}-probe")

    def choose(examples: Sequence[Example]) -> tuple[Example, ...]:
        count = min(config.probe_pairs, len(examples))
        return tuple(examples[i] for i in sorted(draw.sample(range(len(examples)), count)))

    chosen = choose(train)
    samples = []
    if config.probe_samples > 0:
        # A fresh adapter changes nothing yet, so the model inside LoRA is the initial policy too.
        inner: Any = policy.get_base_model() if hasattr(policy, "get_base_model") else policy
        samples = sample_completions(config, inner, tokenizer, chosen)
    special = set(tokenizer.added_tokens_decoder)
    ordinary = [token for token in range(len(tokenizer)) if token not in special]
    ends = (tokenizer.eos_token_id,)
    first = chosen[: config.probe_family_prompts]
    return ProbeSet(
        chosen,
        choose(held_out),
        tuple(samples),
        families=families.make(first, ordinary, ends, config.seed),
        end_ids=ends,
        template_ids=tuple(sorted(special.difference(ends))),
        template_block=_template_block(tokenizer),
    )


# What the templates of reasoning models write before an answer without reasoning (Qwen3's own).
EMPTY_THINK_BLOCK = "<think>\n\n</think>\n\n"


def _template_block(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the empty think block, or nothing where `<think>` is no token of the tokenizer."""
    if "<think>" not in tokenizer.get_added_vocab():
        return ()
    return tuple(tokenizer.encode(EMPTY_THINK_BLOCK, add_special_tokens=False))


@torch.no_grad()
def sample_completions(
    config: TrainConfig,
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
) -> list[Example]:
    """Draw `probe_samples` completions per prompt at temperature 1, without truncated sampling.

    Only the plain distribution makes the mean change of these samples minus the KL divergence.
    """
    training = policy.training
    policy.eval()
    prompts = [example for example in examples if example.prompt_ids]
    samples = []
    with torch.random.fork_rng(devices=[policy.device] if policy.device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        for start in range(0, len(prompts), _PROMPTS_AT_ONCE):
            some = prompts[start : start + _PROMPTS_AT_ONCE]
            owners = [example for example in some for _ in range(config.probe_samples)]
            rows = _generate(config, policy, tokenizer, some)
            for example, row in zip(owners, rows, strict=True):
                samples.append(_sample(example, _until_end(row, tokenizer), tokenizer))
    policy.train(training)
    return samples


def _generate(
    config: TrainConfig,
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
) -> list[list[int]]:
    """Return the sampled ids behind each prompt, `probe_samples` rows a prompt."""
    width = max(len(example.prompt_ids) for example in examples)
    padding = [width - len(example.prompt_ids) for example in examples]
    end = tokenizer.eos_token_id
    ids = [[end] * pad + list(e.prompt_ids) for pad, e in zip(padding, examples, strict=True)]
    mask = [[0] * pad + [1] * (width - pad) for pad in padding]
    plain = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=config.probe_sample_tokens,
        num_return_sequences=config.probe_samples,
        eos_token_id=end,
        pad_token_id=end,
    )
    # What a call leaves unset comes from the model's own settings, which may hold a repetition
    # penalty: they step aside.
    own, policy.generation_config = policy.generation_config, plain
    try:
        rows = policy.generate(
            torch.tensor(ids, device=policy.device),
            attention_mask=torch.tensor(mask, device=policy.device),
        )
    finally:
        policy.generation_config = own
    sampled: list[list[int]] = rows[:, width:].tolist()
    return sampled


def _until_end(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Cut after the first end-of-sequence token; what follows is padding."""
    end = tokenizer.eos_token_id
    return ids[: ids.index(end) + 1] if end in ids else ids


def _sample(example: Example, ids: list[int], tokenizer: PreTrainedTokenizerBase) -> Example:
    return dataclasses.replace(
        example,
        completions=(tuple(ids),),
        labels=(True,),
        completion_texts=(str(tokenizer.decode(ids)),),
    )


def save(directory: Path, probe_set: ProbeSet) -> None:
    """Write the probe set whole or not at all."""
    path = directory / FILE_NAME
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(dataclasses.asdict(probe_set)), encoding="utf-8")
    os.replace(temporary, path)


def load(directory: Path) -> ProbeSet:
    """Read the probe set of a run.

    Raises
    ------
    DataError
        When the file is missing or damaged.
    """
    path = directory / FILE_NAME
    try:
        parts = json.loads(path.read_text(encoding="utf-8"))
        return ProbeSet(**{name: tuple(map(_entry, entries)) for name, entries in parts.items()})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path}: the probe set cannot be read ({error}); start the run again in a new "
            "--output_dir"
        ) from error


def _entry(entry: object) -> Any:
    """Return an example, or a token id as it is."""
    return _example(entry) if isinstance(entry, dict) else entry


def _example(row: dict[str, object]) -> Example:
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    completions = fields.pop("completions")
    if not isinstance(completions, tuple):
        raise TypeError("completions must be a list")
    return Example(completions=tuple(tuple(c) for c in completions), **fields)  # type: ignore[arg-type]
