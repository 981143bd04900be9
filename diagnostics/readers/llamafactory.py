"""LLaMA-Factory's `trainer_log.jsonl`, of which there are two with one name.

The default trainer (v0) writes loss, accuracy and times, and never rewards: what is asked of a
preference log stands in `trainer_state.json` beside it, which is read instead. The newer trainer
(v1) writes the preference metrics too, computed on the last micro-batch of rank 0.
"""

from __future__ import annotations

from pathlib import Path

from diagnostics.errors import MalformedLog
from diagnostics.readers.assembly import assemble, records_of
from diagnostics.readers.contract import Hints, Reader
from diagnostics.readers.following import GrowingLog
from diagnostics.readers.jsonlines import JsonRows, damage
from diagnostics.readers.opening import head_rows, recognising
from diagnostics.readers.sidecars import configuration_beside
from diagnostics.readers.trainer_state import READER as TRAINER_STATE
from diagnostics.run import Run

# Written by v0 into every line, by v1 never; v1 counts in "step".
_V0_KEYS = {"current_steps", "total_steps"}
_V1_KEYS = {"step", "total_steps"}


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is a `trainer_log.jsonl` of either version."""
    if not path.is_file():
        return False
    row = next(head_rows(path), {})
    return row.keys() >= _V0_KEYS or row.keys() >= _V1_KEYS


def read(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the run of a v1 log, or of the `trainer_state.json` beside a v0 log.

    Raises
    ------
    ReadError
        When the system refuses to read it.
    MalformedLog
        When it is a v0 log that lies alone.
    """
    return _log(path, hints).read()


def _log(path: Path, hints: Hints) -> GrowingLog[JsonRows]:
    return GrowingLog(path, JsonRows, lambda rows: _runs(path, rows, hints))


def _runs(path: Path, rows: JsonRows, hints: Hints) -> tuple[Run, ...]:
    if next(iter(rows), {}).keys() >= _V0_KEYS:
        state = path.with_name("trainer_state.json")
        if not state.is_file():
            raise MalformedLog(
                f"{path}: is LLaMA-Factory's progress log, which never holds rewards/chosen or"
                " rewards/rejected, expected the trainer_state.json of the same output folder;"
                " give that file or the whole output folder"
            )
        return TRAINER_STATE.read(state, hints)
    records = [record for row in rows for record in records_of(row)]
    told = Hints(framework="LLaMA-Factory", version="v1")
    return (
        assemble(
            records,
            path=path,
            reader=READER.name,
            config=configuration_beside(path),
            name=path.absolute().parent.name,
            hints=hints.over(told),
            caveats=damage(rows.damaged),
        ),
    )


READER = Reader(
    name="llamafactory",
    title="LLaMA-Factory trainer_log.jsonl",
    recognises=recognises,
    read=read,
    export_hint=(
        "Give the output_dir of LLaMA-Factory: rewards are in its trainer_state.json,"
        " not in trainer_log.jsonl."
    ),
    follow=_log,
)
