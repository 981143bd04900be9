"""The dashboard as a person meets it: fresh server, real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diagnostics.runlog import RunLog
from tests.browser.steps import PLOT, clean, settle, widths

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SENTENCE = "Both fall since step 10: chosen −0.30 and rejected −0.80 nats/token"

Fresh = Callable[[Path], str]
Tab = Callable[..., Any]


def test_a_link_to_the_overview_opens_it_when_the_whole_app_has_run_before(
    dashboard: str, tab: Tab
) -> None:
    page = tab()
    page.goto(dashboard)
    settle(page)
    page.goto(f"{dashboard}/overview")
    page.wait_for_selector(PLOT)
    assert page.get_by_role("dialog").count() == 0
    assert clean(page)


def test_a_first_deep_link_to_the_overview_draws_the_plane(
    fresh: Fresh, recorded: Path, tab: Tab
) -> None:
    page = tab()
    page.goto(f"{fresh(recorded)}/overview")
    page.wait_for_selector(PLOT)
    settle(page)
    assert page.locator("h1").inner_text() == "All runs on one plane"
    assert page.get_by_text(SENTENCE).count() == 1
    assert clean(page)


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_overview_fits_the_window_and_draws(
    scheme: str, width: int, dashboard: str, tab: Tab
) -> None:
    page = tab(scheme, width)
    page.goto(dashboard)
    page.wait_for_selector(PLOT)
    settle(page)
    assert clean(page)
    content, window = widths(page)
    assert content <= window
    background = page.evaluate(
        "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    )
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 28)"}[scheme]


def test_picking_runs_on_the_overview_changes_the_url_and_survives_a_reload(
    dashboard: str, tab: Tab
) -> None:
    page = tab()
    page.goto(dashboard)
    page.wait_for_selector(PLOT)
    page.locator('[data-testid="stMultiSelect"] input').click()
    page.get_by_role("option", name="runs/both_rise").click()
    page.wait_for_url(lambda url: "runs=" in url)
    page.get_by_role("link", name="ideal-0").wait_for(state="detached")
    page.reload()
    page.get_by_role("link", name="both_rise-0").wait_for()
    assert page.get_by_role("link", name="ideal-0").count() == 0
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


def test_a_page_from_another_host_is_refused(dashboard: str) -> None:
    from http.client import HTTPConnection

    connection = HTTPConnection(dashboard.removeprefix("http://"))
    headers = {
        "Host": "evil.example",
        "Origin": "http://evil.example",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    connection.request("GET", "/_stcore/stream", headers=headers)
    status = connection.getresponse().status
    connection.close()
    assert status == 403


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
