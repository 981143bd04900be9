"""MLflow's local file store: one folder a run, one file a metric with lines "time value step".

Names are the framework's own: transformers logs `loss`, `eval_loss`, `rewards/chosen`. A metric
with a slash in its name is a file in a folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from diagnostics.errors import MalformedLog
from diagnostics.readers.assembly import Record, assemble, records_of
from diagnostics.readers.contract import Hints, Reader
from diagnostics.readers.numbers import number
from diagnostics.readers.opening import head, names_in, open_log, recognising
from diagnostics.run import Run

META = "meta.yaml"
MOST_FILES = 1000
LONGEST_LINE = 200
LONGEST_TEXT = 6000


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is the folder of one run in a file store."""
    if not path.is_dir() or not (path / "metrics").is_dir():
        return False
    return b"run_id:" in head(path / META) or b"run_uuid:" in head(path / META)


def read(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the run of a run folder.

    Raises
    ------
    ReadError
        When the system refuses to read a file.
    MalformedLog
        When no file holds a metric.
    """
    rows: dict[int, dict[str, float]] = {}
    times: dict[int, float] = {}
    for key, file in _metric_files(path / "metrics"):
        for time, value, step in _points(file):
            rows.setdefault(step, {})[key] = value
            times[step] = time
    if not rows:
        raise MalformedLog(
            f"{path}: holds no metrics, expected files under metrics/;"
            " give the folder of a run that has logged something"
        )
    records: list[Record] = []
    for step in sorted(rows):
        records += records_of({**rows[step], "step": step}, time=times[step])
    lines = (line.partition(":") for line in _text(path / META).split("\n"))
    meta = {key: value.strip().removeprefix("'").removesuffix("'") for key, _, value in lines}
    config = {key: _value(_text(file)) for key, file in _metric_files(path / "params")}
    return (
        assemble(
            records,
            path=path,
            reader=READER.name,
            config=config,
            name=meta.get("run_name") or path.absolute().name,
            hints=hints,
        ),
    )


def _metric_files(folder: Path, prefix: str = "", depth: int = 4) -> Iterator[tuple[str, Path]]:
    """Yield (name, file) of each metric or parameter in a folder."""
    for name in names_in(folder)[:MOST_FILES]:
        file = folder / name
        if file.is_symlink():
            continue
        if file.is_dir():
            if depth:
                yield from _metric_files(file, f"{prefix}{name}/", depth - 1)
        elif file.is_file():
            yield f"{prefix}{name}", file


def _points(file: Path) -> Iterator[tuple[float, float, int]]:
    """Yield (seconds, value, step) of each line; what is no such line is passed over."""
    with open_log(file) as stream:
        while line := stream.readline(LONGEST_LINE):
            parts = line.split()
            if len(parts) not in (2, 3):
                continue
            time, value = (number(part.decode("utf-8", "replace")) for part in parts[:2])
            step = parts[2] if len(parts) == 3 else b"0"
            if time is not None and value is not None and step.isdigit() and len(step) < 16:
                yield time / 1000, value, int(step)


def _text(file: Path) -> str:
    with open_log(file) as stream:
        return stream.read(LONGEST_TEXT).decode("utf-8", "replace")


def _value(text: str) -> str | float | bool | None:
    """Return a parameter, which MLflow keeps as text."""
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    found = number(text) if text.strip() else None
    return text if found is None or found != found else found


READER = Reader(
    name="mlflow",
    title="MLflow run folder",
    recognises=recognises,
    read=read,
    export_hint=(
        "Train with report_to='mlflow' and a file store (MLFLOW_TRACKING_URI=file:mlruns), and"
        " give mlruns/EXPERIMENT/RUN."
    ),
)
