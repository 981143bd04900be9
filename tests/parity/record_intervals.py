"""Train DPO with TRL and keep what it logs every 1, 5 and 20 steps: trainer_state.json files.

`python tests/parity/record_intervals.py` writes them to tests/data/trl-intervals/, for machines
without TRL. The numbers are TRL's own, to the last digit; statistics that no verdict needs and
line breaks are left out, which keeps the files small.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

from parity_setting import CASES, write_setting
from trl_runs import trained

INTERVALS = (1, 5, 20)
STEPS = 120
LEARNING_RATE = 4e-4
LEFT_OUT = ("entropy", "mean_token_accuracy", "logits/chosen", "logits/rejected")
FOLDER = Path(__file__).resolve().parent.parent / "data" / "trl-intervals"


def record(model_folder: Path, interval: int, place: Path) -> None:
    """Train once and write TRL's trainer_state.json to the folder `place`."""
    settings = {"logging_steps": interval, "max_steps": STEPS, "learning_rate": LEARNING_RATE}
    with tempfile.TemporaryDirectory() as output:
        trainer = trained(CASES["dpo-sigmoid"], model_folder, output, **settings)
        state = Path(output) / "trainer_state.json"
        trainer.state.save_to_json(str(state))
        recorded = json.loads(state.read_text())
    for row in recorded["log_history"]:
        for name in LEFT_OUT:
            row.pop(name, None)
    text = json.dumps(recorded, separators=(",", ":"))
    place.mkdir(parents=True, exist_ok=True)
    (place / "trainer_state.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Record every interval."""
    with tempfile.TemporaryDirectory() as setting:
        write_setting(Path(setting))
        for interval in INTERVALS:
            record(Path(setting) / "model", interval, FOLDER / f"every-{interval}")


if __name__ == "__main__":
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    warnings.simplefilter("ignore")
    sys.exit(main())
