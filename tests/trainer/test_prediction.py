"""The sentences of step 0 say what the numbers say, and nothing that was not measured."""

from __future__ import annotations

import math

import pytest

from trainer.prediction import sentences

METRICS = {
    "entanglement/cosine": 0.8,
    "entanglement/q": 1.0,
    "entanglement/q_star": 2.0,
    "entanglement/share": -0.25,
    "first_order/chosen": 0.02,
    "first_order/rejected": -0.4,
    "virtual_step/chosen": -0.01,
    "virtual_step/rejected": -0.5,
    "curvature": 1.5,
}
PAIRS = {
    "weight/chosen": [0.05, 0.05],
    "weight/rejected": [0.05, 0.05],
    "completion_tokens/chosen": [50.0, 150.0],
}
HYPER = {"beta": 0.1, "sft_weight": 0.0, "sft_reduction": "token"}


def test_both_predictions_and_the_window_are_told_with_their_numbers():
    first, window = sentences(METRICS, PAIRS, "dpo", HYPER)
    assert first == (
        "First steps: by the pairs' gradients, both sides fall (q 1, band 1.6 to 2.5, share -0.25);"
        " in one trial step, both sides fall (chosen -0.01, rejected -0.5 nats; curvature 1.5)."
    )
    # n_w d_l (rho q* - 1) = 100 * 0.05 * 0.6, and 100 * 0.05 * 1.5.
    assert window == (
        "SFT coefficient: chosen rises and rejected falls from 3 to 7.5, to first order;"
        " this run's 0 is outside."
    )


@pytest.mark.parametrize(
    ("method", "hyper", "ends"),
    [
        ("dpo", {"sft_reduction": "sequence"}, "2.25 to 5.62"),  # 1 / mean(1/50, 1/150) = 75
        ("kto", {}, "1.5 to 3.75"),  # beside a mean over completions the term counts twice
    ],
)
def test_the_window_follows_reduction_and_method(method, hyper, ends):
    window = sentences(METRICS, PAIRS, method, {**HYPER, **hyper})[1]
    assert f"from {ends}, to first order" in window


def test_a_run_with_a_fitting_coefficient_is_inside():
    pairs = {**PAIRS, "weight/chosen": [0.05 + 4 / 100] * 2}
    window = sentences(METRICS, pairs, "dpo", {**HYPER, "sft_weight": 4.0})[1]
    assert "from 3 to 7.5" in window
    assert window.endswith("this run's 4 is inside.")


def test_where_rejected_rises_anyway_no_coefficient_is_offered():
    metrics = {**METRICS, "entanglement/q_star": 0.5}
    assert sentences(metrics, PAIRS, "dpo", HYPER)[1] == (
        "SFT coefficient: rejected rises with any, to first order."
    )


def test_nothing_is_said_of_what_was_not_measured():
    assert sentences({"loss": 0.7}, {}, "dpo", HYPER) == []
    alone = {name: v for name, v in METRICS.items() if not name.startswith("entanglement/")}
    (only,) = sentences(alone, {}, "dpo", HYPER)
    assert only.startswith("First steps: in one trial step, both sides fall")
    gradients = {name: v for name, v in METRICS.items() if name.startswith("entanglement/")}
    assert "trial step" not in sentences(gradients, PAIRS, "dpo", HYPER)[0]
    assert len(sentences(METRICS, PAIRS, "dpo", {"beta": 0.1})) == 1


def test_sft_alone_is_foretold_without_a_window():
    metrics = {**METRICS, "entanglement/q": math.inf, "entanglement/q_star": 1.0}
    pairs = {**PAIRS, "weight/rejected": [0.0, 0.0]}
    (first,) = sentences(metrics, pairs, "sft", {"sft_weight": 1.0})
    assert first.startswith("First steps: by the pairs' gradients, both sides rise (q no end,")
