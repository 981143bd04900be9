"""What can be taken along from a figure: its picture as the screen shows it, and its numbers."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.browser.steps import PLOT, clean, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Tab = Callable[..., Any]
BACKGROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 28)"}


def taken(page: Any, name: str) -> tuple[str, bytes]:
    """Return name and content of the file that a button gives."""
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_figure_is_taken_along_as_picture_and_as_numbers(
    scheme: str, dashboard: str, tab: Tab
) -> None:
    page = tab(scheme)
    page.goto(f"{dashboard}/run?run=runs%2Fideal")
    page.wait_for_selector(PLOT)
    settle(page)
    shown = page.locator(".st-key-curves .main-svg").first.bounding_box()
    page.locator(".st-key-take-curves button").first.click()
    name, picture = taken(page, "Picture as PNG")
    assert name.endswith(".png")
    assert picture.startswith(b"\x89PNG")
    # Two pixels for each of the screen's: width and height stand at a fixed place of the format.
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (round(2 * shown["width"]), round(2 * shown["height"]))
    name, drawing = taken(page, "Picture as SVG")
    text = drawing.decode()
    assert name.endswith(".svg")
    assert text.startswith("<svg")
    assert f'fill="{BACKGROUND[scheme]}"' in text
    assert "js-line" in text
    assert "draglayer" not in text
    name, numbers = taken(page, "Data as CSV")
    assert name.endswith(".csv")
    assert len(pd.read_csv(io.BytesIO(numbers))) > 10
    assert clean(page)
