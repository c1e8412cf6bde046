"""Batch simulator: bit-exact, in torch, on a CPU or a GPU.

It takes the steps of `lava_aug.neurons` for whole batches and whole layers. Within one of its time steps the spikes of
a layer reach the next one at once; on Lava they take a step per layer, and the windows are shifted by as much, so that
both see the same spikes in the same step of a window.

Integers travel in float32, which torch is fastest at. That is exact: a sum of products is computed in float32 only if
``weight_sum * max|s| <= 2**24``, in float64 otherwise, and input currents beyond ``2**24`` stay in float64. Potentials
stay within 24 bits; where ``v + a`` passes ``2**24`` and is rounded, the exact ``v + a + b`` would have been clipped to
the same 24-bit limit, since ``|b| <= 2**23``.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from lava_aug.compiled import CAPPED, EVENTS, LARGEST, SATURATED, SPIKE_SUM
from lava_aug.errors import InputError
from lava_aug.images import Progress, check_num_steps, check_record, payloads
from lava_aug.kernels import largest_magnitude, torch_kernels
from lava_aug.network import INPUT, Layer, Network
from lava_aug.populations import population
from lava_aug.results import COUNTS, Output, joined
from lava_aug.threads import Threads

Look = Callable[[Layer, torch.Tensor, torch.Tensor, np.ndarray], None]
"""Called with a layer, its input current, its spikes and its potential after a step, each ``(B, *shape)``; all of them
are overwritten by the next step."""

BATCH_ELEMENTS = 1 << 22
"""Neurons times images that one batch may hold unless told otherwise; about ten arrays of as many float32 are alive."""


def simulate(
    net: Network,
    images: Any,
    num_steps: int | None = None,
    *,
    record: bool | str | Iterable[str] = False,
    batch_size: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    look: Look | None = None,
) -> Output:
    """Run a network on images, each presented for ``num_steps`` time steps.

    Parameters
    ----------
    net : Network
        What to run.
    images : array or tensor, shape (B, *net.input_shape)
        uint8, or floating point in [0, 1], which is rounded to 255 levels.
    num_steps : int, optional
        Time steps per image; default ``net.num_steps``.
    record : bool, str or iterable of str
        Layers whose spikes to keep (True: all, the input too). Costs 4 bytes per neuron, image and step.
    batch_size : int, optional
        Images computed together, which bounds the memory; by default as many as make about 4 million neurons.
    device : str
        A torch device.
    progress : callable, optional
        Called after every batch with the number of finished images and of all images.
    look : callable, optional
        Called after every step of every layer; see `Look`.

    Returns
    -------
    Output
        Equal to that of `lava_aug.run`, bit for bit if the network is fixed-point.

    Raises
    ------
    InputError
        If images, number of steps, recorded names, batch size or device are not usable.
    """
    x = payloads(net, images)
    steps, names = check_num_steps(net, num_steps), check_record(net, record)
    size = images_per_batch(net, batch_size)
    simulator = Simulator(net, device)
    return joined(simulator.run(batch, steps, names, look) for batch in batches(x, size, progress))


def batches(x: np.ndarray, size: int, progress: Progress | None) -> Iterator[np.ndarray]:
    """Successive images, so many at a time; tells about it once a batch is done."""
    for start in range(0, len(x), size):
        yield x[start : start + size]
        if progress is not None:
            progress(min(start + size, len(x)), len(x))


def images_per_batch(net: Network, batch_size: int | None) -> int:
    """Images computed together: as given, or as many as make `BATCH_ELEMENTS` neurons."""
    if batch_size is None:
        return max(1, BATCH_ELEMENTS // sum(math.prod(found) for found in net.shapes.values()))
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise InputError(f"batch_size: expected an integer of at least 1, found {batch_size!r}")
    return int(batch_size)


def torch_device(name: str) -> torch.device:
    """The torch device of that name; InputError if there is none such here."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from None
    return device


class FanOut(NamedTuple):
    """The synapses that leave each neuron of a layer towards one consumer: the same number for all, or one for each."""

    consumer: str
    uniform: int | None
    weights: torch.Tensor


class Simulator:
    """A network laid out on a torch device: kernels and fan-outs, ready for batches."""

    def __init__(self, net: Network, device: str = "cpu") -> None:
        self.net = net
        self.device = torch_device(device)
        self.kernels = torch_kernels(net, self.device)
        self.fan_outs = {name: list(self._fan_outs(name)) for name in net.shapes if name != net.readout.name}

    def _fan_outs(self, source: str) -> Iterator[FanOut]:
        for layer, synapse in self.net.consumers(source):
            counts = synapse.fan_out(self.net.shapes[source]).ravel()
            uniform = int(counts[0]) if (counts == counts[0]).all() else None
            yield FanOut(layer.name, uniform, torch.tensor(counts, dtype=torch.int32, device=self.device))

    @torch.no_grad()
    def run(self, x: np.ndarray, num_steps: int, record: tuple[str, ...] = (), look: Look | None = None) -> Output:
        """One batch of payloads ``(B, *input_shape)``, as `simulate` but unchecked.

        ``look``, if given, is called after every step of every layer.
        """
        with exact_arithmetic(), Threads(torch.get_num_threads()) as threads:
            return _Window(self, x, num_steps, record, threads, look).run()

    def current(self, layer: Layer, spikes: Mapping[str, torch.Tensor], largest: Mapping[str, float]) -> torch.Tensor:
        """Input current of a layer: float32, or float64 where it may pass ``2**24``."""
        currents = [kernel(spikes[source], largest[source]) for source, kernel in self.kernels[layer.name]]
        total = currents[0] if len(currents) == 1 else torch.stack([a.to(torch.float64) for a in currents]).sum(0)
        narrow = total.dtype == torch.float32 or self.net.is_float or largest_magnitude(total) <= 1 << 24
        return total.to(torch.float32) if narrow else total


class _Window:
    """One batch of images on its way through a window."""

    def __init__(
        self,
        simulator: Simulator,
        x: np.ndarray,
        num_steps: int,
        record: tuple[str, ...],
        threads: Threads,
        look: Look | None,
    ) -> None:
        self.simulator, self.net, self.num_steps, self.look = simulator, simulator.net, num_steps, look
        self.log = Log(self.net, num_steps, len(x), record)
        pixels = torch.tensor(x, device=simulator.device).to(torch.float32)
        self.spikes = {INPUT: pixels}
        self.largest = {INPUT: largest_magnitude(pixels)}
        self.populations = {
            layer.name: population(
                layer, self.net.current_shapes[layer.name], len(x), num_steps, simulator.device, threads
            )
            for layer in self.net
        }
        # The images stay the same for the whole window, and so do the currents that they cause.
        self.constant = {
            layer.name: simulator.current(layer, self.spikes, self.largest)
            for layer in self.net
            if all(c.source == INPUT for c in layer.connections)
        }

    def run(self) -> Output:
        self._note_input()
        for t in range(self.num_steps):
            for layer in self.net:
                self._step(t, layer)
            self.log.v[t] = self.populations[self.net.readout.name].potential()
        return self.log.output()

    def _step(self, t: int, layer: Layer) -> None:
        a = self.constant.get(layer.name)
        a = self.simulator.current(layer, self.spikes, self.largest) if a is None else a
        neurons = self.populations[layer.name]
        s = neurons.step(a)
        self.log.overflow(t, layer.name, neurons.counts)
        if self.look is not None:
            self.look(layer, a, s, neurons.potential())
        if not layer.neuron.fires:
            return
        self.spikes[layer.name], self.largest[layer.name] = s, float(neurons.counts[:, LARGEST].max())
        self.log.spikes(t, layer.name, neurons.counts, s)
        for consumer, uniform, weights in self.simulator.fan_outs[layer.name]:
            events = neurons.counts[:, EVENTS]
            self.log.synops(t, consumer, neurons.weighted_events(weights) if uniform is None else events * uniform)

    def _note_input(self) -> None:
        """The input's counts, which are the same in every step."""
        flat = self.spikes[INPUT].reshape(len(self.spikes[INPUT]), -1)
        fired = flat != 0
        counts = np.zeros((len(flat), 5), np.int64)
        counts[:, EVENTS] = fired.sum(1).cpu()
        counts[:, SPIKE_SUM] = flat.sum(1, dtype=torch.float64).cpu()
        self.log.spikes(slice(None), INPUT, counts, self.spikes[INPUT])
        for consumer, _, weights in self.simulator.fan_outs[INPUT]:
            operations = (fired.to(torch.float64) @ weights.to(torch.float64)).cpu().numpy()
            self.log.synops(slice(None), consumer, operations.astype(np.int64))


class Log:
    """Collects what an `Output` holds, step by step, in numpy."""

    def __init__(self, net: Network, num_steps: int, num_images: int, record: tuple[str, ...]) -> None:
        self.net = net
        size = (num_steps, num_images)
        firing = [INPUT, *(layer.name for layer in net if layer.neuron.fires)]
        named = [layer.name for layer in net]
        keys = dict(zip(COUNTS, (firing, firing, named, named, named), strict=True))
        self.counts = {field: {name: np.zeros(size, np.int64) for name in names} for field, names in keys.items()}
        self.v = np.zeros((*size, *net.shapes[net.readout.name]), np.float32 if net.is_float else np.int64)
        self.recorded = {name: np.zeros((*size, *net.shapes[name]), np.int32) for name in record}

    def spikes(self, t: int | slice, name: str, counts: np.ndarray, s: torch.Tensor) -> None:
        """Counts per image, and the spikes themselves, if they are wanted."""
        self.counts["events"][name][t] = counts[:, EVENTS]
        self.counts["spike_sum"][name][t] = counts[:, SPIKE_SUM]
        if name in self.recorded:
            self.recorded[name][t] = s.cpu().numpy()

    def synops(self, t: int | slice, name: str, operations: np.ndarray) -> None:
        """Per image: synaptic operations into a layer, over one of its connections."""
        self.counts["synops"][name][t] += operations

    def overflow(self, t: int, name: str, counts: np.ndarray) -> None:
        """Per image: neurons whose potential was clipped, and whose coefficient was cut."""
        self.counts["saturated"][name][t] = counts[:, SATURATED]
        self.counts["capped"][name][t] = counts[:, CAPPED]

    def output(self) -> Output:
        """Everything collected."""
        return Output(network=self.net, v=self.v, spikes=self.recorded, **self.counts)


@contextlib.contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Forbid what makes torch's sums inexact: TF32 and bfloat16, and cuDNN's Winograd and Fourier convolutions."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        for get, put, exact in _precisions():
            stack.callback(put, get())
            put(exact)
        yield


def _precisions() -> Iterator[tuple[Callable[[], str], Callable[[str], None], str]]:
    """How products of float32 are rounded: getter, setter, exact value.

    Torch 2.9 has a setting for each backend, and refuses to have them mixed with the older one.
    """
    name = "fp32_precision"
    if not hasattr(torch.backends, name):
        yield torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"
        return
    backends: Any = torch.backends
    for backend in (backends.cuda.matmul, backends.mkldnn.matmul, backends.mkldnn.conv):
        yield partial(getattr, backend, name), partial(setattr, backend, name), "ieee"
