"""Training the arms of an experiment on several seeds, and writing down what came out.

A run that is finished and whose arm has not changed since is not trained again, so a casebook
that was stopped goes on where it was. Regimes are named by the diagnostics, in a process of their
own, as for anybody's run.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.casebook import measure, policies
from trainer.casebook.contract import ACROSS, TRAINING, Arm, Experiment, holds
from trainer.config import TrainConfig
from trainer.errors import ConfigError
from trainer.train import train

ROOT = Path(__file__).resolve().parent.parent.parent
MEASURED = "measured.json"
SAMPLED_PROMPTS = 96


def run(
    experiment: Experiment, seeds: Sequence[int], size: str, output: Path, results: Path
) -> Path:
    """Train what is missing, have every run diagnosed, and write the experiment's record."""
    folders = {
        (arm.name, seed): run_arm(experiment, arm, seed, size, output)
        for seed in seeds
        for arm in experiment.arms
    }
    diagnoses = diagnose(list(folders.values()))
    runs = []
    for (arm, seed), folder in folders.items():
        measured = json.loads((folder / MEASURED).read_text(encoding="utf-8"))
        runs.append(
            {
                "arm": arm,
                "seed": seed,
                **diagnoses.get(run_name(experiment, arm, seed), {}),
                "numbers": measured["numbers"],
                "path": measured["path"],
            }
        )
    path = results / f"{experiment.name}.json"
    results.mkdir(parents=True, exist_ok=True)
    path.write_text(as_text(record(experiment, size, runs)), encoding="utf-8")
    return path


def run_arm(experiment: Experiment, arm: Arm, seed: int, size: str, output: Path) -> Path:
    """Return the folder of one finished run, trained now unless it is there already."""
    folder = output / experiment.name / f"{arm.name}-seed{seed}".replace(" ", "-")
    fingerprint = policies.fingerprint(arm, size)
    if _finished(folder, fingerprint, experiment.samples):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    policy = policies.initial_policy(arm, seed, size, output)
    pairs = policies.write_pairs(arm, seed, policy, folder)
    own = {**TRAINING, **arm.training, "save_model": experiment.samples}
    config = TrainConfig(
        model=str(policy),
        data=str(pairs),
        output_dir=str(folder),
        name=run_name(experiment, arm.name, seed),
        seed=seed,
        **own,
    )
    train(config)
    numbers, path = measure.numbers(folder)
    if experiment.samples:
        model = folder / "model"
        numbers |= measure.written(policies.sample(model, pairs, seed, SAMPLED_PROMPTS))
        before = measure.written(policies.sample(policy, pairs, seed, SAMPLED_PROMPTS))
        numbers |= {f"start/{name}": value for name, value in before.items()}
        shutil.rmtree(model)
    measured = {
        "fingerprint": fingerprint,
        "samples": experiment.samples,
        "numbers": numbers,
        "path": path,
    }
    (folder / MEASURED).write_text(json.dumps(measured), encoding="utf-8")
    return folder


def run_name(experiment: Experiment, arm: str, seed: int) -> str:
    """Return the name under which a run is diagnosed."""
    return f"{experiment.name} {arm} seed {seed}"


def diagnose(folders: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Return regime and alarms of each run, by its name, as the diagnostics' command says.

    Raises
    ------
    ConfigError
        When the diagnostics cannot read what the trainer wrote.
    """
    command = [sys.executable, "-m", "diagnostics", "diagnose", "--json"]
    paths = [str(folder.resolve()) for folder in folders]
    done = subprocess.run([*command, *paths], cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        records = json.loads(done.stdout)
    except ValueError as error:
        raise ConfigError(f"the runs could not be diagnosed: {done.stderr.strip()}") from error
    return {one["name"]: _summary(one) for one in records}


def _summary(diagnosis: dict[str, Any]) -> dict[str, Any]:
    verdicts = diagnosis.get("verdicts", [])
    alarms = {
        one["pathology"]: one["status"]
        for one in verdicts
        if one["status"] in ("present", "suspected")
    }
    return {"regime": diagnosis["regime"], "alarms": alarms}


def record(experiment: Experiment, size: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return an experiment with what came out: all that the documentation shows of it."""
    by_seed: dict[int, dict[str, dict[str, Any]]] = {}
    for one in runs:
        values = {"regime": one.get("regime"), **one["numbers"]}
        by_seed.setdefault(one["seed"], {})[one["arm"]] = values
    across = {}
    if experiment.derive is not None:
        for seed, arms in by_seed.items():
            across[str(seed)] = experiment.derive(arms)
            arms[ACROSS] = across[str(seed)]
    return {
        "name": experiment.name,
        "title": experiment.title,
        "claim": experiment.claim,
        "size": size,
        "arms": [_arm(arm) for arm in experiment.arms],
        "expectations": [
            {
                "claim": one.claim,
                "left": one.left,
                "relation": one.relation,
                "right": one.right,
                "seeds": {str(seed): holds(one, arms) for seed, arms in by_seed.items()},
            }
            for one in experiment.expectations
        ],
        "across": across,
        "path_columns": measure.PATH,
        "runs": list(runs),
    }


def as_text(value: dict[str, Any]) -> str:
    """Return a record as JSON with one run a line: small, and a change shows where it is."""
    runs = ",\n".join(json.dumps(one, ensure_ascii=False) for one in value["runs"])
    head = {name: part for name, part in value.items() if name != "runs"}
    text = json.dumps(head, indent=1, ensure_ascii=False)
    return f'{text[:-2]},\n "runs": [\n{runs}\n]\n}}\n'


def _arm(arm: Arm) -> dict[str, Any]:
    remedy = arm.remedy
    return {
        "name": arm.name,
        "change": arm.change,
        "regime": arm.regime,
        "training": dict(arm.training),
        "remedy": None if remedy is None else vars(remedy),
    }


def _finished(folder: Path, fingerprint: str, samples: bool) -> bool:
    try:
        measured = json.loads((folder / MEASURED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(measured.get("fingerprint") == fingerprint and measured.get("samples") >= samples)
