"""ProcessModels of `Recorder`."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_aug.processes.recorder.process import Recorder


class RecorderModel(PyLoihiProcessModel):
    """Receives and notes."""

    s_in: Any = None
    overflow_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)  # pyright: ignore

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.recording = proc_params["recording"]

    def run_spk(self) -> None:
        """Lava counts time steps from 1, recordings from 0."""
        self.recording.note(self.time_step - 1, self.s_in.recv(), self.overflow_in.recv())


@implements(proc=Recorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyRecorderFixed(RecorderModel):
    """Integers."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)  # pyright: ignore


@implements(proc=Recorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyRecorderFloat(RecorderModel):
    """Floats."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)  # pyright: ignore
