"""The whole lines of a file in large blocks, and the parsing of blocks on every core."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, TypeVar

from diagnostics.readers.progress import tell

Result = TypeVar("Result")

# A longer line is no row of metrics; the bound keeps a damaged file out of memory.
LONGEST_LINE = 1 << 24
BLOCK_BYTES = 1 << 22
# What stands for a line that is too long; no row of any format.
TOO_LONG = b" a line too long to be a row"
# More parsers than this only wait for the disk and for each other.
MOST_WORKERS = 4


class LineBlocks:
    """The lines of a stream from its position on, in blocks that end with a line.

    Once they are all given, `offset` is where the last whole line ends and `rest` the unfinished
    line behind it, empty when there is none. `size` is that of the file [bytes].
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.offset = stream.tell()
        self.rest = b""
        self.size = os.fstat(stream.fileno()).st_size

    def __iter__(self) -> Iterator[bytes]:
        """Yield the blocks."""
        while piece := self._stream.read(BLOCK_BYTES):
            if not piece.endswith(b"\n"):
                piece += self._stream.readline(LONGEST_LINE)
            end = piece.rfind(b"\n") + 1
            whole, self.rest = piece[:end], piece[end:]
            skipped, ended = self._skip_line() if self.rest else (0, False)
            if ended:
                whole, self.rest = whole + TOO_LONG + b"\n", b""
                end = len(piece) + skipped
            elif skipped or len(self.rest) > LONGEST_LINE:
                self.rest = TOO_LONG
            self.offset += end
            tell(self._stream)
            if whole:
                yield whole
            if self.rest:
                # The end of the file, even if it has grown since.
                return

    def _skip_line(self) -> tuple[int, bool]:
        """Return how long the rest of a line is, and whether it is ended."""
        skipped = 0
        while line := self._stream.readline(LONGEST_LINE):
            skipped += len(line)
            if line.endswith(b"\n"):
                return skipped, True
        return skipped, False


def parsed_ahead(
    blocks: Iterator[bytes], parse: Callable[[bytes], Result]
) -> Iterator[tuple[bytes, Result]]:
    """Yield each block with what `parse` makes of it, in order, parsed on every core.

    `parse` is called in other threads, which is of use where it lets go of the interpreter, as
    Arrow does. A single block is parsed where one is.
    """
    first, second = next(blocks, None), next(blocks, None)
    if first is None:
        return
    if second is None:
        yield first, parse(first)
        return
    workers = min(MOST_WORKERS, os.cpu_count() or 1)
    waiting: deque[tuple[bytes, Future[Result]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="parse") as pool:
        waiting.extend((block, pool.submit(parse, block)) for block in (first, second))
        for block in blocks:
            waiting.append((block, pool.submit(parse, block)))
            if len(waiting) > workers:
                done, result = waiting.popleft()
                yield done, result.result()
        while waiting:
            done, result = waiting.popleft()
            yield done, result.result()
