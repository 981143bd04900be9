"""Model cards: the table of results that transformers writes into README.md.

All metrics in it are the evaluation's but the training loss; "No log" stands where there is none.
"""

from __future__ import annotations

import re
from pathlib import Path

from diagnostics.errors import MalformedLog
from diagnostics.readers.assembly import assemble
from diagnostics.readers.contract import Hints, Reader
from diagnostics.readers.opening import open_log, recognising
from diagnostics.readers.result_tables import Table, distinct, records
from diagnostics.readers.sidecars import card_settings, configuration_beside
from diagnostics.run import Run

LARGEST = 4 << 20
_HEAD = re.compile(rb"^[ \t]*\|[^\n]*\|\s*rewards\s*/\s*chosen\s*\|", re.IGNORECASE | re.MULTILINE)


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is a Markdown file with a table of rewards."""
    if not path.is_file() or path.suffix.lower() not in (".md", ".markdown", ".txt", ""):
        return False
    with path.open("rb") as stream:
        content = stream.read(LARGEST)
    return content.lstrip()[:1] not in (b"{", b"[", b"<") and _HEAD.search(content) is not None


def read(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the runs of a model card: one a table.

    Raises
    ------
    ReadError
        When the system refuses to read it.
    MalformedLog
        When it holds no table of results.
    """
    with open_log(path) as stream:
        content = stream.read(LARGEST)
    tables = distinct(tables_in(content.decode("utf-8", errors="replace")))
    if not tables:
        raise MalformedLog(
            f"{path}: holds no table of results, expected one with Step and Rewards/chosen;"
            " give the trainer's output folder"
        )
    config = {**configuration_beside(path), **card_settings(content)}
    name = path.resolve().parent.name if path.stem.lower() == "readme" else path.stem
    runs = []
    for number, table in enumerate(tables, start=1):
        part = f"table {number}" if len(tables) > 1 else None
        run = assemble(
            records(table),
            path=path,
            reader=READER.name,
            config=config,
            name=f"{name} ({part})" if part else name,
            part=part,
            hints=hints,
        )
        runs.append(run)
    return tuple(runs)


def tables_in(text: str) -> list[Table]:
    """Return the tables of a Markdown text that are of a training."""
    found: list[Table] = []
    lines = text.splitlines()
    place = 0
    while place + 1 < len(lines):
        if "|" not in lines[place] or not _is_rule(lines[place + 1]):
            place += 1
            continue
        head, body = _cells_of(lines[place]), []
        place += 2
        while place < len(lines) and "|" in lines[place]:
            body.append(tuple(_cells_of(lines[place])))
            place += 1
        table = Table(tuple(head), tuple(body))
        if body and table.is_of_a_training:
            found.append(table)
    return found


def _is_rule(line: str) -> bool:
    """Say whether a line is the one between a table's heading and its rows."""
    return "-" in line and set(line) <= set("|:- \t")


def _cells_of(line: str) -> list[str]:
    """Return the cells of a row; a cell without text (a lost heading) keeps its place."""
    line = line.strip().removeprefix("|")
    return [cell.strip() for cell in line.removesuffix("|").split("|")]


READER = Reader(
    name="cards",
    title="model card (README.md)",
    recognises=recognises,
    read=read,
    export_hint="Give the README.md that the trainer's push_to_hub or create_model_card wrote.",
)
