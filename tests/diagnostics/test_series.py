"""Logged rewards as changes: every quantity a framework calls a reward, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given

from diagnostics.examples import example
from diagnostics.intervals import Interval
from diagnostics.meaning import Base, Meaning
from diagnostics.regimes import Regime
from diagnostics.schema import NATS, NATS_PER_TOKEN, REWARD_UNIT
from diagnostics.series import changes, logged, refusal, tide_corrected
from tests.diagnostics.logged_runs import BETA_DELTA, NOT_KNOWN, logged_run
from tests.diagnostics.probe_runs import any_run

# One true training: summed change of both sides [nats], lengths, and where the policy started.
DELTA = np.array([[0.0, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0], [0.0, -3, -6, -9, -12, -15, -18]])
TOKENS = 20.0
START = np.array([[-30.0], [-40.0]])  # summed log-probs
SUMMED = START + DELTA


@dataclass(frozen=True)
class Row:
    """What one framework logs as the reward of one method, and what of it can be undone."""

    framework: str
    method: str
    base: Base
    factor: float | None
    rewards: np.ndarray
    unit: str | None = None


# The rewards as each framework computes them, beta 0.1 (SimPO 2) where it has one in them.
TABLE = (
    Row("TRL", "dpo", Base.LOGRATIO_SUM, 0.1, 0.1 * DELTA),
    Row("TRL", "hinge", Base.LOGRATIO_SUM, 0.1, 0.1 * DELTA),
    Row("TRL before 0.29", "ipo", Base.LOGRATIO_MEAN, 0.1, 0.1 * DELTA / TOKENS),
    Row("TRL from 0.29", "ipo", Base.LOGRATIO_SUM, 0.1, 0.1 * DELTA),
    Row("TRL from 0.29", "sigmoid_norm", Base.LOGRATIO_SUM, 0.1, 0.1 * DELTA),
    Row("TRL 0.20 to 0.28, weights 0.8 and 0.5", "dpo", Base.LOGRATIO_SUM, 0.13, 0.13 * DELTA),
    Row("TRL", "kto", Base.LOGRATIO_SUM, 0.1, 0.1 * DELTA),
    Row("TRL", "bco_pair", Base.LOGRATIO_SUM, 0.1, 0.1 * DELTA),
    Row("TRL", "orpo", Base.LOGPS_MEAN, 0.1, 0.1 * SUMMED / TOKENS),
    Row("TRL", "cpo", Base.LOGPS_SUM, 0.1, 0.1 * SUMMED),
    Row("TRL", "simpo", Base.LOGPS_MEAN, 2.0, 2.0 * SUMMED / TOKENS),
    Row("LLaMA-Factory", "dpo", Base.LOGRATIO_SUM, 0.1, 0.1 * DELTA),
    Row("LLaMA-Factory", "ipo", Base.LOGRATIO_MEAN, 0.1, 0.1 * DELTA / TOKENS),
    Row("LLaMA-Factory", "orpo", Base.LOGPS_MEAN, 0.1, 0.1 * SUMMED / TOKENS),
    Row("LLaMA-Factory", "simpo", Base.LOGPS_MEAN, 2.0, 2.0 * SUMMED / TOKENS),
    Row("LLaMA-Factory", "kto", Base.LOGRATIO_SUM, 0.1, 0.1 * DELTA),
    Row("OpenRLHF", "ipo", Base.LOGRATIO_SUM, 0.1, 0.1 * DELTA),
    Row("the DPO reference code", "ipo", Base.LOGRATIO_SUM, 0.1, 0.1 * DELTA),
    Row("HALOs", "dpo", Base.LOGRATIO_SUM, 0.1, 0.1 * DELTA),
    Row("HALOs", "kto", Base.LOGRATIO_SUM, 1.0, DELTA),
    Row("HALOs", "ipo", Base.LOGRATIO_MEAN, 1.0, DELTA / TOKENS),
    Row("HALOs", "simpo", Base.LOGPS_MEAN, 1.0, SUMMED / TOKENS),
    Row("HALOs", "hinge", Base.LOGPS_SUM, 1.0, SUMMED),
    Row("torchtune", "dpo", Base.LOGRATIO_SUM, 0.1, 0.1 * DELTA),
    Row("SimPO's code", "simpo", Base.LOGPS_MEAN, 2.0, 2.0 * SUMMED / TOKENS),
)
ROWS = [pytest.param(row, id=f"{row.framework}-{row.method}") for row in TABLE]


@pytest.mark.parametrize("row", ROWS)
def test_every_method_of_every_framework_lands_on_the_same_point(row: Row) -> None:
    meaning = Meaning(row.base, row.factor)
    found = changes(logged_run(*row.rewards, meaning=meaning, method=row.method, tokens=TOKENS))
    assert found is not None
    assert found.unit == NATS_PER_TOKEN
    assert found.refusal is None
    np.testing.assert_allclose(found.chosen, DELTA[0] / TOKENS, atol=1e-12)
    np.testing.assert_allclose(found.rejected, DELTA[1] / TOKENS, atol=1e-12)
    np.testing.assert_allclose(found.margin, (DELTA[0] - DELTA[1]) / TOKENS, atol=1e-12)
    assert found.from_reference is row.base.has_reference


@pytest.mark.parametrize("row", ROWS)
def test_without_lengths_a_sum_stays_a_sum_and_its_size_is_refused(row: Row) -> None:
    found = changes(logged_run(*row.rewards, meaning=Meaning(row.base, row.factor)))
    assert found is not None
    divisor = TOKENS if row.base.per_token else 1.0
    assert found.unit == (NATS_PER_TOKEN if row.base.per_token else NATS)
    assert (found.refusal is None) == row.base.per_token
    np.testing.assert_allclose(found.rejected, DELTA[1] / divisor, atol=1e-12)


@pytest.mark.parametrize("row", ROWS)
def test_without_beta_only_the_start_is_taken_off(row: Row) -> None:
    found = changes(
        logged_run(*row.rewards, meaning=Meaning(row.base, None, why="no beta"), tokens=TOKENS)
    )
    assert found is not None
    assert (found.unit, found.refusal) == (REWARD_UNIT, "kept in reward units: no beta")
    np.testing.assert_allclose(found.chosen, row.rewards[0] - row.rewards[0][0], atol=1e-12)


@pytest.mark.parametrize("factor", [0.0, -0.1, nan, inf])
def test_a_factor_that_cannot_be_divided_by_is_no_factor(factor: float) -> None:
    found = changes(logged_run(DELTA[0], DELTA[1], meaning=Meaning(Base.LOGRATIO_SUM, factor)))
    assert found is not None
    assert found.unit == REWARD_UNIT
    np.testing.assert_array_equal(found.chosen, DELTA[0])


def test_another_quantity_is_never_converted() -> None:
    run = logged_run(DELTA[0], DELTA[1], meaning=Meaning(Base.OTHER, 0.1), tokens=TOKENS)
    found = changes(run)
    assert found is not None
    assert found.unit == REWARD_UNIT


def test_zero_is_the_reference_only_where_there_is_one() -> None:
    late = DELTA - 4.0
    found = changes(logged_run(*late, meaning=NOT_KNOWN))
    assert found is not None
    assert found.chosen[0] == -4.0
    own = changes(logged_run(*late, meaning=None))
    assert own is not None
    assert (own.chosen[0], own.from_reference) == (0.0, False)


def test_the_first_record_is_one_that_has_both_sides() -> None:
    chosen, rejected = np.array([nan, -1.0, -2.0]), np.array([-9.0, -5.0, -7.0])
    found = changes(logged_run(chosen, rejected, meaning=None))
    assert found is not None
    np.testing.assert_array_equal(found.chosen, [nan, 0.0, -1.0])
    np.testing.assert_array_equal(found.rejected, [-4.0, 0.0, -2.0])
    assert found.points == 2


def test_what_is_not_finite_counts_as_missing() -> None:
    found = changes(logged_run([0.0, inf, -0.2], [0.0, -0.1, -inf]))
    assert found is not None
    np.testing.assert_array_equal(np.isnan(found.chosen), [False, True, False])
    assert found.points == 1


def test_the_logged_margin_is_kept_and_missing_ones_are_filled_in() -> None:
    run = logged_run([0.1, 0.2], [0.0, 0.0], margins=[0.15, nan], meaning=NOT_KNOWN)
    found = changes(run)
    assert found is not None
    np.testing.assert_allclose(found.margin, [0.15, 0.2])


def test_sides_of_different_length_are_divided_each_by_its_own() -> None:
    run = logged_run(0.1 * DELTA[0], 0.1 * DELTA[1], tokens=TOKENS)
    run.train["completion_tokens/rejected"] = 40.0
    found = changes(run)
    assert found is not None
    assert (found.chosen[-1], found.rejected[-1]) == pytest.approx((-0.3, -0.45))
    assert found.margin[-1] == pytest.approx(0.15)


def test_log_probs_serve_where_no_reference_is_subtracted_from_the_rewards() -> None:
    run = logged_run(*(2.0 * SUMMED / TOKENS), meaning=Meaning(Base.LOGPS_MEAN, None))
    for side, values in zip(("chosen", "rejected"), SUMMED, strict=True):
        run.train[f"logps_per_token/{side}"] = values / TOKENS
    found = changes(run)
    assert found is not None
    assert found.unit == NATS_PER_TOKEN
    np.testing.assert_allclose(found.chosen, DELTA[0] / TOKENS, atol=1e-12)
    # With a reference, rewards are far less noisy than log-probs of other pairs at each record.
    kept = changes(replace(run, meaning=NOT_KNOWN))
    assert kept is not None
    assert kept.unit == REWARD_UNIT


def test_training_and_evaluation_rows_are_never_mixed() -> None:
    train = logged_run(*np.linspace([0, 0], [1, -1], 4).T)
    evals = logged_run(*np.linspace([0, 0], [-1, -2], 9).T, rows="evals")
    both = replace(train, evals=evals.evals)
    first, second = logged(both)
    # Four training rows are too few to judge by.
    assert (first.changes.rows, second.changes.rows) == ("evals", "train")
    assert first.changes.chosen[-1] == -10.0
    longer = logged_run(*np.linspace([0, 0], [1, -1], 6).T)
    assert logged(replace(longer, evals=evals.evals))[0].changes.rows == "train"


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ([], "the training batches log neither rewards nor log-probs per token of the two sides"),
        (
            ["rewards/chosen"],
            "the training batches log the chosen side only; rewards/rejected is needed too",
        ),
    ],
)
def test_a_refusal_says_what_is_missing(columns: list[str], reason: str) -> None:
    run = logged_run([0.0, 0.1], [0.0, -0.1])
    bare = replace(run, train=run.train[columns].assign(loss=0.7))
    assert (refusal(bare), changes(bare)) == (reason, None)
    assert refusal(run) is None
    assert refusal(run, "evals") == "the log has no rows of evaluations"


def test_a_column_of_nothing_but_nan_is_missing() -> None:
    assert refusal(logged_run([nan, nan], [0.0, 0.1])) == (
        "the training batches log the rejected side only; rewards/chosen is needed too"
    )


def test_reference_samples_give_the_tide_of_a_log() -> None:
    run = example(Regime.BOTH_FALL)
    found = changes(replace(run, probes=run.probes.iloc[:0], meaning=BETA_DELTA))
    assert found is not None
    assert found.drift is not None
    assert found.drift[-1] == pytest.approx(0.05)
    corrected = tide_corrected(Interval(-0.3, -0.4, -0.2), found)
    assert corrected is not None
    assert (corrected.value, corrected.low) == pytest.approx((-0.25, -0.35))
    assert tide_corrected(Interval(-0.3, -0.4, -0.2), replace(found, drift=None)) is None


@given(any_run(stepped=True))
def test_no_run_breaks_the_conversion(run) -> None:
    for rows in ("train", "evals"):
        assert (changes(run, rows) is None) == (refusal(run, rows) is not None)
