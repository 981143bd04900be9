"""Squeezing: the probability of everything else flows into what the policy finds likeliest anyway.

What it is
----------
Pushing down a completion that is unlikely already takes mass from nearly all tokens and gives it to
the likeliest one: the policy grows more certain of its own first choice while chosen completions,
rejected ones and other text all fall. Repetitive text and lost variety follow.

Is it normal?
-------------
A little certainty is gained in most preference training, as in SFT, where chosen completions gain
it. It is not normal that everything that is scored falls while the likeliest token rises.

How it is measured
------------------
Along fixed completions: Q, the change of the mean log-probability of the likeliest token, beside
the change of each family of completions (chosen, rejected, a sample of the initial policy, the
chosen side of another prompt, shuffled, random), per token with 95 % intervals. Without families
the two sides of the probe pairs stand for them, which is a suspicion at most.

Thresholds
----------
Q above 0.01 nats per token with its interval above 0, all families but at most one falling, and
chosen rising less than Q where it rises at all. Proposals of this project; that the likeliest token
always grows under a pushed-down other one is exact for a softmax.

When this is wrong
------------------
Random text falls in almost every run, and the policy's own first choice often is the chosen token:
then Q rises with chosen, and is no squeeze. A policy that was trained far on chosen completions
before has little left to be squeezed.

What to try
-----------
Rejected completions that the policy writes itself; a short SFT on both sides first; a lower
learning rate; fewer epochs.

References
----------
- arXiv 2407.10490, section 3.3: the squeezing effect, and SFT on both sides against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
import pandas as pd

from diagnostics import probe_examples
from diagnostics.advice import advice
from diagnostics.intervals import Interval, Mean, clustered_mean, in_words, number
from diagnostics.pathologies.contract import Pathology
from diagnostics.phases import SEVERITY_BANDS
from diagnostics.probegrid import finite_numbers
from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "squeezing"
FLOOR = 0.01  # nats per token; proposal of this project
MOST_RISING = 1  # families that may rise; proposal of this project
MIN_FAMILIES = 3

NO_FAMILIES = (
    "other completions of the same prompts were not scored: whether they fall too would tell a "
    "squeeze from learning; switch the response families of the probe set on"
)


@dataclass(frozen=True)
class Family:
    """The change of one family of completions, and of the likeliest token along them."""

    name: str
    delta: Mean
    argmax: Mean

    @property
    def falls(self) -> bool:
        """Whether the family has become less likely beyond its interval."""
        return self.delta.interval.high < 0


def check(reading: Reading, *, floor: float = FLOOR, most_rising: int = MOST_RISING) -> Verdict:
    """Say whether the likeliest token gains what all families of completions lose."""
    families = _families(reading.table("families"))
    whole = len(families) >= MIN_FAMILIES
    if not whole:
        families = _sides(reading)
    chosen = next((one for one in families if one.name == "chosen"), None)
    if chosen is None or not isfinite(chosen.argmax.interval.low):
        return Verdict(
            NAME,
            Status.UNKNOWN,
            "cannot tell: the log-probability of the likeliest token was not scored along fixed "
            "completions of two prompts or more",
            unseen=(NO_FAMILIES,),
        )
    gain = chosen.argmax.interval
    falling = [one for one in families if one.falls]
    kept_by_others = (chosen.argmax - chosen.delta).interval.low > 0
    squeezed = gain.low > 0 and gain.value > floor and kept_by_others
    squeezed &= len(families) - len(falling) <= (most_rising if whole else 0)
    status = Status.ABSENT
    if squeezed:
        status = Status.PRESENT if whole else Status.SUSPECTED
    return Verdict(
        pathology=NAME,
        status=status,
        sentence=f"the likeliest token changed by {in_words(gain, sign=True)} nats/token along "
        f"chosen completions, and {len(falling)} of {len(families)} families of completions fell: "
        + ", ".join(f"{_words(one)} {number(one.delta.value, sign=True)}" for one in families),
        evidence=_evidence(gain, families, floor),
        advice=advice(reading, NAME) if squeezed else (),
        unseen=() if whole else (NO_FAMILIES,),
        severity=_severity(gain) if squeezed else None,
    )


def _words(family: Family) -> str:
    return family.name.replace("_", " ")


def _severity(gain: Interval) -> str:
    return next(word for limit, word in SEVERITY_BANDS if round(gain.value, 3) < limit)


def _evidence(gain: Interval, families: list[Family], floor: float) -> tuple[Evidence, ...]:
    changes = [(f"Δ {_words(one)}", one.delta.interval, 0.0) for one in families]
    return tuple(
        Evidence(name, change.value, NATS_PER_TOKEN, threshold, change.low, change.high)
        for name, change, threshold in (("Q, likeliest token", gain, floor), *changes)
        if isfinite(change.value)
    )


def _families(table: pd.DataFrame) -> list[Family]:
    """Return the change of every family since the first evaluation, in the table's order."""
    needed = {"step", "pair", "family", "logps", "completion_tokens", "argmax_logps"}
    if not needed <= set(table) or table.empty or table["step"].nunique() < 2:
        return []
    table = table.drop_duplicates(["step", "pair", "family"], keep="last")
    ends = [table[table["step"] == step] for step in (table["step"].min(), table["step"].max())]
    both = ends[0].merge(ends[1], on=["pair", "family"], suffixes=("_first", "_last"))
    prompts = both["prompt_last"] if "prompt_last" in both else both["pair"]
    clusters = pd.factorize(prompts, use_na_sentinel=False)[0].astype(np.int64)
    count = int(clusters.max()) + 1 if clusters.size else 0
    tokens = finite_numbers(both["completion_tokens_last"])
    change = finite_numbers(both["logps_last"]) - finite_numbers(both["logps_first"])
    per_token = change / np.where(tokens > 0, tokens, np.nan)
    argmax = finite_numbers(both["argmax_logps_last"]) - finite_numbers(both["argmax_logps_first"])
    found = []
    for name in both["family"].unique():
        own = (both["family"] == name).to_numpy()
        delta, gain = (
            clustered_mean(np.where(own, values, np.nan), clusters, count)
            for values in (per_token, argmax)
        )
        found.append(Family(str(name), delta, gain))
    return [one for one in found if isfinite(one.delta.value)]


def _sides(reading: Reading) -> list[Family]:
    """Return both sides of the probe pairs as families."""
    grid = reading.grid
    if grid is None or len(grid.steps) < 2:
        return []
    argmax = grid.column("argmax_logps")
    gains = argmax[-1] - argmax[0]
    deltas = grid.deltas[-1] / grid.tokens
    count = int(grid.prompts.max()) + 1
    return [
        Family(
            name,
            clustered_mean(deltas[side], grid.prompts, count),
            clustered_mean(gains[side], grid.prompts, count),
        )
        for side, name in enumerate(("chosen", "rejected"))
    ]


def example(seed: int) -> Run:
    """Return a run in which everything falls and the likeliest token gains."""
    return probe_examples.squeezed(seed)


PATHOLOGY = Pathology(NAME, "Squeezing", __doc__, check, example)
