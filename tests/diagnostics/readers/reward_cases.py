"""Logs of known truth, one for every row of the table of what frameworks log as rewards.

The truth is a change of the summed log-prob in nats per completion; each case says what its
framework logs of it, and what must come back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diagnostics.meaning import Base
from diagnostics.schema import NATS, NATS_PER_TOKEN, REWARD_UNIT

BETA, TOKENS = 0.25, 40
STEPS = list(range(10, 101, 10))
TIME = np.linspace(0, 1, len(STEPS))
DELTA = {"chosen": 4.0 * TIME, "rejected": -8.0 * TIME}  # nats per completion
REFERENCE = {"chosen": -60.0, "rejected": -70.0}
SUMS = {side: REFERENCE[side] + DELTA[side] for side in DELTA}
BOTH = ("chosen", "rejected")

Sides = dict[str, np.ndarray]


def scaled(values: Sides, factor: float) -> Sides:
    return {side: factor * values[side] for side in BOTH}


def means(values: Sides) -> Sides:
    return scaled(values, 1 / TOKENS)


ALPHA = 0.5
ALPHAPO = {side: (1 - np.exp(means(SUMS)[side]) ** -ALPHA) / ALPHA for side in BOTH}


@dataclass(frozen=True)
class Case:
    """One row of the table: what is logged, and what must come back in which unit.

    `extra` are further keys of each row, `config` goes into the file named `beside`.
    """

    id: str
    rewards: Sides
    unit: str
    truth: Sides | None
    base: Base
    logps: Sides | None = None
    write: str = "trainer_state"
    config: Mapping[str, Any] = field(default_factory=dict)
    beside: str = "training_args.yaml"
    extra: Mapping[str, float] = field(default_factory=dict)
    loss: float = 0.69
    accuracies: bool = True


D, NEW = DELTA, {"num_tokens": 1000.0, "entropy": 1.0}
SINCE_FIRST = {side: DELTA[side] - DELTA[side][0] for side in BOTH}
TO_SUM = {"unit": NATS, "truth": D, "base": Base.LOGRATIO_SUM}
TO_MEAN = {"unit": NATS_PER_TOKEN, "truth": means(D), "base": Base.LOGRATIO_MEAN}
TO_Z = {"unit": NATS, "truth": SINCE_FIRST, "base": Base.LOGPS_SUM}
TO_A = {"unit": NATS_PER_TOKEN, "truth": means(SINCE_FIRST), "base": Base.LOGPS_MEAN}
# AlphaPO's rewards convert into nothing, but its log-probs are logged as they are.
BY_LOGPS = TO_A | {"base": Base.OTHER}
NOWHERE = {"unit": REWARD_UNIT, "truth": None, "base": Base.OTHER}


def trl(version: str, trainer: str, loss: Any = None, **more: Any) -> dict[str, Any]:
    named = {} if loss is None else {"loss_type": loss}
    return {"trl_version": version, "trainer": trainer, "beta": BETA, **named, **more}


def lf(loss: str, stage: str = "dpo", **more: Any) -> dict[str, Any]:
    return {
        "stage": stage,
        "pref_loss": loss,
        "pref_beta": BETA,
        "finetuning_type": "lora",
        "llamafactory_version": "0.9.2",
        **more,
    }


def swift(kind: str, loss: Any = None) -> dict[str, Any]:
    named = {} if loss is None else {"loss_type": loss}
    return {"rlhf_type": kind, "beta": BETA, "train_type": "lora", **named}


def hydra(name: str, trainer: str | None = None, **loss: Any) -> dict[str, Any]:
    halos = {"trainer": trainer, "dataloader": "PairedPreferenceDataLoader"} if trainer else {}
    return {"exp_name": "run", "loss": {"name": name, "beta": BETA, **halos, **loss}}


B, OLD, TODAY = BETA, "0.24.0", "1.16.0"
WEIGHTED = {"loss_weights": [0.8, 1.0]}
CASES = [
    Case("trl-dpo", scaled(D, B), logps=SUMS, config=trl(OLD, "dpo", "sigmoid"), **TO_SUM),
    Case("trl-dpo-0.7", scaled(D, B), logps=SUMS, config=trl("0.7.0", "dpo", "ipo"), **TO_SUM),
    Case("trl-dpo-hinge", scaled(D, B), logps=SUMS, config=trl(OLD, "dpo", "hinge"), **TO_SUM),
    Case(
        "trl-dpo-ipo", scaled(means(D), B), logps=means(SUMS),
        config=trl(OLD, "dpo", "ipo"), loss=4.0, **TO_MEAN,
    ),
    Case(
        "trl-dpo-ipo-refactored", scaled(D, B), logps=SUMS, extra=NEW,
        config=trl(TODAY, "dpo", ["ipo"]), loss=4.0, **TO_SUM,
    ),
    Case(
        "trl-dpo-sigmoid-norm", scaled(D, B), logps=SUMS, extra=NEW,
        config=trl(TODAY, "dpo", ["sigmoid_norm"]), **TO_SUM,
    ),
    Case(
        "trl-dpo-several", scaled(D, 1.8 * B), logps=SUMS, loss=5.86,
        config=trl(OLD, "dpo", ["sigmoid", "sft"], **WEIGHTED), **TO_SUM,
    ),
    Case(
        "trl-dpo-several-ipo", scaled(means(D), 1.8 * B), logps=means(SUMS), loss=8.0,
        config=trl(OLD, "dpo", ["ipo", "sft"], **WEIGHTED), **TO_MEAN,
    ),
    Case(
        "trl-dpo-several-refactored", scaled(D, B), logps=SUMS, extra=NEW, loss=5.86,
        config=trl(TODAY, "dpo", ["sigmoid", "sft"], **WEIGHTED), **TO_SUM,
    ),
    Case(
        "trl-kto", scaled(D, B), logps=SUMS, config=trl(OLD, "kto"), loss=0.5,
        extra={"kl": 0.4}, accuracies=False, **TO_SUM,
    ),
    Case(
        "trl-bco", scaled(D, B), logps=SUMS, config=trl(OLD, "bco"), loss=1.38,
        extra={"delta": 0.1}, accuracies=False, **TO_SUM,
    ),
    Case(
        "trl-orpo", scaled(means(SUMS), B), logps=means(SUMS), config=trl(OLD, "orpo"),
        extra={"log_odds_ratio": -0.6, "log_odds_chosen": 0.2, "nll_loss": 1.2}, **TO_A,
    ),
    *(
        Case(
            f"trl-cpo-{loss}", scaled(SUMS, B), logps=SUMS, config=trl(OLD, "cpo", loss),
            extra={"nll_loss": 1.2}, **TO_Z,
        )
        for loss in ("sigmoid", "hinge")
    ),
    *(
        Case(
            f"trl-cpo-{loss}", scaled(means(SUMS), B), logps=means(SUMS),
            config=trl(OLD, "cpo", loss), extra={"nll_loss": 1.2}, **TO_A,
        )
        for loss in ("simpo", "ipo")
    ),
    Case(
        "trl-cpo-alphapo", scaled(ALPHAPO, B), logps=means(SUMS),
        config=trl(OLD, "cpo", "simpo", cpo_alpha=0.0, alpha=ALPHA), **BY_LOGPS,
    ),
    Case(
        "trl-tpo", scaled(SUMS, B), logps=SUMS, extra=NEW,
        config=trl(TODAY, "tpo", "sigmoid"), **TO_Z,
    ),
    *(
        Case(
            f"trl-tpo-{loss}", scaled(means(SUMS), B), logps=means(SUMS), extra=NEW,
            config=trl(TODAY, "tpo", loss), **TO_A,
        )
        for loss in ("ipo", "tpo-l")
    ),
    Case(
        "trl-nash-md", {"chosen": 0.5 + TIME, "rejected": 0.2 - TIME}, logps=SUMS,
        config=trl(OLD, "nash_md"), extra={"mixture_coef": 0.5}, **NOWHERE,
    ),
    *(
        Case(f"lf-{loss}", scaled(D, B), logps=SUMS, config=lf(loss), loss=start, **TO_SUM)
        for loss, start in (("sigmoid", 0.69), ("hinge", 1.0))
    ),
    Case(
        "lf-ipo", scaled(means(D), B), logps=means(SUMS), config=lf("ipo"), loss=4.0, **TO_MEAN
    ),
    Case(
        "lf-orpo", scaled(means(SUMS), B), logps=means(SUMS), config=lf("orpo"),
        extra={"sft_loss": 1.2, "odds_ratio_loss": 0.6}, **TO_A,
    ),
    Case("lf-simpo", scaled(means(SUMS), B), logps=means(SUMS), config=lf("simpo"), **TO_A),
    Case(
        "lf-kto", scaled(D, B), logps=SUMS, config=lf("sigmoid", "kto"), loss=0.5,
        extra={"kl": 4.0}, accuracies=False, **TO_SUM,
    ),
    Case("lf-v1", scaled(D, B), logps=SUMS, write="lf_v1", config=lf("sigmoid"), **TO_SUM),
    Case(
        "lf-v1-orpo", scaled(means(SUMS), B), logps=SUMS, write="lf_v1", config=lf("orpo"), **TO_A
    ),
    Case("swift-dpo", scaled(D, B), logps=SUMS, write="swift", config=swift("dpo"),
         beside="args.json", **TO_SUM),
    Case(
        "swift-ipo", scaled(means(D), B), logps=means(SUMS), write="swift", loss=4.0,
        config=swift("dpo", "ipo"), beside="args.json", **TO_MEAN,
    ),
    Case(
        "swift-kto", scaled(D, B), logps=SUMS, write="swift", config=swift("kto"), loss=0.5,
        beside="args.json", extra={"kl": 0.4}, accuracies=False, **TO_SUM,
    ),
    Case(
        "swift-orpo", scaled(means(SUMS), B), logps=means(SUMS), write="swift",
        config=swift("orpo"), beside="args.json", extra={"log_odds_ratio": -0.6}, **TO_A,
    ),
    Case(
        "swift-simpo", scaled(means(SUMS), B), logps=means(SUMS), write="swift",
        config=swift("simpo"), beside="args.json", extra={"nll_loss": 1.2}, **TO_A,
    ),
    *(
        Case(
            f"openrlhf-{'ipo' if ipo else 'dpo'}", scaled(D, B), write="openrlhf",
            config={"ipo": ipo, "beta": BETA}, beside="launch.yaml", **TO_SUM,
        )
        for ipo in (False, True)
    ),
    Case("em-dpo", scaled(D, B), logps=SUMS, write="em", config=hydra("dpo"),
         beside="config.yaml", **TO_SUM),
    Case("em-ipo", scaled(D, B), logps=SUMS, write="em", config=hydra("ipo"), loss=4.0,
         beside="config.yaml", **TO_SUM),
    Case(
        "em-reference-free", scaled(D, B), logps=SUMS, write="em",
        config=hydra("dpo", reference_free=True), beside="config.yaml", **TO_SUM,
    ),
    *(
        Case(
            f"halos-{name}", scaled(D, B), logps=scaled(SUMS, 0.01), write="halos",
            config=hydra(name, "DPOTrainer"), beside="config.yaml", **TO_SUM,
        )
        for name in ("dpo", "cdpo")
    ),
    Case(
        "halos-kto", D, write="halos", config=hydra("kto", "KTOTrainer"), loss=0.5,
        beside="config.yaml", extra={"KL_estimate": 0.4}, accuracies=False, **TO_SUM,
    ),
    Case(
        "halos-ipo", means(D), logps=scaled(SUMS, 0.01), write="halos", loss=25.0,
        config=hydra("ipo", "IPOTrainer"), beside="config.yaml", **TO_MEAN,
    ),
    Case(
        "halos-simpo", means(SUMS), logps=scaled(SUMS, 0.01), write="halos",
        config=hydra("simpo", "SimPOTrainer"), beside="config.yaml", **TO_A,
    ),
    Case(
        "halos-slic", SUMS, logps=scaled(SUMS, 0.01), write="halos",
        config=hydra("slic", "SLiCTrainer"), beside="config.yaml", **TO_Z,
    ),
    Case(
        "torchtune-dpo", scaled(D, B), logps=SUMS, write="torchtune",
        config={"loss": {"_component_": "torchtune.rlhf.loss.DPOLoss", "beta": BETA}},
        beside="torchtune_config.yaml", **TO_SUM,
    ),
    Case(
        "torchtune-rso", scaled(D, B), logps=SUMS, write="torchtune", loss=1.0,
        config={"loss": {"_component_": "torchtune.rlhf.loss.RSOLoss", "gamma": BETA}},
        beside="torchtune_config.yaml", **TO_SUM,
    ),
    Case(
        "trl-online-dpo", scaled(D, B), logps=SUMS, config=trl(OLD, "online_dpo"),
        extra={"objective/rlhf_reward": 0.1, "objective/kl": 2.0}, **TO_SUM,
    ),
    Case(
        "trl-xpo", scaled(D, B), logps=scaled(SUMS, 2.0), config=trl(OLD, "xpo"),
        extra={"loss/xpo": 0.1, "objective/kl": 2.0}, **TO_SUM,
    ),
    Case(
        "swift-several", scaled(D, 1.8 * B), logps=SUMS, write="swift", loss=5.86,
        config=swift("dpo", ["sigmoid", "sft"]) | WEIGHTED, beside="args.json", **TO_SUM,
    ),
    Case(
        "swift-several-ipo", scaled(means(D), 1.8 * B), logps=means(SUMS), write="swift", loss=8.0,
        config=swift("dpo", ["ipo", "sft"]) | WEIGHTED, beside="args.json", **TO_MEAN,
    ),
    Case(
        "swift-cpo", scaled(SUMS, B), logps=SUMS, write="swift", extra={"nll_loss": 1.2},
        config=swift("cpo", "sigmoid"), beside="args.json", **TO_Z,
    ),
    Case(
        "openrlhf-kto", scaled(D, B), write="openrlhf", loss=0.5, accuracies=False,
        config={"beta": BETA}, beside="launch.yaml", **TO_SUM,
    ),
    Case(
        "lf-v1-simpo", scaled(means(SUMS), B), logps=SUMS, write="lf_v1", config=lf("simpo"),
        **TO_A,
    ),
    Case(
        "simpo-repository", scaled(means(SUMS), B), logps=means(SUMS),
        config={"gamma_beta_ratio": 0.3, "beta": BETA}, **TO_A,
    ),
]  # fmt: skip


# -- Writing a log as each framework does ----------------------------------------------------------


def row(case: Case, place: int) -> dict[str, float]:
    """Return one train row under TRL's keys."""
    values = {"loss": case.loss, "learning_rate": 1e-6, "grad_norm": 1.0}
    for side in BOTH:
        values[f"rewards/{side}"] = float(case.rewards[side][place])
        if case.logps is not None:
            values[f"logps/{side}"] = float(case.logps[side][place])
    values["rewards/margins"] = values["rewards/chosen"] - values["rewards/rejected"]
    if case.accuracies:
        values["rewards/accuracies"] = 0.7
    return values | dict(case.extra)


def as_trainer_state(case: Case, folder: Path) -> Path:
    rows = [row(case, i) | {"step": step, "epoch": step / 100} for i, step in enumerate(STEPS)]
    state = {"global_step": 100, "max_steps": 100, "log_history": rows}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    return folder / "trainer_state.json"


def as_lf_v1(case: Case, folder: Path) -> Path:
    rows = [row(case, i) | {"step": s, "total_steps": 100} for i, s in enumerate(STEPS)]
    (folder / "trainer_log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return folder / "trainer_log.jsonl"


def as_swift(case: Case, folder: Path) -> Path:
    lines = [
        f"{row(case, i) | {'memory(GiB)': 7.5, 'global_step/max_steps': f'{step}/100'}}\n"
        for i, step in enumerate(STEPS)
    ]
    (folder / "train.log").write_text("".join(lines))
    return folder / "train.log"


def as_openrlhf(case: Case, folder: Path) -> Path:
    first = "loss={0:.3g}, acc=0.7" if case.accuracies else "kto_loss={0:.3g}, kl=0.4"
    text = "".join(
        f"\rTrain step of epoch [0]:  10%|# | {step}/100 [00:10<01:20, 1.10it/s,"
        f" {first.format(case.loss)}, chosen_reward={case.rewards['chosen'][i]:.3g},"
        f" reject_reward={case.rewards['rejected'][i]:.3g}, lr=1e-6]"
        for i, step in enumerate(STEPS)
    )
    (folder / "train.log").write_text(text)
    return folder / "train.log"


def families(case: Case, place: int) -> dict[str, str]:
    """Return one train row under the keys of EM and HALOs, as quoted numbers of 5 digits."""
    named = {}
    for key, value in row(case, place).items():
        family, _, name = key.partition("/")
        if name:
            named[f"{family}_train/{name}"] = f"{value:.5g}"
        elif key == "KL_estimate":
            named["rewards_train/KL_estimate"] = f"{value:.5g}"
    return named | {"loss/train": f"{case.loss:.5g}"}


def as_em(case: Case, folder: Path) -> Path:
    lines = []
    for i, step in enumerate(STEPS):
        counters = {"counters/examples": step * 64, "counters/updates": step}
        lines.append(f"train stats after {step * 64} examples: {families(case, i) | counters}\n")
    (folder / "train.log").write_text("".join(lines))
    return folder / "train.log"


def as_halos(case: Case, folder: Path) -> Path:
    lines = []
    for i, step in enumerate(STEPS):
        unclamped = {"rewards_train/chosen_unclamped": "1", "counters/updates": step}
        lines.append(f"train stats after {step} steps: {families(case, i) | unclamped}\n")
    (folder / "train.log").write_text("".join(lines))
    return folder / "train.log"


def as_torchtune(case: Case, folder: Path) -> Path:
    lines = []
    for i, step in enumerate(STEPS):
        named = {k.replace("logps/", "log_probs/"): v for k, v in row(case, i).items()}
        lines.append(f"Step {step} | " + "".join(f"{k}:{v} " for k, v in named.items()) + "\n")
    (folder / "log_1700000000.txt").write_text("".join(lines))
    return folder / "log_1700000000.txt"


WRITERS: dict[str, Callable[[Case, Path], Path]] = {
    "trainer_state": as_trainer_state,
    "lf_v1": as_lf_v1,
    "swift": as_swift,
    "openrlhf": as_openrlhf,
    "em": as_em,
    "halos": as_halos,
    "torchtune": as_torchtune,
}


def written(case: Case, folder: Path) -> Path:
    """Write a case into a folder, with its configuration, and return the log's path."""
    (folder / case.beside).write_text(json.dumps(dict(case.config)))  # JSON is YAML
    return WRITERS[case.write](case, folder)
