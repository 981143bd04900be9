"""Both sides fall where the policy was fine-tuned on the chosen texts themselves."""

from __future__ import annotations

import pytest

from tests.trainer.regimes.regime_runs import SEEDS, verdict_of


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_diagnosis_names_both_fall(seed, tmp_path):
    verdict = verdict_of("both_fall", seed, tmp_path)
    assert verdict.regime == "both_fall", verdict.sentence
