"""A clock that stands still: only what happens moves it, so that how busy the machine is makes no difference."""

import multiprocessing
import time

REACHED = multiprocessing.get_context("fork").Event()
"""Set by a `faulty.process.Middle` in the step in which it falls silent, in whichever process that is."""


class Clock:
    """Takes the place of the module `time`; a Middle that has fallen silent has been so for ever.

    Attributes
    ----------
    now : float
        Seconds.
    """

    sleep = staticmethod(time.sleep)

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """What limits are compared with."""
        return self.now + 1e9 * REACHED.is_set()
