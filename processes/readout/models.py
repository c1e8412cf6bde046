"""ProcessModels of `Readout`: bit-exact fixed point, and floating point."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from lava_aug.core.fixed_point import STATE_BITS
from lava_aug.processes.neuron_process import FixedNeuron, FloatNeuron, NeuronModel
from lava_aug.processes.readout.process import Readout


@implements(proc=Readout, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyReadoutFixed(FixedNeuron, NeuronModel):
    """24-bit potential."""

    v_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=STATE_BITS)  # pyright: ignore

    def send(self, s: NDArray[Any]) -> None:
        """Report the potential."""
        self.v_out.send(self.v)


@implements(proc=Readout, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyReadoutFloat(FloatNeuron, NeuronModel):
    """Float potential without saturation."""

    v_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)  # pyright: ignore

    def send(self, s: NDArray[Any]) -> None:
        """Report the potential."""
        self.v_out.send(self.v)
