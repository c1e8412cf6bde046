"""What all tests share: those that need Lava are left out where it does not exist."""

import gc
import os
import sys
from importlib.metadata import distributions
from pathlib import Path

from hypothesis import settings

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


def pytest_collection_finish() -> None:
    """From here on, only what tests make is looked through."""
    gc.enable()
    gc.collect()
    gc.freeze()
