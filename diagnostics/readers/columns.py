"""Rows as columns: arrays that grow at their end, with room to spare.

A number is a float, and what a row lacks is NaN. A column that holds anything else (a text) is one
of objects: texts, floats, and None for what is missing. So the columns are the same in however
many pieces the rows came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Columns = dict[str, Any]

# A file with more names than this is no table of metrics; the rest would fill the memory.
MOST_COLUMNS = 1000
# A few names for a row are a log however long; more of them are held to so many values, because
# one line of a thousand names would give every short line after it a thousand values.
FEW_COLUMNS = 64
MOST_CELLS = 30_000_000
# Room beyond what is needed: a log that grows is copied once for so much more of it.
SPARE = 1.1


class Table:
    """Columns of one length, to which blocks of rows are added.

    What `columns` gives are views. Adding rows does not change them, nor does anything else:
    whoever holds them keeps what was there.
    """

    def __init__(self) -> None:
        self._arrays: Columns = {}
        self._room = 0
        self.rows = 0
        self.left_out = 0  # columns beyond the bounds

    def add(self, block: Columns, count: int, share: float = 1.0) -> None:
        """Append `count` rows; `share` is how much of all rows there are with them, as a guess."""
        if not count:
            return
        end = self.rows + count
        self._bound(end)
        if end > self._room:
            self._make_room(int(end / max(share, 1e-3) * SPARE) + 16)
        for name, values in block.items():
            if name in self._arrays or self._may_add(end):
                array = self._array(name, values.dtype)
                array[self.rows : end] = _fitting(values, array.dtype)
            else:
                self.left_out += 1
        for name in self._arrays.keys() - block.keys():
            self._arrays[name][self.rows : end] = _missing(self._arrays[name].dtype)
        self.rows = end

    def columns(self) -> Columns:
        """Return the columns (T,) as views that cannot be written to."""
        found = {name: values[: self.rows] for name, values in self._arrays.items()}
        for view in found.values():
            view.flags.writeable = False
        return found

    def keep(self, places: Any) -> None:
        """Keep the rows at some places only."""
        self.rows = len(places)
        self._room = int(self.rows * SPARE) + 16
        for name, values in self._arrays.items():
            fresh = np.empty(self._room, values.dtype)
            fresh[: self.rows] = values[places]
            self._arrays[name] = fresh

    def _array(self, name: str, kind: Any) -> Any:
        """Return the array of a column, made or turned into one of objects where it must be."""
        old = self._arrays.get(name)
        if old is None:
            self._arrays[name] = np.empty(self._room, kind)
            self._arrays[name][: self.rows] = _missing(kind)
        elif kind.kind == "O" and old.dtype.kind != "O":
            self._arrays[name] = np.empty(self._room, object)
            self._arrays[name][: self.rows] = _fitting(old[: self.rows], np.dtype(object))
        return self._arrays[name]

    def _make_room(self, room: int) -> None:
        self._room = room
        for name, values in self._arrays.items():
            # Pages of an empty array take no memory until they are written to.
            fresh = np.empty(room, values.dtype)
            fresh[: self.rows] = values[: self.rows]
            self._arrays[name] = fresh

    def _may_add(self, rows: int) -> bool:
        count = len(self._arrays)
        return count < FEW_COLUMNS or (count < MOST_COLUMNS and (count + 1) * rows <= MOST_CELLS)

    def _bound(self, rows: int) -> None:
        """Give up columns of a table that has become too large for so many."""
        if len(self._arrays) > FEW_COLUMNS and len(self._arrays) * rows > MOST_CELLS:
            self.left_out += len(self._arrays) - FEW_COLUMNS
            self._arrays = dict(list(self._arrays.items())[:FEW_COLUMNS])


def _missing(kind: Any) -> Any:
    # Whole numbers (steps) are in every row.
    return {"O": None, "i": 0}.get(kind.kind, np.nan)


def _fitting(values: Any, kind: Any) -> Any:
    """Return values (N,) for a column of a type; NaN among objects is None."""
    if kind.kind != "O":
        return values
    objects = values.astype(object)
    objects[values != values] = None
    return objects


def columns_of(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """Return rows as columns (T,), at most `MOST_COLUMNS` of them.

    Examples
    --------
    >>> found = columns_of([{"loss": 1, "note": "a"}, {"loss": None}])
    >>> found["loss"].tolist(), found["note"].tolist()
    ([1.0, nan], ['a', None])
    """
    names: dict[str, None] = {}
    for row in rows:
        if len(names) < MOST_COLUMNS or not row.keys() <= names.keys():
            for name in row:
                if len(names) >= MOST_COLUMNS:
                    break
                names.setdefault(name)
    return {name: column_of([row.get(name) for row in rows]) for name in names}


def column_of(values: Sequence[Any]) -> Any:
    """Return values as an array (T,): of floats where all of them are numbers, or of objects."""
    # An array would be made of texts that look like numbers too, and of lists of lists.
    if all(value is None or isinstance(value, int | float) for value in values):
        return np.array([_float(value) for value in values], dtype=np.float64)
    column = np.empty(len(values), dtype=object)
    column[:] = [
        (_float(value) if value == value else None) if isinstance(value, int | float) else value
        for value in values
    ]
    return column


def _float(value: float | None) -> float:
    if value is None:
        return np.nan
    try:
        return float(value)
    except OverflowError:  # an integer beyond 1e308
        return np.inf if value > 0 else -np.inf
