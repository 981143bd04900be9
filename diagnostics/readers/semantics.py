"""Which framework, version and method wrote a log, and what its numbers mean.

A log rarely says. What it says by its keys, its values and the configuration beside it narrows
the table of `producers` down to the rows that it can be of. Where these agree, that is what the
rewards are; where they do not, the log's numbers keep their unit and a sentence says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd

from diagnostics import methods
from diagnostics.meaning import Base, Meaning, Scope
from diagnostics.readers import evidence, producers
from diagnostics.readers.contract import NO_HINTS, Hints
from diagnostics.readers.evidence import LOG_2, Slope
from diagnostics.readers.producers import HALOS, LLAMA_FACTORY, SWIFT, TORCHTUNE, TRL, Row, Versions
from diagnostics.readers.settings import TRAINERS, Settings, exactly, method_of, settings_of
from diagnostics.readers.sidecars import PICKLE


@dataclass(frozen=True)
class Facts:
    """What is known of a log: its frames under the framework's keys, and what is beside it."""

    train: pd.DataFrame
    evals: pd.DataFrame
    config: Mapping[str, Any] = field(default_factory=dict)
    hints: Hints = NO_HINTS
    final: Mapping[str, Any] | None = None

    @cached_property
    def keys(self) -> frozenset[str]:
        """The bare keys of all rows."""
        return frozenset((*self.train.columns, *self.evals.columns))

    @cached_property
    def ratio(self) -> Slope | None:
        """What rewards are of the log-probs, where that is one number: no reference is in them."""
        return evidence.constant_ratio(self.train, self.evals)

    @cached_property
    def slope(self) -> Slope | None:
        """How far rewards move with the log-probs, where the log shows it."""
        return self.ratio or evidence.eval_slope(self.evals)

    @cached_property
    def settings(self) -> Settings:
        """What the configuration says, overruled by what the user says."""
        found = settings_of({**self.config, "framework": self.hints.framework or ""})
        found = replace(found, framework=self.hints.framework or found.framework)
        if self.hints.version and self.hints.version[0].isdecimal():
            found = replace(found, versions=exactly(self.hints.version))
        if self.hints.method:
            trainer, losses = trainer_of(self.hints.method)
            found = replace(found, trainer=trainer, losses=losses, weights=(1.0,))
        if self.hints.loss_type:
            found = replace(found, losses=(self.hints.loss_type.lower(),), weights=(1.0,))
        return found


def trainer_of(method: str) -> tuple[str, tuple[str, ...] | None]:
    """Return trainer and loss types of a method as a user names it.

    Examples
    --------
    >>> trainer_of("SimPO"), trainer_of("ipo"), trainer_of("KTO")
    (('cpo', ('simpo',)), ('dpo', ('ipo',)), ('kto', None))
    """
    word = method.strip().lower().replace("-", "_")
    if word in ("kto", "orpo", "bco", "tpo", "online_dpo", "xpo", "nash_md"):
        return word, None
    if word in ("simpo", "slic"):
        return "cpo", (word,)
    if word in ("dpo", "cpo", "rso"):
        return TRAINERS[word], ("hinge" if word == "rso" else "sigmoid",)
    return "dpo", (word,)


@dataclass(frozen=True)
class Origins:
    """Who can have written a log: one framework or several, which trainer, which versions."""

    frameworks: tuple[str, ...]
    trainer: str | None
    versions: Versions
    losses: tuple[str, ...] | None

    @property
    def framework(self) -> str | None:
        """The framework, None where several come into question."""
        return self.frameworks[0] if len(self.frameworks) == 1 else None


# Keys that one framework alone writes.
_FRAMEWORK_KEYS: tuple[tuple[str, str], ...] = (
    ("log_probs/chosen", TORCHTUNE),
    ("reject_reward", producers.OPENRLHF),
    ("rewards/KL_estimate", HALOS),
    ("rewards/chosen_unclamped", HALOS),
    ("counters/lr", HALOS),
    ("counters/updates", producers.EM),
    ("Positive Geometric Mean", producers.ORPO),
    ("odds_ratio_loss", LLAMA_FACTORY),
    ("kl of eval under its train key", LLAMA_FACTORY),
    ("memory(GiB)", SWIFT),
    ("train_speed(iter/s)", SWIFT),
    ("train_speed(s/it)", SWIFT),
    ("sft_loss", producers.SIMPO),
    ("num_tokens", TRL),
    ("entropy", TRL),
)
# Keys of one kind of trainer, in whichever framework.
_TRAINER_KEYS: tuple[tuple[str, str], ...] = (
    ("mixture_coef", "nash_md"),
    ("rewards/probabilities", "nash_md"),
    ("loss/xpo", "xpo"),
    ("objective/rlhf_reward", "online_dpo"),
    ("val/contain_eos_token", "online_dpo"),
    ("log_odds_ratio", "orpo"),
    ("log_odds_chosen", "orpo"),
    ("odds_ratio_loss", "orpo"),
    ("Log Odds Ratio", "orpo"),
    ("delta", "bco"),
    ("rewards/KL_estimate", "kto"),
    ("kto_loss", "kto"),
    ("kl", "kto"),
)


def origins(facts: Facts) -> Origins:
    """Return who can have written a log."""
    known, keys = facts.settings, facts.keys
    framework = known.framework
    if framework == LLAMA_FACTORY and facts.hints.version == "v1":
        framework = producers.LLAMA_FACTORY_V1
    framework = framework or next((who for key, who in _FRAMEWORK_KEYS if key in keys), None)
    frameworks: tuple[str, ...] = (framework,) if framework else producers.TRL_KEYS
    if framework is None and keys & {"nll_loss", "log_odds_ratio"}:
        frameworks = (TRL, SWIFT)
    trainer = known.trainer or _trainer_by_keys(facts)
    versions = known.versions
    if versions == producers.ANY_VERSION and TRL in frameworks:
        versions = _trl_versions(keys, trainer)
    losses = known.losses
    if "megatron" in known.flags and framework == SWIFT:
        losses = ("sigmoid",)
    if "alphapo" in known.flags:
        losses = ("alphapo",)
    if framework == producers.SIMPO:
        # Its configurations name the link function as the loss type.
        trainer, losses = "cpo", ("simpo",)
    elif trainer == "dpo" and facts.ratio is not None and facts.hints.method is None:
        # Rewards without a reference are not those of a trainer that has one, configured or not.
        trainer, losses = _trainer_by_keys(facts), None
    return Origins(frameworks, trainer, versions, losses)


def _trainer_by_keys(facts: Facts) -> str | None:
    for key, trainer in _TRAINER_KEYS:
        if key in facts.keys:
            return trainer
    if not facts.keys & {"rewards/chosen", "chosen_reward"}:
        return None
    if not facts.keys & {"rewards/accuracies", "acc"}:
        # Only the unpaired trainers log no accuracy, and of these only BCO logs `delta`.
        is_unpaired = "rewards/rejected" in facts.keys and not facts.hints.is_selection
        return "kto" if is_unpaired else None
    if facts.ratio is not None:
        return "tpo" if "num_tokens" in facts.keys else "cpo"
    return "dpo"


def _trl_versions(keys: frozenset[str], trainer: str | None) -> Versions:
    """Return the TRL versions whose keys these are."""
    new = bool(keys & {"num_tokens", "mean_token_accuracy", "entropy"})
    if trainer == "kto":
        return Versions(since=(1, 8)) if new else Versions(until=(1, 8))
    if trainer != "dpo":
        return producers.ANY_VERSION
    if new:
        return Versions(since=(0, 29))
    return Versions((0, 9, 6) if "nll_loss" in keys else None, (0, 29))


def candidates(facts: Facts, who: Origins) -> list[Row]:
    """Return the rows of the table that agree with everything the log shows."""
    rows = producers.rows_for(who.frameworks, who.trainer, who.losses, who.versions)
    if evidence.are_sums(facts.train, facts.evals):
        rows = [row for row in rows if row.logps != "per_token"] or rows
    if facts.ratio is not None:
        if "nll_loss" not in facts.keys:
            # TRL's CPO trainer logs it always, 0.0 where the term is off.
            copies = (TRL, SWIFT)
            rows = [r for r in rows if r.trainer != "cpo" or r.framework not in copies] or rows
    elif evidence.is_positive_somewhere(facts.train, facts.evals):
        rows = [row for row in rows if row.base.has_reference or row.base is Base.OTHER] or rows
    if who.losses is None and evidence.begins_at(facts.train, LOG_2):
        # IPO begins at 1 / (4 beta^2), and a sum of losses at the sum of their starts.
        plain = [row for row in rows if "" in row.losses and not row.several]
        rows = plain or rows
    return rows


def meaning_of(facts: Facts, who: Origins, rows: Sequence[Row]) -> tuple[Meaning | None, list[str]]:
    """Return what the rewards are, and caveats on how that was found."""
    scope = scope_of(facts, who)
    kinds = {(row.base, row.logps, row.beta, row.weighted) for row in rows}
    if not rows:
        return None, []
    bases = {row.base for row in rows}
    if len(bases) > 1:
        return _unsettled(bases, scope), []
    base = next(iter(bases))
    if base is Base.OTHER:
        return Meaning(base, None, scope, "this trainer's rewards are no log-probs"), []
    factor, why, said = _factor(facts, who, rows, len(kinds) == 1)
    return Meaning(base, factor, scope, why), said


def _unsettled(bases: set[Base], scope: Scope) -> Meaning | None:
    """Return the meaning of rewards that can be more than one quantity."""
    words = " or ".join(sorted(base.value for base in bases))
    why = f"the log does not say whether rewards are a {words}; give the method with --method"
    if all(base.has_reference for base in bases):
        return Meaning(Base.LOGRATIO_SUM, None, scope, why)
    if any(base.has_reference for base in bases):
        return None
    return Meaning(Base.OTHER, None, scope, why)


def _factor(
    facts: Facts, who: Origins, rows: Sequence[Row], settled: bool
) -> tuple[float | None, str, list[str]]:
    """Return what the base is multiplied by, how that is known, and what contradicts it."""
    if not any(row.beta for row in rows):
        return 1.0, "this trainer logs rewards without beta", []
    if facts.hints.beta is not None:
        return facts.hints.beta, f"beta is {facts.hints.beta:g}, as given", []
    expected = _configured(facts, rows)
    slope = facts.slope if all(_comparable(row) for row in rows) else None
    if slope is not None and "ld_alpha" not in facts.settings.flags:
        why = f"beta is {slope.factor:g}: {slope.how}"
        said = []
        if expected is not None and abs(expected / slope.factor - 1) > 0.03:
            said.append(
                f"The configuration makes rewards {expected:g} times the log-ratio, but"
                f" {slope.how.replace('it', f'{slope.factor:g}', 1)}; the measured factor is used."
            )
        return slope.factor, why, said
    if expected is not None and settled:
        return expected, f"beta is {facts.settings.beta:g} in the configuration", []
    if expected is not None:
        return None, "whether rewards are weighted is not known; give --method", []
    if PICKLE in facts.config:
        why = f"beta is only in {PICKLE}, which is never opened: a pickle runs code; give --beta"
        return None, why, []
    return None, "beta is not in the log; give it with --beta", []


def _comparable(row: Row) -> bool:
    """Say whether the logged log-probs are the quantity whose multiple the rewards are."""
    return row.logps == ("per_token" if row.base.per_token else "sum")


def _configured(facts: Facts, rows: Sequence[Row]) -> float | None:
    """Return the factor that the configuration states: beta, times the weights where they count."""
    beta, weights = facts.settings.beta, facts.settings.weights
    if beta is None or not all(row.weighted for row in rows):
        return beta
    return None if weights is None else beta * sum(weights)


def scope_of(facts: Facts, who: Origins) -> Scope:
    """Return what one logged reward averages over."""
    if who.framework == TORCHTUNE:
        if "distributed" in facts.settings.flags:
            return Scope.WINDOW
        one = "single_device" in facts.settings.flags
        return Scope.LAST_MICRO_BATCH if one else Scope.UNKNOWN
    found = producers.scope_of(who.framework or TRL, who.trainer, who.versions)
    if who.framework is None and found is not Scope.UNKNOWN:
        others = {producers.scope_of(one, who.trainer, who.versions) for one in who.frameworks[1:3]}
        found = found if others <= {found, Scope.UNKNOWN} else Scope.UNKNOWN
    if facts.settings.world_size == 1 and found in (Scope.WINDOW_RANK_0, Scope.UNKNOWN):
        return Scope.WINDOW
    return found


def method_name(facts: Facts, who: Origins, rows: Sequence[Row]) -> str | None:
    """Return the method by the schema's name, or the trainer's own where the schema has none."""
    if facts.hints.method:
        try:
            return methods.method(facts.hints.method).name
        except KeyError:
            return facts.hints.method
    named = method_of(who.trainer, who.losses)
    if named is not None or who.trainer is None:
        return named
    if who.losses and who.trainer == "dpo":
        return None
    if who.trainer == "cpo":
        means = all(row.base.per_token for row in rows)
        return "simpo" if means and rows else "cpo" if rows and not _mixed(rows) else None
    return who.trainer


def _mixed(rows: Sequence[Row]) -> bool:
    return len({row.base for row in rows}) > 1
