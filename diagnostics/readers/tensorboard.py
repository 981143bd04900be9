"""TensorBoard: the event files of one folder, or one of them.

Tags are the framework's keys behind `train/` or `eval/` (transformers), or bare (torchtune).
The text summaries `args` and `model_config` of transformers give the configuration. A process
that was stopped and resumed leaves several files in one folder: a later file continues the
earlier ones from its own first step on. A file that begins again at their first step is another
run of the same folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diagnostics.errors import MalformedLog
from diagnostics.readers.assembly import Origin, assemble_frames
from diagnostics.readers.contract import Hints, Reader
from diagnostics.readers.event_config import IN_NAME, configuration
from diagnostics.readers.event_files import Collected, Events, Scalars, read_events
from diagnostics.readers.following import Kept
from diagnostics.readers.keys import place
from diagnostics.readers.opening import head, names_in, open_log, recognising
from diagnostics.readers.sidecars import configuration_beside
from diagnostics.run import Run, empty_steps

# Every event file begins with a record of its version.
MARK = b"brain.Event:"
# A run that is still training is read again and again, each time from where it was left.
_KEPT: Kept[Collected] = Kept()

# Logged once at the end of `Trainer.train`, at the step of the last row.
_FINAL = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos")


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is an event file, or a folder that holds some."""
    if path.is_dir():
        return bool(_files(path))
    return MARK in head(path)[:64]


def read(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the runs of a folder: one, unless a process was started afresh in it.

    Raises
    ------
    ReadError
        When the system refuses to read a file.
    MalformedLog
        When no file holds a scalar.
    """
    files = _files(path) if path.is_dir() else [path]
    parts = [part for part in map(_part, files) if part.points]
    if not parts:
        raise MalformedLog(
            f"{path}: holds no scalars, expected the numbers of a training run;"
            " give the folder that report_to='tensorboard' wrote"
        )
    runs = _runs(sorted(parts, key=lambda part: part.started))
    whole = path.absolute()
    name = whole.name if path.is_dir() else whole.parent.name
    return tuple(
        _run(parts, path, name or path.stem, hints, f"run {number}" if len(runs) > 1 else None)
        for number, parts in enumerate(runs, start=1)
    )


@dataclass
class _Part:
    """One event file: its scalars, where they begin, and what its process said of itself."""

    events: Events
    started: float = 0.0
    first: int = 0
    last: int = 0
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def points(self) -> int:
        return sum(len(points.steps) for points in self.events.scalars.values())


def _files(folder: Path) -> list[Path]:
    return [folder / name for name in names_in(folder) if IN_NAME in name]


def _part(path: Path) -> _Part:
    with open_log(path) as stream:
        events = read_events(stream, *(_KEPT.take(path, stream) or (0, Collected())))
        if events.collected is not None:
            _KEPT.keep(path, stream, events.offset, events.collected)
    part = _Part(events)
    if part.points:
        filled = [points for points in events.scalars.values() if len(points.steps)]
        part.started = min(float(points.times[0]) for points in filled)
        part.first = min(int(points.steps.min()) for points in filled)
        part.last = max(int(points.steps.max()) for points in filled)
    part.config = configuration(events.texts)
    return part


def _runs(parts: Sequence[_Part]) -> list[list[_Part]]:
    """Return the files of each run, in the order of writing."""
    runs: list[list[_Part]] = []
    for part in parts:
        if runs and part.first > min(before.first for before in runs[-1]):
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs


def _run(parts: list[_Part], path: Path, name: str, hints: Hints, label: str | None) -> Run:
    config = configuration_beside(path)
    for part in parts:
        config.update(part.config)
    scalars, cut = _joined(parts)
    tables: dict[str, dict[str, Scalars]] = {"train": {}, "eval": {}, "final": {}}
    loose = not any(place(tag)[0] in ("train", "eval") for tag in scalars)
    for tag, points in scalars.items():
        kind, key = place(tag)
        bare = tag.removeprefix("train/")
        if bare in ("train_loss", *_FINAL):
            kind, key = "final", bare
        if kind is None:
            # Among tags that say what they are, a bare one is no row of training.
            kind, key = "train", tag if not loose else key
        tables[kind].setdefault(key, points)
    train, evals = _epochs_apart(_frame(tables["train"]), _frame(tables["eval"]))
    final, train = _final(tables["final"], train)
    origin = Origin(
        path=path,
        reader=READER.name,
        config=config,
        name=str(config.get("run_name") or name),
        part=label,
        hints=hints,
        caveats=tuple(_caveats(parts, cut)),
    )
    return assemble_frames(train, evals, origin, final=final)


def _joined(parts: list[_Part]) -> tuple[dict[str, Scalars], int]:
    """Return the points of one run by tag, and how many of an abandoned branch were left out."""
    pieces: dict[str, list[Scalars]] = {}
    cut = 0
    for number, part in enumerate(parts):
        limit = min((later.first for later in parts[number + 1 :]), default=None)
        for tag, points in part.events.scalars.items():
            if limit is not None:
                keep = points.steps < limit
                cut += int((~keep).sum())
                points = Scalars(points.steps[keep], points.times[keep], points.numbers[keep])
            pieces.setdefault(tag, []).append(points)
    return {
        tag: Scalars(
            np.concatenate([piece.steps for piece in found]),
            np.concatenate([piece.times for piece in found]),
            np.concatenate([piece.numbers for piece in found]),
        )
        for tag, found in pieces.items()
    }, cut


def _frame(columns: dict[str, Scalars]) -> pd.DataFrame:
    """Return points by tag as a frame by step; of several points of a step the last one counts."""
    columns = {key: points for key, points in columns.items() if len(points.steps)}
    if not columns:
        return empty_steps()
    steps = np.unique(np.concatenate([points.steps for points in columns.values()]))
    table: dict[str, Any] = {"time": np.full(len(steps), np.nan)}
    for key, points in columns.items():
        rows = np.searchsorted(steps, points.steps)
        column = np.full(len(steps), np.nan)
        column[rows] = points.numbers
        table[key] = column
        table["time"][rows] = points.times
    return pd.DataFrame(table, index=pd.Index(steps, dtype=np.int64, name="step"))


def _epochs_apart(train: pd.DataFrame, evals: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the eval rows their epoch, which transformers logs as `train/epoch` with them too."""
    if "epoch" not in train or "epoch" in evals:
        return train, evals
    epochs = train["epoch"].reindex(evals.index)
    if epochs.notna().any():
        evals = evals.assign(epoch=epochs)
    others = train.drop(columns=["epoch", "time"])
    return train[others.notna().any(axis=1) | ~train.index.isin(evals.index)], evals


def _final(
    columns: dict[str, Scalars], train: pd.DataFrame
) -> tuple[dict[str, float] | None, pd.DataFrame]:
    """Return the values that sum up a run, and the training rows without their row.

    TRL since 0.29 logs the metrics of left-over steps together with them: a last row without a
    loss is no window of training.
    """
    final = {
        key: float(points.numbers[-1]) for key, points in columns.items() if len(points.numbers)
    }
    if not final:
        return None, train
    step = max(int(points.steps[-1]) for points in columns.values() if len(points.steps))
    if step in train.index and "loss" in train and len(train) > 1:
        row = train.loc[step]
        if np.isnan(row["loss"]):
            final |= {key: float(value) for key, value in row.items() if not np.isnan(value)}
            train = train.drop(index=step)
    final.pop("time", None)
    return final, train


def _caveats(parts: list[_Part], cut: int) -> list[str]:
    said = []
    damaged = sum(part.events.damaged for part in parts)
    if damaged:
        places = "place" if damaged == 1 else "places"
        said.append(
            f"The event files are damaged at {damaged} {places}; what was there is left out."
        )
    if sum(part.events.dropped_tags for part in parts):
        said.append("The event files hold thousands of tags; the later ones were left out.")
    if len(parts) > 1:
        steps = ", ".join(str(part.first) for part in parts[1:4])
        said.append(
            f"The run was continued in {len(parts) - 1} more event files (from step {steps});"
            f" {cut} points of abandoned branches were left out."
        )
    return said


READER = Reader(
    name="tensorboard",
    title="TensorBoard event files",
    recognises=recognises,
    read=read,
    export_hint=(
        "Train with report_to='tensorboard' and give the folder of the events.out.tfevents files."
    ),
)
