"""Facts about every preference method: what it needs, what its reward is, what it pulls on.

`METHODS` is knowledge, not ability: the dashboard may know a method that the trainer here cannot
train. Notation: z is the log-probability summed over a completion's n tokens (w chosen, l
rejected), Delta = z - z_ref, m = Delta_w - Delta_l; sigma is the logistic function; the other
Greek letters are those of the method's paper.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from diagnostics import gradient_weights as weights
from diagnostics import hyperparameters as settings
from diagnostics.gradient_weights import ORPO_CEILING, Hyper, PairState, Weigh, Weights
from diagnostics.hyperparameters import Hyperparameter

__all__ = ["METHODS", "ORPO_CEILING", "Hyperparameter", "Method", "PairState", "method"]


_RATES = "3e-7 to 1e-6 for all weights at 7 to 8B (searched in arXiv 2405.14734)"


@dataclass(frozen=True)
class Method:
    """One preference method; `rates` says which learning rates are in use, and by whom.

    `reward` defines the implicit reward in words, `reward_kind` names it for code ("beta*delta",
    "beta*logps_per_token", "beta*logps"); `logps_kind` is what the loss uses, "sum" or
    "per_token". `start` and `weigh` take complete hyper-parameters: call `start_loss` and
    `gradient_weights` instead, which fill in the defaults.
    """

    name: str
    title: str
    citation: str
    equation: str
    weigh: Weigh
    start: Callable[[Hyper], float | None]
    hyperparameters: tuple[Hyperparameter, ...]
    paired: bool = True
    reference: bool = True
    reward: str = "beta times the summed logratio of policy to reference."
    reward_kind: str = "beta*delta"
    logps_kind: str = "sum"
    remark: str = ""
    rates: str = _RATES
    aliases: tuple[str, ...] = ()

    def hyper(self, given: Hyper | None = None) -> dict[str, Any]:
        """Return the defaults overridden by `given`; None in `given` means not set."""
        defaults = {one.name: one.default for one in self.hyperparameters}
        return defaults | {name: v for name, v in (given or {}).items() if v is not None}

    def start_loss(self, hyper: Hyper | None = None) -> float | None:
        """Return the mean loss at policy == reference, without an SFT term.

        None for a method without a reference, whose start depends on the model. KTO's value is
        for as many desirable as undesirable examples.

        Examples
        --------
        >>> round(METHODS["dpo"].start_loss(), 4), METHODS["ipo"].start_loss({"beta": 0.5})
        (0.6931, 1.0)
        """
        return self.start(self.hyper(hyper))

    def gradient_weights(self, pairs: Sequence[PairState], hyper: Hyper | None = None) -> Weights:
        """Return (d_w, d_l) of every pair of one batch [loss units per nat], SFT term included.

        The batch matters: aot and aot_unpaired compare ranks, and a token-reduced SFT term
        divides by the tokens of the whole batch.

        Examples
        --------
        >>> start = PairState(z_w=-5.0, z_l=-7.0, ref_w=-5.0, ref_l=-7.0, n_w=4, n_l=6)
        >>> METHODS["dpo"].gradient_weights([start], {"beta": 0.1})
        [(0.05, 0.05)]
        """
        complete = self.hyper(hyper)
        sft = weights.sft_weights(pairs, complete)
        both = zip(self.weigh(pairs, complete), sft, strict=True)
        return [(d_w + extra, d_l) for (d_w, d_l), extra in both]


def _no_reference(hyper: Hyper) -> float | None:
    return None


def _always(value: float) -> Callable[[Hyper], float | None]:
    return lambda hyper: value


def _exo_start(hyper: Hyper) -> float | None:
    eps = float(hyper["label_smoothing"])
    return -math.log(2) - math.log(eps * (1 - eps)) / 2


_LOG_2 = _always(math.log(2))


_PER_TOKEN_REWARD = "beta times the mean log-prob per token."

_ALL = (
    Method(
        name="dpo",
        title="DPO",
        citation="Rafailov et al., arXiv 2305.18290, eq. 7",
        equation="-log sigma(beta m); cDPO: -(1-eps) log sigma(beta m) - eps log sigma(-beta m)",
        weigh=weights.on_margin(weights.smoothed),
        start=_LOG_2,
        hyperparameters=(settings.BETA, settings.DPO_SMOOTHING, *settings.sft()),
        remark="Smoothed, the margin shrinks once beta m exceeds log((1-eps)/eps).",
        aliases=("sigmoid", "cdpo"),
    ),
    Method(
        name="ipo",
        title="IPO",
        citation="Azar et al., arXiv 2310.12036, eq. 17, on per-token means",
        equation="(Delta_w/n_w - Delta_l/n_l - 1/(2 tau))^2",
        weigh=weights.each(weights.ipo),
        start=lambda hyper: 1 / (4 * hyper["beta"] ** 2),
        hyperparameters=(settings.TAU, *settings.sft()),
        logps_kind="per_token",
        remark="d_w/d_l is n_l/n_w; both turn negative past the target gap.",
    ),
    Method(
        name="hinge",
        title="SLiC hinge",
        citation="Zhao et al., arXiv 2305.10425, section 2, on logratios (arXiv 2309.06657)",
        equation="max(0, 1 - beta m)",
        weigh=weights.on_margin(weights.hinge),
        start=_always(1.0),
        hyperparameters=(settings.HINGE_BETA, *settings.sft()),
        aliases=("slic",),
    ),
    Method(
        name="robust",
        title="Robust DPO",
        citation="Chowdhury et al., arXiv 2403.00409, section 3.1",
        equation="[-(1-eps) log sigma(beta m) + eps log sigma(-beta m)] / (1 - 2 eps)",
        weigh=weights.on_margin(weights.robust),
        start=_LOG_2,
        hyperparameters=(settings.BETA, settings.ROBUST_SMOOTHING, *settings.sft()),
        remark="Unlike cDPO's, the weights never turn negative, and never vanish.",
        aliases=("rdpo", "robust_dpo"),
    ),
    Method(
        name="exo_pair",
        title="EXO",
        citation="Ji et al., arXiv 2402.00856, eq. 16",
        equation="KL of (sigma(beta m), sigma(-beta m)) from (1-eps, eps)",
        weigh=weights.on_margin(weights.exo),
        start=_exo_start,
        hyperparameters=(settings.BETA, settings.EXO_SMOOTHING, *settings.sft()),
        remark="Very wrong pairs hardly pull; past beta m = log((1-eps)/eps) the pull reverses.",
        aliases=("exo",),
    ),
    Method(
        name="nca_pair",
        title="NCA",
        citation="Chen et al., arXiv 2402.05369, section 4.1",
        equation="-log sigma(r_w) - (log sigma(-r_w) + log sigma(-r_l))/2 with r = beta Delta",
        weigh=weights.each(weights.nca),
        start=_always(2 * math.log(2)),
        hyperparameters=(settings.BETA, *settings.sft()),
        remark="The chosen reward is drawn to log 2, from either side.",
        aliases=("nca",),
    ),
    Method(
        name="bco_pair",
        title="BCO",
        citation="Jung et al., arXiv 2404.04656, section 4, without the reward shift",
        equation="-log sigma(beta Delta_w) - log sigma(-beta Delta_l)",
        weigh=weights.each(weights.bco),
        start=_always(2 * math.log(2)),
        hyperparameters=(settings.BETA, *settings.sft()),
        aliases=("bco",),
    ),
    Method(
        name="sppo_hard",
        title="SPPO",
        citation="Wu et al., arXiv 2405.00675, eq. 4.7 with hard labels",
        equation="(Delta_w - 1/(2 beta))^2 + (Delta_l + 1/(2 beta))^2",
        weigh=weights.each(weights.sppo),
        start=lambda hyper: 1 / (2 * hyper["beta"] ** 2),
        hyperparameters=(settings.SPPO_BETA, *settings.sft()),
        aliases=("sppo",),
    ),
    Method(
        name="aot",
        title="AOT",
        citation="Melnyk et al., arXiv 2406.05882, section 3, paired",
        equation="cDPO's loss on sorted(z_w - z_l) - sorted(ref_w - ref_l) of the batch",
        weigh=weights.aot,
        start=_LOG_2,
        hyperparameters=(settings.BETA, settings.SMOOTHING, *settings.sft()),
        remark="A pair's weight depends on its rank in the batch.",
    ),
    Method(
        name="aot_unpaired",
        title="AOT, unpaired",
        citation="Melnyk et al., arXiv 2406.05882, section 3, unpaired",
        equation="cDPO's loss on sorted(Delta_w) - sorted(Delta_l) of the batch",
        weigh=weights.aot_unpaired,
        start=_LOG_2,
        hyperparameters=(settings.BETA, settings.SMOOTHING, *settings.sft()),
        remark="Chosen and rejected of one rank are compared, whichever pairs they are from.",
        aliases=("aot_pair",),
    ),
    Method(
        name="apo_zero",
        title="APO-zero",
        citation="D'Oosterlinck et al., arXiv 2408.06266, eq. 7",
        equation="1 - sigma(beta Delta_w) + sigma(beta Delta_l)",
        weigh=weights.each(weights.apo_zero),
        start=_always(1.0),
        hyperparameters=(settings.BETA, *settings.sft()),
        remark="For chosen completions better than the model's own.",
    ),
    Method(
        name="apo_down",
        title="APO-down",
        citation="D'Oosterlinck et al., arXiv 2408.06266, eq. 8",
        equation="sigma(beta Delta_w) + 1 - sigma(beta m)",
        weigh=weights.each(weights.apo_down),
        start=_always(1.0),
        hyperparameters=(settings.BETA, *settings.sft()),
        remark="d_w starts at 0: both sides fall by design.",
    ),
    Method(
        name="discopop",
        title="DiscoPOP",
        citation="Lu et al., arXiv 2406.08414, eq. 5",
        equation="(1-v) (-log sigma(u)) + v e^-u with u = beta m and v = sigma(u/tau)",
        weigh=weights.on_margin(weights.discopop),
        start=_always((math.log(2) + 1) / 2),
        hyperparameters=(settings.BETA, settings.DISCOPOP_TAU, *settings.sft()),
        remark="Not monotone: the pull starts out reversed (-0.78 beta at tau 0.05); pairs with "
        "beta m below 1.4 tau drift to the local minimum at -2.4 tau.",
        aliases=("lrml",),
    ),
    Method(
        name="sigmoid_norm",
        title="Length-normalised DPO",
        citation="Lambert et al., arXiv 2411.15124",
        equation="-log sigma(beta (Delta_w/n_w - Delta_l/n_l))",
        weigh=weights.each(weights.sigmoid_norm),
        start=_LOG_2,
        hyperparameters=(settings.SIGMOID_NORM_BETA, *settings.sft()),
        logps_kind="per_token",
        remark="d_w/d_l is n_l/n_w.",
        aliases=("dpo_norm", "ln_dpo"),
    ),
    Method(
        name="kto",
        title="KTO",
        citation="Ethayarajh et al., arXiv 2402.01306, eq. 7",
        equation="lambda_D (1 - sigma(beta (Delta_w - z0))) for desirable, "
        "lambda_U (1 - sigma(beta (z0 - Delta_l))) for undesirable examples",
        weigh=weights.each(weights.kto),
        start=lambda hyper: (hyper["desirable_weight"] + hyper["undesirable_weight"]) / 4,
        hyperparameters=(
            settings.BETA,
            settings.DESIRABLE_WEIGHT,
            settings.UNDESIRABLE_WEIGHT,
            *settings.sft(trl=None),
        ),
        paired=False,
        rates="2 to 10 times DPO's: 5e-6 for all weights at 8B (arXiv 2402.01306, section 4.2)",
        remark="Keep lambda_D n_D / (lambda_U n_U) between 1 and 3/2; far from z0 nothing pulls.",
    ),
    Method(
        name="orpo",
        title="ORPO",
        citation="Hong et al., arXiv 2403.07691, eq. 4, 6 and 7",
        equation="lambda (-log sigma(log odds_w - log odds_l)) + NLL, odds = P/(1-P), P = e^(z/n)",
        weigh=weights.each(weights.orpo),
        start=_no_reference,
        hyperparameters=(
            settings.LAMBDA,
            *settings.sft(1.0, None, " TRL's ORPO fixes it at 1, over prompt and completion."),
        ),
        reference=False,
        reward=_PER_TOKEN_REWARD,
        reward_kind="beta*logps_per_token",
        logps_kind="per_token",
        rates="5e-6 to 8e-6 for all weights at 7B (arXiv 2403.07691, app. C), like SFT's",
        remark="At lambda 0.1 the SFT term outweighs the odds term: rejected rises with chosen.",
    ),
    Method(
        name="simpo",
        title="SimPO",
        citation="Meng et al., arXiv 2405.14734, eq. 6",
        equation="-log sigma(beta (z_w/n_w - z_l/n_l) - gamma)",
        weigh=weights.each(weights.simpo),
        start=_no_reference,
        hyperparameters=(
            settings.SIMPO_BETA,
            settings.GAMMA,
            settings.SMOOTHING,
            *settings.sft(
                0.0, "cpo_alpha", " TRL's SimPO adds it with weight 1 unless cpo_alpha is 0."
            ),
        ),
        reference=False,
        reward=_PER_TOKEN_REWARD,
        reward_kind="beta*logps_per_token",
        logps_kind="per_token",
        rates="3e-7 to 1e-6 for all weights at 7 to 8B; at 1e-5 it degenerates (the authors)",
        remark="d_w/d_l is n_l/n_w; without a reference, the learning rate alone limits the drift.",
    ),
    Method(
        name="cpo",
        title="CPO",
        citation="Xu et al., arXiv 2401.08417, eq. 3",
        equation="-log sigma(beta (z_w - z_l)) + NLL",
        weigh=weights.each(weights.cpo),
        start=_no_reference,
        hyperparameters=(settings.SCALE, settings.SMOOTHING, *settings.sft(1.0, "cpo_alpha")),
        reference=False,
        reward="beta times the summed log-prob.",
        reward_kind="beta*logps",
    ),
    Method(
        name="sft",
        title="SFT on chosen",
        citation="maximum likelihood",
        equation="NLL of the chosen completion; no preference term",
        weigh=weights.nothing,
        start=_no_reference,
        hyperparameters=(settings.REWARD_SCALE, *settings.sft(1.0)),
        reference=False,
        reward=_PER_TOKEN_REWARD,
        reward_kind="beta*logps_per_token",
        logps_kind="per_token",
        rates="",
        remark="The control of ORPO and of every SFT term: rejected usually rises too.",
    ),
)

METHODS: dict[str, Method] = {method.name: method for method in _ALL}

_BY_ALIAS = METHODS | {alias: one for one in _ALL for alias in one.aliases}


def method(name: str) -> Method:
    """Return the method of a name or alias; case and hyphens do not matter.

    Raises
    ------
    KeyError
        For a name that is not known; the message suggests the nearest one.

    Examples
    --------
    >>> method("sigmoid").name, method("APO-zero").name
    ('dpo', 'apo_zero')
    """
    plain = name.strip().lower().replace("-", "_")
    if plain in _BY_ALIAS:
        return _BY_ALIAS[plain]
    near = difflib.get_close_matches(plain, _BY_ALIAS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(METHODS)}"
    raise KeyError(f"no method is called {name!r}{hint}")
