"""Record the demo's runs as the small examples that the dashboard opens with.

    python -m trainer demo
    python examples/record.py

A recorded run holds the log, the probe pairs with their texts and the reference samples; the
per-pair records of training steps, the checkpoints and the weights stay behind.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from diagnostics import readers  # noqa: E402
from diagnostics.readers import native  # noqa: E402

LIMIT = 1_500_000  # bytes of all examples together


def main() -> None:
    """Replace examples/demo-* by the runs under runs/demo."""
    for old in HERE.glob("demo-*"):
        shutil.rmtree(old)
    for path in readers.find_runs(HERE.parent / "runs" / "demo"):
        run = readers.read(path)
        # The dashboard shows them beside the live demo, whose runs have the same names.
        name = f"recorded {run.name}"
        recorded = replace(run, name=name, header={**run.header, "name": name})
        native.write(recorded, HERE / f"demo-{path.name}")
    size = sum(file.stat().st_size for file in HERE.rglob("*") if file.is_file())
    if size > LIMIT:
        sys.exit(f"examples take {size} bytes, expected at most {LIMIT}; shorten the demo's runs")


if __name__ == "__main__":
    main()
