"""The Processes that the layers of a network become, connected."""

from collections.abc import Iterator, Mapping
from typing import Any

from lava_aug.core.network import INPUT, Layer, Network
from lava_aug.processes.io import Recorder
from lava_aug.processes.neurons import Neurons
from lava_aug.processes.synapses import Synapses
from lava_aug.simulation.recording import Recording


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
