"""Batch simulator: bit-exact, in torch, on a CPU or a GPU.

It takes the steps of `core.neurons` for whole batches and whole layers. Within one of its time steps the spikes of
a layer reach the next one at once; on Lava they take a step per layer, and the windows are shifted by as much, so that
both see the same spikes in the same step of a window.

Integers are carried in float32, which torch is fastest with. That is exact: a sum of products is computed in float32
only if ``weight_sum * max|s| <= 2**24``, in float64 otherwise, and input currents beyond ``2**24`` stay in float64.
Potentials stay within 24 bits; where ``v + a`` passes ``2**24`` and is rounded, the exact ``v + a + b`` would have been
clipped to the same 24-bit limit, since ``|b| <= 2**23``.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from numpy.typing import NDArray

from lava_aug.core.errors import InputError
from lava_aug.core.images import Images, Payloads, Progress, check_callable
from lava_aug.core.network import INPUT, Layer, Network
from lava_aug.core.results import Output, joined, warn_of_overflows
from lava_aug.core.spec import is_a
from lava_aug.core.walks import images_per_batch
from lava_aug.kernels.batches import exact_arithmetic, largest_magnitude, torch_kernels
from lava_aug.kernels.counting import EVENTS, LARGEST, FanOut, count, fan_out_of
from lava_aug.kernels.threads import Threads
from lava_aug.simulation.courses import Counts, Course, Log, Presentation, checked_course
from lava_aug.simulation.populations import population

Look = Callable[[Layer, torch.Tensor, torch.Tensor, NDArray[Any]], None]
"""Called with a layer, its input current, its spikes and its potential after a step, each ``(B, *shape)``; all of them
are overwritten by the next step."""


def simulate(
    net: Network,
    images: Images,
    num_steps: int | None = None,
    *,
    record: bool | str | Iterable[str] = False,
    presentation: Presentation = "constant",
    stop_when: float | None = None,
    counts: Counts = "image",
    readouts: Literal["all", "last"] | Iterable[int] = "all",
    batch_size: int | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    look: Look | None = None,
) -> Output:
    """Run a network on images, each presented for ``num_steps`` time steps.

    Parameters
    ----------
    net : Network
        What to run.
    images : Images
        uint8, or floating point in [0, 1], which is rounded to 255 levels: an array or tensor (B, *net.input_shape); a
        data set of (image, label); a DataLoader, or another iterable of batches. The latter two are read batch by
        batch, and their labels, if they have any, are kept in ``Output.labels``.
    num_steps : int, optional
        Time steps per image; default ``net.num_steps``.
    record : bool, str or iterable of str
        Layers whose spikes to record (True: all, including the input). Costs 4 bytes per neuron, image and step.
    presentation : "constant" or "first"
        The image in every step, or ``num_steps`` times the image in the first step and nothing afterwards. The sum of
        the inputs is the same, and therefore the readout of an AugMapping network after the last step; before that, the
        scale of the logits is undefined.
    stop_when : float, optional
        Early exit: an image stops once its largest logit exceeds the second by at least this margin, in the ANN's
        units. From then on it costs no events, which also saves time. ``Output.steps`` is the number of steps of each
        image.
    counts : "image" or "sum"
        Whether the statistics are per image, which takes 8 bytes per count, step and image, or summed over the images.
    readouts : "all", "last" or iterable of int
        After which steps to keep the readout, counted from 1, ascending: each takes 8 bytes per output and image.
    batch_size : int, optional
        Images per batch, by default for about 8 million neurons in total; about 40 bytes per neuron and image are
        allocated during the computation. The result takes additional memory: with many images and steps it is the
        larger part, unless ``counts="sum"`` and ``readouts="last"``. Images in a memory-mapped file are read batch by
        batch.
    device : str or torch.device
        Where to compute.
    progress : callable, optional
        Called after every batch with the number of finished images and their total, or twice the former as long as the
        total is unknown.
    look : callable, optional
        Called after every step of every layer; see `Look`.

    Returns
    -------
    Output
        Equal to that of `lava_aug.run`, bit for bit if the network is fixed-point. `run` always presents constant
        images for all steps.

    Raises
    ------
    InputError
        If images, number of steps, recorded names, presentation, margin, batch size or device are invalid.

    Warns
    -----
    OverflowWarning
        If potentials were clipped or spikes capped: the readout has headroom for the number of steps passed to
        `convert`, and often for more. Silent neurons with a steadily negative input do not count.
    """
    x = Payloads(net, images)
    size = images_per_batch(net, batch_size)
    check_callable("look", look)
    course = checked_course(
        net, num_steps, record, presentation=presentation, stop_when=stop_when, counts=counts, readouts=readouts
    )
    simulator = Simulator(net, device)
    out = joined(simulator.run(batch, course, look) for batch in x.batches(size, progress))
    return warn_of_overflows(out if x.labels is None else dataclasses.replace(out, labels=x.labels))


def torch_device(name: str | torch.device) -> torch.device:
    """The torch device of that name; InputError if there is none such here, or it computes nothing."""
    if not is_a(name, (str, torch.device)):
        raise InputError(f"device: expected the name of a torch device, such as 'cpu' or 'cuda', found {name!r}")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except Exception as error:  # each kind of device has its own
        raise InputError(f"device {name!r} cannot be used: {str(error).strip().partition(chr(10))[0]}") from None
    return device


class Simulator:
    """A network laid out on a torch device: kernels and fan-outs, ready for batches."""

    def __init__(self, net: Network, device: str | torch.device = "cpu") -> None:
        self.net = net
        self.device = torch_device(device)
        self.kernels = torch_kernels(net, self.device)
        self.fan_outs = {name: self._fan_outs(name) for name in net.shapes}

    def _fan_outs(self, source: str) -> dict[str, FanOut]:
        fan_outs = {name: fan_out_of(counts) for name, counts in self.net.fan_outs(source).items()}
        return {
            name: out._replace(weights=torch.tensor(out.weights, device=self.device)) for name, out in fan_outs.items()
        }

    def run(self, x: NDArray[Any], course: Course, look: Look | None = None) -> Output:
        """One batch of payloads ``(B, *input_shape)``, as `simulate` but unchecked.

        ``look``, if given, is called after every step of every layer.
        """
        with torch.no_grad(), exact_arithmetic(self.device), Threads(torch.get_num_threads()) as threads:
            return _Window(self, x, course, threads, look).run()

    def current(self, layer: Layer, spikes: Mapping[str, torch.Tensor], largest: Mapping[str, float]) -> torch.Tensor:
        """Input current of a layer: float32, or float64 where it may pass ``2**24``."""
        currents = [kernel(spikes[source], largest[source]) for source, kernel in self.kernels[layer.name]]
        if len(currents) > 1 and not self._is_narrow(layer, largest):
            currents = [torch.stack([a.to(torch.float64) for a in currents]).sum(0)]
        total = functools.reduce(torch.add, currents)
        narrow = total.dtype == torch.float32 or self.net.is_float or largest_magnitude(total) <= 1 << 24
        return total.to(torch.float32) if narrow else total

    def _is_narrow(self, layer: Layer, largest: Mapping[str, float]) -> bool:
        """Whether no sum on the way to a layer's input current can pass ``2**24``."""
        bound = sum(kernel.bound(largest[source]) for source, kernel in self.kernels[layer.name])
        return not self.net.is_float and bound <= 1 << 24


class _Window:
    """One batch of images on its way through a window."""

    def __init__(
        self, simulator: Simulator, x: NDArray[Any], course: Course, threads: Threads, look: Look | None
    ) -> None:
        self.simulator, self.net, self.course, self.look = simulator, simulator.net, course, look
        self.log = Log(self.net, course.num_steps, len(x), course.record, course.read_after, summed=course.summed)
        self.populations = {
            layer.name: population(
                layer, self.net.current_shapes[layer.name], len(x), course.num_steps, simulator.device, threads
            )
            for layer in self.net
        }
        pixels = torch.tensor(x, device=simulator.device).to(torch.float32)
        self._present(pixels if course.presentation == "constant" else pixels * course.num_steps)

    def _present(self, pixels: torch.Tensor) -> None:
        """Take on images, which stay the same until the next call, and so do the currents that they cause."""
        self.spikes = {INPUT: pixels}
        self.largest = {INPUT: largest_magnitude(pixels)}
        self.constant = {
            layer.name: self.simulator.current(layer, self.spikes, self.largest)
            for layer in self.net
            if set(layer.sources) == {INPUT}
        }
        self.input_counts = count(pixels)
        self.input_synops = {
            consumer: fan_out.operations(pixels, self.input_counts[:, EVENTS])
            for consumer, fan_out in self.simulator.fan_outs[INPUT].items()
        }

    def run(self) -> Output:
        for t in range(self.course.num_steps):
            if t == 1 and self.course.presentation == "first":
                self._present(torch.zeros_like(self.spikes[INPUT]))
            self._note_input(t)
            for layer in self.net:
                self._step(t, layer)
            self.log.readout(t, self.populations[self.net.readout.name].potential())
            goes_on = None if self.course.stop_when is None else self.log.stop(t, self.course.stop_when)
            if goes_on is not None and not goes_on.any():
                break
            if goes_on is not None:
                self._keep(goes_on)
        return self.log.output()

    def _note_input(self, t: int) -> None:
        self.log.spikes(t, INPUT, self.input_counts, self.spikes[INPUT])
        for consumer, operations in self.input_synops.items():
            self.log.synops(t, consumer, operations)

    def _keep(self, rows: NDArray[Any]) -> None:
        """Go on with some of the images only."""
        chosen = torch.as_tensor(rows).to(self.simulator.device)
        self.spikes = {INPUT: self.spikes[INPUT][chosen]}
        self.constant = {name: current[chosen] for name, current in self.constant.items()}
        self.input_counts = self.input_counts[rows]
        self.input_synops = {name: operations[rows] for name, operations in self.input_synops.items()}
        for neurons in self.populations.values():
            neurons.keep(rows)

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
        for consumer, fan_out in self.simulator.fan_outs[layer.name].items():
            self.log.synops(t, consumer, neurons.operations(fan_out))
