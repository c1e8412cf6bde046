"""ProcessModels of `Synapses`: BLAS kernels, exact on integers."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from lava_aug.kernels.samples import SampleKernel
from lava_aug.processes.base import check_fixed
from lava_aug.processes.synapses.process import Synapses
from lava_aug.simulation.pipeline import DelayLine


class SynapsesModel(PyLoihiProcessModel):
    """Send what was added up in the last step, or ``delay`` steps before that, then add up."""

    s_in: Any = None
    a_out: Any = None
    a_buf: Any = None

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        synapse, shape = proc_params["synapse"], proc_params["shape"]
        self.kernel = SampleKernel(synapse, shape)
        self.line = DelayLine(synapse.output_shape(shape), proc_params["delay"])

    def run_spk(self) -> None:
        """The current of the last step goes out before spikes come in, so that loops cannot block."""
        self.a_out.send(self.a_buf)
        a = self.kernel(self.s_in.recv())
        self.a_buf[:] = self.line(a.copy() if self.line.delay else a)  # the kernel overwrites what it gave


@implements(proc=Synapses, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySynapsesFixed(SynapsesModel):
    """Integer spikes and weights."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)  # pyright: ignore
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int64)  # pyright: ignore
    a_buf: NDArray[Any] = LavaPyType(np.ndarray, np.int64)  # pyright: ignore

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        check_fixed("Synapses", bool(self.kernel.is_float))


@implements(proc=Synapses, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PySynapsesFloat(SynapsesModel):
    """Float spikes and weights."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)  # pyright: ignore
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)  # pyright: ignore
    a_buf: NDArray[Any] = LavaPyType(np.ndarray, float)  # pyright: ignore
