"""python -m trainer casebook: train the experiments and write their records."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from trainer.casebook import EXPERIMENTS, runner
from trainer.casebook.contract import Experiment
from trainer.casebook.policies import SIZES
from trainer.errors import ConfigError


def run_casebook(arguments: Sequence[str]) -> None:
    """Train what is missing of the experiments asked for, and write one record each."""
    options = _parser().parse_args(arguments)
    if options.seeds < 1:
        raise ConfigError(f"--seeds is {options.seeds}: expected at least 1")
    chosen = _chosen(options.only)
    output = Path(options.output_dir)
    results = Path(options.results) if options.results else output / "results"
    if options.jobs > 1:
        _in_processes(chosen, options, output, results)
        return
    if options.size == "cpu":
        # Matrices this small gain little from more threads, and crawl when cores are shared.
        torch.set_num_threads(1)
    for experiment in chosen:
        path = runner.run(experiment, range(options.seeds), options.size, output, results)
        print(f"{experiment.name}: {path}", flush=True)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer casebook",
        description="Train the experiments of the casebook; what is finished is not repeated.",
    )
    parser.add_argument("--only", default="", help="names of experiments, as E2,E3; default: all")
    parser.add_argument("--seeds", type=int, default=3, help="how often each arm is trained")
    parser.add_argument("--output_dir", default="runs/casebook", help="folder of runs and models")
    parser.add_argument("--results", default="", help="folder of the records, one a experiment")
    parser.add_argument("--jobs", type=int, default=1, help="experiments at the same time")
    parser.add_argument(
        "--size",
        choices=sorted(SIZES),
        default="gpu" if torch.cuda.is_available() else "cpu",
        help="size of the models; default: by the machine",
    )
    return parser


def _chosen(only: str) -> list[Experiment]:
    """Return the experiments named, in the casebook's order; all when none is named."""
    wanted = [name.strip().upper() for name in only.split(",") if name.strip()]
    known = [experiment.name for experiment in EXPERIMENTS]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ConfigError(
            f"--only names {unknown[0]}, which is no experiment: expected some of "
            f"{', '.join(known)}"
        )
    return [one for one in EXPERIMENTS if not wanted or one.name in wanted]


def _in_processes(
    chosen: Sequence[Experiment], options: argparse.Namespace, output: Path, results: Path
) -> None:
    """Run one process an experiment, so many at a time."""
    shared = ["--seeds", str(options.seeds), "--output_dir", str(output), "--size", options.size]

    def one(experiment: Experiment) -> int:
        command = [sys.executable, "-m", "trainer", "casebook", "--only", experiment.name]
        command += [*shared, "--results", str(results)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, check=False, env=environment).returncode

    with ThreadPoolExecutor(options.jobs) as pool:
        codes = dict(zip(chosen, pool.map(one, chosen), strict=True))
    failed = [experiment.name for experiment, code in codes.items() if code]
    if failed:
        raise ConfigError(f"not finished: {', '.join(failed)}; what was trained stays")
