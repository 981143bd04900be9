"""The course of a run over training, on the scale that runs of any method share.

Where a run scored fixed pairs, the course is that of their means, with intervals; where it has
only a log, it is what the logged rewards come to in the best unit the log allows. Courses in one
unit may stand on one axis. A log whose rewards have a scale that nobody knows has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from diagnostics.intervals import Floats, Interval
from diagnostics.naming import Movement
from diagnostics.reading import Reading
from diagnostics.schema import NATS_PER_TOKEN, REWARD_UNIT
from diagnostics.series import Changes
from diagnostics.share import ShareEstimate
from diagnostics.tracks import QUANTITIES


@dataclass(frozen=True)
class Line:
    """One quantity by evaluation or record: values with their 95 % bounds (T,), NaN if unknown.

    `end` is the estimate at the end of the run, None where there is none.
    """

    value: Floats
    low: Floats
    high: Floats
    end: Interval | None


@dataclass(frozen=True)
class Course:
    """The lines of one run, by quantity of `QUANTITIES`, over `steps` (T,), all in one unit.

    `from_log` says that they are logged averages over other pairs at each record. A run without a
    course has no lines, and `refusal` says why.
    """

    name: str
    unit: str = ""
    steps: Floats = field(default_factory=lambda: np.empty(0))
    lines: Mapping[str, Line] = field(default_factory=dict)
    from_log: bool = False
    refusal: str | None = None

    def along(self, matched: str) -> Floats | None:
        """Return what the course is drawn over (T,): its steps, its margin or its drift."""
        if matched == "step":
            return self.steps
        return self.lines[matched].value if matched in self.lines else None


def course(name: str, reading: Reading) -> Course:
    """Return the course of a run under a name."""
    estimates = [one for one in reading.estimates if np.isfinite(one.delta_chosen.value)]
    if estimates:
        return _probed(name, estimates)
    changes = reading.changes
    if changes is None:
        return Course(name, refusal="its log holds no rewards of both sides")
    if changes.unit == REWARD_UNIT:
        return Course(name, refusal=f"its rewards are {changes.notes[0]}")
    return _logged(name, changes, reading.regime.movement)


def _probed(name: str, estimates: Sequence[ShareEstimate]) -> Course:
    picked: dict[str, list[Interval | None]] = {
        "chosen": [one.delta_chosen for one in estimates],
        "rejected": [one.delta_rejected for one in estimates],
        "margin": [one.margin for one in estimates],
        "drift": [one.drift for one in estimates],
    }
    lines = {
        quantity: _line(intervals)
        for quantity, intervals in picked.items()
        if any(one is not None for one in intervals)
    }
    steps = np.array([one.step for one in estimates], dtype=np.float64)
    return Course(name, NATS_PER_TOKEN, steps, lines)


def _line(intervals: Sequence[Interval | None]) -> Line:
    nothing = (np.nan, np.nan, np.nan)
    rows = [nothing if one is None else (one.value, one.low, one.high) for one in intervals]
    table = np.array(rows, dtype=np.float64)
    table[~np.isfinite(table)] = np.nan
    value, low, high = table.T
    return Line(value, low, high, intervals[-1])


def _logged(name: str, changes: Changes, moved: Movement | None) -> Course:
    unknown = np.full(len(changes.steps), np.nan)
    known = moved if moved is not None and moved.unit == changes.unit else None
    values = {
        "chosen": (changes.chosen, None if known is None else known.chosen),
        "rejected": (changes.rejected, None if known is None else known.rejected),
        "margin": (changes.margin, None if known is None else known.margin),
    }
    lines = {
        quantity: Line(value, unknown, unknown, end) for quantity, (value, end) in values.items()
    }
    if changes.drift is not None:
        lines["drift"] = Line(changes.drift, unknown, unknown, None)
    return Course(name, changes.unit, changes.steps.astype(np.float64), lines, from_log=True)


def units(courses: Sequence[Course]) -> list[str]:
    """Return the units that the courses are in, the one of most courses first."""
    known = [one.unit for one in courses if one.lines]
    return sorted(dict.fromkeys(known), key=lambda unit: -known.count(unit))


def quantities(courses: Sequence[Course], matched: str) -> list[str]:
    """Return the quantities that any of the courses has, but for the one it is drawn over."""
    return [
        quantity
        for quantity in QUANTITIES
        if quantity != matched and any(quantity in one.lines for one in courses)
    ]
