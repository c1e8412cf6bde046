"""A whole converted network as one Lava Process, and the Processes that its layers become, connected."""

from collections.abc import Iterator, Mapping
from typing import Any

from lava.magma.core.decorator import implements, tag
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import LogConfig
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_aug.core.errors import SpecError
from lava_aug.core.network import INPUT, Layer, Network
from lava_aug.core.spec import is_a
from lava_aug.processes.base import Model, Process
from lava_aug.processes.io import Recorder
from lava_aug.processes.neurons import Neurons
from lava_aug.processes.synapses import Synapses
from lava_aug.simulation.pipeline import Pipeline, Recording


class LayerProcesses:
    """Every layer of a network as Processes of its own: synapses, neurons and, where it is recorded, a recorder.

    Parameters
    ----------
    network : Network
        What to build.
    num_steps : int
        Time steps per image, which is the length of every window.
    source : OutPort or InPort
        Where the payloads come from.
    recordings : mapping of str to Recording
        What to note, by name of the layer (``"input"`` for the images).

    Attributes
    ----------
    neurons : dict of str to Neurons
        The neurons of every layer.
    synapses : dict of str to list of Synapses
        The synapses into every layer.
    recorders : dict of str to Recorder
        The recorders.
    """

    def __init__(self, network: Network, num_steps: int, source: Any, recordings: Mapping[str, Recording]) -> None:
        self.network, self.num_steps, self.source, self.recordings = network, num_steps, source, recordings
        self.neurons: dict[str, Neurons] = {}
        self.synapses: dict[str, list[Synapses]] = {}
        self.recorders: dict[str, Recorder] = {}
        self._record(INPUT, source)
        for layer in network:
            self._build(layer)

    def all(self) -> Iterator[Any]:
        """Every Process."""
        yield from self.neurons.values()
        for processes in self.synapses.values():
            yield from processes
        yield from self.recorders.values()

    def _build(self, layer: Layer) -> None:
        neuron = Neurons(
            shape=self.network.current_shapes[layer.name],
            neuron=layer.neuron,
            bias=0 if layer.bias is None else layer.bias,
            reset_interval=self.num_steps,
            reset_offset=self.network.depths[layer.name] + 1,
            name=layer.name,
        )
        self.neurons[layer.name] = neuron
        self.synapses[layer.name] = list(self._connected(layer, neuron))
        sender: Any = neuron
        self._record(layer.name, sender.s_out if layer.neuron.fires else sender.v_out, neuron.overflow_out)

    def _connected(self, layer: Layer, neuron: Neurons) -> Iterator[Synapses]:
        delays = self.network.delays(layer.name)
        for index, ((source, synapse), delay) in enumerate(zip(layer.connections, delays, strict=True)):
            shape, name = self.network.shapes[source], f"{layer.name}_synapses_{index}"
            process = Synapses(synapse=synapse, shape=shape, delay=delay, name=name)
            sender: Any = self.source if source == INPUT else self.neurons[source]
            (sender if source == INPUT else sender.s_out).connect(process.s_in)
            process.a_out.connect(neuron.a_in)
            yield process

    def _record(self, name: str, port: Any, overflow: Any = None) -> None:
        if name not in self.recordings:
            return
        recorder = Recorder(recording=self.recordings[name], name=f"{name}_recorder")
        port.connect(recorder.s_in)
        if overflow is not None:
            overflow.connect(recorder.overflow_in)
        self.recorders[name] = recorder


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
        if not is_a(network, Network):
            raise SpecError(f"SpikingNetwork: expected a lava_aug.Network, found {network!r}")
        if is_a(num_steps, bool) or not is_a(num_steps, int) or num_steps < 1:
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
