"""The alarms on a regime, read from logs of four methods and from held-out pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diagnostics.examples import AFTER_PEAK, PEAK, example, turning
from diagnostics.pathologies import BY_NAME, both_rise, flat_run, margin_loss, rise_then_fall
from diagnostics.pathologies import reversed as wrong_way
from diagnostics.reading import Reading
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.synthetic_logs import Path, logged_run
from diagnostics.verdicts import Status

METHODS = ("dpo", "kto", "orpo", "simpo")
TURN: Path = ((0.0, 0.0), (0.4, 0.25), (1.0, -0.05))
COURSES: dict[str, tuple[Path, Path]] = {
    "both_rise": (0.4, 0.15),
    "both_fall": (-0.6, -1.0),
    "reversed": (-0.2, 0.2),
    "margin_loss": (-0.4, -0.15),
    "rise_then_fall": (TURN, -0.8),
    "flat_run": (0.0, 0.0),
}


@pytest.mark.parametrize("name", COURSES)
@pytest.mark.parametrize("method", METHODS)
def test_a_log_without_a_probe_set_shows_it(name: str, method: str) -> None:
    verdict = BY_NAME[name].check(Reading(logged_run(*COURSES[name], method_name=method, seed=1)))
    assert verdict.status is Status.PRESENT, verdict.sentence
    dead = verdict.sentence.startswith("dead")  # then a probe set could add nothing
    assert dead or any("probe set" in one for one in verdict.unseen)


@pytest.mark.parametrize("name", COURSES)
def test_of_these_only_the_named_one_is_present(name: str) -> None:
    reading = Reading(logged_run(*COURSES[name], seed=2))
    present = {n for n in COURSES if BY_NAME[n].check(reading).status is Status.PRESENT}
    assert present == {name}


def held_out_only(run: Run) -> Run:
    return replace(run, probes=run.probes[run.probes["split"] == "held_out"])


@pytest.mark.parametrize("name", ["reversed", "margin_loss"])
def test_on_held_out_pairs_alone_it_is_only_suspected(name: str) -> None:
    run = held_out_only(example(Regime(name)))
    assert BY_NAME[name].check(Reading(run)).status is Status.SUSPECTED


def test_a_log_of_evaluations_alone_is_held_out_too() -> None:
    run = logged_run(-0.2, 0.2)
    alone = replace(run, train=run.train.iloc[:0], evals=run.train)
    assert wrong_way.check(Reading(alone)).status is Status.SUSPECTED


@pytest.mark.parametrize(
    ("chosen", "open_"), [(-0.6, {"both_fall", "reversed"}), (0.6, {"both_rise"})]
)
def test_a_side_without_a_direction_leaves_open_what_the_other_side_allows(
    chosen: float, open_: set[str]
) -> None:
    run = logged_run(chosen, 0.0)
    noise = 20 * np.random.default_rng(0).normal(size=len(run.train))
    lost = {"rewards/rejected": noise, "rewards/margins": run.train["rewards/chosen"] - noise}
    reading = Reading(replace(run, train=run.train.assign(**lost)))
    statuses = {n: BY_NAME[n].check(reading).status for n in ("both_fall", "reversed", "both_rise")}
    assert {name for name, status in statuses.items() if status is Status.UNKNOWN} == open_
    assert not any(status.is_alarm for status in statuses.values())


# Both rise.


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("orpo", {"beta": 0.1}, "ORPO with lambda 0.1 does this by design"),
        ("dpo", {"sft_weight": 0.5}, "an SFT term of weight 0.5 does this by design"),
        ("dpo", {}, ""),
    ],
)
def test_a_rise_that_the_settings_cause_is_said_to(
    method: str, settings: dict[str, float], words: str
) -> None:
    verdict = both_rise.check(Reading(logged_run(0.4, 0.15, method_name=method, settings=settings)))
    assert verdict.status is Status.PRESENT
    assert words in verdict.sentence
    assert ("by design" in verdict.sentence) is bool(words)


def test_the_severity_of_a_rise_is_that_of_the_rejected_side() -> None:
    assert both_rise.check(Reading(example(Regime.BOTH_RISE))).severity == "moderate"


# Margin loss.


def test_a_margin_that_grows_on_the_scale_of_the_loss_is_not_lost() -> None:
    run = example(Regime.MARGIN_LOSS)
    probes = run.probes.copy()
    final = probes["step"] > 0
    # Long completions gain so much that the sum over completions grows while the mean falls.
    long = probes["pair"] % 8 == 0
    probes.loc[long, "completion_tokens/chosen"] = 2000.0
    probes.loc[long & final, "logps/chosen"] += 500.0
    verdict = margin_loss.check(Reading(replace(run, probes=probes)))
    assert not verdict.status.is_alarm
    per_token = replace(run, probes=probes, method="simpo")
    found = Reading(per_token).regime.regime
    assert (margin_loss.check(Reading(per_token)).status is Status.PRESENT) is (
        found is Regime.MARGIN_LOSS
    )


# Rise then fall.


@pytest.mark.parametrize("seed", range(3))
def test_the_peak_and_the_fall_since_are_those_of_the_truth(seed: int) -> None:
    verdict = rise_then_fall.check(Reading(turning(seed)))
    assert verdict.since == 80
    rise, fall = verdict.evidence
    assert rise.value == pytest.approx(PEAK, abs=0.002)
    assert fall.value == pytest.approx(AFTER_PEAK - PEAK, abs=0.002)
    assert verdict.severity == "moderate"


def test_a_fall_under_the_threshold_is_no_turn() -> None:
    reading = Reading(turning(0))
    assert rise_then_fall.check(reading, fall=0.19).status is Status.PRESENT
    assert rise_then_fall.check(reading, fall=0.21).status is Status.ABSENT


@pytest.mark.parametrize("regime", [Regime.BOTH_FALL, Regime.IDEAL, Regime.FLAT])
def test_a_side_that_never_rose_or_never_fell_has_no_turn(regime: Regime) -> None:
    assert rise_then_fall.check(Reading(example(regime))).status is Status.ABSENT


# Flat.


def dead(records: int = 30) -> Run:
    run = logged_run(0.0, 0.0, every=10, steps=10 * records)
    silent = dict.fromkeys(["rewards/chosen", "rewards/rejected", "rewards/margins"], 0.0)
    return replace(run, train=run.train.assign(**silent, loss=0.6931))


def test_a_log_of_zeros_is_dead() -> None:
    verdict = flat_run.check(Reading(dead()))
    assert verdict.status is Status.PRESENT
    assert verdict.sentence.startswith("dead: all 30 logged rewards of both sides are exactly 0")
    assert "loss goes from 0.69 to 0.69" in verdict.sentence
    assert flat_run.check(Reading(dead(5))).status is Status.UNKNOWN


def test_a_learning_rate_of_zero_is_dead_whatever_the_rewards() -> None:
    run = logged_run(0.0, 0.0, method_name="simpo")
    still = replace(run, train=run.train.assign(learning_rate=0.0))
    assert "learning rates are 0" in flat_run.check(Reading(still)).sentence


def test_a_run_that_has_not_moved_during_warm_up_is_not_yet_flat() -> None:
    run = example(Regime.FLAT)
    rates = [i / len(run.train) for i in range(1, len(run.train) + 1)]
    warming = replace(run, train=run.train.assign(learning_rate=rates))
    verdict = flat_run.check(Reading(warming))
    assert verdict.status is Status.UNKNOWN
    assert "warming up" in verdict.sentence
