"""The result tables that transformers shows in notebooks and writes into model cards."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from diagnostics.readers.keys import Record
from diagnostics.readers.numbers import number

# A results table has a few dozen columns and at most a row for each evaluation.
MOST_COLUMNS = 200
MOST_TABLES = 500


@dataclass(frozen=True)
class Table:
    """A table of texts, and how far the training was when it was drawn: (steps, epochs)."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    progress: tuple[int, float] | None = None

    @property
    def names(self) -> list[str]:
        """The columns' names as the trainer's keys; one without a name is called by its place."""
        return [key_of(text) or f"column {place}" for place, text in enumerate(self.head, 1)]

    @property
    def is_of_a_training(self) -> bool:
        """Whether it holds rewards or losses by step or epoch."""
        names = set(self.names)
        measured = {"rewards/chosen", "rewards/margins", "training_loss", "validation_loss"}
        return bool(names & {"step", "epoch"}) and bool(names & measured)


def key_of(title: str) -> str:
    """Return a column's title as the key that it was made from.

    Examples
    --------
    >>> key_of("Rewards/chosen"), key_of("rewards / chosen"), key_of("Nll Loss")
    ('rewards/chosen', 'rewards/chosen', 'nll_loss')
    """
    return re.sub(r"\s+", "_", re.sub(r"\s*/\s*", "/", title.strip().lower()))


def records(table: Table) -> list[Record]:
    """Return the records of a results table.

    With a column "Validation Loss" the rows are evaluations and every metric is the evaluation's
    but the training loss; without one (Unsloth's) all of them are the training's.
    """
    names = table.names[:MOST_COLUMNS]
    evaluated = "validation_loss" in names
    found = []
    for row in table.rows:
        values: dict[str, str | None] = dict(zip(names, row, strict=False))
        epoch = number(values.pop("epoch", None))
        step, inferred = _step(values.pop("step", None), epoch, table.progress)
        if step is None and epoch is None:
            continue
        loss = values.pop("training_loss", None)
        common = {"step": step, "epoch": epoch, "inferred_step": inferred}
        train: dict[str, str | None] = {} if evaluated else {**values}
        if loss is not None and (number(loss) is not None and not math.isnan(number(loss) or 0.0)):
            train["loss"] = loss
        if train:
            found.append(Record(kind="train", values=train, **common))  # type: ignore[arg-type]
        if evaluated:
            values["loss"] = values.pop("validation_loss", None)
            found.append(Record(kind="eval", values=values, **common))  # type: ignore[arg-type]
    return found


def _step(
    text: str | None, epoch: float | None, progress: tuple[int, float] | None
) -> tuple[int | None, bool]:
    """Return the step of a row, and whether it was worked out from its epoch."""
    stated = number(text) if text is not None else None
    if stated is not None and 0 <= stated < 2**53:
        return round(stated), False
    if epoch is None or progress is None or not math.isfinite(epoch) or not progress[1] > 0:
        return None, False
    return round(epoch * progress[0] / progress[1]), True


def distinct(tables: Sequence[Table]) -> list[Table]:
    """Return tables without those that another one repeats or goes on from.

    A notebook stores the table again whenever it is drawn with more rows.
    """
    kept: list[Table] = []
    for table in tables[:MOST_TABLES]:
        longer = [one for one in kept if one.head == table.head and _starts(one, table)]
        if longer:
            continue
        kept = [one for one in kept if one.head != table.head or not _starts(table, one)]
        kept.append(table)
    return kept


def _starts(longer: Table, shorter: Table) -> bool:
    return longer.rows[: len(shorter.rows)] == shorter.rows
