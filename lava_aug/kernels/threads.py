"""Sharing the rows of a batch among threads, for compiled functions that release the interpreter's lock."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

WORTH_SHARING = 1 << 15
"""Elements below which handing work to another thread (about 20 microseconds) costs more than it saves."""


class Threads:
    """A pool of threads, to be used in a ``with`` statement.

    Parameters
    ----------
    count : int
        How many threads work, the calling one included.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(max(count - 1, 1))

    def __enter__(self) -> "Threads":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def share(self, work: Callable[[slice], None], rows: int, elements: int) -> None:
        """Call ``work`` for slices that make up all rows, which hold so many elements in all."""
        parts = min(self.count, rows) if elements >= WORTH_SHARING else 1
        bounds = [rows * part // parts for part in range(parts + 1)]
        slices = [slice(start, stop) for start, stop in itertools.pairwise(bounds)]
        others = [self._pool.submit(work, part) for part in slices[1:]]
        work(slices[0])
        for other in others:
            other.result()
