"""Threads: settings of the process that many of them share, and rows of a batch shared among them.

The latter is for compiled functions that release the interpreter's lock.
"""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """A context manager that many threads may be in at once: the first one enters it, the last one leaves it.

    If each of them set a global switch and put it back to what it had found, the last one would put it back to what
    another one had set.

    Parameters
    ----------
    make : callable
        Makes what is entered by the first, and left by the last.

    Examples
    --------
    >>> import contextlib
    >>> @contextlib.contextmanager
    ... def switched():
    ...     print("on")
    ...     yield "value"
    ...     print("off")
    >>> on = Shared(switched)
    >>> with on, on as value:
    ...     print(value)
    on
    value
    off
    """

    def __init__(self, make: Callable[[], AbstractContextManager[T]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> T:
        with self._lock:
            if not self._inside:
                self._entered = self._make()
                self._value = self._entered.__enter__()
            self._inside += 1
            return self._value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._entered.__exit__(None, None, None)  # an error of one of them does not concern the others


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
