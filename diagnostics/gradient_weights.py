"""How hard each loss pulls on a pair: its exact gradient on the two summed log-probs.

A weight is d_w = -d(sum of losses)/d z_w and d_l = +d(sum of losses)/d z_l: positive where chosen
is pushed up and rejected is pushed down [loss units per nat]. To first order chosen rises when
d_w/d_l exceeds cos(s_w, s_l) |s_l|/|s_w|, with s the gradients of z; rejected falls when it stays
below |s_l| / (|s_w| cos(s_w, s_l)). Notation as in `diagnostics.methods`, which is where to call
these from: `METHODS[name].gradient_weights(pairs, hyper)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Hyper = Mapping[str, Any]
Weights = list[tuple[float, float]]
Weigh = Callable[[Sequence["PairState"], Hyper], Weights]


@dataclass(frozen=True)
class PairState:
    """Where one pair stands: summed log-probs [nats], lengths [tokens] and KTO's z0 [nats].

    `sft_tokens` is the number of tokens that the SFT term averages over, where that is not the
    chosen completion alone (TRL's ORPO adds the prompt).
    """

    z_w: float
    z_l: float
    n_w: float
    n_l: float
    ref_w: float = 0.0
    ref_l: float = 0.0
    kl: float = 0.0
    sft_tokens: float | None = None

    @property
    def delta_w(self) -> float:
        """Chosen logratio [nats]."""
        return self.z_w - self.ref_w

    @property
    def delta_l(self) -> float:
        """Rejected logratio [nats]."""
        return self.z_l - self.ref_l


def _sigmoid(x: float) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    return math.exp(x) / (1 + math.exp(x))


def _log_sigmoid(x: float) -> float:
    return min(x, 0.0) - math.log1p(math.exp(-abs(x)))


def _bump(x: float) -> float:
    """Return sigma'(x), which vanishes on both sides."""
    return _sigmoid(x) * _sigmoid(-x)


def sft_weights(pairs: Sequence[PairState], hyper: Hyper) -> list[float]:
    """Return what sft_weight * NLL(chosen) adds to every d_w: g/n_w, or g B / sum(n_w)."""
    weight = float(hyper.get("sft_weight", 0.0))
    tokens = [max(p.n_w if p.sft_tokens is None else p.sft_tokens, 1.0) for p in pairs]
    if hyper.get("sft_reduction", "token") == "sequence":
        return [weight / n for n in tokens]
    return [weight * len(pairs) / max(sum(tokens), 1.0)] * len(pairs)


def each(one: Callable[[PairState, Hyper], tuple[float, float]]) -> Weigh:
    """Return the batch form of a loss whose pairs do not see each other."""

    def weigh(pairs: Sequence[PairState], hyper: Hyper) -> Weights:
        return [one(pair, hyper) for pair in pairs]

    return weigh


def on_margin(slope: Callable[[float, Hyper], float]) -> Weigh:
    """Return the weights of a loss f(u), u = beta m: d_w = d_l = -beta f'(u); `slope` is -f'."""

    def one(pair: PairState, hyper: Hyper) -> tuple[float, float]:
        beta = float(hyper["beta"])
        weight = beta * slope(beta * (pair.delta_w - pair.delta_l), hyper)
        return weight, weight

    return each(one)


def hinge(u: float, hyper: Hyper) -> float:
    """Return 1 short of the margin, 0 beyond."""
    return float(u < 1)


def smoothed(u: float, hyper: Hyper) -> float:
    """Return (1-eps) sigma(-u) - eps sigma(u), negative once u > log((1-eps)/eps)."""
    eps = float(hyper["label_smoothing"])
    return (1 - eps) * _sigmoid(-u) - eps * _sigmoid(u)


def robust(u: float, hyper: Hyper) -> float:
    """Return [(1-eps) sigma(-u) + eps sigma(u)] / (1-2 eps), never negative."""
    eps = float(hyper["label_smoothing"])
    return ((1 - eps) * _sigmoid(-u) + eps * _sigmoid(u)) / (1 - 2 * eps)


def exo(u: float, hyper: Hyper) -> float:
    """Return sigma'(u) (log((1-eps)/eps) - u)."""
    eps = float(hyper["label_smoothing"])
    return _bump(u) * (math.log((1 - eps) / eps) - u)


def discopop(u: float, hyper: Hyper) -> float:
    """Return the slope of the blend; negative between about -2.4 tau and 1.4 tau."""
    tau = float(hyper["discopop_tau"])
    mixed, rest = _sigmoid(u / tau), _sigmoid(-u / tau)
    # sigma(u/tau) e^-u as one exponential: the factors alone overflow for very negative u.
    exponential = math.exp(_log_sigmoid(u / tau) - u)
    turn = (exponential * rest + mixed * rest * _log_sigmoid(u)) / tau
    return rest * _sigmoid(-u) + exponential - turn


def _per_token(pull: float, pair: PairState) -> tuple[float, float]:
    return pull / max(pair.n_w, 1.0), pull / max(pair.n_l, 1.0)


def ipo(pair: PairState, hyper: Hyper) -> tuple[float, float]:
    """Return 2 (1/(2 tau) - a) / n with a the gap of per-token logratios."""
    gap = pair.delta_w / max(pair.n_w, 1.0) - pair.delta_l / max(pair.n_l, 1.0)
    return _per_token(2 * (1 / (2 * hyper["beta"]) - gap), pair)


def sigmoid_norm(pair: PairState, hyper: Hyper) -> tuple[float, float]:
    """Return beta sigma(-beta a) / n with a the gap of per-token logratios."""
    gap = pair.delta_w / max(pair.n_w, 1.0) - pair.delta_l / max(pair.n_l, 1.0)
    return _per_token(hyper["beta"] * _sigmoid(-hyper["beta"] * gap), pair)


def simpo(pair: PairState, hyper: Hyper) -> tuple[float, float]:
    """Return beta sigma(-u) / n with u = beta (z_w/n_w - z_l/n_l) - gamma."""
    gap = pair.z_w / max(pair.n_w, 1.0) - pair.z_l / max(pair.n_l, 1.0)
    return _per_token(hyper["beta"] * smoothed(hyper["beta"] * gap - hyper["gamma"], hyper), pair)


def cpo(pair: PairState, hyper: Hyper) -> tuple[float, float]:
    """Return beta sigma(-beta (z_w - z_l)), on both sides."""
    weight = hyper["beta"] * smoothed(hyper["beta"] * (pair.z_w - pair.z_l), hyper)
    return weight, weight


# Per-token log-probs nearer to 0 than this are float32 rounding; ORPO's log-odds stop here.
ORPO_CEILING = -1e-6


def orpo(pair: PairState, hyper: Hyper) -> tuple[float, float]:
    """Return lambda sigma(-log odds ratio) / (1-P) / n: hardest where P is near 1."""
    mean_w, mean_l = pair.z_w / max(pair.n_w, 1.0), pair.z_l / max(pair.n_l, 1.0)
    mean_w, mean_l = min(mean_w, ORPO_CEILING), min(mean_l, ORPO_CEILING)
    absent_w, absent_l = -math.expm1(mean_w), -math.expm1(mean_l)  # 1 - P
    pull = hyper["beta"] * _sigmoid(-(mean_w - mean_l - math.log(absent_w) + math.log(absent_l)))
    d_w, d_l = _per_token(pull, pair)
    return (
        d_w / absent_w if mean_w < ORPO_CEILING else 0.0,
        d_l / absent_l if mean_l < ORPO_CEILING else 0.0,
    )


def nca(pair: PairState, hyper: Hyper) -> tuple[float, float]:
    """Return beta (1 - 1.5 sigma(beta Delta_w)) and (beta/2) sigma(beta Delta_l)."""
    beta = hyper["beta"]
    chosen, rejected = beta * pair.delta_w, beta * pair.delta_l
    return beta * (1 - 1.5 * _sigmoid(chosen)), beta * 0.5 * _sigmoid(rejected)


def bco(pair: PairState, hyper: Hyper) -> tuple[float, float]:
    """Return beta sigma(-beta Delta_w) and beta sigma(beta Delta_l)."""
    beta = hyper["beta"]
    return beta * _sigmoid(-beta * pair.delta_w), beta * _sigmoid(beta * pair.delta_l)


def sppo(pair: PairState, hyper: Hyper) -> tuple[float, float]:
    """Return twice the distance of each logratio from its target +-1/(2 beta)."""
    target = 1 / (2 * hyper["beta"])
    return 2 * (target - pair.delta_w), 2 * (target + pair.delta_l)


def apo_zero(pair: PairState, hyper: Hyper) -> tuple[float, float]:
    """Return beta sigma'(beta Delta_w) and beta sigma'(beta Delta_l)."""
    beta = hyper["beta"]
    return beta * _bump(beta * pair.delta_w), beta * _bump(beta * pair.delta_l)


def apo_down(pair: PairState, hyper: Hyper) -> tuple[float, float]:
    """Return beta [sigma'(beta m) - sigma'(beta Delta_w)] and beta sigma'(beta m)."""
    beta = hyper["beta"]
    d_l = beta * _bump(beta * (pair.delta_w - pair.delta_l))
    return d_l - beta * _bump(beta * pair.delta_w), d_l


def kto(pair: PairState, hyper: Hyper) -> tuple[float, float]:
    """Return lambda_D beta sigma'(beta (Delta_w - z0)) and lambda_U beta sigma'(...Delta_l)."""
    beta = hyper["beta"]
    d_w = hyper["desirable_weight"] * beta * _bump(beta * (pair.delta_w - pair.kl))
    d_l = hyper["undesirable_weight"] * beta * _bump(beta * (pair.kl - pair.delta_l))
    return d_w, d_l


def _ranks(values: Sequence[float]) -> list[int]:
    ranks = [0] * len(values)
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        ranks[place] = rank
    return ranks


def aot(pairs: Sequence[PairState], hyper: Hyper) -> Weights:
    """Return cDPO's weight at the gap minus the reference gap of the same rank."""
    beta = hyper["beta"]
    gaps = [pair.z_w - pair.z_l for pair in pairs]
    ref_gaps = sorted(pair.ref_w - pair.ref_l for pair in pairs)
    excess = [gap - ref_gaps[rank] for gap, rank in zip(gaps, _ranks(gaps), strict=True)]
    return [(beta * smoothed(beta * x, hyper),) * 2 for x in excess]


def aot_unpaired(pairs: Sequence[PairState], hyper: Hyper) -> Weights:
    """Return cDPO's weight at the difference of the two logratios of one rank."""
    beta = hyper["beta"]
    chosen, rejected = [p.delta_w for p in pairs], [p.delta_l for p in pairs]
    excess = [w - r for w, r in zip(sorted(chosen), sorted(rejected), strict=True)]
    by_rank = [beta * smoothed(beta * x, hyper) for x in excess]
    ranks = zip(_ranks(chosen), _ranks(rejected), strict=True)
    return [(by_rank[rank_w], by_rank[rank_l]) for rank_w, rank_l in ranks]


def nothing(pairs: Sequence[PairState], hyper: Hyper) -> Weights:
    """Return zeros: SFT has no preference term."""
    return [(0.0, 0.0)] * len(pairs)
