"""torchtune's `log_<time>.txt` and `.jsonl`: one row a step, log-probs called `log_probs`.

Each start of a recipe writes a file of its own, so a file is one run. In text a row is
`Step 3 | loss:0.69 lr:2e-05 … rewards/chosen:0.0123`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diagnostics.errors import MalformedLog
from diagnostics.readers.assembly import assemble, records_of
from diagnostics.readers.contract import Hints, Reader
from diagnostics.readers.jsonlines import damage, json_rows
from diagnostics.readers.opening import head, head_rows, open_log, recognising
from diagnostics.readers.producers import TORCHTUNE
from diagnostics.readers.sidecars import configuration_beside
from diagnostics.run import Run

_ROW = re.compile(rb"Step (\d{1,15}) \| (\S+:\S+ ?.*)")
_PAIR = re.compile(rb"([^\s:]+):(\S+)")
LONGEST_LINE = 1 << 16


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is a log that torchtune wrote on disk, as text or as JSON lines."""
    if not path.is_file():
        return False
    if any(_ROW.fullmatch(line.strip()) for line in head(path)[:8192].split(b"\n")[:-1]):
        return True
    return "log_probs/chosen" in next(head_rows(path), {})


def read(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the run of one log file.

    Raises
    ------
    ReadError
        When the system refuses to read it.
    MalformedLog
        When it holds no row.
    """
    damaged: list[int] = []
    is_text = head(path).lstrip()[:1] != b"{"
    rows = _text_rows(path) if is_text else json_rows(path, damaged)
    records = [record for row in rows for record in records_of(row)]
    if not records:
        raise MalformedLog(
            f"{path}: holds no row, expected lines like 'Step 3 | loss:0.69';"
            " give the log file of a recipe that has trained"
        )
    return (
        assemble(
            records,
            path=path,
            reader=READER.name,
            config=configuration_beside(path),
            name=path.stem,
            hints=hints.over(Hints(framework=TORCHTUNE)),
            caveats=damage(damaged),
        ),
    )


def _text_rows(path: Path) -> Iterator[dict[str, Any]]:
    with open_log(path) as stream:
        while line := stream.readline(LONGEST_LINE):
            row = _ROW.fullmatch(line.strip())
            if row is not None:
                values = {
                    key.decode("utf-8", "replace"): value.decode("utf-8", "replace")
                    for key, value in _PAIR.findall(row[2])
                }
                yield {"step": int(row[1]), **values}


READER = Reader(
    name="torchtune",
    title="torchtune disk log",
    recognises=recognises,
    read=read,
    export_hint="Use torchtune's DiskLogger and give the log_<time>.txt of its log_dir.",
)
