"""How well the forecast of the chosen curve does on the recorded runs of the casebook.

Each run's first half is given to the forecast; its second half says who was right. Rivals are the
sign at half time, the sign of the first evaluation, and a straight line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from diagnostics.forecast import Clock, Forecast, Skill, forecast, learning_rate_clock
from diagnostics.intervals import UNDEFINED, Interval, in_words, wilson
from diagnostics.naming import EFFECT_FLOOR
from diagnostics.share import ShareEstimate, undefined

CASEBOOK = Path(__file__).resolve().parent.parent / "examples" / "casebook"


@dataclass(frozen=True)
class Case:
    """One run split at half time: what was seen, what came, and who said what."""

    name: str
    final: float  # chosen at the end [nats per token]
    decided: bool  # whether that end is beyond its interval and the effect floor
    early: float
    half: float
    linear: float
    forecast: float | None  # None where it was refused
    crossing: float | None  # as a share of the run, as are all that follow
    crossing_forecast: float | None
    crossing_linear: float | None


def paths(folder: Path) -> Iterator[tuple[str, list[ShareEstimate], Clock | None]]:
    """Yield the name, the path and the training clock of every recorded run."""
    for file in sorted(folder.glob("*.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        for run in record["runs"]:
            rows = [dict(zip(record["path_columns"], row, strict=True)) for row in run["path"]]
            path = [_estimate(row) for row in rows]
            plan = run["schedule"]
            clock = learning_rate_clock(plan["name"], plan["steps"], plan["warmup_ratio"])
            yield f"{record['name']} {run['arm']} {run['seed']}", path, clock


def _estimate(row: dict[str, Any]) -> ShareEstimate:
    def interval(name: str) -> Interval:
        value, half = row[name], row[f"± {name}"]
        if value is None or half is None:
            return UNDEFINED
        return Interval(value, value - half, value + half)

    return replace(
        undefined(int(row["step"]), "train"),
        delta_chosen=interval("chosen"),
        delta_rejected=interval("rejected"),
        margin=interval("margin"),
    )


def cases(folder: Path) -> list[Case]:
    """Return every run that has enough evaluations to be split."""
    found = [case_of(*one) for one in paths(folder)]
    return [case for case in found if case is not None]


def case_of(name: str, path: list[ShareEstimate], clock: Clock | None) -> Case | None:
    """Return one run split at half time; None where either half is too short or not finite."""
    last = path[-1]
    seen = [one for one in path if one.step <= last.step / 2]
    values = np.array([one.delta_chosen.value for one in path])
    steps = np.array([one.step for one in path], dtype=np.float64)
    if len(seen) < 4 or not np.isfinite(values).all():
        return None
    count, end = len(seen), last.delta_chosen
    tail = slice(count // 2, count)
    slope, offset = np.polyfit(steps[tail], values[tail], 1)
    said = forecast(seen, last.step, clock)
    known = said if isinstance(said, Forecast) else None
    crossing = None
    if values[count - 1] > 0 > values[-1]:
        below = count + int(np.argmax(values[count:] < 0))
        share = values[below - 1] / (values[below - 1] - values[below])
        crossing = float(steps[below - 1] + share * (steps[below] - steps[below - 1]))
    ahead = None if known is None or known.crossing_step is None else known.crossing_step.value
    line = -offset / slope if slope < 0 else None
    return Case(
        name=name,
        final=end.value,
        decided=bool(end.excludes_zero and abs(end.value) > EFFECT_FLOOR),
        early=float(values[1]),
        half=float(values[count - 1]),
        linear=float(offset + slope * last.step),
        forecast=None if known is None or known.final is None else known.final.value,
        crossing=None if crossing is None else crossing / last.step,
        crossing_forecast=None if ahead is None else ahead / last.step,
        crossing_linear=None if line is None else float(line) / last.step,
    )


def skill(all_cases: list[Case]) -> Skill:
    """Return the skill over the runs whose end is decided and on which something was forecast."""
    scored = [case for case in all_cases if case.decided and case.forecast is not None]

    def right(rival: str) -> Interval:
        if not scored:
            return UNDEFINED
        hits = [(getattr(case, rival) > 0) == (case.final > 0) for case in scored]
        return wilson(sum(hits) / len(hits), len(hits))

    crossed = [case for case in scored if case.crossing is not None]
    both = [case for case in crossed if case.crossing_forecast is not None]
    return Skill(
        runs=len(scored),
        sign=right("forecast"),
        sign_at_half=right("half"),
        sign_linear=right("linear"),
        error=_median(scored, "forecast", "final"),
        error_at_half=_median(scored, "half", "final"),
        error_linear=_median(scored, "linear", "final"),
        crossings=len(both),
        crossing_error=_median(both, "crossing_forecast", "crossing"),
        crossing_error_linear=_median(
            [case for case in both if case.crossing_linear is not None],
            "crossing_linear",
            "crossing",
        ),
    )


def _median(found: list[Case], rival: str, truth: str) -> float:
    errors = [abs(getattr(case, rival) - getattr(case, truth)) for case in found]
    return float(np.median(errors)) if errors else nan


def main(folder: Path = CASEBOOK) -> None:
    """Print the forecast's skill, and the numbers that `diagnostics/forecast.py` states."""
    found = cases(folder)
    refused = sum(case.forecast is None for case in found)
    got = skill(found)
    print(f"{len(found)} runs, {refused} refused, {got.runs} with a decided end and a forecast")
    for name in ("sign", "sign_at_half", "sign_linear"):
        print(f"  {name:14} {in_words(getattr(got, name))}")
    for name in ("error", "error_at_half", "error_linear"):
        print(f"  {name:14} {getattr(got, name):.4f} nats/token")
    print(
        f"  {got.crossings} crossings: median error {got.crossing_error:.3f} of the run, ", end=""
    )
    print(f"a straight line's {got.crossing_error_linear:.3f}")


if __name__ == "__main__":
    main()
