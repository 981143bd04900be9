"""Write the samples of the trackers' and frameworks' formats: one small run in each of them.

The trackers' own libraries write theirs; run it in an environment that has them:

    python tests/data/record_foreign.py tensorboard wandb trackio mlflow swanlab text

The rows are those that transformers hands to a tracker (`rows`): DPO at beta 0.1, both sides
falling, an evaluation every ten steps.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent
BETA = 0.1
CONFIG = {"beta": BETA, "loss_type": ["sigmoid"], "logging_steps": 1, "learning_rate": 5e-6}


def rows(steps: int = 30) -> Iterator[tuple[int, str, dict[str, float]]]:
    """Yield (step, "train" or "eval", metrics under TRL's names)."""
    for step in range(1, steps + 1):
        wobble = 0.02 * math.sin(2.3 * step)
        chosen, rejected = -0.02 * step + wobble, -0.05 * step + 2 * wobble
        row = {
            "loss": math.log1p(math.exp(rejected - chosen)),
            "rewards/chosen": chosen,
            "rewards/rejected": rejected,
            "rewards/margins": chosen - rejected,
            "rewards/accuracies": min(1.0, 0.5 + step / 40),
            "logps/chosen": -120 + chosen / BETA,
            "logps/rejected": -140 + rejected / BETA,
        }
        yield step, "train", {**row, "grad_norm": 3.0 + wobble, "epoch": step / 30}
        if step % 10 == 0:
            yield step, "eval", {name: 0.9 * value for name, value in row.items()}


def tracked() -> Iterator[tuple[int, dict[str, float]]]:
    """Yield (step, metrics) as transformers hands them to trackers."""
    for step, kind, row in rows():
        yield step, {f"{kind}/{name}": value for name, value in row.items()}


def tensorboard() -> None:
    """Write event files of a run that was resumed, as torch's writer does."""
    from torch.utils.tensorboard import SummaryWriter

    folder = fresh("tensorboard") / "resumed"
    for number, (first, last) in enumerate(((1, 24), (21, 30))):
        with SummaryWriter(str(folder), filename_suffix=f".{number}") as writer:
            writer.add_text("args", json.dumps(CONFIG))
            for step, row in tracked():
                if first <= step <= last:
                    for name, value in row.items():
                        writer.add_scalar(name, value, step)
    folder = DATA / "tensorboard" / "new_style"
    with SummaryWriter(str(folder)) as writer:
        for step, kind, row in rows():
            for name, value in row.items() if kind == "train" else ():
                writer.add_scalar(name, value, step, new_style=True)
    for number, file in enumerate(sorted((DATA / "tensorboard").rglob("*tfevents*"))):
        file.rename(file.with_name(f"events.out.tfevents.170000000{number}.host.0.{number}"))


def wandb() -> None:
    """Write the folder of an offline run."""
    import wandb as library

    with tempfile.TemporaryDirectory() as folder:
        settings = library.Settings(
            console="off", x_disable_stats=True, x_disable_meta=True, mode="offline"
        )
        run = library.init(
            project="samples", name="dpo", config=CONFIG, dir=folder, settings=settings
        )
        for step, row in tracked():
            run.log({**row, "train/global_step": step})
        run.summary["train_runtime"] = 12.5
        run.finish()
        [file] = Path(folder).glob("wandb/offline-run-*/*.wandb")
        target = fresh("wandb") / "offline-run"
        target.mkdir()
        shutil.copy(file, target)


def trackio() -> None:
    """Write a project of two runs."""
    target = fresh("trackio")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRACKIO_DIR"] = folder
        library = import_module("trackio")

        for name in ("dpo", "dpo-again"):
            library.init(project="samples", name=name, config=CONFIG)
            for step, row in tracked():
                if name == "dpo" or step <= 10:
                    library.log({**row, "train/global_step": step})
            library.finish()
        import sqlite3

        # Nothing but the tables that hold metrics: indices and other tables are empty pages.
        whole = sqlite3.connect(Path(folder) / "samples.db")
        small = sqlite3.connect(target / "samples.db")
        for table in ("metrics", "configs"):
            [sql] = whole.execute(
                "SELECT sql FROM sqlite_master WHERE name = ?", (table,)
            ).fetchone()
            small.execute(sql)
            found = whole.execute(f"SELECT * FROM {table}").fetchall()
            small.executemany(
                f"INSERT INTO {table} VALUES ({','.join('?' * len(found[0]))})", found
            )
        small.commit()


def mlflow() -> None:
    """Write the folder of one run of a file store."""
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    library = import_module("mlflow")

    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "mlruns"
        library.set_tracking_uri(store.as_uri())
        with library.start_run(run_name="dpo") as run:
            library.log_params({name: CONFIG[name] for name in ("beta", "logging_steps")})
            library.log_params({"loss_type": "sigmoid"})
            kept = ("loss", "rewards/chosen", "rewards/rejected")
            for step, kind, whole in rows():
                row = {name: whole[name] for name in kept}
                named = {
                    (name if kind == "train" else f"eval_{name}"): v for name, v in row.items()
                }
                library.log_metrics(named, step=step)
        target = fresh("mlflow") / "run"
        shutil.copytree(store / "0" / run.info.run_id, target)
        shutil.rmtree(target / "artifacts", ignore_errors=True)
        shutil.rmtree(target / "tags", ignore_errors=True)
        meta = [
            line for line in (target / "meta.yaml").read_text().splitlines() if "uri" not in line
        ]
        (target / "meta.yaml").write_text("\n".join(meta) + "\n")


def swanlab() -> None:
    """Write the folder of an offline run."""
    library = import_module("swanlab")

    with tempfile.TemporaryDirectory() as folder:
        library.init(
            project="samples", experiment_name="dpo", config=CONFIG, mode="offline", logdir=folder
        )
        for step, row in tracked():
            library.log(row, step=step)
        library.finish()
        [run] = Path(folder).glob("run-*")
        target = fresh("swanlab") / "run"
        (target / "files").mkdir(parents=True)
        shutil.copy(run / "files" / "config.yaml", target / "files")
        [file] = run.glob("*.swanlab")
        shutil.copy(file, target)


def text() -> None:
    """Write the formats that are plain text, as their frameworks' sources write them."""
    swift, llamafactory = fresh("swift"), fresh("llamafactory")
    torchtune, table = fresh("torchtune"), fresh("table")
    scalars, exported = fresh("scalar-csv") / "charts", fresh("wandb-export") / "charts"
    train = [(step, row) for step, kind, row in rows() if kind == "train"]
    lines(
        swift / "logging.jsonl",
        [
            {
                **{(n if kind == "train" else f"eval_{n}"): round(v, 8) for n, v in row.items()},
                "memory(GiB)": 24.5,
                "global_step/max_steps": f"{step}/30",
                "elapsed_time": f"{step}s",
            }
            for step, kind, row in rows()
        ]
        + [{"best_model_checkpoint": None, "memory": 24.5, "log_history": [{"loss": 0.5}]}],
    )
    lines(
        llamafactory / "trainer_log.jsonl",
        [{**row, "step": step, "total_steps": 30} for step, row in train],
    )
    tuned = [
        (step, {n.replace("logps/", "log_probs/"): v for n, v in row.items()})
        for step, row in train
    ]
    lines(torchtune / "log_1700000000.jsonl", [{"step": step, **row} for step, row in tuned])
    (torchtune / "log_1700000001.txt").write_text(
        "".join(
            f"Step {step} | {' '.join(f'{n}:{v}' for n, v in row.items())} \n"
            for step, row in tuned
        )
    )
    home_made(table, train)
    charts(scalars, exported)


def home_made(folder: Path, train: list[tuple[int, dict[str, float]]]) -> None:
    """Write tables in words of their own."""
    names = {
        "step": "step",
        "chosen_reward": "rewards/chosen",
        "rejected_reward": "rewards/rejected",
        "reward_margin": "rewards/margins",
        "preference_accuracy": "rewards/accuracies",
    }
    table = [
        {own: step if own == "step" else row[name] for own, name in names.items()}
        for step, row in train
    ]
    (folder / "rows.json").write_text(json.dumps(table))
    text = [",".join(names), *(",".join(str(value) for value in row.values()) for row in table)]
    (folder / "rows.csv").write_text("\n".join(text) + "\n")
    lines(folder / "rows.jsonl", table)
    series = {name: [[step, row[name]] for step, row in train] for name in list(names.values())[1:]}
    (folder / "series.json").write_text(json.dumps({"scalar_series": series}))
    import pyarrow as pa
    import pyarrow.parquet

    pa.parquet.write_table(pa.Table.from_pylist(table), folder / "rows.parquet")


def charts(scalars: Path, exported: Path) -> None:
    """Write what the download links of TensorBoard and W&B give."""
    scalars.mkdir()
    exported.mkdir()
    for name in ("rewards/chosen", "rewards/rejected", "loss"):
        points = [(step, row[name]) for step, kind, row in rows() if kind == "train"]
        tag = f"train/{name}".replace("/", "_")
        body = "".join(f"{1.7e9 + step},{step},{value}\n" for step, value in points)
        (scalars / f"run-dpo-tag-{tag}.csv").write_text("Wall time,Step,Value\n" + body)
        column = f"dpo - train/{name}"
        head = f'"train/global_step","{column}","{column}__MIN","{column}__MAX"\n'
        body = "".join(f'"{step}","{value}","{value}","{value}"\n' for step, value in points)
        (exported / f"wandb_export_{tag}.csv").write_text(head + body)


def lines(path: Path, found: list[dict[str, Any]]) -> None:
    """Write one object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in found))


def fresh(name: str) -> Path:
    """Return the empty folder of a reader's samples."""
    shutil.rmtree(DATA / name, ignore_errors=True)
    (DATA / name).mkdir()
    return DATA / name


if __name__ == "__main__":
    for what in sys.argv[1:]:
        globals()[what]()
