"""A diagnosis as plain data for programs: the JSON of docs/diagnosis.md.

Fields are added, never renamed or taken away. What is not known is null: JSON has no NaN.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from math import isfinite
from typing import Any

import numpy as np

from diagnostics.diagnosis import Diagnosis
from diagnostics.forecast import Forecast, Refusal
from diagnostics.naming import Basis, NamedPhase
from diagnostics.phases import regime_path


def record(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return everything about one run, as dictionaries, lists, texts and numbers."""
    run, verdict = diagnosis.run, diagnosis.regime
    spans = regime_path(run, verdict.estimate.split)
    return {
        "name": run.name,
        "path": run.source.path,
        "part": run.source.part,
        "method": run.method,
        "framework": run.source.framework,
        "version": run.source.version,
        "reader": run.source.reader,
        "status": run.status,
        "last_step": run.last_step,
        "n_points": n_points(diagnosis),
        "healthy": diagnosis.healthy,
        "basis": verdict.basis,
        "directions": asdict(verdict.directions),
        "regime": verdict.regime,
        "label": verdict.label,
        "benign": verdict.benign,
        "sentence": verdict.sentence,
        "reason": verdict.reason,
        "since": verdict.since_step,
        "since_step": verdict.since_step,
        "severity": verdict.severity,
        "confidence": verdict.confidence,
        "movement": None if verdict.movement is None else asdict(verdict.movement),
        "share": None if verdict.share is None else asdict(verdict.share),
        "estimate": asdict(verdict.estimate),
        "phases": [_phase(phase) for phase in verdict.phases],
        "logged_phases": [_phase(phase) for phase in verdict.logged_phases],
        "regime_path": [
            {"first_step": first, "last_step": last, "regime": regime}
            for first, last, regime in spans
        ],
        "evidence": [asdict(one) for one in verdict.evidence],
        "verdicts": [asdict(one) for one in diagnosis.verdicts],
        "causes": [asdict(one) for one in diagnosis.causes],
        "unexplained": diagnosis.unexplained,
        "forecast": _forecast(diagnosis.forecast),
        "caveats": list(diagnosis.caveats),
        "run_caveats": list(run.caveats),
        "unrecognised": list(run.unrecognised),
    }


def _forecast(forecast: Forecast | Refusal) -> dict[str, Any]:
    if isinstance(forecast, Refusal):
        return {"refused": forecast.reason}
    return {"refused": None, **asdict(forecast)}


def n_points(diagnosis: Diagnosis) -> int:
    """Return how many points the regime was read from: evaluations, or logged records."""
    reading = diagnosis.reading
    if diagnosis.regime.basis is Basis.PROBE:
        return len(reading.estimates)
    return 0 if reading.changes is None else reading.changes.points


def _phase(phase: NamedPhase) -> dict[str, Any]:
    return {
        "start": phase.start,
        "end": phase.end,
        "regime": "start" if phase.is_start else phase.regime,
        "directions": asdict(phase.directions),
        "basis": phase.basis,
    }


def to_json(value: Any) -> str:
    """Return strict JSON, with null for every number that JSON cannot hold."""
    return json.dumps(plain(value), ensure_ascii=False, indent=2, allow_nan=False)


def plain(value: Any) -> Any:
    """Return the value in the types of JSON.

    Examples
    --------
    >>> plain({"a": float("nan"), 3: (np.int64(2), Basis.PROBE)})
    {'a': None, '3': [2, 'probe']}
    """
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not isfinite(value):
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)
