"""The command line as a user meets it: output, exit status, one sentence for what went wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from diagnostics.__main__ import main
from diagnostics.examples import example, nan_ridden
from diagnostics.readers.native import write
from diagnostics.regimes import Regime


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of runs: one of each of three regimes, and one full of NaN."""
    folder = tmp_path_factory.mktemp("runs")
    for regime in (Regime.BOTH_FALL, Regime.IDEAL, Regime.UNKNOWN):
        write(example(regime), folder / regime.value)
    write(nan_ridden(), folder / "nested" / "broken")
    return folder


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]):
    def told(*arguments: object) -> tuple[int, str, str]:
        status = main([str(one) for one in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return told


def test_diagnose_shows_a_card(told, runs: Path) -> None:
    status, out, err = told("diagnose", runs / "both_fall")
    assert (status, err) == (0, "")
    assert "Both fall since step 10: chosen -0.30 and rejected -0.80 nats/token" in out


def test_a_folder_of_runs_gives_a_line_each(told, runs: Path) -> None:
    status, out, _ = told("diagnose", "--line", runs)
    assert status == 0
    assert [line.split(": ")[:2] for line in out.splitlines()] == [
        ["both_fall-0", "both fall since step 10"],
        ["ideal-0", "ideal since step 10"],
        ["nan-ridden-0", "cannot tell"],
        ["unknown-0", "cannot tell"],
    ]


def test_a_run_inside_a_run_is_asked_for_by_its_own_path(told, tmp_path: Path) -> None:
    write(example(Regime.IDEAL), tmp_path / "outer")
    write(example(Regime.FLAT), tmp_path / "outer" / "inner")
    _, out, _ = told("diagnose", "--line", tmp_path / "outer")
    assert [line.split(":")[0] for line in out.splitlines()] == ["ideal-0"]


def test_a_line_tolerates_a_run_without_probes(told, tmp_path: Path) -> None:
    run = example(Regime.IDEAL)
    write(type(run)(name="bare", method="dpo", source=run.source, train=run.train), tmp_path / "r")
    status, out, _ = told("diagnose", "--line", tmp_path / "r")
    assert status == 0
    assert out.startswith("bare: cannot tell: the run has no probe set")


def test_json_is_a_list_of_records_with_null_for_what_is_not_a_number(told, runs: Path) -> None:
    status, out, _ = told("diagnose", "--json", runs)
    assert status == 0
    assert "NaN" not in out
    fall, _, broken, unknown = json.loads(out)
    assert (fall["regime"], fall["since_step"], fall["severity"]) == ("both_fall", 10, "moderate")
    assert fall["estimate"]["share"]["value"] == pytest.approx(-0.6, abs=1e-4)
    assert fall["regime_path"][-1] == {
        "first_step": 10,
        "last_step": 200,
        "regime": "both_fall",
    }
    assert fall["path"] == str(runs / "both_fall")
    assert broken["estimate"]["delta_chosen"] == {"value": None, "low": None, "high": None}
    assert unknown["reason"].endswith("3 are needed")


def test_compare_shows_one_table_over_several_paths(told, runs: Path) -> None:
    status, out, _ = told("compare", runs / "ideal", runs / "both_fall")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[3:5]] == ["ideal-0", "both_fall-0"]


def test_compare_as_json(told, runs: Path) -> None:
    status, out, _ = told("compare", "--json", runs)
    assert status == 0
    assert [row["regime"] for row in json.loads(out)] == [
        "both_fall",
        "ideal",
        "unknown",
        "unknown",
    ]


@pytest.mark.parametrize("regime", list(Regime))
def test_explain_tells_what_a_regime_is(told, regime: Regime) -> None:
    status, out, _ = told("explain", regime.value)
    assert status == 0
    assert out.startswith(f"{regime.label}\n\nWhat it is\n")
    assert "What to try\n" in out


@pytest.mark.parametrize("command", ["diagnose", "compare"])
def test_a_path_that_is_not_there_is_one_sentence_and_status_2(
    told, command: str, tmp_path: Path
) -> None:
    status, out, err = told(command, tmp_path / "nowhere")
    assert (status, out) == (2, "")
    assert err.startswith(f"{tmp_path / 'nowhere'}: does not exist")
    assert err.count("\n") == 1


def test_readable_runs_are_told_beside_an_unreadable_one(told, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text("this is no log\n")
    status, out, err = told("diagnose", "--line", runs / "ideal", tmp_path)
    assert status == 2
    assert out.startswith("ideal-0: ideal")
    assert err.count("\n") == 1


def test_an_empty_folder_is_one_sentence_and_status_2(told, tmp_path: Path) -> None:
    status, _, err = told("diagnose", tmp_path)
    assert status == 2
    assert err.startswith(f"{tmp_path}: holds no log that Seesaw knows")


@pytest.mark.parametrize(
    "arguments", [[], ["diagnose"], ["explain", "bliss"], ["diagnose", "--unheard-of", "x"]]
)
def test_a_mistaken_command_is_status_2_with_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: python -m diagnostics" in capsys.readouterr().err


def run_module(root: Path, *arguments: object, **options: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "diagnostics", *map(str, arguments)]
    return subprocess.run(command, cwd=root, capture_output=True, check=False, **options)


def test_the_module_runs_as_a_process(root: Path, runs: Path, tmp_path: Path) -> None:
    done = run_module(root, "diagnose", "--line", runs / "ideal", tmp_path / "nowhere", text=True)
    assert done.returncode == 2
    assert done.stdout.startswith("ideal-0: ideal since step 10")
    assert done.stderr.count("\n") == 1


def test_a_terminal_that_knows_no_greek_still_gets_its_numbers(root: Path, runs: Path) -> None:
    environment = {"PYTHONIOENCODING": "ascii", "PATH": ""}
    done = run_module(root, "diagnose", runs / "ideal", env=environment)
    assert done.returncode == 0
    assert b"? chosen" in done.stdout


def test_a_reader_that_has_seen_enough_causes_no_traceback(root: Path, runs: Path) -> None:
    # More than a pipe holds, so that the writer meets the closed end.
    paths = " ".join([str(runs)] * 10)
    command = f"{sys.executable} -m diagnostics diagnose --json {paths} | head -c 1"
    done = subprocess.run(
        ["bash", "-c", command], cwd=root, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[", "")
