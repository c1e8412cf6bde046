"""Run configurations for Lava."""

from typing import Any

from lava_aug.lava.lava_import import import_lava

import_lava()

from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.proc.conv.models import PyConvModelFixed, PyConvModelFloat  # noqa: E402
from lava.proc.dense.models import PyDelayDenseModelBitAcc, PyDenseModelBitAcc, PyDenseModelFloat  # noqa: E402

from lava_aug.kernels.samples import warm_up  # noqa: E402
from lava_aug.processes.fast_models import (  # noqa: E402
    PyFastConvFixed,
    PyFastConvFloat,
    PyFastDelayDenseFixed,
    PyFastDenseFixed,
    PyFastDenseFloat,
)

FASTER: dict[Any, Any] = {
    PyConvModelFixed: PyFastConvFixed,
    PyConvModelFloat: PyFastConvFloat,
    PyDelayDenseModelBitAcc: PyFastDelayDenseFixed,
    PyDenseModelBitAcc: PyFastDenseFixed,
    PyDenseModelFloat: PyFastDenseFloat,
}
"""Stock ProcessModels, and those that take their place."""


class FastSimCfg(Loihi2SimCfg):
    """Lava's Loihi2SimCfg with fast models for Lava's own Conv, Dense and DelayDense, for any Lava network.

    It takes the arguments of `lava.magma.core.run_configs.Loihi2SimCfg`, selects models in the same way, and replaces
    only those listed in `FASTER`. Results are equal bit for bit in fixed point, and up to rounding in floating point.

    Examples
    --------
    >>> import lava_aug as la
    >>> import numpy as np
    >>> from lava.magma.core.run_conditions import RunSteps
    >>> from lava.proc.dense.process import Dense
    >>> dense = Dense(weights=np.array([[2, -4], [6, 8]]))
    >>> with la.supervise(dense, timeout=60):
    ...     dense.run(condition=RunSteps(num_steps=10), run_cfg=la.FastSimCfg(select_tag="fixed_pt"))
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        warm_up()  # before Lava forks its processes, each of which would compile for itself

    def select(self, process: Any, proc_models: Any) -> Any:
        """The ProcessModel for a Process."""
        chosen = super().select(process, proc_models)
        return FASTER.get(chosen, chosen)
