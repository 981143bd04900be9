"""Both sides rise where they share a format that the policy has never seen."""

from __future__ import annotations

import pytest

from tests.trainer.regimes.regime_runs import SEEDS, verdict_of


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_diagnosis_names_both_rise(seed, tmp_path):
    verdict = verdict_of("both_rise", seed, tmp_path)
    assert verdict.regime == "both_rise", verdict.sentence
