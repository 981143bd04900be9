"""Runs that belong together in a table: those of a method, or of a setting whatever the seed."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from diagnostics.configurations import SEEDS, flat, is_noise
from diagnostics.methods import METHODS
from diagnostics.run import Run

# "-seed3", "seed=3", "(seed 3)" anywhere in a name or a path; "-s3" at an end only, where it is
# a habit, and no part of a word.
_SEED = re.compile(r"[\s_.,(-]*\bseed\W{0,2}\d+\)?|[\s_.-]+s\d+$", re.IGNORECASE)
# What is derived from other settings and carries a digest of them, such as a folder of weights.
_DIGEST = re.compile(r"\b[0-9a-f]{12,}\b")


@dataclass(frozen=True)
class Group:
    """Runs that belong together: what they are called, and their places in the list of runs."""

    name: str
    members: tuple[int, ...]
    seeds: tuple[str, ...] = ()


def by_method(runs: Sequence[Run]) -> list[Group]:
    """Return the runs of each method, in the order of their first run."""
    return [
        Group(_title(runs[members[0]].method), tuple(members), _seeds(runs, members))
        for members in _grouped(runs, lambda run: run.method)
    ]


def by_setting(runs: Sequence[Run]) -> list[Group]:
    """Return the runs of each setting, whatever their seed, in the order of their first run.

    A setting is the configuration without seed, names and places. Where a log holds none, runs
    whose names differ in a seed only are taken for one setting.
    """
    groups = [
        Group(without_seed(runs[members[0]].name), tuple(members), _seeds(runs, members))
        for members in _grouped(runs, _setting)
    ]
    names = [group.name for group in groups]
    # Two settings of one name: the first member's own name tells which is which.
    return [
        group
        if names.count(group.name) == 1
        else Group(runs[group.members[0]].name, group.members, group.seeds)
        for group in groups
    ]


def without_seed(name: str) -> str:
    """Return a name without the seed in it.

    Examples
    --------
    >>> without_seed("dpo-b0.1-seed3"), without_seed("E2 plain (seed 0)"), without_seed("dpo")
    ('dpo-b0.1', 'E2 plain', 'dpo')
    """
    return _SEED.sub("", name).strip(" -_.,") or name


def _title(method: str | None) -> str:
    return METHODS[method].title if method in METHODS else method or "not known"


def _grouped(runs: Sequence[Run], key: Callable[[Run], Hashable]) -> list[list[int]]:
    found: dict[Hashable, list[int]] = {}
    for index, run in enumerate(runs):
        found.setdefault(key(run), []).append(index)
    return list(found.values())


def _setting(run: Run) -> Hashable:
    """Return what two runs share that differ in nothing but their seed."""
    known = {
        name: _DIGEST.sub("", without_seed(value)) if isinstance(value, str) else repr(value)
        for name, value in flat(run.config).items()
        if not is_noise(name) and name.rpartition(".")[2] not in SEEDS
    }
    # Without a configuration nobody knows what was the same: the names have to say it.
    name = "" if known else without_seed(run.name)
    return (run.method, name, tuple(sorted(known.items())))


def _seeds(runs: Sequence[Run], members: Sequence[int]) -> tuple[str, ...]:
    """Return the seeds of some runs, each once, in order."""
    found = []
    for index in members:
        run = runs[index]
        stated = run.header.get("seed", flat(run.config).get("seed"))
        named = re.search(r"seed\W{0,2}(\d+)", run.name, re.IGNORECASE)
        if isinstance(stated, int) and not isinstance(stated, bool):
            found.append(stated)
        elif named:
            found.append(int(named[1]))
    return tuple(map(str, sorted(set(found))))
