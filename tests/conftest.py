"""What every test relies on: no network, no writes to the home, and skips that say why.

`REQUIRE_ALL=1` turns a skip for something missing into a failure, so that the automatic run cannot
pass by leaving out half of the suite. Two things may be absent even then: a GPU, and the folder of
real preference data that is not part of this repository.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SEESAW_TEST_DATA", ROOT.parent / "shared" / "data"))
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

Need = Callable[[object, str], None]


def pytest_configure(config: pytest.Config) -> None:
    """Point home and caches at a throw-away folder before any library reads them."""
    home = Path(tempfile.mkdtemp(prefix="seesaw-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    os.environ.update(
        HOME=str(home),
        XDG_CACHE_HOME=str(home / "cache"),
        XDG_CONFIG_HOME=str(home / "config"),
        XDG_DATA_HOME=str(home / "data"),
        HF_HOME=str(home / "huggingface"),
        HF_HUB_OFFLINE="1",
        SEESAW_CACHE=str(home / "seesaw"),
        TOKENIZERS_PARALLELISM="false",
        WANDB_DIR=str(home),
        WANDB_MODE="offline",
        WANDB_SILENT="true",
    )
    # A developer's own folders of runs must not change what the pages show here.
    os.environ.pop("SEESAW_RUNS", None)
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Each worker is one of several: more threads than cores would slow all of them down.
        os.environ["OMP_NUM_THREADS"] = "1"


# A busy machine is slow, not wrong; and the automatic run tries the same examples every time.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("automatic", deadline=None, derandomize=True)
hypothesis.settings.load_profile("automatic" if os.environ.get("REQUIRE_ALL") == "1" else "here")


def missing(reason: str) -> NoReturn:
    """Skip the running test with a reason, or fail it when `REQUIRE_ALL=1`."""
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"REQUIRE_ALL=1, but {reason}")
    pytest.skip(reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give the tests marked `cuda` and `browser` what they need, or leave them out."""
    if item.get_closest_marker("cuda") and not cuda_is_available():
        pytest.skip("no CUDA device")
    if item.get_closest_marker("browser") and chromium_path() is None:
        missing("no Chromium was found on the path")


def cuda_is_available() -> bool:
    """Tell whether torch is installed and sees a GPU."""
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def chromium_path() -> str | None:
    """Return the installed Chromium's executable, or None."""
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


@pytest.fixture(scope="session")
def need() -> Need:
    """`need(condition, reason)` leaves the test out where the condition does not hold.

    The reason says what is missing ("trl is not installed").
    """

    def need(condition: object, reason: str) -> None:
        if not condition:
            missing(reason)

    return need


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium that playwright can launch."""
    path = chromium_path()
    if path is None:
        missing("no Chromium was found on the path")
    return path


@pytest.fixture(scope="session")
def real_pairs() -> Path:
    """The folder of real preference pairs (sharegpt JSON); always a skip where it is absent."""
    return _reference_folder("pairs")


@pytest.fixture(scope="session")
def real_logs() -> Path:
    """The folder of logs that other frameworks wrote; always a skip where it is absent."""
    return _reference_folder("logs")


def _reference_folder(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"no folder {name!r} of real data (set SEESAW_TEST_DATA to its parent)")
    return folder
