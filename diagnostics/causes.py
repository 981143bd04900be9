"""Causes: why both sides moved as they did, ranked, each with the numbers that speak for it.

A cause is only named where something in the log speaks for it. The order is by score, a
"Proposal of this project": 1 where a measurement predicts just what is seen, less where it is one
step removed (a property of the pairs that makes it likely), least where only a setting is known.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, nan

from diagnostics.entanglement import Measured
from diagnostics.intervals import number
from diagnostics.paircauses import fitted_before, lengths, off_policy, token_groups
from diagnostics.reading import Reading
from diagnostics.regimes import Regime
from diagnostics.verdicts import CONFIGURED, INDICATED, MEASURED, Cause, Evidence
from diagnostics.windows import curvature, hyper_number

# Proposals of this project.
SEVERE_CURVATURE = 0.5  # share of the first-order gain that one step loses
SMALL_SHARE = 0.35  # S_0 below which a chosen curve turned in pilot trainings
SFT_PART = 0.3  # of the pull on the chosen side that is the SFT term's
ALIKE = 0.9  # cosine of the two gradients


Explanation = Callable[[Reading, Regime], Cause | None]


def causes(reading: Reading) -> tuple[Cause, ...]:
    """Return why the run moved as it did, the best supported first; none for a healthy run."""
    regime = reading.regime.regime
    found = (explain(reading, regime) for explain in EXPLANATIONS.get(regime, ()))
    return tuple(sorted((one for one in found if one), key=lambda one: -one.score))


def unexplained(reading: Reading) -> str | None:
    """Return one sentence where a movement needs a cause and the log names none, else None."""
    regime = reading.regime.regime
    if regime not in EXPLANATIONS or causes(reading):
        return None
    if not reading.bands and reading.grid is None:
        return (
            "no cause can be named: the log holds neither gradients (entanglement probe) nor fixed "
            "pairs; both are measured by the trainer here, or by its callback in another one"
        )
    return "none of the causes that were measured for explains this movement"


# Gradients and the step.


def band(reading: Reading, regime: Regime) -> Cause | None:
    """Explain a movement that the weights and the geometry of the gradients already predict."""
    bands = reading.bands
    hits = [one for one in bands if one.band.regime == regime.value]
    if not hits:
        return None
    first = hits[0]
    edge, low = first.band.low, regime is Regime.BOTH_FALL
    if regime in (Regime.BOTH_RISE, Regime.BOTH_FALL):
        edge = first.band.low if low else first.band.high
        named = "the lower edge rho q*" if low else "the upper edge q*/rho"
        why = (
            f"q = {number(first.band.q)} lies {'below' if low else 'above'} {named} = "
            f"{number(edge)}, a ratio of weights: the {'rejected' if low else 'chosen'} gradient "
            "outweighs and overlaps the other one"
        )
    else:
        why = (
            f"q = {number(first.band.q)}, a ratio of weights, at rho = "
            f"{number(first.band.cosine)} and q* = {number(first.band.q_star)}: unequal weights on "
            "overlapping gradients lower the margin itself"
        )
        edge = first.band.high
    every = len(hits) / len(bands)
    return Cause(
        name="gradient_entanglement",
        sentence=f"gradient entanglement: {why} (first at step {first.step}, at {len(hits)} of "
        f"{len(bands)} evaluations)",
        evidence=(Evidence("incentive ratio q", first.band.q, "ratio of weights", edge),),
        score=0.5 + 0.5 * every,
        strength=MEASURED,
        settle="train a few steps with an SFT coefficient inside the safe window: the direction of "
        "the side should turn",
    )


def small_share(reading: Reading, regime: Regime) -> Cause | None:
    """Explain a fall that no overlap causes: the chosen side's share of the margin is small."""
    steps, shares = reading.column("entanglement/share", "evals")
    if not shares.size or not 0 <= shares[0] < SMALL_SHARE:
        return None
    return Cause(
        name="small_first_order_share",
        sentence=f"asymmetry: at step {steps[0]} the chosen side gains only "
        f"{100 * shares[0]:.0f} % of each nat of margin (S_0 = {number(shares[0])}, a fraction of "
        "margin), and drift, which grows with the square of the margin, soon takes more",
        evidence=(
            Evidence("first-order share S_0", float(shares[0]), "fraction of margin", SMALL_SHARE),
        ),
        score=0.55,
        strength=INDICATED,
        settle="a run that stops at a smaller margin: the chosen side should still be up there",
    )


def large_step(reading: Reading, regime: Regime) -> Cause | None:
    """Explain a movement by steps too large for their gradient to be followed."""
    found = curvature(reading)
    if found is None or not found.k > SEVERE_CURVATURE:
        return None
    turned = ", which turns a rise into a fall" if found.k > 1 else ""
    rate = "" if found.rate is None else f" at a learning rate of {found.rate:.2g}"
    return Cause(
        name="step_too_large",
        sentence=f"steps too large: at step {found.step} a real step{rate} lost "
        f"{100 * found.k:.0f} % of what the gradient promised the chosen side (curvature "
        f"{number(found.k)}, a fraction of first order){turned}",
        evidence=(Evidence("curvature", found.k, "fraction of first order", SEVERE_CURVATURE),),
        score=0.95 if found.k > 1 else 0.75,
        strength=MEASURED,
        settle="the same run at a third of the learning rate",
    )


def gradients_alike(reading: Reading, regime: Regime) -> Cause | None:
    """Explain a margin that does not grow by two gradients that cancel."""
    bands = reading.bands
    if not bands or not bands[0].band.cosine >= ALIKE:
        return None
    cosine = bands[0].band.cosine
    return Cause(
        name="gradients_alike",
        sentence=f"both sides are nearly one text to the model: their gradients have a cosine of "
        f"{number(cosine)}, so that pulling one up and the other down cancels",
        evidence=(Evidence("gradient cosine rho", cosine, "cosine", ALIKE),),
        score=0.8,
        strength=MEASURED,
        settle="the same run on the pairs with the smallest cosine",
    )


# The settings.


def sft_term(reading: Reading, regime: Regime) -> Cause | None:
    """Explain a rise of both sides by the weight of the SFT term, where it makes up most of q."""
    weight = hyper_number(reading, "sft_weight")
    if not weight > 0:
        return None
    name = "" if reading.method is None else reading.method.name
    bands = reading.bands
    share = _sft_share(reading, bands[0], weight) if bands else None
    if share is not None and share < SFT_PART:
        return None
    what = "SFT on chosen" if name == "sft" else "the SFT term"
    beside = f" beside lambda {hyper_number(reading, 'beta'):g}" if name == "orpo" else ""
    evidence = [Evidence("weight of the SFT term", weight, "coefficient")]
    pulled = ""
    if share is not None:
        evidence.append(Evidence("SFT term's part of d_w", share, "fraction", SFT_PART))
        pulled = f", {number(share)} as a fraction of the pull on chosen,"
    return Cause(
        name="sft_term",
        sentence=f"{what} (coefficient {weight:g}){beside}{pulled} pulls chosen up without pushing "
        "rejected down, and what both share rises with it",
        evidence=tuple(evidence),
        score=0.7 if share is not None else 0.4,
        strength=MEASURED if share is not None else CONFIGURED,
        settle="the same run with a smaller weight",
    )


def by_design(reading: Reading, regime: Regime) -> Cause | None:
    """Explain a fall of both sides by a loss that is made for it."""
    if reading.method is None or reading.method.name != "apo_down":
        return None
    return Cause(
        name="loss_lowers_both",
        sentence="APO-down starts with a pull of 0 (its d_w) on the chosen side: both fall by "
        "design",
        evidence=(Evidence("d_w at the start", 0.0, "pull"),),
        score=0.9,
        strength=CONFIGURED,
        settle="APO-zero, where chosen completions are better than the policy's own",
    )


EXPLANATIONS: dict[Regime, tuple[Explanation, ...]] = {
    Regime.BOTH_FALL: (
        *(by_design, band, large_step, fitted_before, small_share),
        *(off_policy, lengths, token_groups),
    ),
    Regime.BOTH_RISE: (sft_term, band, off_policy, lengths, token_groups),
    Regime.REVERSED: (large_step, band),
    Regime.MARGIN_LOSS: (large_step, band),
    Regime.FLAT: (gradients_alike,),
}


def _sft_share(reading: Reading, first: Measured, weight: float) -> float | None:
    """Return what part of the mean d_w the SFT term makes up at the first evaluation."""
    if reading.method is not None and not reading.method.paired:
        return None  # its term is a mean over another number of examples than the loss
    share = weight * first.pull / first.band.weight_chosen if first.band.weight_chosen > 0 else nan
    return float(min(share, 1.0)) if isfinite(share) else None
