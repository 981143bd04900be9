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

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import uniform_filter1d

from diagnostics.intervals import Flags, Floats, Ints

# Proposals of this project, measured in benchmarks/results/trends.md.
MAX_KNOTS = 4
PENALTY = 20.0  # a knot must raise twice the log-likelihood by this much
MIN_PIECE = 0.06  # of the run
MIN_BLOCKS = 5  # in a piece
PATIENCE = 2  # knots that may fail to help: a rise between two falls needs both its ends
MAX_CANDIDATES = 100
MAX_PHI = 0.98
WAVE_PENALTY = 40.0  # what a regular swing (eight coefficients and a frequency) must gain
MIN_FOR_SWING = 60  # points of the fit
MIN_CYCLES = 2.0  # of a regular swing: one rise and one fall are phases
MAX_CYCLES = 40.0
WAVE_PHI = 0.3  # autocorrelation from which a swing is looked for even where no knot was found
PRIOR = 5.0  # points that even noise is worth against a local estimate of it
PLAINEST = 0.04  # variance that the smoothest stretch may claim, as a part of the mean


@dataclass(frozen=True)
class Fit:
    """One continuous piecewise-linear fit; K points, S series, p coefficients.

    `knots` (k,) and `place` (K,) are on the same axis; `design` (K, p), `coefficients` (p, S),
    `residuals` (K, S) unweighted, `weights` (K,) inverse variances with mean 1. `phi` is the
    profiled autocorrelation; `loose_phi` the unbiased one with one knot more, where a bend too
    faint for a knot does not count as autocorrelation. `criterion` is twice the negative
    log-likelihood, penalty included.
    """

    knots: Floats
    place: Floats
    design: Floats
    coefficients: Floats
    residuals: Floats
    weights: Floats
    phi: float
    criterion: float
    loose_phi: float = 0.0

    @property
    def fitted(self) -> Floats:
        """The fitted values (K, S)."""
        return np.asarray(self.design @ self.coefficients)

    @property
    def extra(self) -> int:
        """The number of nuisance columns, which stand at the end of the design."""
        return int(self.design.shape[1]) - 2 - len(self.knots)

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
    phi, lowest = search.profile([])
    best: list[int] = []
    best_phi, chosen = phi, best
    loose = [search.unbiased_phi(best)]
    for _ in range(0 if search.straight else min(max_knots, len(place) // MIN_BLOCKS - 1)):
        more = search.grown(chosen, phi)
        if more is None:
            break
        chosen = more
        phi, criterion = search.profile(chosen)
        loose.append(search.unbiased_phi(chosen))
        if criterion < lowest:
            best, best_phi, lowest = chosen, phi, criterion
        elif len(chosen) >= len(best) + PATIENCE:
            break
    found = search.fit(best, lowest, best_phi)
    return replace(found, loose_phi=min(loose[len(best) : len(best) + 2]))


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
    grid = np.arange(MIN_CYCLES, most + 0.01, 0.25)
    best = float(grid[int(np.argmax(_power(plain.place, rest, grid)))])
    grid = np.maximum(MIN_CYCLES, best + np.arange(-0.2, 0.21, 0.05))
    return float(grid[int(np.argmax(_power(plain.place, rest, grid)))])


def _power(place: Floats, values: Floats, cycles: Floats) -> Floats:
    """Return the power of series (K, S) at each number of cycles, second harmonic included."""
    turned = np.exp(2j * np.pi * np.outer(place - place[0], cycles))
    power = np.zeros(len(cycles))
    # A little less for the second, or half the true number of cycles would do as well.
    for wave, worth in ((turned, 1.0), (turned * turned, 0.9)):
        power += worth * (np.abs((wave - wave.mean(axis=0)).T @ values) ** 2).sum(axis=1)
    return power


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
    if (bends <= (1e-12 * np.abs(values).max(axis=0)) ** 2).all():  # rounding, no noise
        return np.ones(count)
    mean = bends.mean(axis=0)
    bends = (bends / np.where(mean > 0, mean, 1.0)).mean(axis=1)
    if not bends.max() > 0:
        return np.ones(count)
    bends = np.minimum(bends, 50 * max(float(np.median(bends)), 0.1 * float(bends.mean())))
    window = max(15, count // 8)
    local = uniform_filter1d(np.pad(bends, 1, mode="edge"), window, mode="nearest")
    local = (window * local + PRIOR * local.mean()) / (window + PRIOR)
    weights = 1 / np.maximum(local / local.mean(), PLAINEST)
    return np.asarray(weights / weights.mean())


class _Search:
    """The candidate knots of one set of series, and the likelihood of any choice of them.

    Columns Z = (line, nuisance, hinges of all candidates, series), weighted. Everything is read
    off Z'Z and its lag-1 companion, so that a choice costs no pass over the points.
    """

    def __init__(
        self, place: Floats, values: Floats, nuisance: Floats | None, penalty: float
    ) -> None:
        count = len(place)
        self.place, self.values, self.penalty = place, values, penalty
        self.weights = noise_weights(values)
        extra = np.empty((count, 0)) if nuisance is None else nuisance
        line = np.column_stack([np.ones(count), place])
        self.extra, self.line = extra, line
        self.candidates = _candidates(place)
        self.hinges = np.maximum(0.0, place[:, None] - place[self.candidates][None, :])
        root = np.sqrt(self.weights)[:, None]
        # Without their line and in units of their spread: sums of squares then cancel little.
        bent = values - line @ np.linalg.lstsq(root * line, root * values, rcond=None)[0]
        scale = np.sqrt((self.weights[:, None] * bent * bent).mean(axis=0))
        size = np.maximum(np.abs(values).max(axis=0), 1e-290)
        self.straight = bool((scale <= 1e-9 * size).all())
        bent = bent / np.maximum(scale, 1e-12 * size)
        columns = root * np.column_stack([line, extra, self.hinges, bent])
        self.fixed = 2 + extra.shape[1]
        self.series = np.arange(columns.shape[1] - values.shape[1], columns.shape[1])
        self.squares = columns.T @ columns
        lagged = columns[1:].T @ columns[:-1]
        self.lagged = lagged + lagged.T
        self.ends = np.outer(columns[0], columns[0]) + np.outer(columns[-1], columns[-1])

    def whitened(self, phi: float) -> Floats:
        """Return Z'Z of the columns with AR(1) errors of coefficient phi made independent."""
        products = (1 + phi * phi) * self.squares - phi * self.lagged - phi * phi * self.ends
        return np.asarray(products)

    def profile(self, chosen: list[int]) -> tuple[float, float]:
        """Return the phi that fits the chosen candidates, and the penalised criterion there."""
        own = np.array([*range(self.fixed), *(self.fixed + one for one in sorted(chosen))])
        part = np.ix_(np.append(own, self.series), np.append(own, self.series))
        squares, lagged, ends = self.squares[part], self.lagged[part], self.ends[part]
        count, series = len(self.place), len(self.series)
        phi, deviance = 0.0, np.inf
        for _ in range(4):
            products = (1 + phi * phi) * squares - phi * lagged - phi * phi * ends
            size = len(own)
            solved = np.linalg.lstsq(products[:size, :size], products[:size, size:], rcond=None)[0]
            scatter = products[size:, size:] - products[:size, size:].T @ solved
            deviance = count * _log_det(scatter / count) - series * float(np.log(1 - phi * phi))
            error = np.concatenate([-solved, np.eye(series)])
            power = np.maximum(np.einsum("is,ij,js->s", error, squares, error), 1e-9)
            update = _bounded(
                float(np.mean(np.einsum("is,ij,js->s", error, lagged, error) / power) / 2)
            )
            if abs(update - phi) < 0.01:
                break
            phi = update
        return phi, deviance + self._price(len(chosen))

    def unbiased_phi(self, chosen: list[int]) -> float:
        """Return the residual autocorrelation beside the chosen candidates, without its bias.

        A knot whose place was sought takes two parameters.
        """
        own = np.array([*range(self.fixed), *(self.fixed + one for one in sorted(chosen))])
        part = np.ix_(np.append(own, self.series), np.append(own, self.series))
        squares, lagged, size = self.squares[part], self.lagged[part], len(own)
        solved = np.linalg.lstsq(squares[:size, :size], squares[:size, size:], rcond=None)[0]
        error = np.concatenate([-solved, np.eye(len(self.series))])
        power = np.maximum(np.einsum("is,ij,js->s", error, squares, error), 1e-9)
        phi = float(np.mean(np.einsum("is,ij,js->s", error, lagged, error) / power)) / 2
        return unbiased(phi, len(self.place), self.fixed + 2 * len(chosen))

    def fit(self, chosen: list[int], criterion: float, phi: float) -> Fit:
        """Return the fit with the chosen candidates."""
        chosen = sorted(chosen)
        design = np.column_stack([self.line, self.hinges[:, chosen], self.extra])
        root = np.sqrt(self.weights)[:, None]
        target = whitened(root * self.values, phi)
        coefficients = np.linalg.lstsq(whitened(root * design, phi), target, rcond=None)[0]
        return Fit(
            knots=self.place[self.candidates[chosen]],
            place=self.place,
            design=design,
            coefficients=np.asarray(coefficients, dtype=np.float64),
            residuals=self.values - design @ coefficients,
            weights=self.weights,
            phi=phi,
            criterion=criterion,
        )

    def _price(self, knots: int) -> float:
        """Return the penalty of a model, dearer where few points are left (as in AICc)."""
        room = len(self.place) - self.fixed - knots - len(self.series) - 1
        return float(self.penalty * knots * len(self.place) / max(1, room))

    def grown(self, chosen: list[int], phi: float) -> list[int] | None:
        """Return the chosen candidates with the best one added and all refined; None if full."""
        products = self.whitened(phi)
        added = self._best(chosen, products)
        if added is None:
            return None
        chosen = [*chosen, added]
        for _ in range(2):
            # What looked autocorrelated without the knot may not be so with it.
            products = self.whitened(self.profile(chosen)[0])
            before = sorted(chosen)
            for one in before:
                others = [other for other in chosen if other != one]
                found = self._best(others, products)
                chosen = [*others, one if found is None else found]
            if before == sorted(chosen):
                break
        return chosen

    def _best(self, chosen: list[int], products: Floats) -> int | None:
        """Return the candidate whose addition lowers the residual covariance most."""
        allowed = self._allowed(chosen)
        if not allowed.any():
            return None
        own = np.array([*range(self.fixed), *(self.fixed + one for one in chosen)])
        free = self.fixed + np.flatnonzero(allowed)
        rest = np.append(free, self.series)
        cross = products[np.ix_(own, rest)]
        solved = np.linalg.solve(products[np.ix_(own, own)], cross)
        hinges, series = cross[:, : len(free)], cross[:, len(free) :]
        whole = products[free, free]
        norms = whole - (hinges * solved[:, : len(free)]).sum(axis=0)
        gains = products[np.ix_(free, self.series)] - hinges.T @ solved[:, len(free) :]
        scatter = products[np.ix_(self.series, self.series)] - series.T @ solved[:, len(free) :]
        scatter = scatter + np.eye(len(scatter)) * (1e-9 * np.trace(scatter) + 1e-9)
        # det(A - u u') = det(A) (1 - u' A^-1 u): the best candidate has the largest u' A^-1 u.
        explained = (gains @ np.linalg.inv(scatter) * gains).sum(axis=1)
        explained /= np.maximum(norms, 1e-9 * whole)
        return int(np.flatnonzero(allowed)[int(np.argmax(explained))])

    def _allowed(self, chosen: list[int]) -> Flags:
        allowed = np.ones(len(self.candidates), dtype=bool)
        span = self.place[-1] - self.place[0]
        for one in chosen:
            at = self.candidates[one]
            allowed &= np.abs(self.candidates - at) >= MIN_BLOCKS
            allowed &= np.abs(self.place[self.candidates] - self.place[at]) >= MIN_PIECE * span
        return allowed


def _candidates(place: Floats) -> Ints:
    """Return the points that may be knots: none so near an end that the piece were too short."""
    inner = np.arange(MIN_BLOCKS - 1, len(place) - MIN_BLOCKS)
    if not len(inner):
        return inner
    inner = inner[:: max(1, -(-len(inner) // MAX_CANDIDATES))]
    near = np.minimum(place[inner] - place[0], place[-1] - place[inner])
    return np.asarray(inner[near >= MIN_PIECE * (place[-1] - place[0])])


def whitened(rows: Floats, phi: float) -> Floats:
    """Return rows (K, …) with AR(1) errors of coefficient phi made independent."""
    if phi == 0:
        return rows
    white = rows.copy()
    white[1:] -= phi * rows[:-1]
    white[0] *= np.sqrt(1 - phi * phi)
    return white


def _log_det(scatter: Floats) -> float:
    """Return the log-determinant of a covariance (S, S), bounded where rounding rules."""
    sign, value = np.linalg.slogdet(scatter + 1e-12 * np.eye(len(scatter)))
    return float(value) if sign > 0 else len(scatter) * float(np.log(1e-12))


def _bounded(phi: float) -> float:
    return min(MAX_PHI, max(0.0, phi))
