"""Robust DPO: an unbiased estimate of DPO's loss when a share epsilon of the labels is flipped.

References
----------
Chowdhury, Kini, Natarajan 2024, arXiv 2403.00409, section 3.1.
"""

from __future__ import annotations

import torch.nn.functional as F

from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    u_B, epsilon = options.beta * pairs.margins(), options.label_smoothing
    kept_B, flipped_B = -F.logsigmoid(u_B), -F.logsigmoid(-u_B)
    losses_B = ((1 - epsilon) * kept_B - epsilon * flipped_B) / (1 - 2 * epsilon)
    return LossTerms(losses_B, *pairs.logratio_rewards(options.beta))


LOSS = Loss("robust", _compute)
