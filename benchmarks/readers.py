"""How fast logs are read, and in how much memory, beside the tools that usually read them.

Every measurement runs in a process of its own on a generated log; of several repetitions the
fastest counts, because the others also measure what else the machine does. `python -m benchmarks
readers` prints the table as Markdown.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROWS = int(os.environ.get("ROWS", "1000000"))
EVENT_STEPS = int(os.environ.get("EVENT_STEPS", "20000"))
CONSOLE_MEGABYTES = int(os.environ.get("CONSOLE_MEGABYTES", "100"))
RUNS = 200
REPEATS = int(os.environ.get("REPEATS", "3"))
METRICS = (
    *("loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"),
    *("logps/chosen", "logps/rejected", "grad_norm", "learning_rate", "epoch"),
)


@dataclass(frozen=True)
class Measurement:
    """Seconds of the wall clock and of all cores, and memory beyond what the imports took."""

    seconds: float
    cpu_seconds: float
    megabytes: float


def row(step: int, draw: random.Random) -> dict[str, float]:
    """Return the metrics of one step, with as many digits as trainers write."""
    values = {name: draw.gauss(0, 1) for name in METRICS}
    return {"step": step, **values, "epoch": step / 7e5}


# -- What is read ----------------------------------------------------------------------------------


def write_run_log(folder: Path) -> Path:
    """Write a run log of `ROWS` training steps."""
    draw, path = random.Random(0), folder / "run.jsonl"
    with path.open("w") as stream:
        stream.write('{"kind":"header","format":"seesaw-run-log","version":1,"method":"dpo"}\n')
        for step in range(1, ROWS + 1):
            line = {"kind": "train", **row(step, draw), "time": 1.7e9 + step}
            stream.write(json.dumps(line, separators=(",", ":")) + "\n")
    return path


def write_jsonl(folder: Path) -> Path:
    """Write a table of `ROWS` rows, one JSON object a line."""
    draw, path = random.Random(0), folder / "table.jsonl"
    with path.open("w") as stream:
        for step in range(1, ROWS + 1):
            stream.write(json.dumps(row(step, draw)) + "\n")
    return path


def write_events(folder: Path) -> Path:
    """Write event files of `EVENT_STEPS` steps as transformers does."""
    from torch.utils.tensorboard import SummaryWriter

    draw = random.Random(0)
    with SummaryWriter(str(folder / "events")) as writer:
        for step in range(1, EVENT_STEPS + 1):
            for name, value in row(step, draw).items():
                writer.add_scalar(f"train/{name}", value, step)
    return folder / "events"


def write_console(folder: Path, every: int) -> Path:
    """Write console text: a progress bar drawn at each step, and every so many steps a row."""
    draw, path = random.Random(0), folder / "train.log"
    # A row takes 335 bytes, a bar 75.
    steps = CONSOLE_MEGABYTES * 1_000_000 * every // (335 + 75 * every)
    shown = len(str(steps))
    with path.open("w") as stream:
        for step in range(1, steps + 1):
            clock = f"{step // 3600:02}:{step // 60 % 60:02}:{step % 60:02}"
            left = f"{(steps - step) // 3600:02}:{(steps - step) // 60 % 60:02}:00"
            done = 100 * step // steps
            bar = "█" * (done // 10)
            place = f"{step:{shown}}/{steps} [{clock}<{left}, 1.00s/it]"
            stream.write(f"\r{done:3}%|{bar:10}| {place}")
            if step % every == 0:
                values = row(step, draw)
                del values["step"]
                stream.write(f"{' ' * 20}\n{values}\n")
    return path


def write_runs(folder: Path) -> Path:
    """Write `RUNS` runs, half of them ours and half output folders of transformers."""
    draw = random.Random(0)
    for number in range(RUNS):
        place = folder / "runs" / f"sweep-{number % 10}" / f"run-{number}"
        place.mkdir(parents=True)
        rows = [row(step, draw) for step in range(1, 201)]
        if number % 2:
            lines = [json.dumps({"kind": "train", **one}) for one in rows]
            header = '{"kind":"header","format":"seesaw-run-log","version":1,"method":"dpo"}'
            (place / "run.jsonl").write_text("\n".join([header, *lines]) + "\n")
        else:
            state = {"global_step": 200, "log_history": rows, "max_steps": 200}
            (place / "trainer_state.json").write_text(json.dumps(state, indent=2))
    return folder / "runs"


# -- Reading ---------------------------------------------------------------------------------------


def read_ours(path: Path) -> None:
    """Read a log as every command does."""
    from diagnostics.readers import read

    assert len(read(path).train) > 1000


def read_accumulator(path: Path) -> None:
    """Read event files with TensorBoard's own reader, no point left out."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
    points = {tag: found.Scalars(tag) for tag in found.Tags()["scalars"]}
    assert len(points["train/loss"]) == EVENT_STEPS


def read_pandas(path: Path) -> None:
    """Read JSON lines with pandas."""
    import pandas as pd

    assert len(pd.read_json(path, lines=True)) >= ROWS


def rescan(path: Path) -> float:
    """Return the seconds of a second look at a folder, its runs already read."""
    from diagnostics.readers import find_runs, fingerprint, read

    kept = {place: (fingerprint(place), read(place)) for place in find_runs(path)}
    assert len(kept) == RUNS
    begun = time.perf_counter()
    again = {place: fingerprint(place) for place in find_runs(path)}
    took = time.perf_counter() - begun
    assert again == {place: mark for place, (mark, _) in kept.items()}
    return took


READERS: dict[str, Callable[[Path], float | None]] = {
    "ours": read_ours,
    "accumulator": read_accumulator,
    "pandas": read_pandas,
    "rescan": rescan,
}


def measure(reader: str, path: Path) -> Measurement:
    """Return the fastest of several readings, each in a process of its own."""
    found = []
    for _ in range(REPEATS):
        command = [sys.executable, "-m", "benchmarks.readers", reader, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(Measurement(*json.loads(done.stdout.splitlines()[-1])))
    return min(found, key=lambda one: one.seconds)


def measure_here(reader: str, path: Path) -> None:
    """Read once and print seconds, seconds of all cores and megabytes."""
    from diagnostics.readers import READERS as _  # noqa: F401  imports are not what is measured

    before = peak_kilobytes(reset=True)
    begun, cpu = time.perf_counter(), time.process_time()
    told = READERS[reader](path)
    seconds = time.perf_counter() - begun if told is None else told
    grown = peak_kilobytes() - before
    print(json.dumps([seconds, time.process_time() - cpu, grown / 1024]))


def peak_kilobytes(*, reset: bool = False) -> int:
    """Return the most memory held since the last reset.

    The kernel's own counter starts with what the parent process held, where it can be reset.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    [peak] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(peak.split()[1])


def lines() -> Iterator[str]:
    """Yield the table."""
    yield "| what is read | size | reader | seconds | CPU seconds | memory | goal |"
    yield "|---|---|---|---|---|---|---|"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write_events(folder)
        points = EVENT_STEPS * (len(METRICS) + 1)
        ours, theirs = measure("ours", path), measure("accumulator", path)
        what = f"{points:,} points of event files"
        faster = theirs.seconds / ours.seconds
        yield _line(what, _size(path), "Seesaw", ours, f"10 times faster: {faster:.0f} times")
        yield _line(what, _size(path), "EventAccumulator", theirs, "")
        for title, write in (("run log", write_run_log), ("JSON lines", write_jsonl)):
            path = write(folder)
            size = _size(path)
            ours = measure("ours", path)
            goal = f"2 s, 3 times its size: {ours.megabytes / size:.1f} times"
            yield _line(f"{ROWS:,} rows of a {title}", size, "Seesaw", ours, goal)
            theirs = measure("pandas", path)
            yield _line(f"{ROWS:,} rows of a {title}", size, "pandas.read_json", theirs, "")
            path.unlink()
        for every, title in ((1, "a row each step"), (10, "a row every 10 steps")):
            path = write_console(folder, every)
            size = _size(path)
            ours = measure("ours", path)
            goal = f"50 MB/s: {size / ours.seconds:.0f} MB/s"
            yield _line(f"console text, {title}", size, "Seesaw", ours, goal)
            path.unlink()
        path = write_runs(folder)
        goal = "0.3 s"
        yield _line(
            f"{RUNS} unchanged runs, again", _size(path), "Seesaw", measure("rescan", path), goal
        )


def _line(what: str, size: float, reader: str, found: Measurement, goal: str) -> str:
    numbers = f"{found.seconds:.2f} | {found.cpu_seconds:.2f} | {found.megabytes:.0f} MB"
    return f"| {what} | {size:.0f} MB | {reader} | {numbers} | {goal} |"


def _size(path: Path) -> float:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def main() -> None:
    """Print the table."""
    print("## Reading logs\n")
    print(f"{os.cpu_count()} cores; the fastest of {REPEATS} readings.\n")
    for line in lines():
        print(line, flush=True)
    print()


if __name__ == "__main__":
    measure_here(sys.argv[1], Path(sys.argv[2]))
