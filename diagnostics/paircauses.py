"""Causes that lie in the pairs: who wrote them, how long they are, which tokens move.

Each function returns a Cause of a regime, or None where nothing in the log speaks for it.
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from diagnostics.entanglement import partial_correlation
from diagnostics.intervals import Interval, clustered_mean, in_words, number
from diagnostics.probegrid import ProbeGrid
from diagnostics.reading import Reading
from diagnostics.regimes import Regime
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.verdicts import INDICATED, MEASURED, Cause, Evidence

# Proposals of this project.
OWN_TEXT = 0.1  # excess surprise of text that the policy might have written [nats per token]
FOREIGN_TEXT = 0.5  # and of text that it would not
LENGTH_RATIO = 1.2  # mean length of one side over the other
MIN_PAIRS = 16
GROUP_SHARE = 0.3  # of the common movement that one kind of token carries


def fitted_before(reading: Reading, regime: Regime) -> Cause | None:
    """Explain a fall by chosen completions that the initial policy had been trained on."""
    surprise = _surprise(reading)
    if surprise is None or not surprise[0].high < OWN_TEXT:
        return None
    last = reading.estimates[-1] if reading.estimates else None
    tide = None if last is None else last.tide_corrected_chosen
    within = tide is not None and isfinite(tide.low) and tide.high >= 0
    evidence = [_evidence("excess surprise, chosen", surprise[0], OWN_TEXT)]
    also = ""
    if tide is not None and isfinite(tide.low):
        evidence.append(_evidence("tide-corrected change of chosen", tide, 0.0))
        more = "no more" if within else "more"
        also = (
            f"; it falls {more} than samples of that policy do (tide-corrected "
            f"{in_words(tide, sign=True)} nats/token)"
        )
    return Cause(
        name="chosen_fitted_before",
        sentence="the chosen completions are text that the initial policy would write itself "
        f"(excess surprise {in_words(surprise[0], sign=True)} nats/token), as after SFT on them: "
        f"any other objective lowers such text{also}",
        evidence=tuple(evidence),
        score=0.85 if within else 0.5,
        strength=MEASURED if within else INDICATED,
        settle="whether the initial policy was trained on the chosen side is in its own history",
    )


def off_policy(reading: Reading, regime: Regime) -> Cause | None:
    """Explain a movement by where both sides lie from what the policy writes."""
    surprise = _surprise(reading)
    if surprise is None:
        return None
    chosen, rejected = surprise
    falls = regime is Regime.BOTH_FALL and rejected.low > max(FOREIGN_TEXT, chosen.high)
    rises = regime is Regime.BOTH_RISE and chosen.low > max(FOREIGN_TEXT, rejected.high)
    if not (falls or rises):
        return None
    sides = "rejected completions are" if falls else "chosen completions are"
    then = (
        "the chosen side lies between the policy and the rejected one, and is pushed along"
        if falls
        else "the rejected side lies between the policy and the chosen one, and is drawn along"
    )
    return Cause(
        name="off_policy_rejected" if falls else "off_policy_chosen",
        sentence=f"the {sides} the ones that the policy would not write: excess surprise "
        f"{in_words(rejected if falls else chosen)} nats/token against "
        f"{in_words(chosen if falls else rejected)} nats/token of the other side; {then}",
        evidence=(
            _evidence("excess surprise, chosen", chosen, None),
            _evidence("excess surprise, rejected", rejected, None),
        ),
        score=0.5,
        strength=INDICATED,
        settle="the same run with that side sampled from the policy itself",
    )


def lengths(reading: Reading, regime: Regime) -> Cause | None:
    """Explain a movement by summed gradients that grow with length."""
    if reading.method is not None and reading.method.logps_kind != "sum":
        return None
    ratio, source = length_ratio(reading)
    if ratio is None:
        return None
    falls = regime is Regime.BOTH_FALL
    if not (ratio > LENGTH_RATIO if falls else ratio < 1 / LENGTH_RATIO):
        return None
    longer = ratio if falls else 1 / ratio
    evidence = [Evidence("length of the longer side", longer, "times", LENGTH_RATIO)]
    grid, also = reading.grid, ""
    partial = None if grid is None else _length_effect(grid, falls)
    if partial is not None:
        evidence.append(
            Evidence("partial correlation", partial.value, "correlation", 0.0, partial.low,
                     partial.high)
        )  # fmt: skip
        follows = "goes" if partial.high < 0 else "does not go"
        also = (
            f"; over pairs the {'chosen' if falls else 'rejected'} side's change {follows} with it "
            f"(partial correlation {in_words(partial, sign=True)}, its own length held fixed)"
        )
    supported = partial is not None and partial.high < 0
    name = "rejected" if falls else "chosen"
    return Cause(
        name=f"{name}_longer",
        sentence=f"the {name} completions are {number(longer)} times as long {source}, and a sum "
        f"over more tokens has the longer gradient{also}",
        evidence=tuple(evidence),
        score=0.6 if supported else 0.3,
        strength=INDICATED,
        settle="the same run with a length-normalised loss, or on pairs of equal length",
    )


def token_groups(reading: Reading, regime: Regime) -> Cause | None:
    """Explain a common movement by the kind of token that carries it."""
    found = reading.attribution
    if found is None or not found.common.excludes_zero:
        return None
    shares = {
        one.group: (one.common.value / found.common.value, one.tokens)
        for one in found.groups
        if one.group in _GROUP_WORDS and one.common.excludes_zero
    }
    name = max(shares, key=lambda one: shares[one][0], default=None)
    if name is None or not shares[name][0] > GROUP_SHARE:
        return None
    share, tokens = shares[name]
    return Cause(
        name=f"{name}_tokens",
        sentence=f"{_GROUP_WORDS[name]} carry {100 * share:.0f} % of the movement that both sides "
        f"share, being {100 * tokens:.0f} % of the tokens of {found.n_pairs} pairs",
        evidence=(
            Evidence(f"common movement in {name} tokens", share, "fraction", GROUP_SHARE),
            Evidence(f"share of {name} tokens", tokens, "fraction"),
        ),
        score=0.45 + 0.4 * min(1.0, share),
        strength=MEASURED,
        settle="the same run with the loss masked on these tokens",
    )


_GROUP_WORDS = {
    "template": "tokens that the chat template writes (an empty think block, for one)",
    "shared_prefix": "tokens before the first difference, which both sides share,",
    "shared_after": "tokens that both sides share after their first difference",
    "eos": "end-of-sequence tokens",
}


def _evidence(name: str, value: Interval, threshold: float | None) -> Evidence:
    return Evidence(name, value.value, NATS_PER_TOKEN, threshold, value.low, value.high)


def _surprise(reading: Reading) -> tuple[Interval, Interval] | None:
    """Return the excess surprise of chosen and rejected at the first evaluation."""
    grid = reading.grid
    if grid is None:
        return None
    values = grid.column("surprise")[0]
    if not np.isfinite(values).any(axis=1).all():
        return None
    count = int(grid.prompts.max()) + 1
    chosen, rejected = (clustered_mean(side, grid.prompts, count).interval for side in values)
    return (chosen, rejected) if isfinite(chosen.low) and isfinite(rejected.low) else None


def length_ratio(reading: Reading) -> tuple[float | None, str]:
    """Return mean rejected over mean chosen length, and where it is from."""
    grid = reading.grid
    if grid is not None:
        return float(grid.tokens[1].mean() / grid.tokens[0].mean()), "on the probe pairs"
    means = [reading.column(f"completion_tokens/{side}")[1] for side in ("chosen", "rejected")]
    if any(one.size == 0 or not one.mean() > 0 for one in means):
        return None, ""
    return float(means[1].mean() / means[0].mean()), "in the training batches"


def _length_effect(grid: ProbeGrid, falls: bool) -> Interval | None:
    """Return the partial rank correlation of a side's per-token change with the length ratio.

    The side is the one whose direction wants explaining; its own length is held fixed, so that a
    change that merely depends on length does not count. A longer rejected side that lowers chosen,
    and a longer chosen side that lifts rejected, both show below 0.
    """
    side = 0 if falls else 1
    change = grid.deltas[-1, side] / grid.tokens[side]
    ratio = np.log(grid.tokens[1] / grid.tokens[0])
    if len(change) < MIN_PAIRS:
        return None
    return partial_correlation(ratio.tolist(), change.tolist(), grid.tokens[side].tolist())
