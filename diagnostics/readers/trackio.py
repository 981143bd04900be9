"""trackio's local store: one SQLite file a project, a JSON object of metrics a call of `log`.

Names are those that transformers gives to trackers (`train/rewards/chosen`,
`train/global_step`); the `step` column counts the calls of `log`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from diagnostics.errors import MalformedLog
from diagnostics.readers import sqlite
from diagnostics.readers.assembly import assemble
from diagnostics.readers.contract import Hints, Reader
from diagnostics.readers.opening import json_value, recognising
from diagnostics.readers.wandb import tracked
from diagnostics.run import Run

MOST_RUNS = 500
# trackio writes JSON, which has no words for these.
_WORDS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is a project of trackio."""
    if not sqlite.is_sqlite(path):
        return False
    return sqlite.tables_of(path).get("metrics", set()) >= {"run_name", "step", "metrics"}


def read(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the runs of a project, in the order in which they began.

    Raises
    ------
    ReadError
        When the system refuses to read it.
    MalformedLog
        When the database is damaged or empty.
    """
    # Older versions tell runs apart by their names only.
    has_id = "run_id" in sqlite.tables_of(path).get("metrics", set())
    key = "run_id" if has_id else "run_name"
    found: dict[str, tuple[str, list[dict[str, Any]]]] = {}
    with sqlite.opened(path) as database:
        query = f"SELECT {key}, run_name, step, timestamp, metrics FROM metrics ORDER BY id"
        for own, name, step, time, text in sqlite.rows(database, query):
            row = _object(text)
            if str(own) not in found and len(found) >= MOST_RUNS:
                continue
            _, rows = found.setdefault(str(own), (str(name), []))
            rows.append({**row, "_step": step, "_timestamp": _seconds(time)})
        configs = _configurations(database, key)
    if not found:
        raise MalformedLog(
            f"{path}: holds no run yet, expected rows of metrics;"
            " give the project file once the run has logged something"
        )
    names = [name for name, _ in found.values()]
    return tuple(
        assemble(
            tracked(rows),
            path=path,
            reader=READER.name,
            config=configs.get(own, {}),
            name=name,
            part=_part(name, own, names),
            hints=hints,
        )
        for own, (name, rows) in found.items()
    )


def _part(name: str, own: str, names: list[str]) -> str | None:
    if len(names) == 1:
        return None
    return name if names.count(name) == 1 else f"{name} ({own[:8]})"


def _configurations(database: Any, key: str) -> dict[str, dict[str, Any]]:
    tables = {row[0] for row in sqlite.rows(database, "SELECT name FROM sqlite_master")}
    if "configs" not in tables:
        return {}
    rows = sqlite.rows(database, f"SELECT {key}, config FROM configs")
    return {str(own): _settings(text) for own, text in rows}


def _settings(text: Any) -> dict[str, Any]:
    return {name: value for name, value in _object(text).items() if not name.startswith("_")}


def _object(text: Any) -> dict[str, Any]:
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    value = json_value(data) if isinstance(data, bytes) else None
    if not isinstance(value, Mapping):
        return {}
    return {
        str(name): _WORDS.get(one, one) if isinstance(one, str) else one
        for name, one in value.items()
    }


def _seconds(time: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(time)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


READER = Reader(
    name="trackio",
    title="trackio project",
    recognises=recognises,
    read=read,
    export_hint="Train with report_to='trackio' and give ~/.cache/huggingface/trackio/PROJECT.db.",
)
