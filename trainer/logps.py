"""Logits of the scored rows → log-probabilities and row statistics, summed per completion.

Shapes: R scored rows, V vocabulary, C sums (completions, then prompts when they are scored).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainer.packing import PackedBatch

_CHUNK_ELEMENTS = 64 * 2**20  # rows are worked through in tiles of at most this many fp32 numbers


@dataclass(frozen=True)
class Scores:
    """Sums over the scored tokens of each completion (C).

    `logps_C` carries the gradient [nats per completion]; entropy sums [nats] and top-1 counts
    do not.
    """

    logps_C: Tensor
    tokens_C: Tensor
    entropy_C: Tensor
    top1_C: Tensor


def score(model: nn.Module, batch: PackedBatch) -> Scores:
    """Run the model over a packed row and sum the row statistics per completion."""
    logps_R, entropy_R, top1_R = token_statistics(scored_logits(model, batch), batch.labels_R)
    sums = len(batch.scored_tokens)

    def per_completion(values_R: Tensor) -> Tensor:
        zeros_C = torch.zeros(sums, dtype=values_R.dtype, device=values_R.device)
        return zeros_C.index_add(0, batch.completion_R, values_R)

    return Scores(
        logps_C=per_completion(logps_R),
        tokens_C=torch.tensor(batch.scored_tokens, dtype=logps_R.dtype, device=logps_R.device),
        entropy_C=per_completion(entropy_R),
        top1_C=per_completion(top1_R),
    )


def scored_logits(model: nn.Module, batch: PackedBatch) -> Tensor:
    """Run the model over a packed row; return the logits of the scored rows (R, V).

    Only these rows reach the output head: `logits_to_keep` selects them inside the model, so the
    head's own scaling or capping, DDP and FSDP hooks all apply.
    """
    logits_RV: Tensor = model(
        input_ids=batch.input_ids_1N,
        position_ids=batch.position_ids_1N,
        logits_to_keep=batch.rows_R,
        packed_layout=batch.layout,
        use_cache=False,
    ).logits[0]
    return logits_RV


def token_statistics(logits_RV: Tensor, labels_R: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log-prob of the label (R, with gradient), entropy (R) and is-top-1 (R, 0 or 1).

    Statistics are at least fp32 whatever the logits' precision. Ties for the top count as top.
    """
    logps_R, entropy_R, top1_R = _TokenStatistics.apply(logits_RV, labels_R)  # type: ignore[no-untyped-call]
    return logps_R, entropy_R, top1_R


class _TokenStatistics(torch.autograd.Function):
    """log softmax at the label in row tiles; backward is g (onehot - softmax) from saved lse."""

    @staticmethod
    def forward(ctx: Any, logits_RV: Tensor, labels_R: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        lse_R, logps, entropies, tops = [], [], [], []
        for tile, labels in tiles(logits_RV, labels_R):
            lse = tile.logsumexp(-1, keepdim=True)
            chosen = tile.gather(-1, labels[:, None])
            tops.append((chosen >= tile.amax(-1, keepdim=True)).squeeze(-1).to(tile.dtype))
            logps.append((chosen - lse).squeeze(-1))
            probs = (tile - lse).exp_()
            # 0 × -inf is 0 here: a masked-out token adds nothing to the entropy
            weighted = torch.where(
                probs > 0, probs * tile, torch.zeros((), dtype=tile.dtype, device=tile.device)
            )
            entropies.append(lse.squeeze(-1) - weighted.sum(-1))
            lse_R.append(lse)
        ctx.save_for_backward(logits_RV, labels_R, torch.cat(lse_R))
        outputs = torch.cat(logps), torch.cat(entropies), torch.cat(tops)
        ctx.mark_non_differentiable(*outputs[1:])
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        logits_RV, labels_R, lse_R1 = ctx.saved_tensors
        grad_RV = torch.empty_like(logits_RV)
        start = 0
        for tile, labels in tiles(logits_RV, labels_R):
            rows = slice(start, start + len(labels))
            gradient = (tile - lse_R1[rows]).exp_().neg_()
            gradient.scatter_add_(
                -1, labels[:, None], torch.ones_like(labels[:, None], dtype=tile.dtype)
            )
            grad_RV[rows] = gradient.mul_(grads[0][rows, None]).to(grad_RV.dtype)
            start += len(labels)
        return grad_RV, None


def tiles(logits_RV: Tensor, labels_R: Tensor) -> Any:
    """Yield pieces of a few rows: logits in at least fp32, and labels."""
    rows = max(1, _CHUNK_ELEMENTS // logits_RV.shape[-1])
    precision = torch.promote_types(logits_RV.dtype, torch.float32)
    for tile, labels in zip(logits_RV.split(rows), labels_R.split(rows), strict=True):
        yield tile.to(precision), labels
