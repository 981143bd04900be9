"""What every loss receives and returns: the record types of the family.

Shapes: B examples in the batch. All log-probabilities are natural logarithms summed over the
scored tokens of a completion [nats per completion]; lengths are scored tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class LossOptions:
    """Hyper-parameters of all methods; each loss reads the ones that its method entry lists."""

    beta: float = 0.1
    label_smoothing: float = 0.0
    gamma: float = 0.5  # SimPO's target margin gamma (not gamma/beta)
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0
    discopop_tau: float = 0.05


@dataclass(frozen=True)
class PairedLogps:
    """Chosen and rejected sides of B pairs; the reference is None for reference-free methods."""

    chosen_B: Tensor
    rejected_B: Tensor
    chosen_tokens_B: Tensor
    rejected_tokens_B: Tensor
    ref_chosen_B: Tensor | None = None
    ref_rejected_B: Tensor | None = None


@dataclass(frozen=True)
class UnpairedLogps:
    """B single completions with a label; `kl` is KTO's detached reference point z0 >= 0 (scalar)."""

    logps_B: Tensor
    tokens_B: Tensor
    desirable_B: Tensor  # bool
    ref_logps_B: Tensor
    kl: Tensor


@dataclass(frozen=True)
class LossTerms:
    """Per-example losses (B) with gradient, detached rewards (B), and what else is worth logging.

    A paired loss fills both rewards; an unpaired loss fills `rewards_B`. `terms` maps a schema
    name to detached per-example values (B).
    """

    losses_B: Tensor
    rewards_chosen_B: Tensor | None = None
    rewards_rejected_B: Tensor | None = None
    rewards_B: Tensor | None = None
    terms: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Loss:
    """One member of the family.

    `couples_batch` is true where an example's loss depends on the other examples of the batch
    (sorting); such a loss is always computed on the whole global batch.
    """

    name: str
    compute: Callable[..., LossTerms]  # (PairedLogps | UnpairedLogps, LossOptions) -> LossTerms
    paired: bool = True
    couples_batch: bool = False
