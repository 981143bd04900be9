"""Console text: what a trainer printed, in a file, a SLURM output, a notebook cell or a paste.

Read are the Python dicts of transformers' Trainer (floats or quoted) and of ms-swift, the
"train stats after N examples" of EM and HALOs, OpenRLHF's progress bars, torchtune's
"Step N | name:value" and MLX's "Iter N:" lines. One text may hold several runs.
"""

from __future__ import annotations

import gc
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diagnostics.errors import MalformedLog
from diagnostics.readers.assembly import assemble
from diagnostics.readers.contract import NO_HINTS, Hints, Reader
from diagnostics.readers.following import GrowingLog
from diagnostics.readers.keys import records_of
from diagnostics.readers.lines import Printed
from diagnostics.readers.opening import HEAD_BYTES, head, recognising
from diagnostics.readers.printed import PrintedRows, printed_in
from diagnostics.readers.producers import EM, HALOS, OPENRLHF, TORCHTUNE
from diagnostics.readers.sidecars import configuration_beside
from diagnostics.readers.stepping import Row, stepped
from diagnostics.run import Run

# A long start-up may come before the first row.
SEARCHED = 4 << 20
_SUFFIXES = frozenset((".log", ".out", ".txt", ".err", ".stdout", ""))
_MARKS = re.compile(
    rb"\{'(?:loss|eval_loss|train_runtime|rewards_(?:train|eval)/)|'(?:eval_)?rewards/chosen':"
    rb"|chosen_reward=|Step \d+ \| loss:|Iter \d+: (?:Train|Val) loss [^\n]*hosen reward"
    rb"|(?<!')\brewards/chosen: -?\d"
)
# torchtune's log on disk has a reader of its own.
_DISK_LOG = re.compile(rb"^Step \d+ \| \S+:\S", re.MULTILINE)
# A text of more runs is damaged, or repeats one row for ever.
MOST_RUNS = 200
# Formats whose text may hold printed rows, and which have readers of their own.
_OTHERS = (b"{", b"[", b"<", b"%PDF", b"---\n", b"|", b"\x89", b"PK")


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is a text with rows of a known form in it."""
    if not path.is_file():
        return False
    start = head(path)
    if not _is_text(start) or _DISK_LOG.search(start[:8192]):
        return False
    if _MARKS.search(start):
        return True
    if path.suffix.lower() not in _SUFFIXES or len(start) < len(head(path)):
        return False
    with path.open("rb") as stream:
        return _MARKS.search(stream.read(SEARCHED)) is not None


def _is_text(start: bytes) -> bool:
    stripped = start.lstrip()
    if b"\0" in start or not stripped:
        return False
    # A dict row starts with a brace too, but no JSON document with its quote.
    return stripped.startswith((b"{'", b"[20", b"[RANK")) or not stripped.startswith(_OTHERS)


def read(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the runs of a text file, in the order in which they were printed.

    Raises
    ------
    ReadError
        When the system refuses to read it.
    MalformedLog
        When it holds no row.
    """
    return _ConsoleLog(path, hints).read()


class _ConsoleLog(GrowingLog[PrintedRows]):
    """The runs of a text file that may still grow."""

    def __init__(self, path: Path, hints: Hints) -> None:
        super().__init__(path, PrintedRows, lambda rows: _runs(path, rows, hints))

    def read(self) -> tuple[Run, ...]:
        with _without_collector():
            return super().read()


def _runs(path: Path, rows: Iterable[Printed], hints: Hints) -> tuple[Run, ...]:
    config = {**settings_in(head(path)), **configuration_beside(path)}
    runs = runs_of(rows, path=path, reader=READER.name, config=config, hints=hints)
    if not runs:
        raise MalformedLog(
            f"{path}: holds no printed row of metrics, expected lines such as {{'loss': 0.69, …}};"
            " give the whole console output"
        )
    return runs


def read_text(
    text: str | bytes, hints: Hints = NO_HINTS, name: str = "pasted text"
) -> tuple[Run, ...]:
    """Return the runs of a pasted console text.

    Raises
    ------
    MalformedLog
        When it holds no row.
    """
    data = text.encode("utf-8", errors="replace") if isinstance(text, str) else text
    config = settings_in(data[:HEAD_BYTES])
    printed = printed_in(io.BytesIO(data))
    runs = runs_of(printed, path=Path(name), reader="console", config=config, hints=hints)
    if not runs:
        raise MalformedLog(
            f"{name}: holds no printed row of metrics, expected lines such as {{'loss': 0.69, …}};"
            " paste the console output from its first metrics line on"
        )
    return runs


def runs_of(
    printed: Iterable[Printed],
    *,
    path: Path,
    reader: str,
    config: dict[str, Any],
    hints: Hints,
    label: str | None = None,
) -> tuple[Run, ...]:
    """Return the runs of printed rows; `label` names their text where it is part of a file."""
    with _without_collector():
        found: list[list[Row]] = []
        more = 0
        for rows in split(rows_in(printed)):
            if len(found) < MOST_RUNS:
                found.append(rows)
            else:
                more += 1
        return _assembled(found, more, path, reader, config, hints, label)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Pause the search for cycles: the rows have none, and it would visit each of them often."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _assembled(
    found: list[list[Row]],
    more: int,
    path: Path,
    reader: str,
    config: dict[str, Any],
    hints: Hints,
    label: str | None,
) -> tuple[Run, ...]:
    """Return the runs of rows that are split already; `more` were left out."""
    name = path.resolve().parent.name if path.stem in _NAMELESS else path.stem
    runs = []
    for number, rows in enumerate(found, start=1):
        part = f"run {number}" if len(found) > 1 else None
        part = ", ".join(filter(None, (label, part))) or None
        run = assemble(
            stepped(rows),
            path=path,
            reader=reader,
            config=config,
            name=f"{name} ({part})" if part else name,
            part=part,
            hints=hints.over(_known(rows)),
            caveats=[f"{more} further runs of this text were left out."] if more else [],
        )
        runs.append(run)
    return tuple(runs)


_NAMELESS = frozenset(("output", "stdout", "train", "log", "debug", "nohup", "console", "slurm"))


def rows_in(printed: Iterable[Printed]) -> Iterator[Row]:
    """Yield the records of printed rows; a row that is printed twice in a row counts once."""
    last: dict[str, Any] | None = None
    for one in printed:
        values = one[0]
        if values == last:
            continue
        last = values
        for record in records_of(values):
            yield Row(record, one)


def split(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows of each run: one begins where training goes on after its end, or anew."""
    current: list[Row] = []
    first: float | None = None  # what the current run began at, and where it stands
    latest: float | None = None
    ended = False
    for row in rows:
        record, printed = row
        # Its step, else its epoch.
        step = printed[2] if record[0] is None else record[0]
        place = record[4] if step is None else float(step)
        if record[1] == "final":
            ended = True
        else:
            anew = None not in (place, first, latest) and first >= place < latest  # type: ignore[operator]
            if current and (anew or (ended and record[1] == "train")):
                yield current
                current, first, latest, ended = [], None, None, False
            if place is not None:
                latest = place
                if first is None and record[1] == "train":
                    first = place
        current.append(row)
    if current:
        yield current


def _known(rows: list[Row]) -> Hints:
    """Return what the forms of the rows say of the framework."""
    heading = next((row.printed.heading for row in rows if row.printed.heading), None)
    keys = {key for row in rows[:50] for key in row.printed.values}
    if any(key.startswith(("rewards_train/", "rewards_eval/")) for key in keys):
        halos = heading == "steps" or any("_unclamped" in k or "KL_estimate" in k for k in keys)
        unit = "updates" if heading == "steps" else "examples"
        return Hints(framework=HALOS if halos else EM, unit=unit)
    if heading in ("openrlhf", "openrlhf eval"):
        return Hints(framework=OPENRLHF, unit="micro-batches")
    if heading == "torchtune":
        return Hints(framework=TORCHTUNE)
    return Hints(framework="MLX") if heading == "mlx" else NO_HINTS


# Settings that trainers echo, as flags of the command or in a dump of the configuration.
_SETTINGS = (
    b"beta|loss_type|pref_beta|pref_loss|gradient_accumulation_steps|logging_steps|cpo_alpha"
    b"|rpo_alpha|simpo_gamma|label_smoothing|rlhf_type|pref_ftx|finetuning_type|stage"
)
_FLAG = re.compile(rb"--(%s)[ =]['\"]?([\w.+-]{1,40})" % _SETTINGS)
_DUMPED = re.compile(
    rb"^[ \t]*(%s)(?:=|: )['\"]?([\w.+-]{1,40})['\"]?,?[ \t]*$" % _SETTINGS, re.MULTILINE
)
_INSTALLED = re.compile(rb"\btrl(?:==|-)(\d+\.\d+(?:\.\d+)?)\b")


def settings_in(text: bytes) -> dict[str, Any]:
    r"""Return the settings that a text echoes before the training.

    Examples
    --------
    >>> settings_in(b"swift rlhf --rlhf_type dpo --beta 0.2\nlogging_steps=5,\n")
    {'rlhf_type': 'dpo', 'beta': 0.2, 'logging_steps': 5}
    """
    found: dict[str, Any] = {}
    for name, value in (*_FLAG.findall(text), *_DUMPED.findall(text)):
        word = value.decode("utf-8", errors="replace")
        try:
            number: Any = float(word)
            number = int(number) if number.is_integer() and "." not in word else number
        except (ValueError, OverflowError):
            number = word
        if word not in ("None", "null"):
            found.setdefault(name.decode(), number)
    installed = _INSTALLED.search(text)
    if installed is not None:
        found["trl_version"] = installed[1].decode()
    return found


READER = Reader(
    name="console",
    title="console text (TRL, ms-swift, EM, HALOs, OpenRLHF, torchtune, MLX)",
    recognises=recognises,
    read=read,
    export_hint="Save what the training prints: python train.py … 2>&1 | tee train.log.",
    follow=_ConsoleLog,
)
