"""Differences between runs at the same step, the same margin or the same drift, and beyond what.

Methods do not share a clock, so a run is read along its own path: where it has come as far as the
other, between two evaluations by straight lines. Differences are taken pair by pair where both
runs were scored on the same probe pairs, which cancels what the pairs are like; clusters are
prompts, as everywhere. What the place itself does not know (the margin and the drift are
estimates, too) is carried into the difference by the delta method.

Runs that have only logs are compared in the unit that both share, up to the last step that both
have. What cannot be compared says why, and what can be had instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import inf, isfinite, nan, sqrt

import numpy as np
from scipy.special import ndtri

from diagnostics.intervals import (
    UNDEFINED,
    Interval,
    clustered_ratio,
    in_words,
    number,
)
from diagnostics.naming import EFFECT_FLOOR
from diagnostics.probegrid import ProbeGrid
from diagnostics.run import Run
from diagnostics.schema import NATS_PER_TOKEN, REWARD_UNIT
from diagnostics.series import FLOORS, MIN_LOGGED, Changes, changes
from diagnostics.tracks import QUANTITIES, Track, tracks_of
from diagnostics.trends import pair_trends

MATCHES = ("step", "margin", "drift")
OWN = "the share S and the directions of each run by itself"  # what is left without a scale


@dataclass(frozen=True)
class Difference:
    """One quantity of the second run minus that of the first, 95 %."""

    quantity: str
    interval: Interval
    unit: str
    beyond_noise: bool


@dataclass(frozen=True)
class Contrast:
    """Two runs at one place: what differs, or why they cannot be compared and what can be had.

    `at` is the step, the margin or the drift that they were matched at, and `steps` where each
    run reached it. `paired` says that differences were taken pair by pair.
    """

    first: str
    second: str
    matched: str
    at: float
    steps: tuple[float, float]
    differences: tuple[Difference, ...]
    paired: bool
    sentences: tuple[str, ...]
    reason: str | None = None
    instead: str | None = None


def contrasts(
    runs: Sequence[Run],
    matched: str = "step",
    pairs: Sequence[tuple[int, int]] | None = None,
    tracks: Sequence[Track | None] | None = None,
) -> tuple[Contrast, ...]:
    """Return two runs each against each other, by default every two; `matched` is of `MATCHES`.

    `pairs` are places in `runs`; what is beyond noise takes account of how many they are.
    `tracks` are those of the runs, where they are known already.
    """
    tracks = tracks_of(runs) if tracks is None else tracks
    pairs = list(combinations(range(len(runs)), 2)) if pairs is None else pairs
    sure = certainty(len(pairs) * 3)
    found, logs = [], _Logs(runs)
    for a, b in pairs:
        first, second = tracks[a], tracks[b]
        if first is None or second is None:
            found.append(_from_logs(logs, (a, b), matched, sure))
        else:
            found.append(_contrast(first, second, matched, sure))
    return tuple(found)


def margin_per_drift(track: Track | None) -> Interval | None:
    """Return the margin gained for each nat of drift at the last evaluation, with its interval.

    None without reference samples, or where the drift is not significantly different from 0.
    """
    if track is None:
        return None
    last = track.between(len(track.steps) - 1, 0.0)
    return None if last.drift is None else clustered_ratio(last.margin, last.drift)


# Two runs.


def _contrast(first: Track, second: Track, matched: str, sure: float) -> Contrast:
    refused = _refusal(first, second, matched)
    if refused is not None:
        return _refused(first.run, second.run, matched, *refused)
    at = min(float(np.nanmax(track.path(matched))) for track in (first, second))
    places = [track.at(matched, at) for track in (first, second)]
    if places[0] is None or places[1] is None:
        return _refused(first.run, second.run, matched, "the paths share no place", None)
    differences = []
    for quantity in QUANTITIES:
        one, other = places[0].get(quantity), places[1].get(quantity)
        if quantity != matched and one is not None and other is not None:
            differences.append(difference(quantity, (other - one).interval, NATS_PER_TOKEN, sure))
    unit = "" if matched == "step" else f" {NATS_PER_TOKEN}"
    where = f"at {'step' if matched == 'step' else f'a {matched} of'} {_place(matched, at)}{unit}"
    return Contrast(
        first=first.run.name,
        second=second.run.name,
        matched=matched,
        at=at,
        steps=(places[0].step, places[1].step),
        differences=tuple(differences),
        paired=True,
        sentences=tuple(_sentence(first.run, second.run, one, where) for one in differences),
    )


def _place(matched: str, at: float) -> str:
    return str(round(at)) if matched == "step" else number(at)


def _refusal(first: Track, second: Track, matched: str) -> tuple[str, str] | None:
    """Return why two runs cannot be held against each other pair by pair, and what can be had."""
    theirs, mine = (track.grid for track in (first, second))
    same = len(theirs.pairs) == len(mine.pairs) and bool((theirs.pairs == mine.pairs).all())
    names = [_prompts(grid) for grid in (theirs, mine)]
    if not same or names[0] != names[1] or theirs.split != mine.split:
        return "they were scored on other probe pairs", OWN
    if (theirs.tokens != mine.tokens).any():
        return "their probe pairs have other lengths: another tokenizer or template", OWN
    apart = np.abs(theirs.logps[0] - mine.logps[0]) / mine.tokens
    if apart[np.isfinite(apart)].size and float(np.nanmean(apart)) > EFFECT_FLOOR:
        return "they started at other policies", OWN
    if not all(np.isfinite(track.path(matched)).any() for track in (first, second)):
        return "one of them has no reference samples, so its drift is not known", "a matched margin"
    gained = min(float(np.nanmax(track.path(matched))) for track in (first, second))
    if matched != "step" and not gained > EFFECT_FLOOR:
        return f"one of them gains no {matched}", "a matched step"
    return None


def _prompts(grid: ProbeGrid) -> list[object]:
    frame = grid.frame.drop_duplicates("pair", keep="last").sort_values("pair")
    return frame["prompt"].tolist() if "prompt" in frame else []


def _refused(first: Run, second: Run, matched: str, reason: str, instead: str | None) -> Contrast:
    offer = "" if instead is None else f"; what can be had is {instead}"
    sentence = f"{first.name} and {second.name} are not compared: {reason}{offer}"
    return Contrast(
        first.name, second.name, matched, nan, (nan, nan), (), False, (sentence,), reason, instead
    )


def difference(quantity: str, interval: Interval, unit: str, sure: float) -> Difference:
    """Return a difference with whether it is beyond noise: `sure` half-widths, and no trifle."""
    half = (interval.high - interval.low) / 2
    beyond = abs(interval.value) > sure * half and abs(interval.value) > FLOORS.get(unit, 0.0)
    return Difference(quantity, interval, unit, bool(isfinite(half) and beyond))


def certainty(count: int) -> float:
    """Return how many 95 % half-widths a difference must span when `count` are looked at."""
    return float(ndtri(1 - 0.025 / max(1, count)) / ndtri(0.975))


def _sentence(first: Run, second: Run, found: Difference, where: str) -> str:
    words = f"{in_words(found.interval, sign=True)} {found.unit}"
    what = f"{second.name} minus {first.name} {where}: {found.quantity} {words}"
    if found.beyond_noise:
        return f"{what}, beyond noise"
    small = abs(found.interval.value) <= FLOORS.get(found.unit, 0.0)
    return f"{what}, {'too small to count' if small else 'within noise'}"


# Runs that have only logs.


class _Logs:
    """The changes that logs tell; each is worked out once, however many runs it is held against."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = runs
        self.changes = cache(self._changes)
        self.end = cache(self._end)

    def same_rows(self, places: tuple[int, int]) -> str | None:
        """Return the rows that both logs say enough in: training rows, else evaluations."""
        for rows in ("train", "evals"):
            both = [self.changes(place, rows) for place in places]
            if all(one is not None and one.points >= MIN_LOGGED for one in both):
                return rows
        return None

    def _changes(self, place: int, rows: str) -> Changes | None:
        return changes(self.runs[place], rows)

    def _end(self, place: int, rows: str, at: int) -> dict[str, Interval]:
        """Return the changes of both sides and the margin from the start of a log to a step."""
        log = self.changes(place, rows)
        if log is None:
            return dict.fromkeys(QUANTITIES[:3], UNDEFINED)
        kept = log.steps <= at
        sides = [side[kept] for side in (log.chosen, log.rejected, log.margin)]
        seen = pair_trends(log.steps[kept], *sides, floor=log.floor)
        return {name: getattr(seen, name).change for name in QUANTITIES[:3]}


def _from_logs(logs: _Logs, places: tuple[int, int], matched: str, sure: float) -> Contrast:
    """Return the contrast of what both logs say up to the last step that both have."""
    first, second = (logs.runs[place] for place in places)
    if matched != "step":
        reason = f"a matched {matched} needs the same probe pairs in both, and one has none"
        return _refused(first, second, matched, reason, "a matched step from the logs")
    rows = logs.same_rows(places)
    both = [logs.changes(place, rows) for place in places] if rows else []
    known = [one for one in both if one is not None]
    if rows is None or len(known) < len(places):
        reason = (
            f"they have neither the same probe pairs nor {MIN_LOGGED} logged rewards of both sides "
            "each, in training or in evaluation rows"
        )
        return _refused(first, second, matched, reason, None)
    units = [one.unit for one in known]
    if units[0] != units[1] or units[0] == REWARD_UNIT:
        reason = f"their rewards are logged in {units[0]} and in {units[1]}"
        if units[0] == units[1]:
            reason = "their rewards have a scale that the logs do not tell"
        instead = "the share S and the directions, which need no scale"
        return _refused(first, second, matched, reason, instead)
    at = min(int(one.steps[-1]) for one in known)
    ends = [logs.end(place, rows, at) for place in places]
    apart = {name: minus(ends[1][name], ends[0][name]) for name in ends[0]}
    if not all(isfinite(one.value) for one in apart.values()):
        reason = f"one of the logs says too little up to step {at}, the last that both have"
        return _refused(first, second, matched, reason, OWN)
    found = tuple(difference(name, one, units[0], sure) for name, one in apart.items())
    where = f"at step {at} of the logs"
    return Contrast(
        first=first.name,
        second=second.name,
        matched=matched,
        at=float(at),
        steps=(float(at), float(at)),
        differences=found,
        paired=False,
        sentences=tuple(_sentence(first, second, one, where) for one in found),
    )


def minus(one: Interval, other: Interval) -> Interval:
    """Return the difference of two independent estimates."""
    if not (isfinite(one.value) and isfinite(other.value)):
        return UNDEFINED
    halves = [(interval.high - interval.low) / 2 for interval in (one, other)]
    half = sqrt(halves[0] ** 2 + halves[1] ** 2) if all(map(isfinite, halves)) else inf
    value = one.value - other.value
    return Interval(value, value - half, value + half)
