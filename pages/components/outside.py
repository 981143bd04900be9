"""Links inside a run that lead out of the folders that may be read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from diagnostics.errors import DiagnosticsError

# Weights are often kept elsewhere, and no reader of logs looks at them.
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_CLOSED = ("model", "node_modules", "site-packages", "venv")
# What is read along with a log that is a file; other logs that lie there are no part of it.
_BESIDE = re.compile(r"pairs|(args|adapter_config|config|trainer_state)\.json|README\.md|.*\.ya?ml")
# As deep as any reader looks into the folder of a run.
DEEPEST = 4


class LeadsOut(DiagnosticsError):
    """A link in a run that leads out of the folders that may be read, in one sentence."""


def refuse_links_out(log: Path, homes: Sequence[Path]) -> None:
    """Refuse a run in whose folder, or beside whose file, a link leads out of all of `homes`.

    The folder of a run lies under a root by its real path; what lies in it need not: whoever may
    write there could have a page show any file that the server can read.

    Raises
    ------
    LeadsOut
        When there is such a link.
    """
    if log.is_dir():
        links = list(_links(log, DEEPEST))
    else:
        links = [one for one in _links(log.parent, 0) if _BESIDE.fullmatch(one.name)]
    link = next((link for link in links if not _inside(link, homes)), None)
    if link is not None:
        raise LeadsOut(
            f"{link}: leads out of the folders that this server reads; copy what it points to, or"
            " start the server with that folder among those it reads"
        )


def _inside(link: Path, homes: Sequence[Path]) -> bool:
    try:
        place = link.resolve()
    except (OSError, RuntimeError):  # a circle leads nowhere
        return True
    return any(place.is_relative_to(home) for home in homes)


def _links(folder: Path, depth: int) -> Iterator[Path]:
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:
        return
    for entry in entries:
        if entry.name.endswith(_WEIGHTS) or entry.name in _CLOSED:
            continue
        if entry.is_symlink():
            yield Path(entry.path)
        elif depth and entry.is_dir(follow_symlinks=False):
            yield from _links(Path(entry.path), depth - 1)
