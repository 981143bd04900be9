"""APO-down, for chosen completions worse than what the model writes: both down, rejected more.

References
----------
D'Oosterlinck et al. 2024, arXiv 2408.06266, eq. 8.
"""

from __future__ import annotations

import torch

from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    chosen_B, rejected_B = (options.beta * side_B for side_B in pairs.logratios())
    losses_B = torch.sigmoid(chosen_B) + torch.sigmoid(rejected_B - chosen_B)  # eq. 8
    return LossTerms(losses_B, *pairs.logratio_rewards(options.beta))


LOSS = Loss("apo_down", _compute)
