"""Process-wide settings that calls in several threads share."""

import threading
from collections.abc import Callable
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
