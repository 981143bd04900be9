"""Remedies in the data, and the cases in which nothing needs a remedy."""

from __future__ import annotations

from math import isfinite

import numpy as np

from diagnostics.flags import everywhere, flags
from diagnostics.flips import find, too_little
from diagnostics.intervals import in_words
from diagnostics.probegrid import first_values
from diagnostics.reading import Reading
from diagnostics.remedies import STEP, method_name, setting
from diagnostics.verdicts import Advice

# The share of pairs least alike that keeps refusals, arXiv 2410.08847, figure 3.
KEPT_BY_CHES = (0.05, 0.15)


def accept_the_tide(reading: Reading) -> Advice | None:
    """Return that nothing needs doing, where chosen falls no more than ordinary text does."""
    tide = reading.estimates[-1].tide_corrected_chosen if reading.estimates else None
    if tide is None or not isfinite(tide.low) or tide.high < 0:
        return None
    return Advice(
        action="accept the fall: chosen falls no more than samples of the initial policy do "
        f"(tide-corrected {in_words(tide, sign=True)} nats/token)",
        strength="A",
        expected="chosen, rejected and drift stay as they are",
        risk="what the model writes may have changed all the same: read samples",
        source="arXiv 2404.12358, Eq. 16 and section 5.4",
    )


def own_rejected(reading: Reading) -> Advice | None:
    """Return rejected completions that the policy writes itself."""
    return Advice(
        action="let the policy that is trained write the rejected completions, and judge them anew",
        strength="A",
        expected="chosen falls less or rises; rejected falls where the policy's own mass is; drift "
        "elsewhere shrinks",
        risk="the cost of sampling and judging",
        source="arXiv 2406.07327, table 1 (both sides on-policy best); arXiv 2404.14367, section "
        "5.3; arXiv 2406.11827",
    )


def weigh_by_likelihood(reading: Reading) -> Advice | None:
    """Return WPO's weights, which only TRL offers and only for losses of pairs."""
    name = method_name(reading)
    if name in ("aot", "aot_unpaired", "kto", "orpo", "cpo", "simpo", "sft"):
        return None
    return Advice(
        action="weigh each pair by how likely the policy finds both sides (WPO)",
        strength="C",
        expected="off-policy pairs count less: chosen falls less, rejected falls less there, drift "
        "shrinks",
        risk="it scales both sides alike, so a pair stays inside or outside of its band",
        source="arXiv 2406.11827 (up to 5.6 points on AlpacaEval)",
        setting="use_weighting",
        flags=flags(name or "dpo", trl={"use_weighting": True}),
    )


def extend_first(reading: Reading) -> Advice | None:
    """Return a short SFT on both sides before preference training."""
    return Advice(
        action="run a short SFT on chosen and rejected completions both, then the preference "
        "training",
        strength="B",
        expected="rejected text leaves the valley, so chosen falls less and what is freed goes to "
        "it; drift of the second stage shrinks",
        risk="it starts from a policy that writes rejected text more often",
        source="arXiv 2407.10490, table 1 (win rates of 0.65 to 0.69)",
    )


def learn_the_format_first(reading: Reading) -> Advice | None:
    """Return SFT on what both sides share."""
    return Advice(
        action="run SFT on the shared format (template, style, language) first, and mask template "
        "tokens out of the loss",
        strength="D",
        expected="the common part is learned already, so rejected no longer rises with chosen; "
        "drift moves to the first stage",
        risk="after SFT on chosen alone the chosen side falls in preference training",
        source="arXiv 2410.13828, section 4.3 (what shared tokens do to both gradients)",
    )


def keep_pairs_least_alike(reading: Reading) -> Advice | None:
    """Return the filter by CHES, with what this run's probe pairs scored."""
    scores = first_values(reading.table("entanglement"), "ches_per_token")
    low, high = KEPT_BY_CHES
    cut = (
        f"; on {scores.size} probe pairs the best {100 * high:.0f} % score below "
        f"{np.quantile(scores, high):.3g}"
        if scores.size
        else "; score pairs with the entanglement probe to see which"
    )
    return Advice(
        action=f"keep the {100 * low:.0f} to {100 * high:.0f} % of the pairs whose sides are least "
        f"alike to the model (lowest CHES per token){cut}",
        strength="B",
        expected="chosen no longer falls, rejected falls less, drift to unrelated answers vanishes",
        risk="85 to 95 % of the data are lost; shown for refusals, not for general instructions",
        source="arXiv 2410.08847, figure 3 and table 16",
    )


def drop_identical(reading: Reading) -> Advice | None:
    """Return dropping pairs that cannot teach anything, and cutting less."""
    length = setting(reading, "max_length")
    more = int(length * STEP) if length and length < 1e6 else None
    name = method_name(reading)
    return Advice(
        action="drop pairs whose sides are identical, also after they were cut at the maximum "
        "length" + (f"; double that to {more} tokens where texts are cut" if more else ""),
        strength="D",
        expected="chosen and rejected move apart in every pair that is left; drift unchanged",
        risk="longer sequences need more memory",
        source="the margin of a pair grows with |s_w - s_l|^2, which is 0 for equal sides "
        "(arXiv 2410.13828)",
        setting="max_length",
        flags=flags(
            name, trl={"max_length": more}, llamafactory={"cutoff_len": more},
            seesaw={"max_length": more},
        )
        if more
        else {},
    )  # fmt: skip


def read_the_pairs(reading: Reading) -> Advice | None:
    """Return which pairs to read, where labels may be flipped."""
    grid = reading.grid
    if grid is None or too_little(grid) is not None:
        return None
    against = grid.pairs[find(grid).against]
    if not against.size:
        return None
    named = ", ".join(str(pair) for pair in against[:12]) + (", …" if against.size > 12 else "")
    return Advice(
        action=f"read {grid.split.replace('_', '-')} pairs {named} of the probe set, turn round or "
        "drop those whose label is wrong, then judge the rest of their source",
        strength="B",
        expected="chosen rises and rejected falls faster on the pairs that are left; drift is "
        "spent on right labels",
        risk="what moves against the majority may be right and rare",
        source="arXiv 2406.09279 (data sets differ far more in what they yield than algorithms)",
    )


def check_columns(reading: Reading) -> Advice | None:
    """Return what to check where both sides move the wrong way."""
    return Advice(
        action="check that chosen and rejected are not swapped, that the loss covers the "
        "completion and that truncation leaves a difference; then the learning rate",
        strength="D",
        expected="chosen rises and rejected falls as the loss asks; drift then buys margin",
        risk="none",
        source="to first order no loss lowers chosen and raises rejected: arXiv 2410.13828, "
        "equations 4 and 5, with Cauchy-Schwarz",
    )


def harder_pairs(reading: Reading) -> Advice | None:
    """Return pairs that differ in what matters and not in a surface cue."""
    return Advice(
        action="find what gives the sides away at once (language, format, length, source) and make "
        "both sides alike in it; then judge anew",
        strength="C",
        expected="reward accuracy rises later; chosen and rejected move in what the pairs are "
        "about; drift along the cue stops",
        risk="fewer pairs",
        source="LLaMA-Factory issue 5116 (accuracy 1 at once, poor text)",
    )


def balance_lengths(reading: Reading) -> Advice | None:
    """Return pairs of balanced length."""
    return Advice(
        action="balance lengths: as many pairs in which chosen is the shorter side, or both sides "
        "cut to the same length",
        strength="C",
        expected="chosen and rejected differ in content only; generated text stops growing; drift "
        "towards length stops",
        risk="pairs are lost or cut",
        source="arXiv 2403.19159; POET's equal-length truncation (abstract only)",
    )


def more_examples_a_step(reading: Reading) -> Advice | None:
    """Return larger batches on one device, which KTO's reference point is averaged over."""
    now = setting(reading, "per_device_train_batch_size")
    new = int(max(2, STEP * now)) if now and now < 1e6 else 8
    return Advice(
        action=f"put {new} examples on a device at a time"
        + (f" (now {now:g})" if now else " or more")
        + ": KTO's reference point is averaged over them, and of one example it is the example",
        strength="C",
        expected="the reference point follows the policy, so that chosen is not held in the loss "
        "region; rejected and drift change little",
        risk="more memory, or fewer steps of accumulation",
        source="arXiv 2402.01306, section 4.2; TRL refuses batches of 1 for KTO",
        setting="per_device_train_batch_size",
        flags=everywhere(method_name(reading), per_device_train_batch_size=new),
    )
