"""Advice: every flag exists where it is to be written, and values come from the run."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import product

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.advice import REMEDIES, advice
from diagnostics.causes import causes
from diagnostics.examples import example
from diagnostics.flags import flags
from diagnostics.methods import METHODS
from diagnostics.pathologies import PATHOLOGIES
from diagnostics.probe_examples import flipped, probed
from diagnostics.reading import Reading
from diagnostics.remedies import stop_earlier
from diagnostics.run import Run, Source
from diagnostics.synthetic_logs import logged_run
from diagnostics.verdicts import Advice
from tests.diagnostics.gradient_runs import entangled
from tests.diagnostics.probe_runs import any_run
from trainer.config import TrainConfig

# Arguments of LLaMA-Factory 0.9.4 (hparams/finetuning_args.py, data_args.py) and of the trainer of
# transformers that it passes on, as far as advice may use them.
LLAMAFACTORY = {
    *("stage", "pref_loss", "pref_beta", "pref_ftx", "pref_bco_weight", "dpo_label_smoothing"),
    *("kto_chosen_weight", "kto_rejected_weight", "simpo_gamma", "ld_alpha", "ref_model"),
    *("pure_bf16", "cutoff_len", "learning_rate", "num_train_epochs", "max_steps", "bf16"),
    *("max_grad_norm", "warmup_ratio", "per_device_train_batch_size", "logging_steps"),
    "gradient_accumulation_steps",
}
PREF_LOSSES = {"sigmoid", "orpo", "simpo"}  # its ipo and hinge may train the sigmoid loss
TRL_LOSSES = {
    *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot"),
    *("aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm", "simpo"),
}
# Where the configuration classes of TRL 1.16 are.
CLASSES = {
    "TrainingArguments": "transformers",
    "DPOConfig": "trl",
    "KTOConfig": "trl",
    "SFTConfig": "trl",
    "ORPOConfig": "trl.experimental.orpo",
    "CPOConfig": "trl.experimental.cpo",
}
SETTINGS = {
    "learning_rate": 5e-7,
    "max_length": 512,
    "per_device_train_batch_size": 1,
    "num_train_epochs": 3.0,
    "max_grad_norm": 1.0,
    "desirable": 100,
    "undesirable": 1000,
}


GRADIENTS = {"dpo": ((2.0, 0.8), (0.4, 0.9)), "kto": ((2.0, 0.8), (0.4, 0.9))}


@cache
def readings() -> tuple[Reading, ...]:
    """Return runs of all methods, with and without gradients, probes and settings."""
    runs = [
        entangled(
            "both_fall", q_star=q_star, cosine=cosine, method_name=method,
            config={**SETTINGS, "sft_weight": 0.5},
            evals={"curvature": {0: 0.9}, "first_order/chosen": {0: 1.0}},
        )
        for method in METHODS
        for q_star, cosine in GRADIENTS.get(method, ((1.0, 0.1),))
    ]  # fmt: skip
    runs += [example("both_rise", method_name=method) for method in ("dpo", "kto", "orpo")]
    runs += [probed(), flipped(), replace(logged_run(-0.3, -0.5), method=None)]
    longer = example("both_fall")
    probes = longer.probes.copy()
    probes["completion_tokens/rejected"] *= 2
    runs += [replace(longer, probes=probes)]
    runs += [Run(name="empty", method=None, source=Source("", "native", "synthetic"))]
    return tuple(map(Reading, runs))


@pytest.fixture(scope="module")
def every() -> list[tuple[Reading, Advice]]:
    """All advice on all of `readings`."""
    return [
        (reading, one)
        for reading in readings()
        for name in REMEDIES
        for one in advice(reading, name)
    ]


def written(every: list[tuple[Reading, Advice]], framework: str) -> set[str]:
    """Return the different flags for a framework."""
    return {one.flags[framework] for _, one in every if framework in one.flags}


def test_every_remedy_gives_advice_on_some_run(every: list[tuple[Reading, Advice]]) -> None:
    assert len(every) > 500
    silent = []
    for remedy in {remedy for own in REMEDIES.values() for remedy in own}:
        if not any(remedy(reading) for reading in readings()):
            silent.append(remedy.__name__)
    # The peak of a curve that only falls does not exist; it has its own test below.
    assert sorted(silent) == ["stop_at_the_peak"]


def test_all_pathologies_have_remedies_and_all_remedies_a_pathology() -> None:
    assert set(REMEDIES) == {one.name for one in PATHOLOGIES}


def test_advice_says_strength_effect_risk_and_source(every: list[tuple[Reading, Advice]]) -> None:
    for _, one in every:
        assert one.strength in ("A", "B", "C", "D")
        assert all((one.action, one.risk, one.source)), one
        for what in ("chosen", "rejected", "drift"):
            assert what in one.expected, f"{one.action}: {one.expected}"
        if one.window is not None:
            assert 0 <= one.window[0] < one.window[1], one


def test_every_flag_of_trl_is_an_argument_of_its_class(
    every: list[tuple[Reading, Advice]],
    need: Callable[[object, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    need(importlib.util.find_spec("trl"), "trl is not installed")
    found = written(every, "trl")
    assert len(found) > 20
    for text in found:
        call = ast.parse(text, mode="eval").body
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Name)
        kind = getattr(importlib.import_module(CLASSES[call.func.id]), call.func.id)
        known = {field.name for field in dataclasses.fields(kind)}
        values = {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
        assert set(values) <= known, text
        losses = values.get("loss_type", [])
        assert set([losses] if isinstance(losses, str) else losses) <= TRL_LOSSES
        # CPOConfig takes one loss, DPOConfig a list of them with as many weights.
        assert isinstance(losses, str) == (call.func.id == "CPOConfig" and "loss_type" in values)
        assert len(values.get("loss_weights", losses)) == len(losses)


def test_every_flag_of_llamafactory_is_one_of_its_arguments(
    every: list[tuple[Reading, Advice]],
) -> None:
    found = written(every, "llamafactory")
    assert len(found) > 10
    for text in found:
        values = yaml.safe_load(text)
        assert set(values) <= LLAMAFACTORY, text
        assert values.get("pref_loss", "sigmoid") in PREF_LOSSES
        for name, value in values.items():
            # YAML reads 1e-07 as a string, which LLaMA-Factory then cannot use.
            assert isinstance(value, str) == (name in ("stage", "pref_loss")), text


def test_every_flag_of_our_trainer_makes_a_configuration(
    every: list[tuple[Reading, Advice]],
) -> None:
    checked = set()
    for reading, one in every:
        text = one.flags.get("seesaw")
        if text is None:
            continue
        words = text.split()
        given: dict[str, object] = dict(
            zip([word.removeprefix("--") for word in words[::2]], words[1::2], strict=True)
        )
        kinds = {field.name: field for field in dataclasses.fields(TrainConfig)}
        assert set(given) <= set(kinds), text
        typed = {
            name: type(kinds[name].default)(value)  # type: ignore[arg-type, call-arg]
            for name, value in given.items()
        }
        method = str(typed.pop("method", reading.run.method or "dpo"))
        TrainConfig(method=method, model="m", data="d", output_dir="o", **typed)  # type: ignore[arg-type]
        checked.add(text)
    assert len(checked) > 20


def test_a_framework_that_cannot_train_the_method_is_left_out() -> None:
    reading = Reading(example("both_fall", method_name="nca_pair"))
    assert all("llamafactory" not in one.flags for one in advice(reading, "drift"))
    assert any("trl" in one.flags for one in advice(reading, "drift"))


def test_the_sft_coefficient_lies_inside_of_its_window_in_each_reduction() -> None:
    reading = Reading(entangled(tokens=(50.0, 150.0)))
    one = next(one for one in advice(reading, "both_fall") if one.setting == "sft_weight")
    assert one.window == (pytest.approx(3.0), pytest.approx(7.5))
    weights = ast.literal_eval(one.flags["trl"].split("loss_weights=")[1].rstrip(")"))
    assert weights == [1.0, pytest.approx((3 * 7.5) ** 0.5, rel=0.02)]
    assert "from 3 to 7.5" in one.action
    # LLaMA-Factory takes the mean over completions: here 3/4 of the same pull.
    assert yaml.safe_load(one.flags["llamafactory"])["pref_ftx"] == pytest.approx(3.56, rel=0.02)


def test_no_sft_coefficient_is_advised_where_none_keeps_rejected_from_rising() -> None:
    reading = Reading(entangled(q_star=0.4, cosine=0.9))
    assert not [one for one in advice(reading, "both_fall") if one.setting == "sft_weight"]


def test_without_gradients_the_sft_term_is_a_published_start_and_names_the_probe() -> None:
    reading = Reading(example("both_fall"))
    one = next(one for one in advice(reading, "both_fall") if one.setting == "sft_weight")
    assert one.window is None
    assert "entanglement probe" in one.action
    assert one.flags["llamafactory"] == "pref_ftx: 0.2"


def test_a_bent_step_lowers_the_learning_rate_by_its_curvature() -> None:
    evals = {"curvature": {0: 1.0}, "first_order/chosen": {0: 2.0}}
    run = entangled(evals=evals, config={"learning_rate": 8e-6})
    train = run.train.copy()
    train["learning_rate"] = 4e-6  # the step was tried half way up the warm-up
    one = next(
        one
        for one in advice(Reading(replace(run, train=train)), "both_fall")
        if one.setting == "learning_rate"
    )
    assert one.flags["seesaw"] == "--learning_rate 2e-06"  # 8e-6 * 0.25 / 1.0
    assert "100 %" in one.action


def test_ktos_weights_follow_the_counts_of_the_labels() -> None:
    config = {"desirable": 100, "undesirable": 1000}
    run = replace(example("both_rise", method_name="kto"), config=config)
    (one,) = advice(Reading(run), "kto_imbalance")
    assert one.window == (pytest.approx(10.0), pytest.approx(15.0))
    assert one.flags["trl"] == "KTOConfig(desirable_weight=12.0, undesirable_weight=1.0)"
    config = {"desirable": 1000, "undesirable": 100}
    (one,) = advice(Reading(replace(run, config=config)), "kto_imbalance")
    assert one.flags["llamafactory"] == "kto_chosen_weight: 1.0\nkto_rejected_weight: 8.2"


def test_without_counts_ktos_weights_get_no_values() -> None:
    (one,) = advice(Reading(example("both_rise", method_name="kto")), "kto_imbalance")
    assert (one.flags, one.window) == ({}, None)
    assert "does not say" in one.action


def test_a_fall_within_the_tide_is_to_be_accepted() -> None:
    run = example("both_fall")
    samples = run.samples.copy()
    samples["logps"] -= 2.0 * samples["step"] / 200 * samples["completion_tokens"]
    first = advice(Reading(replace(run, samples=samples)), "both_fall")[0]
    assert first.action.startswith("accept the fall")
    assert not advice(Reading(run), "both_fall")[0].action.startswith("accept")


def test_the_place_to_stop_is_the_peak_of_the_chosen_side() -> None:
    run = example("ideal")
    probes = run.probes.copy()
    progress = probes["step"] / 200
    probes["logps/chosen"] += (4 * progress * (1 - progress) - progress) * probes[
        "completion_tokens/chosen"
    ]
    reading = Reading(replace(run, probes=probes))
    peak = max(reading.estimates, key=lambda one: one.delta_chosen.value).step
    one = advice(reading, "rise_then_fall")[0]
    assert 0 < peak < 200
    assert one.flags["seesaw"] == f"--max_steps {peak}"


def test_flips_are_named_and_their_share_is_smoothed() -> None:
    found = {one.setting: one for one in advice(Reading(flipped(0)), "label_flips")}
    assert "pairs 0, 1, 4, 8" in found[None].action
    assert found["label_smoothing"].flags["seesaw"] == "--label_smoothing 0.17"


@pytest.mark.parametrize("name", REMEDIES)
def test_scaling_beta_and_the_rewards_changes_no_advice_but_betas_own_flag(name: str) -> None:
    run = entangled(config={"beta": 0.1, "learning_rate": 1e-6})
    train = run.train.copy()
    for column in train.filter(like="rewards/"):
        if column != "rewards/accuracies":
            train[column] *= 7
    scaled = replace(run, train=train, config={**run.config, "beta": 0.7})
    for one, other in zip(advice(Reading(run), name), advice(Reading(scaled), name), strict=True):
        assert replace(one, flags={}) == replace(other, flags={})
        assert one.flags == other.flags or one.setting == "beta"


def test_a_pathology_of_another_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(KeyError, match="'both_falls'; did you mean 'both_fall'"):
        advice(Reading(example("ideal")), "both_falls")


@given(run=any_run(stepped=True), method=st.sampled_from(["dpo", "kto", "orpo", None, "unheard"]))
@settings(max_examples=30, deadline=None)
def test_no_run_makes_advice_raise(run: Run, method: str | None) -> None:
    reading = Reading(replace(run, method=method))
    for name in REMEDIES:
        assert all(one.action for one in advice(reading, name))


KEYS = ("beta", "gamma", "sft_weight", "sft_reduction", "undesirable_weight", "desirable_weight")


@pytest.mark.parametrize("method", ["dpo", "kto", "orpo", "simpo", "ipo"])
@pytest.mark.parametrize("value", ["text", float("nan"), float("inf"), -1.0, 0, None, True, [1]])
def test_settings_that_are_no_numbers_raise_nothing(method: str, value: object) -> None:
    odd = dict.fromkeys((*SETTINGS, *KEYS), value)
    for regime in ("both_fall", "both_rise"):
        run = entangled(regime, method_name=method)
        reading = Reading(replace(run, config={**odd, "method": method}))
        for name in REMEDIES:
            advice(reading, name)
        causes(reading)


def test_a_flag_of_nothing_is_no_flag() -> None:
    assert flags("dpo") == {}
    for value, name in product((True, False), ("shuffle",)):
        assert flags("dpo", seesaw={name: value})["seesaw"] in ("--shuffle", "--no_shuffle")


def test_epochs_are_told_with_as_many_digits_as_somebody_would_say() -> None:
    run = example("both_fall")
    run = replace(run, train=run.train.assign(epoch=4 / 3))
    assert "(1.33 epochs now, next 0.67)" in stop_earlier(Reading(run)).action
