"""Simulated reward logs whose truth is known: a path, what training does to it, what logging adds.

The path runs on the cumulative learning rate; a logged point is the path at the end of its window
plus noise. One draw holds everything that real logs do at once: noise shared by both sides, noise
that grows with movement, autocorrelation, heavy tails, outliers, gaps, resumes, changed logging
intervals. `SimulatedLog` carries the truth beside the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Generator = np.random.Generator

FLOOR = 0.05  # of the simulated series, in their own unit


@dataclass(frozen=True)
class Segment:
    """A stretch of the path up to the fraction `end` of the cumulative learning rate."""

    end: float
    chosen: float
    rejected: float
    shape: str = "linear"  # "exponential": time constant a quarter of the stretch; "smooth"


@dataclass(frozen=True)
class Nuisance:
    """What a log does beside the path; `noise` is the sd (rms over the run) of a logged point.

    `grows` is the share of the noise that grows with the movement so far, `correlation` that of
    both sides' noise, `phi` its autocorrelation between logged points, `tails` the degrees of
    freedom of Student's t (0: Gaussian). `outliers` and `missing` are fractions of the points,
    `uneven` what the logging interval is multiplied with in mid-run. `ema` is the weight of the
    past in an exponential mean, `burst` what the noise is multiplied with in a twelfth of the run
    and `louder` in its last third.
    `oscillation`, `wander` and `order` are the sd of a slow swing, of a random walk at its end
    and of a pattern that repeats in every one of `epochs`, in units of `noise`.
    """

    noise: float = 0.1
    grows: float = 0.0
    correlation: float = 0.5
    phi: float = 0.0
    tails: int = 0
    outliers: float = 0.0
    missing: float = 0.0
    resumes: int = 0
    uneven: float = 1.0
    ema: float = 0.0
    burst: float = 1.0
    louder: float = 1.0
    oscillation: float = 0.0
    wander: float = 0.0
    order: float = 0.0
    epochs: int = 5
    jump: float = 0.0
    walk: bool = False
    warmup: float = 0.0
    decay: str = "constant"  # or "cosine", "linear"
    interval: int = 1
    start: float = 0.0


@dataclass(frozen=True)
class SimulatedLog:
    """Steps in the order written, both sides, and the truth.

    `boundaries` holds the inner ends of the segments as fractions of the run's steps, `signs` the
    true directions (chosen, rejected) by segment and `changes` those of the whole run in numbers.
    """

    steps: Ints
    chosen: Floats
    rejected: Floats
    signs: tuple[tuple[int, int], ...]
    boundaries: tuple[float, ...]
    changes: tuple[float, float]
    segments: tuple[Segment, ...] = field(default=(), repr=False)

    @property
    def whole(self) -> tuple[int, int]:
        """The true directions over the whole run."""
        signs = [int(np.sign(one)) * (abs(one) >= FLOOR) for one in self.changes]
        return signs[0], signs[1]


FLAT = (Segment(1.0, 0.0, 0.0),)


def simulate(
    rng: Generator,
    points: int,
    segments: Iterable[Segment] = FLAT,
    nuisance: Nuisance | None = None,
) -> SimulatedLog:
    """Return one log of about `points` rows along `segments`."""
    segments, how = tuple(segments), nuisance or Nuisance()
    steps, windows = _steps(points, how)
    progress = _progress(steps / steps[-1], how)
    path = np.array([_path(progress, segments, side) for side in ("chosen", "rejected")])
    values = how.start + path + _noise(rng, path, windows, how)
    if how.ema:
        # As an export that began before the first row kept: no jump where the mean starts.
        lead = how.start + path[:, :1] + how.noise * rng.standard_normal((2, 200))
        both = np.concatenate([lead, values], axis=1)
        both = lfilter([1 - how.ema], [1, -how.ema], both - both[:, :1]) + both[:, :1]
        values = both[:, 200:]
    values = _missing(rng, _outliers(rng, values, how), how)
    grid = np.linspace(0, 1, 2001)
    inner = [float(np.interp(one.end, _progress(grid, how), grid)) for one in segments[:-1]]
    order = _rows(rng, points, how)
    return SimulatedLog(
        steps=steps[order],
        chosen=_rewritten(rng, values[0], order, how),
        rejected=_rewritten(rng, values[1], order, how),
        signs=tuple(_signs(one) for one in segments),
        boundaries=tuple(inner),
        changes=(sum(s.chosen for s in segments), sum(s.rejected for s in segments)),
        segments=segments,
    )


def noise_for(change: float, t: float, points: int, phi: float = 0.0) -> float:
    """Return the noise at which a linear `change` has the signal-to-noise t over the whole run.

    t = change / noise * sqrt(n_eff / 12), n_eff = points (1 - phi) / (1 + phi).
    """
    return float(abs(change) / t * np.sqrt(points * (1 - phi) / (1 + phi) / 12))


def _signs(one: Segment) -> tuple[int, int]:
    return tuple(int(np.sign(d)) * (abs(d) >= FLOOR) for d in (one.chosen, one.rejected))  # type: ignore[return-value]


def _steps(points: int, how: Nuisance) -> tuple[Ints, Floats]:
    """Return the logged steps and the length of each window relative to the usual one."""
    windows = np.ones(points)
    if how.uneven != 1:
        windows[points // 2 :] = how.uneven
    scale = how.interval / min(1.0, how.uneven)
    steps = np.cumsum(np.maximum(1, np.round(windows * scale))).astype(np.int64)
    return steps, windows


def _progress(time: Floats, how: Nuisance) -> Floats:
    """Return the cumulative learning rate, from 0 to 1, at fractions of the run."""
    grid = np.linspace(0, 1, 1001)
    rate = np.ones_like(grid)
    if how.decay == "cosine":
        rate = 0.5 * (1 + np.cos(np.pi * grid))
    elif how.decay == "linear":
        rate = 1 - grid
    if how.warmup:
        rate = rate * np.minimum(1, grid / how.warmup)
    total = np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2)])
    return np.asarray(np.interp(time, grid, total / total[-1]))


def _path(progress: Floats, segments: tuple[Segment, ...], side: str) -> Floats:
    path, begin = np.zeros_like(progress), 0.0
    for one in segments:
        inside = np.clip((progress - begin) / (one.end - begin), 0, 1)
        if one.shape == "exponential":
            inside = (1 - np.exp(-4 * inside)) / (1 - np.exp(-4))
        elif one.shape == "smooth":
            inside = inside * inside * (3 - 2 * inside)
        path += getattr(one, side) * inside
        begin = one.end
    return path


def _noise(rng: Generator, path: Floats, windows: Floats, how: Nuisance) -> Floats:
    points = path.shape[1]
    draws = rng.standard_normal((2, points + 50))
    if how.tails:
        draws = rng.standard_t(how.tails, (2, points + 50)) * np.sqrt((how.tails - 2) / how.tails)
    rho = how.correlation
    draws[1] = rho * draws[0] + np.sqrt(1 - rho * rho) * draws[1]
    if how.phi:
        draws = lfilter([np.sqrt(1 - how.phi**2)], [1, -how.phi], draws)
    draws = draws[:, 50:]
    if how.walk:
        draws = np.cumsum(draws, axis=1) / np.sqrt(points)
    moved = np.abs(np.diff(path, axis=1, prepend=0)).sum(axis=0).cumsum()
    growth = moved / moved.mean() if moved.any() else np.linspace(0, 2, points)
    scale = (1 - how.grows + how.grows * growth) / np.sqrt(windows)
    scale[2 * points // 3 :] *= how.louder
    if how.burst != 1:
        first = rng.integers(points // 10, 9 * points // 10)
        scale[first : first + max(2, points // 12)] *= how.burst
    scale /= np.sqrt(float(np.mean(scale * scale)) if how.burst == how.louder == 1 else 1.0)
    time = np.linspace(0, 1, points, endpoint=False)
    swing = np.zeros(points)
    if how.oscillation:
        swing += (
            how.oscillation
            * np.sqrt(2)
            * np.sin(2 * np.pi * (rng.uniform(2.5, 5) * time + rng.uniform()))
        )
    if how.order:
        swing += how.order * _pattern(rng, time * how.epochs)
    if how.wander:
        swing += how.wander * np.cumsum(rng.standard_normal(points)) / np.sqrt(points)
    if how.jump:
        swing += how.jump * np.floor(time * how.epochs)
    return how.noise * (draws * scale + swing)


def _pattern(rng: Generator, epochs: Floats) -> Floats:
    """Return a pattern of unit sd that repeats in every epoch: two harmonics, random phases."""
    first, second = rng.uniform(0, 2 * np.pi, 2)
    weight = rng.uniform(0, 0.7)
    wave = np.sin(2 * np.pi * epochs + first) + weight * np.sin(4 * np.pi * epochs + second)
    return np.asarray(wave / np.sqrt((1 + weight**2) / 2))


def _outliers(rng: Generator, values: Floats, how: Nuisance) -> Floats:
    if not how.outliers:
        return values
    hit = rng.random(values.shape[1]) < how.outliers
    size = rng.choice([-1, 1], values.shape) * rng.uniform(10, 20, values.shape)
    return values + hit * size * how.noise


def _missing(rng: Generator, values: Floats, how: Nuisance) -> Floats:
    if not how.missing:
        return values
    return np.where(rng.random(values.shape[1]) < how.missing, np.nan, values)


def _rows(rng: Generator, points: int, how: Nuisance) -> Ints:
    """Return the order in which rows were written: each resume writes a twentieth again."""
    order = np.arange(points)
    for _ in range(how.resumes):
        at = int(rng.integers(points // 5, points))
        place = int(np.flatnonzero(order == at)[-1])
        back = max(0, at - max(1, points // 20))
        order = np.concatenate([order[:place], np.arange(back, points)])
    return order


def _rewritten(rng: Generator, values: Floats, order: Ints, how: Nuisance) -> Floats:
    """Return the values by row; a row that is written again later has other noise."""
    written = values[order].copy()
    _, kept = np.unique(order[::-1], return_index=True)
    again = np.ones(len(order), dtype=bool)
    again[len(order) - 1 - kept] = False
    written[again] += how.noise * rng.standard_normal(int(again.sum()))
    return written


# The draws: clear cases, sequences of phases, unstable runs, nulls.

SIDES = {
    "ideal": (1, -1),
    "both_rise": (1, 1),
    "both_fall": (-1, -1),
    "reversed": (-1, 1),
    "chosen only": (1, 0),
    "rejected only": (0, -1),
    "flat": (0, 0),
}


def ordinary(rng: Generator, noise: float, phi: float | None = None) -> Nuisance:
    """Return a draw of what ordinary logs do, all at once."""
    return Nuisance(
        noise=noise,
        grows=float(rng.choice([0, 0.5, 0.8, 0.9])),
        correlation=float(rng.uniform(0.2, 0.8)),
        phi=float(rng.choice([0, 0.2, 0.3, 0.4])) if phi is None else phi,
        tails=int(rng.choice([0, 5, 3])),
        outliers=float(rng.choice([0, 0.005, 0.01])),
        missing=float(rng.choice([0, 0.005, 0.01])),
        resumes=int(rng.integers(0, 3)),
        uneven=float(rng.choice([1, 1, 1, 5, 0.2])),
        warmup=float(rng.choice([0, 0.03, 0.1])),
        decay=str(rng.choice(["constant", "linear", "cosine"])),
        interval=int(rng.integers(1, 51)),
        start=float(rng.choice([0.0, -1.5])),
    )


def clear_case(
    rng: Generator, sides: tuple[int, int], *, least: int = 40, most: int = 3000
) -> SimulatedLog:
    """Return a run whose regime is clear: t from 15 to 60 of its amplitude, everything else on."""
    points = int(np.exp(rng.uniform(np.log(least), np.log(most))))
    amplitude = float(np.exp(rng.uniform(np.log(0.3), np.log(3))))
    t = float(np.exp(rng.uniform(np.log(15), np.log(60))))
    how = ordinary(rng, 1.0)
    how = replace(how, noise=noise_for(amplitude, t, points, how.phi))
    chosen, rejected = (side * amplitude * float(rng.uniform(0.4, 1.5)) for side in sides)
    shape = str(rng.choice(["linear", "exponential", "smooth"]))
    return simulate(rng, points, [Segment(1.0, chosen, rejected, shape)], how)


SEQUENCES = {
    "rise then fall": ((1, -1), (-1, -1)),
    "delayed": ((0, 0), (1, -1)),
    "recover": ((-1, -1), (1, -1)),
    "three phases": ((1, 1), (1, -1), (-1, -1)),
    "ideal then flat": ((1, -1), (0, 0)),
}


def sequence(rng: Generator, signs: tuple[tuple[int, int], ...]) -> SimulatedLog:
    """Return a run of several clear phases, each at least a fifth of the run."""
    points = int(np.exp(rng.uniform(np.log(100), np.log(3000))))
    amplitude = float(np.exp(rng.uniform(np.log(0.5), np.log(3))))
    t = float(np.exp(rng.uniform(np.log(30), np.log(80))))
    how = ordinary(rng, 1.0)
    how = replace(how, noise=noise_for(amplitude, t, points, how.phi), warmup=0.0, decay="constant")
    cuts = np.cumsum(0.25 + (1 - 0.25 * len(signs)) * rng.dirichlet(np.ones(len(signs)) * 2))
    segments = [
        Segment(end, *(sign * amplitude * float(rng.uniform(0.6, 1.5)) for sign in pair))
        for end, pair in zip([*cuts[:-1], 1.0], signs, strict=True)
    ]
    return simulate(rng, points, segments, how)


UNSTABLE = ("gaps", "spikes", "swing", "noise")


def unstable_case(rng: Generator, kind: str) -> SimulatedLog:
    """Return an ordinary run with one thing badly wrong with it."""
    points = int(np.exp(rng.uniform(np.log(100), np.log(3000))))
    how = replace(ordinary(rng, 0.1), outliers=0.0, missing=0.0, grows=0.0, resumes=0, uneven=1.0)
    how = replace(how, noise=float(np.exp(rng.uniform(np.log(0.05), np.log(0.5)))))
    changed = {
        "gaps": {"missing": float(rng.uniform(0.08, 0.3))},
        "spikes": {"outliers": float(rng.uniform(0.06, 0.12))},
        "swing": {"oscillation": float(rng.uniform(2, 4))},
        "noise": {"louder": float(rng.uniform(8, 15))},
    }
    change = float(rng.choice([0.0, 1.0]))
    return simulate(rng, points, [Segment(1.0, change, -change)], replace(how, **changed[kind]))


def nulls() -> dict[str, Nuisance]:
    """Return what the logs of the null families do; their path is flat."""
    base = Nuisance(noise=0.1)
    return {
        "white": base,
        "AR .3": replace(base, phi=0.3),
        "AR .6": replace(base, phi=0.6),
        "AR .9": replace(base, phi=0.9),
        "t3": replace(base, tails=3),
        "variance x6": replace(base, grows=0.42),
        "burst": replace(base, burst=8.0),
        "outliers 1 %": replace(base, outliers=0.01),
        "gaps, resumes, uneven": replace(base, missing=0.01, resumes=2, uneven=5.0),
        "EMA .9": replace(base, ema=0.9),
        "wander": replace(base, wander=0.3 * FLOOR / 0.1),
        "periodic order": replace(base, order=0.3),
    }


def mixed_case(rng: Generator) -> SimulatedLog:
    """Return a run of any clearness, t from 0.5 to 60: what stated probabilities are checked on."""
    points = int(np.exp(rng.uniform(np.log(20), np.log(2000))))
    amplitude = float(np.exp(rng.uniform(np.log(0.05), np.log(3))))
    t = float(np.exp(rng.uniform(np.log(0.5), np.log(60))))
    how = ordinary(rng, 1.0, phi=float(rng.choice([0, 0.2, 0.3, 0.4, 0.6])))
    how = replace(how, noise=noise_for(amplitude, t, points, how.phi))
    sides = rng.choice([-1, 0, 1], 2) * amplitude * rng.uniform(0.4, 1.5, 2)
    shape = str(rng.choice(["linear", "exponential", "smooth"]))
    return simulate(rng, points, [Segment(1.0, float(sides[0]), float(sides[1]), shape)], how)
