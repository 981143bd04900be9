"""The rule at its edges, what cannot be told, and the words of a verdict."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import nan

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.examples import example, nan_ridden
from diagnostics.intervals import Interval
from diagnostics.phases import (
    EFFECT_FLOOR,
    MEANINGFUL_CHANGE,
    MIN_PAIRS,
    Rules,
    classify,
    name_regime,
    regime_path,
)
from diagnostics.regimes import EXPLANATIONS, Regime
from diagnostics.run import Run
from diagnostics.share import ShareEstimate, estimate, trajectory
from tests.diagnostics.probe_runs import any_run, moved, probe_run, run_of, spread, straight, table

# The rule, at its edges.


def shown(chosen: Interval, rejected: Interval, margin: Interval, pairs: int = 64) -> ShareEstimate:
    return replace(
        estimate(probe_run(np.zeros((2, 9)))),
        delta_chosen=chosen,
        delta_rejected=rejected,
        margin=margin,
        n_pairs=pairs,
    )


def about(value: float, half: float) -> Interval:
    return Interval(value, value - half, value + half)


@pytest.mark.parametrize(
    ("chosen", "rejected", "margin", "regime"),
    [
        (about(0.2, 0.05), about(-0.3, 0.05), about(0.5, 0.05), Regime.IDEAL),
        (about(0.3, 0.05), about(0.1, 0.05), about(0.2, 0.05), Regime.BOTH_RISE),
        (about(-0.1, 0.05), about(-0.3, 0.05), about(0.2, 0.05), Regime.BOTH_FALL),
        (about(-0.1, 0.05), about(0.1, 0.05), about(-0.2, 0.05), Regime.REVERSED),
        (about(-0.3, 0.05), about(-0.1, 0.05), about(-0.2, 0.05), Regime.MARGIN_LOSS),
        (about(0.1, 0.05), about(0.3, 0.05), about(-0.2, 0.05), Regime.MARGIN_LOSS),
        # The margin grows, one side is undecided.
        (about(0.02, 0.05), about(-0.3, 0.05), about(0.3, 0.05), Regime.MIXED),
        # Chosen fell beyond doubt, but by less than the floor.
        (about(-0.009, 0.001), about(-0.3, 0.05), about(0.3, 0.05), Regime.MIXED),
        # Both fall together.
        (about(-0.3, 0.05), about(-0.3, 0.05), about(0.0, 0.01), Regime.MIXED),
        # A tiny but certain margin over a large common fall.
        (about(-0.500, 0.05), about(-0.506, 0.05), about(0.006, 0.001), Regime.BOTH_FALL),
        # The margin alone moved.
        (about(0.009, 0.02), about(-0.009, 0.02), about(0.018, 0.004), Regime.MIXED),
        (about(-0.009, 0.02), about(0.009, 0.02), about(-0.018, 0.004), Regime.MARGIN_LOSS),
        # Nothing moved, and that is certain, or it is not.
        (about(0.01, 0.03), about(0.0, 0.03), about(0.01, 0.03), Regime.FLAT),
        (about(0.009, 0.001), about(0.0, 0.001), about(0.009, 0.001), Regime.FLAT),
        (about(0.01, 0.03), about(0.0, 0.03), about(0.01, 0.05), Regime.UNKNOWN),
        (about(0.3, 1.0), about(-0.3, 1.0), about(0.6, 1.0), Regime.UNKNOWN),
        # One of three intervals excludes 0 by a hair: that happens by chance.
        (about(0.020, 0.019), about(0.0, 0.02), about(0.02, 0.021), Regime.FLAT),
        (about(0.020, 0.015), about(0.0, 0.02), about(0.02, 0.021), Regime.MIXED),
    ],
)
def test_the_rule_at_its_edges(
    chosen: Interval, rejected: Interval, margin: Interval, regime: Regime
) -> None:
    assert classify(shown(chosen, rejected, margin)) is regime


def test_too_few_pairs_show_nothing() -> None:
    clear = (about(0.2, 0.05), about(-0.3, 0.05), about(0.5, 0.05))
    assert classify(shown(*clear, pairs=MIN_PAIRS - 1)) is Regime.UNKNOWN
    assert classify(shown(*clear, pairs=MIN_PAIRS)) is Regime.IDEAL


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_with_a_grown_margin_the_regime_is_the_place_of_the_share(
    chosen: float, rejected: float
) -> None:
    found = estimate(moved(chosen, rejected))
    regime, share = classify(found), found.share
    floor = min(abs(found.delta_chosen.value), abs(found.delta_rejected.value)) > EFFECT_FLOOR
    if share is not None and floor:
        assert (regime is Regime.BOTH_RISE) == (share.low > 1)
        assert (regime is Regime.BOTH_FALL) == (share.high < 0)
        assert (regime is Regime.IDEAL) == (share.low > 0 and share.high < 1)


@given(st.floats(-1, 1), st.floats(-1, 1), st.sampled_from([0.01, 100.0]))
def test_rescaling_the_changes_and_the_floors_changes_no_regime(
    chosen: float, rejected: float, scale: float
) -> None:
    found = estimate(moved(chosen, rejected))
    grown = replace(
        found,
        **{
            name: Interval(one.value * scale, one.low * scale, one.high * scale)
            for name in ("delta_chosen", "delta_rejected", "margin")
            for one in [getattr(found, name)]
        },
    )
    rules = Rules(floor=EFFECT_FLOOR * scale, meaningful=MEANINGFUL_CHANGE * scale)
    assert classify(grown, rules) is classify(found)


# What cannot be told, and why.


def test_a_run_without_a_probe_set_cannot_be_told() -> None:
    verdict = name_regime(run_of(example(Regime.IDEAL).probes.iloc[:0]))
    assert verdict.regime is Regime.UNKNOWN
    assert verdict.reason == (
        "the run has no probe set (fixed pairs that are scored again during training)"
    )
    assert verdict.sentence == f"cannot tell: {verdict.reason}"
    assert verdict.since_step is None
    assert verdict.confidence == "none"


def test_logged_rewards_alone_name_no_regime() -> None:
    run = example(Regime.BOTH_FALL)
    verdict = name_regime(replace(run, probes=run.probes.iloc[:0]))
    assert verdict.regime is Regime.UNKNOWN
    assert "not named from the logged rewards alone" in verdict.sentence


def test_a_probe_set_of_another_split_cannot_be_told() -> None:
    run = moved(0.2, -0.3)
    verdict = name_regime(replace(run, probes=run.probes.assign(split="other")))
    assert verdict.reason == "the probe set holds neither train nor held-out pairs with a step"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"evaluations": 1}, "scored 1 time after the start, and 3 are needed"),
        ({"evaluations": 2}, "scored 2 times after the start, and 3 are needed"),
        ({"every": 1, "evaluations": 9}, "covers 9 optimizer steps, and 10 are needed"),
        ({"pairs": 6}, "only 6 probe pairs can be used, and 8 are needed"),
    ],
)
def test_too_little_of_anything_is_said_in_words(options: dict[str, int], reason: str) -> None:
    verdict = name_regime(example(Regime.IDEAL, **options))
    assert verdict.regime is Regime.UNKNOWN
    assert reason in verdict.sentence


def test_just_enough_of_everything_is_enough() -> None:
    verdict = name_regime(example(Regime.IDEAL, pairs=8, evaluations=3, every=4))
    assert verdict.regime is Regime.IDEAL


def test_one_prompt_has_no_spread() -> None:
    run = probe_run(np.array([spread(0.2, 0.01, 20), spread(-0.3, 0.01, 20)]), prompts=["one"] * 20)
    assert name_regime(run).reason == (
        "all probe pairs share one prompt, so their spread over prompts is not known"
    )


def test_too_much_spread_is_said_in_numbers() -> None:
    verdict = name_regime(moved(0.02, -0.02, size=0.5))
    assert verdict.regime is Regime.UNKNOWN
    assert "could not be seen, and 0.050 would matter" in verdict.sentence


def test_a_run_that_ends_in_nan_says_since_when() -> None:
    verdict = name_regime(nan_ridden())
    assert verdict.reason == "no probe pair has a finite log-probability since step 160"
    assert verdict.since_step == 160


def test_thresholds_can_be_replaced() -> None:
    short = example(Regime.UNKNOWN)
    assert name_regime(short, Rules(min_evaluations=2)).regime is Regime.IDEAL
    assert name_regime(moved(0.2, -0.3), Rules(floor=0.25)).regime is Regime.MIXED
    assert name_regime(moved(0.0, 0.0, 0.06), Rules(meaningful=0.001)).regime is Regime.UNKNOWN


# Since when.


def test_since_step_is_the_first_evaluation_of_the_last_regime() -> None:
    changes = np.zeros((6, 2, 20))
    changes[1:3] = np.array([0.3, 0.1])[:, None]  # both rise at 10 and 20
    changes[3:] = np.array([-0.2, -0.6])[:, None]  # both fall from 30 on
    run = run_of(table(changes - 50, steps=(0, 10, 20, 30, 40, 50)))
    assert name_regime(run).since_step == 30
    assert regime_path(run) == [
        (0, 10, Regime.FLAT),
        (10, 30, Regime.BOTH_RISE),
        (30, 50, Regime.BOTH_FALL),
    ]


def test_a_regime_of_the_last_evaluation_only_is_held_with_low_confidence() -> None:
    changes = np.zeros((5, 2, 20))
    changes[4] = np.array([-0.2, -0.6])[:, None]
    run = run_of(table(changes - 50))
    assert name_regime(run).confidence == "low: 20 pairs, and seen at the last evaluation only"
    assert regime_path(run)[-1] == (40, 40, Regime.BOTH_FALL)


def test_a_run_that_is_too_short_to_name_is_one_unknown_span() -> None:
    assert regime_path(example(Regime.UNKNOWN)) == [(0, 20, Regime.UNKNOWN)]


@given(any_run())
def test_spans_partition_the_run_and_end_in_the_verdict(run: Run) -> None:
    verdict, path = name_regime(run), regime_path(run)
    steps = [one.step for one in trajectory(run)]
    assert bool(path) == bool(steps)
    if path:
        assert (path[0][0], path[-1][1]) == (steps[0], steps[-1])
        assert all(left[1] == right[0] for left, right in pairwise(path))
        assert all(left[2] is not right[2] for left, right in pairwise(path))
        assert (path[-1][0], path[-1][2]) == (verdict.since_step, verdict.regime)
    assert (verdict.reason is None) == (verdict.regime is not Regime.UNKNOWN)
    assert verdict.sentence
    assert "nan" not in verdict.sentence


# Words.


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
def test_every_regime_is_explained_under_the_same_headings(regime: Regime) -> None:
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
