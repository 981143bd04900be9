"""Logits of the scored rows → what the policy thinks of every single completion token.

For probes only, hence without gradient. Shapes: R scored rows, T scored tokens of a completion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer.logps import scored_logits, tiles
from trainer.packing import PackedBatch

VALLEY = 1e-3  # a token less likely than this lies in a valley; proposal of this project

COLUMNS = ("logps", "entropy", "variance", "argmax_logps")


@dataclass(frozen=True)
class CompletionScore:
    """One completion under the current policy, by scored token.

    `logps` of the token and `argmax_logps` of the most likely token [nats], `entropy` [nats] and
    `variance` [nats squared] of log p under the prediction that the token was drawn from.
    """

    logps: Sequence[float]
    entropy: Sequence[float]
    variance: Sequence[float]
    argmax_logps: Sequence[float]

    @property
    def tokens(self) -> int:
        """Number of scored tokens."""
        return len(self.logps)

    @property
    def total(self) -> float:
        """Log-prob of the completion [nats]."""
        return math.fsum(self.logps)

    @property
    def mean_entropy(self) -> float:
        """Mean entropy [nats per token]."""
        return math.fsum(self.entropy) / self.tokens

    @property
    def mean_argmax_logps(self) -> float:
        """Mean log-prob of the most likely token [nats per token]."""
        return math.fsum(self.argmax_logps) / self.tokens

    @property
    def top1_rate(self) -> float:
        """Share of tokens that are the most likely one; ties count."""
        return sum(map(_is_top, self.logps, self.argmax_logps)) / self.tokens

    @property
    def surprise(self) -> float:
        """Excess surprise X = mean of -log p - H [nats per token]; 0 on average for own samples.

        The analytic form of the curvature in arXiv 2310.05130, per token.
        """
        return -(self.total + math.fsum(self.entropy)) / self.tokens

    @property
    def surprise_z(self) -> float:
        """Z = sum of -log p - H over its standard deviation: standard normal for own samples."""
        spread = math.sqrt(math.fsum(self.variance))
        return self.surprise * self.tokens / spread if spread > 0 else math.nan

    @property
    def valley(self) -> float:
        """Share of tokens with p < 0.001 that are not the most likely one."""
        low = math.log(VALLEY)
        pairs = zip(self.logps, self.argmax_logps, strict=True)
        return sum(logp < low and not _is_top(logp, top) for logp, top in pairs) / self.tokens


def _is_top(logp: float, top: float) -> bool:
    return logp >= top


@torch.no_grad()
def score_tokens(model: nn.Module, batch: PackedBatch) -> Tensor:
    """Return the columns `COLUMNS` of every scored row (R, 4), completion after completion."""
    logits_RV = scored_logits(model, batch)
    rows = []
    for tile, labels in tiles(logits_RV, batch.labels_R):
        lse = tile.logsumexp(-1, keepdim=True)
        logps = tile.gather(-1, labels[:, None]) - lse
        top = tile.amax(-1, keepdim=True) - lse
        all_logps = tile - lse
        probs = all_logps.exp()
        # 0 × -inf is 0 here: a masked-out token adds nothing.
        finite = torch.where(probs > 0, all_logps, torch.zeros((), device=tile.device))
        entropy = -(probs * finite).sum(-1, keepdim=True)
        variance = (probs * (finite + entropy) ** 2).sum(-1, keepdim=True)
        rows.append(torch.cat([logps, entropy, variance, top], 1))
    return torch.cat(rows)
