"""The regime of a run: which side rises, which falls, since when, and how sure that is.

A run with a usable probe set is named from it (`probephases`), every other one from its logged
rewards (`logphases`). The verdict says which. "Cannot tell" is an answer: `unknown` carries its
reason, and is not `flat`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from diagnostics.logphases import name_logged, named_phases
from diagnostics.naming import (
    EFFECT_FLOOR,
    MEANINGFUL_CHANGE,
    SEVERITY_BANDS,
    Basis,
    Directions,
    Movement,
    NamedPhase,
    RegimeVerdict,
)
from diagnostics.probephases import (
    DEFAULT_RULES,
    MIN_EVALUATIONS,
    MIN_PAIRS,
    MIN_STEPS,
    Rules,
    classify,
    name_probed,
    spans,
)
from diagnostics.regimes import Regime
from diagnostics.series import MIN_LOGGED, Logged, logged
from diagnostics.share import default_split, estimate, trajectory
from diagnostics.verdicts import Evidence

if TYPE_CHECKING:
    from diagnostics.run import Run

__all__ = [
    "EFFECT_FLOOR",
    "MEANINGFUL_CHANGE",
    "MIN_EVALUATIONS",
    "MIN_LOGGED",
    "MIN_PAIRS",
    "MIN_STEPS",
    "SEVERITY_BANDS",
    "Basis",
    "Directions",
    "Evidence",
    "Movement",
    "NamedPhase",
    "Regime",
    "RegimeVerdict",
    "Rules",
    "classify",
    "name_regime",
    "regime_path",
]


def name_regime(
    run: Run, rules: Rules = DEFAULT_RULES, rewards: Sequence[Logged] | None = None
) -> RegimeVerdict:
    """Return the regime at the end of a run, with its evidence and its phases.

    Named on the train pairs of the probe set, or on the held-out ones where no train pair is
    usable; without a usable probe set from the logged rewards. `rewards` are those of
    `series.logged`, worked out here where they are not given.
    """
    rewards = logged(run) if rewards is None else rewards
    split = default_split(run)
    estimates = trajectory(run, split)
    if estimates:
        verdict = name_probed(run, estimates, rules)
        usable = rewards and rewards[0].changes.points >= MIN_LOGGED
        phases = named_phases(rewards[0].trends) if usable else ()
        return replace(verdict, logged_phases=phases)
    why = (
        "the probe set holds neither train nor held-out pairs with a step"
        if len(run.probes)
        else "the run has no probe set (fixed pairs that are scored again during training)"
    )
    return name_logged(run, rewards, estimate(run, split=split), why)


def regime_path(
    run: Run, split: str | None = None, rules: Rules = DEFAULT_RULES
) -> list[tuple[int, int, Regime]]:
    """Return the probe set's regimes as spans (first step, last step, regime).

    A span begins at the evaluation that first shows its regime and ends where the next begins,
    so the last span has no width where the regime changed at the last evaluation. A run that is
    too short to name is one `unknown` span; one without a probe set has none. `split` defaults
    to the one that the regime is named on.
    """
    estimates = trajectory(run, split)
    return spans(estimates, rules) if estimates else []
