"""Telling how far the reading of a large file is: nothing is told in its first second."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import BinaryIO

# Called with the name of the file and the share of it that is read, from 0 to 1.
Listener = Callable[[str, float], None]

QUIET_SECONDS = 1.0
PAUSE_SECONDS = 0.2

_LISTENER: ContextVar[tuple[Listener, list[float]] | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have a listener told how far every reading inside the block is."""
    token = _LISTENER.set((listener, [time.monotonic() + QUIET_SECONDS]))
    try:
        yield
    finally:
        _LISTENER.reset(token)


def tell(stream: BinaryIO) -> None:
    """Tell the listener, if there is one and it is time, how far a file is read."""
    found = _LISTENER.get()
    if found is None:
        return
    listener, due = found
    now = time.monotonic()
    if now < due[0]:
        return
    due[0] = now + PAUSE_SECONDS
    try:
        size = os.fstat(stream.fileno()).st_size
    except OSError:  # a text that is part of a file
        return
    listener(str(stream.name), min(1.0, stream.tell() / size) if size else 1.0)
