"""Commands of python -m diagnostics, their flags and exit statuses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from diagnostics import interchange, layout, methods, terminal
from diagnostics.contrasts import MATCHES
from diagnostics.diagnosis import Diagnosis, diagnose
from diagnostics.errors import DiagnosticsError
from diagnostics.pathologies import EXPLAINED, PATHOLOGIES, explanation
from diagnostics.readers import READERS, Hints, find_runs, is_guess, read_all
from diagnostics.readers.aliases import mapping_of
from diagnostics.readers.formats import formats_text
from diagnostics.readers.importing import import_runs
from diagnostics.readers.progress import listening
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.summary import summarise

HEALTHY, UNREADABLE, PRESENT = 0, 2, 3
NAMES = tuple(one.name for one in PATHOLOGIES)
EXIT = (
    "Exit status: 0 when every run is healthy or cannot be told, 3 when a pathology is present, "
    "2 when an input could not be read or an argument is wrong."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no Δ gets other marks instead of a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    status: int = options.run(options)
    return status


# What the commands do.


def _diagnose(options: argparse.Namespace) -> int:
    runs, problems = _runs(options)
    found = [diagnose(run) for run in runs]
    if options.json:
        _print(interchange.to_json([interchange.record(one) for one in found]))
    elif found:
        screen = terminal.Screen.here()
        shown = terminal.line if options.line else terminal.card
        _print(("\n" if options.line else "\n\n").join(shown(one, screen) for one in found))
    return _tell(problems, found, options.fail_on)


def _compare(options: argparse.Namespace) -> int:
    runs, problems = _runs(options)
    whole = summarise(runs, options.at)
    if options.json:
        found = asdict(whole)
        words = {"headlines": whole.headlines, "sentences": whole.sentences}
        _print(interchange.to_json({"runs": found.pop("rows"), **found, **words}))
    elif runs:
        _print("\n".join([terminal.comparison(whole.rows), *terminal.differences(whole)]))
    return _tell(problems)


def _explain(options: argparse.Namespace) -> int:
    if options.name is None:
        _print(terminal.catalogue(PATHOLOGIES, list(Regime)))
        return HEALTHY
    name = options.name
    title = next((one.title for one in PATHOLOGIES if one.name == name), None)
    title = title or (Regime(name).label if name in list(Regime) else name)
    _print(f"{title}\n\n{explanation(name)}".rstrip())
    return HEALTHY


def _report(options: argparse.Namespace) -> int:
    from diagnostics.report import write  # the figures take half a second to import

    runs, problems = _runs(options)
    if not runs:
        return _tell(problems)
    try:
        write([diagnose(run) for run in runs], options.html, problems, options.at)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        problems.append(f"{options.html}: cannot be written ({reason}); give another file")
    else:
        _print(f"{options.html}: {len(runs)} run{'' if len(runs) == 1 else 's'}")
    return _tell(problems)


def _formats(options: argparse.Namespace) -> int:
    _print(formats_text(READERS))
    return HEALTHY


def _import(options: argparse.Namespace) -> int:
    runs, problems = _runs(options)
    try:
        for place in import_runs(runs, options.to):
            _print(str(place))
    except DiagnosticsError as problem:
        problems.append(str(problem))
    return _tell(problems)


def _tell(
    problems: Sequence[str], found: Sequence[Diagnosis] = (), fail_on: Sequence[str] = NAMES
) -> int:
    """Print what could not be read, and return the exit status."""
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if problems:
        return UNREADABLE
    present = {one.pathology for diagnosis in found for one in diagnosis.present}
    return PRESENT if present & set(fail_on) else HEALTHY


def _print(text: str) -> None:
    sys.stdout.write(layout.for_encoding(text, sys.stdout.encoding or "ascii") + "\n")


# Reading.


def _runs(options: argparse.Namespace) -> tuple[list[Run], list[str]]:
    """Return the runs under the paths, and one sentence for each that could not be read."""
    hints = Hints(beta=options.beta, method=options.method, columns=dict(options.map))
    runs: list[Run] = []
    problems: list[str] = []
    for path in options.paths:
        found, broken, guesses = _read_places(path, hints)
        runs += found
        problems += broken
        if found:
            for guess in guesses:
                sys.stderr.write(f"passed over: {guess}\n")
        else:
            problems += guesses
    return runs, problems


def _read_places(path: Path, hints: Hints) -> tuple[list[Run], list[str], list[str]]:
    """Return the runs of a path, what is broken in it, and what only looked like a log.

    A folder may hold any table beside its logs: one that was found there, not named, and holds no
    rewards is no broken input.
    """
    runs: list[Run] = []
    broken: list[str] = []
    guesses: list[str] = []
    for place in _places(path):
        try:
            with listening(_tell_share):
                runs.extend(read_all(place, hints))
        except DiagnosticsError as problem:
            named = place == path or not is_guess(place)
            (broken if named else guesses).append(" ".join(str(problem).split()))
    return runs, broken, guesses


def _tell_share(file: str, share: float) -> None:
    """Show how far a large file is read, on a terminal only; the next text starts a line anew."""
    if sys.stderr.isatty():
        end = "\r\x1b[K" if share == 1 else ""
        sys.stderr.write(f"\r{file}: {share:.0%} read{end}")
        sys.stderr.flush()


def _places(path: Path) -> list[Path]:
    """Return the path itself where it is a run or holds none, else the runs in it."""
    if any(reader.recognises(path) for reader in READERS):
        return [path]
    return find_runs(path) or [path]


# Parsing.


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m diagnostics",
        description="Say which side of the pairs moves in a preference-training run, what is "
        "wrong with it, and what to try.",
        epilog=EXIT,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = _command(commands, "diagnose", _diagnose, "name what each run does, with its numbers")
    one.add_argument("--line", action="store_true", help="one line a run")
    one.add_argument(
        "--fail-on",
        type=_pathologies,
        default=NAMES,
        metavar="NAMES",
        help="exit with 3 only when one of these is present: names with commas, or none",
    )
    _json(one)
    one.epilog = EXIT
    one = _command(commands, "compare", _compare, "put runs of any method on one scale")
    _at(one)
    _json(one)
    one = _command(commands, "report", _report, "write one HTML file that opens anywhere")
    one.add_argument("--html", type=Path, required=True, metavar="FILE", help="where to write it")
    _at(one)
    one = _command(commands, "import", _import, "keep logs of other trainers as runs of Seesaw")
    one.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="where the runs are written"
    )
    formats = commands.add_parser("formats", help="say what can be read, and how to export it")
    formats.set_defaults(run=_formats)
    explain = commands.add_parser("explain", help="say what a name means and what to try")
    explain.add_argument(
        "name", nargs="?", type=_explained, metavar="NAME", help="all names when left out"
    )
    explain.set_defaults(run=_explain)
    return parser


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    """Return the parser of a command that reads runs."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    command.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a log, a run, or a folder of runs"
    )
    known = command.add_argument_group("what the log may not say")
    known.add_argument("--beta", type=_beta, help="what the logged rewards are multiplied by")
    known.add_argument("--method", type=_method, help="dpo, kto, orpo, simpo, …")
    known.add_argument(
        "--map",
        type=_mapped,
        action="extend",
        default=[],
        metavar="NAME=COLUMN",
        help="which column of the log holds what, e.g. chosen=pos_reward; with commas for more",
    )
    return command


def _at(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--at",
        choices=MATCHES,
        default="step",
        help="where runs are held against each other: the same step, margin or drift",
    )


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="for programs; unknown is null")


def _beta(text: str) -> float:
    try:
        beta = float(text)
    except ValueError:
        beta = 0.0
    if not 0 < beta < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no beta; give a number above 0, like 0.1")
    return beta


def _method(text: str) -> str:
    try:
        return methods.method(text).name
    except KeyError as problem:
        raise argparse.ArgumentTypeError(str(problem.args[0])) from None


def _mapped(text: str) -> list[tuple[str, str]]:
    try:
        return list(mapping_of(text.split(",")).items())
    except DiagnosticsError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def _pathologies(text: str) -> tuple[str, ...]:
    names = tuple(part.strip().replace("-", "_") for part in text.split(",") if part.strip())
    if names == ("none",):
        return ()
    for name in names:
        if name not in NAMES:
            raise argparse.ArgumentTypeError(
                f"no pathology is called {name!r}{_nearest(name, NAMES)}"
            )
    return names


def _explained(text: str) -> str:
    name = text.strip().lower().replace("-", "_").replace(" ", "_")
    if name not in EXPLAINED:
        raise argparse.ArgumentTypeError(f"nothing is called {text!r}{_nearest(name, EXPLAINED)}")
    return name


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    near = get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(known)}"
