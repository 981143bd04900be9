"""The rule at its edges, since when it holds, and what cannot be told."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.examples import example, nan_ridden
from diagnostics.intervals import Interval
from diagnostics.phases import (
    EFFECT_FLOOR,
    MEANINGFUL_CHANGE,
    MIN_PAIRS,
    Basis,
    Rules,
    classify,
    name_regime,
    regime_path,
)
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.share import ShareEstimate, estimate, trajectory
from tests.diagnostics.probe_runs import any_run, moved, probe_run, run_of, spread, table

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


def test_a_run_without_a_probe_set_and_without_rewards_cannot_be_told() -> None:
    verdict = name_regime(run_of(example(Regime.IDEAL).probes.iloc[:0]))
    assert verdict.regime is Regime.UNKNOWN
    assert verdict.reason == (
        "the run has no probe set (fixed pairs that are scored again during training), and the "
        "log has no rows of training batches; log rewards/chosen and rewards/rejected"
    )
    assert verdict.sentence == f"cannot tell: {verdict.reason}"
    assert verdict.since_step is None
    assert verdict.confidence == "none"
    assert verdict.basis is Basis.NONE


def test_a_probe_set_of_another_split_cannot_be_told() -> None:
    run = moved(0.2, -0.3)
    verdict = name_regime(replace(run, probes=run.probes.assign(split="other")))
    assert verdict.reason is not None
    assert verdict.reason.startswith(
        "the probe set holds neither train nor held-out pairs with a step"
    )


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
