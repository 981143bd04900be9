"""TRL's metric names in ours, and how far two trajectories are apart.

The same name is not the same quantity on both sides, nor in two of TRL's trainers:

- ORPO and SimPO (TRL's CPO trainer) log the mean per token as `logps/*`; ours is the sum, and the
  mean has its own name.
- ORPO's `log_odds_ratio` is the mean of log sigmoid of what we call the log odds ratio, so minus
  our odds term; what we call the log odds ratio is its `log_odds_chosen`.
- `nll_loss` covers prompt and completion in ORPO and the completion alone in CPO, where it is 0.0
  when it is off; ours is absent then.
- `entropy` is the token mean over both sides; ours is one number a side.
- `mean_token_accuracy` is the chosen side's share of most likely tokens.
- The rewards of a DPO trainer that only runs the SFT loss are logratios; SFT has no reference
  here, and its reward is the log-prob per token.
- `num_tokens` counts a shared prompt twice, `logits/*` are not logged here, and KTO's `entropy`
  over both labels would need the number of each: these are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from parity_setting import SIDES, Case

Record = Mapping[str, float]
_SAME = (
    "loss",
    "grad_norm",
    "learning_rate",
    "epoch",
    "kl",
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
)


def _mean_entropy(ours: Record) -> float:
    tokens = [ours.get(f"completion_tokens/{side}", 0.0) for side in SIDES]
    sums = [ours.get(f"entropy/{side}", 0.0) * n for side, n in zip(SIDES, tokens, strict=True)]
    return sum(sums) / sum(tokens)


def _translations(case: Case) -> dict[str, Callable[[Record], float]]:
    """Return {TRL's name: its value computed from our record}."""
    table: dict[str, Callable[[Record], float]] = {
        name: lambda ours, name=name: ours[name] for name in _SAME
    }
    per_token = case.family in ("orpo", "simpo")
    for side in SIDES:
        name = f"logps_per_token/{side}" if per_token else f"logps/{side}"
        table[f"logps/{side}"] = lambda ours, name=name: ours[name]
    if case.family in ("reference", "sft"):
        table["entropy"] = _mean_entropy
        table["mean_token_accuracy"] = lambda ours: ours["top1_rate/chosen"]
    if case.family == "sft":
        for name in [name for name in table if name.startswith("rewards/")]:
            del table[name]
    if case.family == "orpo" or case.ours.get("sft_weight"):
        table["nll_loss"] = lambda ours: ours["sft_loss"]
    if case.family == "orpo":
        table["log_odds_ratio"] = lambda ours: -ours["odds_loss"]
        table["log_odds_chosen"] = lambda ours: ours["log_odds_ratio"]
    return table


def compared(case: Case) -> set[str]:
    """Return TRL's names of what is compared."""
    return set(_translations(case))


@dataclass(frozen=True)
class Difference:
    """How far one metric of one step is apart, relative to its size (at least to 1)."""

    step: int
    name: str
    trl: float
    ours: float

    @property
    def relative(self) -> float:
        """Absolute difference divided by the larger magnitude, which counts as 1 below 1."""
        return abs(self.trl - self.ours) / max(1.0, abs(self.trl), abs(self.ours))

    def __str__(self) -> str:
        return f"step {self.step} {self.name}: TRL {self.trl:.9g}, ours {self.ours:.9g}"


def differences(case: Case, trl: list[Record], ours: list[Record]) -> list[Difference]:
    """Return the difference of every shared metric at every step."""
    if [record["step"] for record in trl] != [record["step"] for record in ours]:
        raise ValueError(f"{case.name}: the two trajectories have different steps")
    table = _translations(case)
    return [
        Difference(int(theirs["step"]), name, theirs[name], translate(mine))
        for theirs, mine in zip(trl, ours, strict=True)
        for name, translate in table.items()
        if name in theirs
    ]


def worst(found: list[Difference]) -> Difference:
    """Return the largest difference; a NaN counts as the largest of all."""
    return max(found, key=lambda one: math.inf if math.isnan(one.relative) else one.relative)
