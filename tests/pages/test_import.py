"""The import page: pasted text and dropped files, what was understood, and a run of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from diagnostics.readers import read
from pages.components import arrivals
from pages.components.text import literal

Page = Callable[..., AppTest]
CONSOLE = "\n".join(
    f"{{'loss': 0.69, 'rewards/chosen': {0.01 * n}, 'rewards/rejected': {-0.02 * n},"
    f" 'rewards/margins': {0.03 * n}, 'epoch': {n / 10}}}"
    for n in range(12)
)


def text(app: AppTest) -> str:
    assert not app.exception
    kinds = (app.title, app.markdown, app.caption, app.error, app.success)
    return "\n".join(str(one.value) for kind in kinds for one in kind)


def test_an_empty_page_says_what_can_be_read(page: Page, folder: Path) -> None:
    shown = text(page("import_log"))
    assert "trainer\\_state\\.json" in shown
    assert "TensorBoard" in shown


def test_a_pasted_console_becomes_a_run_with_the_beta_that_was_given(
    page: Page, folder: Path
) -> None:
    app = page("import_log")
    app.text_input(key="beta").input("0.2").run()
    app.text_area(key="pasted").input(CONSOLE).run()
    shown = text(app)
    assert "12 training and 0 evaluation rows" in shown
    assert literal("The rewards are 0.2 times the summed logratio") in shown
    app.button(key="take in").click().run()
    [made] = folder.iterdir()
    assert f"Imported as {literal(made.name)}" in text(app)
    run = read(made)
    assert run.meaning is not None
    assert run.meaning.factor == 0.2
    assert run.train["rewards/chosen"].iloc[-1] == pytest.approx(0.11)


def test_text_without_metrics_and_a_beta_that_is_no_number_are_named(
    page: Page, folder: Path
) -> None:
    app = page("import_log")
    app.text_input(key="beta").input("tiny").run()
    app.text_area(key="pasted").input("hello").run()
    shown = text(app)
    assert "expected a number above 0" in shown
    assert literal("holds no printed row of metrics") in shown
    assert list(folder.iterdir()) == []


def test_a_name_that_is_script_or_a_path_stays_text(folder: Path) -> None:
    assert arrivals.plain_name("<script>alert(1)</script>") == "script-alert-1-script"
    assert "/" not in arrivals.plain_name("../../../etc/passwd")
    assert arrivals.plain_name("..") == "log"


def test_a_second_run_of_one_name_gets_a_number(folder: Path) -> None:
    [run] = arrivals.runs_in_text(CONSOLE, arrivals.Hints())
    first, second = arrivals.take_in([run, run])
    assert second.name == f"{first.name}-2"
    assert read(second).train.equals(read(first).train)


def test_logs_dropped_together_stay_apart_and_settings_go_with_each(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals.st, "session_state", {})
    one, two = arrivals.kept(
        [("a.log", b"x"), ("../b.log", b"y"), ("args.json", b"{}"), ("../args.json", b"z")]
    )[:2]
    assert (one[0], two[0]) == ("a.log", "../b.log")
    assert one[1].parent != two[1].parent
    for _, path in (one, two):
        assert path.is_relative_to(arrivals._folder().name)
        assert (path.parent / "args.json").read_bytes() == b"{}"
    arrivals._folder().cleanup()


def test_a_table_is_asked_for_its_columns_only_where_they_are_unclear(tmp_path: Path) -> None:
    clear, unclear = tmp_path / "clear.csv", tmp_path / "unclear.csv"
    clear.write_text("step,chosen_reward,rejected_reward\n1,0.1,0.0\n")
    unclear.write_text("step,good,bad\n1,0.1,0.0\n2,0.2,0.0\n")
    assert arrivals.unclear_columns(clear) == []
    assert arrivals.unclear_columns(unclear) == ["step", "good", "bad"]
    hints = arrivals.Hints(columns={"good": "rewards/chosen", "bad": "rewards/rejected"})
    [run] = arrivals.runs_in(unclear, hints)
    assert list(run.train["rewards/chosen"]) == [0.1, 0.2]
