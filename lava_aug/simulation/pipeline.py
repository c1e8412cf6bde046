"""A whole network, one sample at a time, with Lava's timing: a layer lags one step behind its deepest source.

This is what the Lava Processes of a network do together, without Lava: in every time step each layer takes the input
current that was added up in the step before, fires, and then all synapses add up what was sent. Currents of shorter
paths wait for those of the longest (`Network.delays`). The fused ProcessModel runs it; so does everything that wants
Lava's order of events without Lava. `Recording` keeps what a layer did, and `Tape` what a port sent, in memory that is
shared with forked processes.
"""

import math
import mmap
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lava_aug.core.layers import Shape
from lava_aug.core.network import INPUT, Layer, Network
from lava_aug.core.neurons import initial_state
from lava_aug.kernels.compiled import compiled_population, is_compiled
from lava_aug.kernels.counting import CAPPED, EVENTS, LARGEST, SATURATED, SPIKE_SUM, count, fan_out_of
from lava_aug.kernels.samples import SampleKernel


def shared_array(shape: Shape, dtype: DTypeLike) -> NDArray[Any]:
    """A zeroed array in anonymous shared memory: children that are forked later write to the same pages.

    It has no name in the file system, so nothing is left behind however the program ends.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    whole: NDArray[Any] = np.frombuffer(mmap.mmap(-1, max(size, 1)), dtype, math.prod(shape))
    return whole.reshape(shape)


class Recording:
    """What a layer did in every time step of a run.

    Parameters
    ----------
    shape : tuple of int
        Shape of the layer.
    num_steps : int
        Time steps of the run.
    fan_out : mapping of str to array, optional
        For each consumer, the synapses that leave each neuron; needed to count synaptic operations.
    keep : bool
        Whether to keep every spike, not only counts.
    dtype : type
        Number format of what is kept.

    Attributes
    ----------
    events, spike_sum, saturated, capped : numpy.ndarray
        Counts per step, int64 ``(num_steps,)``.
    synops : dict of str to numpy.ndarray
        Synaptic operations into each consumer, int64 ``(num_steps,)``.
    data : numpy.ndarray or None
        What was received, ``(num_steps, *shape)``.
    finished : numpy.ndarray
        ``(1,)``: time steps noted so far; another process may look at it while the run goes on.
    """

    def __init__(
        self,
        shape: Shape,
        num_steps: int,
        *,
        fan_out: Mapping[str, NDArray[Any]] | None = None,
        keep: bool = False,
        dtype: type = np.int32,
    ) -> None:
        self.shape = shape
        self.fan_out = {name: fan_out_of(counts) for name, counts in (fan_out or {}).items()}
        self.finished = shared_array((1,), np.int64)
        self.events, self.spike_sum, self.saturated, self.capped = (
            shared_array((num_steps,), np.int64) for _ in range(4)
        )
        self.synops = {name: shared_array((num_steps,), np.int64) for name in self.fan_out}
        self.data = shared_array((num_steps, *shape), dtype) if keep else None

    def note(self, t: int, s: NDArray[Any], overflow: NDArray[Any]) -> None:
        """Note what was received in time step ``t``, counted from 0; steps beyond the end are not kept."""
        counts = count(s[None])[0]
        counts[[SATURATED, CAPPED]] = overflow
        self.note_counts(t, counts, s)

    def note_counts(self, t: int, counts: NDArray[Any], s: NDArray[Any]) -> None:
        """The same for one that has counted already; columns as in `lava_aug.kernels.counting`."""
        if t >= len(self.events):
            return
        self.events[t], self.spike_sum[t] = counts[EVENTS], counts[SPIKE_SUM]
        self.saturated[t], self.capped[t] = counts[SATURATED], counts[CAPPED]
        for name, fan_out in self.fan_out.items():
            self.synops[name][t] = fan_out.operations(s[None], counts[EVENTS : EVENTS + 1])[0]
        if self.data is not None:
            self.data[t] = s
        self.finished[0] = t + 1


class Tape:
    """What one port sent in every time step of a run, exactly: integers of up to 64 bits, or floats.

    Parameters
    ----------
    shape : tuple of int
        Shape of the port.
    num_steps : int
        Time steps of the run.
    """

    def __init__(self, shape: Shape, num_steps: int) -> None:
        self.shape = shape
        self._raw = shared_array((num_steps, *shape), np.int64)
        self._floats = shared_array((1,), np.int64)
        self._noted = shared_array((1,), np.int64)

    def note(self, t: int, sent: NDArray[Any]) -> None:
        """Note what was sent in time step ``t``, counted from 0."""
        self._floats[0] = sent.dtype.kind == "f"
        self._in_format()[t] = sent
        self._noted[0] = t + 1

    def _in_format(self) -> NDArray[Any]:
        return self._raw.view(np.float64) if self._floats[0] else self._raw

    @property
    def noted(self) -> int:
        """Time steps noted so far."""
        return int(self._noted[0])

    def read(self) -> NDArray[Any]:
        """What was noted, ``(num_steps, *shape)``, int64 or float64."""
        return self._in_format().copy()


class DelayLine:
    """What goes in comes out ``delay`` calls later, and zeros before.

    Parameters
    ----------
    shape : tuple of int
        Shape of what goes in.
    delay : int
        How many calls later; with 0 it comes out at once.

    Examples
    --------
    >>> line = DelayLine((1,), delay=2)
    >>> [line(np.array([value])).item() for value in (5.0, 6.0, 7.0)]
    [0.0, 0.0, 5.0]
    """

    def __init__(self, shape: tuple[int, ...], delay: int) -> None:
        self.delay = delay
        self._waiting = deque([np.zeros(shape)] * delay)

    def __call__(self, a: NDArray[Any]) -> NDArray[Any]:
        """Put in ``a``, which is kept as it is: if it will be overwritten, hand in a copy."""
        self._waiting.append(a)
        return self._waiting.popleft()


class _Population(Protocol):
    counts: NDArray[Any]

    def reset(self) -> None: ...

    def step(self, a: NDArray[Any]) -> None: ...

    @property
    def sent(self) -> NDArray[Any]: ...

    @property
    def potential(self) -> NDArray[Any]: ...


class _Compiled:
    """One sample of a compiled form."""

    def __init__(self, layer: Layer, shape: Shape) -> None:
        self.neurons = compiled_population(layer.neuron, shape, 1, layer.bias)
        self.counts = self.neurons.counts[0]
        self.sent = self.neurons.s.reshape(self.neurons.sent_shape)
        self.potential = self.neurons.v.reshape(shape)
        self.t = 0

    def reset(self) -> None:
        self.neurons.reset()
        self.t = 0

    def step(self, a: NDArray[Any]) -> None:
        self.t += 1
        self.neurons.step(a.reshape(1, -1), self.t)


class _Stepped:
    """`Neuron.step`, for neurons without a compiled form, long windows, and floating point in full precision."""

    def __init__(self, layer: Layer, shape: Shape) -> None:
        self.neuron, self.shape = layer.neuron, shape
        bias = np.zeros(()) if layer.bias is None else layer.bias
        self.state = initial_state(layer.neuron, shape)
        self.bias = bias.astype(self.state.v.dtype)
        self.counts = np.zeros(5, np.int64)
        self.sent = np.zeros(self.state.n.shape, self.state.n.dtype)

    @property
    def potential(self) -> NDArray[Any]:
        return self.state.v

    def reset(self) -> None:
        self.state = initial_state(self.neuron, self.shape)

    def step(self, a: NDArray[Any]) -> None:
        step = self.neuron.step(self.state, a.astype(self.state.v.dtype), self.bias)
        self.state, self.sent = step.state, step.s
        capped = None if step.capped is None else step.capped[None]
        self.counts = count(step.s[None], step.saturated[None], capped)[0]


class _Path(NamedTuple):
    """One connection: from where to where, what adds up its spikes, and how long its currents wait."""

    source: str
    target: str
    kernel: SampleKernel
    line: DelayLine


class Pipeline:
    """A network that is fed one array of payloads per time step.

    Parameters
    ----------
    net : Network
        What to run.
    num_steps : int
        Length of a window: the layer at depth d starts one in every time step t (counted from 0) with
        ``t % num_steps == d % num_steps``.
    recordings : dict of str to Recording, optional
        What to note, by layer (and `INPUT`).
    """

    def __init__(self, net: Network, num_steps: int, recordings: dict[str, Recording] | None = None) -> None:
        self.net, self.num_steps = net, num_steps
        self.recordings = recordings or {}
        self.t = 0
        self.dtype: Any = np.float64 if net.is_float else np.float32
        self.layers = {layer.name: self._population(layer) for layer in net}
        self.paths = [path for layer in net for path in self._paths(layer)]
        self.currents: dict[str, NDArray[Any]] = {layer.name: np.zeros(net.current_shapes[layer.name]) for layer in net}
        self.pixels = np.zeros(net.input_shape, self.dtype)
        self.input_counts = np.zeros(5, np.int64)
        self.from_input: dict[int, NDArray[Any]] = {}

    def _paths(self, layer: Layer) -> Iterator[_Path]:
        shapes = self.net.shapes
        for (source, synapse), delay in zip(layer.connections, self.net.delays(layer.name), strict=True):
            kernel, line = SampleKernel(synapse, shapes[source]), DelayLine(self.net.current_shapes[layer.name], delay)
            yield _Path(source, layer.name, kernel, line)

    def _population(self, layer: Layer) -> _Population:
        shape = self.net.current_shapes[layer.name]
        if not self.net.is_float and is_compiled(layer.neuron, self.num_steps):
            return _Compiled(layer, shape)
        return _Stepped(layer, shape)

    def step(self, payloads: NDArray[Any]) -> NDArray[Any]:
        """One time step.

        Parameters
        ----------
        payloads : array, shape net.input_shape
            What the source sends in this step.

        Returns
        -------
        numpy.ndarray
            The readout's potential, which answers what came in ``net.depth`` steps ago; overwritten by the next step.
        """
        for layer in self.net:
            neurons = self.layers[layer.name]
            if (self.t - self.net.depths[layer.name]) % self.num_steps == 0:
                neurons.reset()
            neurons.step(self.currents[layer.name])
        self._take(payloads)
        self._add_up()
        self._note()
        self.t += 1
        return self.layers[self.net.readout.name].potential

    def _take(self, payloads: NDArray[Any]) -> None:
        """New payloads; an image stays for a whole window, and so do the currents that it causes."""
        if self.t and np.array_equal(self.pixels, payloads):
            return
        self.pixels[...] = payloads
        self.from_input.clear()
        self.input_counts = count(self.pixels[None])[0]

    def _add_up(self) -> None:
        """The currents of the next step."""
        totals: dict[str, NDArray[Any]] = {}
        for index, path in enumerate(self.paths):
            a = path.line(self._from_images(index) if path.source == INPUT else self._from_layer(path))
            total = totals.get(path.target)
            totals[path.target] = a if total is None else total.astype(np.float64) + a
        self.currents = totals

    def _from_images(self, index: int) -> NDArray[Any]:
        if index not in self.from_input:
            counts = self.input_counts
            a = self.paths[index].kernel(self.pixels, counts[LARGEST], counts[EVENTS])
            self.from_input[index] = a.copy()
        return self.from_input[index]

    def _from_layer(self, path: _Path) -> NDArray[Any]:
        neurons = self.layers[path.source]
        a = path.kernel(neurons.sent, neurons.counts[LARGEST], neurons.counts[EVENTS])
        return a.copy() if path.line.delay else a  # the kernel overwrites what it gave

    def _note(self) -> None:
        for name, recording in self.recordings.items():
            if name == INPUT:
                recording.note_counts(self.t, self.input_counts, self.pixels)
            elif name == self.net.readout.name:
                recording.note_counts(self.t, self.layers[name].counts, self.layers[name].potential)
            else:
                recording.note_counts(self.t, self.layers[name].counts, self.layers[name].sent)
