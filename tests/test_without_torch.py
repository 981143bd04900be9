"""The dashboard and the log analysis run where no training library is installed.

A `sitecustomize` on the path hides those libraries from every import of a fresh process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diagnostics.runlog import RunLog

ROOT = Path(__file__).resolve().parent.parent
HIDDEN = ("torch", "transformers", "tokenizers", "accelerate", "peft", "datasets", "trl", "wandb")
PAGES = sorted(path.name for path in (ROOT / "pages").glob("*.py"))

HIDE = f"""
import sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        hidden = name.split(".")[0] in {HIDDEN!r}
        return None if hidden else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""

OPEN_PAGE = """
import sys
from streamlit.testing.v1 import AppTest

page = AppTest.from_file(sys.argv[1], default_timeout=120).run()
print(*[e.value for e in [*page.title, *page.header, *page.markdown]])
sys.exit("\\n".join(e.message for e in page.exception) or 0)
"""

PAIRS = 12
STEPS = range(0, 60, 10)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs whose chosen side rises and whose rejected side falls."""
    folder = tmp_path_factory.mktemp("runs")
    for name, pull in (("gentle", 0.01), ("strong", 0.02)):
        _write_run(folder / name, pull)
    return folder


def _write_run(folder: Path, pull: float) -> None:
    """Write a native run of the `ideal` regime; `pull` is nats per token and step."""
    header = {"name": folder.name, "method": "dpo", "beta": 0.1, "config": {}, "seed": 0}
    with RunLog.create(folder, header) as log:
        for step in STEPS:
            log.write("train", step + 1, {"loss": 0.69 - pull * step / 10})
            log.write_pairs("probe", step, step, _probe(step, pull))
        log.write("end", STEPS[-1], {"status": "completed"})


def _probe(step: int, pull: float) -> dict[str, list[object]]:
    tokens = 10
    # The pairs differ a little, so that an interval over them is not a point.
    change = [pull * step * tokens * (1 + pair / 50) for pair in range(PAIRS)]
    return {
        "step": [step] * PAIRS,
        "split": ["train"] * PAIRS,
        "pair": list(range(PAIRS)),
        "prompt": [f"p{pair}" for pair in range(PAIRS)],
        "logps/chosen": [-30.0 + c for c in change],
        "logps/rejected": [-30.0 - c for c in change],
        **{
            f"{name}/{side}": [value] * PAIRS
            for side in ("chosen", "rejected")
            for name, value in (("completion_tokens", tokens), ("entropy", 1.0), ("top1_rate", 0.5))
        },
    }


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory, runs: Path) -> dict[str, str]:
    """The environment of a process that cannot import the training libraries."""
    folder = tmp_path_factory.mktemp("hidden")
    (folder / "sitecustomize.py").write_text(HIDE)
    return os.environ | {"PYTHONPATH": str(folder), "SEESAW_RUNS": str(runs)}


def python(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("library", HIDDEN)
def test_the_hidden_libraries_are_really_hidden(library: str, without: dict[str, str]) -> None:
    done = python(without, "-c", f"import {library}")
    assert done.stderr.endswith(f"No module named '{library}'\n")


def test_diagnose_names_the_regime(without: dict[str, str], runs: Path) -> None:
    done = python(without, "-m", "diagnostics", "diagnose", "--line", str(runs / "strong"))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "ideal" in done.stdout.lower()


def test_compare_puts_both_runs_in_one_table(without: dict[str, str], runs: Path) -> None:
    paths = [str(runs / name) for name in ("gentle", "strong")]
    done = python(without, "-m", "diagnostics", "compare", "--json", *paths)
    assert done.returncode == 0, done.stderr
    text = json.dumps(json.loads(done.stdout))
    assert "gentle" in text
    assert "strong" in text


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens(page: str, without: dict[str, str]) -> None:
    done = python(without, "-c", OPEN_PAGE, str(ROOT / "pages" / page))
    assert done.returncode == 0, done.stderr
    without_runs = {"import_log.py": "Import", "reference.py": "Reference", "train.py": "Train"}
    without_runs["pairs.py"] = "Table of pairs"  # shows no regime
    without_runs["compare.py"] = "keeps chosen highest"
    assert without_runs.get(page, "ideal") in done.stdout


def test_the_trainer_says_in_one_sentence_what_to_install(
    without: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "run"
    done = python(
        without,
        *("-m", "trainer", "--model", "tiny-qwen3", "--data", "pairs.json"),
        *("--output_dir", str(output)),
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "requirements.txt" in done.stderr
    assert not output.exists()
