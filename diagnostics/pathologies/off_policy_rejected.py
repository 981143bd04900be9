"""Off-policy rejected: the margin is bought by pushing down what the policy never wrote.

What it is
----------
The rejected completions are text that the policy would not produce, so lowering them changes
little of what it does produce. The margin grows all the same, cheaply: the gradient of an unlikely
token is the largest there is, it saturates the loss, and the probability it frees goes to whatever
was likeliest.

Is it normal?
-------------
Data sets written by other models are off-policy on both sides, more or less, and still train well
at moderate margins. It is not what one wants where the aim is to cure a fault of the policy
itself: then the rejected side must be the policy's own fault.

How it is measured
------------------
Off-policy: the excess surprise of the rejected completions at the start, which is 0 on average for
the policy's own samples, and their share of tokens in a valley (p below 0.001 and another token
likelier). Wasted margin: what those valley tokens lost since the start over the whole margin of
the same pairs, both in nats, from the table of single tokens.

Thresholds
----------
Present where more than half of the margin comes from valley tokens, with the whole interval;
suspected, where single tokens were not scored, at an excess surprise above 0.5 nats per token with
its whole interval and a valley share above 5 %. Proposals of this project; so is 0.001.

When this is wrong
------------------
Samples drawn at a temperature below 1 have a negative excess surprise and are on-policy all the
same. Excess surprise is an average: a completion with one absurd token and fluent rest is not
caught by it, and the valley share is.

What to try
-----------
Let the policy write the rejected completions; weigh pairs by how likely the policy finds them;
a short SFT on both sides first.

References
----------
- arXiv 2406.07327: 3D-properties, on- and off-policy pairs on both sides.
- arXiv 2406.11827: WPO, weighing pairs by the policy's own probability.
- arXiv 2404.14367, section 5.3: on-policy data and negative gradients complement one another.
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from diagnostics import probe_examples
from diagnostics.advice import advice
from diagnostics.intervals import (
    Interval,
    clustered_mean,
    in_words,
    number,
)
from diagnostics.pathologies.contract import Pathology
from diagnostics.probegrid import ProbeGrid
from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "off_policy_rejected"
# Proposals of this project.
WASTED = 0.5  # share of the margin
SURPRISE = 0.5  # nats per token
VALLEY = 0.05  # share of tokens

NO_SURPRISE = (
    "how likely the policy itself was to write the completions could not be seen: excess surprise "
    "needs the whole distribution at every token, scored on fixed pairs at step 0"
)
NO_TOKENS = (
    "where the margin comes from could not be seen: score single tokens of a few train pairs at "
    "the start and later"
)


def check(
    reading: Reading,
    *,
    wasted: float = WASTED,
    surprise: float = SURPRISE,
    valley: float = VALLEY,
) -> Verdict:
    """Say whether most of the margin was gained on tokens the policy would not have written."""
    found = reading.attribution
    share = None if found is None else found.wasted
    grid = reading.grid
    own = None if grid is None else _at_start(grid)
    if share is None and own is None:
        return Verdict(
            NAME,
            Status.UNKNOWN,
            "cannot tell: neither excess surprise nor single tokens were scored",
            unseen=(NO_SURPRISE, NO_TOKENS),
        )
    off = own is not None and own[0].low > surprise and own[2] > valley
    if share is not None:
        status = Status.PRESENT if share.low > wasted else Status.ABSENT
    else:
        status = Status.SUSPECTED if off else Status.ABSENT
    return Verdict(
        pathology=NAME,
        status=status,
        sentence=_sentence(share, own),
        evidence=_evidence(share, own, (wasted, surprise, valley)),
        advice=advice(reading, NAME) if status.is_alarm else (),
        unseen=(*((NO_TOKENS,) if share is None else ()), *((NO_SURPRISE,) if own is None else ())),
    )


def _at_start(grid: ProbeGrid) -> tuple[Interval, Interval, float] | None:
    """Return excess surprise of rejected and of chosen, and the rejected side's valley share.

    Of the first evaluation; None where they were not scored.
    """
    surprise, valley = grid.column("surprise")[0], grid.column("valley")[0]
    if not np.isfinite(surprise[1]).any() or not np.isfinite(valley[1]).any():
        return None
    count = int(grid.prompts.max()) + 1
    chosen, rejected = (
        clustered_mean(side, grid.prompts, count).interval for side in (surprise[0], surprise[1])
    )
    return rejected, chosen, float(np.nanmean(valley[1]))


def _sentence(share: Interval | None, own: tuple[Interval, Interval, float] | None) -> str:
    parts = []
    if share is not None:
        parts.append(
            f"rejected tokens with p below 0.001 at the start carry {in_words(share)} of the margin"
        )
    if own is not None:
        parts.append(
            f"at the start the rejected completions surprise the policy by {in_words(own[0])} "
            f"nats/token more than its own text would (chosen: {number(own[1].value)}), and "
            f"{100 * own[2]:.1f} % of their tokens have p below 0.001"
        )
    return "; ".join(parts)


def _evidence(
    share: Interval | None,
    own: tuple[Interval, Interval, float] | None,
    thresholds: tuple[float, float, float],
) -> tuple[Evidence, ...]:
    wasted, surprise, valley = thresholds
    rows: list[tuple[str, Interval, str, float | None]] = []
    if share is not None:
        rows.append(("margin from valley tokens", share, "of the margin", wasted))
    if own is not None:
        rows.append(("excess surprise, rejected", own[0], NATS_PER_TOKEN, surprise))
        rows.append(("excess surprise, chosen", own[1], NATS_PER_TOKEN, None))
    found = [
        Evidence(name, value.value, unit, threshold, value.low, value.high)
        for name, value, unit, threshold in rows
        if isfinite(value.value)
    ]
    if own is not None:
        found.append(Evidence("valley share, rejected", own[2], "fraction of tokens", valley))
    return tuple(found)


def example(seed: int) -> Run:
    """Return a run that gains most of its margin in the valleys of off-policy text."""
    return probe_examples.off_policy(seed)


PATHOLOGY = Pathology(NAME, "Off-policy rejected", __doc__, check, example)
