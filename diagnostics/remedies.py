"""Remedies in how a run is trained: learning rate, pull towards the reference, length of the run.

Each function takes a Reading and returns one Advice, or None where the remedy does not fit the
run. Values come from the run; where the numbers are missing the advice is a direction with a search
step, and says which probe would give a value.

Strength: A several studies, or a theorem and an experiment; B one careful study; C practitioners;
D derived only.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite, sqrt

import numpy as np

from diagnostics.flags import everywhere, flags, rounded
from diagnostics.intervals import number
from diagnostics.reading import Reading
from diagnostics.verdicts import Advice
from diagnostics.windows import TOLERATED_CURVATURE, curvature, hyper_number

# A search step where nothing tells the distance: the grids of the methods' papers have steps of 2.
STEP = 2.0
# Drift that a learning rate is sized for: half of where drift is suspected [nats per token], as the
# square law holds for small distances only. Proposals of this project, like the least share.
DRIFT_BUDGET = 0.05
LEAST_SHARE = 0.05
# Methods whose beta is the pull towards a reference; elsewhere it is a scale or a target.
PULLS = ("dpo", "robust", "exo_pair", "nca_pair", "bco_pair", "aot", "aot_unpaired", "apo_zero")


def lower_learning_rate(reading: Reading) -> Advice | None:
    """Return a smaller learning rate: by the measured curvature, or by a search step."""
    rate, bent = learning_rate(reading), curvature(reading)
    to = None if bent is None else bent.lower_rate()
    if bent is not None and to is not None and bent.rate is not None:
        # The rate of the measured step may be one of the warm-up: the peak shrinks alike.
        to = (rate or bent.rate) * to / bent.rate
        action = (
            f"lower the learning rate to {rounded(to):g}: at step {bent.step} a real step lost "
            f"{100 * bent.k:.0f} % of what the gradient promised, and this is where it would lose "
            f"{100 * TOLERATED_CURVATURE:.0f} %"
        )
    else:
        to = rate / STEP if rate else None
        now = f" from {rate:g} to {rounded(to):g}" if rate and to else ""
        known = (
            f"; the measured curvature ({bent.k:.2f} of the first order) does not ask for it"
            if bent is not None
            else "; a virtual step on the probe set (curvature) would say how far to go"
        )
        action = f"halve the learning rate{now}, as a search step{known}"
    return Advice(
        action=action,
        strength="B",
        expected="chosen falls less, rejected falls less, and drift shrinks with the square of the "
        "distance",
        risk="slower: the same margin takes more steps",
        source="arXiv 2402.01306, section 4.2 (too large a rate lowers both sides); the README of "
        "SimPO's code (degenerate text at 1e-5)",
        setting="learning_rate",
        window=(0.0, rounded(to)) if to and bent is not None else None,
        flags=everywhere(method_name(reading), learning_rate=rounded(to)) if to else {},
    )


def try_lower_rate(reading: Reading) -> Advice | None:
    """Return a smaller learning rate where only derivation speaks for it."""
    found = lower_learning_rate(reading)
    return None if found is None else replace(found, strength="D")


def lower_rate_by_drift(reading: Reading) -> Advice | None:
    """Return the learning rate at which the measured drift would be within its budget.

    Drift grows with the square of the distance (m^2 / (2 |D|^2) for a Gaussian policy), and the
    distance with the learning rate.
    """
    drift = reading.estimates[-1].drift if reading.estimates else None
    rate = learning_rate(reading)
    if drift is None or not drift.value > DRIFT_BUDGET or not isfinite(drift.value):
        return None
    share = max(LEAST_SHARE, sqrt(DRIFT_BUDGET / drift.value))
    to = rounded(rate * share) if rate else None
    where = f" from {rate:g} to {to:g}" if rate else ""
    return Advice(
        action=f"lower the learning rate{where}, to {100 * share:.0f} %: drift is "
        f"{number(drift.value)} nats/token and grows with the square of the distance, and this "
        f"brings it to about {number(DRIFT_BUDGET)}",
        strength="A",
        expected="drift shrinks with the square of the distance; chosen falls less, rejected falls "
        "less, and so the margin grows less",
        risk="slower: the same margin takes more steps",
        source="arXiv 2406.02900 (budgets of KL); arXiv 2402.01306, section 4.2; cures in "
        "docs/casebook.md, experiment E4",
        setting="learning_rate",
        window=(0.0, to) if to else None,
        flags=everywhere(method_name(reading), learning_rate=to) if to else {},
    )


def lower_rate_where_it_bends(reading: Reading) -> Advice | None:
    """Return a smaller learning rate where the curvature was measured and asks for it."""
    bent = curvature(reading)
    return None if bent is None or bent.lower_rate() is None else lower_learning_rate(reading)


def raise_learning_rate(reading: Reading) -> Advice | None:
    """Return a larger learning rate, unless its steps are too large already."""
    rate, bent = learning_rate(reading), curvature(reading)
    if bent is not None and bent.k > TOLERATED_CURVATURE:
        return None
    now = f" from {rate:g} to {rounded(rate * STEP):g}" if rate else ""
    return Advice(
        action=f"double the learning rate{now}, as a search step, until the margin grows",
        strength="C",
        expected="chosen and rejected move further the way they go; drift grows with the square",
        risk="too large a step lowers both sides",
        source="arXiv 2402.01306 (KTO takes 2 to 10 times DPO's rate); arXiv 2405.14734, appendix "
        "(rates tuned for every method)",
        setting="learning_rate",
        flags=everywhere(method_name(reading), learning_rate=rounded(rate * STEP)) if rate else {},
    )


def raise_beta(reading: Reading) -> Advice | None:
    """Return a stronger pull towards the reference, for methods whose beta is one."""
    name = method_name(reading)
    if name not in (*PULLS, "kto", None):
        return None
    beta = setting(reading, "beta")
    new = rounded(beta * STEP) if beta else None
    return Advice(
        action="double beta, as a search step",
        strength="C",
        expected="chosen and rejected move less and drift shrinks; the chosen share S stays where "
        "it is",
        risk="a smaller margin; a fall that the pairs' gradients cause is not undone",
        source="arXiv 2406.02900 (budgets of KL); arXiv 2405.14734, figure 5; one doubling did not "
        "bring drift back within its budget in docs/casebook.md (E4, E10)",
        setting="beta",
        flags=flags(name, trl={"beta": new}, llamafactory={"pref_beta": new}, seesaw={"beta": new})
        if new
        else {},
    )


def raise_simpo_beta(reading: Reading) -> Advice | None:
    """Return SimPO's remedies against drift: only its rate and saturation limit the travel."""
    if method_name(reading) != "simpo":
        return None
    beta = setting(reading, "beta")
    new = rounded(min(10.0, beta * STEP)) if beta and beta < 10 else None
    return Advice(
        action="raise SimPO's beta within 2 to 10 at the same ratio gamma/beta",
        strength="C",
        expected="pairs saturate at a smaller margin per token: chosen and rejected travel less, "
        "and so does drift",
        risk="sharper saturation leaves hard pairs behind",
        source="arXiv 2405.14734, section 4 and its code's README; did not bring drift back in "
        "docs/casebook.md (E14)",
        setting="beta",
        window=(2.0, 10.0),
        flags=_simpo_flags(reading, new) if new else {},
    )


def _simpo_flags(reading: Reading, beta: float) -> dict[str, str]:
    gamma = rounded(hyper_number(reading, "gamma") * beta / hyper_number(reading, "beta"))
    if not isfinite(gamma):
        return {}
    return flags(
        "simpo",
        trl={"loss_type": "simpo", "beta": beta, "simpo_gamma": gamma},
        llamafactory={"pref_loss": "simpo", "pref_beta": beta, "simpo_gamma": gamma},
        seesaw={"beta": beta, "simpo_gamma": gamma},
    )


def stop_at_the_peak(reading: Reading) -> Advice | None:
    """Return the step at which the chosen side stood highest, as the place to stop."""
    curve = [(one.step, one.delta_chosen.value) for one in reading.estimates]
    curve = [(step, value) for step, value in curve if isfinite(value)]
    if len(curve) < 3:
        return None
    step, value = max(curve, key=lambda point: point[1])
    if not curve[0][0] < step < curve[-1][0] or value <= 0:
        return None
    return Advice(
        action=f"keep the checkpoint of step {step}, where the chosen side stood highest "
        f"({value:+.3f} nats/token), or stop there",
        strength="D",
        expected="chosen ends at its peak, rejected higher than now, drift smaller",
        risk="a smaller margin; the peak of the likelihood need not be that of the win rate",
        source="the second-order law chosen = S_0 m - KL(m), exact for a Gaussian policy; "
        "arXiv 2406.02900 (best near a quarter of an epoch)",
        setting="max_steps",
        flags=everywhere(method_name(reading), max_steps=int(step)),
    )


def stop_earlier(reading: Reading) -> Advice | None:
    """Return a shorter run."""
    epochs = setting(reading, "num_train_epochs")
    _, logged = reading.column("epoch")
    done = float(logged.max()) if logged.size and logged.max() > 0 else epochs
    new = rounded(done / STEP) if done else None
    now = f" ({done:.3g} epochs now, next {new:g})" if new else ""
    return Advice(
        action=f"train shorter{now}, and compare checkpoints on held-out pairs and samples",
        strength="B",
        expected="chosen and rejected end nearer to the start, with less drift",
        risk="a smaller margin",
        source="arXiv 2406.02900, section 3 (win rates peak near a quarter of an epoch); "
        "arXiv 2410.11677 (win probability turns while margins grow)",
        setting="num_train_epochs",
        flags=everywhere(method_name(reading), num_train_epochs=new) if new else {},
    )


def warm_up_and_clip(reading: Reading) -> Advice | None:
    """Return a warm-up and clipping against bursts of the gradient."""
    name = method_name(reading)
    clip = setting(reading, "max_grad_norm")
    new = rounded(clip / STEP) if clip else 1.0
    return Advice(
        action=f"warm up over a tenth of the steps and clip gradients at {new:g}"
        + (f" (now {clip:g})" if clip else ""),
        strength="C",
        expected="no bursts: chosen and rejected keep their direction, only more evenly, and drift "
        "grows without jumps",
        risk="a clip that always binds is a smaller learning rate in disguise",
        source="practice: the released recipes of DPO, SimPO and ORPO all warm up and clip",
        setting="max_grad_norm",
        flags=flags(
            name,
            trl={"warmup_steps": 0.1, "max_grad_norm": new},
            llamafactory={"warmup_ratio": 0.1, "max_grad_norm": new},
            seesaw={"warmup_ratio": 0.1, "max_grad_norm": new},
        ),
    )


def weights_in_fp32(reading: Reading) -> Advice | None:
    """Return mixed precision: weights in fp32, arithmetic in bf16."""
    return Advice(
        action="hold the trained weights in fp32 and compute in bf16, or train an adapter",
        strength="D",
        expected="chosen and rejected move at all, and drift begins with them",
        risk="four bytes a weight instead of two, and as much more for the optimizer",
        source="the format: bf16 keeps 8 bits, so an update below 0.2 % of a weight rounds away",
        setting="bf16",
        flags=flags(
            method_name(reading),
            trl={"bf16": True, "model_init_kwargs": {"dtype": "float32"}},
            llamafactory={"bf16": True, "pure_bf16": False},
        ),
    )


def same_reference(reading: Reading) -> Advice | None:
    """Return what makes policy and reference agree at step 0."""
    if reading.method is not None and not reading.method.reference:
        return None
    return Advice(
        action="take the very checkpoint that training starts from as the reference, in the same "
        "precision, with the same template and without dropout, and check that step 0 shows no "
        "reward",
        strength="D",
        expected="chosen and rejected rewards start at 0, so that changes and drift count from "
        "where the policy was",
        risk="none",
        source="at policy = reference the losses of this family have a known start, log 2 for DPO",
        setting="disable_dropout",
        flags=flags(method_name(reading), trl={"disable_dropout": True}),
    )


def log_more(reading: Reading) -> Advice | None:
    """Return the logging that leaves nothing out."""
    return Advice(
        action="average what is logged over the whole window and all ranks (TRL does so from 0.14 "
        "on), and score a fixed set of pairs during training",
        strength="D",
        expected="nothing of chosen, rejected or drift changes; they can be read",
        risk="none",
        source="TRL issue 2468 (metrics of rank 0 only)",
        setting="logging_steps",
        flags=everywhere(method_name(reading), logging_steps=1),
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
    return float(value) if 1e-300 < value < 1e300 else None


def method_name(reading: Reading) -> str | None:
    """Return the name of the run's method, None where it is unknown."""
    return None if reading.method is None else reading.method.name
