"""Checks after every test that Lava left nothing behind: no process, and no shared memory."""

import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest

from lava_aug.kernels import warm_up
from lava_aug.lava_import import import_lava

if any(distributions(name="lava-nc")):
    import_lava()  # before tests import Lava themselves, which Python 3.11 and newer refuse without help

# `lava` is a namespace package, which a folder of this name would join: so what tests share is imported as `harness`.
sys.path.insert(0, str(Path(__file__).parent))

PATIENCE = 5.0
"""Seconds that what has been stopped may take to disappear."""


def children() -> set[str]:
    """Command lines of this process's children, without multiprocessing's resource tracker, which stays."""
    multiprocessing.active_children()  # reaps those that have ended
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            command = (stat.parent / "cmdline").read_bytes()
        except (OSError, ProcessLookupError):  # it has ended meanwhile
            continue
        if parent == os.getpid() and b"resource_tracker" not in command:
            found.add(f"{stat.parent.name}: {command.decode(errors='replace')}")
    return found


def segments() -> set[str]:
    """Names of Lava's segments in /dev/shm that no other process uses."""
    names = {path.name for path in Path("/dev/shm").glob("psm_*")}
    for maps in Path("/proc").glob("[0-9]*/maps"):
        if names and maps.parent.name != str(os.getpid()):
            try:
                used = maps.read_text()
            except (OSError, ProcessLookupError):
                continue
            names -= {name for name in names if name in used}
    return names


@pytest.fixture(scope="session", autouse=True)
def _compiled() -> None:
    """Read compiled functions from numba's cache once, before Lava forks, and not in every child."""
    warm_up()


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = children(), segments()
    yield
    deadline = time.monotonic() + PATIENCE
    while (left := (children() - before[0], segments() - before[1])) != (set(), set()):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.05)
