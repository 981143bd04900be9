"""Three settings of the synthetic language train into three regimes, and the diagnosis names them.

Every run is a real training. The settings `ideal` and `both_rise` warm their model up on texts
that do not depend on the pairs, so one warm-up serves all seeds; `both_fall` is fine-tuned on the
very pairs, so every seed has its own.
"""

from __future__ import annotations

import pytest

from diagnostics import phases, readers
from trainer import language
from trainer.config import TrainConfig
from trainer.train import train

SEEDS = range(5)
REGIMES = ("ideal", "both_rise", "both_fall")


def trained(name: str, seed: int, folder, **given: object):
    """Return the run of one setting; pairs, data order, probe set and samples follow the seed."""
    setting = language.SETTINGS[name]
    pairs, warm_up = language.write(setting, seed, folder / "data")
    if not (setting.warm_up_chosen or setting.warm_up_rejected):
        _, warm_up = language.write(setting, 0, folder / "warm-up")
    config = TrainConfig(
        **{
            **setting.training,
            "data": str(pairs),
            "warmup_data": str(warm_up),
            "output_dir": str(folder / "run"),
            "eval_steps": 16,
            "save_steps": 0,
            "save_model": False,
            "seed": seed,
            **given,
        }
    )
    train(config)
    return readers.read(folder / "run")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed"),
    [
        pytest.param(name, seed, marks=pytest.mark.xdist_group(name))
        for name in REGIMES
        for seed in SEEDS
    ],
)
def test_each_setting_gives_its_regime_on_every_seed(name, seed, tmp_path):
    verdict = phases.name_regime(trained(name, seed, tmp_path))
    assert verdict.regime == name, verdict.sentence


@pytest.mark.slow
@pytest.mark.xdist_group("ideal")
@pytest.mark.parametrize(
    "given", [{"max_steps": 5, "eval_steps": 1}, {"learning_rate": 0.0}], ids=["short", "still"]
)
def test_a_run_that_cannot_have_learned_is_unknown_or_flat(given, tmp_path):
    verdict = phases.name_regime(trained("ideal", 0, tmp_path, **given))
    assert verdict.regime in ("unknown", "flat"), verdict.sentence
