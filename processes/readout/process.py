"""Readout: integrates, never fires, and reports its potential in every step."""

from typing import Any

from lava.magma.core.process.ports.ports import OutPort

from lava_aug.core.neurons import ReadoutNeuron
from lava_aug.processes.neuron_process import NeuronProcess


class Readout(NeuronProcess):
    """``v = sat24(v + a + b)``; parameters are those of `NeuronProcess`.

    Attributes
    ----------
    v_out : OutPort
        Potential after every step, ``shape``.
    """

    spec = ReadoutNeuron

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.v_out = OutPort(shape=self.a_in.shape)
