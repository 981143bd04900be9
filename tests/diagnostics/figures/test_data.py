"""The numbers of a figure as a table, and tables as CSV."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from diagnostics.examples import example
from diagnostics.figures.curves import curves
from diagnostics.figures.data import LINE, csv, drawn


def test_each_point_of_a_figure_is_a_row_under_the_titles_of_its_axes() -> None:
    table = drawn(curves(example("both_fall")))
    assert list(table.columns) == [LINE, "Optimizer step", "Reward [reward units]"]
    assert {"chosen", "rejected", "margin"} <= set(table[LINE])
    assert len(table) > 100


def test_lines_on_different_axes_stand_in_columns_of_their_own() -> None:
    figure = go.Figure(
        [go.Scatter(x=[1, 2], y=[3, 4], name="a"), go.Scatter(x=[1], y=[5], yaxis="y2")]
    )
    figure.update_layout(xaxis_title="Step", yaxis_title="m [nats]")
    figure.update_layout(yaxis2={"title": {"text": "n [tokens]"}})
    table = drawn(figure)
    assert list(table.columns) == [LINE, "Step", "m [nats]", "n [tokens]"]
    assert table["n [tokens]"].tolist()[2] == 5
    assert np.isnan(table["n [tokens]"].iloc[0])


def test_a_heat_map_is_one_row_a_cell() -> None:
    figure = go.Figure(go.Heatmap(x=["r", "w"], y=["R", "W"], z=[[1, 2], [3, 4]]))
    figure.update_layout(xaxis_title="after", yaxis_title="before")
    assert drawn(figure)[["after", "before", "z"]].to_numpy().tolist() == [
        ["r", "R", 1],
        ["w", "R", 2],
        ["r", "W", 3],
        ["w", "W", 4],
    ]


def test_markup_of_labels_is_left_out_and_escaped_names_are_as_they_were() -> None:
    figure = go.Figure(go.Scatter(x=[0], y=[1], text=["a<br>b"], name="&lt;b&gt; &amp; co"))
    assert drawn(figure).iloc[0].tolist() == ["<b> & co", 0, 1, "a b"]


def test_an_empty_figure_gives_a_table_without_rows() -> None:
    assert csv(drawn(go.Figure())).decode() == f"{LINE}\n"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_a_text_that_a_spreadsheet_would_run_is_made_text(text: str) -> None:
    frame = pd.DataFrame({text: [text, "fine"], "value": [-1.5, 2.0]})
    back = pd.read_csv(io.BytesIO(csv(frame)), lineterminator="\n")
    assert back.columns[0] == f"'{text}"
    assert back.iloc[0, 0] == f"'{text}"
    assert back["value"].tolist() == [-1.5, 2.0]


def test_numbers_keep_every_digit_and_the_named_index_is_the_first_column() -> None:
    values = np.random.default_rng(0).normal(size=50)
    frame = pd.DataFrame({"v [nats]": values}, index=pd.Index(range(50), name="step"))
    back = pd.read_csv(io.BytesIO(csv(frame)))
    assert list(back.columns) == ["step", "v [nats]"]
    assert back["v [nats]"].to_numpy().tolist() == values.tolist()


def test_texts_in_a_column_of_mixed_cells_are_made_harmless_too() -> None:
    frame = pd.DataFrame({"setting": pd.Series([-1, "=x", None], dtype=object)})
    assert csv(frame).decode() == 'setting\n-1\n\'=x\n""\n'
