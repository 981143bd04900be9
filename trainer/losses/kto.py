"""KTO: desirable completions above, undesirable ones below the reference point z0.

References
----------
Ethayarajh et al. 2024, arXiv 2402.01306, eq. 7 and 8.
"""

from __future__ import annotations

import torch

from trainer.losses.contract import Loss, LossOptions, LossTerms, UnpairedLogps


def _compute(examples: UnpairedLogps, options: LossOptions) -> LossTerms:
    logratios_B = examples.logps_B - examples.ref_logps_B
    u_B = options.beta * (logratios_B - examples.kl)
    losses_B = torch.where(
        examples.desirable_B,
        options.desirable_weight * torch.sigmoid(-u_B),  # lambda_D - v of eq. 7
        options.undesirable_weight * torch.sigmoid(u_B),  # lambda_U - v of eq. 7
    )
    return LossTerms(losses_B, rewards_B=options.beta * logratios_B.detach())


LOSS = Loss("kto", _compute, paired=False)
