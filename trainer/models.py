"""Policy, reference and tokenizer: loading, LoRA, dropout off, the check of the packed layout."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from trainer import attention
from trainer.config import TrainConfig
from trainer.errors import ModelError
from trainer.logps import score
from trainer.packing import Item, pack


@dataclass
class Reference:
    """The frozen reference: a model of its own, or the policy with its LoRA adapter off."""

    model: nn.Module | None
    policy: nn.Module

    @contextlib.contextmanager
    def scoring(self) -> Iterator[nn.Module]:
        """Yield the module that computes reference log-probs, without gradient."""
        with torch.no_grad():
            if self.model is not None:
                yield self.model
                return
            adapter: Any = _unwrapped(self.policy)
            with adapter.disable_adapter():
                yield self.policy


def load_tokenizer(config: TrainConfig, model: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model path or hub name.

    Raises
    ------
    ModelError
        When it cannot be loaded or has no end-of-sequence token.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            model, trust_remote_code=config.trust_remote_code
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(_cannot_load("tokenizer", model, error)) from error
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"the tokenizer of {model} has no end-of-sequence token: completions could not be "
            "told to end; set eos_token in its tokenizer_config.json"
        )
    return tokenizer


def load_model(config: TrainConfig, model: str) -> PreTrainedModel:
    """Load a causal LM in fp32 with packed attention and every dropout off.

    Weights stay in fp32 (bf16 autocast is the step's business): AdamW on bf16 weights at
    preference-training learning rates leaves most weights unchanged.
    """
    name = attention.register()
    try:
        loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            model,
            attn_implementation=name,
            dtype=torch.float32,
            trust_remote_code=config.trust_remote_code,
            use_safetensors=True if _has_safetensors(model) else None,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(_cannot_load("model", model, error)) from error
    disable_dropout(loaded)
    try:
        loaded.generation_config.validate(strict=True)
    except ValueError:  # sampling values without sampling: such a model could not be saved again
        loaded.generation_config.do_sample = True
    return loaded


def build_policy(config: TrainConfig, model: str) -> nn.Module:
    """Load the policy; wrap it with LoRA when `lora_r` is positive."""
    policy = load_model(config, model)
    _check_window(config, policy, model)
    check_packed_layout(policy, model)
    if config.gradient_checkpointing:
        _recompute_activations(policy)
    return policy if config.lora_r <= 0 else _with_lora(config, model, policy)


def _recompute_activations(policy: Any) -> None:
    """Switch on activation checkpointing; transformers 5.23 renamed the call."""
    how = {"use_reentrant": False}
    if hasattr(policy, "activation_checkpointing_enable"):
        policy.activation_checkpointing_enable(activation_checkpointing_kwargs=how)
    else:
        policy.gradient_checkpointing_enable(gradient_checkpointing_kwargs=how)


def _check_window(config: TrainConfig, policy: PreTrainedModel, model: str) -> None:
    """Refuse a sliding window shorter than the rows: packed attention sees the whole row."""
    window = getattr(policy.config.get_text_config(), "sliding_window", None)
    if window is not None and window < config.max_length:
        raise ModelError(
            f"{model} attends to windows of {window} tokens and --max_length is "
            f"{config.max_length}: lower --max_length to {window}"
        )


def _with_lora(config: TrainConfig, model: str, policy: PreTrainedModel) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    targets: Any = config.lora_target_modules
    if targets != "all-linear":
        targets = [name.strip() for name in targets.split(",")]
    if config.gradient_checkpointing:
        policy.enable_input_require_grads()
    try:
        adapted: nn.Module = get_peft_model(
            policy,
            LoraConfig(
                r=config.lora_r,
                lora_alpha=config.lora_alpha,
                target_modules=targets,
                lora_dropout=0.0,
                task_type="CAUSAL_LM",
            ),
        )
        return adapted
    except ValueError as error:
        raise ModelError(
            f"LoRA cannot be put on {model}: {error}; name its linear layers in "
            "--lora_target_modules"
        ) from error


def build_reference(config: TrainConfig, model: str, policy: nn.Module) -> Reference:
    """Return the frozen reference: adapter off under LoRA, else a second copy of the model."""
    if config.lora_r > 0:
        return Reference(None, policy)
    frozen = load_model(config, model).eval().requires_grad_(False)
    return Reference(frozen, policy)


def disable_dropout(model: nn.Module) -> None:
    """Set every dropout probability to 0, in modules and in attention attributes."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0  # type: ignore[assignment]


@torch.no_grad()
def check_packed_layout(model: PreTrainedModel, name: str, tolerance: float = 1e-3) -> None:
    """Score two short completions packed and one by one; they must agree.

    Raises
    ------
    ModelError
        When the architecture does not honour the packed layout (sliding windows shorter than
        the rows, recurrent layers, attention that is not the model library's interface).
    """
    last = min(64, model.config.get_text_config().vocab_size) - 1
    prompt, one, two = [1, 2, 3], [4 % last, 5 % last], [6 % last, 7 % last, 8 % last]
    training = model.training
    model.eval()
    try:
        packed = score(model, pack([Item(prompt, [one, two])], model.device)).logps_C.double()
        model.set_attn_implementation("eager")
        alone = torch.cat(
            [_plain_logps(model, prompt, completion) for completion in (one, two)]
        ).double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{name} ({type(model).__name__}) cannot run on packed rows: {error}; choose a model "
            "whose attention goes through transformers' attention interface"
        ) from error
    finally:
        model.set_attn_implementation(attention.NAME)
        model.train(training)
    gap = ((packed - alone).abs() / alone.abs().clamp(min=1e-6)).max().item()
    if not gap <= tolerance:
        raise ModelError(
            f"{name} ({type(model).__name__}) gives log-probs that differ by {gap:.1e} (relative) "
            f"between packed rows and single sequences, expected at most {tolerance:.0e}: its "
            "layers mix tokens outside attention or ignore position ids, so it cannot be trained "
            "here"
        )


def _plain_logps(model: PreTrainedModel, prompt: list[int], completion: list[int]) -> torch.Tensor:
    ids = torch.tensor([[*prompt, *completion]], device=model.device)
    logps = model(input_ids=ids, use_cache=False).logits[:, :-1].float().log_softmax(-1)
    labels = ids[:, 1:, None]
    picked: torch.Tensor = logps.gather(-1, labels)[:, len(prompt) - 1 :, 0]
    return picked.sum(-1)


def identity(config: TrainConfig, model: str) -> dict[str, Any]:
    """Return what identifies the initial weights: the name given, and digests where local.

    `model` is where they were loaded from: a tiny model's name stands for a folder in the cache.
    """
    path = Path(model)
    if not path.is_dir():
        hub = AutoConfig.from_pretrained(model, trust_remote_code=config.trust_remote_code)
        return {"name": config.model, "hub_commit": getattr(hub, "_commit_hash", None)}
    digests = {}
    for weights in sorted(path.glob("*.safetensors")):
        with weights.open("rb") as file:
            digests[weights.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": config.model, "sha256": digests}


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside DDP, if any."""
    inner = getattr(model, "module", model)
    return inner if isinstance(inner, nn.Module) else model


def _has_safetensors(model: str) -> bool:
    return any(Path(model).glob("*.safetensors")) if Path(model).is_dir() else False


def _cannot_load(what: str, model: str, error: Exception) -> str:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return (
        f"the {what} of {model!r} cannot be loaded: {reason}; expected a folder with a saved "
        "model, a hub name, tiny-qwen3 or tiny-qwen2"
    )
