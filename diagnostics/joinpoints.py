"""Continuous piecewise-linear fits of several series with shared knots. Arrays in, numbers out.

Both sides of a pair turn where the training turns, so their knots are sought together: the knots
maximise the Gaussian likelihood of all series, with the full covariance between series (what both
sides share cancels) and AR(1) errors whose coefficient is profiled for every number of knots, so
that a wandering series is not cut into pieces.

References
----------
- H.-J. Kim et al., "Permutation tests for joinpoint regression", Stat. Med. 19 (2000): the model.
- M. G. Kendall, Biometrika 41 (1954); F. H. C. Marriott and J. A. Pope, ibid.: the small-sample
  bias of an autocorrelation, `unbiased`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from diagnostics.intervals import Flags, Floats, Ints

# Proposals of this project, measured in benchmarks/results/trends.md.
MAX_KNOTS = 4
PENALTY = 20.0  # a knot must raise twice the log-likelihood by this much
MIN_PIECE = 0.06  # of the run
MIN_BLOCKS = 5  # in a piece
MAX_CANDIDATES = 100
MAX_PHI = 0.98
WAVE_PENALTY = 40.0  # what a regular swing (eight coefficients and a frequency) must gain
MIN_FOR_SWING = 60  # points of the fit
MIN_CYCLES = 2.0  # of a regular swing: one rise and one fall are phases
MAX_CYCLES = 40.0
WAVE_PHI = 0.3  # autocorrelation from which a swing is looked for even where no knot was found
PLAINEST = 0.04  # variance that the smoothest stretch may claim, as a part of the mean


@dataclass(frozen=True)
class Fit:
    """One continuous piecewise-linear fit; K points, S series, p coefficients.

    `knots` (k,) and `place` (K,) are on the same axis; `design` (K, p), `coefficients` (p, S),
    `residuals` (K, S) unweighted, `weights` (K,) inverse variances with mean 1. `phi` is the
    profiled autocorrelation; `criterion` twice the negative log-likelihood, penalty included.
    """

    knots: Floats
    place: Floats
    design: Floats
    coefficients: Floats
    residuals: Floats
    weights: Floats
    phi: float
    criterion: float

    @property
    def fitted(self) -> Floats:
        """The fitted values (K, S)."""
        return np.asarray(self.design @ self.coefficients)

    @property
    def extra(self) -> int:
        """The number of nuisance columns, which stand at the end of the design."""
        return self.design.shape[1] - 2 - len(self.knots)

    def row(self, place: float, nuisance: int = 0) -> Floats:
        """Return the design row (p,) at a place; the nuisance columns, at the end, are 0."""
        return np.concatenate(
            [[1.0, place], np.maximum(0.0, place - self.knots), np.zeros(nuisance)]
        )


def fit(
    place: Floats,
    values: Floats,
    *,
    nuisance: Floats | None = None,
    max_knots: int = MAX_KNOTS,
    penalty: float = PENALTY,
) -> Fit:
    """Return the best fit of 0 to `max_knots` shared knots to `values` (K, S).

    `nuisance` (K, q) holds columns that every fit contains beside the line. Needs K >= 4.
    """
    search = _Search(place, values, nuisance, penalty)
    best = search.model([])
    chosen: list[int] = []
    for _ in range(min(max_knots, len(place) // MIN_BLOCKS - 1)):
        more = search.grown(chosen)
        if more is None:
            break
        chosen = more
        candidate = search.model(chosen)
        if candidate.criterion < best.criterion:
            best = candidate
    return best


def waves(place: Floats, cycles: float) -> Floats:
    """Return sine and cosine of `cycles` swings over the run, and of twice as many (K, 4)."""
    angle = 2 * np.pi * cycles * (place - place[0]) / max(float(place[-1] - place[0]), 1e-300)
    return np.column_stack([np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)])


def fit_with_swing(place: Floats, values: Floats) -> tuple[Fit, float | None]:
    """Return the best fit, and the cycles of a regular swing where one explains more than knots.

    Data that come in the same order in every epoch swing the log with the epochs. Such a swing is
    no phase of training; it is fitted beside the line, and has to repeat.
    """
    plain = fit(place, values)
    most = min(MAX_CYCLES, len(place) / 8)
    seen = len(plain.knots) > 0 or plain.phi > WAVE_PHI
    if len(place) < MIN_FOR_SWING or not seen:
        return plain, None
    cycles = _strongest_cycles(plain, values, most)
    swinging = fit(place, values, nuisance=waves(place, cycles), max_knots=MAX_KNOTS - 1)
    room = len(place) - swinging.design.shape[1] - values.shape[1] - 1
    price = WAVE_PENALTY * len(place) / max(1, room)
    if swinging.criterion + price < plain.criterion:
        return swinging, cycles
    return plain, None


def _strongest_cycles(plain: Fit, values: Floats, most: float) -> float:
    """Return the number of cycles whose first two harmonics explain most beside a line."""
    line = plain.design[:, :2]
    rest = values - line @ np.linalg.lstsq(line, values, rcond=None)[0]
    rest = rest / np.maximum(rest.std(axis=0), 1e-300)
    grid = np.arange(MIN_CYCLES, most + 0.01, 0.1)
    angle = 2 * np.pi * np.outer(plain.place - plain.place[0], grid)
    power = np.zeros(len(grid))
    for harmonic in (1, 2):
        turned = np.exp(1j * harmonic * angle)
        turned = turned - turned.mean(axis=0)
        power += (np.abs(turned.conj().T @ rest) ** 2).sum(axis=1)
    return float(grid[int(np.argmax(power))])


def unbiased(phi: float, points: float, parameters: int) -> float:
    """Return an autocorrelation without the bias that `parameters` fitted terms give it.

    E[phi hat] = phi - (p + (p + 2) phi) / K: Kendall for a mean (p = 1), and what a trend adds.
    """
    room = points - parameters - 2
    return (points * phi + parameters) / room if room > 0 else 1.0


def autocorrelation(residuals: Floats, weights: Floats) -> float:
    """Return the lag-1 autocorrelation of weighted residuals (K, S), pooled over the series."""
    scaled = residuals * np.sqrt(weights)[:, None]
    power = np.maximum((scaled * scaled).sum(axis=0), 1e-300)
    lagged = (scaled[1:] * scaled[:-1]).sum(axis=0)
    return float(np.mean(lagged / power))


def noise_weights(values: Floats) -> Floats:
    """Return inverse local variances (K,), mean 1, from second differences of all series.

    Second differences see neither level nor slope, so a bend is not taken for noise.
    """
    count = len(values)
    if count < 12:
        return np.ones(count)
    bends = np.diff(values, 2, axis=0) ** 2
    mean = bends.mean(axis=0)
    bends = (bends / np.where(mean > 0, mean, 1.0)).mean(axis=1)
    if not bends.max() > 0:
        return np.ones(count)
    bends = np.minimum(bends, 50 * max(float(np.median(bends)), 0.1 * float(bends.mean())))
    local = uniform_filter1d(np.pad(bends, 1, mode="edge"), max(9, count // 8), mode="nearest")
    weights = 1 / np.maximum(local / local.mean(), PLAINEST)
    return np.asarray(weights / weights.mean())


class _Search:
    """The candidate knots of one set of series, and the likelihood of any choice of them."""

    def __init__(
        self, place: Floats, values: Floats, nuisance: Floats | None, penalty: float
    ) -> None:
        count = len(place)
        self.place, self.values, self.penalty = place, values, penalty
        self.weights = noise_weights(values)
        self.root = np.sqrt(self.weights)[:, None]
        self.nuisance = np.empty((count, 0)) if nuisance is None else nuisance
        self.plain = np.column_stack([np.ones(count), place])
        inner = np.arange(MIN_BLOCKS - 1, count - MIN_BLOCKS)
        if len(inner):
            inner = inner[:: max(1, -(-len(inner) // MAX_CANDIDATES))]
            span = place[-1] - place[0]
            near = np.minimum(place[inner] - place[0], place[-1] - place[inner])
            inner = inner[near >= MIN_PIECE * span]
        self.candidates: Ints = inner
        self.hinges = np.maximum(0.0, place[:, None] - place[inner][None, :])

    def model(self, chosen: list[int]) -> Fit:
        """Return the fit with the chosen candidates; its phi maximises the likelihood."""
        design = np.column_stack([self.plain, self.hinges[:, sorted(chosen)], self.nuisance])
        basis, target = self.root * design, self.root * self.values
        phi, deviance = 0.0, np.inf
        coefficients = np.zeros((design.shape[1], self.values.shape[1]))
        for _ in range(4):
            coefficients = np.linalg.lstsq(whitened(basis, phi), whitened(target, phi), rcond=None)[
                0
            ]
            rest = target - basis @ coefficients
            deviance = _deviance(rest, phi)
            update = _bounded(autocorrelation(rest, np.ones(len(rest))))
            if abs(update - phi) < 0.01:
                break
            phi = update
        return Fit(
            knots=self.place[self.candidates[sorted(chosen)]] if chosen else np.empty(0),
            place=self.place,
            design=design,
            coefficients=coefficients,
            residuals=self.values - design @ coefficients,
            weights=self.weights,
            phi=phi,
            criterion=deviance + self._price(len(chosen), design.shape[1]),
        )

    def _price(self, knots: int, parameters: int) -> float:
        """Return the penalty of a model, dearer where few points are left (as in AICc)."""
        room = len(self.place) - parameters - self.values.shape[1] - 1
        return self.penalty * knots * len(self.place) / max(1, room)

    def grown(self, chosen: list[int]) -> list[int] | None:
        """Return the chosen candidates with the best one added and all refined; None if full."""
        phi = self.model(chosen).phi
        for attempt in range(2):
            whitened = self._whitened(phi)
            if attempt == 0:
                added = self._best(chosen, whitened)
                if added is None:
                    return None
                chosen = [*chosen, added]
            for _ in range(2 if len(chosen) > 1 else attempt):
                before = list(chosen)
                for one in before:
                    others = [other for other in chosen if other != one]
                    found = self._best(others, whitened)
                    chosen = [*others, one if found is None else found]
                if sorted(before) == sorted(chosen):
                    break
            phi = self.model(chosen).phi
        return chosen

    def _whitened(self, phi: float) -> tuple[Floats, Floats, Floats]:
        fixed = np.column_stack([self.plain, self.nuisance])
        parts = (fixed, self.hinges, self.values)
        base, hinges, values = (whitened(self.root * part, phi) for part in parts)
        return base, hinges, values

    def _best(self, chosen: list[int], whitened: tuple[Floats, Floats, Floats]) -> int | None:
        """Return the candidate whose addition lowers the residual covariance most."""
        base, hinges, values = whitened
        allowed = self._allowed(chosen)
        if not allowed.any():
            return None
        basis, _ = np.linalg.qr(np.column_stack([base, hinges[:, chosen]]))
        rest = values - basis @ (basis.T @ values)
        free = hinges[:, allowed]
        free = free - basis @ (basis.T @ free)
        norms = (free * free).sum(axis=0)
        gains = free.T @ rest / np.sqrt(np.maximum(norms, 1e-12))[:, None]
        scatter = rest.T @ rest
        scatter = scatter + np.eye(len(scatter)) * (1e-12 * np.trace(scatter) + 1e-300)
        # det(A - u u') = det(A) (1 - u' A^-1 u): the best candidate has the largest u' A^-1 u.
        explained = np.einsum("cs,cs->c", gains @ np.linalg.pinv(scatter), gains)
        return int(np.flatnonzero(allowed)[int(np.argmax(explained))])

    def _allowed(self, chosen: list[int]) -> Flags:
        allowed = np.ones(len(self.candidates), dtype=bool)
        span = self.place[-1] - self.place[0]
        for one in chosen:
            at = self.candidates[one]
            allowed &= np.abs(self.candidates - at) >= MIN_BLOCKS
            allowed &= np.abs(self.place[self.candidates] - self.place[at]) >= MIN_PIECE * span
        return allowed


def whitened(rows: Floats, phi: float) -> Floats:
    """Return rows (K, …) with AR(1) errors of coefficient phi made independent."""
    if phi == 0:
        return rows
    white = rows.copy()
    white[1:] -= phi * rows[:-1]
    white[0] *= np.sqrt(1 - phi * phi)
    return white


def _deviance(rest: Floats, phi: float) -> float:
    """Return twice the negative profile log-likelihood of residuals (K, S), up to a constant."""
    count, series = rest.shape
    white = whitened(rest, phi)
    scatter = white.T @ white / count
    floor = 1e-24 * (float(np.trace(rest.T @ rest)) / count + 1e-290)
    _, log_det = np.linalg.slogdet(scatter + floor * np.eye(series))
    return float(count * log_det - series * np.log(1 - phi * phi))


def _bounded(phi: float) -> float:
    return min(MAX_PHI, max(0.0, phi))
