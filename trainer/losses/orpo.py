"""ORPO's odds-ratio term; the training step adds the likelihood term of eq. 6 as the SFT term.

References
----------
Hong, Lee, Thorne 2024, arXiv 2403.07691, eq. 4, 6 and 7; `beta` is the paper's lambda.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from diagnostics.methods import ORPO_CEILING
from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps, detached


def log_odds(logps_per_token_B: Tensor) -> Tensor:
    """Return log(P / (1 - P)) of P = exp(mean log-prob per token) (B) [nats]."""
    # Rounding can bring a mean to 0, or just above it, where the odds are infinite.
    capped_B = logps_per_token_B.clamp(max=ORPO_CEILING)
    return capped_B - torch.log(-torch.expm1(capped_B))  # eq. 4


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    chosen_B, rejected_B = pairs.per_token(pairs.chosen_B, pairs.rejected_B)
    ratio_B = log_odds(chosen_B) - log_odds(rejected_B)
    odds_B = -F.logsigmoid(ratio_B)  # eq. 7
    return LossTerms(
        options.beta * odds_B,
        *detached(options.beta * chosen_B, options.beta * rejected_B),
        terms={"log_odds_ratio": ratio_B.detach(), "odds_loss": odds_B.detach()},
    )


LOSS = Loss("orpo", _compute)
