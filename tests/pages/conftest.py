"""Run folders for the pages: known regimes, and logs in every awkward state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from diagnostics.examples import example
from diagnostics.readers.native import write

# A busy machine may take long to import everything for the first page.
PATIENCE = 120

Page = Callable[..., AppTest]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of runs, which the pages are pointed at."""
    place = tmp_path / "runs"
    place.mkdir()
    monkeypatch.setenv("SEESAW_RUNS", str(place))
    return place


@pytest.fixture
def page(root: Path) -> Page:
    """`page("run", run="runs/dpo")` runs a page file by itself with these query parameters."""

    def run_page(name: str, /, **query: str) -> AppTest:
        app = AppTest.from_file(str(root / "pages" / f"{name}.py"), default_timeout=PATIENCE)
        for key, value in query.items():
            app.query_params[key] = value
        return app.run()

    return run_page


@pytest.fixture
def long_run(folder: Path) -> str:
    """The key of a run of 100,000 steps with one spike."""
    steps = 100_000
    values = np.linspace(0.7, 0.3, steps)
    values[77_777] = 9.0
    index = pd.Index(np.arange(1, steps + 1), name="step")
    train = pd.DataFrame({"loss": values, "rewards/chosen": -values}, index=index)
    write(replace(example("ideal"), train=train), folder / "long")
    return "runs/long"
