"""What all tests share: those that need Lava are left out where it does not exist."""

import os
import sys
from importlib.metadata import distributions

from hypothesis import settings

# Before torch is imported: where other programs take the cores, its threads would spin while they wait for each other,
# and take a hundred times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # one of as many as there are cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests start dozens of interpreters. If none of them may write bytecode, as in many containers, each compiles the
# package and its tests anew.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    sys.dont_write_bytecode = False

# Tests have time limits of their own; how long one example takes says more about the machine.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

# `find_spec("lava")` would find the folder tests/lava itself, as `lava` is a namespace package.
collect_ignore_glob = [] if any(distributions(name="lava-nc")) else ["lava/*"]
