"""Supervised fine-tuning on the chosen completions, the control of every method.

All of its loss is the SFT term that the training step adds; the preference term is zero.
"""

from __future__ import annotations

from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps, detached


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    chosen_B, rejected_B = pairs.per_token(pairs.chosen_B, pairs.rejected_B)
    return LossTerms(
        0.0 * pairs.chosen_B,
        *detached(options.beta * chosen_B, options.beta * rejected_B),
    )


LOSS = Loss("sft", _compute)
