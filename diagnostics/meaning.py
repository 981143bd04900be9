"""What the rewards in a log are: one name, a dozen quantities (standard library only).

A framework's `rewards/chosen` may be a summed logratio, a mean one, or no logratio at all, with
or without beta in it. A reader finds out which and says so here; every conversion starts from it.

Notation: z is the log-probability of a completion summed over its n tokens, Delta = z - z_ref.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Base(StrEnum):
    """The quantity whose multiple is logged as the reward."""

    LOGRATIO_SUM = "summed logratio"  # Delta [nats per completion]
    LOGRATIO_MEAN = "mean logratio"  # Delta / n [nats per token]
    LOGPS_SUM = "summed log-prob"  # z [nats per completion], no reference
    LOGPS_MEAN = "mean log-prob"  # z / n [nats per token], no reference
    OTHER = "another quantity"  # cannot be converted

    @property
    def has_reference(self) -> bool:
        """Whether the reference is subtracted, so that 0 is where the run starts."""
        return self in (Base.LOGRATIO_SUM, Base.LOGRATIO_MEAN)

    @property
    def per_token(self) -> bool:
        """Whether it is divided by the length of the completion."""
        return self in (Base.LOGRATIO_MEAN, Base.LOGPS_MEAN)


class Scope(StrEnum):
    """What one logged number averages over."""

    WINDOW = "the logging window on all ranks"
    WINDOW_RANK_0 = "the logging window on rank 0 only"
    LAST_BATCH = "the last batch before the record"
    LAST_MICRO_BATCH = "the last micro-batch before the record"
    UNKNOWN = "an unknown part of the window"

    @property
    def is_noisy(self) -> bool:
        """Whether it leaves out part of what was trained on since the last record."""
        return self is not Scope.WINDOW


@dataclass(frozen=True)
class Meaning:
    """The rewards of one run are `factor` times `base`.

    `factor` is None where it is not in the log (mostly: beta is unknown); S and directions do not
    need it, changes in nats do. `why` says in one sentence how base and factor were found, or
    what is missing.
    """

    base: Base
    factor: float | None
    scope: Scope = Scope.UNKNOWN
    why: str = ""
