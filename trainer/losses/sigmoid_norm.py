"""DPO on per-token logratios, so that long completions do not weigh more (Tulu 3).

References
----------
Lambert et al. 2024, arXiv 2411.15124.
"""

from __future__ import annotations

import torch.nn.functional as F

from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    chosen_B, rejected_B = pairs.per_token(*pairs.logratios())
    losses_B = -F.logsigmoid(options.beta * (chosen_B - rejected_B))
    return LossTerms(losses_B, *pairs.logratio_rewards(options.beta))


LOSS = Loss("sigmoid_norm", _compute)
