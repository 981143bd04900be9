"""Tables in CSV, JSON, JSONL and Parquet files as columns by name."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from diagnostics.errors import MalformedLog
from diagnostics.readers.columns import MOST_COLUMNS, Columns, columns_of
from diagnostics.readers.following import GrowingFile
from diagnostics.readers.jsonlines import JsonColumns, arrow_column, as_numbers, flat
from diagnostics.readers.opening import head, json_document, open_log

Kind = Literal["csv", "json", "jsonl", "parquet"]

# A table that needs more numbers than this (of 8 bytes) is refused: a few bytes of Parquet can
# stand for billions of rows.
MOST_CELLS = 30_000_000
LARGEST_CSV = 1 << 31
# Under which names home-made documents keep their rows, the untouched ones first.
ROW_LISTS = ("raw_log_history", "log_history", "history", "logs", "rows", "records", "metrics")
SERIES = ("scalar_series", "series", "scalars", "curves")

_KEY = re.compile(rb'"([^"\\\n]{1,100})"\s*:')


@dataclass
class TableFile:
    """The columns of a file (T,), and what could not be read of it."""

    columns: Columns = field(default_factory=dict)
    caveats: list[str] = field(default_factory=list)


def kind_of(path: Path) -> Kind | None:
    """Return what kind of table a file may be, by its first bytes; None for no table."""
    data = head(path)
    if data[:4] == b"PAR1":
        return "parquet"
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text or b"\0" in text[:4096]:
        return None
    if text[:1] == b"[":
        return "json"
    if text[:1] == b"{":
        line = text.split(b"\n", 1)[0].rstrip(b"\r ")
        return "jsonl" if line.endswith(b"}") and len(line) > 2 and b"\n" in text else "json"
    return "csv" if separator(text) else None


def separator(text: bytes) -> str | None:
    r"""Return what separates the names in the first line of a table; None for no table.

    Examples
    --------
    >>> separator(b"step;chosen;rejected\n1;0,5;0,2"), separator(b"Some prose, and more.")
    (';', None)
    """
    line = text.split(b"\n", 1)[0].strip()
    for mark in (b"\t", b";", b","):
        cells = [cell.strip(b' "\r') for cell in line.split(mark)]
        if len(cells) > 1 and all(len(cell) <= 200 for cell in cells):
            # Names of columns are no sentences and no numbers.
            worded = [cell for cell in cells if re.search(rb"[A-Za-z]", cell)]
            if len(worded) * 2 >= len(cells) and not re.search(rb"[.!?:]\s*$", line):
                return mark.decode()
    return None


def names_of(path: Path) -> list[str]:
    """Return the names of the columns, as far as the head of the file tells; may be empty."""
    kind = kind_of(path)
    data = head(path).removeprefix(b"\xef\xbb\xbf")
    if kind == "csv":
        mark = (separator(data.lstrip()) or ",").encode()
        cells = data.lstrip().split(b"\n", 1)[0].split(mark)
        return [cell.strip(b' "\r').decode("utf-8", "replace") for cell in cells][:MOST_COLUMNS]
    if kind == "parquet":
        try:
            return list(pa.parquet.read_schema(path).names)[:MOST_COLUMNS]
        except (pa.ArrowException, OSError, ValueError):
            return []
    if kind is None:
        return []
    found = dict.fromkeys(key.decode("utf-8", "replace") for key in _KEY.findall(data))
    return list(found)[:MOST_COLUMNS]


def read_table(path: Path, lines: GrowingFile[JsonColumns] | None = None) -> TableFile:
    """Return the columns of a table file; `lines` is what was read before of one that grows.

    Raises
    ------
    ReadError
        When it cannot be opened.
    MalformedLog
        When it is no table, or too large to be held.
    """
    kind = kind_of(path)
    if kind is None:
        raise MalformedLog(
            f"{path}: is no table, expected CSV with a header line, JSON rows or Parquet;"
            " export the log in one of these formats"
        )
    table = TableFile()
    if kind == "csv":
        _read_csv(path, table)
    elif kind == "parquet":
        _read_parquet(path, table)
    elif kind == "jsonl":
        rows = (lines or GrowingFile(JsonColumns)).read(path)
        table.columns, table.caveats = rows.columns(), rows.caveats()
    else:
        document = json_document(path, "rows of metrics")
        table.columns = _document(document)
    if not table.columns:
        raise MalformedLog(
            f"{path}: holds no rows, expected one row a step with named columns;"
            " write a header line (CSV) or one object a step (JSON)"
        )
    return table


# -- CSV and Parquet -------------------------------------------------------------------------------


def _read_csv(path: Path, table: TableFile) -> None:
    text = head(path).removeprefix(b"\xef\xbb\xbf").lstrip()
    ragged: list[int] = []

    def skip(row: Any) -> str:
        ragged.append(row.number or 0)
        return "skip"

    parse = pa.csv.ParseOptions(delimiter=separator(text) or ",", invalid_row_handler=skip)
    rows, encoding = None, _encoding(path)
    for types in (None, pa.string()):
        ragged.clear()
        try:
            rows = _csv_rows(path, parse, types, encoding)
        except (pa.ArrowException, ValueError) as error:
            problem = error
            continue
        break
    if rows is None:
        raise MalformedLog(
            f"{path}: cannot be read as CSV ({str(problem).split(chr(10))[0][:120].lower()}),"
            " expected a header line and rows of as many cells; export the table again"
        )
    names = [name.strip() for name in rows.column_names]
    _check_size(path, rows.num_rows, len(names))
    for place, name in enumerate(names):
        if name and name not in table.columns:
            table.columns[name] = arrow_column(rows.column(place))
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        table.caveats.append(
            f"The columns {', '.join(sorted(twice)[:3])} stand there twice; the first counts."
        )
    if ragged:
        table.caveats.append(f"{len(ragged)} rows with too few or too many cells were left out.")


def _encoding(path: Path) -> str:
    """Return UTF-8 where the whole file is that, else an encoding that takes any bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_log(path) as stream:
        try:
            while piece := stream.read(1 << 22):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8"


def _csv_rows(path: Path, parse: Any, types: Any, encoding: str) -> Any:
    with open_log(path) as stream:
        names = None
        if types is not None:
            names = dict.fromkeys(names_of(path), types)
        return pa.csv.read_csv(
            stream,
            read_options=pa.csv.ReadOptions(encoding=encoding, block_size=1 << 22),
            parse_options=parse,
            convert_options=pa.csv.ConvertOptions(
                column_types=names, auto_dict_encode=False, strings_can_be_null=False
            ),
        )


def _read_parquet(path: Path, table: TableFile) -> None:
    try:
        with open_log(path) as stream:
            file = pa.parquet.ParquetFile(stream)
            names = list(dict.fromkeys(file.schema_arrow.names))[:MOST_COLUMNS]
            plain = [
                name for name in names if not pa.types.is_nested(file.schema_arrow.field(name).type)
            ]
            _check_size(path, file.metadata.num_rows, len(plain))
            groups = (file.metadata.row_group(at) for at in range(file.metadata.num_row_groups))
            if sum(group.total_byte_size for group in groups) > 8 * MOST_CELLS:
                _check_size(path, 8 * MOST_CELLS, len(plain))
            rows = file.read(columns=plain, use_threads=False)
            # Inside, as a text that is not UTF-8 is found out about here only.
            table.columns |= {name: arrow_column(rows.column(name)) for name in plain}
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = str(error).split("\n")[0][:120].lower()
        raise MalformedLog(
            f"{path}: cannot be read as Parquet ({reason}), expected a whole file;"
            " copy it again once it is written"
        ) from None


def _check_size(path: Path, rows: int, columns: int) -> None:
    if rows * max(columns, 1) > MOST_CELLS:
        raise MalformedLog(
            f"{path}: holds {rows} rows of {columns} columns, expected at most"
            f" {MOST_CELLS // 1_000_000} million values; keep the columns of the preference log"
        )


# -- JSON documents --------------------------------------------------------------------------------


def _document(document: Any) -> Columns:
    """Return the rows of a home-made JSON document as columns; nothing where it holds none."""
    if isinstance(document, list):
        return _from_rows(document)
    if not isinstance(document, Mapping):
        return {}
    for name in ROW_LISTS:
        rows = document.get(name)
        if isinstance(rows, list) and any(isinstance(row, Mapping) for row in rows):
            return _from_rows(rows)
    for name in SERIES:
        series = document.get(name)
        if isinstance(series, Mapping):
            return _from_series(series)
    lists = {key: value for key, value in document.items() if isinstance(value, list)}
    long = [key for key, value in lists.items() if value and isinstance(value[0], Mapping)]
    if len(long) == 1:
        return _from_rows(lists[long[0]])
    return _from_series(lists)


def _from_rows(rows: Sequence[Any]) -> Columns:
    return _numbered(columns_of([flat(row) for row in rows if isinstance(row, Mapping)]))


def _numbered(columns: Columns) -> Columns:
    return {name: as_numbers(values) for name, values in columns.items()}


def _from_series(series: Mapping[str, Any]) -> Columns:
    """Return series by name as columns; a series is values, [step, value] pairs or points."""
    rows: dict[Any, dict[str, Any]] = {}
    for name, points in list(series.items())[:MOST_COLUMNS]:
        for step, value in _points(points):
            rows.setdefault(step, {"step": step})[str(name)] = value
    if all("step" in row and row.keys() != {"step"} for row in rows.values()):
        named = series.get("step", series.get("steps"))
        ordered = [rows[step] for step in sorted(rows)]
        if isinstance(named, list):
            for row in ordered:
                row["step"] = row.pop("steps", row["step"])
        return _numbered(columns_of(ordered))
    return {}


def _points(points: Any) -> list[tuple[int, Any]]:
    """Return (step, value) of one series, whatever form it has; nothing for no series."""
    if isinstance(points, Mapping):
        steps = points.get("steps", points.get("step"))
        values = points.get("values", points.get("value"))
        if isinstance(steps, list) and isinstance(values, list):
            return [(s, v) for s, v in zip(steps, values, strict=False) if _is_step(s)]
        if all(str(step).isdecimal() and len(str(step)) < 16 for step in points):
            return [(int(step), value) for step, value in points.items()]
        return []
    if not isinstance(points, list):
        return []
    found: list[tuple[int, Any]] = []
    for place, point in enumerate(points, start=1):
        if isinstance(point, Mapping):
            step, value = point.get("step", place), point.get("value")
        elif isinstance(point, list) and len(point) == 2:
            step, value = point
        elif isinstance(point, list):
            return []
        else:
            step, value = place, point
        if _is_step(step):
            found.append((int(step), value))
    return found


def _is_step(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value < 2**53 and not isinstance(value, bool)
