"""Regimes read off logged rewards: named, refused, and held against reference and tide."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import numpy as np
import pandas as pd
import pytest

from diagnostics.examples import example
from diagnostics.intervals import Interval
from diagnostics.logphases import share_of
from diagnostics.meaning import Base, Meaning
from diagnostics.naming import Basis, Directions, Movement, label_of, regime_of, severity
from diagnostics.phases import name_regime
from diagnostics.reading import Reading
from diagnostics.regimes import Regime
from diagnostics.schema import NATS_PER_TOKEN, REWARD_UNIT
from diagnostics.trends import Direction, PairTrends, Trend
from tests.diagnostics.logged_runs import BETA_DELTA, FIRST_RECORD, NOT_KNOWN, logged_run, noisy

UP, DOWN, FLAT, OPEN = Direction.UP, Direction.DOWN, Direction.FLAT, Direction.INCONCLUSIVE

# Named from directions alone.


@pytest.mark.parametrize(
    ("directions", "regime", "label"),
    [
        ((UP, DOWN, UP), Regime.IDEAL, "Ideal"),
        ((UP, DOWN, OPEN), Regime.IDEAL, "Ideal"),
        ((UP, UP, UP), Regime.BOTH_RISE, "Both rise"),
        ((DOWN, DOWN, UP), Regime.BOTH_FALL, "Both fall"),
        ((DOWN, DOWN, DOWN), Regime.MARGIN_LOSS, "Margin lost"),
        ((UP, UP, DOWN), Regime.MARGIN_LOSS, "Margin lost"),
        ((DOWN, UP, DOWN), Regime.REVERSED, "Reversed"),
        ((DOWN, DOWN, FLAT), Regime.MIXED, "Mixed"),
        ((UP, FLAT, UP), Regime.MIXED, "Mixed, chosen only"),
        ((FLAT, DOWN, UP), Regime.MIXED, "Mixed, rejected only"),
        ((UP, OPEN, UP), Regime.MIXED, "Mixed"),
        ((DOWN, FLAT, DOWN), Regime.MARGIN_LOSS, "Margin lost"),
        ((FLAT, FLAT, FLAT), Regime.FLAT, "Flat"),
        ((FLAT, FLAT, OPEN), Regime.FLAT, "Flat"),
        ((FLAT, OPEN, OPEN), Regime.UNKNOWN, "Cannot tell"),
        ((OPEN, OPEN, OPEN), Regime.UNKNOWN, "Cannot tell"),
    ],
)
def test_three_directions_name_a_regime(
    directions: tuple[Direction, Direction, Direction], regime: Regime, label: str
) -> None:
    found = Directions(*directions)
    assert regime_of(found) is regime
    assert label_of(regime, found) == label


# Named from a log.


@pytest.mark.parametrize(
    ("end", "regime"),
    [
        ((0.5, -0.6), Regime.IDEAL),
        ((0.9, 0.4), Regime.BOTH_RISE),
        ((-0.4, -0.9), Regime.BOTH_FALL),
        ((-0.5, 0.5), Regime.REVERSED),
        ((-0.9, -0.4), Regime.MARGIN_LOSS),
        ((0.0, -0.9), Regime.MIXED),
    ],
)
@pytest.mark.parametrize("meaning", [BETA_DELTA, NOT_KNOWN, FIRST_RECORD, None])
@pytest.mark.parametrize("rows", ["train", "evals"])
def test_logged_rewards_name_the_regime_in_any_unit(
    end: tuple[float, float], regime: Regime, meaning: Meaning | None, rows: str
) -> None:
    verdict = name_regime(logged_run(*noisy(end), meaning=meaning, rows=rows))
    assert verdict.regime is regime
    assert verdict.basis is Basis.REWARDS
    assert verdict.reason is None
    assert f"60 logged {'training batches' if rows == 'train' else 'evaluations'}" in (
        verdict.sentence
    )


def test_the_sentence_holds_numbers_unit_and_what_zero_is() -> None:
    chosen, rejected = np.linspace(0, -0.4, 60), np.linspace(0, -1.0, 60)
    verdict = name_regime(logged_run(chosen, rejected, tokens=10.0))
    assert verdict.sentence.startswith("both fall since step ")
    assert "chosen -0.37 and rejected -0.93 nats/token from the reference" in verdict.sentence
    assert "(S = -0.67, 95 % " in verdict.sentence
    own = name_regime(logged_run(chosen, rejected, meaning=None))
    assert "chosen -0.40 and rejected -1.00 reward units from its own first record" in own.sentence


def test_rewards_of_an_unknown_beta_have_no_severity_and_say_so() -> None:
    verdict = name_regime(logged_run(*noisy((-0.4, -0.9)), meaning=NOT_KNOWN))
    assert verdict.severity is None
    assert verdict.movement is not None
    assert verdict.movement.unit == REWARD_UNIT
    assert any("beta is not in the log" in one for one in verdict.caveats)
    per_token = name_regime(logged_run(*noisy((-0.4, -0.9)), tokens=10.0))
    assert per_token.severity == "severe"


@pytest.mark.parametrize("points", range(6))
def test_under_six_usable_points_nothing_is_named_however_clear(points: int) -> None:
    chosen, rejected = np.full(40, nan), np.full(40, nan)
    chosen[:points], rejected[:points] = np.arange(points), -np.arange(points)
    verdict = name_regime(logged_run(chosen, rejected))
    assert verdict.regime is Regime.UNKNOWN
    assert verdict.directions == Directions()
    assert verdict.reason is not None
    if points:
        assert verdict.reason.startswith(f"the log holds {points} usable point")
        assert "6 are needed; log more often or train longer" in verdict.reason
    else:
        assert "log rewards/chosen and rewards/rejected" in verdict.reason


def test_what_the_noise_hides_is_unknown_with_what_would_settle_it() -> None:
    verdict = name_regime(logged_run(*noisy((0.05, -0.05), points=20, size=1.0)))
    assert verdict.regime is Regime.UNKNOWN
    assert verdict.sentence.startswith(
        "cannot tell: the logged rewards do not show where chosen and rejected went"
    )
    assert verdict.sentence.endswith("or a fixed probe set, would settle it")


def test_rewards_that_are_no_log_probs_name_no_regime() -> None:
    meaning = Meaning(Base.OTHER, None, why="these are scores of a reward model")
    verdict = name_regime(logged_run(*noisy((-0.4, -0.9)), meaning=meaning))
    assert verdict.regime is Regime.UNKNOWN
    assert verdict.reason is not None
    assert verdict.reason.endswith("these are scores of a reward model")


def test_a_probe_set_stays_the_basis_and_the_log_adds_its_phases() -> None:
    run = example(Regime.BOTH_FALL)
    verdict = name_regime(replace(run, meaning=BETA_DELTA))
    assert verdict.basis is Basis.PROBE
    assert verdict.phases[0].label == "start"
    assert [phase.basis for phase in verdict.phases] == [Basis.PROBE] * len(verdict.phases)
    assert verdict.logged_phases
    assert verdict.logged_phases[0].basis is Basis.REWARDS
    assert verdict.logged_phases[0].regime is Regime.BOTH_FALL


def test_phases_of_a_log_are_named_one_by_one() -> None:
    rng = np.random.default_rng(3)
    rises = np.concatenate([np.linspace(0, 1, 150), np.linspace(1, -1, 150)])
    falls = np.linspace(0, -6, 300)
    verdict = name_regime(logged_run(*(side + rng.normal(0, 0.02, 300) for side in (rises, falls))))
    assert [phase.regime for phase in verdict.phases] == [Regime.IDEAL, Regime.BOTH_FALL]
    assert verdict.phases[1].start == pytest.approx(1500, abs=60)
    assert verdict.regime is Regime.BOTH_FALL
    # Chosen comes back to the reference at three quarters of the run.
    assert verdict.since_step == pytest.approx(2250, abs=200)


# The level against the reference.


def test_a_log_that_begins_late_is_held_against_the_reference() -> None:
    late = noisy((-0.8, -2.0), start=(-0.3, -1.0))
    verdict = name_regime(logged_run(*late, tokens=10.0))
    assert verdict.movement is not None
    assert verdict.movement.chosen.value == pytest.approx(-0.76, abs=0.03)
    within = {one.quantity: one.value for one in verdict.evidence}["chosen within the log"]
    assert within == pytest.approx(-0.5, abs=0.05)


def test_a_side_that_comes_back_half_way_is_mixed_and_said() -> None:
    verdict = name_regime(logged_run(*noisy((0.5, -2.0), start=(1.5, 0.0)), tokens=10.0))
    assert verdict.regime is Regime.MIXED
    assert any(
        one.startswith("chosen falls within the log and still ends 0.5") for one in verdict.caveats
    )


def test_a_flat_log_far_from_its_reference_is_not_called_flat() -> None:
    still = noisy((-2.0, -2.0), start=(-2.0, -2.0), size=0.002, points=200)
    verdict = name_regime(logged_run(*still, tokens=10.0))
    assert verdict.directions == Directions(FLAT, FLAT, FLAT)
    assert verdict.regime is Regime.MIXED
    assert any("or the run did not start at its reference" in one for one in verdict.caveats)
    # Without a reference the same numbers are a flat run: rewards of SimPO never start at 0.
    assert name_regime(logged_run(*still, meaning=FIRST_RECORD)).regime is Regime.FLAT


def test_evaluations_that_say_something_else_are_a_caveat() -> None:
    train = logged_run(*noisy((0.5, -0.6)))
    evals = logged_run(*noisy((-0.5, -0.9)), rows="evals")
    verdict = name_regime(replace(train, evals=evals.evals))
    assert verdict.regime is Regime.IDEAL
    assert "on the evaluations the regime is both fall" in verdict.caveats


# The chosen share.


def trends(chosen: Interval, rejected: Interval, margin: Interval) -> PairTrends:
    told = (Trend(UP if one.value > 0 else DOWN, one, 0.99, 60, 40.0) for one in (chosen, rejected))
    up = Trend(UP if margin.low > 0 else OPEN, margin, 0.99, 60, 40.0)
    return PairTrends(*told, up, phases=())


def about(value: float, half: float) -> Interval:
    return Interval(value, value - half, value + half)


def share(chosen: Interval, rejected: Interval, margin: Interval) -> Interval | None:
    moved = Movement(chosen, rejected, margin, NATS_PER_TOKEN)
    return share_of(moved, trends(chosen, rejected, margin))


def test_the_share_is_refused_when_the_margin_is_within_its_noise() -> None:
    assert share(about(0.3, 0.1), about(0.1, 0.1), about(0.2, 0.25)) is None
    # A margin that shrank beyond doubt has a ratio, and no share.
    assert share(about(-0.3, 0.01), about(-0.1, 0.01), about(-0.2, 0.01)) is None
    found = share(about(0.3, 0.1), about(0.1, 0.1), about(0.2, 0.05))
    assert found is not None
    assert found.value == pytest.approx(1.5)


def test_the_share_carries_the_joint_covariance_of_its_sides() -> None:
    sides = about(0.2, 0.1), about(-0.2, 0.1)
    shared = share(*sides, about(0.4, 0.02))
    alone = share(*sides, about(0.4, 0.1 * 2**0.5))
    assert shared is not None
    assert alone is not None
    # With var(m) = 0.02^2 the covariance is 0.02^2 / 2: Fieller's ends are S -+ 0.25.
    assert (shared.low, shared.high) == pytest.approx((0.25, 0.75), abs=0.01)
    assert alone.high - alone.low < shared.high - shared.low


def test_the_interval_of_the_share_covers_the_truth() -> None:
    hits = 0
    for seed in range(60):
        found = name_regime(logged_run(*noisy((0.4, -0.6), points=80, size=0.15, seed=seed))).share
        hits += found is not None and found.low <= 0.4 <= found.high
    assert hits >= 54


def test_a_logged_margin_that_is_no_difference_counts_the_sides_as_independent() -> None:
    found = share(about(0.2, 0.1), about(-0.2, 0.1), about(0.6, 0.01))
    assert found is not None
    assert found.value == pytest.approx(0.5)
    assert found.high - found.low > 0.2


# The tide.


@pytest.mark.parametrize(
    ("corrected", "word", "benign"),
    [
        (None, "severe", False),
        (about(-0.2, 0.05), "moderate", False),
        (about(-0.005, 0.001), None, True),  # below 0, but by less than the floor
        (about(0.1, 0.05), None, True),
        (about(-0.02, 0.025), None, True),
        (about(-0.2, 0.3), None, False),  # nobody can tell
    ],
)
def test_a_fall_counts_by_what_is_left_of_it_beyond_the_tide(
    corrected: Interval | None, word: str | None, benign: bool
) -> None:
    moved = Movement(about(-0.4, 0.05), about(-0.9, 0.05), about(0.5, 0.05), NATS_PER_TOKEN)
    assert severity(Regime.BOTH_FALL, moved, corrected) == (word, benign)
    # The tide says nothing of a rise, and lifts no margin.
    assert severity(Regime.BOTH_RISE, moved, corrected) == ("severe", False)
    assert severity(Regime.IDEAL, moved, corrected) == (None, False)


@pytest.mark.parametrize("probe", [True, False])
def test_a_fall_within_the_tide_is_named_so(probe: bool) -> None:
    run = example(Regime.BOTH_FALL)
    samples = run.samples.assign(
        logps=run.samples.groupby("sample")["logps"].transform("first")
        - 0.5 * run.samples["completion_tokens"] * run.samples["step"] / 200
    )
    probes = run.probes if probe else run.probes.iloc[:0]
    verdict = name_regime(replace(run, samples=samples, probes=probes, meaning=BETA_DELTA))
    assert verdict.basis is (Basis.PROBE if probe else Basis.REWARDS)
    assert (verdict.regime, verdict.severity, verdict.benign) == (Regime.BOTH_FALL, None, True)
    assert verdict.label == "Both fall, within the tide"
    assert "both fall, within the tide" in verdict.sentence


# The reading shares one look at the log.


def test_the_reading_works_the_log_out_once() -> None:
    reading = Reading(logged_run(*noisy((-0.4, -0.9))))
    assert reading.logged is reading.logged
    assert reading.trends is reading.logged[0].trends
    assert reading.regime.regime is Regime.BOTH_FALL
    empty = Reading(replace(reading.run, train=pd.DataFrame()))
    assert (empty.logged, empty.changes, empty.trends) == ((), None, None)
