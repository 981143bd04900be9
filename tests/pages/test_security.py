"""What a link may ask for: nothing outside the roots, whatever the page and the parameter."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from diagnostics.examples import example
from diagnostics.readers.native import write
from diagnostics.runlog import LOG_NAME

Page = Callable[..., AppTest]
SECRET = "the-secret-run"
ASKED = (
    ("overview", "runs"),
    ("run", "run"),
    ("compare", "runs"),
    ("pairs", "run"),
    ("import_log", "folder"),
)


def everything(app: AppTest) -> str:
    """Return all that was sent to the browser."""
    assert not app.exception
    return "\n".join(str(block.proto) for block in app.main)


@pytest.fixture
def guarded(folder: Path) -> Path:
    """Roots with one run, links out of them in every form, and a run that nobody may see."""
    outside = folder.parent / "elsewhere"
    hidden = replace(example("ideal", evaluations=4), name=SECRET)
    write(hidden, outside / "secret")
    write(example("both_fall", evaluations=4), folder / "mine")
    (folder / "to-run").symlink_to(outside / "secret")
    (folder / "to-all").symlink_to(outside)
    (folder / "to-log.jsonl").symlink_to(outside / "secret" / LOG_NAME)
    inside = folder / "inside"
    inside.mkdir()
    (inside / LOG_NAME).symlink_to(outside / "secret" / LOG_NAME)
    pairs = folder / "pairs-linked"
    pairs.mkdir()
    (pairs / LOG_NAME).write_text((outside / "secret" / LOG_NAME).read_text().replace(SECRET, "p"))
    (pairs / "pairs").symlink_to(outside / "secret" / "pairs")
    return folder


@pytest.mark.parametrize(("name", "parameter"), ASKED)
def test_a_link_reaches_nothing_outside_the_roots(
    name: str, parameter: str, page: Page, guarded: Path
) -> None:
    outside = guarded.parent / "elsewhere"
    for asked in (
        str(outside / "secret"),
        str(outside / "secret" / LOG_NAME),
        "../elsewhere/secret",
        "runs/../../elsewhere/secret",
        "runs/to-run",
        "runs/to-all/secret",
        "runs/to-log.jsonl",
        "runs/inside",
        "/etc/passwd",
    ):
        shown = everything(page(name, **{parameter: asked}))
        assert SECRET not in shown, asked
        assert "root:" not in shown, asked


def test_what_is_linked_from_outside_into_a_run_is_not_read(page: Page, guarded: Path) -> None:
    app = page("overview")
    errors = " ".join(error.value for error in app.error)
    for linked in ("inside", "pairs"):
        assert linked in errors
    assert errors.count("leads out of") == 2
    assert list(app.dataframe[0].value["Run"]) == [
        "runs/inside",
        "both_fall-0",
        "runs/pairs-linked",
    ]


def test_links_within_the_roots_are_followed(page: Page, guarded: Path, folder: Path) -> None:
    (folder / "again").mkdir()
    (folder / "again" / LOG_NAME).symlink_to(folder / "mine" / LOG_NAME)
    found = list(page("overview", find="again").dataframe[0].value["Run"])
    assert found == ["both_fall-0"]


@pytest.mark.parametrize("name", [name for name, _ in ASKED])
def test_logs_of_absurd_shape_are_opened_without_an_exception(
    name: str, page: Page, folder: Path
) -> None:
    huge = {"kind": "header", "format": "seesaw-run-log", "version": 1, "name": "x" * 1_000_000}
    deep = "[" * 50_000 + "]" * 50_000
    for key, head in (
        ("huge", json.dumps(huge)),
        ("deep", '{"kind": "header", "name": ' + deep + "}"),
        ("deeper", '{"kind": "header", "config": ' + '{"a":' * 900 + "1" + "}" * 900 + "}"),
    ):
        (folder / key).mkdir()
        row = '{"kind": "train", "step": 1, "loss": 0.6, "rewards/chosen": 0.1}'
        (folder / key / LOG_NAME).write_text(f"{head}\n{row}\n")
    for key in ("huge", "deep", "deeper"):
        parameter = dict(ASKED)[name]
        app = page(name, **{parameter: f"runs/{key}"})
        assert not app.exception
        assert len(everything(app)) < 1_500_000
