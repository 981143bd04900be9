"""The regime of a run: which side rises, which falls, since when, and how sure that is.

A regime is read off one evaluation of the probe set. A side has a *direction* where its 95 %
interval excludes 0 and its change exceeds the effect floor; the margin has one where its interval
excludes 0. With a grown margin the pair of directions is the same as the place of the interval of
S: above 1 both rise, within (0, 1) ideal, below 0 both fall.

"Cannot tell" is an answer: `unknown` carries its reason, and is not `flat`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import pairwise
from math import inf, isfinite
from typing import TYPE_CHECKING

from diagnostics.intervals import Interval
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.share import SPLITS, ShareEstimate, default_split, trajectory

if TYPE_CHECKING:
    from diagnostics.run import Run

# Proposals, not published values; in nats per token where not said otherwise.
EFFECT_FLOOR = 0.01  # a smaller change of a side is no direction, however significant
MEANINGFUL_CHANGE = 0.05  # `flat` must exclude a change this large: below it, severity is mild
SEVERITY_BANDS = ((0.05, "mild"), (0.3, "moderate"), (1.0, "severe"), (inf, "collapse"))
MIN_EVALUATIONS = 3  # after the start
MIN_STEPS = 10  # optimizer steps between the first and the last evaluation
MIN_PAIRS = 8
# An interval this many half-widths away from its boundary is called clear.
CLEAR = 2.0


class Regime(StrEnum):
    """What the two sides of the probe pairs did since the start."""

    IDEAL = "ideal"
    BOTH_RISE = "both_rise"
    BOTH_FALL = "both_fall"
    REVERSED = "reversed"
    MARGIN_LOSS = "margin_loss"
    MIXED = "mixed"
    FLAT = "flat"
    UNKNOWN = "unknown"

    @property
    def title(self) -> str:
        """The regime in words, as a heading."""
        return _TITLES.get(self.value, self.value.replace("_", " ").capitalize())


_TITLES = {"margin_loss": "Margin lost", "unknown": "Cannot tell"}


@dataclass(frozen=True)
class Evidence:
    """One number behind a verdict, with the threshold it was held against, if any."""

    quantity: str
    value: float
    unit: str
    threshold: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class RegimeVerdict:
    """The named regime with everything its sentence was made from.

    `reason` says why the regime is `unknown`, and is None otherwise. `since_step` is the first
    evaluation from which on the regime holds to the end. `severity` is a word of
    `SEVERITY_BANDS`, None for a regime that is no alarm.
    """

    regime: Regime
    sentence: str
    confidence: str
    since_step: int | None
    estimate: ShareEstimate
    evidence: tuple[Evidence, ...]
    caveats: tuple[str, ...]
    reason: str | None = None
    severity: str | None = None


def name_regime(
    run: Run,
    *,
    floor: float = EFFECT_FLOOR,
    meaningful: float = MEANINGFUL_CHANGE,
    min_evaluations: int = MIN_EVALUATIONS,
    min_steps: int = MIN_STEPS,
    min_pairs: int = MIN_PAIRS,
) -> RegimeVerdict:
    """Return the regime at the last evaluation of the probe set, with its evidence.

    Named on the train pairs of the probe set, or on the held-out ones where no train pair is
    usable; `floor` and `meaningful` are in nats per token.
    """
    raise NotImplementedError


def classify(
    estimate: ShareEstimate,
    *,
    floor: float = EFFECT_FLOOR,
    meaningful: float = MEANINGFUL_CHANGE,
    min_pairs: int = MIN_PAIRS,
) -> Regime:
    """Return the regime that one evaluation shows, regardless of how long the run is."""
    raise NotImplementedError


def regime_path(run: Run, split: str | None = None) -> list[tuple[int, int, Regime]]:
    """Return the regimes as spans (first step, last step, regime) that partition the run.

    A span begins at the evaluation that first shows its regime and ends where the next begins,
    so the last span has no width where the regime changed at the last evaluation.
    """
    raise NotImplementedError
