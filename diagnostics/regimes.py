"""The regimes by name, and the text on those that are no pathology (standard library only)."""

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

# The others are explained by the pathology of their name.
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
