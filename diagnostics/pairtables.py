"""Per-pair tables of a run, written in parts that appear whole or not at all.

A part is `pairs/<table>-<step>.parquet`, or `pairs/train-<first>-<last>.parquet`, with
`-rank<r>` before the ending when another rank than 0 wrote it. A part is written to a hidden
temporary file and renamed, so a killed process never leaves half of one under its final name.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FOLDER = "pairs"


def _schema(integers: str, strings: str, floats: str) -> pa.Schema:
    """Return an Arrow schema from space-separated column names."""
    return pa.schema(
        [(name, pa.int32()) for name in integers.split()]
        + [(name, pa.string()) for name in strings.split()]
        + [(name, pa.float32()) for name in floats.split()]
    )


def _sides(*names: str) -> str:
    """Return `name/chosen name/rejected` for every name."""
    return " ".join(f"{name}/{side}" for name in names for side in ("chosen", "rejected"))


TABLES: dict[str, pa.Schema] = {
    "probe": _schema(
        "step pair",
        "split prompt",
        _sides(
            *("logps", "completion_tokens", "entropy", "top1_rate"),
            *("surprise", "surprise_z", "valley", "argmax_logps"),
        ),
    ),
    "samples": _schema("step sample", "prompt", "logps completion_tokens"),
    "entanglement": _schema(
        "step pair",
        "split prompt",
        " ".join(
            (
                _sides("completion_tokens", "weight", "norm"),
                "cosine",
                _sides("head_norm"),
                "head_cosine ches ches_per_token",
            )
        ),
    ),
    "tokens": _schema("step pair position token", "split side group", "logps argmax_logps"),
    "families": _schema(
        "step pair", "family prompt", "logps completion_tokens argmax_logps entropy"
    ),
    "texts": _schema("step pair", "split prompt prompt_text " + _sides("text"), ""),
    "token_texts": _schema("step pair position", "split side text", ""),
    "train": _schema(
        "step pair", "", _sides("logps", "ref_logps", "rewards", "completion_tokens") + " loss"
    ),
    "train_texts": _schema("step pair", "prompt prompt_text " + _sides("text"), ""),
}
# Tables of every training pair: large, and read only where a reader asks for them.
LARGE = ("train", "train_texts")
# What orders the rows of a table, as far as it has these columns.
_ORDER = ("step", "split", "pair", "sample", "side", "position", "family")

_PART = re.compile(
    rf"(?P<table>{'|'.join(TABLES)})-(?P<first>\d+)(-(?P<last>\d+))?(-rank(?P<rank>\d+))?\.parquet"
)


@dataclass(frozen=True)
class Part:
    """One file of a table, holding the steps `first` to `last` as one rank saw them."""

    path: Path
    table: str
    first: int
    last: int
    rank: int


@dataclass(frozen=True)
class PairRows:
    """The rows of one table, and the names of the parts that could not be read."""

    rows: pa.Table
    unreadable: tuple[str, ...]


def part_name(table: str, first_step: int, last_step: int, rank: int = 0) -> str:
    """Return the file name of a part.

    Raises
    ------
    ValueError
        For an unknown table, or steps that the table cannot hold in one part.

    Examples
    --------
    >>> part_name("train", 1, 20, rank=1)
    'train-00000001-00000020-rank1.parquet'
    """
    if table not in TABLES:
        raise ValueError(f"no pair table is called {table!r}, expected one of {', '.join(TABLES)}")
    if not 0 <= first_step <= last_step or (table != "train" and first_step != last_step):
        raise ValueError(
            f"a part of the {table} table cannot hold steps {first_step} to {last_step}, expected"
            f" {'first <= last' if table == 'train' else 'one step'}"
        )
    steps = f"{first_step:08d}" + (f"-{last_step:08d}" if table == "train" else "")
    return f"{table}-{steps}{f'-rank{rank}' if rank else ''}.parquet"


def parts(directory: Path, table: str) -> list[Part]:
    """Return the parts of a table in a run folder, by first step and rank.

    Raises
    ------
    OSError
        When the folder of parts cannot be listed.
    """
    found = []
    try:
        names = os.listdir(directory / FOLDER)
    except (FileNotFoundError, NotADirectoryError):
        # No evaluation has happened yet, which is where every run starts.
        return []
    for name in names:
        match = _PART.fullmatch(name)
        if match and match["table"] == table:
            first = int(match["first"])
            last = int(match["last"] or first)
            rank = int(match["rank"] or 0)
            found.append(Part(directory / FOLDER / name, table, first, last, rank))
    return sorted(found, key=lambda part: (part.first, part.rank, part.last))


def conform(
    table: str, columns: Mapping[str, Sequence[Any]], first_step: int, last_step: int
) -> pa.Table:
    """Return columns as a table of the documented types; absent numbers become NaN.

    `step` may be left out of a part that holds one step.

    Raises
    ------
    ValueError
        For unknown or missing columns, unequal lengths, values that are not of the column's
        type, or steps outside the part.
    """
    schema = TABLES[table]
    for name in columns:
        if name not in schema.names:
            near = difflib.get_close_matches(name, schema.names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"the {table} table has no column {name!r}{hint}")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns differ in length: {lengths}")
    n_rows = next(iter(lengths.values()), 0)
    arrays = []
    for entry in schema:
        if entry.name in columns:
            arrays.append(_column(entry, columns[entry.name]))
        elif entry.name == "step" and first_step == last_step:
            arrays.append(pa.array([first_step] * n_rows, type=entry.type))
        elif pa.types.is_floating(entry.type):
            arrays.append(pa.array([float("nan")] * n_rows, type=entry.type))
        else:
            raise ValueError(f"the {table} table needs the column {entry.name!r}")
    rows = pa.Table.from_arrays(arrays, schema=schema)
    steps = pc.min_max(rows["step"]).as_py()
    if n_rows and not first_step <= steps["min"] <= steps["max"] <= last_step:
        raise ValueError(
            f"the column 'step' runs from {steps['min']} to {steps['max']},"
            f" expected steps within {first_step} to {last_step}"
        )
    return rows


def _column(entry: pa.Field, values: Sequence[Any]) -> pa.Array:
    """Return values as a column; unlike Arrow, refuse to cut 0.5 down to the integer 0."""
    try:
        if pa.types.is_integer(entry.type):
            column = pa.array(values).cast(entry.type)
        else:
            column = pa.array(values, type=entry.type)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise ValueError(f"column {entry.name!r}: {error}") from None
    if column.null_count and not pa.types.is_floating(entry.type):
        raise ValueError(f"column {entry.name!r} has rows without a value, expected one in each")
    return column


def write_part(path: Path, rows: pa.Table) -> None:
    """Write a part under a hidden name, then rename it, so that it appears whole or not at all."""
    sink = pa.BufferOutputStream()
    strings = [field.name for field in rows.schema if pa.types.is_string(field.type)]
    pq.write_table(
        rows,
        sink,
        compression="zstd",
        use_dictionary=strings or False,
        write_statistics=False,
        write_page_checksum=True,
        store_schema=False,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.tmp")
    with hidden.open("wb") as stream:
        stream.write(sink.getvalue())
        stream.flush()
        os.fsync(stream.fileno())
    hidden.replace(path)


def drop_after(directory: Path, step: int) -> None:
    """Remove the records of steps after `step` from every part, and half-written parts."""
    for leftover in (directory / FOLDER).glob(".*.tmp"):
        leftover.unlink(missing_ok=True)
    for table in TABLES:
        for part in parts(directory, table):
            if part.first > step:
                part.path.unlink(missing_ok=True)
            elif part.last > step:
                rows = _read_part(part)
                if rows is not None:
                    write_part(part.path, rows.filter(pc.field("step") <= step))


def read_pairs(directory: str | os.PathLike[str], table: str) -> pa.Table:
    """Return all rows of a table, sorted by step; parts that cannot be read are left out.

    Raises
    ------
    ValueError
        For an unknown table.
    """
    return scan_pairs(directory, table).rows


def scan_pairs(directory: str | os.PathLike[str], table: str) -> PairRows:
    """Return all rows of a table, sorted by step, and the names of the unreadable parts.

    Raises
    ------
    ValueError
        For an unknown table.
    """
    if table not in TABLES:
        raise ValueError(f"no pair table is called {table!r}, expected one of {', '.join(TABLES)}")
    found, unreadable = [], []
    try:
        files = parts(Path(directory), table)
    except OSError:
        return PairRows(TABLES[table].empty_table(), (FOLDER,))
    for part in files:
        rows = _read_part(part)
        if rows is None:
            unreadable.append(part.path.name)
        else:
            found.append(rows)
    if not found:
        return PairRows(TABLES[table].empty_table(), tuple(unreadable))
    rows = pa.concat_tables(found, promote_options="default")
    order = [(name, "ascending") for name in _ORDER if name in TABLES[table].names]
    return PairRows(rows.sort_by(order), tuple(unreadable))


def widened(rows: pa.Table) -> pa.Table:
    """Return a table with integers and floats of 64 bits; pandas takes many times as long."""
    wide = [field.with_type(_wide(field.type)) for field in rows.schema]
    return rows.cast(pa.schema(wide))


def _wide(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_signed_integer(kind):
        return pa.int64()
    return pa.float64() if pa.types.is_floating(kind) else kind


def _read_part(part: Part) -> pa.Table | None:
    """Return the rows of a part in the documented columns, or None when it is unreadable."""
    try:
        facts = part.path.stat()
        # Parts of all training pairs are large, and nobody reads them every few seconds.
        read = _rows.__wrapped__ if part.table in LARGE else _rows
        return read(part, facts.st_size, facts.st_mtime_ns)
    except (OSError, pa.ArrowException, MemoryError, ValueError):
        return None


@functools.lru_cache(maxsize=2048)
def _rows(part: Part, size: int, changed: int) -> pa.Table:
    """Return the rows of a part; a page on a live run asks for the same ones again and again.

    `size` and `changed` tell two states of one file apart. An error is not remembered.
    """
    with pq.ParquetFile(part.path, page_checksum_verification=True) as file:
        raw = file.read(use_threads=False)
    rows = _documented(raw, TABLES[part.table])
    rows.validate(full=True)
    return rows


def _documented(raw: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the documented columns of a part, then the other numbers it holds as float64.

    Rows without a step or a pair number are dropped: nothing can be said about them.
    """
    arrays = {}
    for entry in schema:
        at = raw.schema.get_field_index(entry.name)
        if at >= 0:
            # A number may lose digits; a step or a pair that does is another one.
            column = raw.column(at).cast(entry.type, safe=not pa.types.is_floating(entry.type))
        else:
            column = pa.nulls(raw.num_rows, entry.type)
        if pa.types.is_floating(entry.type):
            column = pc.fill_null(column, float("nan"))
        elif pa.types.is_string(entry.type):
            column = pc.fill_null(column, "")
        arrays[entry.name] = column
    for at, entry in enumerate(raw.schema):
        numeric = pa.types.is_floating(entry.type) or pa.types.is_integer(entry.type)
        if numeric and entry.name not in arrays:
            arrays[entry.name] = raw.column(at).cast(pa.float64(), safe=False)
    rows = pa.table(arrays)
    keys = [entry.name for entry in schema if pa.types.is_integer(entry.type)]
    whole = functools.reduce(pc.and_, (pc.is_valid(rows[key]) for key in keys))
    return rows.filter(whole)
