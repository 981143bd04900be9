"""Columns that grow: the same in however many pieces the rows came, and within bounds."""

from __future__ import annotations

import numpy as np
import pytest

from diagnostics.readers import columns
from diagnostics.readers.columns import Table, columns_of

ROWS = [{"a": 1.5}, {"a": float("nan"), "b": 2}, {"b": "x"}, {}, {"a": None, "b": None, "c": True}]


def table_of(*pieces: list[dict[str, object]]) -> Table:
    table = Table()
    for piece in pieces:
        table.add(columns_of(piece), len(piece))
    return table


def test_columns_do_not_depend_on_the_pieces() -> None:
    whole = table_of(ROWS).columns()
    assert whole["b"].tolist() == [None, 2.0, "x", None, None]
    for cut in range(len(ROWS) + 1):
        parts = table_of(ROWS[:cut], ROWS[cut:]).columns()
        assert list(parts) == list(whole)
        for name, values in whole.items():
            assert parts[name].dtype == values.dtype
            if values.dtype == object:
                assert parts[name].tolist() == values.tolist()
            else:
                np.testing.assert_array_equal(parts[name], values)


def test_what_was_given_out_stays_as_it_was() -> None:
    table = table_of([{"a": 1}, {"a": 2}])
    before = table.columns()["a"]
    for _ in range(100):
        table.add(columns_of([{"a": 3, "b": "x"}]), 1)
    table.add(columns_of([{"a": "text"}]), 1)
    table.keep(np.array([1, 2]))
    assert before.tolist() == [1, 2]
    assert table.columns()["a"].tolist() == [2, 3]


def test_numbers_beyond_what_a_float_holds_are_infinite() -> None:
    found = columns_of([{"a": 10**400}, {"a": -(10**400)}])
    assert found["a"].tolist() == [np.inf, -np.inf]


def test_a_line_of_many_names_does_not_make_every_line_as_wide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(columns, "MOST_CELLS", 10_000)
    wide = {f"name {number}": 1 for number in range(900)}
    table = table_of([wide], *([{"a": 1}] * 100 for _ in range(5)))
    assert len(table.columns()) <= columns.FEW_COLUMNS + 1
    assert table.left_out >= 900 - columns.FEW_COLUMNS
    late = table_of(*([{"a": 1}] * 100 for _ in range(5)), [wide])
    assert len(late.columns()) == columns.FEW_COLUMNS
    assert late.rows == 501
