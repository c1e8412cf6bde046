"""Running a network on Lava's CPU backend."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from lava_aug.errors import BackendError
from lava_aug.images import check_num_steps, check_record, payloads
from lava_aug.network import INPUT, Layer, Network
from lava_aug.recording import Recording
from lava_aug.results import Output

try:
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
except ImportError as error:
    import platform

    raise BackendError(
        "lava_aug.run needs Lava, whose last releases (lava-nc 0.10.0, lava-dl 0.6.0) exist for Python 3.10 only; "
        f"this is Python {platform.python_version()}. Use Python 3.10, or lava_aug.simulate, which gives the same."
    ) from error

from threadpoolctl import threadpool_limits

from lava_aug.processes import PROCESSES, ImageSource, NeuronProcess, Recorder, Synapses

CHANNEL_SIZE = 2
"""Slots of a channel between Lava processes: one to fill while the other is read. Lava's 64 eat /dev/shm."""


def run(
    net: Network,
    images: Any,
    num_steps: int | None = None,
    *,
    record: bool | str | Iterable[str] = False,
) -> Output:
    """Run a network on Lava, images following each other every ``num_steps`` time steps.

    Every layer is two Lava Processes (`lava_aug.processes.Synapses` and its neuron's) and a recorder. A layer at depth
    d works d time steps behind the images, so N images take ``N * num_steps + depth`` steps.

    Parameters
    ----------
    net : Network
        What to run.
    images : array or tensor, shape (B, *net.input_shape)
        uint8, or floating point in [0, 1], which is rounded to 255 levels.
    num_steps : int, optional
        Time steps per image; default ``net.num_steps``.
    record : bool, str or iterable of str
        Layers whose spikes to keep (True: all, the input too).

    Returns
    -------
    Output
        Equal, bit for bit, to that of `lava_aug.simulate`.

    Raises
    ------
    InputError
        If images, number of steps or recorded names are not usable.
    BackendError
        If Lava is not available.
    """
    x = payloads(net, images)
    deployment = Deployment(net, x, check_num_steps(net, num_steps), check_record(net, record))
    deployment.run()
    return deployment.output()


class Deployment:
    """A network as connected Lava Processes.

    Parameters
    ----------
    net : Network
        What to deploy.
    x : array, shape (num_images, *net.input_shape)
        Input payloads.
    num_steps : int
        Time steps per image.
    record : tuple of str
        Layers whose spikes to keep.

    Attributes
    ----------
    source : ImageSource
        Presents the images.
    neurons : dict of str to NeuronProcess
        The neurons of every layer; probe or connect them as any Lava Process.
    synapses : dict of str to list of Synapses
        The synapses into every layer.
    recordings : dict of str to Recording
        What every layer, and the input, did.
    total_steps : int
        Time steps of the whole run.
    """

    def __init__(self, net: Network, x: np.ndarray, num_steps: int, record: tuple[str, ...] = ()) -> None:
        self.net, self.num_steps, self.num_images = net, num_steps, len(x)
        self.record = record
        self.total_steps = len(x) * num_steps + net.depth
        self.recordings = {name: self._recording(name) for name in net.shapes}
        self.source = ImageSource(images=x, num_steps=num_steps, name=INPUT)
        self.neurons: dict[str, NeuronProcess] = {}
        self.synapses: dict[str, list[Synapses]] = {}
        self.recorders = {INPUT: self._recorder(INPUT, self.source.s_out)}
        for layer in net:
            self._build(layer)

    def _recording(self, name: str) -> Recording:
        shape = self.net.shapes[name]
        fan_out: dict[str, np.ndarray] = {}
        for layer, synapse in self.net.consumers(name):
            fan_out[layer.name] = fan_out.get(layer.name, 0) + synapse.fan_out(shape)
        keep = name in self.record or name == self.net.readout.name
        dtype = np.float32 if self.net.is_float else np.int32
        return Recording(shape, self.total_steps, fan_out=fan_out, keep=keep, dtype=dtype)

    def _recorder(self, name: str, port: Any, overflow: Any = None) -> Recorder:
        recorder = Recorder(recording=self.recordings[name], name=f"{name}_recorder")
        port.connect(recorder.s_in)
        if overflow is not None:
            overflow.connect(recorder.overflow_in)
        return recorder

    def _build(self, layer: Layer) -> None:
        neuron = PROCESSES[type(layer.neuron)](
            shape=self.net.shapes[layer.name],
            neuron=layer.neuron,
            bias=0 if layer.bias is None else layer.bias,
            reset_interval=self.num_steps,
            reset_offset=self.net.depths[layer.name] + 1,
            name=layer.name,
        )
        self.neurons[layer.name] = neuron
        self.synapses[layer.name] = list(self._connected(layer, neuron))
        sent = neuron.s_out if layer.neuron.fires else neuron.v_out  # pyright: ignore[reportAttributeAccessIssue]
        self.recorders[layer.name] = self._recorder(layer.name, sent, neuron.overflow_out)

    def _connected(self, layer: Layer, neuron: NeuronProcess) -> Iterator[Synapses]:
        for index, (source, synapse) in enumerate(layer.connections):
            process = Synapses(synapse=synapse, shape=self.net.shapes[source], name=f"{layer.name}_synapses_{index}")
            sender = self.source if source == INPUT else self.neurons[source]
            sender.s_out.connect(process.s_in)  # pyright: ignore[reportAttributeAccessIssue]
            process.a_out.connect(neuron.a_in)
            yield process

    def run(self) -> None:
        """Run all images through Lava, and stop it."""
        tag = "floating_pt" if self.net.is_float else "fixed_pt"
        config = {"pypy_channel_size": CHANNEL_SIZE}
        try:
            with threadpool_limits(1):  # Lava forks one process per Process, which inherit it
                self.source.run(
                    condition=RunSteps(num_steps=self.total_steps),
                    run_cfg=Loihi2SimCfg(select_tag=tag),
                    compile_config=config,
                )
        finally:
            self.source.stop()

    def output(self) -> Output:
        """What the run gave, windows put in order."""
        firing = [INPUT, *(layer.name for layer in self.net if layer.neuron.fires)]
        synops: dict[str, np.ndarray] = {layer.name: np.zeros((), np.int64) for layer in self.net}
        for name, recording in self.recordings.items():
            for consumer, counts in recording.synops.items():
                synops[consumer] = synops[consumer] + self._windows(name, counts)
        v = self._windows(self.net.readout.name, self._data(self.net.readout.name))
        named = [layer.name for layer in self.net]
        return Output(
            network=self.net,
            v=v if self.net.is_float else v.astype(np.int64),
            events={name: self._windows(name, self.recordings[name].events) for name in firing},
            spike_sum={name: self._windows(name, self.recordings[name].spike_sum) for name in firing},
            synops=synops,
            saturated={
                layer.name: self._windows(layer.name, self.recordings[layer.name].saturated) for layer in self.net
            },
            capped={name: self._windows(name, self.recordings[name].capped) for name in named},
            spikes={name: self._windows(name, self._data(name)).astype(np.int32) for name in self.record},
        )

    def _data(self, name: str) -> np.ndarray:
        data = self.recordings[name].data
        assert data is not None  # kept on construction
        return data

    def _windows(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Rows of a recording, one per Lava time step, as ``(num_steps, num_images, ...)``."""
        first = self.net.depths[name]
        rows = rows[first : first + self.num_images * self.num_steps]
        return rows.reshape(self.num_images, self.num_steps, *rows.shape[1:]).swapaxes(0, 1).copy()
