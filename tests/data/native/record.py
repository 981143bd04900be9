"""Make the sample logs of this folder anew: python -m tests.data.native.record from the root.

They are synthetic: the numbers are those of diagnostics/examples.py, written by the run log
itself, with a resume, a row of NaN and infinities, a name that is no metric, and a torn last line.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path

from diagnostics.examples import example
from diagnostics.readers.native import write
from diagnostics.runlog import RunLog

HERE = Path(__file__).parent


def resumed() -> None:
    """A run that fell, was killed, resumed from step 20, and has not ended."""
    folder = HERE / "resumed"
    run = example("both_fall", pairs=6, evaluations=4)
    write(dataclasses.replace(run, status="running"), folder)
    with RunLog.resume(folder, 20) as log:
        log.write("train", 30, {"loss": math.nan, "kl": math.inf, "odd/name": 1.0})
        log.write("eval", 30, {"loss": 0.6, "rewards/chosen": -math.inf})
        columns = {"step": [29, 30], "pair": [0, 1], "loss": [0.6, math.nan]}
        log.write_pairs("train", 29, 30, columns)
    with (folder / "run.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"kind":"train","step":40,"lo')


def just_started() -> None:
    """A run whose header is all there is."""
    RunLog.create(HERE / "just_started", {"name": "just started", "method": "simpo"}).close()


if __name__ == "__main__":
    for make in (resumed, just_started):
        shutil.rmtree(HERE / make.__name__, ignore_errors=True)
        make()
