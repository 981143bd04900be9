"""Run: the frozen record of one training run, and the only thing that analyses receive."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from diagnostics.meaning import Meaning
from diagnostics.pairtables import widened
from diagnostics.runlog import PAIR_TABLES

# Columns of `train` and `evals` that are no metrics: when the row was written [seconds, Unix].
EXTRA_COLUMNS = ("time",)


@dataclass(frozen=True)
class Source:
    """Where a run came from; `version` is the framework's own.

    `part` names the run inside a file that holds several (a notebook cell, a restart).
    """

    path: str
    reader: str
    framework: str
    version: str | None = None
    part: str | None = None


def empty_steps() -> pd.DataFrame:
    """Return a `train` or `evals` frame without rows: an index called step, no columns."""
    return pd.DataFrame(index=pd.Index([], dtype=np.int64, name="step"))


def empty_pairs(table: str) -> pd.DataFrame:
    """Return a frame without rows in the columns of a pair table ("probe" or "samples")."""
    return pair_frame(PAIR_TABLES[table].empty_table())


def pair_frame(rows: Any) -> pd.DataFrame:
    """Return the rows of a pair table (an Arrow table) with integers and floats of 64 bits."""
    return widened(rows).to_pandas()


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """One training run.

    `train` and `evals` are indexed by optimizer step (ascending, unique) and hold schema columns
    as float64, a column `time` where the log has it, and the columns named in `unrecognised`.
    `probes` and `samples` are the pair tables "probe" and "samples" of docs/run-log.md, one row a
    pair and evaluation. `status` is "running", "completed", "failed" or "stopped"; a run whose
    process was killed never said so and stays "running". `meaning` says what the logged rewards
    are, None where the reader cannot tell. `caveats` are sentences on what the numbers of this
    source do not mean. `tables` holds the other pair tables of docs/run-log.md by name.

    Two runs are equal when all their fields are, NaN counting as equal to NaN.
    """

    name: str
    method: str | None
    train: pd.DataFrame = field(default_factory=empty_steps)
    evals: pd.DataFrame = field(default_factory=empty_steps)
    probes: pd.DataFrame = field(default_factory=lambda: empty_pairs("probe"))
    samples: pd.DataFrame = field(default_factory=lambda: empty_pairs("samples"))
    config: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    source: Source
    status: str = "running"
    unrecognised: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    meaning: Meaning | None = None
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def last_step(self) -> int | None:
        """The last optimizer step that any table knows, or None for a run without rows."""
        steps = [int(frame.index[-1]) for frame in (self.train, self.evals) if len(frame)]
        steps += [int(table["step"].max()) for table in (self.probes, self.samples) if len(table)]
        return max(steps, default=None)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Run):
            return NotImplemented
        if self._words() != other._words():
            return False
        frames = zip(self._frames(), other._frames(), strict=True)
        return all(mine.equals(theirs) for mine, theirs in frames)

    __hash__ = None  # type: ignore[assignment]

    def _frames(self) -> tuple[pd.DataFrame, ...]:
        others = (self.tables[name] for name in sorted(self.tables))
        return self.train, self.evals, self.probes, self.samples, *others

    def _words(self) -> tuple[object, ...]:
        # JSON writes every NaN alike, whereas two NaN objects never compare equal.
        mappings = json.dumps([dict(self.config), dict(self.header)], sort_keys=True, default=str)
        words = (self.name, self.method, self.source, self.status, self.meaning)
        return (*words, self.unrecognised, self.caveats, *sorted(self.tables), mappings)
