"""Which framework, version and method wrote a log, and what its numbers mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from diagnostics.meaning import Meaning
from diagnostics.readers.contract import NO_HINTS, Hints


@dataclass(frozen=True)
class Facts:
    """What is known of a log: its frames under the framework's keys, and what is beside it."""

    train: pd.DataFrame
    evals: pd.DataFrame
    config: Mapping[str, Any] = field(default_factory=dict)
    hints: Hints = NO_HINTS
    final: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Identity:
    """Who wrote a log, and how its columns become schema columns.

    `names` maps a framework's key to the schema name and what to multiply by.
    """

    framework: str
    version: str | None
    method: str | None
    meaning: Meaning | None
    names: Mapping[str, tuple[str, float]]
    config: Mapping[str, Any] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()


def identify(facts: Facts) -> Identity:
    """Return who wrote a log and what its numbers mean."""
    names = {key: (name, 1.0) for key, name in facts.hints.columns.items()}
    return Identity(
        facts.hints.framework or "unknown", facts.hints.version, facts.hints.method, None, names
    )
