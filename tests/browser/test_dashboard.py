"""The dashboard as a person meets it: fresh server, real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diagnostics.runlog import RunLog
from tests.browser.steps import PLOT, clean, settle, widths

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Fresh = Callable[[Path], str]
Tab = Callable[..., Any]


def test_after_a_first_deep_link_the_way_to_the_other_page_is_open(
    fresh: Fresh, recorded: Path, tab: Tab
) -> None:
    page = tab()
    page.goto(f"{fresh(recorded)}/run?run=runs%2Fideal")
    settle(page)
    page.get_by_role("link", name="All runs").click()
    page.get_by_role("heading", name="All runs on one plane").wait_for()
    page.get_by_role("link", name="both_fall-0").click()
    page.get_by_role("heading", name="both_fall-0").wait_for()
    page.wait_for_url(lambda url: "both_fall" in url)
    assert clean(page)


def test_a_training_shows_its_progress_without_a_reload(
    fresh: Fresh, tmp_path: Path, tab: Tab
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    address = fresh(runs)
    page = tab()
    page.goto(address)
    page.get_by_text("No runs yet").wait_for()
    with RunLog.create(runs / "live", {"name": "live", "method": "dpo"}) as log:
        log.write("train", 7, {"loss": 0.7})
        log.flush()
        page.get_by_text("live at step 7").wait_for()
        log.write("train", 8, {"loss": 0.6})
        log.flush()
        page.get_by_text("live at step 8").wait_for()
        log.write("end", 8, {"status": "completed"})
    page.get_by_text("Training now").wait_for(state="detached")
    assert clean(page)


def test_a_training_is_started_watched_and_stopped_in_the_browser(
    fresh: Fresh, tmp_path: Path, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEESAW_TRAIN", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    runs, pairs = tmp_path / "runs", tmp_path / "pairs.jsonl"
    runs.mkdir()
    row = '{"prompt": "Say it.", "chosen": "yes", "rejected": "no"}\n'
    pairs.write_text(row * 32)
    page = tab()
    page.goto(f"{fresh(runs)}/train?method=kto&model=tiny-qwen3&name=mine")
    settle(page)
    page.get_by_label("Data").fill(str(pairs))
    page.get_by_label("Data").press("Enter")
    page.wait_for_url(lambda url: "data=" in url)
    page.get_by_role("button", name="Start training").click()
    page.get_by_text("warm-up of the tiny model").wait_for()
    assert clean(page)
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("■ stopped").wait_for()
    assert clean(page)


def test_a_dropped_log_is_understood_imported_and_opened(
    fresh: Fresh, tmp_path: Path, tab: Tab
) -> None:
    runs, log = tmp_path / "runs", tmp_path / "train &lt; <b>1.log"
    runs.mkdir()
    lines = (
        f"{{'loss': 0.6, 'rewards/chosen': {n / 9}, 'rewards/rejected': {-n / 9}, 'epoch': {n}}}\n"
        for n in range(30)
    )
    log.write_text("".join(lines))
    page = tab("dark", 390)
    page.goto(f"{fresh(runs)}/import_log")
    settle(page)
    page.locator("input[type=file]").set_input_files(log)
    page.get_by_text("30 training and 0 evaluation rows").wait_for()
    page.get_by_role("button", name="Import 1 run").click()
    page.get_by_role("link", name="Open").click()
    page.get_by_role("heading", name="Chosen, rejected and margin").wait_for()
    page.wait_for_selector(PLOT)
    assert clean(page)
    content, window = widths(page)
    assert content <= window
