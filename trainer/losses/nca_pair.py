"""NCA on pairs: noise-contrastive classification of both sides against the reference.

References
----------
Chen et al. 2024, arXiv 2402.05369, section 4.1.
"""

from __future__ import annotations

import torch.nn.functional as F

from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    chosen_B, rejected_B = (options.beta * side_B for side_B in pairs.logratios())
    noise_B = (F.logsigmoid(-chosen_B) + F.logsigmoid(-rejected_B)) / 2
    return LossTerms(-F.logsigmoid(chosen_B) - noise_B, *pairs.logratio_rewards(options.beta))


LOSS = Loss("nca_pair", _compute)
