"""Notebooks (.ipynb) and the HTML pages made from them: result tables and printed rows.

transformers' NotebookProgressCallback and Unsloth draw a table, others print. The cells above
the output say which trainer and settings were used, as far as they stand there as numbers.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from diagnostics.errors import MalformedLog
from diagnostics.readers import console
from diagnostics.readers.assembly import assemble
from diagnostics.readers.contract import Hints, Reader
from diagnostics.readers.opening import LARGEST_DOCUMENT, head, open_log, recognising
from diagnostics.readers.printed import printed_in
from diagnostics.readers.result_tables import Table, distinct, records
from diagnostics.run import Run

# Notebooks hold pictures too; the marks stand within this much.
SEARCHED = 32 << 20
_ROW = re.compile(r"<tr\b[^<>]*>", re.IGNORECASE)
_CELL = re.compile(r"<t[hd]\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,2000}>")
# What stands in front of a table says how far the training was.
BEFORE = 2000
_PROGRESS = re.compile(r"\[\s*(\d{1,12})/(\d{1,12}) [^\]]{0,40}Epoch ([\d.]{1,12})/([\d.]{1,12})\]")
_MARKS = re.compile(
    rb"<th>\s*(?:Rewards|rewards|Training Loss|Validation Loss)|\{'(?:eval_)?loss'|'rewards/chosen'"
    rb"|'rewards_train/chosen'|&#39;rewards/chosen|&#39;loss&#39;"
)


@dataclass(frozen=True)
class Output:
    """What one cell shows: its tables and its text, and the code up to that cell."""

    label: str
    tables: list[Table]
    text: str
    code: str


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is a notebook or a page with a training's table or rows in it."""
    if not path.is_file():
        return False
    start = head(path).lstrip()[:4096]
    is_page = start[:1] == b"<" or path.suffix.lower() in (".html", ".htm")
    is_notebook = start[:1] == b"{" and (b'"cell' in start or b'"nbformat' in start)
    if not (is_page or is_notebook or (start[:1] == b"{" and path.suffix == ".ipynb")):
        return False
    with path.open("rb") as stream:
        return _MARKS.search(stream.read(SEARCHED)) is not None


def read(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the runs that a notebook shows, in the order of its cells.

    Raises
    ------
    ReadError
        When the system refuses to read it.
    MalformedLog
        When it is no notebook, or shows no training.
    """
    with open_log(path) as stream:
        content = stream.read(LARGEST_DOCUMENT + 1)
    if len(content) > LARGEST_DOCUMENT:
        raise MalformedLog(
            f"{path}: is larger than {LARGEST_DOCUMENT >> 20} MiB, expected a notebook;"
            " give the trainer's output folder"
        )
    is_page = content.lstrip()[:1] == b"<"
    outputs = list(_page(content) if is_page else _cells(path, content))
    runs = [run for output in outputs for run in _runs(output, path, hints)]
    if not runs:
        raise MalformedLog(
            f"{path}: shows no training, expected a table with Step and Rewards/chosen or printed"
            " rows; save the notebook with its outputs"
        )
    if len(runs) == 1:
        return (runs[0],)
    return tuple(runs)


def _cells(path: Path, content: bytes) -> Iterator[Output]:
    """Yield what the cells of a notebook show."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise MalformedLog(
            f"{path}: is no whole JSON document, expected a notebook; save the notebook again"
        ) from None
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list):
        raise MalformedLog(
            f"{path}: has no list of cells, expected a notebook of format 4;"
            " open and save it with a current Jupyter"
        )
    code: list[str] = []
    shown: list[Output] = []
    for place, cell in enumerate(cells):
        if not isinstance(cell, dict):
            continue
        if cell.get("cell_type") == "code":
            code.append(_joined(cell.get("source")))
        outputs = cell.get("outputs")
        outputs = [one for one in outputs if isinstance(one, dict)] if outputs else []
        text = "".join(_joined(one.get("text")) for one in outputs if "text" in one)
        pages = (
            one["data"].get("text/html") for one in outputs if isinstance(one.get("data"), dict)
        )
        tables = [table for page in pages for table in tables_in(_joined(page))]
        if text or tables:
            shown.append(Output(f"cell {place}", tables, text, "\n".join(code)))
    unique = distinct([table for output in shown for table in output.tables])
    for output in shown:
        tables = [table for table in distinct(output.tables) if any(table is one for one in unique)]
        yield Output(output.label, tables, output.text, output.code)


def _joined(text: Any) -> str:
    """Return a text that a notebook stores whole or in pieces."""
    if isinstance(text, list):
        return "".join(piece for piece in text if isinstance(piece, str))
    return text if isinstance(text, str) else ""


def _page(content: bytes) -> Iterator[Output]:
    """Yield what an HTML page shows, as one output."""
    page = content.decode("utf-8", errors="replace")
    edges = [0, *(place for span in _spans(page) for place in span), len(page)]
    outside = "".join(page[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True))
    text = html.unescape(_TAG.sub("", outside))
    for place, table in enumerate(distinct(tables_in(page)), start=1):
        yield Output(f"table {place}", [table], "", text)
    yield Output("text", [], text, text)


def tables_in(page: str) -> list[Table]:
    """Return the tables of a page that are of a training."""
    found = []
    for start, end in _spans(page):
        rows = [_cells_of(row) for row in _ROW.split(page[start:end])[1:]]
        rows = [row for row in rows if row]
        if len(rows) < 2:
            continue
        body = tuple(tuple(row) for row in rows[1:])
        before = page[max(start - BEFORE, 0) : start]
        table = Table(tuple(rows[0]), body, _progress(before))
        if table.is_of_a_training:
            found.append(table)
    return found


def _spans(page: str) -> Iterator[tuple[int, int]]:
    """Yield where the tables of a page begin and end."""
    start = page.find("<table")
    while start >= 0 and (end := page.find("</table>", start)) >= 0:
        yield start, end
        start = page.find("<table", end)


def _cells_of(row: str) -> list[str]:
    cells = (cell.partition("</t")[0] for cell in _CELL.split(row)[1:])
    return [html.unescape(_TAG.sub("", cell)).strip() for cell in cells]


def _progress(before: str) -> tuple[int, float] | None:
    """Return the steps and epochs that the training had in all, where the page says so."""
    found = _PROGRESS.findall(before)
    if not found:
        return None
    _, total, _, epochs = found[-1]
    whole = float(epochs) if re.fullmatch(r"\d+(\.\d+)?", epochs) else 0.0
    return (int(total), whole) if whole > 0 else None


def _runs(output: Output, path: Path, hints: Hints) -> Iterator[Run]:
    """Yield the runs of one output: of its tables, else of what it prints."""
    config = settings_in(output.code)
    several = len(output.tables) > 1
    for number, table in enumerate(output.tables, start=1):
        label = f"{output.label}, table {number}" if several else output.label
        total = {} if table.progress is None else {"max_steps": table.progress[0]}
        yield assemble(
            records(table),
            path=path,
            reader=READER.name,
            config={**config, **total},
            name=f"{path.stem} ({label})",
            part=label,
            hints=hints,
        )
    if output.text and not output.tables:
        data = io.BytesIO(output.text.encode("utf-8", errors="replace"))
        yield from console.runs_of(
            printed_in(data),
            path=path,
            reader=READER.name,
            config=config,
            hints=hints,
            label=output.label,
        )


_NUMBERS = "beta|gradient_accumulation_steps|logging_steps|cpo_alpha|rpo_alpha|simpo_gamma"
_ASSIGNED = re.compile(rf"\b({_NUMBERS})['\"]?\s*[=:]\s*(\d[\d.eE+-]*)\s*[,)\n#]")
_LOSS = re.compile(r"\bloss_type['\"]?\s*[=:]\s*['\"](\w{1,40})['\"]")
_TRAINER = re.compile(r"\b(DPO|KTO|ORPO|CPO|BCO)(?:Trainer|Config)\(")


def settings_in(code: str) -> dict[str, Any]:
    """Return the settings that a notebook's code states as numbers; later ones count.

    Examples
    --------
    >>> settings_in('args = ORPOConfig(beta=0.1, logging_steps=10,)')
    {'beta': 0.1, 'logging_steps': 10, 'trainer': 'ORPO'}
    """
    found: dict[str, Any] = console.settings_in(code.encode("utf-8", errors="replace"))
    for name, text in _ASSIGNED.findall(code):
        try:
            value = float(text)
        except ValueError:
            continue
        found[name] = int(value) if value.is_integer() and "." not in text else value
    for loss in _LOSS.findall(code):
        found["loss_type"] = loss
    for trainer in _TRAINER.findall(code):
        found["trainer"] = trainer
    return found


READER = Reader(
    name="notebook",
    title="notebook or its HTML page",
    recognises=recognises,
    read=read,
    export_hint="Save the notebook with its outputs: the table under the training cell is the log.",
)
