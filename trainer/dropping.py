"""Leaving listed pairs out of the training: the list that the dashboard's page of pairs exports.

They are dropped after the held-out part was drawn, so that a run with the list and one without it
are evaluated on the same pairs.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer.data import PreferenceData
from trainer.errors import DataError

COLUMN = "pair"


def without_listed(train: PreferenceData, path: str) -> PreferenceData:
    """Return the training data without the pairs that a CSV or JSONL file lists.

    A row names a pair by its number in the data set (`pair`, from 0). A row whose `split` is
    held_out is passed over: it is of the evaluation. Where the file says which data it is about
    (`data_sha256`), it must be these.

    Raises
    ------
    DataError
        When the file cannot be read, is about other data, or leaves nothing to train on.
    """
    try:
        content = Path(path).read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DataError(
            f"--drop_pairs {path} cannot be read ({reason}): give a CSV or JSONL file"
        ) from error
    listed = {
        _number(row, f"--drop_pairs {path}, row {place}")
        for place, row in enumerate(_rows(text, path), start=1)
        if _is_of(row, train.identity.get("sha256"), path)
    }
    kept = tuple(example for example in train.examples if example.index not in listed)
    if not kept:
        raise DataError(f"--drop_pairs {path} lists every training pair: list fewer")
    dropped = len(train.examples) - len(kept)
    identity = {
        **train.identity,
        "dropped_by_list": dropped,
        "drop_list_sha256": hashlib.sha256(content).hexdigest(),
    }
    return replace(train, examples=kept, identity=identity)


def _rows(text: str, path: str) -> list[Mapping[str, Any]]:
    """Return the rows of a JSONL file, or of a CSV file with a head."""
    if not text.lstrip().startswith("{"):
        return list(csv.DictReader(io.StringIO(text)))
    rows: list[Mapping[str, Any]] = []
    for line, part in enumerate(text.splitlines(), start=1):
        if not part.strip():
            continue
        try:
            row = json.loads(part)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise DataError(f"--drop_pairs {path}, line {line}: is no JSON object; export it again")
        rows.append(row)
    return rows


def _is_of(row: Mapping[str, Any], digest: Any, path: str) -> bool:
    """Whether a row is about the training pairs; raise DataError for a row about other data."""
    about = row.get("data_sha256")
    if about and digest and about != digest:
        raise DataError(
            f"--drop_pairs {path} was made for other data (sha256 {str(about)[:12]}…, and --data "
            f"has {str(digest)[:12]}…): row numbers would name other pairs; export it from a run "
            "on these data"
        )
    return row.get("split") != "held_out"


def _number(row: Mapping[str, Any], place: str) -> int:
    value = row.get(COLUMN)
    try:
        if isinstance(value, bool):
            raise ValueError
        number = int(str(value))
    except ValueError:
        number = -1
    if number < 0:
        raise DataError(
            f"{place}: the column {COLUMN!r} holds {value!r}, expected a row number of the data "
            "set from 0; export the list again"
        )
    return number
