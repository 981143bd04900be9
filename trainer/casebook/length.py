"""E13: pairs whose chosen side is longer make the policy write longer texts."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment
from trainer.casebook.settings import FROM_PLAIN, pairs

_LONG = pairs("casebook-longer", "Chosen three sentences, rejected two.", chosen_sentences=3)
_FAST = {"learning_rate": 4e-4, "max_steps": 32, "eval_steps": 8}

EXPERIMENT = Experiment(
    name="E13",
    title="Chosen texts that are a sentence longer, under DPO, SimPO and length-normalised DPO",
    claim="SimPO's division by length stops the growth of lengths.",
    arms=(
        Arm("dpo", "DPO", _LONG, FROM_PLAIN, _FAST),
        Arm("simpo", "SimPO", _LONG, FROM_PLAIN, {**_FAST, "method": "simpo"}),
        Arm(
            "length-normalised",
            "DPO normalised by length",
            _LONG,
            FROM_PLAIN,
            {**_FAST, "method": "sigmoid_norm", "beta": 2.0},
        ),
    ),
    expectations=(
        Expectation("DPO makes texts longer", ("dpo", "gain/words"), ">", 1.0),
        Expectation("SimPO less so", ("simpo", "gain/words"), "<", ("dpo", "gain/words")),
        Expectation(
            "length-normalised DPO less so",
            ("length-normalised", "gain/words"),
            "<",
            ("dpo", "gain/words"),
        ),
    ),
    samples=True,
)
