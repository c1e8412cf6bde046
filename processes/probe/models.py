"""The ProcessModel of `Probe`."""

from typing import Any

from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_aug.processes.probe.process import Probe


@implements(proc=Probe, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt", "floating_pt")
class PyProbe(PyLoihiProcessModel):
    """Receives and notes."""

    # Lava adds what arrives to zeros of this type: those of bool change no number's type.
    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, bool)  # pyright: ignore

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.tape = proc_params["tape"]

    def run_spk(self) -> None:
        """Lava counts time steps from 1, tapes from 0."""
        self.tape.note(self.time_step - 1, self.s_in.recv())
