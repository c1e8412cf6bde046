"""A whole converted network as one Lava Process."""

from collections.abc import Mapping
from typing import Any

from lava.magma.core.decorator import implements, tag
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import LogConfig
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_aug.core.errors import SpecError
from lava_aug.core.network import Network
from lava_aug.processes.base import Model, Process
from lava_aug.processes.layer_processes import LayerProcesses
from lava_aug.simulation.pipeline import Pipeline
from lava_aug.simulation.recording import Recording


class FusedModel(Model):
    """All layers in one Lava process; the arithmetic is `lava_aug.simulation.pipeline.Pipeline`."""

    tags = ["fused"]  # noqa: RUF012
    s_in: Any
    v_out: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.pipeline = Pipeline(proc_params["network"], proc_params["num_steps"], proc_params["recordings"])

    def run_spk(self) -> None:
        """One time step of every layer."""
        self.v_out.send(self.pipeline.step(self.s_in.recv()))


class SpikingNetwork(Process):
    """Images in, readout out. It has two kinds of ProcessModels, which agree for every layer, step and neuron:

    - fused: all layers in one Lava process, tags ``fixed_pt`` and ``floating_pt``. The default.
    - hierarchical: every layer has separate Lava Processes; ``run_cfg=Loihi2SimCfg(select_sub_proc_model=True)``.

    Parameters
    ----------
    network : Network
        What to run.
    num_steps : int
        Time steps per image. The layer at depth d has its windows start d + 1, d + 1 + num_steps, … (Lava counts time
        steps from 1), so that images can follow each other every ``num_steps`` steps.
    recordings : mapping of str to Recording, optional
        What to record, by name of the layer (``"input"`` for the images).
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging configuration.

    Attributes
    ----------
    s_in : InPort
        Payloads, ``network.input_shape``: integers of 32 bits, or floats.
    v_out : OutPort
        Membrane potential of the readout after every step, for the input ``network.depth`` steps earlier, in the
        readout's shape: integers of 32 bits, or floats.

    Raises
    ------
    SpecError
        If ``network`` is no `Network`, or ``num_steps`` is not positive.
    """

    behaviour = FusedModel

    def __init__(
        self,
        *,
        network: Network,
        num_steps: int,
        recordings: Mapping[str, Recording] | None = None,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise SpecError(f"SpikingNetwork: expected a lava_aug.Network, found {network!r}")
        if isinstance(num_steps, bool) or not isinstance(num_steps, int) or num_steps < 1:
            raise SpecError(f"SpikingNetwork: num_steps must be an integer of at least 1, found {num_steps!r}")
        super().__init__(
            network=network, num_steps=num_steps, recordings=dict(recordings or {}), name=name, log_config=log_config
        )
        self.floats = "the network" if network.is_float else None
        self.s_in = InPort(shape=network.input_shape)
        self.v_out = OutPort(shape=network.shapes[network.readout.name])


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
