"""The command line: python -m diagnostics diagnose | compare | explain."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from diagnostics import terminal
from diagnostics.comparison import compare
from diagnostics.errors import DiagnosticsError
from diagnostics.phases import name_regime, regime_path
from diagnostics.readers import READERS, find_runs, read
from diagnostics.regimes import EXPLANATIONS, Regime
from diagnostics.run import Run

UNREADABLE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, or 2 when an input could not be read."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no Δ gets a question mark instead of a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if options.command == "explain":
        regime = Regime(options.regime)
        print(f"{regime.label}\n\n{EXPLANATIONS[regime]}", end="")
        return 0
    runs, problems = _read_all(options.paths)
    if runs:
        print(_diagnosis(runs, options) if options.command == "diagnose" else _table(runs, options))
    for problem in problems:
        print(problem, file=sys.stderr)
    return UNREADABLE if problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m diagnostics",
        description="Say which side of the pairs moves in a preference-training run.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    diagnose = commands.add_parser("diagnose", help="name the regime of each run, with its numbers")
    comparison = commands.add_parser("compare", help="put runs of any method into one table")
    for command in (diagnose, comparison):
        command.add_argument(
            "paths", nargs="+", type=Path, metavar="PATH", help="a run, or a folder of runs"
        )
        command.add_argument("--json", action="store_true", help="for programs; unknown is null")
    diagnose.add_argument("--line", action="store_true", help="one line a run")
    explain = commands.add_parser("explain", help="say what a regime means and what to try")
    explain.add_argument("regime", choices=[regime.value for regime in Regime], metavar="REGIME")
    explain.epilog = "REGIME is one of: " + ", ".join(regime.value for regime in Regime)
    return parser


def _read_all(paths: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """Return the runs under the paths, and one sentence for each that could not be read."""
    runs: list[Run] = []
    problems: list[str] = []
    for path in paths:
        for place in _places(path):
            try:
                runs.append(read(place))
            except DiagnosticsError as problem:
                problems.append(" ".join(str(problem).split()))
    return runs, problems


def _places(path: Path) -> list[Path]:
    """Return the path itself where it is a run or holds none, else the runs in it."""
    if any(reader.recognises(path) for reader in READERS):
        return [path]
    return find_runs(path) or [path]


def _diagnosis(runs: Sequence[Run], options: argparse.Namespace) -> str:
    if options.json:
        return _json([_record(run) for run in runs])
    if options.line:
        return "\n".join(terminal.line(run) for run in runs)
    return "\n\n".join(terminal.card(run) for run in runs)


def _table(runs: Sequence[Run], options: argparse.Namespace) -> str:
    rows = compare(runs)
    if options.json:
        return _json([asdict(row) for row in rows])
    return terminal.comparison(rows)


def _record(run: Run) -> dict[str, Any]:
    verdict = name_regime(run)
    spans = regime_path(run, verdict.estimate.split)
    return {
        "name": run.name,
        "path": run.source.path,
        "method": run.method,
        "status": run.status,
        "last_step": run.last_step,
        **asdict(verdict),
        "regime_path": [
            {"first_step": first, "last_step": last, "regime": regime}
            for first, last, regime in spans
        ],
        "run_caveats": run.caveats,
    }


def _json(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return the value with null for every number that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)
