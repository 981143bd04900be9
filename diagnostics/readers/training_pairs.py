"""The records and texts of every training pair: read only where somebody asks for them.

They lie beside a run log of this trainer, and are too large to be part of a `Run`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from diagnostics.logcontents import LOG_NAME
from diagnostics.pairtables import parts, read_pairs
from diagnostics.readers import native
from diagnostics.run import Run, empty_pairs, pair_frame


def has_training_records(run: Run) -> bool:
    """Say whether `training_records` would find something; only file names are looked at."""
    folder = _folder(run)
    try:
        return folder is not None and bool(parts(folder, "train"))
    except OSError:
        return False


def training_records(run: Run) -> pd.DataFrame:
    """Return the table "train" of a run, one row each time that a pair was trained on, by step.

    Empty where the run has none: other trainers keep no such records.
    """
    folder = _folder(run)
    return empty_pairs("train") if folder is None else pair_frame(read_pairs(folder, "train"))


def training_texts(run: Run, pairs: list[int]) -> pd.DataFrame:
    """Return the texts of these training pairs, indexed by pair, as far as they were kept."""
    folder = _folder(run)
    rows = empty_pairs("train_texts")
    if folder is not None:
        table = read_pairs(folder, "train_texts")
        rows = pair_frame(table.take(np.flatnonzero(np.isin(table["pair"].to_numpy(), pairs))))
    return rows.drop_duplicates("pair", keep="last").set_index("pair")


def _folder(run: Run) -> Path | None:
    """Return the folder whose pair tables belong to this run's log, None for other formats."""
    if run.source.reader != native.READER.name or not run.source.path:
        return None
    path = Path(run.source.path)
    # Pair tables beside a log that was copied elsewhere belong to another run.
    return path if path.is_dir() else path.parent if path.name == LOG_NAME else None
