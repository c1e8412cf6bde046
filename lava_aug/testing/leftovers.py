"""What Lava may leave behind: child processes, and segments of shared memory. Only detected on Linux."""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Generator
from pathlib import Path

PATIENCE = 5.0
"""Seconds that what has been stopped may take to disappear."""

PROC, SHARED_MEMORY = Path("/proc"), Path("/dev/shm")


def children() -> set[str]:
    """Command lines of this process's children, without multiprocessing's resource tracker, which stays."""
    multiprocessing.active_children()  # reaps those that have ended
    commands: set[str] = set()
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            command = (stat.parent / "cmdline").read_bytes()
        except (OSError, ProcessLookupError):  # it has ended meanwhile
            continue
        has_ended = state == "Z"  # and waits to be reaped
        if int(parent) == os.getpid() and not has_ended and b"resource_tracker" not in command:
            text = command.replace(b"\0", b" ").decode(errors="replace")[:100]
            commands.add(f"process {stat.parent.name} ({text.strip()})")
    return commands


def segments() -> set[str]:
    """Names of Lava's segments in /dev/shm that no other process uses."""
    names = {path.name for path in SHARED_MEMORY.glob("psm_*")}
    for maps in PROC.glob("[0-9]*/maps"):
        if names and maps.parent.name != str(os.getpid()):
            try:
                used = maps.read_text()
            except (OSError, ProcessLookupError):
                continue
            names -= {name for name in names if name in used}
    return names


def leftovers() -> set[str]:
    """Both."""
    return children() | {f"shared memory /dev/shm/{name}" for name in segments()}


def check_leftovers(before: set[str], patience: float | None = None) -> None:
    """Wait for everything that was not there before to disappear, or raise AssertionError.

    What comes only now is no leftover: another run of tests, beside this one, has a segment of its own in its hands.
    """
    deadline = time.monotonic() + (PATIENCE if patience is None else patience)
    left = leftovers() - before
    while left and (left := left & leftovers()):
        if time.monotonic() > deadline:
            raise AssertionError(
                f"left behind: {', '.join(sorted(left))}; stop() every network, or run it within lava_aug.supervise"
            )
        time.sleep(0.05)


@contextlib.contextmanager
def nothing_left(patience: float | None = None) -> Generator[None, None, None]:
    """Check that a block leaves no process and no shared memory behind.

    Parameters
    ----------
    patience : float, optional
        How long to wait for them to disappear, in seconds; default `PATIENCE`.

    Raises
    ------
    AssertionError
        If something is left; the message names it.
    """
    before = leftovers()
    yield
    check_leftovers(before, patience)
