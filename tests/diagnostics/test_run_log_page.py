"""The page about the run log says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from diagnostics.logcontents import FORMAT, STATUSES, VERSION
from diagnostics.pairtables import TABLES
from diagnostics.readers import read

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "run-log.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def run_snippet(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code, names)
    return names


@pytest.mark.parametrize("table", TABLES)
def test_the_page_lists_the_columns_of_every_table(table: str) -> None:
    line = re.findall(rf"^\| `{table}` \|(.*)\|$", PAGE, re.MULTILINE)[-1]
    without_remarks = re.sub(r"\([^)]*\)", "", line)
    assert sorted(re.findall(r"`([^`]+)`", without_remarks)) == sorted(TABLES[table].names)


def test_the_page_names_format_version_and_every_status() -> None:
    assert f'`format` = `"{FORMAT}"`, `version` = `{VERSION}`' in PAGE
    (line,) = re.findall(r"^\| `end` .*$", PAGE, re.MULTILINE)
    assert all(f"`{status}`" in line for status in STATUSES)


# Three lines at a prompt leave closing the file to Python.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_three_lines_of_pandas_read_a_growing_log(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = ROOT / "tests" / "data" / "native" / "resumed"
    monkeypatch.chdir(sample)
    names = run_snippet(SNIPPETS[0])
    assert len(SNIPPETS[0].strip().splitlines()) == 5
    run = read(sample)
    train = names["train"].drop_duplicates("step", keep="last").set_index("step")
    assert train.loc[20, "loss"] == run.train.loc[20, "loss"]
    assert len(names["probe"]) == len(run.probes)


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_snippet(SNIPPETS[1])
    run = read("runs/mine")
    assert (run.name, run.status, list(run.train["loss"])) == ("mine", "completed", [0.69])
