"""Remedies: what may help, worked out for one run.

Each function takes a Reading and returns one Advice, or None where the remedy does not fit the
run (no SFT term to lower, no reference for a stronger pull towards it). Values come from the run;
where the numbers are missing the advice is a direction, and says which probe would give a value.

Strength: A several studies, or a theorem and an experiment; B one careful study; C practitioners;
D derived only.
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from diagnostics.flags import everywhere, flags, rounded
from diagnostics.reading import Reading
from diagnostics.verdicts import Advice

# A search step where nothing tells the distance: the grids of the methods' papers have steps of 2.
STEP = 2.0
# Settings that scale the pull towards the reference; the beta of other methods is something else.
PULLS = ("dpo", "robust", "exo_pair", "nca_pair", "bco_pair", "aot", "aot_unpaired", "apo_zero")


def lower_learning_rate(reading: Reading) -> Advice | None:
    """Return a smaller learning rate."""
    rate = learning_rate(reading)
    now = f" from {rate:g} to {rounded(rate / STEP):g}" if rate else ""
    return Advice(
        action=f"halve the learning rate{now}, and look again; a virtual step on the probe set "
        "(curvature) would say how far to go",
        strength="B",
        expected="chosen falls less and drift shrinks with the square of the step; rejected falls "
        "less too",
        risk="slower: the same margin takes more steps",
        source="Ethayarajh et al., arXiv 2402.01306, section 4.2; the README of SimPO's code "
        "(degenerate text at 1e-5)",
        setting="learning_rate",
        flags=everywhere(method_name(reading), learning_rate=rounded(rate / STEP)) if rate else {},
    )


def raise_learning_rate(reading: Reading) -> Advice | None:
    """Return a larger learning rate."""
    rate = learning_rate(reading)
    now = f" from {rate:g} to {rounded(rate * STEP):g}" if rate else ""
    return Advice(
        action=f"double the learning rate{now} until the margin of the probe pairs grows",
        strength="C",
        expected="both sides move further in the direction they already have; drift grows",
        risk="too large a step lowers both sides",
        source="Ethayarajh et al., arXiv 2402.01306 (KTO wants 2 to 10 times DPO's rate)",
        setting="learning_rate",
        flags=everywhere(method_name(reading), learning_rate=rounded(rate * STEP)) if rate else {},
    )


def raise_beta(reading: Reading) -> Advice | None:
    """Return a stronger pull towards the reference, for methods whose beta is one."""
    name = method_name(reading)
    if name not in (*PULLS, "kto", None):
        return None
    beta = setting(reading, "beta")
    now = f" from {beta:g} to {rounded(beta * STEP):g}" if beta else ""
    new = rounded(beta * STEP) if beta else None
    return Advice(
        action=f"double beta{now}",
        strength="A",
        expected="drift shrinks; both sides move less; which side moves how far relative to the "
        "other (S) stays as it is",
        risk="a smaller margin; beta does not undo a fall that the pairs' gradients cause",
        source="Rafailov et al., arXiv 2406.02900 (KL budgets); Meng et al., arXiv 2405.14734, "
        "figure 5",
        setting="beta",
        flags={}
        if new is None
        else flags(name, trl={"beta": new}, llamafactory={"pref_beta": new}, seesaw={"beta": new}),
    )


def learning_rate(reading: Reading) -> float | None:
    """Return the peak learning rate: as configured, or else the largest that was logged."""
    configured = setting(reading, "learning_rate")
    if configured:
        return configured
    _, logged = reading.column("learning_rate")
    return float(logged.max()) if logged.size and logged.max() > 0 else None


def setting(reading: Reading, name: str) -> float | None:
    """Return a positive number of the run's own configuration; defaults do not count."""
    value = reading.run.config.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return None
    return float(value) if isfinite(value) and value > 0 else None


def method_name(reading: Reading) -> str | None:
    """Return the name of the run's method, None where it is unknown."""
    return None if reading.method is None else reading.method.name
