"""Reading: what several checks need to know of one run, each fact worked out once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from diagnostics.attribution import Attribution, attribute
from diagnostics.entanglement import Measured, measurements
from diagnostics.intervals import Floats, Ints
from diagnostics.methods import METHODS, Method
from diagnostics.phases import RegimeVerdict, name_regime
from diagnostics.probegrid import ProbeGrid, probe_grid
from diagnostics.run import Run
from diagnostics.series import MIN_LOGGED, Changes, Logged, logged, source
from diagnostics.share import SPLITS, ShareEstimate, default_split, trajectory
from diagnostics.trends import Direction, FittedLines, PairTrends, fitted

__all__ = ["MIN_LOGGED", "Reading"]


@dataclass(frozen=True)
class Reading:
    """One run with its derived facts. They are computed when first asked for, and never raise."""

    run: Run

    @cached_property
    def method(self) -> Method | None:
        """The facts of the run's method; None where it is unknown."""
        return METHODS.get(self.run.method or "")

    @cached_property
    def hyper(self) -> Mapping[str, Any]:
        """The method's settings as configured, with the method's defaults for what is not known."""
        if self.method is None:
            return dict(self.run.config)
        names = {one.name for one in self.method.hyperparameters}
        return self.method.hyper({k: v for k, v in self.run.config.items() if k in names})

    @cached_property
    def estimates(self) -> list[ShareEstimate]:
        """The probe set's estimates by evaluation, on the split that the regime is named on."""
        return self.tracks[default_split(self.run)]

    @property
    def held_out(self) -> list[ShareEstimate]:
        """The same on the held-out pairs."""
        return self.tracks["held_out"]

    @cached_property
    def tracks(self) -> Mapping[str, list[ShareEstimate]]:
        """The estimates of each split of the probe set by evaluation; empty where it has none."""
        return {split: trajectory(self.run, split) for split in SPLITS}

    @cached_property
    def attribution(self) -> Attribution | None:
        """Which tokens the margin of the train pairs came from; None where nobody can tell."""
        return attribute(self.run)

    @cached_property
    def bands(self) -> list[Measured]:
        """The band of the probe batch at each evaluation whose gradients are in the log."""
        return measurements(self.run, str(self.hyper.get("sft_reduction", "token")))

    @cached_property
    def grid(self) -> ProbeGrid | None:
        """The probe pairs of the split that the regime is named on; None without paired ones."""
        return probe_grid(self.run)

    @cached_property
    def logged(self) -> tuple[Logged, ...]:
        """The logged changes with their directions, the rows to judge by first."""
        return logged(self.run)

    @cached_property
    def regime(self) -> RegimeVerdict:
        """The regime of the run with its evidence."""
        return name_regime(self.run, rewards=self.logged)

    @property
    def changes(self) -> Changes | None:
        """The logged rewards as changes: train rows, or eval rows where only these suffice."""
        return self.logged[0].changes if self.logged else None

    @property
    def trends(self) -> PairTrends | None:
        """Directions and phases of the logged changes; None where neither side is logged."""
        return self.logged[0].trends if self.logged else None

    @cached_property
    def fit(self) -> tuple[str, FittedLines] | None:
        """The family of columns that the trends were read from, and their lines in its unit.

        None where no direction of a side was read from training rows.
        """
        found, trends = self.changes, self.trends
        if found is None or trends is None or found.rows != "train":
            return None
        if {trends.chosen.direction, trends.rejected.direction} == {Direction.INCONCLUSIVE}:
            return None
        family = source(self.run)
        sides = (self.run.train[f"{family}/{side}"] for side in ("chosen", "rejected"))
        numbers = [np.asarray(pd.to_numeric(one, errors="coerce"), np.float64) for one in sides]
        lines = fitted(found.steps, *numbers)
        return None if lines is None else (family, lines)

    def column(self, name: str, rows: str = "train") -> tuple[Ints, Floats]:
        """Return steps and finite values of a logged metric; both empty where it is not logged."""
        if (name, rows) not in self._columns:
            self._columns[name, rows] = self._column(name, rows)
        return self._columns[name, rows]

    @cached_property
    def _columns(self) -> dict[tuple[str, str], tuple[Ints, Floats]]:
        return {}

    def _column(self, name: str, rows: str) -> tuple[Ints, Floats]:
        frame = self.run.train if rows == "train" else self.run.evals
        if name not in frame:
            return np.empty(0, np.int64), np.empty(0)
        values = np.asarray(pd.to_numeric(frame[name], errors="coerce"), dtype=np.float64)
        finite = np.isfinite(values)
        found = frame.index.to_numpy(np.int64)[finite], values[finite]
        for array in found:
            array.flags.writeable = False  # several checks share it
        return found

    def table(self, name: str) -> pd.DataFrame:
        """Return a pair table of the run ("probe", "samples", "entanglement", …), or no rows."""
        own = {"probe": self.run.probes, "samples": self.run.samples}
        return own[name] if name in own else self.run.tables.get(name, pd.DataFrame())
