"""From a framework's keys to schema names, with everything that its numbers do not mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from diagnostics.meaning import Meaning, Scope
from diagnostics.methods import METHODS
from diagnostics.readers import evidence, producers, semantics
from diagnostics.readers.evidence import LOG_2
from diagnostics.readers.producers import EM, HALOS, LLAMA_FACTORY, OPENRLHF, TRL, Row
from diagnostics.readers.semantics import Facts, Origins

__all__ = ["Facts", "Identity", "identify"]

# Reward units; a margin below this lowers the sigmoid loss by 5 % at most.
SMALL_MARGIN = 0.07


@dataclass(frozen=True)
class Identity:
    """Who wrote a log, and how its columns become schema columns.

    `names` maps a framework's key to the schema name and what to multiply by. `derive_margins`
    asks for the difference of the sides where no margin is logged.
    """

    framework: str
    version: str | None
    method: str | None
    meaning: Meaning | None
    names: Mapping[str, tuple[str, float]]
    config: Mapping[str, Any] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()
    derive_margins: bool = False


def identify(facts: Facts) -> Identity:
    """Return who wrote a log and what its numbers mean."""
    who = semantics.origins(facts)
    rows = semantics.candidates(facts, who)
    meaning, caveats = semantics.meaning_of(facts, who, rows)
    method = semantics.method_name(facts, who, rows)
    method, more = executed(facts, who, method)
    names, said = columns(facts, who, rows)
    config = {**(facts.settings.hyper or {})}
    beta = facts.hints.beta or facts.settings.beta or (facts.slope and facts.slope.factor)
    if beta:
        config["beta"] = beta
    caveats = [*caveats, *more, *said, *_scope_caveats(meaning), *_start_caveats(facts, method)]
    caveats += _reward_caveats(facts, who, meaning)
    margins = who.framework in (OPENRLHF, HALOS)
    return Identity(
        framework=who.framework or _one_of(who.frameworks),
        version=facts.hints.version or (who.versions.text if who.framework else None),
        method=method,
        meaning=meaning,
        names={**names, **{key: (name, 1.0) for key, name in facts.hints.columns.items()}},
        config=config,
        caveats=tuple(caveats),
        derive_margins=margins,
    )


def _one_of(frameworks: Sequence[str]) -> str:
    """Return what to call the writer of TRL's keys where nothing tells which one it was."""
    return f"{frameworks[0]} or a trainer with its keys"


def executed(facts: Facts, who: Origins, method: str | None) -> tuple[str | None, list[str]]:
    """Return the method that ran where that is not the configured one.

    LLaMA-Factory from 0.9.4 on TRL 0.20 to 0.24 passes no loss type on, and TRL then computes the
    sigmoid loss whatever `pref_loss` says.
    """
    silent = {"hinge": "dpo", "kto_pair": "dpo", "ipo": "sigmoid_norm"}
    loss = who.losses[0] if who.losses else ""
    since = producers.Versions(since=(0, 9, 4))
    if who.framework != LLAMA_FACTORY or loss not in silent or not since.meets(who.versions):
        return method, []
    first = evidence.first_loss(facts.train)
    if first is not None and abs(first[1] - LOG_2) < 0.03:
        return silent[loss], [
            f"pref_loss is {loss}, but the loss begins at {first[1]:.4f}, that of the sigmoid loss:"
            " LLaMA-Factory 0.9.4 and later on TRL 0.20 to 0.24 runs sigmoid in its place."
        ]
    beta = facts.settings.beta or 0.1
    start = METHODS[method].start_loss({"beta": beta}) if method in METHODS else None
    if first is not None and start is not None and evidence.begins_at(facts.train, start):
        return method, []
    return method, [
        f"pref_loss is {loss}: LLaMA-Factory 0.9.4 and later on TRL 0.20 to 0.24 runs the sigmoid"
        " loss in its place, and the log does not show which one ran."
    ]


# Keys that mean one schema quantity whoever writes them; sides are filled in below.
_PLAIN: Mapping[str, tuple[str, float]] = {
    "chosen_reward": ("rewards/chosen", 1.0),
    "reject_reward": ("rewards/rejected", 1.0),
    "rejected_reward": ("rewards/rejected", 1.0),
    "reward_margin": ("rewards/margins", 1.0),
    "acc": ("rewards/accuracies", 1.0),
    "acc_mean": ("rewards/accuracies", 1.0),
    "preference_loss": ("loss", 1.0),
    "kto_loss": ("loss", 1.0),
    "lr": ("learning_rate", 1.0),
    "counters/lr": ("learning_rate", 1.0),
    "rewards/KL_estimate": ("kl", 1.0),
    # TRL logs the mean of log sigma(log odds ratio), LLaMA-Factory its negative.
    "log_odds_ratio": ("odds_loss", -1.0),
    "log_odds_chosen": ("log_odds_ratio", 1.0),
    "odds_ratio_loss": ("odds_loss", 1.0),
    "Log Odds Ratio": ("odds_loss", -1.0),
    "Log Odds": ("log_odds_ratio", 1.0),
    "Positive Geometric Mean": ("logps_per_token/chosen", 1.0),
    "Negative Geometric Mean": ("logps_per_token/rejected", 1.0),
    # These names are the schema's, the quantities behind them are not.
    "tokens": ("tokens as logged", 1.0),
    "memory": ("memory as logged", 1.0),
    "tokens_per_second": ("tokens_per_second as logged", 1.0),
}


def columns(
    facts: Facts, who: Origins, rows: Sequence[Row]
) -> tuple[dict[str, tuple[str, float]], list[str]]:
    """Return the schema name and factor of every key that has one, and caveats on the others."""
    names = dict(_PLAIN)
    said: list[str] = []
    for side in evidence.SIDES:
        names[f"log_probs/{side}"] = (f"logps/{side}", 1.0)
    if "logps/chosen" in facts.keys:
        said += _name_logps(facts, rows, names)
    if "nll_loss" in facts.keys:
        said += _name_sft(facts, who, names)
    if "kl" in facts.keys and who.trainer == "kto":
        said += _name_kl(facts, who, names)
    if who.framework == HALOS and who.trainer == "kto":
        names["rewards/margins"] = ("rewards/margins as logged", 1.0)
        said.append(
            "HALOs counts a batch with one class only as a margin of that class alone; the margin"
            " here is mean chosen minus mean rejected reward."
        )
    if "odds_ratio_loss" in facts.keys and "ftx" in facts.settings.flags:
        said.append("The odds term contains pref_ftx times the SFT term.")
    return names, said


def _name_logps(
    facts: Facts, rows: Sequence[Row], names: dict[str, tuple[str, float]]
) -> Iterator[str]:
    kinds = {row.logps for row in rows}
    if evidence.are_sums(facts.train, facts.evals) and "sum" in kinds:
        kinds = {"sum"}
    if kinds == {"sum"}:
        return
    new = "logps_per_token" if kinds == {"per_token"} else None
    for side in evidence.SIDES:
        name = f"{new}/{side}" if new else f"logps/{side} as logged"
        names[f"logps/{side}"] = (name, 1.0)
    if new is None and kinds == {"other"}:
        yield "logps are neither sums nor means per token of the completions; they are not used."
    elif new is None:
        yield "The log does not say whether logps are sums or means per token; they are not used."


def _name_sft(facts: Facts, who: Origins, names: dict[str, tuple[str, float]]) -> Iterator[str]:
    values = [evidence.column(frame, "nll_loss") for frame in (facts.train, facts.evals)]
    finite = np.concatenate([one[np.isfinite(one)] for one in values])
    if who.trainer == "orpo":
        yield "nll_loss covers prompt and chosen completion, so it is not the SFT term alone."
    elif finite.size and not finite.any():
        yield "nll_loss is 0 throughout: the SFT term is off."
    else:
        names["nll_loss"] = ("sft_loss", 1.0)


def _name_kl(facts: Facts, who: Origins, names: dict[str, tuple[str, float]]) -> Iterator[str]:
    if LLAMA_FACTORY not in who.frameworks or "entropy" in facts.keys:
        return
    if who.framework is None:
        yield "kl is taken as a mean; where LLaMA-Factory wrote the log, it is a sum instead."
        return
    if facts.settings.batches is not None:
        names["kl"] = ("kl", 1.0 / facts.settings.batches)
        yield (
            f"LLaMA-Factory logs kl as a sum; it was divided by {facts.settings.batches}"
            " micro-batches."
        )
        return
    names["kl"] = ("kl summed over micro-batches", 1.0)
    yield (
        "LLaMA-Factory logs kl as a sum over micro-batches and ranks; it could not be divided back"
        " because accumulation steps, logging steps and ranks are not all known."
    )


def _scope_caveats(meaning: Meaning | None) -> Iterator[str]:
    scope = None if meaning is None else meaning.scope
    if scope is Scope.WINDOW_RANK_0:
        yield "Rewards average over rank 0 only: with several ranks they are noisier than the run."
    elif scope in (Scope.LAST_BATCH, Scope.LAST_MICRO_BATCH):
        yield f"Rewards average over {scope.value} only, so each is noise of few examples."


def _start_caveats(facts: Facts, method: str | None) -> Iterator[str]:
    """Yield what the first training loss says where it is not the method's own start."""
    first = evidence.first_loss(facts.train)
    known = METHODS.get(method or "")
    terms = facts.keys & {"nll_loss", "sft_loss"} or "sft" in facts.settings.flags
    if first is None or known is None or terms or not _is_start(facts, first[0]):
        return
    settings = facts.settings
    beta = settings.beta or facts.hints.beta or (facts.slope.factor if facts.slope else None)
    if method in ("ipo", "sppo_hard") and beta is None:
        return
    start = known.start_loss({**(settings.hyper or {}), "beta": beta})
    if start is None:
        return
    step, loss = first
    times = evidence.multiple(loss, start)
    if times is not None:
        yield (
            f"The first loss, {loss:.4g}, is {times} times {start:.4g}, where {known.title} starts:"
            " it looks summed over micro-batches or ranks."
        )
    elif loss > 1.1 * start or (step <= 1 and loss < 0.9 * start):
        yield (
            f"The first loss, {loss:.4g} at step {step}, is not {start:.4g}, where {known.title}"
            " starts from its reference: the reference may be another model than the one trained."
        )


def _is_start(facts: Facts, step: int) -> bool:
    """Say whether the first record is of the start: its margin, if logged, has hardly moved."""
    margins = evidence.column(facts.train, "rewards/margins")
    if not np.isfinite(margins).any():
        return step <= 1
    return bool(step <= 1 or abs(margins[np.isfinite(margins)][0]) < SMALL_MARGIN)


def _reward_caveats(facts: Facts, who: Origins, meaning: Meaning | None) -> Iterator[str]:
    """Yield what rewards, margins and steps of this framework do not mean."""
    if meaning is not None and meaning.factor is None and "give" in meaning.why:
        yield f"{meaning.why[0].upper()}{meaning.why[1:]}."
    if who.framework == OPENRLHF:
        yield "OpenRLHF logs no margin: it is mean chosen minus mean rejected reward."
        if who.trainer == "kto":
            yield "A rank without an example of a class counts as a reward of 0, which draws to 0."
    if who.framework == EM and facts.config.get("reference_free"):
        yield "reference_free is set, but the logged rewards subtract the reference all the same."
    if "ld_alpha" in facts.settings.flags and not _since(who, (0, 29)):
        yield "ld_alpha re-weights the policy's log-probs only, so rewards do not start at 0."
    if who.trainer == "kto" and _since(who, (1, 7)) and "rewards/margins" in facts.keys:
        yield "The margin averages micro-batches with both classes: it is not chosen - rejected."


def _since(who: Origins, version: tuple[int, ...]) -> bool:
    since = who.versions.since
    return who.framework == TRL and since is not None and since >= version
