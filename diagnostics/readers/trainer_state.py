"""`trainer_state.json` of transformers' Trainer, which most preference trainers build on.

TRL, LLaMA-Factory, ms-swift, Axolotl, Unsloth, SimPO and the alignment handbook all write it: into
every checkpoint, and some into the output folder. A checkpoint holds the log up to its own step,
so of an output folder the latest file counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from diagnostics.errors import MalformedLog, ReadError
from diagnostics.readers.assembly import assemble, records_of
from diagnostics.readers.contract import NO_HINTS, Hints, Reader
from diagnostics.readers.opening import LARGEST_DOCUMENT, head, names_in, open_log, recognising
from diagnostics.readers.sidecars import configuration_beside
from diagnostics.run import Run

FILE = "trainer_state.json"
_CHECKPOINT = re.compile(r"checkpoint-(\d{1,12})$")
_HISTORY = b'"log_history"'
_STEP = re.compile(rb'"global_step":\s*(\d{1,15})')
# Python writes these bare, which is no JSON; quoted they are read as the numbers they are.
_NOT_FINITE = re.compile(rb"(?<=[:\[,\s])(-?(?:NaN|Infinity))(?=\s*[,}\]])")
_FLAT_OBJECT = re.compile(rb"\{[^{}]*\}")
# What the file says of the run beside its rows.
_FACTS = ("logging_steps", "max_steps", "train_batch_size", "num_train_epochs", "global_step")


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is such a file, or a folder with one or with checkpoints that have."""
    if path.is_dir():
        return next(_files(path), None) is not None
    # The summary that ends a log of ms-swift has a history too.
    return _HISTORY in head(path) and b'"global_step/max_steps"' not in head(path)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of an output or checkpoint folder, the latest first."""
    names = names_in(folder)
    numbered = [(int(found[1]), name) for name in names if (found := _CHECKPOINT.match(name))]
    latest = sorted(numbered, reverse=True)
    own = folder / FILE
    if FILE in names and own.is_file():
        said = _STEP.search(head(own))
        step = int(said[1]) if said else 0
        later = [one for one in latest if one[0] > step]
        yield from _inside(folder, later)
        yield own
        latest = latest[len(later) :]
    yield from _inside(folder, latest)


def _inside(folder: Path, checkpoints: list[tuple[int, str]]) -> Iterator[Path]:
    for _, name in checkpoints:
        if (folder / name / FILE).is_file():
            yield folder / name / FILE


def read(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the run of a file, of a checkpoint or of an output folder.

    Raises
    ------
    ReadError
        When the system refuses to read it.
    MalformedLog
        When no file of it holds a log, whole or in part.
    """
    files = list(_files(path)) if path.is_dir() else [path]
    refused: ReadError | None = None
    for file in files:
        try:
            return (_run(file, path, hints),)
        except ReadError as error:
            refused = refused or error
    raise refused or MalformedLog(
        f"{path}: holds no {FILE}, expected one; give the output folder or a checkpoint"
    )


def _run(file: Path, path: Path, hints: Hints) -> Run:
    """Return the run of one file; `path` is what the user gave."""
    state, said = _state(file)
    rows = [row for row in state["log_history"] if isinstance(row, dict)]
    facts = {key: state[key] for key in _FACTS if isinstance(state.get(key), int | float)}
    if not rows:
        raise MalformedLog(
            f"{file}: has an empty log_history, expected logged steps;"
            " give a later checkpoint, or set logging_steps"
        )
    folder = file.parent
    owner = folder.parent if _CHECKPOINT.match(folder.name) else folder
    return assemble(
        (record for row in rows for record in records_of(row)),
        path=path,
        reader=READER.name,
        config={**facts, **configuration_beside(file)},
        name=owner.resolve().name,
        hints=hints.over(_known(rows)),
        caveats=said,
    )


def _known(rows: list[dict[str, Any]]) -> Hints:
    """Return what the keys say before they are stripped of their prefixes."""
    keys = {key for row in rows for key in row}
    if any(key.startswith("rewards_train/") for key in keys):
        return Hints(framework="a LLaVA-type trainer")
    if "train/rewards/chosen" in keys and "train/rewards/accuracies" not in keys:
        return Hints(framework="TRL", method="kto", version="0.8")
    return NO_HINTS


def _state(file: Path) -> tuple[Mapping[str, Any], list[str]]:
    """Return the content of a file, and what was lost where it is cut short."""
    with open_log(file) as stream:
        content = stream.read(LARGEST_DOCUMENT + 1)
    if len(content) > LARGEST_DOCUMENT:
        raise MalformedLog(
            f"{file}: is larger than {LARGEST_DOCUMENT >> 20} MiB, expected a {FILE};"
            " log fewer steps, or give the TensorBoard files"
        )
    state = _document(content)
    if state is None:
        return _salvaged(file, content)
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise MalformedLog(
            f"{file}: has no list log_history, expected what transformers' Trainer writes;"
            f" give a {FILE}"
        )
    return state, []


def _document(content: bytes) -> Any:
    """Return the value of a JSON text with bare NaN and Infinity, None for what is none."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        return orjson.loads(_NOT_FINITE.sub(rb'"\1"', content))
    except orjson.JSONDecodeError:
        return None


def _salvaged(file: Path, content: bytes) -> tuple[Mapping[str, Any], list[str]]:
    """Return the whole rows of a file that was cut short or damaged."""
    rows = []
    for found in _FLAT_OBJECT.finditer(content, max(content.find(_HISTORY), 0)):
        row = _document(found[0])
        if isinstance(row, dict):
            rows.append(row)
    if not rows:
        raise MalformedLog(
            f"{file}: is no whole JSON document, expected a {FILE};"
            " copy the file again once it is written"
        )
    said = f"The file is damaged or cut short: {len(rows)} rows of its log could be read."
    return {"log_history": rows}, [said]


READER = Reader(
    name="trainer_state",
    title="trainer_state.json of transformers (TRL, LLaMA-Factory, ms-swift, Axolotl, Unsloth)",
    recognises=recognises,
    read=read,
    export_hint=(
        "Give the output_dir of the trainer or one of its checkpoint folders: transformers"
        " writes trainer_state.json into every checkpoint."
    ),
)
