"""Logs that people bring: kept in a folder of their own while they are looked at, then imported.

Nothing of a file is trusted: its name is cut to plain characters, its content goes to the readers
only, and a run is written under the first root as a run log of ours.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from diagnostics.errors import DiagnosticsError
from diagnostics.readers import Hints, read_all, recognised
from diagnostics.readers.console import read_text
from diagnostics.readers.native import write
from diagnostics.readers.tables import is_table, preview
from diagnostics.run import Run
from pages.components.runs import roots

LONGEST_NAME = 80
# Files that say how a run was set up, by the names that frameworks give them.
_SETTINGS = re.compile(r"(?:README\.md|(?:args|adapter_config)\.json|[\w.-]+\.ya?ml)")


class ImportRefused(DiagnosticsError):
    """A run that cannot be imported, in one sentence."""


def plain_name(text: str) -> str:
    """Return a file or folder name of plain characters, for whatever a browser or a log says.

    Examples
    --------
    >>> plain_name("../../etc/passwd"), plain_name("a run (cell 3)"), plain_name("…")
    ('etc-passwd', 'a-run-cell-3', 'log')
    """
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-._")
    return plain[:LONGEST_NAME] or "log"


def kept(files: Sequence[tuple[str, bytes]]) -> list[tuple[str, Path]]:
    """Return name and path of each log among files that were dropped (name, content).

    Every log gets a folder of its own, so that logs of different runs are not taken for one run;
    settings that were dropped along are put beside each of them.
    """
    settings = [file for file in files if _SETTINGS.fullmatch(file[0])]
    logs = [file for file in files if file not in settings] or settings
    found = []
    for number, (name, content) in enumerate(logs):
        plain = plain_name(name)
        folder = Path(_folder().name) / str(number) / plain.partition(".")[0]
        folder.mkdir(parents=True, exist_ok=True)
        _put(folder / plain, content)
        for beside, text in settings if logs is not settings else ():
            _put(folder / beside, text)
        found.append((name, folder / plain))
    return found


def _put(path: Path, content: bytes) -> None:
    """Write a file, unless it says the same already: then nothing has to be read again."""
    if not path.is_file() or path.read_bytes() != content:
        path.write_bytes(content)


def runs_in(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the runs of a file.

    Raises
    ------
    DiagnosticsError
        When it cannot be read as a log.
    """
    return read_all(path, hints)


def runs_in_text(text: str, hints: Hints) -> tuple[Run, ...]:
    """Return the runs of a pasted console text.

    Raises
    ------
    DiagnosticsError
        When it holds no metrics.
    """
    return read_text(text, hints)


def unclear_columns(path: Path) -> list[str]:
    """Return the columns of a home-made table that does not say which hold the two sides."""
    if recognised(path) or not is_table(path):
        return []
    try:
        seen = preview(path)
    except DiagnosticsError:
        return []
    return [] if seen.is_enough else [*seen.mapping, *seen.others]


def take_in(runs: Sequence[Run]) -> list[Path]:
    """Write runs under the first root and return their folders.

    Raises
    ------
    DiagnosticsError
        When a folder cannot be written.
    """
    root = roots()[0]
    written = []
    for run in runs:
        folder = _free(root, plain_name(run.name))
        try:
            write(run, folder)
        except OSError as error:
            raise ImportRefused(
                f"{folder}: cannot be written ({error.strerror}); check the folder's permissions"
            ) from None
        written.append(folder)
    return written


def _free(root: Path, name: str) -> Path:
    """Return a folder of this name, or with a number behind it, that does not exist yet."""
    folder, number = root / name, 2
    while folder.exists():
        folder, number = root / f"{name}-{number}", number + 1
    return folder


def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return this browser session's folder; it goes when the session does."""
    if "arrivals" not in st.session_state:
        st.session_state["arrivals"] = tempfile.TemporaryDirectory(prefix="seesaw-")
    folder: tempfile.TemporaryDirectory[str] = st.session_state["arrivals"]
    return folder
