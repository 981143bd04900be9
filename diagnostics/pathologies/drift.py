"""Drift: the policy has left the initial one far behind, on all text and not on the pairs alone.

What it is
----------
The forward KL divergence from the initial policy, per token, is large: text that the initial
policy itself wrote has become unlikely. Beyond some distance the win rate falls while loss, margin
and reward accuracy go on improving: over-optimisation.

Is it normal?
-------------
Some drift is the price of every margin: it grows with the square of the margin, and with it the
chosen side falls in the end. A few hundredths of a nat per token are ordinary. A large drift after
SFT on new material is what was asked for; after preference training it seldom is.

How it is measured
------------------
On samples of the initial policy, scored again at every evaluation: minus the sum of their changes
over the sum of their tokens is an unbiased estimate of the KL divergence per token, whatever the
model. Without samples a fall of the chosen completions beyond the alarm is a hint, since text of
the data set seldom falls so far alone.

Thresholds
----------
Suspected from 0.1 nats per token on (its 95 % interval lies above), present from 0.5 on. Proposals
of this project: no paper gives a number, and the budget is the user's to set.

When this is wrong
------------------
The samples are short (64 tokens unless set otherwise): drift that shows late in a text is missed.
They follow the prompts of the probe set, so drift on other prompts is not seen. Distance is not
damage: only reading or scoring what the model writes settles that.

What to try
-----------
Raise beta; lower the learning rate; stop earlier; use pairs that the policy wrote itself.

References
----------
- arXiv 2404.12358, Eq. 16: the mean change of reference samples is minus the forward KL.
- arXiv 2406.02900: win rate is hump-shaped in KL, best near a quarter of an epoch.
- arXiv 2410.11677: turning points, falling entropy and top-k mass.
"""

from __future__ import annotations

import numpy as np

from diagnostics import probe_examples
from diagnostics.advice import advice
from diagnostics.intervals import Interval, in_words, number
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import NO_SAMPLES
from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "drift"
# Proposals of this project [nats per token].
WARN = 0.1
ALARM = 0.5
END = 0.15  # share of the records whose mean is the level at the end of a log

NO_JUDGE = "what the model now writes is not in the log: score samples to see whether it got worse"


def check(reading: Reading, *, warn: float = WARN, alarm: float = ALARM) -> Verdict:
    """Say whether the policy moved away from the initial one, beyond `warn` or `alarm`."""
    drifts = [(one.step, one.drift) for one in reading.estimates if one.drift is not None]
    if not drifts or not np.isfinite(drifts[-1][1].low):
        return _without_samples(reading, alarm)
    last = drifts[-1][1]
    if last.low <= warn:
        status, limit, words = Status.ABSENT, warn, "is not shown to exceed"
    elif last.low <= alarm:
        status, limit, words = Status.SUSPECTED, warn, "exceeds the warning line of"
    else:
        status, limit, words = Status.PRESENT, alarm, "exceeds the alarm line of"
    return Verdict(
        pathology=NAME,
        status=status,
        sentence=f"the drift from the initial policy, {in_words(last)} nats/token, {words} "
        f"{number(limit)} nats/token",
        since=_since(drifts, limit) if status.is_alarm else None,
        evidence=(Evidence("drift", last.value, NATS_PER_TOKEN, limit, last.low, last.high),),
        advice=advice(reading, NAME) if status.is_alarm else (),
        unseen=(NO_JUDGE,) if status.is_alarm else (),
        severity=_severity(last.value, alarm) if status.is_alarm else None,
    )


def _since(drifts: list[tuple[int, Interval]], limit: float) -> int:
    """Return the first evaluation from which on the drift stays above the limit."""
    since = drifts[-1][0]
    for step, drift in reversed(drifts):
        if drift.low <= limit:
            break
        since = step
    return since


def _severity(drift: float, alarm: float) -> str:
    if drift < alarm:
        return "moderate"
    return "severe" if drift < 2 * alarm else "collapse"


def _without_samples(reading: Reading, alarm: float) -> Verdict:
    logged = reading.changes
    if logged is not None and logged.unit == NATS_PER_TOKEN:
        finite = logged.chosen[np.isfinite(logged.chosen)]
        level = float(finite[-max(1, round(END * finite.size)) :].mean()) if finite.size else 0.0
        if level < -alarm:
            return Verdict(
                pathology=NAME,
                status=Status.SUSPECTED,
                sentence=f"the chosen completions stand {number(level, sign=True)} nats/token "
                f"from the start, below -{number(alarm)} nats/token, which text of the data set "
                "seldom does alone",
                evidence=(Evidence("Δ chosen", level, NATS_PER_TOKEN, -alarm),),
                advice=advice(reading, NAME),
                unseen=(NO_SAMPLES,),
            )
    return Verdict(
        NAME, Status.UNKNOWN, "cannot tell: drift needs samples of the initial policy that are "
        "scored again during training", unseen=(NO_SAMPLES,),
    )  # fmt: skip


def example(seed: int) -> Run:
    """Return a run that drifts by 0.8 nats per token."""
    return probe_examples.drifted(seed)


PATHOLOGY = Pathology(NAME, "Drift", __doc__, check, example)
