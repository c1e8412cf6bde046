"""What tests on Lava need before they start; the marker `lava` does the rest (lava_aug/testing/plugin.py)."""

from importlib.metadata import distributions

import pytest
from clocks import REACHED, Clock

from lava_aug.kernels.samples import warm_up
from lava_aug.lava.lava_import import import_lava

if any(distributions(name="lava-nc")):
    import_lava()  # before tests import Lava themselves, which Python 3.11 and newer refuse without help


@pytest.fixture(scope="session", autouse=True)
def _compiled() -> None:
    """Read compiled functions from numba's cache once, before Lava forks, and not in every child."""
    warm_up()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the time limits of runs go by in this process."""
    from lava_aug.lava import supervision
    from lava_aug.testing import driving

    found = Clock()
    REACHED.clear()
    for module in (supervision, driving):
        monkeypatch.setattr(module, "time", found)
    return found
