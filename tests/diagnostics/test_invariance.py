"""What must not change a verdict: the scale of beta and rewards, how often a log was written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from diagnostics.diagnosis import Diagnosis, diagnose
from diagnostics.examples import BETA, example
from diagnostics.meaning import Base, Meaning, Scope
from diagnostics.naming import Basis
from diagnostics.regimes import Regime
from diagnostics.run import Run
from tests.diagnostics.logged_runs import logged_run, noisy

NAMED = [
    Regime.IDEAL,
    Regime.BOTH_RISE,
    Regime.BOTH_FALL,
    Regime.REVERSED,
    Regime.MARGIN_LOSS,
    Regime.MIXED,
]
REWARDS = ("rewards/chosen", "rewards/rejected", "rewards/margins")


def without_probes(run: Run) -> Run:
    return replace(run, probes=run.probes.iloc[:0], samples=run.samples.iloc[:0])


def scaled(run: Run, by: float) -> Run:
    """Return the run as if beta had been `by` times as large, and every reward with it.

    The loss is left out: it does not scale, and would rightly contradict the rewards.
    """
    frames = {
        name: frame.assign(**{c: by * frame[c] for c in REWARDS}).drop(columns="loss")
        for name, frame in (("train", run.train), ("evals", run.evals))
    }
    meaning = run.meaning and replace(run.meaning, factor=by * (run.meaning.factor or 0.0))
    return replace(run, meaning=meaning, **frames)


def said(found: Diagnosis) -> tuple[object, ...]:
    """Return what must be the same: regime, since when, how badly, S, findings and advice."""
    share = found.regime.share
    return (
        found.regime.label,
        found.regime.since_step,
        found.regime.severity,
        None if share is None else tuple(round(end, 6) for end in (share.low, share.high)),
        [(one.pathology, one.status, one.severity) for one in found.verdicts],
        [(one.pathology, [a.setting for a in one.advice]) for one in found.present],
    )


@pytest.mark.parametrize("regime", NAMED)
@pytest.mark.parametrize(("by", "probes"), [(50.0, True), (50.0, False), (1e-3, False)])
def test_beta_and_rewards_scaled_together_change_nothing(
    regime: Regime, by: float, probes: bool
) -> None:
    run = example(regime) if probes else without_probes(example(regime))
    found = diagnose(scaled(run, 1.0))
    assert found.regime.basis is (Basis.PROBE if probes else Basis.REWARDS)
    assert said(diagnose(scaled(run, by))) == said(found)


# A side that did not move is flat by a floor, which without a known unit has no scale.
@pytest.mark.parametrize("regime", [one for one in NAMED if one is not Regime.MIXED])
@pytest.mark.parametrize("by", [50.0])
def test_reward_units_of_an_unknown_scale_change_neither_regime_nor_share(
    regime: Regime, by: float
) -> None:
    run = replace(without_probes(example(regime)), meaning=None)
    first, second = diagnose(run).regime, diagnose(scaled(run, by)).regime
    assert (second.label, second.directions) == (first.label, first.directions)
    if first.share is None:
        assert second.share is None
    else:
        assert second.share is not None
        assert second.share.value == pytest.approx(first.share.value, rel=1e-9)


def test_the_share_is_that_of_the_log_probs_whatever_beta_was() -> None:
    run = without_probes(example(Regime.BOTH_FALL))
    assert run.meaning is not None
    assert run.meaning.factor == BETA
    share = diagnose(run).regime.share
    assert share is not None
    assert share.value == pytest.approx(-0.6, abs=0.05)


def every(run: Run, interval: int) -> Run:
    """Return the same training with its records averaged over windows of `interval` steps."""
    frame = run.train
    kept = frame.iloc[: len(frame) // interval * interval]
    windows = kept.groupby(np.arange(len(kept)) // interval).mean()
    windows.index = pd.Index(kept.index[interval - 1 :: interval], name="step")
    return replace(run, train=windows)


def training(end: tuple[float, float], seed: int) -> Run:
    """Return a DPO training of 400 steps that saturates, logged at every step.

    At the first step the policy is the reference: rewards, and their noise, begin at 0.
    """
    rng = np.random.default_rng(seed)
    progress = -np.expm1(-3 * np.arange(400) / 399) / -np.expm1(-3)
    shared = rng.normal(0, 0.03, 400)
    sides = [progress * (goal + shared + rng.normal(0, 0.05, 400)) for goal in end]
    run = logged_run(
        *sides,
        steps=np.arange(1, 401),
        tokens=10.0,
        margins=sides[0] - sides[1],
        meaning=Meaning(Base.LOGRATIO_SUM, 0.1, Scope.WINDOW, "beta is 0.1"),
    )
    run.train["loss"] = np.logaddexp(0, sides[1] - sides[0])
    run.train["rewards/accuracies"] = (1 + np.tanh(sides[0] - sides[1])) / 2
    run.train["grad_norm"] = rng.lognormal(0, 0.1, 400)
    return run


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("end", [(0.6, -0.8), (0.9, 0.3), (-0.4, -1.2), (-0.6, 0.6), (-0.9, -0.3)])
def test_how_often_a_training_was_logged_changes_no_verdict(
    end: tuple[float, float], seed: int
) -> None:
    run = training(end, seed)
    whole = diagnose(run)
    for interval in (5, 20):
        found = diagnose(every(run, interval))
        assert found.regime.label == whole.regime.label
        assert found.regime.severity == whole.regime.severity
        if whole.regime.share is None:
            assert found.regime.share is None
        else:
            assert found.regime.share is not None
            assert found.regime.share.value == pytest.approx(whole.regime.share.value, abs=0.05)
        assert {v.pathology for v in found.present} == {v.pathology for v in whole.present}
        assert {v.pathology for v in found.suspected} == {v.pathology for v in whole.suspected}


def test_the_unit_of_time_changes_nothing_but_the_steps() -> None:
    chosen, rejected = noisy((-0.4, -0.9))
    first = diagnose(logged_run(chosen, rejected, steps=np.arange(60))).regime
    second = diagnose(logged_run(chosen, rejected, steps=1000 * np.arange(60))).regime
    assert second.share == first.share
    assert second.label == first.label
    assert second.since_step == 1000 * (first.since_step or 0)
