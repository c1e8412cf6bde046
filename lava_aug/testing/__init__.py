"""Testing kit for Lava Processes: arrays in, arrays out, in one line, with a time limit.

>>> from lava_aug.processes import AugmentedIF
>>> from lava_aug.testing import run_process
>>> trace = run_process(AugmentedIF(shape=(2,), vth=10), a_in=[[37, 5], [-40, 12]], probe=["v", "n"])
>>> trace.s_out.tolist()
[[4, 1], [-4, 1]]

Works for any Lava Process with in and out ports, including Lava's own. pytest loads `lava_aug.testing.plugin`
automatically: the marker ``lava``, fixtures, a time limit for each test, and a check that nothing is left behind. Names
are imported lazily, so that the plugin loads neither Lava nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lava_aug.testing.agreement import assert_models_agree
    from lava_aug.testing.driving import run_process
    from lava_aug.testing.leftovers import nothing_left
    from lava_aug.testing.traces import Trace, assert_traces_equal

_MODULE_OF = {
    "Trace": "traces",
    "assert_models_agree": "agreement",
    "assert_traces_equal": "traces",
    "nothing_left": "leftovers",
    "run_process": "driving",
}

__all__ = ["Trace", "assert_models_agree", "assert_traces_equal", "nothing_left", "run_process"]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'lava_aug.testing' has no attribute {name!r}")
    value = getattr(import_module(f"lava_aug.testing.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
