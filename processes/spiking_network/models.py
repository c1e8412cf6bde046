"""ProcessModels of `SpikingNetwork`: fused, and hierarchical."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_aug.processes.base import check_fixed
from lava_aug.processes.layer_processes import LayerProcesses
from lava_aug.processes.spiking_network.process import SpikingNetwork
from lava_aug.simulation.pipeline import Pipeline


class FusedModel(PyLoihiProcessModel):
    """All layers in one Lava process; the arithmetic is `lava_aug.simulation.pipeline.Pipeline`."""

    s_in: Any = None
    v_out: Any = None

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.pipeline = Pipeline(proc_params["network"], proc_params["num_steps"], proc_params["recordings"])

    def run_spk(self) -> None:
        """One time step of every layer."""
        self.v_out.send(self.pipeline.step(self.s_in.recv()))


@implements(proc=SpikingNetwork, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt", "fused")
class PySpikingNetworkFixed(FusedModel):
    """Integer networks."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)  # pyright: ignore
    v_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)  # pyright: ignore

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        check_fixed("SpikingNetwork", proc_params["network"].is_float)


@implements(proc=SpikingNetwork, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt", "fused")
class PySpikingNetworkFloat(FusedModel):
    """Floating-point networks."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)  # pyright: ignore
    v_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)  # pyright: ignore


@implements(proc=SpikingNetwork, protocol=LoihiProtocol)
@tag("hierarchical")
class SubSpikingNetwork(AbstractSubProcessModel):
    """Every layer is a `Synapses` Process for each of its connections, its neurons' Process, and a `Recorder`."""

    def __init__(self, proc: SpikingNetwork) -> None:
        parameters = proc.proc_params
        layers = LayerProcesses(parameters["network"], parameters["num_steps"], proc.s_in, parameters["recordings"])
        for index, process in enumerate(layers.all()):
            setattr(self, f"process_{index}", process)  # Lava looks for sub-processes among the attributes
        readout: Any = layers.neurons[parameters["network"].readout.name]
        readout.v_out.connect(proc.v_out)
