"""Chosen rises and rejected falls where the chosen style is new to the policy."""

from __future__ import annotations

import pytest

from tests.trainer.regimes.regime_runs import SEEDS, verdict_of


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_diagnosis_names_ideal(seed, tmp_path):
    verdict = verdict_of("ideal", seed, tmp_path)
    assert verdict.regime == "ideal", verdict.sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    "given", [{"max_steps": 5, "eval_steps": 1}, {"learning_rate": 0.0}], ids=["short", "still"]
)
def test_a_run_that_cannot_have_learned_is_unknown_or_flat(given, tmp_path):
    verdict = verdict_of("ideal", 0, tmp_path, **given)
    assert verdict.regime in ("unknown", "flat"), verdict.sentence
