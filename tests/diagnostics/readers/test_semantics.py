"""What a log's numbers mean: found from keys, values and settings, or said to be unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diagnostics.meaning import Base, Scope
from diagnostics.readers.assembly import assemble, records_of
from diagnostics.readers.contract import Hints
from diagnostics.run import Run

LF = {"stage": "dpo", "finetuning_type": "lora", "pref_beta": 0.1}
LENGTH = 20


def rows(*, beta: float = 0.1, prefix: str = "", length: int = 1, **more: Any) -> list[dict]:
    """Return five rows of both sides moving apart: sums of log-probs, or means with a length."""
    found = []
    for n in range(5):
        moved = {"chosen": 1.0 * n, "rejected": -2.0 * n}
        values: dict[str, Any] = {"loss": 0.69 - 0.01 * n}
        for side, delta in moved.items():
            values[f"rewards/{side}"] = beta * delta / length
            values[f"logps/{side}"] = (-60 - (side == "rejected") * 9 + delta) / length
        values["rewards/margins"] = beta * 3.0 * n / length
        values["rewards/accuracies"] = 0.5
        named = {f"{prefix}{key}": value for key, value in (values | more).items()}
        found.append(named | {"step": 10 * n + 1, "epoch": 0.1 * n})
    return found


def run_of(logged: list[dict], config: dict | None = None, **hints: Any) -> Run:
    records = [record for row in logged for record in records_of(row)]
    return assemble(
        records, path=Path("log.json"), reader="test", config=config or {}, hints=Hints(**hints)
    )


def caveat(run: Run, text: str) -> bool:
    return any(text in one for one in run.caveats)


def factor(run: Run) -> float | None:
    assert run.meaning is not None
    return run.meaning.factor


# -- Beta ---------------------------------------------------------------------------------------


def test_without_beta_rewards_keep_their_unit_and_the_log_says_what_to_give() -> None:
    run = run_of(rows())
    assert run.meaning is not None
    assert (run.meaning.base, run.meaning.factor) == (Base.LOGRATIO_SUM, None)
    assert caveat(run, "give it with --beta")


def test_beta_is_taken_from_the_user_before_the_configuration() -> None:
    assert factor(run_of(rows(), {"beta": 0.5, "loss_type": "sigmoid"}, beta=0.2)) == 0.2
    assert factor(run_of(rows(), {"beta": 0.5, "loss_type": "sigmoid"})) == 0.5


@pytest.mark.parametrize("beta", [0.01, 0.1, 0.13, 2.5])
def test_beta_is_the_slope_of_evaluations_of_the_same_pairs(beta: float) -> None:
    run = run_of(rows(beta=beta, prefix="eval_"))
    assert factor(run) == pytest.approx(beta)
    assert run.config["beta"] == pytest.approx(beta)
    assert run.meaning is not None
    assert "eval rewards move" in run.meaning.why


def test_evaluations_that_lie_on_no_line_give_no_beta() -> None:
    logged = rows(prefix="eval_")
    logged[2]["eval_logps/chosen"] += 0.3
    assert factor(run_of(logged)) is None


def test_evaluations_that_do_not_move_give_no_beta() -> None:
    logged = rows(prefix="eval_")
    for row in logged:
        row["eval_logps/chosen"], row["eval_logps/rejected"] = -60.0, -69.0
    assert factor(run_of(logged)) is None


def test_two_evaluations_give_beta_only_where_both_sides_agree_closely() -> None:
    logged = rows(prefix="eval_")[:2]
    assert factor(run_of(logged)) == pytest.approx(0.1)
    logged[1]["eval_rewards/chosen"] *= 1.02
    assert factor(run_of(logged)) is None


def test_a_measured_factor_goes_before_the_configured_one_and_the_difference_is_told() -> None:
    run = run_of(rows(beta=0.18, prefix="eval_"), {"beta": 0.1, "loss_type": "sigmoid"})
    assert factor(run) == pytest.approx(0.18)
    assert caveat(run, "the measured factor is used")
    agreeing = run_of(rows(beta=0.1, prefix="eval_"), {"beta": 0.1, "loss_type": "sigmoid"})
    assert not caveat(agreeing, "measured")


def test_a_pickle_beside_the_log_is_named_and_not_opened(tmp_path: Path) -> None:
    config = {"training_args.bin": "not read: opening a pickle would run the code in it"}
    assert caveat(run_of(rows(), config), "training_args.bin")


# -- Sums, means, and neither -------------------------------------------------------------------


def test_log_probs_too_low_for_means_are_sums_and_the_loss_is_not_ipo() -> None:
    run = run_of(rows(loss=25.0))
    assert run.meaning is not None
    assert run.meaning.base is Base.LOGRATIO_SUM
    assert "logps/chosen" in run.train


def test_short_log_probs_of_an_unknown_loss_are_left_open() -> None:
    run = run_of(rows(length=LENGTH, loss=25.0))
    assert run.meaning is not None
    assert run.meaning.factor is None
    assert "logps/chosen as logged" in run.unrecognised
    assert caveat(run, "give the method with --method")
    assert caveat(run, "sums or means per token")


def test_naming_the_method_settles_what_the_log_leaves_open() -> None:
    run = run_of(rows(length=LENGTH, loss=25.0), method="ipo", version="0.24.0", beta=0.1)
    assert run.meaning is not None
    assert (run.method, run.meaning.base) == ("ipo", Base.LOGRATIO_MEAN)
    assert run.train["logps_per_token/chosen"].tolist()[0] == -3.0


def test_a_loss_that_begins_at_log_2_is_no_ipo() -> None:
    run = run_of(rows(length=LENGTH), beta=0.1)
    assert run.meaning is not None
    assert run.meaning.base is Base.LOGRATIO_SUM


def test_rewards_that_are_one_multiple_of_the_log_probs_have_no_reference() -> None:
    logged = rows(length=LENGTH)
    for row in logged:
        for side in ("chosen", "rejected"):
            row[f"rewards/{side}"] = 2.5 * row[f"logps/{side}"]
    run = run_of(logged)
    assert run.meaning is not None
    assert (run.meaning.base.has_reference, run.meaning.factor) == (False, 2.5)
    assert run.meaning.why.startswith("beta is 2.5: every reward is that multiple")
    assert run.method == "simpo"


@pytest.mark.parametrize(
    "config",
    [{"gamma_beta_ratio": 0.3, "loss_type": "sigmoid", "beta": 2.5}, {"loss_type": "sigmoid"}],
)
def test_rewards_without_a_reference_overrule_a_configured_one(config: dict) -> None:
    logged = rows(length=LENGTH)
    for row in logged:
        for side in ("chosen", "rejected"):
            row[f"rewards/{side}"] = 2.5 * row[f"logps/{side}"]
    run = run_of(logged, config)
    assert run.meaning is not None
    assert (run.method, run.meaning.base, run.meaning.factor) == ("simpo", Base.LOGPS_MEAN, 2.5)


def test_new_trl_logs_sums_for_every_loss() -> None:
    run = run_of(rows(loss=25.0, num_tokens=100.0, length=LENGTH), {"beta": 0.1})
    assert run.meaning is not None
    assert (run.meaning.base, run.meaning.factor) == (Base.LOGRATIO_SUM, 0.1)
    assert run.source.version == "0.29 or later"
    assert run.unrecognised == ("num_tokens",)


# -- Who wrote it -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "framework", "method"),
    [
        ({"entropy": 1.0, "num_tokens": 5.0}, "TRL", "dpo"),
        ({"odds_ratio_loss": 0.7, "sft_loss": 1.0}, "LLaMA-Factory", "orpo"),
        ({"memory(GiB)": 7.0}, "ms-swift", "dpo"),
        ({"sft_loss": 1.0}, "princeton-nlp/SimPO", "simpo"),
        ({"rewards/chosen_unclamped": 1.0, "counters/updates": 1}, "HALOs", None),
        ({}, "TRL or a trainer with its keys", "dpo"),
    ],
)
def test_keys_tell_the_framework(
    more: dict[str, float], framework: str, method: str | None
) -> None:
    run = run_of(rows(**more))
    assert run.source.framework == framework
    if method is not None and framework != "princeton-nlp/SimPO":
        assert run.method == method


def test_an_unpaired_log_is_kto_and_the_margin_is_left_as_logged() -> None:
    logged = rows(kl=0.4, loss=0.5, num_tokens=1.0)
    for row in logged:
        del row["rewards/accuracies"]
        row["rewards/margins"] += 0.05
    run = run_of(logged)
    assert (run.method, run.source.version) == ("kto", "1.8 or later")
    assert run.train["rewards/margins"].tolist()[0] == 0.05
    assert caveat(run, "it is not chosen - rejected")


@pytest.mark.parametrize(
    ("config", "scope"),
    [
        ({"trl_version": "0.13.0"}, Scope.WINDOW_RANK_0),
        ({"trl_version": "0.13.0", "world_size": 1}, Scope.WINDOW),
        ({"trl_version": "0.14.0"}, Scope.WINDOW),
        ({**LF, "llamafactory_version": "0.9.0"}, Scope.WINDOW_RANK_0),
        ({**LF, "llamafactory_version": "0.9.1"}, Scope.WINDOW),
        (LF, Scope.UNKNOWN),
        ({}, Scope.UNKNOWN),
    ],
)
def test_the_scope_of_a_reward_follows_the_version(config: dict, scope: Scope) -> None:
    run = run_of(rows(), config)
    assert run.meaning is not None
    assert run.meaning.scope is scope
    assert caveat(run, "rank 0 only") == (scope is Scope.WINDOW_RANK_0)


# -- The loss -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "ran"), [("hinge", "dpo"), ("ipo", "sigmoid_norm")])
def test_the_sigmoid_loss_that_ran_in_place_of_another_is_shown_by_its_start(
    loss: str, ran: str
) -> None:
    new = {**LF, "pref_loss": loss, "llamafactory_version": "0.9.4"}
    run = run_of(rows(length=LENGTH if loss == "ipo" else 1), new)
    assert run.method == ran
    assert caveat(run, f"pref_loss is {loss}, but the loss begins at 0.6900")
    old = run_of(rows(), {**new, "llamafactory_version": "0.9.3"})
    assert old.method == loss
    assert not caveat(old, "pref_loss is")


def test_a_hinge_loss_that_begins_at_one_did_run() -> None:
    run = run_of(rows(loss=1.0), {**LF, "pref_loss": "hinge"})
    assert run.method == "hinge"
    assert not caveat(run, "pref_loss is")


def test_a_loss_whose_start_is_not_logged_leaves_it_open_which_one_ran() -> None:
    run = run_of([row | {"loss": None} for row in rows()], {**LF, "pref_loss": "hinge"})
    assert run.method == "hinge"
    assert caveat(run, "does not show which one ran")


def test_a_loss_that_does_not_begin_at_its_start_points_at_the_reference() -> None:
    config = {"loss_type": "sigmoid", "beta": 0.1}
    assert caveat(run_of(rows(loss=0.9), config), "the reference may be another model")
    assert not caveat(run_of(rows(), config), "reference may be")
    assert not caveat(run_of(rows(loss=0.9, nll_loss=0.2), config), "reference may be")


def test_a_loss_summed_over_micro_batches_is_told_from_a_wrong_reference() -> None:
    run = run_of(rows(loss=8 * 0.6931), {"loss_type": "sigmoid", "beta": 0.1})
    assert caveat(run, "is 8 times 0.6931")
    assert not caveat(run, "reference may be")


def test_a_log_that_begins_late_says_nothing_of_its_start() -> None:
    late = rows(loss=5.0)[3:]
    assert not caveat(run_of(late, {"loss_type": "sigmoid", "beta": 0.1}), "starts")


# -- Other columns ------------------------------------------------------------------------------


def kto_rows() -> list[dict]:
    logged = rows(kl=16.0, loss=0.5)
    for row in logged:
        del row["rewards/accuracies"]
    return logged


def test_the_summed_kl_of_llama_factory_is_divided_back() -> None:
    config = {
        **LF,
        "stage": "kto",
        "gradient_accumulation_steps": 4,
        "logging_steps": 2,
        "num_devices": 2,
    }
    run = run_of(kto_rows(), config)
    assert set(run.train["kl"]) == {1.0}
    assert caveat(run, "divided by 16")


def test_the_summed_kl_stays_apart_where_it_cannot_be_divided() -> None:
    run = run_of(kto_rows(), {**LF, "stage": "kto"})
    assert "kl" not in run.train
    assert "kl summed over micro-batches" in run.unrecognised
    assert caveat(run, "could not be divided back")


def test_an_eval_kl_without_its_prefix_shows_llama_factory() -> None:
    logged = kto_rows()
    logged.append({"eval_loss": 0.4, "eval_rewards/chosen": 0.1, "kl": 9.0, "step": 41})
    run = run_of(logged)
    assert run.source.framework == "LLaMA-Factory"
    assert "kl" not in run.evals
    assert "kl of eval under its train key" in run.unrecognised


def test_trl_logs_kl_as_a_mean() -> None:
    run = run_of(kto_rows(), {"trl_version": "0.24.0", "trainer": "kto"})
    assert set(run.train["kl"]) == {16.0}


def test_the_odds_terms_of_both_frameworks_get_one_sign() -> None:
    trl = run_of(rows(log_odds_ratio=-0.6, log_odds_chosen=0.2, nll_loss=1.0))
    lf = run_of(rows(odds_ratio_loss=0.6, sft_loss=1.0))
    assert set(trl.train["odds_loss"]) == set(lf.train["odds_loss"]) == {0.6}
    assert set(trl.train["log_odds_ratio"]) == {0.2}
    assert "nll_loss" in trl.unrecognised  # it covers the prompt too
    assert "sft_loss" in lf.train


def test_a_term_that_is_zero_throughout_is_off() -> None:
    on, off = run_of(rows(nll_loss=1.5)), run_of(rows(nll_loss=0.0))
    assert set(on.train["sft_loss"]) == {1.5}
    assert "sft_loss" not in off.train
    assert caveat(off, "the SFT term is off")


def test_settings_are_known_by_this_projects_names() -> None:
    simpo = {"pref_loss": "simpo", "simpo_gamma": 1.2, "pref_ftx": 0.3, "pref_beta": 2.0}
    run = run_of(rows(), {**LF, **simpo})
    assert {"beta": 2.0, "gamma": 1.2, "sft_weight": 0.3}.items() <= run.config.items()
    ratio = run_of(rows(), {"gamma_beta_ratio": 0.3, "beta": 2.0})
    assert ratio.config["gamma"] == pytest.approx(0.6)


def test_weights_and_biases_wraps_its_settings() -> None:
    run = run_of(rows(), {"beta": {"value": 0.3, "desc": None}, "loss_type": {"value": "sigmoid"}})
    assert factor(run) == 0.3


@pytest.mark.parametrize("absurd", [True, "much", -1.0, 0, float("nan"), float("inf"), [1], None])
def test_absurd_settings_say_nothing(absurd: Any) -> None:
    config = {"beta": absurd, "loss_type": absurd, "logging_steps": absurd, "world_size": absurd}
    run = run_of(rows(), config)
    assert factor(run) is None
    np.testing.assert_array_equal(run.train.index, [1, 11, 21, 31, 41])
