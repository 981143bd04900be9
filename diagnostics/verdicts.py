"""What a check says: its status, the numbers behind it, why, and what to try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Status(StrEnum):
    """How far a pathology is established; `unknown` is no form of healthy."""

    PRESENT = "present"
    SUSPECTED = "suspected"  # the signs are there, what would settle it is not in the log
    ABSENT = "absent"
    UNKNOWN = "unknown"  # too little data
    NOT_APPLICABLE = "not applicable"  # the method has no such thing

    @property
    def is_alarm(self) -> bool:
        """Whether the status says that something is wrong."""
        return self in (Status.PRESENT, Status.SUSPECTED)


@dataclass(frozen=True)
class Evidence:
    """One number behind a verdict, with the threshold it was held against, if any.

    `low` and `high` are the ends of its 95 % interval.
    """

    quantity: str
    value: float
    unit: str
    threshold: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Advice:
    """One change of settings or data, computed for this run.

    `action` is one sentence with the values to set. `flags` maps a framework ("trl",
    "llamafactory", "seesaw") to exactly what to write there; a framework that cannot do it is
    left out. `strength` is the evidence for the remedy: "A" several studies, or a theorem and an
    experiment; "B" one careful study; "C" practitioners; "D" derived only. `expected` says what
    it should do to chosen, rejected and drift, `risk` what it may cost, `source` who says so.
    `window` holds the safe values of the setting where they can be computed.
    """

    action: str
    strength: str
    expected: str
    risk: str
    source: str
    setting: str | None = None
    window: tuple[float, float] | None = None
    flags: Mapping[str, str] = field(default_factory=dict)


# How strongly a cause is supported.
MEASURED = "measured"  # a measurement predicts the movement
INDICATED = "indicated"  # a property of the pairs makes it likely
CONFIGURED = "configured"  # a setting does it by design


@dataclass(frozen=True)
class Cause:
    """One reason for what both sides did.

    `sentence` quotes the numbers of `evidence` with their units. `score` is in (0, 1], `strength`
    one of `MEASURED`, `INDICATED` and `CONFIGURED`. `settle` says what would decide it.
    """

    name: str
    sentence: str
    evidence: tuple[Evidence, ...]
    score: float
    strength: str
    settle: str


@dataclass(frozen=True)
class Verdict:
    """What one check found in one run.

    `sentence` is made from `evidence` and quotes its numbers with their units. `since` is the
    optimizer step from which on it holds, None where it holds of the whole run or not at all.
    `unseen` says, one sentence each, what the check could not look at and what would show it.
    `severity` is a word ("mild", "moderate", "severe", "collapse") where the pathology has one.
    """

    pathology: str
    status: Status
    sentence: str
    since: int | None = None
    evidence: tuple[Evidence, ...] = ()
    advice: tuple[Advice, ...] = ()
    unseen: tuple[str, ...] = ()
    severity: str | None = None
