"""When a run that still grows is diagnosed anew.

A diagnosis looks at the whole log, so its cost grows with it, and every step of a training would
ask for one. It is made again only when it can say something new: at once when an evaluation has
arrived, the run has ended, or another run has taken its place; otherwise when the log has grown
by a twentieth and some seconds have passed. Over a whole run this costs a bounded number of
diagnoses, however often somebody looks.
"""

from __future__ import annotations

from diagnostics.run import Run

GROWTH = 0.05
"""Training rows that must have come, as a fraction of those diagnosed: no trend of a log turns
within less, and the diagnoses of a whole run cost about as much as twenty of its full length."""

PAUSE = 10.0
"""Seconds between two diagnoses of a log that brought nothing but training rows."""


def is_due(diagnosed: Run, now: Run, seconds: float) -> bool:
    """Return whether a run should be diagnosed again.

    Parameters
    ----------
    diagnosed
        The run as it was when it was diagnosed last.
    now
        The run as its log says now.
    seconds
        Time since that diagnosis [seconds].
    """
    if diagnosed.status != now.status or _evaluated(diagnosed) != _evaluated(now):
        return True
    if diagnosed.header != now.header or len(now.train) < len(diagnosed.train):
        return True
    grown = len(now.train) - len(diagnosed.train)
    return seconds >= PAUSE and grown > GROWTH * len(diagnosed.train)


def _evaluated(run: Run) -> tuple[int, ...]:
    """Return how many rows there are of everything that is not written at every step."""
    tables = (run.evals, run.probes, run.samples, *(run.tables[name] for name in run.tables))
    return tuple(len(table) for table in tables)
