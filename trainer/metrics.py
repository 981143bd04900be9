"""One optimizer step → {canonical name: value}: sums on the device, means once per window.

A window's value is the mean over all examples (or tokens, or steps) of all its steps on all
ranks, whatever the micro-batches were.

Shapes: B examples of the micro-batch, C completions.
"""

from __future__ import annotations

import math

import torch
from accelerate import Accelerator
from torch import Tensor

from trainer.logps import Scores
from trainer.losses.contract import LossTerms


class Sums:
    """Running sums and counts of named quantities, kept on the device until they are asked for."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pairs: dict[str, Tensor] = {}

    def add(self, name: str, values: Tensor, count: Tensor | float | None = None) -> None:
        """Add the sum of `values`; `count` defaults to their number."""
        weight = torch.as_tensor(values.numel() if count is None else count)
        pair = torch.stack([values.detach().double().sum(), weight.to(self.device).double()])
        self._pairs[name] = self._pairs[name] + pair if name in self._pairs else pair

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        """Return the means over all ranks and forget the sums; a mean of nothing is left out.

        This is the one place where the host waits for the device.
        """
        if not self._pairs:
            return {}
        names = sorted(self._pairs)
        stacked = torch.stack([self._pairs[name] for name in names])
        totals = accelerator.reduce(stacked, reduction="sum").tolist()
        self._pairs.clear()
        return {
            name: total / count
            for name, (total, count) in zip(names, totals, strict=True)
            if count > 0
        }

    def so_far(self, name: str, accelerator: Accelerator) -> float:
        """Return the mean of one quantity over all ranks and keep its sum; NaN without one."""
        if name not in self._pairs:
            return math.nan
        total, count = accelerator.reduce(self._pairs[name], reduction="sum").tolist()
        return total / count if count > 0 else math.nan

    def collect_on_main(self, accelerator: Accelerator) -> None:
        """Move all ranks' sums to the main process, whose checkpoint then holds the window."""
        for name, pair in sorted(self._pairs.items()):
            total = accelerator.reduce(pair, reduction="sum")
            self._pairs[name] = total if accelerator.is_main_process else torch.zeros_like(total)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the sums of an unfinished window, for a checkpoint."""
        return dict(self._pairs)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from the sums of a checkpoint."""
        self._pairs = {name: pair.to(self.device) for name, pair in state.items()}


def add_completions(
    sums: Sums, scores: Scores, desirable_C: Tensor, reference: Scores | None
) -> None:
    """Add what is known of each completion: log-probs, lengths, entropy and top-1 rate."""
    n = len(desirable_C)
    logps_C, tokens_C = scores.logps_C[:n].detach(), scores.tokens_C[:n]
    for side, mask_C in (("chosen", desirable_C), ("rejected", ~desirable_C)):
        tokens = tokens_C[mask_C]
        sums.add(f"logps/{side}", logps_C[mask_C])
        sums.add(f"logps_per_token/{side}", logps_C[mask_C] / tokens)
        sums.add(f"completion_tokens/{side}", tokens)
        sums.add(f"entropy/{side}", scores.entropy_C[:n][mask_C], tokens.sum())
        sums.add(f"top1_rate/{side}", scores.top1_C[:n][mask_C], tokens.sum())
        if reference is not None:
            sums.add(f"ref_logps/{side}", reference.logps_C[:n][mask_C])


def add_pairs(sums: Sums, terms: LossTerms, scores: Scores) -> None:
    """Add what compares the two sides of each pair; completions alternate chosen, rejected."""
    chosen_B, rejected_B = terms.rewards_chosen_B, terms.rewards_rejected_B
    if chosen_B is None or rejected_B is None:
        raise ValueError("a paired loss must return the rewards of both sides")
    n = 2 * len(chosen_B)
    logps_B2 = scores.logps_C[:n].detach().view(-1, 2)
    per_token_B2 = logps_B2 / scores.tokens_C[:n].view(-1, 2)
    sums.add("rewards/chosen", chosen_B)
    sums.add("rewards/rejected", rejected_B)
    sums.add("rewards/margins", chosen_B - rejected_B)
    sums.add("rewards/accuracies", (chosen_B > rejected_B).double())
    sums.add("ranking_accuracies", (logps_B2[:, 0] > logps_B2[:, 1]).double())
    sums.add("ranking_accuracies_per_token", (per_token_B2[:, 0] > per_token_B2[:, 1]).double())


def add_unpaired(sums: Sums, terms: LossTerms, desirable_B: Tensor) -> None:
    """Add the rewards of single completions.

    The margin is the difference of the two window means, so it is left to the reader of the
    means: see `finish`.
    """
    if terms.rewards_B is None:
        raise ValueError("an unpaired loss must return the rewards of its completions")
    sums.add("rewards/chosen", terms.rewards_B[desirable_B])
    sums.add("rewards/rejected", terms.rewards_B[~desirable_B])


def finish(means: dict[str, float]) -> dict[str, float]:
    """Return the means with an unpaired method's margin: chosen mean minus rejected mean."""
    both = "rewards/chosen" in means and "rewards/rejected" in means
    if both and "rewards/margins" not in means:
        means["rewards/margins"] = means["rewards/chosen"] - means["rewards/rejected"]
    return means
