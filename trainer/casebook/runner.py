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
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer.casebook import measure, policies
from trainer.casebook.contract import ACROSS, TRAINING, Arm, Experiment, holds
from trainer.config import TrainConfig
from trainer.errors import ConfigError
from trainer.train import train

ROOT = Path(__file__).resolve().parent.parent.parent
MEASURED = "measured.json"
CORE = ("chosen", "rejected", "margin", "share", "drift", "above_tide")
SAMPLED_PROMPTS = 96


def run(
    experiment: Experiment, seeds: Sequence[int], size: str, output: Path, results: Path
) -> Path:
    """Train what is missing, have every run diagnosed, and write the experiment's record."""
    planned = [(arm, seed) for seed in seeds for arm in experiment.arms]
    runs = _trained(experiment, planned, size, output)
    followed = advised(experiment, runs)
    after = _trained(experiment, [(arm, seed) for arm, seed, _ in followed], size, output)
    cures = [
        {"arm": arm.name, "seed": seed, **advice, "cured": not _shows(one, advice["pathology"])}
        for (arm, seed, given), one in zip(followed, after, strict=True)
        for advice in given
    ]
    path = results / f"{experiment.name}.json"
    results.mkdir(parents=True, exist_ok=True)
    value = record(experiment, size, runs) | {"advised": cures}
    value["runs"] += [_kept(experiment, one) for one in after]
    path.write_text(as_text(value), encoding="utf-8")
    return path


def advised(
    experiment: Experiment, runs: Sequence[dict[str, Any]]
) -> list[tuple[Arm, int, list[dict[str, Any]]]]:
    """Return the arms that follow the diagnosis' own advice: (arm, seed, what was advised).

    Advice that comes to the same settings for several pathologies is trained once.
    """
    found = []
    for one in runs:
        arm = experiment.arm(one["arm"])
        given = one["advice"] if arm.follow else []
        for flags in dict.fromkeys(advice["flags"] for advice in given):
            own = replace(
                arm,
                name=f"{arm.name}, advised {flags.replace('--', '')}",
                training={**arm.training, **settings_of(flags)},
                regime=None,
                remedy=None,
                follow=False,
            )
            found.append((own, one["seed"], [one for one in given if one["flags"] == flags]))
    return found


def settings_of(flags: str) -> dict[str, Any]:
    """Return the settings that a line of command-line options names.

    Examples
    --------
    >>> settings_of("--sft_weight 0.5 --method kto --no_shuffle")
    {'sft_weight': 0.5, 'method': 'kto', 'shuffle': False}
    """
    found: dict[str, Any] = {}
    for option in flags.split("--")[1:]:
        name, _, text = option.strip().partition(" ")
        if not text:
            found[name.removeprefix("no_")] = not name.startswith("no_")
            continue
        kind: Any = type(TrainConfig.__dataclass_fields__[name].default)
        found[name] = kind(text)
    return found


def _trained(
    experiment: Experiment, planned: Sequence[tuple[Arm, int]], size: str, output: Path
) -> list[dict[str, Any]]:
    """Return what each planned run measured and how it is diagnosed."""
    folders = [run_arm(experiment, arm, seed, size, output) for arm, seed in planned]
    diagnoses = diagnose(folders) if folders else {}
    runs = []
    for (arm, seed), folder in zip(planned, folders, strict=True):
        measured = json.loads((folder / MEASURED).read_text(encoding="utf-8"))
        runs.append(
            {
                "arm": arm.name,
                "seed": seed,
                **diagnoses[run_name(experiment, arm.name, seed)],
                "schedule": _schedule(arm, measured["path"]),
                "numbers": measured["numbers"],
                "path": measured["path"],
            }
        )
    return runs


def _schedule(arm: Arm, path: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return how the learning rate went: what a forecast of the second half needs to know."""
    names = {"name": "lr_scheduler_type", "warmup_ratio": "warmup_ratio"}
    given = {**TRAINING, **arm.training}
    found = {
        one: given.get(name, TrainConfig.__dataclass_fields__[name].default)
        for one, name in names.items()
    }
    return {**found, "steps": path[-1][0]}


def _shows(run: dict[str, Any], symptom: str) -> bool:
    """Say whether a run is diagnosed with a regime or a pathology."""
    return bool(run["regime"] == symptom or symptom in run["alarms"])


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
        numbers |= measure.gains(numbers, before)
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
    """Return regime, alarms by pathology, and what to try first against each that is present.

    Of the advice only what names settings of this trainer and claims A or B evidence.
    """
    alarms = [one for one in diagnosis["verdicts"] if one["status"] in ("present", "suspected")]
    advice = []
    for one in alarms:
        for remedy in one["advice"] if one["status"] == "present" else []:
            if remedy["strength"] in ("A", "B") and "seesaw" in remedy["flags"]:
                named = {"pathology": one["pathology"], "strength": remedy["strength"]}
                advice.append({**named, "flags": remedy["flags"]["seesaw"]})
                break
    return {
        "regime": diagnosis["regime"],
        "alarms": {one["pathology"]: one["status"] for one in alarms},
        "advice": advice,
    }


def record(experiment: Experiment, size: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return an experiment with what came out: all that the documentation shows of it."""
    by_seed: dict[int, dict[str, dict[str, Any]]] = {}
    for one in runs:
        values = {"regime": one.get("regime"), **one["numbers"]}
        by_seed.setdefault(one["seed"], {})[one["arm"]] = values
    across = {}
    if experiment.derive is not None:
        for seed, arms in by_seed.items():
            across[str(seed)] = measure.rounded(experiment.derive(arms))
            arms[ACROSS] = across[str(seed)]
    return {
        "name": experiment.name,
        "path_columns": measure.PATH,
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
        "runs": [_kept(experiment, one) for one in runs],
    }


def _kept(experiment: Experiment, run: dict[str, Any]) -> dict[str, Any]:
    """Return a run with the numbers that its record is about: all of them would be megabytes."""
    names = {*CORE, *experiment.kept}
    for one in experiment.expectations:
        names |= {place[1] for place in (one.left, one.right) if isinstance(place, tuple)}
    numbers = {name: value for name, value in run["numbers"].items() if name in names}
    return {**run, "numbers": numbers}


def as_text(value: dict[str, Any]) -> str:
    """Return a record as JSON with one run a line: small, and a change shows where it is."""
    runs = ",\n".join(
        json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in value["runs"]
    )
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
