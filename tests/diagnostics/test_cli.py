"""The command line as a user meets it: output, exit status, one sentence for what went wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics.cli import NAMES, PRESENT, main
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
    assert (status, err) == (PRESENT, "")
    assert "Both fall since step 10: chosen -0.30 and rejected -0.80 nats/token" in out
    assert len(out.splitlines()) <= 40


@pytest.mark.parametrize(
    ("names", "arguments", "status"),
    [
        (["ideal"], [], 0),
        (["unknown"], [], 0),  # cannot tell is no failure
        (["both_fall"], [], PRESENT),
        (["ideal", "both_fall"], [], PRESENT),
        (["both_fall"], ["--fail-on", "both_fall"], PRESENT),
        (["both_fall"], ["--fail-on", "both-fall,drift"], PRESENT),
        (["both_fall"], ["--fail-on", "reversed"], 0),
        (["both_fall"], ["--fail-on", "none"], 0),
    ],
)
@pytest.mark.parametrize("form", [[], ["--line"], ["--json"]])
def test_the_exit_status_says_whether_a_pathology_is_present(
    told, runs: Path, names: list[str], arguments: list[str], status: int, form: list[str]
) -> None:
    assert told("diagnose", *(runs / name for name in names), *arguments, *form)[0] == status


def test_an_unreadable_input_outweighs_a_pathology(told, runs: Path, tmp_path: Path) -> None:
    assert told("diagnose", runs / "both_fall", tmp_path / "nowhere")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fail-on", "bothfall"], "no pathology is called 'bothfall'; did you mean 'both_fall'?"),
        (["--method", "simp"], "no method is called 'simp'; did you mean 'simpo'?"),
        (["--beta", "zero"], "'zero' is no beta; give a number above 0, like 0.1"),
        (["--beta", "-1"], "'-1' is no beta; give a number above 0, like 0.1"),
        (["--map", "chosen"], "--map chosen: has no column name, expected NAME=COLUMN"),
        (["--map", "reward/chosen=a"], "'reward/chosen' is no metric, expected"),
    ],
)
def test_a_mistaken_flag_says_what_was_meant(
    runs: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["diagnose", str(runs / "ideal"), *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """Return a table that somebody wrote by hand: no method, no beta, columns of their own."""
    rows = [f"{10 * n},{-0.04 * n},{-0.09 * n}" for n in range(40)]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["step,good,bad", *rows]) + "\n")
    return path


def test_what_a_log_does_not_say_can_be_said(told, csv: Path) -> None:
    columns = "chosen=good,rewards/rejected=bad"
    status, out, _ = told("diagnose", "--json", csv, "--map", columns)
    (raw,) = json.loads(out)
    assert (status, raw["regime"], raw["movement"]["unit"]) == (0, "both_fall", "reward units")
    # Without samples of the initial policy nobody can tell displacement from the tide.
    assert [v["status"] for v in raw["verdicts"] if v["pathology"] == "both_fall"] == ["suspected"]
    known = ["--map", columns, "--method", "DPO", "--beta", "0.1"]
    (told_of,) = json.loads(told("diagnose", "--json", csv, *known)[1])
    assert (told_of["method"], told_of["movement"]["unit"]) == ("dpo", "nats per completion")
    (without_beta,) = json.loads(told("diagnose", "--json", csv, *known[:-2])[1])
    ratio = told_of["movement"]["chosen"]["value"] / without_beta["movement"]["chosen"]["value"]
    assert ratio == pytest.approx(10, rel=0.05)


def test_a_folder_of_runs_gives_a_line_each(told, runs: Path) -> None:
    status, out, _ = told("diagnose", "--line", runs)
    assert status == PRESENT
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


def test_a_line_of_a_run_without_probes_is_read_off_its_log(told, tmp_path: Path) -> None:
    run = example(Regime.IDEAL)
    write(replace(run, name="bare", probes=run.probes.iloc[:0]), tmp_path / "r")
    status, out, _ = told("diagnose", "--line", tmp_path / "r")
    assert status == 0
    assert out.startswith("bare: ideal since step 1: chosen +0.2")


def test_a_line_of_a_run_without_any_rewards_says_what_to_log(told, tmp_path: Path) -> None:
    run = example(Regime.IDEAL)
    bare = type(run)(name="bare", method="dpo", source=run.source, train=run.train[["loss"]])
    write(bare, tmp_path / "r")
    status, out, _ = told("diagnose", "--line", tmp_path / "r")
    assert status == 0
    assert out.startswith("bare: cannot tell: the run has no probe set")
    assert "log rewards/chosen and rewards/rejected" in out


def test_json_is_a_list_of_records_with_null_for_what_is_not_a_number(told, runs: Path) -> None:
    status, out, _ = told("diagnose", "--json", runs)
    assert status == PRESENT
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
    found = json.loads(out)
    regimes = [row["regime"] for row in found["runs"]]
    assert regimes == ["both_fall", "ideal", "unknown", "unknown"]
    assert {"matched", "contrasts", "efficiency", "groups", "settings", "sentences"} <= set(found)


def test_compare_holds_runs_against_each_other_where_it_is_told(told, runs: Path) -> None:
    status, out, _ = told("compare", "--at", "margin", runs / "ideal", runs / "both_fall")
    assert status == 0
    assert "minus ideal-0 at a margin of 0.50 nats per token: chosen" in " ".join(out.split())


@pytest.mark.parametrize("regime", list(Regime))
def test_explain_tells_what_a_regime_is(told, regime: Regime) -> None:
    status, out, _ = told("explain", regime.value)
    assert status == 0
    assert "What it is\n" in out
    assert "What to try\n" in out


@pytest.mark.parametrize("name", [*NAMES, "flat", "Both-Fall", "both fall"])
def test_explain_knows_every_name_however_it_is_written(told, name: str) -> None:
    status, out, _ = told("explain", name)
    assert status == 0
    assert len(out.splitlines()) > 10


def test_explain_without_a_name_lists_them_all(told) -> None:
    status, out, _ = told("explain")
    assert status == 0
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert set(listed) == {*NAMES, *(regime.value for regime in Regime)}
    assert max(map(len, out.splitlines())) <= 100


def test_a_report_is_written_and_counted(told, runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    status, out, _ = told("report", runs, "--html", path)
    assert (status, out) == (0, f"{path}: 4 runs\n")
    assert path.read_text().startswith("<!DOCTYPE html>")


def test_a_report_that_cannot_be_written_is_one_sentence(told, runs: Path, tmp_path: Path) -> None:
    status, _, err = told("report", runs / "ideal", "--html", tmp_path)
    assert status == 2
    assert err.startswith(f"{tmp_path}: cannot be written (is a directory)")
    assert err.count("\n") == 1


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


def test_a_table_that_lies_beside_a_log_is_passed_over(told, csv: Path, runs: Path) -> None:
    log = csv.parent / "log" / "mine"
    write(example(Regime.IDEAL), log)
    (csv.parent / "scores.json").write_text('[{"step": 1, "score": 3}, {"step": 2, "score": 4}]')
    status, out, err = told("diagnose", "--line", csv.parent)
    assert (status, out.split(":")[0]) == (0, "ideal-0")
    assert all(line.startswith("passed over: ") for line in err.splitlines())
    # Named, it is an input that could not be read; and so is a run that is broken.
    assert told("diagnose", csv.parent / "scores.json")[0] == 2
    (log / "run.jsonl").write_text("this is no log\n")
    write(example(Regime.IDEAL), csv.parent / "log" / "other")
    assert told("diagnose", csv.parent / "log")[0] == 2


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
    assert b"d chosen  " in done.stdout
    assert b"?" not in done.stdout


def test_a_reader_that_has_seen_enough_causes_no_traceback(root: Path, runs: Path) -> None:
    # More than a pipe holds, so that the writer meets the closed end.
    paths = " ".join([str(runs)] * 2)
    command = f"{sys.executable} -m diagnostics diagnose --json {paths} | head -c 1"
    done = subprocess.run(
        ["bash", "-c", command], cwd=root, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[", "")
