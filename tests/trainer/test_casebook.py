"""The casebook's records, its runner, and one small experiment from end to end."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import numpy as np
import pytest

from diagnostics.pathologies import PATHOLOGIES
from diagnostics.regimes import Regime
from trainer import tiny
from trainer.casebook import EXPERIMENTS, measure, policies, runner
from trainer.casebook.command import run_casebook
from trainer.casebook.contract import ACROSS, TRAINING, Arm, Expectation, Experiment, holds
from trainer.casebook.phase_map import area, signs
from trainer.casebook.settings import FROM_PLAIN, NOVEL_FORMAT, after_sft, corpus, pairs
from trainer.casebook.sft_term import flips
from trainer.config import TrainConfig
from trainer.errors import ConfigError

NAMES = {regime.value for regime in Regime} | {one.name for one in PATHOLOGIES}
every_experiment = pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda one: one.name)


# The family.


def test_every_experiment_has_a_number_of_its_own():
    names = [experiment.name for experiment in EXPERIMENTS]
    assert len({*names}) == len(names)
    assert all(re.fullmatch(r"E\d+", name) for name in names)


@every_experiment
def test_every_arm_can_be_trained_as_it_says(experiment):
    assert len({arm.name for arm in experiment.arms}) == len(experiment.arms) > 1
    for arm in experiment.arms:
        own = {**TRAINING, **arm.training}
        config = TrainConfig(model="m", data="d", output_dir="o", **own)
        # A forecast needs four evaluations in the first half, a regime three in all.
        assert config.max_steps // config.eval_steps >= 2
        assert arm.regime is None or arm.regime in NAMES


@every_experiment
def test_every_expectation_speaks_of_arms_that_are_trained(experiment):
    arms = {arm.name for arm in experiment.arms} | {ACROSS}
    assert experiment.expectations
    for one in experiment.expectations:
        places = [place for place in (one.left, one.right) if isinstance(place, tuple)]
        assert {arm for arm, _ in places} <= arms
        assert one.relation in ("<", ">", "is")


@every_experiment
def test_every_remedy_treats_another_arm_and_says_on_what_evidence(experiment):
    for arm in experiment.arms:
        if arm.remedy is not None:
            assert arm.remedy.of != arm.name
            assert experiment.arm(arm.remedy.of)
            assert arm.remedy.symptom in NAMES
            assert arm.remedy.strength in ("A", "B")
            assert "arXiv" in arm.remedy.source


# Expectations.


@pytest.mark.parametrize(
    ("relation", "right", "expected"),
    [("<", 1.0, True), (">", 1.0, False), (">", ("b", "x"), True), ("is", 0.5, True)],
)
def test_an_expectation_compares_what_was_measured(relation, right, expected):
    arms = {"a": {"x": 0.5}, "b": {"x": 0.1}}
    assert holds(Expectation("", ("a", "x"), relation, right), arms) is expected


def test_an_expectation_without_its_numbers_says_nothing():
    one = Expectation("", ("a", "x"), ">", ("b", "x"))
    assert holds(one, {"a": {"x": None}, "b": {"x": 1.0}}) is None
    assert holds(one, {"a": {"x": 1.0}}) is None


def test_the_band_law_is_scored_on_changes_beyond_noise_only():
    def arm(sign, early, spread, share, final):
        return {
            "start/sign/chosen": sign,
            "early/chosen": early,
            "early/± chosen": spread,
            "start/entanglement/share": share,
            "chosen": final,
        }

    got = signs(
        {
            "right": arm(1.0, 0.2, 0.1, 0.6, 0.3),
            "wrong": arm(1.0, -0.2, 0.1, 0.1, -0.3),
            "noise": arm(-1.0, 0.05, 0.1, 0.5, 0.1),
        }
    )
    assert (got["early right/chosen"], got["early of/chosen"]) == (1.0, 2.0)
    assert got["auc"] == 1.0


def test_the_area_counts_ties_half():
    assert area([(0.1, True), (0.1, False)]) == 0.5
    assert area([(0.1, True)]) is None


def test_flips_are_read_off_between_two_weights():
    arms = {
        f"g {g:g}": {"early/chosen": g - 0.3, "early/rejected": g - 2.4}
        for g in (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10.0)
    }
    arms["g 0"] |= {
        "start/entanglement/cosine": 0.5,
        "start/entanglement/q_star": 2.5,
        "tokens/chosen": 20.0,
        "start/weight/rejected": 0.05,
    }
    got = flips(arms)
    assert math.isclose(got["g_min/observed"], 0.3)
    assert math.isclose(got["g_max/observed"], 2.4)
    assert math.isclose(got["g_min/predicted"], 0.25)  # 20 · 0.05 · (0.5 · 2.5 - 1)
    assert math.isclose(got["g_max/predicted"], 4.0)  # 20 · 0.05 · (2.5 / 0.5 - 1)
    assert math.isclose(got["g_min/factor"], 1.2)
    assert math.isclose(got["g_max/factor"], 4.0 / 2.4)


# Settings, fingerprints, advice.


def test_options_become_settings_of_their_own_kind():
    assert runner.settings_of("--sft_weight 0.5") == {"sft_weight": 0.5}
    assert runner.settings_of("--learning_rate 5e-05 --method kto") == {
        "learning_rate": 5e-5,
        "method": "kto",
    }
    assert runner.settings_of("--max_steps 12 --no_shuffle") == {"max_steps": 12, "shuffle": False}


def arm_of(**given) -> Arm:
    return Arm("one", "nothing", pairs("small", "", pairs=16), FROM_PLAIN, **given)


def test_the_fingerprint_follows_what_is_trained_and_not_how_it_is_told():
    one = policies.fingerprint(arm_of(), "cpu")
    retold = dataclasses.replace(arm_of(), change="otherwise", regime="ideal", follow=True)
    assert policies.fingerprint(retold, "cpu") == one
    for other in (
        arm_of(training={"learning_rate": 1.0}),
        arm_of(rejected="random"),
        arm_of(labels=(1, 2)),
        dataclasses.replace(arm_of(), policy=after_sft(FROM_PLAIN.corpus, 1)),
        dataclasses.replace(arm_of(), setting=NOVEL_FORMAT),
    ):
        assert policies.fingerprint(other, "cpu") != one
    assert policies.fingerprint(arm_of(), "gpu") != one


def test_advice_is_followed_on_the_arms_that_ask_for_it():
    asking, quiet = arm_of(follow=True), dataclasses.replace(arm_of(), name="quiet")
    experiment = Experiment("E0", "", "", (asking, quiet), ())
    both = [
        {"pathology": name, "strength": "A", "flags": "--sft_weight 0.5"}
        for name in ("both_fall", "squeezing")
    ]
    other = {"pathology": "drift", "strength": "B", "flags": "--beta 0.2"}
    runs = [{"arm": name, "seed": 3, "advice": [*both, other]} for name in ("one", "quiet")]
    first, second = runner.advised(experiment, runs)
    assert (first[0].name, *first[1:]) == ("one, advised sft_weight 0.5", 3, both)
    assert first[0].training == {"sft_weight": 0.5}
    assert not first[0].follow
    assert (second[0].name, second[2]) == ("one, advised beta 0.2", [other])


def test_only_founded_advice_on_what_is_present_is_followed():
    def alarm(name, status, *advice):
        return {"pathology": name, "status": status, "advice": list(advice)}

    strong = {"strength": "B", "flags": {"seesaw": "--beta 0.2", "trl": "beta=0.2"}}
    weak = {"strength": "D", "flags": {"seesaw": "--beta 0.4"}}
    elsewhere = {"strength": "A", "flags": {"trl": "beta=0.8"}}
    diagnosis = {
        "regime": "both_fall",
        "verdicts": [
            alarm("drift", "present", weak, elsewhere, strong, {**strong, "strength": "A"}),
            alarm("squeezing", "suspected", strong),
            alarm("saturation", "absent", strong),
        ],
    }
    got = runner._summary(diagnosis)
    assert got["alarms"] == {"drift": "present", "squeezing": "suspected"}
    assert got["advice"] == [{"pathology": "drift", "strength": "B", "flags": "--beta 0.2"}]


def test_labels_come_in_the_ratio_asked_for():
    rows = [{"prompt": [], "chosen": ["c"], "rejected": ["r"]} for _ in range(22)]
    labels = [row["label"] for row in policies._labelled(rows, (1, 10))]
    assert sum(labels) == 2
    assert policies._labelled(rows, (1, 10))[0]["completion"] == ["c"]


def test_rank_correlation_shares_the_ranks_of_ties():
    one, other = np.array([1.0, 1.0, 2.0, 3.0]), np.array([3.0, 4.0, 1.0, 0.0])
    expected = np.corrcoef([0.5, 0.5, 2.0, 3.0], [2.0, 3.0, 1.0, 0.0])[0, 1]
    assert math.isclose(measure.spearman(one, other), expected)


def test_an_unknown_experiment_is_named(tmp_path):
    with pytest.raises(ConfigError, match="E99, which is no experiment"):
        run_casebook(["--only", "E99", "--output_dir", str(tmp_path)])


# One experiment from end to end.

CORPUS = corpus("tiny-corpus", "")
SMALL = {"max_steps": 12, "eval_steps": 3, "probe_pairs": 16, "learning_rate": 1e-3}
EXPERIMENT = Experiment(
    name="E0",
    title="A format that only the chosen side has",
    claim="Rejected texts of random words fall further than those of the other style.",
    arms=(
        Arm("style", "two styles", pairs("s", "", pairs=64), FROM_PLAIN, SMALL, follow=False),
        Arm(
            "random",
            "random words, after SFT",
            pairs("s", "", pairs=64),
            after_sft(CORPUS, 1),
            SMALL,
            rejected="random",
        ),
    ),
    expectations=(
        Expectation("further", ("random", "rejected"), "<", ("style", "rejected")),
        Expectation("the margin grows", ("random", "margin"), ">", 0.0),
        Expectation("never measured", ("random", "no such thing"), ">", 0.0),
    ),
    samples=True,
    kept=("gain/words",),
    derive=lambda arms: {"both": arms["style"]["margin"] + arms["random"]["margin"]},
)


@pytest.mark.slow
def test_an_experiment_is_trained_diagnosed_and_written_down_once(tmp_path, monkeypatch):
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    monkeypatch.setitem(policies.SIZES, "cpu", small)
    monkeypatch.setattr(policies, "WARM_UP", tiny.WarmUp(20, 512, 5e-3))
    runs, results = tmp_path / "runs", tmp_path / "results"
    arms = tuple(
        dataclasses.replace(arm, policy=dataclasses.replace(arm.policy, corpus=CORPUS))
        for arm in EXPERIMENT.arms
    )
    experiment = dataclasses.replace(EXPERIMENT, arms=arms)
    path = runner.run(experiment, [0], "cpu", runs, results)
    record = json.loads(path.read_text())
    by_arm = {run["arm"]: run for run in record["runs"]}
    assert [run["seed"] for run in record["runs"]] == [0, 0]
    assert all(run["regime"] in NAMES for run in record["runs"])
    steps = [row[0] for row in by_arm["style"]["path"]]
    assert steps == [0, 3, 6, 9, 12]
    numbers = by_arm["random"]["numbers"]
    last = dict(zip(record["path_columns"], by_arm["random"]["path"][-1], strict=True))
    assert numbers["chosen"] == last["chosen"]
    assert numbers["gain/words"] is not None
    assert "tokens/chosen" not in numbers  # measured, but not what the record is about
    first, second, third = (one["seeds"]["0"] for one in record["expectations"])
    assert first is (numbers["rejected"] < by_arm["style"]["numbers"]["rejected"])
    assert second is (numbers["margin"] > 0)
    assert third is None
    both = by_arm["style"]["numbers"]["margin"] + numbers["margin"]
    assert math.isclose(record["across"]["0"]["both"], both, rel_tol=0.01)

    def untouchable(config):
        raise AssertionError(f"{config.output_dir} is trained again")

    monkeypatch.setattr(runner, "train", untouchable)
    assert runner.run(experiment, [0], "cpu", runs, results).read_text() == path.read_text()
    faster = dataclasses.replace(arms[0], training={**SMALL, "learning_rate": 2e-3})
    with pytest.raises(AssertionError, match="style-seed0 is trained again"):
        runner.run(
            dataclasses.replace(experiment, arms=(faster, arms[1])), [0], "cpu", runs, results
        )
