"""The same numbers as run logs of Seesaw, event files of TensorBoard and a project of trackio.

Twelve series a run, as a DPO training logs them, with noise; `SPIKED` has one spike of one step,
which no chart may lose.
"""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

NAMES = (
    *("loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"),
    *("logps/chosen", "logps/rejected", "grad_norm", "learning_rate"),
    *("entropy/chosen", "entropy/rejected", "epoch"),
)
SPIKED = "loss"
SPIKE = 9.5
BEGUN = 1.79e9  # seconds, Unix

TRACKIO = """
import sys, numpy as np
from trackio.sqlite_storage import SQLiteStorage
names, begun = sys.argv[1].split(","), float(sys.argv[2])
from datetime import datetime, timezone
for path in sys.argv[3:]:
    values = np.load(path).astype(float).tolist()
    run = path.rsplit("/", 1)[1].removesuffix(".npy")
    steps = list(range(1, len(values) + 1))
    times = [datetime.fromtimestamp(begun + one, timezone.utc).isoformat() for one in steps]
    rows = [dict(zip(names, row)) for row in values]
    SQLiteStorage.bulk_log("bench", run, rows, steps, times, config={})
"""
"""Written by trackio itself: its tables change from version to version."""


def series(seed: int, steps: int) -> np.ndarray:
    """Return the values (steps, 12) of one run as float32; the same seed gives the same."""
    draw = np.random.default_rng(seed)
    done = np.arange(1, steps + 1) / steps

    def noise(scale: float) -> np.ndarray:
        return draw.normal(0, scale, steps)

    chosen = -(0.5 + 0.05 * seed) * done + noise(0.2)
    rejected = -2 * done + noise(0.2)
    columns = (
        0.69 - 0.4 * done + noise(0.05),
        *(chosen, rejected, chosen - rejected),
        np.clip(0.5 + 0.4 * done + noise(0.05), 0, 1),
        *(-120 + 10 * chosen, -140 + 10 * rejected),
        *(np.exp(1 + noise(0.3)), 1e-6 * (1 - done)),
        *(2 - 0.2 * done + noise(0.05), 2 + 0.1 * done + noise(0.05)),
        done,
    )
    values = np.stack(columns, axis=1).astype(np.float32)
    values[spiked(steps), NAMES.index(SPIKED)] = SPIKE
    return values


def spiked(steps: int) -> int:
    """Return the row of the spike."""
    return steps * 3 // 7


def write_run_logs(folder: Path, runs: Sequence[np.ndarray]) -> None:
    """Write run folders of Seesaw."""
    for number, values in enumerate(runs):
        place = folder / f"run-{number:02}"
        place.mkdir(parents=True)
        header = {"format": "seesaw-run-log", "version": 1, "method": "dpo", "beta": 0.1}
        first = {"kind": "header", **header, "name": place.name, "config": {"seed": number}}
        with (place / "run.jsonl").open("w") as stream:
            stream.write(json.dumps(first) + "\n")
            for step, row in enumerate(values.tolist(), start=1):
                named = zip(NAMES, row, strict=True)
                pairs = ",".join(f'"{name}":{value!r}' for name, value in named)
                stream.write(
                    f'{{"kind":"train","step":{step},"time":{BEGUN + step:.3f},{pairs}}}\n'
                )
            stream.write(f'{{"kind":"end","step":{len(values)},"status":"completed"}}\n')


def write_trackio(folder: Path, runs: Sequence[np.ndarray], python: Path) -> None:
    """Write a project of trackio, with the interpreter that has it."""
    numbers = folder / "numbers"
    numbers.mkdir(parents=True)
    paths = [numbers / f"run-{number:02}.npy" for number in range(len(runs))]
    for path, values in zip(paths, runs, strict=True):
        np.save(path, values)
    command = [python, "-c", TRACKIO, ",".join(NAMES), str(BEGUN), *map(str, paths)]
    subprocess.run(command, check=True, env={"TRACKIO_DIR": str(folder), "PATH": "/usr/bin:/bin"})


# -- Event files -----------------------------------------------------------------------------------


def write_events(folder: Path, runs: Sequence[np.ndarray]) -> None:
    """Write one event file a run, a record for each value, as `SummaryWriter` does.

    The records of one tag are equally long (steps are padded as the wire format allows), so that
    their check sums are worked out for all steps at once.
    """
    for number, values in enumerate(runs):
        place = folder / f"run-{number:02}"
        place.mkdir(parents=True)
        version = _records(np.frombuffer(_event(BEGUN) + b"\x1a\x0dbrain.Event:2", np.uint8)[None])
        tags = [_scalars(f"train/{name}", values[:, at]) for at, name in enumerate(NAMES)]
        path = place / f"events.out.tfevents.{BEGUN:.0f}.host.1.0"
        path.write_bytes(version.tobytes() + np.hstack([_records(tag) for tag in tags]).tobytes())


def _event(time: float) -> bytes:
    return b"\x09" + struct.pack("<d", time)


def _scalars(tag: str, values: np.ndarray) -> np.ndarray:
    """Return the events (T, length) of one tag as bytes."""
    name = tag.encode()
    value = b"\x0a" + bytes([len(name)]) + name + b"\x15" + b"\0\0\0\0"
    summary = b"\x0a" + bytes([len(value)]) + value
    event = _event(0) + b"\x10\0\0\0" + b"\x2a" + bytes([len(summary)]) + summary
    events = np.tile(np.frombuffer(event, np.uint8), (len(values), 1))
    steps = np.arange(1, len(values) + 1)
    events[:, 1:9] = (BEGUN + steps).astype("<f8").view(np.uint8).reshape(-1, 8)
    for place, shift in enumerate((0, 7, 14)):
        more = 0x80 if shift < 14 else 0
        events[:, 10 + place] = (steps >> shift) & 0x7F | more
    events[:, -4:] = values.astype("<f4").view(np.uint8).reshape(-1, 4)
    return events


def _records(events: np.ndarray) -> np.ndarray:
    """Return events (T, length) in the frames of a record file: length, sums, content."""
    count, length = events.shape
    size = np.tile(np.frombuffer(struct.pack("<Q", length), np.uint8), (count, 1))
    return np.hstack([size, _masked(size), events, _masked(events)])


def _masked(content: np.ndarray) -> np.ndarray:
    """Return the masked CRC-32C of each row as four bytes (T, 4)."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    crc = np.full(len(content), 0xFFFFFFFF, np.uint32)
    for column in content.T:
        crc = table[(crc ^ column) & 0xFF] ^ (crc >> np.uint32(8))
    crc = ~crc
    masked = ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)
    return masked.astype("<u4").view(np.uint8).reshape(-1, 4)
