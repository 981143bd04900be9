"""What a short series shows even if it were a random walk: no noise model, only its increments."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import stdtrit

from diagnostics.intervals import Floats

STEPS = 14  # increments that are looked at, of means of neighbouring points


@dataclass(frozen=True)
class Walk:
    """The increments of a short series (m,), for tests that hold even for a random walk.

    A walk without drift is as likely with any of its increments turned round.
    """

    increments: Floats

    @classmethod
    def of(cls, values: Floats) -> Walk:
        """Return the walk of a series (n,), of at most `STEPS` increments."""
        parts = np.array_split(values, min(len(values), STEPS + 1))
        return cls(np.diff([float(part.mean()) for part in parts]))

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval of the whole change."""
        count = len(self.increments)
        return float(stdtrit(count - 1, 0.975) * sqrt(count) * self.increments.std(ddof=1))

    def beyond(self, change: float, floor: float) -> float:
        """Return the fraction of sign patterns that go as far as these increments did."""
        count = len(self.increments)
        moved = np.sign(change) * self.increments - floor / count
        patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        sums = (2 * patterns - 1) @ moved
        return float(np.mean(sums >= moved.sum() * (1 - 1e-12)))
