"""What the checks of a regime share: which side moved, how far, and what that cannot show."""

from __future__ import annotations

from math import isfinite

from diagnostics.advice import advice
from diagnostics.naming import Basis, RegimeVerdict
from diagnostics.reading import Reading
from diagnostics.regimes import Regime
from diagnostics.share import SPLITS
from diagnostics.trends import Direction
from diagnostics.verdicts import Evidence, Status, Verdict

NO_PROBE = (
    "the run has no probe set: rewards of training batches average other pairs at each record; "
    "score at least 64 fixed pairs from step 0 on"
)
NO_SAMPLES = (
    "no samples of the initial policy were scored, so how far ordinary text falls (the tide) is "
    "not known; score a few samples per prompt from step 0 on"
)

ABSURD = 1e9  # no setting and no loss is this large


def unseen(found: RegimeVerdict, *, tide: bool = False) -> tuple[str, ...]:
    """Return what the basis of a regime cannot show; `tide` where it matters to the check."""
    missing = [] if found.basis is Basis.PROBE else [NO_PROBE]
    if tide and corrected(found) is None:
        missing.append(NO_SAMPLES)
    return tuple(missing)


def corrected(found: RegimeVerdict) -> Evidence | None:
    """Return the tide-corrected change of the chosen side; None where the tide is not known."""
    return next((e for e in found.evidence if e.quantity == "Δ chosen, tide-corrected"), None)


def changes_of(found: RegimeVerdict, threshold: float | None = 0.0) -> tuple[Evidence, ...]:
    """Return the change of both sides, as the sentence of the regime quotes them."""
    moved = found.movement
    if moved is None:
        return ()
    sides = (("Δ chosen", moved.chosen), ("Δ rejected", moved.rejected))
    return tuple(
        Evidence(name, side.value, moved.unit, threshold, side.low, side.high)
        for name, side in sides
        if isfinite(side.value)
    )


def present(
    name: str, reading: Reading, status: Status, tail: str = "", *, tide: bool = False
) -> Verdict:
    """Return an alarm on the regime of a run, with the regime's own sentence and severity."""
    found = reading.regime
    return Verdict(
        pathology=name,
        status=status,
        sentence=found.sentence + tail,
        since=found.since_step,
        evidence=changes_of(found),
        advice=advice(reading, name),
        unseen=unseen(found, tide=tide),
        severity=found.severity,
    )


def elsewhere(name: str, reading: Reading, chosen: Direction, rejected: Direction) -> Verdict:
    """Return the verdict of a check that wants these directions and met another regime.

    Where the sides that have a direction are as wanted, the others may be too.
    """
    moved = reading.regime.directions
    pairs = ((moved.chosen, chosen), (moved.rejected, rejected))
    could_be = all(is_ in (wanted, Direction.INCONCLUSIVE) for is_, wanted in pairs)
    could_be &= Direction.INCONCLUSIVE in (moved.chosen, moved.rejected)
    if reading.regime.regime is Regime.MIXED and could_be:
        return cannot_tell(name, f"it may be on its way ({reading.regime.sentence})")
    return absent(name, reading)


def absent(name: str, reading: Reading, tail: str = "") -> Verdict:
    """Return the verdict of a check that found another regime."""
    found = reading.regime
    sentence = found.sentence + tail
    return Verdict(name, Status.ABSENT, sentence, evidence=changes_of(found), unseen=unseen(found))


def cannot_tell(name: str, reason: str, *missing: str) -> Verdict:
    """Return the verdict of a check that has too little data."""
    return Verdict(name, Status.UNKNOWN, f"cannot tell: {reason}", unseen=missing)


def unnamed(name: str, reading: Reading) -> Verdict:
    """Return the verdict of a check on a run whose regime is not known."""
    found = reading.regime
    return cannot_tell(name, found.reason or "the regime is not known", *unseen(found))


def not_applicable(name: str, reason: str) -> Verdict:
    """Return the verdict of a check on a method that has no such thing."""
    return Verdict(name, Status.NOT_APPLICABLE, f"not applicable: {reason}")


def held_out(reading: Reading) -> bool:
    """Whether the regime was named on pairs that are not trained on."""
    if reading.regime.basis is Basis.PROBE:
        return reading.regime.estimate.split != SPLITS[0]
    return reading.changes is not None and reading.changes.rows == "evals"


def short(unit: str) -> str:
    """Return a unit as it stands in sentences.

    Examples
    --------
    >>> short("nats per token")
    'nats/token'
    """
    return unit.replace(" per ", "/")


def setting(reading: Reading, name: str) -> float:
    """Return a numeric setting of the method; 0 where it is absent or no finite number."""
    value = reading.hyper.get(name)
    return float(value) if isinstance(value, int | float) and abs(value) < ABSURD else 0.0


def start_loss(reading: Reading) -> float | None:
    """Return where the loss of a paired method starts; None where that is not known.

    It is not with an SFT term, and for a method without a reference.
    """
    method = reading.method
    if method is None or not method.paired or reading.column("sft_loss")[0].size:
        return None
    settings = {one.name: setting(reading, one.name) for one in method.hyperparameters}
    words = {k: v for k, v in method.hyper().items() if isinstance(v, str)}
    if settings.get("sft_weight") or settings.get("beta") == 0:
        return None
    try:
        start = method.start_loss({**settings, **words})
    except (ArithmeticError, ValueError):
        return None
    return start if start is not None and 0 < start < ABSURD else None
