"""The words of a verdict: its sentence, confidence, severity, evidence and caveats."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import numpy as np
import pandas as pd
import pytest

from diagnostics.examples import example
from diagnostics.pathologies import BY_NAME, explanation
from diagnostics.phases import (
    EFFECT_FLOOR,
    name_regime,
)
from diagnostics.regimes import EXPLANATIONS, Regime
from diagnostics.run import Run
from tests.diagnostics.probe_runs import moved, probe_run, run_of, spread, straight, table

# The sentence.


def test_the_sentence_holds_the_numbers() -> None:
    assert name_regime(example(Regime.BOTH_FALL)).sentence == (
        "both fall since step 10: chosen -0.30 and rejected -0.80 nats/token from the start "
        "(S = -0.60, 95 % -0.76…-0.47)"
    )


def test_without_a_share_the_sentence_quotes_the_margin() -> None:
    sentence = name_regime(example(Regime.REVERSED)).sentence
    assert sentence.startswith("reversed since step 10: chosen -0.20 and rejected +0.20")
    assert "margin -0.40, 95 % -0.42…-0.38" in sentence


@pytest.mark.parametrize(
    ("chosen", "rejected", "clause"),
    [
        (0.0, -0.3, "the margin grows and chosen could be -0.005…+0.005"),
        (0.3, 0.0, "the margin grows and rejected could be -0.005…+0.005"),
        (-0.3, -0.3, "both sides move together, the margin does not"),
        (0.009, -0.009, "the margin grows, but neither side has a direction of its own"),
    ],
)
def test_a_mixed_verdict_says_what_is_undecided(
    chosen: float, rejected: float, clause: str
) -> None:
    verdict = name_regime(moved(chosen, rejected))
    assert verdict.regime is Regime.MIXED
    assert clause in verdict.sentence


def test_flat_says_what_is_excluded() -> None:
    verdict = name_regime(example(Regime.FLAT))
    assert verdict.sentence == (
        "flat since step 0: chosen +0.000 and rejected +0.000 nats/token from the start "
        "(changes above 0.050 are excluded)"
    )


@pytest.mark.parametrize(
    ("run", "confidence"),
    [
        (moved(0.2, -0.3), "high: 20 pairs, and every deciding interval stays well clear of 0"),
        (
            moved(0.03, -0.3, size=0.04),
            "moderate: 20 pairs, and the interval of the chosen change only just excludes 0",
        ),
        (moved(0.0, 0.0), "high: 20 pairs, and no change above 0.006 nats/token is left possible"),
        (
            moved(0.0, 0.0, size=0.06),
            "moderate: 20 pairs, and no change above 0.037 nats/token is left possible",
        ),
    ],
)
def test_confidence_is_said_in_words(run: Run, confidence: str) -> None:
    assert name_regime(run).confidence == confidence


@pytest.mark.parametrize(
    ("chosen", "rejected", "severity"),
    [
        (-0.03, -0.3, "mild"),
        (-0.2, -0.6, "moderate"),
        (-0.5, -0.9, "severe"),
        (-0.3 + 1e-9, -0.9, "severe"),  # printed as -0.30, where severe begins
        (-3.0, -9.0, "collapse"),
        (0.9, 0.2, "moderate"),
        (-0.2, 0.4, "moderate"),
        (-0.9, -0.2, "severe"),
        (0.2, -0.3, None),
        (0.0, 0.0, None),
    ],
)
def test_severity_is_that_of_the_side_that_goes_wrong(
    chosen: float, rejected: float, severity: str | None
) -> None:
    assert name_regime(moved(chosen, rejected)).severity == severity


def test_every_piece_of_evidence_has_a_unit_and_an_interval() -> None:
    verdict = name_regime(example(Regime.BOTH_FALL))
    found = {one.quantity: one for one in verdict.evidence}
    assert list(found) == [
        "Δ chosen",
        "Δ rejected",
        "margin",
        "chosen share S",
        "reward accuracy",
        "ranking accuracy",
        "drift",
        "Δ chosen, tide-corrected",
        "probe pairs",
    ]
    assert all(one.unit for one in verdict.evidence)
    assert found["Δ chosen"].threshold == EFFECT_FLOOR
    assert found["margin"].value == pytest.approx(0.5)
    assert all(one.low <= one.value <= one.high for one in verdict.evidence[:-1])


# Caveats.


def test_held_out_pairs_in_another_regime_are_noted() -> None:
    run = example(Regime.IDEAL)
    other = example(Regime.BOTH_FALL).probes
    probes = pd.concat(
        [
            run.probes[run.probes["split"] == "train"],
            other[other["split"] == "held_out"],
        ]
    )
    verdict = name_regime(replace(run, probes=probes))
    assert verdict.regime is Regime.IDEAL
    assert verdict.caveats == (
        "on held-out pairs the regime is both fall (chosen -0.30, rejected -0.80 nats/token)",
    )


def test_held_out_pairs_stand_in_for_missing_train_pairs_and_the_sentence_says_so() -> None:
    run = example(Regime.IDEAL)
    held_out = run.probes[run.probes["split"] == "held_out"]
    verdict = name_regime(replace(run, probes=held_out))
    assert verdict.regime is Regime.IDEAL
    assert verdict.sentence.startswith("ideal since step 10 on held-out pairs: ")
    assert verdict.caveats == ()


def test_another_regime_on_the_summed_scale_is_noted() -> None:
    tokens = np.array([[100.0, 4.0] * 8, [20.0, 20.0] * 8])
    changes = np.array([[20.0, -2.0] * 8, [-8.0, -16.0] * 8])
    prompts = [f"prompt {pair // 2}" for pair in range(16)]
    verdict = name_regime(probe_run(changes, tokens=tokens, prompts=prompts))
    assert verdict.regime is Regime.BOTH_FALL
    assert verdict.caveats == (
        "summed over completions the regime is ideal (chosen +9.00, rejected -12.00 "
        "nats/completion), where long completions weigh more",
    )


def test_the_summed_scale_has_the_floor_of_a_whole_completion() -> None:
    # Half a nat on a hundred tokens is half the floor.
    changes = np.array([spread(0.5, 0.1, 16), spread(-0.5, 0.1, 16)])
    verdict = name_regime(probe_run(changes, tokens=np.full((2, 16), 100.0)))
    assert (verdict.regime, verdict.caveats) == (Regime.FLAT, ())


def test_pairs_left_out_and_a_late_first_evaluation_are_noted() -> None:
    logps = straight(np.repeat([[0.2], [-0.3]], 12, axis=1))
    logps[-1, 0, :2] = nan
    verdict = name_regime(run_of(table(logps, steps=(20, 30, 40, 50, 60))))
    assert verdict.regime is Regime.IDEAL
    assert verdict.caveats == (
        "the probe set was first scored at step 20: changes count from there, not from the start "
        "of the run",
        "2 probe pairs left out: a log-probability is not finite",
    )


def test_weights_that_never_changed_are_noted() -> None:
    verdict = name_regime(probe_run([[0.0] * 9, [0.0] * 9]))
    assert verdict.regime is Regime.FLAT
    assert verdict.caveats == (
        "every probe log-probability is exactly what it was at the start: the weights that were "
        "scored have not changed",
    )
    assert name_regime(example(Regime.FLAT)).caveats == ()


@pytest.mark.parametrize(
    ("drift", "words"),
    [
        (0.05, "chosen falls more than"),
        (0.28, "is not seen to fall more than"),  # more, but within the interval
        (0.5, "is not seen to fall more than"),
    ],
)
def test_a_fall_is_held_against_the_tide(drift: float, words: str) -> None:
    run = example(Regime.BOTH_FALL)
    start = run.samples[run.samples["step"] == 0]
    fallen = run.samples.assign(
        logps=np.tile(start["logps"], 21)
        - drift * run.samples["completion_tokens"] * (run.samples["step"] > 0)
    )
    (caveat,) = name_regime(replace(run, samples=fallen)).caveats
    assert words in caveat


# The texts.


@pytest.mark.parametrize("regime", list(Regime))
def test_every_regime_is_explained_once(regime: Regime) -> None:
    assert explanation(regime).startswith("What it is\n    ")
    assert (regime in EXPLANATIONS) is (regime.value.replace("flat", "flat_run") not in BY_NAME)


@pytest.mark.parametrize("regime", EXPLANATIONS)
def test_a_regime_that_is_no_pathology_has_the_same_headings(regime: Regime) -> None:
    text = EXPLANATIONS[regime]
    heads = [line for line in text.splitlines() if not line.startswith(" ")]
    assert heads == [
        "What it is",
        "Why it matters",
        "When this is wrong",
        "What to try",
        "References",
    ]
    assert max(map(len, text.splitlines())) <= 100
