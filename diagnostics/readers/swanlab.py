"""SwanLab on this machine: the folder of one run, or its `.swanlab` file.

The file is a chunked log of protocol buffers, one record a metric and step, written with the
modes offline, local and cloud alike. Names are those that the framework's integration gives:
transformers logs `train/rewards/chosen`, `eval/loss`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagnostics.errors import MalformedLog
from diagnostics.readers import chunked, protobuf
from diagnostics.readers.assembly import Record, assemble, records_of
from diagnostics.readers.contract import Hints, Reader
from diagnostics.readers.numbers import number
from diagnostics.readers.opening import head, names_in, open_log, recognising
from diagnostics.run import Run

MARK = b":SWL"
SUFFIX = ".swanlab"
VERSION = 2

# Numbers of fields in SwanLab's own messages, as its package publishes them.
_START, _SCALAR = 10, 13
_START_NAME = 4
_KEY, _STEP, _TIME, _VALUE = 1, 2, 4, 5

MOST_KEYS = 2000
# files/config.yaml: "beta:", then its "value: 0.1" further in.


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is a `.swanlab` file or the folder of one run."""
    if path.is_dir():
        return bool(_files(path))
    return head(path)[:4] == MARK


def read(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the run of a folder or a file.

    Raises
    ------
    ReadError
        When the system refuses to read it.
    MalformedLog
        When it holds no metric, or was written in another version of the format.
    """
    file = _files(path)[0] if path.is_dir() else path
    contents = _Contents()
    damaged: list[int] = []
    version = head(file)[6:7]
    if version and version[0] != VERSION:
        raise MalformedLog(
            f"{path}: was written in version {version[0]} of SwanLab's format, expected {VERSION};"
            " convert it with the SwanLab that wrote it, or export its charts as CSV"
        )
    with open_log(file) as stream:
        for record in chunked.records(stream, damaged):
            _take(record, contents)
    if not contents.rows:
        raise MalformedLog(
            f"{path}: holds no metrics, expected the scalars of a SwanLab run;"
            " give the folder of a run that has logged something"
        )
    records: list[Record] = []
    for step in sorted(contents.rows):
        values = contents.rows[step]
        found = records_of(values, time=contents.times.get(step))
        records += [row._replace(step=step) if row.step is None else row for row in found]
    said = len(damaged) + contents.damaged
    return (
        assemble(
            records,
            path=path,
            reader=READER.name,
            config=_configuration(file.parent),
            name=contents.name or path.stem,
            hints=hints,
            caveats=[f"The file is damaged at {said} places; what was there is left out."]
            if said
            else [],
        ),
    )


@dataclass
class _Contents:
    """What a file says: metrics by step."""

    rows: dict[int, dict[str, float]] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    name: str = ""
    damaged: int = 0


def _files(folder: Path) -> list[Path]:
    return [folder / name for name in names_in(folder) if name.endswith(SUFFIX)][:1]


def _take(record: bytes, contents: _Contents) -> None:
    try:
        for number_, _, value in protobuf.fields(record):
            if number_ == _SCALAR:
                _take_scalar(protobuf.content(value), contents)
            elif number_ == _START:
                for inner, _, name in protobuf.fields(protobuf.content(value)):
                    if inner == _START_NAME:
                        contents.name = protobuf.text(name)
    except ValueError:
        contents.damaged += 1


def _take_scalar(message: bytes, contents: _Contents) -> None:
    # A number or a step of zero is left out of the message.
    key, step, scalar, time = "", 0, 0.0, math.nan
    for field_number, _, value in protobuf.fields(message):
        if field_number == _KEY:
            key = protobuf.text(value)
        elif field_number == _STEP:
            step = protobuf.whole(value)
        elif field_number == _VALUE:
            for inner, _, one in protobuf.fields(protobuf.content(value)):
                if inner == 1:
                    scalar = protobuf.double(one)
        elif field_number == _TIME:
            time = _seconds(protobuf.content(value))
    if step < 0 or (key not in contents.keys and len(contents.keys) >= MOST_KEYS):
        return
    contents.keys.add(key)
    contents.rows.setdefault(step, {})[key] = scalar
    contents.times[step] = time


def _seconds(message: bytes) -> float:
    seconds = nanos = 0
    for field_number, _, value in protobuf.fields(message):
        if field_number == 1:
            seconds = protobuf.whole(value)
        elif field_number == 2:
            nanos = protobuf.whole(value)
    return seconds + nanos / 1e9


def _configuration(folder: Path) -> dict[str, Any]:
    """Return the configuration that SwanLab keeps beside its file."""
    text = head(folder / "files" / "config.yaml").decode("utf-8", "replace")
    found: dict[str, Any] = {}
    key = None
    for line in text.split("\n"):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if colon and not line[:1].isspace():
            key = None if value else name
        elif key and colon and name == "value":
            value = value.removeprefix("'").removesuffix("'")
            parsed = number(value) if value else None
            found[key] = value if parsed is None or math.isnan(parsed) else parsed
            key = None
    return found


READER = Reader(
    name="swanlab",
    title="SwanLab run folder",
    recognises=recognises,
    read=read,
    export_hint="Train with report_to='swanlab' (any mode) and give swanlog/run-….",
)
