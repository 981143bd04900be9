"""A training that is watched: late by moments, drawn only where something is new."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diagnostics.runlog import RunLog
from tests.browser.steps import PLOT, clean, drag_over, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Fresh = Callable[[Path], str]
Tab = Callable[..., Any]

LATEST = 3.0
"""Seconds after which a record is on the screen; of several, on a busy machine, the median."""

SMALL = 3000
"""Bytes that no message with a chart stays below."""


def record(step: int) -> dict[str, float]:
    return {
        "loss": 0.7 - step / 1000,
        "rewards/chosen": -step / 100,
        "rewards/rejected": -step / 50,
        "rewards/margins": step / 100,
        "grad_norm": 1.0,
    }


def test_a_new_record_is_on_the_screen_within_seconds_and_keeps_what_people_chose(
    fresh: Fresh, tmp_path: Path, tab: Tab
) -> None:
    runs = tmp_path / "runs"
    page = tab()
    with RunLog.create(runs / "live", {"name": "live", "method": "dpo", "beta": 0.1}) as log:
        for step in range(1, 61):
            log.write("train", step, record(step))
        log.flush()
        page.goto(f"{fresh(runs)}/run?run=runs%2Flive")
        page.wait_for_selector(PLOT)
        settle(page)
        drag_over(page, 0.25, 0.75)
        late = []
        for step in range(61, 66):
            page.wait_for_timeout(700)
            begun = time.monotonic()
            log.write("train", step, record(step))
            log.flush()
            page.get_by_text(re.compile(rf"step {step}$")).first.wait_for()
            late.append(time.monotonic() - begun)
        assert page.get_by_role("button", name="Whole run").is_visible()
    assert sorted(late)[len(late) // 2] < LATEST, late
    assert clean(page)


def test_nothing_is_sent_while_no_log_changes(dashboard: str, tab: Tab) -> None:
    page = tab()
    frames: list[int] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda f: frames.append(len(f))))
    page.goto(f"{dashboard}/run?run=runs%2Fideal")
    page.wait_for_selector(PLOT)
    settle(page)
    page.wait_for_timeout(2500)
    before = len(frames)
    assert before > 0
    page.wait_for_timeout(4000)
    sent = frames[before:]
    # A look that finds nothing new says so in a few small messages; a chart is a large one.
    assert len(sent) > 0
    assert max(sent) < SMALL, sent
    assert clean(page)


def test_a_click_draws_the_whole_page_so_that_nothing_it_took_away_stays(
    dashboard: str, tab: Tab
) -> None:
    page = tab()
    asked: list[Any] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda f: asked.append(request(f))))
    page.goto(f"{dashboard}/run?run=runs%2Fideal&zoom=50-90")
    page.wait_for_selector(PLOT)
    settle(page)
    page.get_by_role("button", name="Whole run").click()
    page.get_by_role("button", name="Whole run").wait_for(state="detached")
    page.get_by_role("link", name="All runs").first.click()
    page.get_by_placeholder("name, model, tag or note").fill("no run has this name")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Show all runs").click()
    page.get_by_role("button", name="Show all runs").wait_for(state="detached")
    clicked = [one for one in asked if not one.is_auto_rerun]
    looked = [one for one in asked if one.is_auto_rerun]
    assert len(clicked) >= 5
    # A look that follows at once on a fragment of its own page would cut off the fragment's end.
    assert {one.fragment_id for one in clicked} == {""}
    assert all(one.fragment_id for one in looked)
    assert clean(page)


def request(frame: bytes) -> Any:
    """Return what a browser asks of the server."""
    from streamlit.proto.BackMsg_pb2 import BackMsg

    return BackMsg.FromString(frame).rerun_script
