"""E3: both sides fall where the policy was fine-tuned on the chosen texts."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment, Remedy
from trainer.casebook.settings import EDITED, FROM_PLAIN, PLAIN, after_sft

_SICK = "3 epochs"


def _remedy(action: str, strength: str, source: str) -> Remedy:
    return Remedy(_SICK, "both_fall", action, strength, source)


EXPERIMENT = Experiment(
    name="E3",
    title="Both fall: the same pairs after 0, 1 and 3 epochs of SFT on the chosen side",
    claim="Chosen and rejected fall together once the policy has been fine-tuned on the chosen "
    "texts; without that SFT the same pairs raise chosen (Rafailov et al., arXiv 2404.12358, "
    "section 5.4).",
    arms=(
        Arm("0 epochs", "no SFT before DPO", EDITED, FROM_PLAIN, regime="ideal"),
        Arm("1 epoch", "one epoch of SFT on chosen", EDITED, after_sft(PLAIN, 1)),
        Arm(
            _SICK,
            "three epochs of SFT on chosen",
            EDITED,
            after_sft(PLAIN, 3),
            regime="both_fall",
        ),
        Arm(
            "sft term",
            "three epochs, and an SFT term in the loss",
            EDITED,
            after_sft(PLAIN, 3),
            {"sft_weight": 1.0},
            remedy=_remedy(
                "add an SFT term of 1 to the loss",
                "A",
                "Pang et al., arXiv 2404.19733; Razin et al., arXiv 2410.08847, appendix E",
            ),
        ),
        Arm(
            "lower rate",
            "three epochs, and a quarter of the learning rate",
            EDITED,
            after_sft(PLAIN, 3),
            {"learning_rate": 5e-5},
            remedy=_remedy(
                "quarter the learning rate", "B", "Ethayarajh et al., arXiv 2402.01306, section 4.2"
            ),
        ),
        Arm(
            "length-normalised",
            "three epochs, and DPO normalised by length",
            EDITED,
            after_sft(PLAIN, 3),
            {"method": "sigmoid_norm", "beta": 2.0},
            remedy=_remedy(
                "normalise by length, as the rejected side is longer",
                "B",
                "Lambert et al., arXiv 2411.15124, table 18",
            ),
        ),
    ),
    expectations=(
        Expectation("chosen rises without SFT", ("0 epochs", "chosen"), ">", 0.0),
        Expectation("chosen falls after three epochs", (_SICK, "chosen"), "<", 0.0),
        Expectation(
            "more SFT on chosen, more fall of chosen",
            (_SICK, "chosen"),
            "<",
            ("0 epochs", "chosen"),
        ),
        Expectation(
            "the chosen share is smaller after SFT",
            (_SICK, "share"),
            "<",
            ("0 epochs", "share"),
        ),
        Expectation(
            "the SFT term keeps chosen higher",
            ("sft term", "chosen"),
            ">",
            (_SICK, "chosen"),
        ),
    ),
)
