"""Causes on closed-form gradients and on pairs with known properties."""

from __future__ import annotations

from dataclasses import replace
from math import hypot, sqrt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.causes import EXPLANATIONS, causes, unexplained
from diagnostics.pairtables import TABLES
from diagnostics.probe_examples import probed
from diagnostics.reading import Reading
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.synthetic_logs import logged_run
from diagnostics.verdicts import CONFIGURED, INDICATED, MEASURED, Cause
from tests.diagnostics.gradient_runs import base, entangled
from tests.diagnostics.probe_runs import any_run


def example(regime: str, method_name: str = "dpo") -> Run:
    return base(Regime(regime), method_name)


def named(run: Run) -> dict[str, Cause]:
    return {one.name: one for one in causes(Reading(run))}


# Gradients with a closed form.


@pytest.mark.parametrize("kappa", [-2.0, -0.5, 0.5, 0.9, 1.1, 2.0, 5.0])
@pytest.mark.parametrize("aside", [0.0, 0.2, 1.0, 3.0])
def test_the_log_linear_phase_diagram_decides_the_cause(kappa: float, aside: float) -> None:
    # Chosen a is a unit vector, rejected kappa a + aside a': both fall iff kappa > q, and both
    # rise iff (kappa - q/2)^2 + aside^2 < (q/2)^2.
    length = hypot(kappa, aside)
    gradients = {"q_star": length, "cosine": kappa / length}
    falls = named(entangled("both_fall", **gradients))  # type: ignore[arg-type]
    rises = named(entangled("both_rise", **gradients))  # type: ignore[arg-type]
    assert ("gradient_entanglement" in falls) == (kappa > 1)
    assert ("gradient_entanglement" in rises) == ((kappa - 0.5) ** 2 + aside**2 < 0.25)


def shared_suffix(length: int, p_w: float = 0.9, p_l: float = 0.6, r: float = 0.95) -> Run:
    """Return both_fall with the gradients of a first difference before `length` equal tokens."""
    a, b = 1 - p_w, 1 - p_l
    chosen, rejected = sqrt(0.5 + 2 * length * a * a), sqrt(0.5 + 2 * length * b * b)
    cosine = (-0.5 + 2 * length * a * b * r) / (chosen * rejected)
    return entangled("both_fall", q_star=rejected / chosen, cosine=cosine)


def test_a_shared_suffix_of_18_tokens_is_the_first_to_lower_both() -> None:
    # L > 1 / (2A(Br - A)) = 17.86 at p_w = 0.9, p_l = 0.6, r = 0.95.
    assert "gradient_entanglement" not in named(shared_suffix(17))
    cause = named(shared_suffix(18))["gradient_entanglement"]
    assert cause.strength == MEASURED
    assert "lies below the lower edge" in cause.sentence
    assert "gradient_entanglement" not in named(shared_suffix(500, p_w=0.6, p_l=0.6))


def test_a_band_that_holds_at_every_evaluation_scores_more_than_a_late_one() -> None:
    always = entangled(q_star=2.0, cosine=0.8, steps=(0, 50, 100))
    evals = always.evals.copy()
    evals.loc[[0, 50], "entanglement/cosine"] = 0.1
    late = replace(always, evals=evals)
    one, other = (named(run)["gradient_entanglement"] for run in (always, late))
    assert one.score == 1.0
    assert other.score == pytest.approx(0.5 + 0.5 / 3)
    assert "first at step 100, at 1 of 3 evaluations" in other.sentence


def test_reversed_is_no_matter_of_gradients_but_of_the_step() -> None:
    assert named(entangled("reversed")) == {}
    evals = {"curvature": {0: 1.4}, "first_order/chosen": {0: 1.0}}
    cause = named(entangled("reversed", evals=evals))["step_too_large"]
    assert "140 %" in cause.sentence
    assert "turns a rise into a fall" in cause.sentence


def test_a_small_curvature_is_no_cause() -> None:
    evals = {"curvature": {0: 0.3}, "first_order/chosen": {0: 1.0}}
    assert "step_too_large" not in named(entangled(evals=evals))


def test_a_margin_is_lost_where_unequal_weights_meet_overlapping_gradients() -> None:
    # The margin falls iff q + q*^2 < (1 + q) rho q*: 0.2 + 0.25 < 1.2 * 0.95 * 0.5.
    lost = entangled("margin_loss", q_star=0.5, cosine=0.95, weights=(0.01, 0.05))
    assert "gradient_entanglement" in named(lost)
    kept = entangled("margin_loss", q_star=0.5, cosine=0.95, weights=(0.05, 0.05))
    assert "gradient_entanglement" not in named(kept)


def test_gradients_that_are_nearly_one_explain_a_flat_run() -> None:
    assert "gradients_alike" in named(entangled("flat", q_star=1.0, cosine=0.95))
    assert "gradients_alike" not in named(entangled("flat", q_star=1.0, cosine=0.5))


def test_a_small_share_inside_the_band_is_asymmetry() -> None:
    # S_0 = (1 - 1.2) / … < 0 is entanglement; at rho 0.1 and q* 2.0 it is 0.8 / (0.8 + 3.8).
    found = named(entangled(q_star=2.0, cosine=0.1))
    assert "gradient_entanglement" not in found
    assert "17 %" in found["small_first_order_share"].sentence
    assert found["small_first_order_share"].strength == INDICATED


# Pairs with a known property.


def surprising(run: Run, chosen: float, rejected: float) -> Run:
    probes = run.probes.copy()
    draw = np.random.default_rng(0)
    for side, level in (("chosen", chosen), ("rejected", rejected)):
        probes[f"surprise/{side}"] = level + draw.normal(0, 0.05, len(probes))
    return replace(run, probes=probes)


def test_text_the_policy_writes_itself_falls_within_the_tide() -> None:
    run = surprising(example("both_fall"), 0.0, 0.1)
    assert named(run)["chosen_fitted_before"].strength == INDICATED  # falls more than the tide
    samples = run.samples.copy()
    samples["logps"] -= 2.0 * samples["step"] / 200 * samples["completion_tokens"]
    cause = named(replace(run, samples=samples))["chosen_fitted_before"]
    assert cause.strength == MEASURED
    assert "no more than samples" in cause.sentence
    assert "chosen_fitted_before" not in named(surprising(run, 0.6, 0.6))


def test_the_side_that_the_policy_would_not_write_draws_the_other_along() -> None:
    assert "off_policy_rejected" in named(surprising(example("both_fall"), 0.1, 1.5))
    assert "off_policy_chosen" in named(surprising(example("both_rise"), 1.5, 0.1))
    assert "off_policy_rejected" not in named(surprising(example("both_fall"), 1.5, 0.1))
    assert "off_policy_rejected" not in named(surprising(example("both_fall"), 0.0, 0.3))


def lengthened(run: Run, effect: float) -> Run:
    """Return the run with rejected sides twice as long, and chosen falling by their ratio."""
    probes = run.probes.copy()
    draw, pairs = np.random.default_rng(0), probes["pair"].nunique()
    factor = np.tile(draw.uniform(1.0, 3.0, pairs), len(probes) // pairs)
    probes["completion_tokens/rejected"] = probes["completion_tokens/chosen"] * factor
    own = probes["completion_tokens/chosen"]
    progress = probes["step"] / probes["step"].max()
    noise = draw.normal(0, 0.02, len(probes))
    probes["logps/chosen"] -= (effect * np.log(factor) + noise) * progress * own
    probes["logps/rejected"] -= 2.0 * progress * probes["completion_tokens/rejected"]
    return replace(run, probes=probes)


def test_longer_rejected_sides_count_more_where_the_fall_follows_them() -> None:
    with_effect, without = (
        named(lengthened(example("both_fall"), effect))["rejected_longer"] for effect in (0.5, 0.0)
    )
    assert (with_effect.score, without.score) == (0.6, 0.3)
    assert "times" in without.sentence
    normalised = lengthened(example("both_fall", method_name="simpo"), 0.5)
    assert "rejected_longer" not in named(normalised)


def test_equal_lengths_are_no_cause() -> None:
    assert "rejected_longer" not in named(example("both_fall"))


def with_tokens(regime: str, template: float, other: float) -> Run:
    """Return a run whose template tokens and other tokens changed by so much on both sides."""
    rows = [
        {
            "step": step, "pair": pair, "position": at, "token": at, "split": "train",
            "side": side, "group": "template" if at < 4 else "unique",
            "logps": -2 + (step > 0) * ((template if at < 4 else other) + 0.01 * pair),
            "argmax_logps": -0.5,
        }
        for step in (0, 200) for pair in range(16) for side in ("chosen", "rejected")
        for at in range(10)
    ]  # fmt: skip
    table = pd.DataFrame(rows).reindex(columns=TABLES["tokens"].names)
    return replace(example(regime), tables={"tokens": table})


def test_template_tokens_that_carry_the_common_movement_are_named_with_their_share() -> None:
    # 4 tokens of +1 and 6 of +0.1, each with 0.075 more on average: 4.3 of 5.35 nats.
    cause = named(with_tokens("both_rise", 1.0, 0.1))["template_tokens"]
    assert "carry 80 % of the movement" in cause.sentence
    assert "think block" in cause.sentence
    assert "40 % of the tokens" in cause.sentence
    assert "template_tokens" not in named(with_tokens("both_rise", 0.0, 1.0))


# Settings.


def test_an_sft_term_is_measured_by_its_part_of_the_pull() -> None:
    config = {"sft_weight": 2.0}  # 2 / 100 tokens = 0.02 of a pull of 0.07
    run = entangled("both_rise", q_star=1.0, cosine=0.9, weights=(0.07, 0.05), config=config)
    assert named(run).keys() >= {"gradient_entanglement"}
    assert "sft_term" not in named(run)  # 0.29 of the pull is below 0.3
    more = replace(run, config={**run.config, "sft_weight": 4.0})
    assert named(more)["sft_term"].strength == MEASURED
    assert "0.57" in named(more)["sft_term"].sentence


def test_without_gradients_a_setting_is_only_a_setting() -> None:
    orpo = named(logged_run(0.4, 0.2, method_name="orpo"))
    assert orpo["sft_term"].strength == CONFIGURED
    assert "lambda 0.1" in orpo["sft_term"].sentence
    assert named(logged_run(0.4, 0.2)) == {}


def test_apo_down_lowers_both_by_design() -> None:
    assert "loss_lowers_both" in named(example("both_fall", method_name="apo_down"))


# What is said of what is not known.


def test_a_log_without_probes_gets_no_made_up_cause() -> None:
    reading = Reading(logged_run(-0.4, -0.8))
    assert reading.regime.regime is Regime.BOTH_FALL
    assert causes(reading) == ()
    sentence = unexplained(reading)
    assert sentence is not None
    assert "entanglement probe" in sentence


def test_a_healthy_run_needs_no_cause() -> None:
    for run in (example("ideal"), probed(), logged_run(0.3, -0.3)):
        assert causes(Reading(run)) == ()
        assert unexplained(Reading(run)) is None


def every_cause() -> list[Cause]:
    evals = {"curvature": {0: 1.4}, "first_order/chosen": {0: 1.0}}
    runs = [
        entangled("both_fall", evals=evals),
        entangled("both_rise", q_star=0.5, cosine=0.9, config={"sft_weight": 5.0}),
        entangled("margin_loss", q_star=0.5, cosine=0.95, weights=(0.01, 0.05)),
        entangled("flat", q_star=1.0, cosine=0.95),
        entangled("both_fall", q_star=2.0, cosine=0.1),
        surprising(example("both_fall"), 0.0, 1.5),
        surprising(example("both_rise"), 1.5, 0.1),
        lengthened(example("both_fall"), 0.5),
        with_tokens("both_rise", 1.0, 0.1),
        logged_run(0.4, 0.2, method_name="orpo"),
        example("both_fall", method_name="apo_down"),
    ]
    return [cause for run in runs for cause in causes(Reading(run))]


def test_causes_are_ranked_and_quote_their_numbers_with_units() -> None:
    found = every_cause()
    assert len({one.name for one in found}) >= 11
    for cause in found:
        assert 0 < cause.score <= 1
        assert cause.evidence
        assert cause.settle
        for one in cause.evidence:
            words = (one.unit, one.unit.replace(" per ", "/"), "%" * (one.unit == "fraction"))
            assert any(word and word in cause.sentence for word in words), (cause.sentence, one)
    for run in (entangled("both_fall", evals={"curvature": {0: 0.7}}), probed()):
        scores = [one.score for one in causes(Reading(run))]
        assert scores == sorted(scores, reverse=True)


@given(run=any_run(stepped=True), regime=st.sampled_from(list(EXPLANATIONS)))
@settings(max_examples=25, deadline=None)
def test_no_run_makes_a_cause_raise(run: Run, regime: Regime) -> None:
    reading = Reading(run)
    causes(reading)
    for explain in EXPLANATIONS[regime]:
        explain(reading, regime)


def test_scaling_beta_and_rewards_leaves_the_causes_as_they_are() -> None:
    run = entangled(q_star=2.0, cosine=0.8, config={"beta": 0.1})
    train = run.train * np.where(run.train.columns.str.startswith("rewards/"), 10.0, 1.0)
    scaled = replace(run, train=train, config={**run.config, "beta": 1.0})
    assert causes(Reading(scaled)) == causes(Reading(run))
