"""Signs that a log does not behave like a noisy curve, each a ratio to the log's own noise."""

from __future__ import annotations

import numpy as np

from diagnostics.blocks import ENOUGH, Blocks
from diagnostics.intervals import Floats
from diagnostics.joinpoints import Fit

# Proposals of this project, measured in benchmarks/results/trends.md.
NOT_FINITE = 0.02  # of the points
SPIKES = 0.03  # of the points
MIN_COUNT = 3  # of either, and at the end of the log
JUMP = 3.0  # in the noise between one sixth of the run and the next
UNLIKELY = 2.5  # sd beyond which a jump is not chance
SIXTHS = 6
MIN_IN_SIXTH = 12  # points
SWING = 1.0  # sd of a swing in units of the noise of a logged point
NORMAL_MAD = 1.4826


def unstable(blocks: Blocks, fit: Fit, swing: tuple[float, float] | None) -> tuple[str, ...]:
    """Return one sentence for each sign of instability.

    `swing` holds the sd, in units of the blocks, and the cycles of a regular swing in the fit.
    """
    signs = (_gaps(blocks), _spikes(blocks), _jump(blocks, fit), _swing(blocks, swing))
    return tuple(sign for sign in signs if sign is not None)


def _gaps(blocks: Blocks) -> str | None:
    gaps = blocks.gaps
    count = int(gaps.sum())
    if _too_many(count, len(gaps), NOT_FINITE):
        return f"{count} of {len(gaps)} records are not finite"
    if len(gaps) >= MIN_COUNT and gaps[-MIN_COUNT:].all():
        run = int(np.argmin(gaps[::-1])) if not gaps.all() else len(gaps)
        return f"the last {run} records are not finite"
    return None


def _too_many(count: int, points: int, rate: float) -> bool:
    """Return whether a count is above its rate by more than chance (two sd of a Poisson count)."""
    expected = rate * points
    return count >= MIN_COUNT and count > expected + 2 * np.sqrt(expected)


def _spikes(blocks: Blocks) -> str | None:
    count, points = int(blocks.spikes.sum()), blocks.points
    if _too_many(count, points, SPIKES):
        return f"{count} of {points} records are spikes"
    return None


def noise_by_part(table: Floats, parts: int) -> Floats:
    """Return the noise sd (S, parts) of points in equal parts, from robust second differences."""
    bends = np.abs(np.diff(table, 2, axis=1)) / np.sqrt(6)
    size = bends.shape[1] // parts
    cut = bends[:, : size * parts].reshape(len(table), parts, size)
    cut = cut[:, :, :: max(1, size // ENOUGH)]
    return np.asarray(NORMAL_MAD * np.median(cut, axis=2))


def _jump(blocks: Blocks, fit: Fit) -> str | None:
    """Return the largest jump of the noise that neither movement nor interval explains."""
    points = blocks.points
    if points < SIXTHS * MIN_IN_SIXTH:
        return None
    noise = noise_by_part(blocks.table[:2], SIXTHS)
    size = points // SIXTHS
    steps = blocks.steps.astype(np.float64)
    lengths = np.array(
        [(steps[(i + 1) * size - 1] - steps[i * size]) / (size - 1) for i in range(SIXTHS)]
    )
    windows = np.sqrt(lengths / lengths.mean())
    moved = np.abs(np.diff(fit.fitted[:, :2], axis=0)).sum(axis=1).cumsum()
    centres = ((np.arange(SIXTHS) + 0.5) / SIXTHS * len(moved)).astype(int)
    so_far = np.maximum(moved[centres], 1e-12 * max(float(moved[-1]), 1e-300))
    grown = np.maximum(1.0, so_far[1:] / so_far[:-1])
    worst = 0.0
    for one in noise:
        scale = 0.02 * float(one.mean()) + 1e-300
        both = [values[1:] / values[:-1] for values in (one + scale, (one + scale) * windows)]
        up = np.minimum(*both) / grown
        down = np.minimum(*(1 / ratio for ratio in both))
        worst = max(worst, float(up.max()), float(down.max()))
    # The log of a ratio of two such sd of m points has an sd of about 1.8 / sqrt(m).
    if np.log(worst) > np.log(JUMP) + UNLIKELY * 1.8 / np.sqrt(size):
        return f"the noise changes {worst:.1f}-fold from one sixth of the run to the next"
    return None


def _swing(blocks: Blocks, swing: tuple[float, float] | None) -> str | None:
    if swing is None:
        return None
    size, cycles = swing
    noise = float(np.median(noise_by_part(blocks.table[:2], 1)))
    # In units of the floor 1 is the smallest change that counts.
    if size > SWING * noise and size > 0.5:
        return f"both sides swing {cycles:.1f} times over the run, more than their noise"
    return None
