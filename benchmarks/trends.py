"""Error rates, power, calibration and run times of `diagnostics.trends` on simulated logs.

Each score takes the number of runs and a seed, so that a test can ask for a small sample and the
tables for a large one. `python -m benchmarks trends` prints the tables as Markdown.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np

from benchmarks.simulator import (
    FLOOR,
    SEQUENCES,
    SIDES,
    UNSTABLE,
    Nuisance,
    Segment,
    SimulatedLog,
    clear_case,
    mixed_case,
    noise_for,
    nulls,
    sequence,
    simulate,
    unstable_case,
)
from diagnostics.trends import Direction, PairTrends, pair_trends
from diagnostics.watch import LOOKS, expected_delay, watch

RUNS = int(os.environ.get("RUNS", "1000"))
NULL_POINTS = (20, 40, 60, 100, 200, 1000)
POWER_POINTS = (20, 60, 200, 1000)
SIGNALS = (4, 6, 8, 12, 16)
SIGNS = {Direction.UP: 1, Direction.DOWN: -1, Direction.FLAT: 0, Direction.INCONCLUSIVE: None}

Signs = tuple[int | None, int | None]


def read(log: SimulatedLog) -> PairTrends:
    """Return the trends of a simulated log."""
    return pair_trends(log.steps, log.chosen, log.rejected, floor=FLOOR)


def signs(one: object) -> Signs:
    """Return the directions of chosen and rejected as 1, -1, 0, None where inconclusive."""
    return tuple(SIGNS[getattr(one, side).direction] for side in ("chosen", "rejected"))  # type: ignore[return-value]


def claims(found: PairTrends) -> bool:
    """Return whether any series is said to rise or fall, over the log or in a phase."""
    parts = (found, *found.phases)
    every = (getattr(part, side) for part in parts for side in ("chosen", "rejected", "margin"))
    return any(SIGNS[one.direction] in (1, -1) for one in every)


# One run of each kind: what it scores.


def null_log(family: str, points: int, seed: int) -> SimulatedLog:
    """Return a flat log of a null family, its noise from 0.4 to 20 floors."""
    rng = np.random.default_rng((seed, points))
    noise = float(np.exp(rng.uniform(np.log(0.4 * FLOOR), np.log(20 * FLOOR))))
    how = replace(nulls()[family], noise=noise)
    if family == "wander":  # its size is that of the floor, whatever the noise
        how = replace(how, wander=0.3 * FLOOR / noise)
    return simulate(rng, points, nuisance=how)


def null_score(family: str, points: int, seed: int) -> tuple[bool, bool, bool]:
    """Return whether a flat log is given a direction, called unstable, called flat."""
    found = read(null_log(family, points, seed))
    return claims(found), bool(found.unstable), signs(found) == (0, 0)


def clear_score(case: str, least: int, seed: int) -> tuple[bool, bool]:
    """Return whether a clear case is named rightly, and whether wrongly."""
    truth = SIDES[case]
    found = read(clear_case(np.random.default_rng((seed, 7)), truth, least=least))
    named = signs(found)
    decided = None not in named and not found.unstable
    return decided and named == truth, decided and named != truth


def sequence_score(name: str, seed: int) -> tuple[bool, bool, tuple[float, ...]]:
    """Return whether all phases are found, whether one is wrong, and the boundary errors.

    A flat stretch may be left undecided; no other may. Errors are parts of the run.
    """
    log = sequence(np.random.default_rng((seed, 9)), SEQUENCES[name])
    phases = read(log).phases
    named = [signs(phase) for phase in phases]
    fits = [
        all(
            got == side or (side == 0 and got is None)
            for got, side in zip(pair, truth, strict=True)
        )
        for pair, truth in zip(named, SEQUENCES[name], strict=False)
    ]
    right = len(named) == len(SEQUENCES[name]) and all(fits)
    last = float(log.steps.max())
    errors = tuple(
        abs(phase.end / last - boundary)
        for phase, boundary in zip(phases, log.boundaries, strict=False)
    )
    seen = {(side, sign) for pair in SEQUENCES[name] for side, sign in enumerate(pair)}
    wrong = any(
        sign in (1, -1) and (side, sign) not in seen
        for pair in named
        for side, sign in enumerate(pair)
    )
    return right, wrong, errors if right else ()


def power_score(shape: str, points: int, t: float, seed: int) -> float:
    """Return the fraction of both sides that are named rightly in an ideal run of signal t."""
    rng = np.random.default_rng((seed, int(t), points))
    how = Nuisance(noise=noise_for(1.0, t, points))
    named = signs(read(simulate(rng, points, [Segment(1.0, 1.0, -1.0, shape)], how)))
    return ((named[0] == 1) + (named[1] == -1)) / 2


def unstable_score(kind: str, seed: int) -> bool:
    """Return whether a run that is badly unstable is called so."""
    return bool(read(unstable_case(np.random.default_rng((seed, 3)), kind)).unstable)


def probability_score(seed: int) -> list[tuple[str, float, bool]]:
    """Return what is stated of each side of a run of any clearness, and whether it is so."""
    log = mixed_case(np.random.default_rng((seed, 5)))
    found = read(log)
    scores = []
    for side, change in zip((found.chosen, found.rejected), log.changes, strict=True):
        if not np.isfinite(side.probability):
            continue
        if side.direction is Direction.FLAT:
            scores.append(("flat", side.probability, abs(change) < FLOOR))
        else:
            way = np.sign(side.change.value)
            scores.append(("moved", side.probability, bool(way * change > FLOOR / 2)))
    return scores


def alarm_score(family: str, points: int, from_zero: bool, seed: int) -> bool:
    """Return whether a flat log raises an alert at any of its looks."""
    log = null_log(family, points, seed)
    return bool(watch(log.steps, log.chosen, log.rejected, floor=FLOOR, from_zero=from_zero))


def delay_score(t: float, from_zero: bool, seed: int) -> float:
    """Return the part of a both_fall run after which it is announced; 1 where it never is."""
    rng = np.random.default_rng((seed, 11))
    points = int(np.exp(rng.uniform(np.log(100), np.log(1000))))
    how = Nuisance(noise=noise_for(1.0, t, points, 0.2), phi=0.2)
    log = simulate(rng, points, [Segment(1.0, -1.0, -1.0)], how)
    alerts = watch(log.steps, log.chosen, log.rejected, floor=FLOOR, from_zero=from_zero)
    both = (Direction.DOWN, Direction.DOWN)
    return next((one.step / log.steps[-1] for one in alerts if one.directions == both), 1.0)


# Tables.


def table(title: str, head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table under a heading."""
    lines = [f"## {title}", "", "| " + " | ".join(map(str, head)) + " |"]
    lines.append("|" + "---|" * lines[-1].count(" | ") + "---|")
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([*lines, ""])


def percent(values: Iterable[float]) -> str:
    """Return a mean as per cent with one decimal."""
    return f"{100 * float(np.mean(list(values))):.1f}"


def tables(each: Callable[..., list], runs: int, first: int = 0) -> Iterator[str]:
    """Yield the tables; `each(score, runs, first)` maps a score over seeds."""
    rows = []
    for family in nulls():
        row = [family]
        for points in NULL_POINTS:
            got = each(partial(null_score, family, points), runs, first)
            row.append(" / ".join(percent(part) for part in zip(*got, strict=True)))
        rows.append(row)
    head = ["family", *(f"n = {points}" for points in NULL_POINTS)]
    yield table("Flat logs: a direction claimed / unstable / flat, %", head, rows)
    rows = []
    for case in SIDES:
        row = [case]
        for least in (40, 100):
            got = each(partial(clear_score, case, least), max(1, runs // 2), first)
            row += [percent(part) for part in zip(*got, strict=True)]
        rows.append(row)
    head = ["case", "right, n 40-3000", "wrong", "right, n 100-3000", "wrong"]
    yield table("Clear cases (t 15-60, everything on), %", head, rows)
    rows, errors = [], []
    for name in SEQUENCES:
        got = each(partial(sequence_score, name), max(1, runs // 2), first)
        rows.append([name, percent(one[0] for one in got), percent(one[1] for one in got)])
        errors += [error for one in got for error in one[2]]
    rows.append(["boundary error, median", f"{100 * np.median(errors):.2f}", ""])
    rows.append(["boundary error, 95th percentile", f"{100 * np.percentile(errors, 95):.2f}", ""])
    yield table(
        "Phases: right / a direction that is nowhere in the run, %", ["", "right", "wrong"], rows
    )
    rows = [
        [
            shape,
            points,
            *(percent(each(partial(power_score, shape, points, t), runs, first)) for t in SIGNALS),
        ]
        for shape in ("linear", "exponential")
        for points in POWER_POINTS
    ]
    yield table("Power, %", ["shape", "n", *(f"t = {t}" for t in SIGNALS)], rows)
    rows = [
        [kind, percent(each(partial(unstable_score, kind), max(1, runs // 4), first))]
        for kind in UNSTABLE
    ]
    yield table("Unstable runs called unstable, %", ["kind", "called"], rows)
    yield calibration(each(probability_score, 3 * runs, first))
    yield from online(each, runs, first)


def calibration(got: list[list[tuple[str, float, bool]]]) -> str:
    """Return stated against observed frequency by decile of what is stated."""
    scores = [one for run in got for one in run]
    rows = []
    for what in ("moved", "flat"):
        pairs = np.array([(stated, true) for kind, stated, true in scores if kind == what])
        bins = np.minimum((pairs[:, 0] * 10).astype(int), 9)
        for decile in range(10):
            inside = pairs[bins == decile]
            if len(inside):
                stated, observed = inside.mean(axis=0)
                rows.append([what, decile / 10, len(inside), f"{stated:.3f}", f"{observed:.3f}"])
    return table("Stated probability", ["what", "from", "sides", "stated", "observed"], rows)


def online(each: Callable[..., list], runs: int, first: int) -> Iterator[str]:
    """Yield the tables of the online form."""
    few = max(1, runs // 4)
    rows = [
        [
            family,
            points,
            *(
                percent(each(partial(alarm_score, family, points, zero), few, first))
                for zero in (False, True)
            ),
        ]
        for family in ("white", "AR .6", "outliers 1 %")
        for points in (100, 400)
    ]
    head = ["family", "n", "start unknown", "start known"]
    yield table(f"Watching flat logs, {LOOKS} looks: an alert at any, %", head, rows)
    rows = []
    for t in (15, 20, 30, 60):
        for zero in (False, True):
            got = each(partial(delay_score, t, zero), max(1, runs // 10), first)
            rows.append(
                [
                    t,
                    "known" if zero else "unknown",
                    f"{np.median(got):.2f}",
                    f"{np.percentile(got, 90):.2f}",
                    f"{expected_delay(t, from_zero=zero):.2f}",
                ]
            )
    head = ["t", "start", "median", "90th percentile", "stated by `expected_delay`"]
    yield table("Watching both_fall: part of the run until it is announced", head, rows)


def seconds(points: int) -> float:
    """Return the best of three times that reading one log of so many points takes."""
    rng = np.random.default_rng(0)
    log = simulate(rng, points, [Segment(1.0, 1.0, -1.0)], Nuisance(noise=0.3, phi=0.3))
    times = []
    for _ in range(3):
        began = time.perf_counter()
        read(log)
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    """Print all tables; `RUNS` runs a cell, from the environment."""
    print(f"# Trends on simulated logs\n\n{RUNS} runs a cell; floor {FLOOR}.\n")
    with ProcessPoolExecutor() as pool:

        def each(score: Callable[[int], object], runs: int, first: int) -> list:
            return list(pool.map(score, range(first, first + runs), chunksize=25))

        for one in tables(each, RUNS, first=100_000):
            print(one, flush=True)
    rows = [
        [points, f"{1000 * seconds(points):.1f}"] for points in (20, 200, 1000, 100_000, 1_000_000)
    ]
    print(table("Time to read one log, ms", ["points", "ms"], rows))
