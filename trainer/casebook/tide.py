"""E5: the tide: how far chosen may fall before it is alarming."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment
from trainer.casebook.settings import APART, FROM_HABITS, LONG_REJECTED, PLAIN, after_sft

EXPERIMENT = Experiment(
    name="E5",
    title="The tide: chosen falls after SFT, and what the policy writes improves",
    claim="A falling chosen reward means that the model moves away from chosen outputs. The "
    "identity E[Delta] = -KL over the initial policy's own samples (arXiv 2404.12358, Eq. 16) "
    "says that all typical text falls; only a fall beyond that is a loss.",
    arms=(
        Arm(
            "sft on chosen",
            "one epoch of SFT on the chosen side came before",
            LONG_REJECTED,
            after_sft(PLAIN, 1),
        ),
        Arm("new style", "the chosen style is new to the policy", APART, FROM_HABITS),
    ),
    expectations=(
        Expectation("chosen falls", ("sft on chosen", "chosen"), "<", 0.0),
        Expectation(
            "no further than the tide, within 0.02 nats/token",
            ("sft on chosen", "above_tide"),
            ">",
            -0.02,
        ),
        Expectation(
            "what the policy writes gains true reward all the same",
            ("sft on chosen", "gain/true_reward"),
            ">",
            0.0,
        ),
        Expectation("a new style rises above the tide", ("new style", "above_tide"), ">", 0.0),
    ),
    samples=True,
)
