"""What all tests share: those that need Lava are left out where it does not exist."""

import ctypes
import gc
import importlib
import os
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from hypothesis import settings

LARGE_PAGE = 2 << 20

# Before torch is imported: where other programs take the cores, its threads would spin while they wait for each other,
# and take a hundred times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # one of as many as there are cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests start dozens of interpreters. Where bytecode must not be written beside the sources, as in many containers, each
# of them would compile torch, numba and Lava anew, which takes longer than most tests: so they share it in a folder.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parent.parent / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

# Tests have time limits of their own; how long one example takes says more about the machine.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

# `find_spec("lava")` would find the folder tests/lava itself, as `lava` is a namespace package.
collect_ignore_glob = [] if any(distributions(name="lava-nc")) else ["lava/*"]

# Tests that were collected are kept to the end, half a million objects with what they import: neither while they are
# made nor afterwards need the collector look through them, which took a fifth of the time.
gc.disable()


# Where nothing is compiled yet, as in a fresh clone, workers begin at different ends, and read what others compiled.
IS_SECOND = os.environ.get("PYTEST_XDIST_WORKER", "gw0")[-1] in "13579"
if IS_SECOND:
    for name in ("sklearn.datasets", "sympy", "matplotlib.pyplot", "numba"):
        importlib.import_module(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that all workers end with short ones, and at the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish(session: pytest.Session) -> None:
    """From here on, only what tests make is looked through."""
    uses_lava = any(item.get_closest_marker("lava") for item in session.items)
    if uses_lava and "PYTEST_XDIST_WORKER" in os.environ:
        _compile_kernels()
    gc.enable()
    gc.collect()
    gc.freeze()
    if uses_lava and sys.platform == "linux":
        _use_large_pages()


def _compile_kernels() -> None:
    """What tests on Lava would compile as well; it takes ten seconds for each of the two parts, or nothing."""
    parts = ["lava_aug.kernels.compiled", "lava_aug.kernels.compiled_synapses"]
    for part in reversed(parts) if IS_SECOND else parts:
        importlib.import_module(part).warm_up()


def _use_large_pages() -> None:
    """Tests on Lava fork thousands of children, each of which maps every page of what was imported once more.

    In pages of 2 MB there are few. Source: madvise(2), MADV_COLLAPSE (25); older kernels refuse it, which does no harm.
    """
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for line in Path("/proc/self/maps").read_text().splitlines():
        where, access, _, _, file, *name = line.split()
        if access == "rw-p" and file == "0" and name in ([], ["[heap]"]):
            start, end = (int(address, 16) for address in where.split("-"))
            start += -start % LARGE_PAGE
            if start + LARGE_PAGE <= end:
                madvise(start, (end - start) // LARGE_PAGE * LARGE_PAGE, 25)
