"""ms-swift's `logging.jsonl`: one row a log event, the step as "10/176", a summary at the end.

The transformers trainers write `global_step/max_steps`, the Megatron ones `iteration`. Keys are
TRL's; floats are rounded to 8 decimals.
"""

from __future__ import annotations

from pathlib import Path

from diagnostics.errors import MalformedLog
from diagnostics.readers.assembly import assemble, records_of
from diagnostics.readers.contract import Hints, Reader
from diagnostics.readers.following import GrowingLog
from diagnostics.readers.jsonlines import JsonRows, damage
from diagnostics.readers.opening import head_rows, recognising
from diagnostics.readers.producers import SWIFT
from diagnostics.readers.sidecars import configuration_beside
from diagnostics.run import Run

STEP_KEYS = ("global_step/max_steps", "iteration")


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is a `logging.jsonl` of ms-swift."""
    if not path.is_file():
        return False
    row = next(head_rows(path), {})
    return any("/" in str(row.get(key, "")) for key in STEP_KEYS)


def read(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the run of a `logging.jsonl`.

    Raises
    ------
    ReadError
        When the system refuses to read it.
    MalformedLog
        When no row states a step.
    """
    return _log(path, hints).read()


def _log(path: Path, hints: Hints) -> GrowingLog[JsonRows]:
    return GrowingLog(path, JsonRows, lambda rows: _runs(path, rows, hints))


def _runs(path: Path, rows: JsonRows, hints: Hints) -> tuple[Run, ...]:
    records = []
    config = configuration_beside(path)
    for row in rows:
        if "iteration" in row and "global_step/max_steps" not in row:
            config.setdefault("megatron", True)
        records += records_of(row)
    if not any(record.step is not None for record in records):
        raise MalformedLog(
            f"{path}: no row states its step, expected rows with 'global_step/max_steps';"
            " give the logging.jsonl that ms-swift wrote"
        )
    return (
        assemble(
            records,
            path=path,
            reader=READER.name,
            config=config,
            name=path.absolute().parent.name,
            hints=hints.over(Hints(framework=SWIFT)),
            caveats=damage(rows.damaged),
        ),
    )


READER = Reader(
    name="swift",
    title="ms-swift logging.jsonl",
    recognises=recognises,
    read=read,
    export_hint="Give the logging.jsonl in the output folder of swift rlhf.",
    follow=_log,
)
