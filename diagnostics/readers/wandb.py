"""Weights & Biases on this machine: an offline run folder, or a `.wandb` file.

The file is a chunked log of protocol buffers (`chunked`, `protobuf`): the run with its
configuration, then one record a call of `log`. `_step` counts those calls; the optimizer step is
`train/global_step` or whatever the framework logs it as. The console text in `files/output.log`
is another copy of the same rows with fewer digits and is not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagnostics.errors import MalformedLog
from diagnostics.readers import chunked, protobuf
from diagnostics.readers.assembly import Record, assemble, records_of
from diagnostics.readers.contract import Hints, Reader
from diagnostics.readers.opening import head, json_value, names_in, open_log, recognising
from diagnostics.readers.progress import tell
from diagnostics.run import Run

MARK = b":W&B"
SUFFIX = ".wandb"

# Numbers of fields in W&B's own messages, as its package publishes them.
_HISTORY, _CONFIG, _SUMMARY, _RUN, _EXIT = 2, 5, 3, 17, 18
_RUN_CONFIG, _RUN_NAME = 4, 8
_KEY, _NESTED_KEY, _NONE, _BOOLEAN, _INTEGER, _NUMBER, _TEXT, _JSON = range(1, 9)
_VALUE_JSON = 16

# A row of more values than this is no row of metrics.
MOST_VALUES = 5000


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is a `.wandb` file or the folder of one offline run."""
    if path.is_dir():
        return bool(_files(path))
    return head(path)[:4] == MARK


def read(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the run of a folder or a `.wandb` file.

    Raises
    ------
    ReadError
        When the system refuses to read it.
    MalformedLog
        When it holds no row of metrics.
    """
    file = _files(path)[0] if path.is_dir() else path
    contents = _Contents()
    damaged: list[int] = []
    with open_log(file) as stream:
        for record in chunked.records(stream, damaged):
            _take(record, contents)
            tell(stream)
    if not contents.rows:
        raise MalformedLog(
            f"{path}: holds no row of metrics, expected the history of a W&B run;"
            " give a folder of a run that has logged something"
        )
    records = tracked(contents.rows)
    # What `finish` sums up goes to the summary alone, and says that the run came to its end.
    if "train_runtime" in contents.summary:
        records = ended(records, contents.summary["train_runtime"])
    return (
        assemble(
            records,
            path=path,
            reader=READER.name,
            config=contents.config,
            name=contents.name or file.stem.removeprefix("run-"),
            hints=hints,
            caveats=list(_caveats(len(damaged) + contents.damaged)),
        ),
    )


def tracked(rows: Iterable[Mapping[str, Any]]) -> list[Record]:
    """Return the records of the rows of a W&B history, its own bookkeeping taken out.

    A log without an optimizer step is left with the number of the call of `log`; a row without
    one, among others that have it, belongs to the step before it.

    Examples
    --------
    >>> row = {"train/loss": 0.5, "train/global_step": 10, "_step": 3, "_timestamp": 7.0}
    >>> tracked([row])[0][:4]
    (10, 'train', {'loss': 0.5}, 7.0)
    """
    found: list[Record] = []
    counts: list[int | None] = []
    for row in rows:
        values = {key: value for key, value in row.items() if not key.startswith("_")}
        made = records_of(values, time=_number(row.get("_timestamp")))
        count = row.get("_step")
        is_count = isinstance(count, int) and not isinstance(count, bool) and count >= 0
        found += made
        counts += [count if is_count else None] * len(made)
    if all(record.step is None for record in found):
        return [
            record._replace(step=count, inferred_step=True)
            for record, count in zip(found, counts, strict=True)
        ]
    step = 0
    for place, record in enumerate(found):
        if record.step is None:
            found[place] = record._replace(step=step)
        step = found[place].step or 0
    return found


def ended(records: list[Record], runtime: Any) -> list[Record]:
    """Return the records of a run that came to its end, whatever was logged then as "final".

    TRL since 0.29 logs the metrics of left-over steps with the run time; a last training row
    without a loss is no window of training.
    """
    values: dict[str, Any] = {"train_runtime": runtime}
    last = max((place for place, row in enumerate(records) if row.kind == "train"), default=None)
    if last is not None and "loss" not in records[last].values:
        others = [row for place, row in enumerate(records) if place != last]
        if any("loss" in row.values for row in others):
            values = {**records[last].values, **values}
            records = others
    return [*records, Record(None, "final", values)]


@dataclass
class _Contents:
    """What a `.wandb` file says, rows of metrics in the order of writing."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    damaged: int = 0


def _files(folder: Path) -> list[Path]:
    """Return the `.wandb` files of a run folder; a folder of several runs has none of its own."""
    return [folder / name for name in names_in(folder) if name.endswith(SUFFIX)][:1]


def _take(record: bytes, contents: _Contents) -> None:
    """Add one record to the contents; what is no message is counted."""
    try:
        for number, _, value in protobuf.fields(record):
            if number == _HISTORY:
                row = _values(protobuf.content(value))
                if row:
                    contents.rows.append(row)
            elif number == _CONFIG:
                contents.config.update(_settings(_values(protobuf.content(value))))
            elif number == _SUMMARY:
                contents.summary.update(_values(protobuf.content(value)))
            elif number == _RUN:
                _take_run(protobuf.content(value), contents)
    except ValueError:
        contents.damaged += 1


def _take_run(message: bytes, contents: _Contents) -> None:
    for number, _, value in protobuf.fields(message):
        if number == _RUN_CONFIG:
            contents.config.update(_settings(_values(protobuf.content(value))))
        elif number == _RUN_NAME:
            contents.name = protobuf.text(value)


def _settings(values: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without W&B's own entries."""
    return {key: value for key, value in values.items() if not key.startswith("_")}


def _values(message: bytes) -> dict[str, Any]:
    """Return the items of a history, summary or configuration message."""
    found: dict[str, Any] = {}
    for number, _, value in protobuf.fields(message):
        if number == 1 and len(found) < MOST_VALUES:
            key, item = _item(protobuf.content(value))
            if key:
                found[key] = item
    return found


def _item(message: bytes) -> tuple[str, Any]:
    """Return key and value of one item; older versions write JSON, newer ones typed fields."""
    keys: list[str] = []
    item: Any = None
    for number, _, value in protobuf.fields(message):
        if number in (_KEY, _NESTED_KEY):
            keys.append(protobuf.text(value))
        elif number in (_VALUE_JSON, _JSON):
            item = _plain(protobuf.content(value))
        elif number == _NUMBER:
            item = protobuf.double(value)
        elif number == _INTEGER and isinstance(value, int):
            item = protobuf.zigzag(value)
        elif number == _BOOLEAN:
            item = bool(protobuf.whole(value))
        elif number == _TEXT:
            item = protobuf.text(value)
        elif number == _NONE:
            item = None
    return "/".join(keys) if len(keys) < 2 else ".".join(keys), item


_WORDS = {b"NaN": float("nan"), b"Infinity": float("inf"), b"-Infinity": float("-inf")}


def _plain(data: bytes) -> Any:
    value = _WORDS[data] if data in _WORDS else json_value(data)
    return _WORDS.get(value.encode(), value) if isinstance(value, str) else value


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _caveats(damaged: int) -> Iterator[str]:
    if damaged:
        places = "place" if damaged == 1 else "places"
        yield f"The W&B file is damaged at {damaged} {places}; what was there is left out."


READER = Reader(
    name="wandb",
    title="W&B offline run",
    recognises=recognises,
    read=read,
    export_hint=(
        "Train with WANDB_MODE=offline (or online) and give the folder wandb/offline-run-…,"
        " or the run's address as wandb:entity/project/run."
    ),
)
