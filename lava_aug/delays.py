"""Delay lines, which make a shorter path wait for a longer one."""

from collections import deque

import numpy as np


class DelayLine:
    """What goes in comes out ``delay`` calls later, and zeros before.

    Parameters
    ----------
    shape : tuple of int
        Shape of what goes in.
    delay : int
        How many calls later; with 0 it comes out at once.

    Examples
    --------
    >>> line = DelayLine((1,), delay=2)
    >>> [line(np.array([value])).item() for value in (5.0, 6.0, 7.0)]
    [0.0, 0.0, 5.0]
    """

    def __init__(self, shape: tuple[int, ...], delay: int) -> None:
        self.delay = delay
        self._waiting = deque([np.zeros(shape)] * delay)

    def __call__(self, a: np.ndarray) -> np.ndarray:
        """Put in ``a``, which is kept as it is: if it will be overwritten, hand in a copy."""
        self._waiting.append(a)
        return self._waiting.popleft()
