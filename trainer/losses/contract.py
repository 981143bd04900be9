"""What every loss receives and returns: the record types of the family.

Shapes: B examples in the batch. All log-probabilities are natural logarithms summed over the
scored tokens of a completion [nats per completion]; lengths are scored tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from trainer.errors import ConfigError


@dataclass(frozen=True)
class LossOptions:
    """Hyper-parameters of all methods; each loss reads the ones that its method entry lists.

    Raises
    ------
    ConfigError
        For a value that no method can use.
    """

    beta: float = 0.1
    label_smoothing: float = 0.0
    gamma: float = 0.5  # SimPO's target margin gamma (not gamma/beta)
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0
    discopop_tau: float = 0.05

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ConfigError(f"beta is {self.beta}; it must be greater than 0.")
        if not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(
                f"label_smoothing is {self.label_smoothing}; it must lie in [0, 0.5), as from 0.5 "
                "on the labels carry no preference."
            )
        # Beyond 1 the exponential part of DiscoPOP's loss outgrows its own blend.
        if not 0 < self.discopop_tau <= 1:
            raise ConfigError(f"discopop_tau is {self.discopop_tau}; it must lie in (0, 1].")
        for name in ("desirable_weight", "undesirable_weight"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must not be negative.")


@dataclass(frozen=True)
class PairedLogps:
    """Chosen and rejected sides of B pairs; the reference is None for reference-free methods."""

    chosen_B: Tensor
    rejected_B: Tensor
    chosen_tokens_B: Tensor
    rejected_tokens_B: Tensor
    ref_chosen_B: Tensor | None = None
    ref_rejected_B: Tensor | None = None

    def reference(self) -> tuple[Tensor, Tensor]:
        """Return the reference's logps of both sides (B each) [nats].

        Raises
        ------
        ValueError
            Where the reference is missing.
        """
        if self.ref_chosen_B is None or self.ref_rejected_B is None:
            raise ValueError("this loss needs the reference's log-probabilities, and got none.")
        return self.ref_chosen_B, self.ref_rejected_B

    def logratios(self) -> tuple[Tensor, Tensor]:
        """Return policy minus reference logps of both sides (B each) [nats]."""
        ref_chosen_B, ref_rejected_B = self.reference()
        return self.chosen_B - ref_chosen_B, self.rejected_B - ref_rejected_B

    def margins(self) -> Tensor:
        """Return the chosen minus the rejected logratio (B) [nats]."""
        chosen_B, rejected_B = self.logratios()
        return chosen_B - rejected_B

    def per_token(self, chosen_B: Tensor, rejected_B: Tensor) -> tuple[Tensor, Tensor]:
        """Divide a quantity of either side by that side's tokens; an empty side counts as one."""
        return (
            chosen_B / self.chosen_tokens_B.clamp(min=1),
            rejected_B / self.rejected_tokens_B.clamp(min=1),
        )

    def logratio_rewards(self, beta: float) -> tuple[Tensor, Tensor]:
        """Return beta times the summed logratios, detached: the rewards of most methods."""
        chosen_B, rejected_B = self.logratios()
        return detached(beta * chosen_B, beta * rejected_B)


def detached(chosen_B: Tensor, rejected_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return both rewards without their gradient, in the order of `LossTerms`' fields."""
    return chosen_B.detach(), rejected_B.detach()


@dataclass(frozen=True)
class UnpairedLogps:
    """B single completions with a label; `kl` is the detached z0 >= 0 (scalar)."""

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
