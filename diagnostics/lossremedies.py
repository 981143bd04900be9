"""Remedies in the loss: the SFT term, the weights of both sides, another loss."""

from __future__ import annotations

from math import isfinite, sqrt

from diagnostics.flags import flags, rounded
from diagnostics.flips import find, too_little
from diagnostics.intervals import number
from diagnostics.paircauses import length_ratio
from diagnostics.reading import Reading
from diagnostics.remedies import STEP, method_name, setting
from diagnostics.verdicts import Advice
from diagnostics.windows import Window, decisive, hyper_number, odds_weight, sft_weight

# What published runs add: Llama 3.1 0.2 (arXiv 2407.21783), RPO 0.25 to 2 (arXiv 2404.19733).
PUBLISHED_SFT = 0.2
PUBLISHED_SFT_RANGE = (0.2, 2.0)
LONGER = 1.2  # mean rejected over mean chosen length; proposal of this project
PROBE_HINT = (
    "the trainer here, or its callback in another one, measures the safe window with the "
    "entanglement probe"
)
SFT_EXPECTED = (
    "chosen stops falling above the lower end; rejected starts to rise above the upper one; drift "
    "on other text may grow"
)
SFT_RISK = (
    "a term that is too large lifts the rejected side too; SimPO with it lost on chat while "
    "gaining on mathematics"
)
SFT_SOURCE = (
    "arXiv 2410.08847, Proposition 1 and table 16; arXiv 2404.19733 (DPO 61.8, with it 73.1 on "
    "GSM8K); window: arXiv 2410.13828, equations 4 and 5"
)


def add_sft_term(reading: Reading) -> Advice | None:
    """Return the SFT coefficient that keeps chosen from falling and rejected from rising."""
    name = method_name(reading)
    if name in ("sft", "orpo"):
        return None
    present = _present_sft(reading)
    token, sequence = (sft_weight(reading, reduction) for reduction in ("token", "sequence"))
    if token is None or sequence is None:
        if decisive(reading) is not None:
            return None  # measured, and no coefficient keeps rejected from rising
        return _published_sft(reading, present)
    own = token if _own_reduction(reading) == "token" else sequence
    value = _inside(own, present)
    if value is None:
        return None
    scale = value / own.high if isfinite(own.high) else value / max(own.low, 1e-12)
    both = [w.high * scale if isfinite(w.high) else w.low * scale for w in (token, sequence)]
    return Advice(
        action=f"set the SFT coefficient to {rounded(value):g} (now {present:g}): from the "
        f"gradients at step {own.step}, chosen rises and rejected falls {_between(own)}, as the "
        f"mean over {_OVER[_own_reduction(reading)]}; {_between(sequence)} as the mean over "
        "completions, LLaMA-Factory's reduction",
        strength="A",
        expected=SFT_EXPECTED,
        risk=SFT_RISK,
        source=SFT_SOURCE,
        setting="sft_weight",
        window=(own.low, own.high),
        flags=_sft_flags(name, rounded(both[0]), rounded(both[1])),
    )


_OVER = {"token": "tokens", "sequence": "completions"}


def _between(window: Window) -> str:
    if not isfinite(window.high):
        return f"above {rounded(window.low):g}"
    return f"from {rounded(window.low):g} to {rounded(window.high):g}"


def _inside(window: Window, present: float) -> float | None:
    """Return a coefficient above the present one and inside the window, None if there is none.

    Where the present one is inside already and a fall was seen all the same, half of what is left.
    """
    low = max(window.low, present)
    if not isfinite(window.high):
        return 2 * low if low > 0 else PUBLISHED_SFT
    if low >= window.high:
        return None
    return sqrt(low * window.high) if low > 0 else window.high / 2


def _published_sft(reading: Reading, present: float) -> Advice | None:
    low, high = PUBLISHED_SFT_RANGE
    value = PUBLISHED_SFT if present < low else min(high, present * STEP)
    if value <= present:
        return None
    return Advice(
        action=f"raise the SFT coefficient to {value:g} (now {present:g}) and watch both sides; "
        f"published runs use {low:g} to {high:g}, and {PROBE_HINT}",
        strength="A",
        expected=SFT_EXPECTED,
        risk=SFT_RISK,
        source=f"{SFT_SOURCE}; arXiv 2407.21783 (0.2)",
        setting="sft_weight",
        flags=_sft_flags(method_name(reading), value, value),
    )


def less_sft(reading: Reading) -> Advice | None:
    """Return a smaller SFT coefficient, below what lifts the rejected side."""
    name, present = method_name(reading), _present_sft(reading)
    if name in ("sft", "orpo") or not present > 0:
        return None
    token, sequence = (sft_weight(reading, one, falling=False) for one in ("token", "sequence"))
    own = token if _own_reduction(reading) == "token" else sequence
    measured = own is not None and own.high < present
    value = own.centre if own is not None and measured else present / STEP
    if own is not None and measured:
        why = f": from the gradients at step {own.step}, rejected falls below {rounded(own.high):g}"
    else:
        why = f", as a search step; {PROBE_HINT}"
    ratio = value / present
    others = [value, value]
    if token is not None and sequence is not None and token.high > 0 and isfinite(token.high):
        per = {"token": token.high, "sequence": sequence.high}
        scale = value / per[_own_reduction(reading)]
        others = [per["token"] * scale, per["sequence"] * scale]
    return Advice(
        action=f"lower the SFT coefficient from {present:g} to {rounded(value):g}{why}",
        strength="B" if measured else "D",
        expected="rejected stops rising, chosen rises less, drift towards the chosen text shrinks",
        risk="too small a term lets the chosen side fall",
        source="arXiv 2403.07691, appendix E.1 (ORPO's weight); window: arXiv 2410.13828",
        setting="sft_weight",
        window=(own.low, own.high) if own is not None and measured else None,
        flags=_sft_flags(name, rounded(others[0]), rounded(others[1])) if ratio < 1 else {},
    )


def _present_sft(reading: Reading) -> float:
    value = hyper_number(reading, "sft_weight", 0.0)
    return value if value > 0 else 0.0


def _own_reduction(reading: Reading) -> str:
    return "sequence" if reading.hyper.get("sft_reduction") == "sequence" else "token"


def _sft_flags(name: str | None, token: float, sequence: float) -> dict[str, str]:
    """Return the SFT coefficient in each framework's own reduction."""
    trl: dict[str, object] | None
    if name in ("cpo", "simpo"):
        trl = {"loss_type": "simpo" if name == "simpo" else "sigmoid", "cpo_alpha": token}
    elif name in ("kto", "orpo", "sft", None):
        trl = None
    else:
        trl = {"loss_type": [_TRL_LOSS.get(name, name), "sft"], "loss_weights": [1.0, token]}
    return flags(
        name,
        trl=trl,
        llamafactory={"pref_ftx": sequence},
        seesaw={"sft_weight": token, "sft_reduction": "token"},
    )


_TRL_LOSS = {"dpo": "sigmoid"}  # TRL's name where it is not the one here


def odds_lambda(reading: Reading) -> Advice | None:
    """Return ORPO's lambda: enough for rejected to fall, not so much that chosen does."""
    if method_name(reading) != "orpo":
        return None
    window, now = odds_weight(reading), setting(reading, "beta")
    if window is not None and isfinite(window.centre) and window.centre > 0:
        value = window.centre
        ends = f"above {rounded(window.low):g}"
        ends += f" and below {rounded(window.high):g}" if isfinite(window.high) else ""
        action = (
            f"set ORPO's lambda to {rounded(value):g}: from the gradients at step {window.step}, "
            f"rejected falls and chosen rises {ends}"
        )
    else:
        value = 0.5
        action = (
            "set ORPO's lambda to 0.5 (0.1 lifted the rejected side, 1.0 lowered both in the "
            f"paper's own runs); {PROBE_HINT}"
        )
        if now is not None and now >= value:
            return None
    return Advice(
        action=action,
        strength="B",
        expected="rejected falls once lambda is above the lower end; chosen rises less; drift "
        "grows with the margin",
        risk="lambda 1.0 lowered both sides in the paper's appendix",
        source="arXiv 2403.07691, appendix E.1, figure 9",
        setting="beta",
        window=None if window is None else (window.low, window.high),
        flags=flags(
            "orpo",
            trl={"beta": rounded(value)},
            llamafactory={"pref_beta": rounded(value)},
            seesaw={"beta": rounded(value)},
        ),
    )


def normalise_by_length(reading: Reading) -> Advice | None:
    """Return a length-normalised loss, where rejected completions are the longer ones."""
    ratio, where = length_ratio(reading)
    if reading.method is None or reading.method.logps_kind != "sum" or not reading.method.paired:
        return None
    if ratio is None or not ratio > LONGER:
        return None
    return Advice(
        action=f"normalise by length: rejected completions are {number(ratio)} times as long as "
        f"chosen ones {where}, and per token the chosen side is pulled that much harder (q = "
        "n_l/n_w)",
        strength="B",
        expected="chosen falls less or rises, rejected falls less per completion; drift per token "
        "depends on the new beta",
        risk="where chosen is the longer side it does the opposite; beta has another scale (5 in "
        "the paper)",
        source="arXiv 2411.15124, table 18 (57.3 against DPO's 55.2)",
        setting="method",
        flags=flags(
            "sigmoid_norm",
            trl={"loss_type": ["sigmoid_norm"], "beta": 5.0},
            seesaw={"method": "sigmoid_norm", "beta": 5.0},
        ),
    )


def weigh_the_tail_less(reading: Reading) -> Advice | None:
    """Return LD-DPO's weight on the tail of the longer side, where length earns the reward."""
    if method_name(reading) not in ("dpo", None):
        return None
    return Advice(
        action="weigh the tokens beyond the shorter side's length by half (LD-DPO's alpha, between "
        "0 and 1, as a first trial), or balance the lengths of the pairs",
        strength="C",
        expected="generated text stops growing; chosen and rejected change less at their ends; "
        "drift shrinks with the margin",
        risk="real quality that takes length is lost with it",
        source="arXiv 2409.06411 (10 to 40 % shorter); arXiv 2403.19159 (a length term, 15 to 20 % "
        "better at equal length)",
        setting="ld_alpha",
        window=(0.0, 1.0),
        flags=flags("dpo", trl={"ld_alpha": 0.5}, llamafactory={"ld_alpha": 0.5}),
    )


def bounded_target(reading: Reading) -> Advice | None:
    """Return a loss whose margin has a finite target."""
    if method_name(reading) not in ("dpo", "hinge", "robust", None):
        return None
    return Advice(
        action="use a loss with a bounded target, IPO for one: it stops pulling at a margin of "
        "1/(2 tau) per token",
        strength="B",
        expected="chosen and rejected stop at the target instead of running on, and drift with "
        "them",
        risk="weaker chat scores in some comparisons; tau has another scale than DPO's beta",
        source="arXiv 2406.02900 (IPO over-optimises least); arXiv 2402.05369 (NCA)",
        setting="method",
        flags=flags("ipo", trl={"loss_type": ["ipo"]}, seesaw={"method": "ipo"}),
    )


def expect_flips(reading: Reading) -> Advice | None:
    """Return label smoothing by the share of pairs that move against their labels."""
    name = method_name(reading)
    if name not in ("dpo", "robust", None):
        return None
    grid = reading.grid
    share = None
    if grid is not None and too_little(grid) is None:
        share = find(grid).count / len(grid.pairs)
    value = rounded(min(max(share, 0.02), 0.4)) if share else 0.1
    found = (
        f"{100 * share:.0f} % of the probe pairs move against theirs"
        if share
        else "a first value; how many are flipped was not measured"
    )
    return Advice(
        action=f"expect {100 * value:.0f} % of the labels to be flipped ({found}): conservative or "
        "robust DPO",
        strength="C",
        expected="pairs with wrong labels are not learned by heart; chosen, rejected and drift "
        "change less",
        risk="the margin of right pairs is bounded too (conservative DPO), or pulled harder "
        "(robust DPO)",
        source="arXiv 2403.00409; arXiv 2305.18290's authors on conservative DPO",
        setting="label_smoothing",
        window=None,
        flags=flags(
            "dpo",
            trl={"loss_type": ["robust"], "label_smoothing": value},
            llamafactory={"dpo_label_smoothing": value},
            seesaw={"label_smoothing": value},
        ),
    )


def dpo_positive(reading: Reading) -> Advice | None:
    """Return DPO-positive for pairs that are near-duplicates; no framework here has it."""
    if method_name(reading) not in ("dpo", None):
        return None
    return Advice(
        action="use DPO-positive (a penalty of 5 to 500 where chosen falls below the reference), "
        "which none of TRL, LLaMA-Factory and the trainer here offers",
        strength="B",
        expected="chosen stays at the reference or above; rejected falls less; drift unchanged "
        "while chosen is above the reference, where the loss is DPO's",
        risk="inert as long as chosen is above the reference",
        source="arXiv 2402.13228 (the only loss to gain on pairs with 6.5 % edits)",
        setting="method",
    )


def rank_by_likelihood(reading: Reading) -> Advice | None:
    """Return a loss on the log-probs themselves."""
    if reading.method is not None and not reading.method.reference:
        return None
    return Advice(
        action="leave it, where win rate near the reference is the goal; else train on the "
        "log-probs themselves (SimPO), or longer on the pairs that lack least",
        strength="C",
        expected="chosen overtakes rejected in level and not only in change; drift grows with the "
        "margin that this takes",
        risk="far from the reference more flips go with fewer wins",
        source="arXiv 2405.19534, Theorem 4.1; arXiv 2405.14734, figure 4b; SimPO at its usual "
        "settings changed no ranking in docs/casebook.md (E2)",
        setting="method",
        flags=flags(
            "simpo",
            trl={"loss_type": "simpo", "cpo_alpha": 0.0, "beta": 2.0, "simpo_gamma": 0.5},
            llamafactory={"pref_loss": "simpo", "pref_beta": 2.0, "simpo_gamma": 0.5},
            seesaw={"method": "simpo", "beta": 2.0, "simpo_gamma": 0.5},
        ),
    )
