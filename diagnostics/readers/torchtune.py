"""torchtune's `log_<time>.txt` and `.jsonl`: one row a step, log-probs called `log_probs`.

Each start of a recipe writes a file of its own, so a file is one run. In text a row is
`Step 3 | loss:0.69 lr:2e-05 … rewards/chosen:0.0123`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from diagnostics.errors import MalformedLog
from diagnostics.readers.assembly import assemble, records_of
from diagnostics.readers.contract import Hints, Reader
from diagnostics.readers.following import MOST_ROWS, GrowingLog
from diagnostics.readers.jsonlines import JsonRows, damage
from diagnostics.readers.lineblocks import LineBlocks
from diagnostics.readers.opening import head, head_rows, recognising
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
    return _log(path, hints).read()


def _log(path: Path, hints: Hints) -> GrowingLog[JsonRows] | GrowingLog[_TextRows]:
    if head(path).lstrip()[:1] == b"{":
        return GrowingLog(path, JsonRows, lambda rows: _runs(path, rows, hints))
    return GrowingLog(path, _TextRows, lambda rows: _runs(path, rows, hints))


def _runs(path: Path, rows: JsonRows | _TextRows, hints: Hints) -> tuple[Run, ...]:
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
            caveats=damage(rows.damaged),
        ),
    )


class _TextRows:
    """The rows of a log of text, as far as it was read."""

    def __init__(self) -> None:
        self.offset = 0
        self.damaged: list[int] = []
        self._rows: list[dict[str, Any]] = []
        self._rest = b""

    @property
    def is_bulky(self) -> bool:
        """Whether there are too many rows to be kept until the file has grown."""
        return len(self._rows) > MOST_ROWS

    def read_on(self, stream: BinaryIO) -> None:
        """Add the lines from the stream's position on."""
        blocks = LineBlocks(stream)
        for block in blocks:
            self._rows += _rows_of(block)
        self.offset, self._rest = blocks.offset, blocks.rest

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows, an unfinished last one too."""
        yield from self._rows
        yield from _rows_of(self._rest)


def _rows_of(block: bytes) -> Iterator[dict[str, Any]]:
    for line in block.split(b"\n"):
        row = _ROW.fullmatch(line.strip()) if len(line) < LONGEST_LINE else None
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
    follow=_log,
)
