"""E16: squeezing: everything but the most likely falls."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment, Remedy
from trainer.casebook.settings import APART, FROM_PLAIN, GRADIENTS, PLAIN, after_sft

_LONG = {
    **GRADIENTS,
    "probe_family_prompts": 16,
    "learning_rate": 4e-4,
    "max_steps": 32,
    "eval_steps": 8,
}
_CURE = Remedy(
    "random words",
    "squeezing",
    "rejected sampled from the policy",
    "A",
    "Ren and Sutherland, arXiv 2407.10490, table 1; 3D-properties, arXiv 2406.07327, table 1",
)

EXPERIMENT = Experiment(
    name="E16",
    title="Random rejected texts after strong SFT",
    claim="Pushing down texts that are already unlikely moves mass to the most likely ones: all "
    "families of responses fall, the argmax gains (Ren and Sutherland, arXiv 2407.10490).",
    arms=(
        Arm(
            "random words",
            "three epochs of SFT on chosen; the rejected side is random words",
            APART,
            after_sft(PLAIN, 3),
            _LONG,
            rejected="random",
            follow=True,
        ),
        Arm("no sft", "random words, without the SFT", APART, FROM_PLAIN, _LONG, rejected="random"),
        Arm(
            "own samples",
            "three epochs of SFT; rejected sampled from the policy",
            APART,
            after_sft(PLAIN, 3),
            _LONG,
            rejected="policy",
            remedy=_CURE,
        ),
    ),
    expectations=(
        Expectation(
            "the most likely token gains along rejected texts",
            ("random words", "argmax_logps/rejected"),
            ">",
            0.0,
        ),
        Expectation("random tokens fall", ("random words", "family/random_tokens"), "<", 0.0),
        Expectation(
            "shuffled chosen texts fall", ("random words", "family/shuffled_chosen"), "<", 0.0
        ),
        Expectation(
            "answers to other prompts fall", ("random words", "family/other_chosen"), "<", 0.0
        ),
        Expectation(
            "the policy's own samples fall", ("random words", "family/initial_sample"), "<", 0.0
        ),
        Expectation(
            "entropy falls along rejected texts", ("random words", "entropy/rejected"), "<", 0.0
        ),
        Expectation(
            "with own samples the argmax gains less",
            ("own samples", "argmax_logps/rejected"),
            "<",
            ("random words", "argmax_logps/rejected"),
        ),
    ),
)
