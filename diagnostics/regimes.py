"""The regimes by name, and the text that explains each (standard library only)."""

from __future__ import annotations

from enum import StrEnum


class Regime(StrEnum):
    """What the two sides of the pairs did since the start."""

    IDEAL = "ideal"
    BOTH_RISE = "both_rise"
    BOTH_FALL = "both_fall"
    REVERSED = "reversed"
    MARGIN_LOSS = "margin_loss"
    MIXED = "mixed"
    FLAT = "flat"
    UNKNOWN = "unknown"

    @property
    def label(self) -> str:
        """The regime in words, as a heading."""
        return _LABELS.get(self.value, self.value.replace("_", " ").capitalize())


_LABELS = {"margin_loss": "Margin lost", "unknown": "Cannot tell"}

EXPLANATIONS: dict[Regime, str] = {
    Regime.IDEAL: """\
What it is
    The chosen completions became more likely and the rejected ones less likely: the margin
    grew and the chosen share S lies between 0 and 1.
Why it matters
    This is what preference training is meant to do. It is a statement about the probe pairs,
    not about the text that the model now writes.
When this is wrong
    A run can begin ideal and turn: what the chosen side gains grows with the margin m, what
    drift costs it grows with m squared, so the chosen side peaks and then falls.
What to try
    Watch drift and the held-out pairs; stop near the peak of the chosen curve.
References
    arXiv 2406.02900 (over-optimisation against KL).
""",
    Regime.BOTH_RISE: """\
What it is
    The margin grew, and the rejected completions became more likely too: S is above 1.
Why it matters
    Text that people rejected is now more probable, although loss, margin and accuracy look fine.
When this is wrong
    It is normal early on when both sides share something the model has not learned (format,
    style, language), and with an SFT term, ORPO or plain SFT. On held-out pairs that the policy
    itself wrote it is not: drift lowers their average, so check pairs, reference and masking.
What to try
    Lower the SFT coefficient, or weigh the rejected side more (ORPO's lambda, KTO's undesirable
    weight); first run SFT on the shared format; sample the model to see whether text like the
    rejected one appears.
References
    arXiv 2410.13828 (gradient entanglement); arXiv 2403.07691 (ORPO).
""",
    Regime.BOTH_FALL: """\
What it is
    The margin grew only because the rejected completions fell faster than the chosen ones: S is
    below 0. Known as likelihood displacement.
Why it matters
    The probability goes to neither side but to something else. Loss, margin and reward accuracy
    cannot show it, and the size of the fall does not tell where the probability went.
When this is wrong
    Some fall is expected: text of the initial policy falls by the drift (the tide), and chosen
    completions that SFT has just trained on are such text. Falling more than the tide is not.
What to try
    Add an SFT term on the chosen side; lower the learning rate; use rejected completions of the
    policy itself; drop pairs whose sides are near-duplicates; when rejected ones are longer,
    normalise by length; read samples of the model.
References
    arXiv 2410.08847 (displacement); arXiv 2404.12358, section 5.4 (why a fall is expected).
""",
    Regime.REVERSED: """\
What it is
    The chosen completions became less likely and the rejected ones more likely.
Why it matters
    On pairs that are trained on, no positive weighting of the two sides does this to first
    order: suspect a mistake before the method. On held-out pairs it is negative transfer.
When this is wrong
    Pairs that contradict each other can push single pairs the wrong way.
What to try
    In this order: chosen and rejected columns swapped; labels noisy (accuracy below one half at
    a tiny learning rate); mask, template or truncation that makes both sides equal; a reference
    that is another checkpoint; a learning rate that is too large.
References
    arXiv 2410.13828 (the first-order conditions).
""",
    Regime.MARGIN_LOSS: """\
What it is
    The chosen completions gained less, or lost more, than the rejected ones: the margin shrank.
Why it matters
    The model now prefers the chosen side less than it did at the start.
When this is wrong
    Losses that weigh the sides unequally (an SFT term, ORPO, KTO, SimPO at unequal lengths) can
    do this for a while; IPO and label smoothing shrink a margin that overshot their target. It
    can also hold per token while the summed margin grows.
What to try
    Check the labels; lower the SFT coefficient; lower the learning rate; compare the summed scale.
References
    arXiv 2410.13828; arXiv 2310.12036 (IPO's target).
""",
    Regime.MIXED: """\
What it is
    Something moved, but not into one quadrant: the margin grew while the direction of one side
    is within its interval or under the effect floor, or both sides moved and the margin did not.
Why it matters
    It is often the crossing between two regimes: near S = 0 chosen is about to fall, near S = 1
    rejected has stopped rising.
When this is wrong
    A small or very diverse probe set makes every run look mixed.
What to try
    Score more probe pairs; look at where the path in the plane is heading.
References
    Fieller 1954 (the interval of a ratio).
""",
    Regime.FLAT: """\
What it is
    Neither side nor the margin moved, and the probe set is precise enough to exclude a change
    that matters.
Why it matters
    The run spends compute without learning the preference.
When this is wrong
    During warm-up nothing has moved yet.
What to try
    Raise the learning rate; check that the logistic losses start at log 2 (anything else is a
    reference mismatch); check that truncation keeps the tokens in which the sides differ; look
    for near-identical pairs and for a saturated margin.
References
    arXiv 2305.18290 (DPO).
""",
    Regime.UNKNOWN: """\
What it is
    The run does not hold enough to name a regime; the verdict says what is missing.
Why it matters
    Cannot tell is not healthy: a run like this may be in any regime.
When this is wrong
    Never: it is a statement about the log, not about the model.
What to try
    Log a fixed probe set of at least 64 pairs from step 0 on, and score it at least ten times.
    Logged rewards name a regime too where they are many or clear enough; each of them averages
    other pairs, so the same run needs more of them.
References
    The run-log page lists the columns of the probe set.
""",
}
