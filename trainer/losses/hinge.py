"""SLiC's hinge loss on logratios: a pair counts until its margin reaches 1/beta.

References
----------
Zhao et al. 2023, arXiv 2305.10425, section 2; with a reference, Liu et al. 2023, arXiv 2309.06657.
"""

from __future__ import annotations

import torch

from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    losses_B = torch.relu(1 - options.beta * pairs.margins())
    return LossTerms(losses_B, *pairs.logratio_rewards(options.beta))


LOSS = Loss("hinge", _compute)
