"""DPO, and conservative DPO where `label_smoothing` is above 0.

References
----------
Rafailov et al. 2023, arXiv 2305.18290, eq. 7. Label smoothing: E. Mitchell, "A note on DPO with
noisy preferences & relationship to IPO", 2023, eq. 3.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps


def smoothed_logistic(u_B: Tensor, label_smoothing: float) -> Tensor:
    """Return the negative log-likelihood of a label that is wrong with probability epsilon (B)."""
    if label_smoothing == 0:
        return -F.logsigmoid(u_B)
    return -(1 - label_smoothing) * F.logsigmoid(u_B) - label_smoothing * F.logsigmoid(-u_B)


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    losses_B = smoothed_logistic(options.beta * pairs.margins(), options.label_smoothing)  # eq. 7
    return LossTerms(losses_B, *pairs.logratio_rewards(options.beta))


LOSS = Loss("dpo", _compute)
