"""Runs that differ in nothing but their seed: their mean, their range, and groups of them compared.

Two runs of one setting differ by luck. How much is seen only in more than one seed, and with few
of them it is known badly: an interval here is that of Student's t over the seeds, which is wide
for three and nearly useless for two, and a band shows every run by its range, never a standard
deviation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from diagnostics.configurations import SEEDS, flat, is_noise
from diagnostics.contrasts import Difference, certainty, difference, minus
from diagnostics.intervals import Floats, Interval, clustered_mean
from diagnostics.run import Run
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.tracks import QUANTITIES, Track, tracks_of

SIDES = QUANTITIES[:3]
FEWEST = 2  # seeds that make a group
PLACES = 24  # points of a band
_NOT_IN_LABELS = re.compile(r"[\W_]*(seed|s)?[\W_]*$", re.IGNORECASE)
_SHORTEST_LABEL = 2


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed, at their last evaluations.

    The intervals are those of a further seed's mean: the spread between seeds, with Student's t;
    unbounded for one seed, whose own interval says nothing about another's.
    """

    runs: tuple[str, ...]
    chosen: Interval
    rejected: Interval
    margin: Interval

    @property
    def label(self) -> str:
        """What the names of the runs begin with, or the first of them."""
        alike = takewhile(lambda signs: len(set(signs)) == 1, zip(*self.runs, strict=False))
        shared = _NOT_IN_LABELS.sub("", "".join(signs[0] for signs in alike))
        return shared if len(shared) >= _SHORTEST_LABEL else f"{self.runs[0]} and its seeds"


@dataclass(frozen=True)
class GroupContrast:
    """The second group's mean minus the first's, with the number of seeds in each."""

    first: str
    second: str
    seeds: tuple[int, int]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class SeedBand:
    """A group's course over what it is matched by: median, lowest and highest of its `runs`.

    `at` (P,) are steps, margins or drifts; the rest (P,) [nats per token].
    """

    label: str
    runs: tuple[str, ...]
    quantity: str
    at: Floats
    median: Floats
    low: Floats
    high: Floats

    @property
    def seeds(self) -> int:
        """The number of its runs."""
        return len(self.runs)


def seed_groups(
    runs: Sequence[Run], tracks: Sequence[Track | None] | None = None
) -> tuple[Group, ...]:
    """Return the runs grouped by everything in their configuration but the seed.

    Runs that do not say which seed they drew may be anything: each of them stands alone, and so
    does a second run of one seed.
    """
    tracks = tracks_of(runs) if tracks is None else tracks
    return tuple(
        Group(
            tuple(runs[index].name for index in members),
            *(_over_seeds([tracks[index] for index in members], name) for name in SIDES),
        )
        for members in _members(runs)
    )


def group_contrasts(groups: Sequence[Group]) -> tuple[GroupContrast, ...]:
    """Return each group of at least `FEWEST` seeds against the first such group."""
    several = [group for group in groups if len(group.runs) >= FEWEST]
    if len(several) < 2:
        return ()
    labels = [group.label for group in several]
    if len(set(labels)) < len(labels):
        labels = [f"{group.runs[0]} and its seeds" for group in several]
    first, *others = several
    sure = certainty(len(others) * len(SIDES))
    return tuple(
        GroupContrast(
            labels[0],
            label,
            (len(first.runs), len(other.runs)),
            tuple(
                difference(name, group_difference(first, other, name), NATS_PER_TOKEN, sure)
                for name in SIDES
            ),
        )
        for label, other in zip(labels[1:], others, strict=True)
    )


def group_difference(first: Group, second: Group, quantity: str = "chosen") -> Interval:
    """Return the second group's mean minus the first's, from the spread between seeds."""
    return minus(getattr(second, quantity), getattr(first, quantity))


def seed_bands(
    runs: Sequence[Run], tracks: Sequence[Track | None], matched: str
) -> tuple[SeedBand, ...]:
    """Return the bands of every group of at least `FEWEST` seeds, in every quantity but `matched`.

    A group reaches as far as all of its runs do.
    """
    found = []
    for members in _members(runs):
        known = [track for track in (tracks[index] for index in members) if track is not None]
        if len(known) >= FEWEST:
            label = Group(tuple(track.run.name for track in known), *_NOTHING).label
            found += _bands(label, known, matched)
    return tuple(found)


_NOTHING = (Interval(np.nan, np.nan, np.nan),) * 3


def _bands(label: str, tracks: list[Track], matched: str) -> list[SeedBand]:
    ends = [np.nanmax(track.path(matched), initial=-np.inf) for track in tracks]
    starts = [np.nanmin(track.path(matched), initial=np.inf) for track in tracks]
    first, last = float(max(starts)), float(min(ends))
    if not (np.isfinite([first, last]).all() and last > first):
        return []
    at = np.linspace(first, last, PLACES)
    runs = tuple(track.run.name for track in tracks)
    places = [[track.at(matched, float(one)) for one in at] for track in tracks]
    found = []
    for quantity in QUANTITIES:
        if quantity == matched:
            continue
        means = [[None if one is None else one.get(quantity) for one in row] for row in places]
        values = np.array([[np.nan if m is None else m.value for m in row] for row in means])
        if np.isfinite(values).all():
            low, high = values.min(axis=0), values.max(axis=0)
            median = np.median(values, axis=0)
            found.append(SeedBand(label, runs, quantity, at, median, low, high))
    return found


def _members(runs: Sequence[Run]) -> list[list[int]]:
    """Return the places of the runs of each group, in the order of their first runs."""
    grouped: dict[object, list[int]] = {}
    drawn: Counter[object] = Counter()
    for index, run in enumerate(runs):
        config = flat(run.config)
        seed = tuple((name, repr(config[name])) for name in sorted(SEEDS & set(config)))
        kept = {k: v for k, v in config.items() if k not in SEEDS and not is_noise(k)}
        setting = repr((run.method, sorted(kept.items(), key=lambda item: item[0])))
        drawn[setting, seed] += 1
        alone = index if not seed else drawn[setting, seed]
        grouped.setdefault((setting, bool(seed), alone), []).append(index)
    return list(grouped.values())


def _over_seeds(tracks: list[Track | None], quantity: str) -> Interval:
    found = [one.between(len(one.steps) - 1, 0.0) for one in tracks if one is not None]
    means = [place.get(quantity) for place in found]
    values = np.array([mean.value for mean in means if mean is not None])
    return clustered_mean(values, np.arange(len(values)), max(1, len(values))).interval
