"""Diagnosis: everything that can be said of one run, and the only thing that is shown of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from diagnostics.attribution import Attribution, attribute
from diagnostics.causes import causes, unexplained
from diagnostics.entanglement import Measured
from diagnostics.events import Event, events
from diagnostics.forecast import Forecast, Refusal, forecast, learning_rate_clock
from diagnostics.naming import SEVERITY_BANDS, RegimeVerdict
from diagnostics.parts import Parts, of_log, of_probe
from diagnostics.pathologies import PATHOLOGIES
from diagnostics.reading import Reading
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.share import default_split
from diagnostics.verdicts import Cause, Status, Verdict

# What is worst stands first; checks of one rank keep the catalogue's order.
_RANK = {
    Status.PRESENT: 0,
    Status.SUSPECTED: 1,
    Status.UNKNOWN: 2,
    Status.ABSENT: 3,
    Status.NOT_APPLICABLE: 4,
}
_WORDS = [word for _, word in reversed(SEVERITY_BANDS)]


@dataclass(frozen=True)
class Diagnosis:
    """The regime of a run, the verdicts of every check, worst first, and why it moved so.

    `unexplained` says, where a movement needs a cause and none was found, what is not in the log.
    """

    reading: Reading
    regime: RegimeVerdict
    verdicts: tuple[Verdict, ...]
    causes: tuple[Cause, ...]
    unexplained: str | None
    forecast: Forecast | Refusal

    @property
    def run(self) -> Run:
        """The run that was diagnosed."""
        return self.reading.run

    @property
    def present(self) -> tuple[Verdict, ...]:
        """The pathologies that are established."""
        return tuple(one for one in self.verdicts if one.status is Status.PRESENT)

    @property
    def suspected(self) -> tuple[Verdict, ...]:
        """The pathologies whose signs are there, and what would settle them is not."""
        return tuple(one for one in self.verdicts if one.status is Status.SUSPECTED)

    @property
    def leading(self) -> str:
        """The name of the pathology that says the same as the regime."""
        name = self.regime.regime.value
        return "flat_run" if self.regime.regime is Regime.FLAT else name

    @property
    def healthy(self) -> bool:
        """Whether a regime could be named and no check says that something is wrong."""
        return self.regime.regime is not Regime.UNKNOWN and not (self.present or self.suspected)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """The records at which the log spikes, bursts or has no number."""
        return events(self.reading)

    @cached_property
    def parts(self) -> Parts | None:
        """What the margin is made of: on the probe pairs, or else in the logged changes."""
        changes = self.reading.changes
        return of_probe(self.reading.estimates) or (of_log(changes) if changes else None)

    @property
    def bands(self) -> list[Measured]:
        """The band of the probe batch at each evaluation whose gradients are in the log."""
        return self.reading.bands

    @cached_property
    def attribution(self) -> Attribution | None:
        """Which tokens the margin came from."""
        split = default_split(self.run)
        return self.reading.attribution if split == "train" else attribute(self.run, split=split)

    @property
    def urgency(self) -> tuple[int, int]:
        """A key that sorts runs: the worst finding first, then what nobody can tell, then health.

        A run whose regime has no name comes before a healthy one, whatever its checks say.
        """
        status, severity = _rank(self.verdicts[0])
        if self.healthy:
            return _RANK[Status.ABSENT], severity
        return min(status, _RANK[Status.UNKNOWN]), severity

    @cached_property
    def caveats(self) -> tuple[str, ...]:
        """What must be known beside the numbers: of the verdict, then of the log; each once."""
        said: list[str] = []
        for one in (*self.regime.caveats, *self.run.caveats):
            if not any(one.rstrip(".").lower() in other.lower() for other in said):
                said.append(one)
        return tuple(said)


def diagnose(run: Run) -> Diagnosis:
    """Return the diagnosis of a run; it never raises, whatever the run holds."""
    reading = Reading(run)
    verdicts = [one.check(reading) for one in PATHOLOGIES]
    return Diagnosis(
        reading=reading,
        regime=reading.regime,
        verdicts=tuple(sorted(verdicts, key=_rank)),
        causes=causes(reading),
        unexplained=unexplained(reading),
        forecast=_forecast(reading),
    )


def _forecast(reading: Reading) -> Forecast | Refusal:
    """Return where chosen is going, on the clock of the configured learning rate."""
    config = reading.run.config
    total, warmup = config.get("max_steps"), config.get("warmup_ratio")
    if not isinstance(total, int) or isinstance(total, bool) or total < 1:
        return forecast(reading.estimates)
    schedule = str(config.get("lr_scheduler_type", ""))
    rise = float(warmup) if isinstance(warmup, int | float) and 0 <= warmup < 1 else 0.0
    return forecast(reading.estimates, total, learning_rate_clock(schedule, total, rise))


def _rank(verdict: Verdict) -> tuple[int, int]:
    worst = len(_WORDS)
    severity = _WORDS.index(verdict.severity) if verdict.severity in _WORDS else worst
    return _RANK[verdict.status], severity
