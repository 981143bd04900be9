"""The padded dense computation that packed rows must equal: one sequence a row, no sharing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.packing import Item


def dense_logps(model: nn.Module, items: list[Item]) -> Tensor:
    """Return the summed log-prob of each completion (C), prompts repeated and right-padded."""
    sequences = [
        ([*item.prompt_ids, *completion], len(item.prompt_ids))
        for item in items
        for completion in item.completions
    ]
    width = max(len(ids) for ids, _ in sequences)
    ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in sequences])
    mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in sequences])
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    logps = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
    scored = torch.zeros_like(mask)
    for row, (tokens, n_prompt) in enumerate(sequences):
        scored[row, max(n_prompt, 1) : len(tokens)] = 1
    return (logps * scored[:, 1:]).sum(-1)
