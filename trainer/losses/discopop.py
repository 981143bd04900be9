"""DiscoPOP: a blend of logistic and exponential loss that a language model discovered.

References
----------
Lu et al. 2024, arXiv 2406.08414, eq. 5.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    u_B = options.beta * pairs.margins()
    logistic_B = torch.sigmoid(-u_B / options.discopop_tau) * -F.logsigmoid(u_B)
    # sigma(u/tau) e^-u as one exponential: for a very wrong pair the factors are 0 and infinity.
    exponential_B = torch.exp(F.logsigmoid(u_B / options.discopop_tau) - u_B)
    return LossTerms(logistic_B + exponential_B, *pairs.logratio_rewards(options.beta))  # eq. 5


LOSS = Loss("discopop", _compute)
