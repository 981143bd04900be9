"""What a configuration says about a run, whichever framework's words it is in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diagnostics import methods
from diagnostics.readers.numbers import number
from diagnostics.readers.producers import (
    ANY_VERSION,
    EM,
    HALOS,
    LLAMA_FACTORY,
    OPENRLHF,
    SIMPO,
    SWIFT,
    TORCHTUNE,
    TRL,
    Versions,
    version,
)

# What frameworks call the trainer, and which trainer of TRL that is.
TRAINERS = {
    "dpo": "dpo",
    "kto": "kto",
    "orpo": "orpo",
    "cpo": "cpo",
    "simpo": "cpo",
    "bco": "bco",
    "tpo": "tpo",
    "rso": "dpo",
    "cdpo": "dpo",
    "ipo": "dpo",
    "slic": "cpo",
    "hinge": "dpo",
    "online_dpo": "online_dpo",
    "xpo": "xpo",
    "nash_md": "nash_md",
}


@dataclass(frozen=True)
class Settings:
    """What a configuration says; None where it says nothing.

    `losses` are loss types in the framework's words, `hyper` the settings of the method under the
    names of `diagnostics.hyperparameters`; `beta` is what rewards are multiplied by. `batches` is
    the number of micro-batches on all ranks behind one record.
    """

    framework: str | None = None
    versions: Versions = ANY_VERSION
    trainer: str | None = None
    losses: tuple[str, ...] | None = None
    weights: tuple[float, ...] | None = None
    beta: float | None = None
    hyper: Mapping[str, Any] | None = None
    world_size: int | None = None
    batches: int | None = None
    flags: frozenset[str] = frozenset()


def settings_of(config: Mapping[str, Any]) -> Settings:
    """Return what a configuration says; unknown and absurd entries are passed over.

    Examples
    --------
    >>> found = settings_of({"stage": "dpo", "pref_loss": "simpo", "pref_beta": 2.0})
    >>> found.framework, found.trainer, found.losses, found.beta
    ('LLaMA-Factory', 'cpo', ('simpo',), 2.0)
    """
    flat = flattened(config)
    framework = _framework(flat)
    losses, weights = _losses(flat)
    trainer = _trainer(flat, losses)
    kind = str(flat.get("rlhf_type", flat.get("rl", ""))).lower()
    if losses is None and kind in ("simpo", "ipo"):
        losses, weights = (kind,), (1.0,)  # ms-swift and Axolotl name these losses as trainers
    world, batches = _batches(flat)
    return Settings(
        framework=framework,
        versions=_versions(flat, framework),
        trainer=trainer,
        losses=losses,
        weights=weights,
        beta=_first(flat, *_beta_keys(flat, trainer)),
        hyper=_hyper(flat, trainer),
        world_size=world,
        batches=batches,
        flags=frozenset(name for name, test in _FLAGS.items() if test(flat)),
    )


def flattened(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with the entries of its first two levels side by side.

    W&B wraps each value as {"value": ..., "desc": ...}; EM, HALOs and torchtune nest the loss.
    The outer of two equal names counts, and nested names are also kept as "outer.inner".
    """
    flat: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for key, value in config.items():
        plain = value.get("value") if isinstance(value, Mapping) and "value" in value else value
        flat[str(key)] = plain
        if isinstance(plain, Mapping):
            for name, one in plain.items():
                inner[f"{key}.{name}"] = one
                inner.setdefault(str(name), one)
    return inner | flat


_LF_KEYS = ("pref_beta", "pref_loss", "pref_ftx", "finetuning_type", "simpo_gamma")
_SIGNS: tuple[tuple[str, str], ...] = (
    ("gamma_beta_ratio", SIMPO),
    ("rlhf_type", SWIFT),
    ("swift_version", SWIFT),
    ("pref_beta", LLAMA_FACTORY),
    ("pref_loss", LLAMA_FACTORY),
    ("finetuning_type", LLAMA_FACTORY),
    ("nll_loss_coef", OPENRLHF),
    ("trl_version", TRL),
)


def _framework(flat: Mapping[str, Any]) -> str | None:
    component = str(flat.get("loss._component_", ""))
    if component.startswith("torchtune") or "torchtune" in str(flat.get("tokenizer._component_")):
        return TORCHTUNE
    if "humanline" in flat or ("loss.trainer" in flat and "loss.dataloader" in flat):
        return HALOS
    if "loss.name" in flat and ("exp_name" in flat or "trainer" in flat):
        return HALOS if "loss.trainer" in flat else EM
    if "finetuning_type" in flat and "rlhf_type" in flat:
        return SWIFT
    named = str(flat.get("framework", ""))
    if named:
        return named
    return next((name for key, name in _SIGNS if key in flat), None)


def _versions(flat: Mapping[str, Any], framework: str | None) -> Versions:
    key = {LLAMA_FACTORY: "llamafactory_version", SWIFT: "swift_version"}.get(
        framework or TRL, "trl_version"
    )
    return exactly(flat.get(key))


def exactly(text: Any) -> Versions:
    """Return the bounds of one stated version; no bounds where it states none.

    Examples
    --------
    >>> exactly("0.8"), exactly(None).text
    (Versions(since=(0, 8), until=(0, 9)), None)
    """
    parts = version(text) if isinstance(text, str) else ()
    return Versions(parts, (*parts[:-1], parts[-1] + 1)) if parts else ANY_VERSION


def _losses(flat: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, tuple[float, ...] | None]:
    """Return loss types and their weights."""
    found = flat.get("loss_type")
    for key in ("pref_loss", "loss.name", "loss_name"):
        found = flat.get(key) if found is None else found
    if found is None:
        component = str(flat.get("loss._component_", ""))
        found = {"DPOLoss": "sigmoid", "RSOLoss": "hinge"}.get(component.rpartition(".")[2])
    if found is None and flat.get("ipo") is True:
        found = "ipo"
    if isinstance(found, str):
        found = found.strip("[]'\" ").replace("'", "").replace('"', "").split(",")
    if not isinstance(found, list | tuple) or not found:
        return None, None
    losses = tuple(str(one).strip().lower() for one in found)
    weights = flat.get("loss_weights")
    if not isinstance(weights, list | tuple) or len(weights) != len(losses):
        weights = [1.0] * len(losses) if weights is None else []
    sizes = [number(one) for one in weights]
    valid = tuple(one for one in sizes if one is not None and one == one)
    return losses, valid if len(valid) == len(losses) else None


def _trainer(flat: Mapping[str, Any], losses: tuple[str, ...] | None) -> str | None:
    """Return which trainer ran, by the names that configurations give it."""
    loss = losses[0] if losses else ""
    for key in ("rlhf_type", "rl", "stage", "trainer", "method", "trainer_type", "loss.name"):
        word = str(flat.get(key, "")).lower().removesuffix("trainer").replace("-", "_")
        if word in TRAINERS:
            trainer = TRAINERS[word]
            # LLaMA-Factory's stage "dpo" also runs losses without a reference.
            return TRAINERS[loss] if key == "stage" and loss in ("orpo", "simpo") else trainer
    if loss in ("orpo", "simpo", "kto"):
        return TRAINERS[loss]
    if "desirable_weight" in flat:
        return "kto"
    if "cpo_alpha" in flat and "rpo_alpha" not in flat:
        return "cpo"
    dpo_only = ("reference_free", "f_divergence_type", "precompute_ref_log_probs", "ld_alpha")
    if any(key in flat for key in dpo_only):
        return "dpo"
    return "dpo" if loss in ("sigmoid", "ipo", "hinge", "robust", "apo_zero", "sppo_hard") else None


def _beta_keys(flat: Mapping[str, Any], trainer: str | None) -> tuple[str, ...]:
    own = ("orpo_alpha",) if trainer == "orpo" else ()
    if str(flat.get("loss._component_", "")).endswith("RSOLoss"):
        own = ("loss.gamma",)
    return (*own, "pref_beta", "loss.beta", "beta", "rl_beta", "dpo_beta", "kto_beta")


def _first(flat: Mapping[str, Any], *keys: str) -> float | None:
    """Return the first positive finite number under any of the keys."""
    for key in keys:
        found = number(flat[key]) if key in flat and not isinstance(flat[key], bool) else None
        if found is not None and 0 < found < float("inf"):
            return found
    return None


def _hyper(flat: Mapping[str, Any], trainer: str | None) -> dict[str, Any]:
    """Return the settings of the method under this project's names."""
    names = {
        one.name: [key for key in (one.trl, one.llamafactory, one.name) if key]
        for method in methods.METHODS.values()
        for one in method.hyperparameters
        if one.name not in ("beta", "sft_weight", "sft_reduction")
    }
    names["label_smoothing"] = ["label_smoothing", "dpo_label_smoothing", "loss.label_smoothing"]
    names["sft_weight"] = ["cpo_alpha", "rpo_alpha", "pref_ftx", "nll_loss_coef", "sft_weight"]
    if trainer not in ("cpo", "dpo"):
        names["sft_weight"] = ["pref_ftx", "nll_loss_coef"]
    found = {}
    for name, keys in names.items():
        sizes = [number(flat[key]) for key in keys if key in flat]
        size = next((one for one in sizes if one is not None and one == one), None)
        if size is not None:
            found[name] = size
    ratio, beta = _first(flat, "gamma_beta_ratio"), _first(flat, "beta", "loss.beta")
    if ratio is not None and beta is not None:
        found["gamma"] = ratio * beta
    return found


def _batches(flat: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the number of ranks, and of micro-batches on all of them behind one record."""
    world = _whole(flat, "world_size", "num_devices", "n_gpu", "num_processes", "global_world_size")
    every = _whole(flat, "logging_steps")
    total = _whole(flat, "total_train_batch_size")
    size = _whole(flat, "per_device_train_batch_size", "train_batch_size", "micro_train_batch_size")
    accumulated = _whole(flat, "gradient_accumulation_steps")
    if total and size and total % size == 0:
        return world, total // size * every if every else None
    if world and accumulated and every:
        return world, world * accumulated * every
    return world, None


def _whole(flat: Mapping[str, Any], *keys: str) -> int | None:
    found = _first(flat, *keys)
    return int(found) if found is not None and found >= 1 and found == int(found) else None


def _above_zero(*keys: str) -> Any:
    return lambda flat: _first(flat, *keys) is not None


_FLAGS = {
    "sft": _above_zero("rpo_alpha", "pref_ftx", "nll_loss_coef", "sft_weight"),
    "ld_alpha": _above_zero("ld_alpha", "pref_ld_alpha"),
    "ftx": _above_zero("pref_ftx"),
    "megatron": lambda flat: "tensor_model_parallel_size" in flat or "megatron" in flat,
    "alphapo": lambda flat: _first(flat, "alpha") is not None and "cpo_alpha" in flat,
    "distributed": lambda flat: "distributed" in str(flat.get("recipe", "")),
    "single_device": lambda flat: "single_device" in str(flat.get("recipe", "")),
}


def method_of(trainer: str | None, losses: tuple[str, ...] | None) -> str | None:
    """Return the schema's method of a trainer and its losses, None where the loss is unknown.

    Examples
    --------
    >>> method_of("dpo", ("sigmoid", "sft")), method_of("cpo", ("simpo",)), method_of("kto", None)
    ('dpo', 'simpo', 'kto')
    """
    own = [loss for loss in losses or () if loss != "sft"] or ["sft"] * bool(losses)
    if trainer in ("kto", "orpo"):
        return trainer
    if trainer == "cpo":
        return "simpo" if own[:1] in (["simpo"], ["alphapo"]) else "cpo" if own else None
    if trainer != "dpo":
        return trainer
    if not own or len(own) > 1:
        return None
    word = re.sub(r"[^a-z_]", "", own[0])
    try:
        return methods.method("dpo" if word in ("dpo", "cdpo") else word).name
    except KeyError:
        return None
