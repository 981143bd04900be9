"""E3: both sides fall where the policy was fine-tuned on the chosen texts."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment, Remedy
from trainer.casebook.settings import FROM_PLAIN, LONG_REJECTED, PLAIN, PROBED, after_sft

_SICK = "1 epoch"


def _remedy(name: str, change: str, given: dict[str, object], strength: str, source: str) -> Arm:
    return Arm(
        name,
        f"one epoch, and {change}",
        LONG_REJECTED,
        after_sft(PLAIN, 1),
        {**PROBED, **given},
        remedy=Remedy(_SICK, "both_fall", change, strength, source),
    )


EXPERIMENT = Experiment(
    name="E3",
    title="Both fall: the same pairs after 0, 1 and 3 epochs of SFT on the chosen side",
    claim="Chosen and rejected fall together once the policy has been fine-tuned on the chosen "
    "texts; without that SFT the same pairs raise chosen (Rafailov et al., arXiv 2404.12358, "
    "section 5.4).",
    arms=(
        Arm("0 epochs", "no SFT before DPO", LONG_REJECTED, FROM_PLAIN, PROBED, regime="ideal"),
        Arm(
            _SICK,
            "one epoch of SFT on chosen",
            LONG_REJECTED,
            after_sft(PLAIN, 1),
            PROBED,
            regime="both_fall",
            follow=True,
        ),
        Arm(
            "3 epochs", "three epochs of SFT on chosen", LONG_REJECTED, after_sft(PLAIN, 3), PROBED
        ),
        _remedy(
            "sft term",
            "an SFT term of 1 in the loss",
            {"sft_weight": 1.0},
            "A",
            "Pang et al., arXiv 2404.19733; Razin et al., arXiv 2410.08847, appendix E",
        ),
        _remedy(
            "lower rate",
            "a quarter of the learning rate",
            {"learning_rate": 2.5e-5},
            "A",
            "Rafailov et al., arXiv 2404.12358; Ethayarajh et al., arXiv 2402.01306, section 4.2",
        ),
        _remedy(
            "length-normalised",
            "DPO normalised by length, as the rejected side is longer",
            {"method": "sigmoid_norm", "beta": 2.0},
            "B",
            "Lambert et al., arXiv 2411.15124, table 18",
        ),
    ),
    expectations=(
        Expectation("chosen rises without SFT", ("0 epochs", "chosen"), ">", 0.0),
        Expectation("chosen falls after one epoch", (_SICK, "chosen"), "<", 0.0),
        Expectation("chosen falls after three epochs", ("3 epochs", "chosen"), "<", 0.0),
        Expectation(
            "three epochs lower it further than one", ("3 epochs", "chosen"), "<", (_SICK, "chosen")
        ),
        Expectation(
            "even early, chosen's share of the margin is smaller after SFT",
            (_SICK, "early/share"),
            "<",
            ("0 epochs", "early/share"),
        ),
        Expectation(
            "the first-order share before any step is smaller after SFT",
            (_SICK, "start/entanglement/share"),
            "<",
            ("0 epochs", "start/entanglement/share"),
        ),
        Expectation(
            "the SFT term keeps chosen higher", ("sft term", "chosen"), ">", (_SICK, "chosen")
        ),
    ),
)
