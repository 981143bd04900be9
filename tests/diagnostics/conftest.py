"""Folders that the system does not let us read, and processes of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def as_somebody_else() -> Callable[[], AbstractContextManager[None]]:
    """`with as_somebody_else():` permissions count, even where the tests run as root."""

    @contextlib.contextmanager
    def as_somebody_else() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    return as_somebody_else


@pytest.fixture
def start_python(root: Path) -> Callable[..., subprocess.Popen[str]]:
    """`start_python(code, *arguments)` runs code in a process of its own, in the repository."""

    def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)

    return start_python
