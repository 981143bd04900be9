"""BCO on pairs, with the reward shift at zero as in TRL from 0.29.

References
----------
Jung et al. 2024, arXiv 2404.04656, section 4.
"""

from __future__ import annotations

import torch.nn.functional as F

from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    chosen_B, rejected_B = (options.beta * side_B for side_B in pairs.logratios())
    losses_B = -F.logsigmoid(chosen_B) - F.logsigmoid(-rejected_B)
    return LossTerms(losses_B, *pairs.logratio_rewards(options.beta))


LOSS = Loss("bco_pair", _compute)
