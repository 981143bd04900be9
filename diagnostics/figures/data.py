"""The numbers of a figure as a table, and tables as CSV that no spreadsheet can be tricked by."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

LINE = "Line"
"""The column that says which line, mark or bar of the figure a row belongs to."""

_TAG = re.compile(r"<[^>]*>")
# A spreadsheet reads a cell that starts so as a formula, which can send data out or start
# programs (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def drawn(drawing: go.Figure) -> pd.DataFrame:
    """Return what a figure draws: one row a point, named by its line and the titles of its axes.

    These are the points that left for the screen; a long line has been thinned before.
    """
    frames = [_points(drawing, trace, number) for number, trace in enumerate(drawing.data, start=1)]
    kept = [frame for frame in frames if not frame.empty]
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame({LINE: []})


def csv(frame: pd.DataFrame) -> bytes:
    r"""Return a table as CSV in UTF-8, its index as the first column where that has a name.

    Texts come from logs: one that a spreadsheet would run as a formula gets an apostrophe in
    front, which makes it text. Numbers stay as they are, with every digit.

    Examples
    --------
    >>> csv(pd.DataFrame({"Run": ["=1+1"], "Δ [nats]": [-0.5]})).decode()
    "Run,Δ [nats]\n'=1+1,-0.5\n"
    """
    table = frame.reset_index() if frame.index.name is not None else frame
    safe = pd.DataFrame(
        {number: _harmless(table.iloc[:, number]) for number in range(table.shape[1])}
    )
    header = [_text(str(name)) for name in table.columns]
    written: str = safe.to_csv(index=False, header=header, lineterminator="\n")
    return written.encode()


def _points(drawing: go.Figure, trace: Any, number: int) -> pd.DataFrame:
    """Return the points of one trace under the titles of its axes; empty where it has none."""
    columns = dict(_columns(drawing, trace))
    if not columns:
        return pd.DataFrame()
    length = max(len(column) for column in columns.values())
    shown = {head: column for head, column in columns.items() if len(column) == length}
    name = _words(trace.name) or f"line {number}"
    return pd.DataFrame({LINE: [name] * length, **shown})


def _columns(drawing: go.Figure, trace: Any) -> Iterator[tuple[str, Any]]:
    """Yield each axis's title and the trace's values along it, as equally long flat columns."""
    along = {letter: _values(trace, letter) for letter in ("x", "y", "z")}
    if along["z"] is not None and along["z"].ndim == 2:
        rows, columns = along["z"].shape
        x = np.arange(columns) if along["x"] is None else along["x"]
        y = np.arange(rows) if along["y"] is None else along["y"]
        along = {"x": np.tile(x, rows), "y": np.repeat(y, columns), "z": along["z"].ravel()}
    heads: list[str] = []
    for letter, values in along.items():
        if values is None:
            continue
        head = _head(drawing, trace, letter)
        heads.append(head)
        yield (head if heads.count(head) == 1 else f"{head} ({letter})"), values
    if trace.text is not None and not isinstance(trace.text, str):
        yield "Text", np.array([_words(text) for text in trace.text], dtype=object)


def _values(trace: Any, letter: str) -> np.ndarray | None:
    held = getattr(trace, letter, None)
    return None if held is None else np.asarray(held)


def _head(drawing: go.Figure, trace: Any, letter: str) -> str:
    """Return the title of the axis that the trace is drawn on, the letter where it has none."""
    if letter == "z":
        title = trace.colorbar.title.text if "colorbar" in trace else None
    else:
        anchor = getattr(trace, f"{letter}axis", None) or letter
        axis = drawing.layout[f"{letter}axis{anchor[1:]}"]
        title = axis.title.text or (drawing.layout.title.text if letter == "y" else None)
    return _words(title) or letter


def _words(text: object) -> str:
    """Return a label of the figure as plain text; its markup is ours, texts of logs are escaped."""
    return html.unescape(" ".join(_TAG.sub(" ", str(text or "")).split()))


def _harmless(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column
    return column.map(lambda cell: _text(cell) if isinstance(cell, str) else cell)


def _text(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
