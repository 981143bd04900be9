"""Real trainings on the settings of the synthetic language, and their diagnosis."""

from __future__ import annotations

from pathlib import Path

from diagnostics import readers
from diagnostics.phases import RegimeVerdict, name_regime
from trainer import language
from trainer.config import TrainConfig
from trainer.train import train

SEEDS = range(3)


def verdict_of(name: str, seed: int, folder: Path, **given: object) -> RegimeVerdict:
    """Train on one setting and diagnose the run; the pairs and their order follow the seed.

    Where the warm-up does not depend on the pairs, one warmed-up model serves all seeds.
    """
    setting = language.SETTINGS[name]
    pairs, warm_up = language.write(setting, seed, folder / "data")
    if not (setting.warm_up_chosen or setting.warm_up_rejected):
        _, warm_up = language.write(setting, 0, folder / "warm-up")
    quick = {"eval_steps": 16, "save_steps": 0, "save_model": False, "probe_samples": 0}
    config = TrainConfig(
        **{
            **setting.training,
            **quick,
            "held_out": 0.0,
            "data": str(pairs),
            "warmup_data": str(warm_up),
            "output_dir": str(folder / "run"),
            "seed": seed,
            **given,
        }
    )
    train(config)
    return name_regime(readers.read(folder / "run"))
