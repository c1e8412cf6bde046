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
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

from lava_aug.errors import InputError
from lava_aug.images import check_num_steps, check_record, payloads
from lava_aug.kernels import TorchKernel, largest_magnitude
from lava_aug.network import INPUT, Layer, Network
from lava_aug.neurons import State
from lava_aug.results import COUNTS, Output, joined

Progress = Callable[[int, int], None]
"""Called with the number of finished images and of all images."""

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

    Returns
    -------
    Output
        Equal, bit for bit, to that of `lava_aug.run`.

    Raises
    ------
    InputError
        If images, number of steps, recorded names, batch size or device are not usable.
    """
    x = payloads(net, images)
    steps, names = check_num_steps(net, num_steps), check_record(net, record)
    size = _batch_size(net, batch_size)
    simulator = Simulator(net, device)
    parts: list[Output] = []
    for start in range(0, len(x), size):
        parts.append(simulator.run(x[start : start + size], steps, names))
        if progress is not None:
            progress(min(start + size, len(x)), len(x))
    return joined(parts)


def _batch_size(net: Network, batch_size: int | None) -> int:
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


class Simulator:
    """A network laid out on a torch device: kernels and biases, ready for batches."""

    def __init__(self, net: Network, device: str = "cpu") -> None:
        self.net = net
        self.device = torch_device(device)
        self.kernels = {
            layer.name: [(c.source, TorchKernel(c.synapse, self.device)) for c in layer.connections] for layer in net
        }
        self.biases = {layer.name: self._bias(layer) for layer in net}
        self.fan_out = {source: self._fan_out(source) for source in net.shapes if source != net.readout.name}

    def _bias(self, layer: Layer) -> torch.Tensor:
        bias = np.zeros(()) if layer.bias is None else layer.bias
        return torch.tensor(bias, dtype=torch.float32, device=self.device)

    def _fan_out(self, source: str) -> tuple[list[str], torch.Tensor]:
        """Names of the consumers, and their synapses per neuron of ``source``: ``(neurons, consumers)``."""
        shape = self.net.shapes[source]
        pairs = [(layer.name, synapse.fan_out(shape).ravel()) for layer, synapse in self.net.consumers(source)]
        counts = np.stack([counts for _, counts in pairs], axis=1)
        return [name for name, _ in pairs], torch.tensor(counts, dtype=torch.float64, device=self.device)

    @torch.no_grad()
    def run(self, x: np.ndarray, num_steps: int, record: tuple[str, ...] = ()) -> Output:
        """One batch of payloads ``(B, *input_shape)``, as `simulate` but unchecked."""
        with exact_arithmetic():
            pixels = torch.tensor(x, device=self.device).to(torch.float32)
            states = {layer.name: self._initial(layer, len(x), num_steps) for layer in self.net}
            log = Log(self.net, num_steps, len(x), record)
            constant = {
                layer.name: self._current(layer, {INPUT: pixels})
                for layer in self.net
                if all(c.source == INPUT for c in layer.connections)
            }
            for t in range(num_steps):
                spikes = {INPUT: pixels}
                self._note(log, t, INPUT, pixels)
                for layer in self.net:
                    a = constant.get(layer.name)
                    a = self._current(layer, spikes) if a is None else a
                    step = layer.neuron.step(states[layer.name], a, self.biases[layer.name])
                    states[layer.name] = step.state
                    log.overflow(t, layer.name, per_image(step.saturated), per_image(step.capped))
                    if layer.neuron.fires:
                        spikes[layer.name] = step.s
                        self._note(log, t, layer.name, step.s)
                log.v[t] = states[self.net.readout.name].v.cpu().numpy()
            return log.output()

    def _initial(self, layer: Layer, batch: int, num_steps: int) -> State:
        v0, n0 = layer.neuron.initial()
        exact = num_steps * layer.neuron.coefficient_limit <= 1 << 24
        shape = (batch, *self.net.shapes[layer.name])
        return State(
            torch.full(shape, v0, dtype=torch.float32, device=self.device),
            torch.full(shape, n0, dtype=torch.float32 if exact else torch.float64, device=self.device),
        )

    def _current(self, layer: Layer, spikes: dict[str, torch.Tensor]) -> torch.Tensor:
        currents = [kernel(spikes[source]) for source, kernel in self.kernels[layer.name]]
        total = currents[0] if len(currents) == 1 else torch.stack([a.to(torch.float64) for a in currents]).sum(0)
        narrow = total.dtype == torch.float32 or self.net.is_float or largest_magnitude(total) <= 1 << 24
        return total.to(torch.float32) if narrow else total

    def _note(self, log: "Log", t: int, name: str, s: torch.Tensor) -> None:
        flat = s.reshape(len(s), -1)
        fired = flat != 0
        consumers, fan_out = self.fan_out[name]
        events, sums = fired.sum(1), flat.abs().sum(1, dtype=torch.float64)
        operations = fired.to(torch.float64) @ fan_out
        log.spikes(t, name, events.cpu().numpy(), sums.cpu().numpy(), s.cpu().numpy() if log.wants(name) else None)
        for consumer, synops in zip(consumers, operations.T.cpu().numpy(), strict=True):
            log.synops(t, consumer, synops)


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

    def wants(self, name: str) -> bool:
        """Whether the spikes of that layer are recorded."""
        return name in self.recorded

    def spikes(self, t: int, name: str, events: np.ndarray, sums: np.ndarray, s: np.ndarray | None) -> None:
        """Per image: number of events and summed magnitude; and the spikes themselves, if they are wanted."""
        self.counts["events"][name][t] = events
        self.counts["spike_sum"][name][t] = sums
        if s is not None:
            self.recorded[name][t] = s

    def synops(self, t: int, name: str, operations: np.ndarray) -> None:
        """Per image: synaptic operations into a layer, over one of its connections."""
        self.counts["synops"][name][t] += operations.astype(np.int64)

    def overflow(self, t: int, name: str, saturated: np.ndarray | int, capped: np.ndarray | int) -> None:
        """Per image: neurons whose potential was clipped, and whose coefficient was cut."""
        self.counts["saturated"][name][t] = saturated
        self.counts["capped"][name][t] = capped

    def output(self) -> Output:
        """Everything collected."""
        return Output(network=self.net, v=self.v, spikes=self.recorded, **self.counts)


def per_image(mask: torch.Tensor | None) -> np.ndarray | int:
    """How many elements of each image a mask ``(B, ...)`` marks."""
    return 0 if mask is None else mask.reshape(len(mask), -1).sum(1).cpu().numpy()


@contextlib.contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Forbid what makes torch's sums inexact on a GPU: TF32, and cuDNN's Winograd and Fourier convolutions."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
