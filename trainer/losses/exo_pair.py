"""EXO on pairs: reverse KL from the policy's choice to a smoothed label.

References
----------
Ji et al. 2024, arXiv 2402.00856, eq. 16.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from trainer.errors import ConfigError
from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    epsilon = options.label_smoothing
    if epsilon == 0:
        raise ConfigError(
            "label_smoothing is 0; exo_pair needs more (the paper uses 0.001), as its loss is "
            "infinite at 0."
        )
    u_B = options.beta * pairs.margins()
    chosen_B = torch.sigmoid(u_B) * (F.logsigmoid(u_B) - math.log1p(-epsilon))
    rejected_B = torch.sigmoid(-u_B) * (F.logsigmoid(-u_B) - math.log(epsilon))
    return LossTerms(chosen_B + rejected_B, *pairs.logratio_rewards(options.beta))  # eq. 16


LOSS = Loss("exo_pair", _compute)
