"""Logs that people bring: kept in a folder of their own while they are looked at, then imported.

Nothing of a file is trusted: its name is cut to plain characters, its content goes to the readers
only, and a run is written under the first root as a run log of ours. What is pointed at instead of
brought must lie under a root: whoever reaches the server must not read the rest of the machine.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st

from diagnostics.errors import DiagnosticsError
from diagnostics.readers import Hints, find_runs, read_all, recognised
from diagnostics.readers.console import read_text
from diagnostics.readers.native import write
from diagnostics.readers.tables import is_table, preview
from diagnostics.readers.wandb_online import read as read_online
from diagnostics.run import Run
from pages.components.jobs import LOCAL
from pages.components.outside import refuse_links_out
from pages.components.runs import ROOTS_VARIABLE, roots

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
        folder = _folder() / str(number) / plain.partition(".")[0]
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


def runs_in(name: str, path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the runs of a file that was dropped under a name.

    Raises
    ------
    DiagnosticsError
        When it cannot be read as a log; the sentence calls the file by its name.
    """
    try:
        return read_all(path, hints)
    except DiagnosticsError as problem:
        # Where the file lies meanwhile means nothing to whoever dropped it.
        told = str(problem).replace(str(path), name).replace(str(path.parent), name)
        raise ImportRefused(told) from None


def runs_in_text(text: str, hints: Hints) -> tuple[Run, ...]:
    """Return the runs of a pasted console text.

    Raises
    ------
    DiagnosticsError
        When it holds no metrics.
    """
    return read_text(text, hints)


def pointed_at(text: str) -> Path:
    """Return the folder or file that a text names under the roots.

    A path is one of the machine, or begins with the name of a root as the key of a run does.

    Raises
    ------
    ImportRefused
        When it lies elsewhere, whether or not it exists, or is not there.
    """
    homes = [root.resolve() for root in roots()]
    try:
        named = Path(text).expanduser()
        tried = [named] if named.is_absolute() else [home.parent / named for home in homes]
        places = [place.resolve() for place in tried]
        inside = [one for one in places if any(one.is_relative_to(home) for home in homes)]
        found = next((one for one in inside if one.exists()), None)
    except (OSError, RuntimeError, ValueError):
        inside, found = [], None
    if found is not None:
        return found
    if inside:
        raise ImportRefused(f"{text}: does not exist; check the path")
    raise ImportRefused(
        f"{text}: lies outside the folders that this server may read"
        f" ({', '.join(map(str, homes))}); drop the file instead, or name its folder in"
        f" {ROOTS_VARIABLE} and start the server again"
    )


def logs_in(place: Path) -> list[Path]:
    """Return the logs of a folder, those under a root only; a file is its own log.

    Raises
    ------
    LeadsOut
        When a link in one of them leads out of the roots.
    """
    homes = [root.resolve() for root in roots()]
    found = [
        log
        for log in ([place] if place.is_file() else find_runs(place) or [place])
        if any(log.resolve().is_relative_to(home) for home in homes)
    ]
    for log in found:
        refuse_links_out(log, homes)
    return found


def runs_online(address: str, hints: Hints, say: Callable[[str], None]) -> tuple[Run, ...]:
    """Return the runs at an address of W&B; `say` is told how far the reading is.

    Raises
    ------
    DiagnosticsError
        When there is no key, no such run, or no answer, or this server serves anybody.
    """
    _check_reach()
    return read_online(address, hints, say=say)


def _check_reach() -> None:
    """Refuse to use the key of this server for people whom nobody knows.

    Raises
    ------
    ImportRefused
        When the server listens to other machines, and nobody has logged in.
    """
    address = st.get_option("server.address")
    if address not in LOCAL and not getattr(st.user, "is_logged_in", False):
        raise ImportRefused(
            f"this server listens on {address or 'every address'}, and whoever reaches it could"
            " read runs with its W&B key; serve on 127.0.0.1, or let people log in"
        )


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


class _Folder:
    """A folder of one browser session; it goes when the session does."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="seesaw-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _folder() -> Path:
    """Return this browser session's folder."""
    if "arrivals" not in st.session_state:
        st.session_state["arrivals"] = _Folder()
    folder: _Folder = st.session_state["arrivals"]
    return folder.path
