"""Result tables in notebooks, HTML pages and model cards, and rows printed in cells."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from diagnostics.errors import MalformedLog
from diagnostics.readers import read, read_all
from diagnostics.readers.cards import recognises as is_card
from diagnostics.readers.cards import tables_in as cards_in
from diagnostics.readers.notebook import recognises, settings_in, tables_in

EVALUATED = ("Step", "Training Loss", "Validation Loss", "Rewards/chosen", "Rewards/rejected")
UNSLOTH = ("Step", "Training Loss", "rewards / chosen", "rewards / rejected", "logps / chosen")


def table(head: tuple[str, ...], *rows: tuple[Any, ...], progress: str = "") -> str:
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    page = f"<div>{progress}</div><table border='1'><thead><tr>{top}</tr></thead><tbody>{body}"
    return page + "</tbody></table><p>"


def shown(page: str) -> dict[str, Any]:
    # Jupyter stores texts in pieces, which may end within a tag.
    pieces = [page[i : i + 37] for i in range(0, len(page), 37)]
    return {"output_type": "display_data", "data": {"text/html": pieces, "text/plain": ["<HTML>"]}}


def printed(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text.splitlines(keepends=True)}


def notebook(folder: Path, *outputs: list[dict[str, Any]], code: str = "") -> Path:
    cells: list[dict[str, Any]] = [{"cell_type": "markdown", "source": ["# title"]}]
    cells += [{"cell_type": "code", "source": code, "outputs": one} for one in outputs]
    path = folder / "train.ipynb"
    path.write_text(json.dumps({"cells": cells, "nbformat": 4}))
    return path


ROWS = [(10, "No log", 0.69, 0.1, -0.1), (20, 0.65, 0.66, 0.2, -0.2)]


def test_with_a_validation_loss_all_metrics_are_the_evaluations(tmp_path: Path) -> None:
    run = read(notebook(tmp_path, [shown(table(EVALUATED, *ROWS))]))
    assert list(run.evals.index) == [10, 20]
    assert run.evals["rewards/chosen"].tolist() == [0.1, 0.2]
    assert run.evals["loss"].tolist() == [0.69, 0.66]
    assert list(run.train.columns) == ["loss"]
    assert list(run.train.index) == [20]  # "No log" is no row
    assert run.source.part == "cell 1"


def test_without_a_validation_loss_all_metrics_are_the_trainings(tmp_path: Path) -> None:
    rows = [(1, 0.69, 0.0, 0.0, -60.0), (2, 0.68, 0.1, -0.1, -59.0)]
    run = read(notebook(tmp_path, [shown(table(UNSLOTH, *rows))]))
    assert not len(run.evals)
    assert run.train["rewards/rejected"].tolist() == [0.0, -0.1]
    assert run.train["logps/chosen"].tolist() == [-60.0, -59.0]


def test_a_table_by_epoch_gets_steps_from_the_progress_beside_it(tmp_path: Path) -> None:
    head = ("Epoch", *EVALUATED[1:])
    page = table(head, (1, 0.7, 0.6, 0.1, -0.1), (2, 0.6, 0.5, 0.2, -0.2), progress=PROGRESS)
    run = read(notebook(tmp_path, [shown(page)]))
    assert list(run.evals.index) == [46, 92]
    assert any("no steps" in caveat for caveat in run.caveats)
    assert run.status == "running"


PROGRESS = "[92/138 49:02 < 10:00, 0.01 it/s, Epoch 2/3]"


def test_a_table_that_is_shown_again_or_with_more_rows_counts_once(tmp_path: Path) -> None:
    part, whole = table(EVALUATED, ROWS[0]), table(EVALUATED, *ROWS)
    run = read(notebook(tmp_path, [shown(part), shown(whole)], [shown(whole)]))
    assert len(run.evals) == 2


def test_other_tables_and_outputs_are_passed_over(tmp_path: Path) -> None:
    other = table(("Name", "Step"), ("a", 1))
    broken = [{"output_type": "error"}, {"data": None}, {"data": {"text/html": 7}}, 3]
    path = notebook(tmp_path, [shown(other), shown(table(EVALUATED, *ROWS))], [], broken)  # type: ignore[arg-type]
    assert len(read(path).evals) == 2


def test_printed_rows_of_a_cell_are_joined_over_its_streams(tmp_path: Path) -> None:
    rows = [
        f"{{'loss': 0.{n}, 'rewards/chosen': 0.1, 'rewards/rejected': 0.0, 'epoch': 0.{n}}}\n"
        for n in range(1, 5)
    ]
    outputs = [
        printed(rows[0] + rows[1]),
        printed("a warning\n", "stderr"),
        printed("".join(rows[2:])),
    ]
    run = read(notebook(tmp_path, outputs))
    assert run.train["loss"].tolist() == [0.1, 0.2, 0.3, 0.4]


def test_each_training_cell_is_a_run(tmp_path: Path) -> None:
    other = [(10, 0.6, 0.5, 0.4, 0.3)]
    runs = read_all(
        notebook(tmp_path, [shown(table(EVALUATED, *ROWS))], [shown(table(EVALUATED, *other))])
    )
    assert [run.source.part for run in runs] == ["cell 1", "cell 2"]
    assert len({run.name for run in runs}) == 2


def test_the_code_above_tells_trainer_and_settings(tmp_path: Path) -> None:
    code = 'config = DPOConfig(beta=0.3, loss_type="ipo",\n  logging_steps=5)\nb = beta_of(x)'
    found = settings_in(code)
    assert found == {"beta": 0.3, "loss_type": "ipo", "logging_steps": 5, "trainer": "DPO"}
    run = read(notebook(tmp_path, [shown(table(EVALUATED, *ROWS))], code=code))
    assert (run.method, run.config["beta"]) == ("ipo", 0.3)


def test_an_html_page_is_read_like_its_notebook(tmp_path: Path) -> None:
    rows = "".join(
        f"{{&#39;loss&#39;: 0.{n}, &#39;rewards/chosen&#39;: 0.1, &#39;epoch&#39;: 0.{n}}}\n"
        for n in (1, 2)
    )
    path = tmp_path / "page.html"
    path.write_text(f"<html><body>{table(EVALUATED, *ROWS)}<pre>{rows}</pre></body></html>")
    tabled, texted = read_all(path)
    assert len(tabled.evals) == 2
    assert texted.train["loss"].tolist() == [0.1, 0.2]


@pytest.mark.parametrize(
    "content",
    ["<html></html>", '{"cells": []}', '{"cells": [{"cell_type": "code", "outputs": []}]}'],
)
def test_a_notebook_without_a_training_is_not_recognised(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.ipynb").write_text(content)
    assert not recognises(tmp_path / "x.ipynb")


def test_a_notebook_whose_marks_are_elsewhere_is_refused_in_one_sentence(tmp_path: Path) -> None:
    source = {"cell_type": "markdown", "source": ["<th>Training Loss</th>"]}
    (tmp_path / "x.ipynb").write_text(json.dumps({"cells": [source]}))
    with pytest.raises(MalformedLog, match=r"shows no training, expected a table .*; save"):
        read(tmp_path / "x.ipynb")


HOSTILE = {
    "tables that never close": "<table" * 200_000,
    "cells that never close": "<table><tr>" + "<td>" * 300_000 + "</table>",
    "rows that never close": "<table>" + "<tr>" * 300_000 + "</table>",
    "brackets": "<table><tr><td>" + "<" * 1_000_000 + "</table>",
    "small tables": "<table><tr><th>Step</th></tr></table>" * 30_000,
}


@pytest.mark.parametrize("page", HOSTILE.values(), ids=HOSTILE)
def test_no_page_makes_a_pattern_start_over_and_over(page: str) -> None:
    began = time.process_time()
    assert tables_in(page) == []
    assert time.process_time() - began < 5


# -- Model cards --------------------------------------------------------------------------------


def card(folder: Path, head: str, *rows: str) -> Path:
    rule = "|".join([":---:"] * (head.count("|") - 1))
    lines = ["# Model", "", "text | with bars", "", head, f"|{rule}|", *rows, "", "more"]
    (folder / "README.md").write_text("\n".join(lines))
    return folder / "README.md"


def test_a_card_holds_evaluations(tmp_path: Path) -> None:
    path = card(
        tmp_path,
        "| Training Loss | Epoch | Step | Validation Loss | Rewards/chosen | Rewards/rejected |",
        "| No log        | 0.5   | 50   | 0.69            | 0.01           | -0.01            |",
        "| 0.65          | 1.0   | 100  | 0.60            | 0.05           | -0.07            |",
    )
    run = read(path)
    assert run.evals["rewards/rejected"].tolist() == [-0.01, -0.07]
    assert run.train["loss"].tolist() == [0.65]
    assert run.name == tmp_path.name


def test_a_column_that_lost_its_heading_is_kept_by_its_place(tmp_path: Path) -> None:
    path = card(
        tmp_path,
        "| Training Loss | Step | Validation Loss | Rewards/chosen | Rewards/rejected | |",
        "| 0.5 | 50 | 0.5 | 0.01 | -0.01 | 3.5 |",
    )
    assert read(path).unrecognised == ("column 6",)


def test_rows_shorter_or_longer_than_the_heading_do_no_harm(tmp_path: Path) -> None:
    path = card(
        tmp_path,
        "| Training Loss | Step | Validation Loss | Rewards/chosen | Rewards/rejected |",
        "| 0.5 | 50 |",
        "| 0.5 | 60 | 0.5 | 0.01 | -0.01 | 9 | 9 |",
        "| | | | | |",
    )
    assert read(path).evals["rewards/chosen"].dropna().tolist() == [0.01]


def test_no_card_makes_a_pattern_start_over_and_over(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(("a|b\n" + " " * 4000 + "\n") * 400 + "|" * 500_000)
    began = time.process_time()
    assert cards_in((tmp_path / "README.md").read_text()) == []
    assert not is_card(tmp_path / "README.md")
    assert time.process_time() - began < 5
