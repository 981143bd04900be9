"""The import page: pasted text and dropped files, what was understood, and a run of ours."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from diagnostics.examples import example
from diagnostics.readers import read
from diagnostics.readers.native import write
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
        assert path.is_relative_to(arrivals._folder())
        assert (path.parent / "args.json").read_bytes() == b"{}"
    shutil.rmtree(arrivals._folder())


def test_a_table_is_asked_for_its_columns_only_where_they_are_unclear(tmp_path: Path) -> None:
    clear, unclear = tmp_path / "clear.csv", tmp_path / "unclear.csv"
    clear.write_text("step,chosen_reward,rejected_reward\n1,0.1,0.0\n")
    unclear.write_text("step,good,bad\n1,0.1,0.0\n2,0.2,0.0\n")
    assert arrivals.unclear_columns(clear) == []
    assert arrivals.unclear_columns(unclear) == ["step", "good", "bad"]
    hints = arrivals.Hints(columns={"good": "rewards/chosen", "bad": "rewards/rejected"})
    [run] = arrivals.runs_in("unclear.csv", unclear, hints)
    assert list(run.train["rewards/chosen"]) == [0.1, 0.2]


def test_a_refused_file_is_called_by_the_name_under_which_it_was_dropped(
    page: Page, folder: Path
) -> None:
    app = page("import_log")
    app.file_uploader[0].upload("my <b>notes</b>.txt", b"hello").run()
    shown = text(app)
    [problem] = app.error
    assert problem.value.startswith(f"**{literal('my <b>notes</b>.txt')}**: Is no log that Seesaw")
    assert arrivals.tempfile.gettempdir() not in shown


def test_a_folder_under_a_root_is_looked_through(page: Page, folder: Path) -> None:
    for name in ("ideal", "both_fall"):
        write(example(name), folder / "sweep" / name)
    (folder / "sweep" / "train.log").write_text(CONSOLE)
    for named in ("runs/sweep", str(folder / "sweep"), f"{folder}/other/../sweep/"):
        app = page("import_log", folder=named)
        shown = text(app)
        assert f"**{literal('both_fall-0')}**" in shown
        assert "12 training and 0 evaluation rows" in shown
        assert app.button(key="take in").label == "Import 3 runs"


def test_a_folder_of_many_logs_shows_the_first_and_says_so(page: Page, folder: Path) -> None:
    for number in range(22):
        (folder / f"{number:02}.log").write_text(CONSOLE)
    app = page("import_log", folder="runs")
    assert "22 logs lie there; the first 20 are shown" in text(app)
    assert app.button(key="take in").label == "Import 20 runs"


@pytest.mark.parametrize(
    "named",
    [
        "/etc",
        "/etc/passwd",
        "/no/such/place",
        "../elsewhere",
        "runs/../../elsewhere",
        "runs/link",
        "runs/link/train.log",
        "~/elsewhere",
        "runs/\x00",
        "x" * 5000,
    ],
)
def test_what_lies_outside_the_roots_is_refused_whether_or_not_it_exists(
    named: str, page: Page, folder: Path
) -> None:
    outside = folder.parent / "elsewhere"
    outside.mkdir()
    (outside / "train.log").write_text(CONSOLE)
    (folder / "link").symlink_to(outside)
    app = page("import_log", folder=named)
    [problem] = app.error
    assert "lies outside the folders that this server may read" in problem.value
    assert "training and" not in text(app)


def test_a_path_under_a_root_that_is_not_there_is_said_to_be_missing(
    page: Page, folder: Path
) -> None:
    assert "does not exist" in text(page("import_log", folder="runs/none"))


def test_a_link_inside_a_folder_does_not_lead_out_of_it(page: Page, folder: Path) -> None:
    outside = folder.parent / "elsewhere"
    outside.mkdir()
    (outside / "train.log").write_text(CONSOLE)
    write(example("ideal"), folder / "ideal")
    (folder / "link").symlink_to(outside)
    (folder / "linked.log").symlink_to(outside / "train.log")
    app = page("import_log", folder="runs")
    assert app.button(key="take in").label == "Import 1 run"


def test_without_a_key_a_run_on_w_and_b_is_refused_in_a_sentence(
    page: Page, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    app = page("import_log", source="W&B", wandb="me/dpo/abc123")
    [problem] = app.error
    assert literal("Cannot be asked for") in problem.value
    assert literal("WANDB_API_KEY") in problem.value or "pip install wandb" in problem.value


@pytest.mark.parametrize("address", ["one", "a/b/c/d/e", "https://evil.example", "//"])
def test_an_address_that_is_none_of_w_and_b_is_refused_before_anybody_is_asked(
    address: str, page: Page, folder: Path
) -> None:
    [problem] = page("import_log", wandb=address).error
    assert literal("Is no address of W&B") in problem.value


def test_a_server_that_anybody_reaches_lends_nobody_its_key(page: Page, folder: Path) -> None:
    from streamlit import config

    before = config.get_option("server.address")
    try:
        config.set_option("server.address", "0.0.0.0")
        [problem] = page("import_log", wandb="me/dpo/abc123").error
    finally:
        config.set_option("server.address", before)
    assert "whoever reaches it could read runs with its W" in problem.value


def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(page: Page, folder: Path) -> None:
    app = page("import_log")
    app.text_area(key="pasted").input(CONSOLE).run()
    folder.rmdir()
    folder.write_text("no folder")
    app.button(key="take in").click().run()
    assert not app.exception
    [problem] = app.error
    assert literal("the run log cannot be written (not a directory)") in problem.value
