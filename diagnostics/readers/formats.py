"""What can be read, and how to get it out of each framework: the text of `formats`."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

from diagnostics.readers.contract import Reader

# How a log comes out of each framework. Left the framework, right what to do.
EXPORTS = (
    ("TRL", "give output_dir (trainer_state.json is in every checkpoint); or the console text"),
    ("TRL, trackers", "report_to='tensorboard', 'wandb', 'trackio', 'mlflow' or 'swanlab'"),
    ("LLaMA-Factory", "give output_dir: rewards are in trainer_state.json, not trainer_log.jsonl"),
    ("ms-swift", "give output_dir, or the logging.jsonl in it"),
    ("Axolotl", "give output_dir, or its debug.log"),
    ("Unsloth", "give output_dir, or the notebook with its result table"),
    ("alignment-handbook", "give output_dir, or the README.md of the model"),
    ("SimPO, orpo", "give output_dir (SimPO); the W&B run (orpo logs its terms only there)"),
    ("OpenRLHF", "--logger.wandb.key or --logger.tensorboard_dir, else the console text"),
    ("torchtune", "DiskLogger: give log_<time>.txt; or TensorBoardLogger"),
    ("HALOs, eric-mitchell", "give the console text, or the W&B run"),
    ("Hugging Face model card", "give the README.md: the table of its last evaluations"),
    ("W&B, online", "wandb:entity/project/run, with WANDB_API_KEY set; a project or sweep as well"),
    ("Anything else", "a CSV, JSONL or Parquet file, one row a step; --map chosen=COLUMN"),
)
WIDTH = 96


def formats_text(readers: Iterable[Reader]) -> str:
    """Return the formats that can be read and how each framework writes one, for a terminal."""
    lines = ["Seesaw reads", ""]
    for reader in readers:
        lines += _entry(reader.title, reader.export_hint)
    lines += ["", "How to export from each framework", ""]
    width = max(len(name) for name, _ in EXPORTS) + 2
    for name, hint in EXPORTS:
        first, *rest = wrap(hint, WIDTH - width - 2)
        lines.append(f"  {name:<{width}}{first}")
        lines += [" " * (width + 2) + line for line in rest]
    lines += [
        "",
        "Any of these paths goes straight to diagnose and compare. What the log does not hold is",
        "told with --beta and --method; import PATH --to runs/ keeps a log as a run of Seesaw.",
    ]
    return "\n".join(lines)


def _entry(title: str, hint: str) -> list[str]:
    return [
        *wrap(title, WIDTH - 2, initial_indent="  ", subsequent_indent="    "),
        *wrap(hint, WIDTH - 6, initial_indent="      ", subsequent_indent="      "),
    ]
