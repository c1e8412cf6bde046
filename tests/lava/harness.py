"""Drives a single Lava Process: arrays in, arrays out."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg

from lava_aug.processes import ImageSource, Recorder
from lava_aug.recording import Recording

FORMATS = {"fixed_pt": np.int64, "floating_pt": np.float64}
"""Number format of what `drive` returns, by tag."""


def drive(
    process: AbstractProcess,
    inputs: Mapping[str, Any],
    num_steps: int,
    probe: Iterable[str] = (),
    tag: str = "fixed_pt",
    before: Mapping[int, Callable[[], None]] | None = None,
) -> dict[str, np.ndarray]:
    """Run a Process for some time steps, and stop it whatever happens.

    Parameters
    ----------
    process : AbstractProcess
        What to run.
    inputs : mapping of str to array, shape (T, *shape)
        What every InPort gets, step by step; zeros afterwards. InPorts that are left out stay unconnected.
    num_steps : int
        Time steps.
    probe : iterable of str
        Names of OutPorts and Vars. Vars can only be read while Lava pauses, so with any of them it pauses after every
        step.
    tag : str
        Which ProcessModels to take.
    before : mapping of int to callable, optional
        Called before the step, counted from 0, while Lava pauses: here Vars can be set.

    Returns
    -------
    dict of str to array, shape (num_steps, *shape)
        What every OutPort sent in, and every Var was after, each step.
    """
    for name, values in inputs.items():
        source = ImageSource(images=np.asarray(values), num_steps=1)
        source.s_out.connect(getattr(process, name))
    ports = [name for name in probe if isinstance(getattr(process, name), OutPort)]
    recordings = {name: _recorded(getattr(process, name), num_steps, FORMATS[tag]) for name in ports}
    reads = [name for name in probe if name not in recordings]
    values: dict[str, list[Any]] = {name: [] for name in reads}
    pauses = sorted({*(range(1, num_steps) if reads else ()), *(before or ()), num_steps} - {0})
    try:
        for start, end in zip([0, *pauses], pauses, strict=False):
            if start and before and start in before:
                before[start]()
            process.run(condition=RunSteps(end - start), run_cfg=Loihi2SimCfg(select_tag=tag))
            for name in reads:
                values[name].append(getattr(process, name).get())
    finally:
        process.stop()
    found = {name: np.asarray(recordings[name].data) for name in ports}
    return {**found, **{name: np.array(each).astype(FORMATS[tag]) for name, each in values.items()}}


def _recorded(port: OutPort, num_steps: int, dtype: type) -> Recording:
    recording = Recording(port.shape, num_steps, keep=True, dtype=dtype)
    port.connect(Recorder(recording=recording).s_in)
    return recording
