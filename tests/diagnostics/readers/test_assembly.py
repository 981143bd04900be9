"""From records to a run: repeated steps, resumes, several evaluation sets, odd values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diagnostics.readers.assembly import MOST_COLUMNS, Record, assemble, records_of
from diagnostics.readers.contract import Hints
from diagnostics.readers.native import MOST_UNRECOGNISED
from diagnostics.run import Run


def assembled(*rows: dict[str, Any] | Record, **more: Any) -> Run:
    """Return the run of rows as a trainer logs them."""
    records = [one for row in rows for one in (records_of(row) if isinstance(row, dict) else [row])]
    return assemble(records, **{"path": Path("somewhere/log.json"), "reader": "test"} | more)


def train(step: int | None, loss: Any = 0.5, **more: Any) -> dict[str, Any]:
    named = {} if step is None else {"step": step}
    return {"loss": loss, "rewards/chosen": 0.1, "rewards/rejected": -0.1, **more, **named}


def test_train_eval_and_final_rows_are_told_apart() -> None:
    run = assembled(
        train(10, epoch=0.1),
        {"eval_loss": 0.6, "eval_rewards/chosen": 0.2, "eval_runtime": 3.0, "step": 10},
        train(20, epoch=0.2),
        {"train_runtime": 9.0, "train_loss": 0.55, "rewards/chosen": 99.0, "step": 25},
    )
    assert list(run.train.index) == [10, 20]
    assert list(run.evals.index) == [10]
    assert run.evals.loc[10, "loss"] == 0.6
    assert run.train["rewards/chosen"].max() == 0.1  # the tail of a final record is no point
    assert run.status == "completed"
    assert "runtime" in run.unrecognised


def test_an_unfinished_log_is_of_a_running_run_and_a_last_step_ends_it() -> None:
    assert assembled(train(10)).status == "running"
    assert assembled(train(10), config={"max_steps": 10}).status == "completed"


@pytest.mark.parametrize("prefix", ["train/", "train/train/"])
def test_prefixes_of_trackers_and_of_old_kto_are_taken_off(prefix: str) -> None:
    run = assembled(
        {f"{prefix}rewards/chosen": 0.1, f"{prefix}rewards/rejected": 0.0, "step": 1},
        {"eval/rewards/chosen": 0.2, "train/eval/rewards/rejected": 0.3, "step": 1},
    )
    assert list(run.train.columns) == ["rewards/chosen", "rewards/rejected"]
    assert run.evals.loc[1].to_dict() == {"rewards/chosen": 0.2, "rewards/rejected": 0.3}


def test_a_tracker_row_of_both_kinds_is_two_records() -> None:
    run = assembled({"train/loss": 0.5, "eval/loss": 0.6, "train/global_step": 7})
    assert run.train.loc[7, "loss"] == 0.5
    assert run.evals.loc[7, "loss"] == 0.6


def test_several_rows_of_one_step_complete_each_other_and_the_last_counts() -> None:
    run = assembled(
        {"rewards/chosen": 0.1, "step": 1},
        {"loss": 0.9, "step": 1},
        {"rewards/chosen": 0.3, "step": 1},
        {"loss": 0.8, "step": 2},
    )
    assert run.train["rewards/chosen"].tolist()[0] == 0.3
    assert run.train["loss"].tolist() == [0.9, 0.8]


def test_the_last_row_of_a_step_counts_whatever_names_the_rows_have() -> None:
    run = assembled(
        {"loss": 1.0, "step": 1},
        {"loss": 2.0, "grad_norm": 1.0, "step": 1},
        {"loss": 3.0, "step": 1},
    )
    assert run.train.loc[1, "loss"] == 3.0


def test_an_abandoned_branch_is_left_out_and_said() -> None:
    old = [train(step, 1.0) for step in (10, 20, 30, 40)]
    new = [train(step, 2.0) for step in (25, 35)]
    evaluated = {"eval_loss": 1.5, "step": 40}
    run = assembled(*old, evaluated, *new)
    assert list(run.train.index) == [10, 20, 25, 35]
    assert run.train["loss"].tolist() == [1.0, 1.0, 2.0, 2.0]
    assert not len(run.evals)
    assert any("resumed once (at step 25); 3 rows" in caveat for caveat in run.caveats)


def test_a_log_that_begins_again_keeps_the_last_start() -> None:
    steps = (10, 20, 30, 40, 50, 60, 70, 80)
    run = assembled(*(train(s, 1.0) for s in steps), *(train(s, 2.0) for s in steps[:3]))
    assert list(run.train.index) == [10, 20, 30]
    assert set(run.train["loss"]) == {2.0}


def test_nothing_of_an_abandoned_row_stays_at_the_step_of_its_successor() -> None:
    old = [train(step, 1.0, kl=5.0) for step in (10, 20, 30, 40)]
    run = assembled(*old, train(30, 2.0))
    assert run.train["loss"].tolist() == [1.0, 1.0, 2.0]
    np.testing.assert_equal(run.train["kl"].tolist(), [5.0, 5.0, np.nan])


def test_rows_in_another_order_are_sorted_not_dropped() -> None:
    run = assembled(*(train(step, float(step)) for step in range(100, 0, -10)))
    assert list(run.train.index) == list(range(10, 101, 10))
    assert any("sorted" in caveat for caveat in run.caveats)


def test_rows_without_steps_are_counted_in_logging_intervals() -> None:
    rows = [train(None), train(None), {"eval_loss": 0.4}, train(None)]
    run = assembled(*rows, config={"logging_steps": 5})
    assert list(run.train.index) == [5, 10, 15]
    assert list(run.evals.index) == [10]
    assert any("counting rows 5 apart" in caveat for caveat in run.caveats)
    assert list(assembled(*rows).train.index) == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5),
        ("1.59e+05", 159000.0),
        (" -3 ", -3.0),
        ("−0.5", -0.5),
        ("nan", np.nan),
        ("NaN", np.nan),
        ("No log", np.nan),
        ("", np.nan),
        (None, np.nan),
        ("inf", np.inf),
        ("-Infinity", -np.inf),
        (10**400, np.inf),
        ("garbage", np.nan),
        ([1, 2], np.nan),
    ],
)
def test_numbers_are_read_leniently(text: Any, value: float) -> None:
    run = assembled(train(1, text), train(2, 0.5))
    np.testing.assert_equal(run.train.loc[1, "loss"], value)
    assert run.train["loss"].dtype == np.float64


def test_unknown_columns_are_kept_under_their_own_names_and_texts_stay_texts() -> None:
    run = assembled(train(1, mystery=3.0, elapsed="0:01:00"), train(2, mystery="4"))
    assert run.unrecognised == ("elapsed", "mystery")
    assert run.train["mystery"].tolist() == [3.0, 4.0]
    assert run.train["elapsed"].tolist()[0] == "0:01:00"


def test_names_of_the_schema_that_mean_something_else_here_are_renamed() -> None:
    run = assembled(train(1, tokens=5.0, memory=3.0))
    assert run.unrecognised == ("memory as logged", "tokens as logged")


def test_a_million_distinct_keys_are_bounded() -> None:
    run = assembled({f"key {i}": float(i) for i in range(100_000)} | train(1), train(2))
    assert len(run.train.columns) <= MOST_UNRECOGNISED + 20
    assert len([c for c in run.caveats if "columns beyond the first" in c]) == 2
    assert str(MOST_COLUMNS) in " ".join(run.caveats)


def test_several_evaluation_sets_are_kept_apart() -> None:
    run = assembled(
        train(10),
        {"eval_helpful_loss": 0.6, "eval_rewards/chosen": 1.0, "step": 10},
        {"eval_harmless_loss": 0.7, "eval_rewards/chosen": 2.0, "step": 10},
    )
    assert run.evals.loc[10, "loss"] == 0.6
    assert run.evals.loc[10, "rewards/chosen"] == 1.0
    assert run.evals.loc[10, "harmless/rewards/chosen"] == 2.0
    assert run.evals.loc[10, "harmless/loss"] == 0.7
    assert any("2 evaluation sets (helpful, harmless)" in caveat for caveat in run.caveats)


def test_terms_of_the_loss_are_no_evaluation_sets() -> None:
    run = assembled({"eval_nll_loss": 0.6, "eval_loss": 0.7, "step": 1}, train(1))
    assert run.evals.loc[1, "loss"] == 0.7
    assert not any("evaluation sets" in caveat for caveat in run.caveats)
    bare = assembled({"eval_nll_loss": 0.6, "eval_rewards/chosen": 0.7, "step": 1}, train(1))
    assert bare.evals.loc[1, "sft_loss"] == 0.6


def test_examples_become_steps_where_the_log_counts_both() -> None:
    rows = [train(64 * n, **{"counters/updates": n}) for n in (1, 2, 3)]
    rows.insert(2, {"eval_loss": 0.1, "step": 128})
    run = assembled(*rows, hints=Hints(unit="examples"))
    assert list(run.train.index) == [1, 2, 3]
    assert list(run.evals.index) == [2]
    other = assembled(train(64), train(128), hints=Hints(unit="examples"))
    assert list(other.train.index) == [64, 128]
    assert any("examples seen, not optimizer" in caveat for caveat in other.caveats)


def test_columns_that_the_user_names_are_taken_as_named() -> None:
    hints = Hints(columns={"good": "rewards/chosen", "bad": "rewards/rejected"})
    run = assembled({"good": 1.0, "bad": 2.0, "step": 1}, hints=hints)
    assert run.train.loc[1].to_dict() == {"rewards/chosen": 1.0, "rewards/rejected": 2.0}


def test_no_record_at_all_is_an_empty_run() -> None:
    run = assembled()
    assert (len(run.train), len(run.evals), run.method, run.meaning) == (0, 0, None, None)


def test_values_that_are_logged_without_their_step_stay_with_the_rows_around() -> None:
    records = [
        Record(10, "train", {"loss": 1.0}, epoch=0.1, inferred_step=True),
        Record(10, "eval", {"loss": 2.0}, time=5.0),
    ]
    run = assembled(*records)
    assert run.train.loc[10, "epoch"] == 0.1
    assert run.evals.loc[10, "time"] == 5.0
    assert any("no steps" in caveat for caveat in run.caveats)
