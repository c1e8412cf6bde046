"""How far a converted network is from its model, layer by layer, and why."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.conversion.calibration import PERCENTILE, Calibration, as_intensity, measure
from lava_aug.conversion.float_layers import FloatGraph
from lava_aug.conversion.methods import METHODS
from lava_aug.conversion.onnx_files import Model, as_module
from lava_aug.conversion.reach import within_reach
from lava_aug.conversion.tracing import trace
from lava_aug.core.errors import InputError
from lava_aug.core.images import Images, Payloads, Progress, check_num_steps
from lava_aug.core.network import INPUT, INPUT_LEVELS, Layer, Network
from lava_aug.core.tables import Table, Tabular
from lava_aug.core.texts import brief, counted, plain
from lava_aug.core.walks import images_per_batch, walk
from lava_aug.kernels.batches import batch_form
from lava_aug.simulation.courses import Course
from lava_aug.simulation.simulator import Simulator
from lava_aug.training.students import Student

PARTS = ("clipping", "weights", "time")
"""What an error is made of."""


@dataclasses.dataclass(frozen=True)
class LayerError:
    """The error of one layer, as fractions of the root mean square of the model's activations there.

    Attributes
    ----------
    name : str
        The layer.
    size : float
        Root mean square of the model's activations.
    total : float
        Of ``decoded spikes - activations``, including the error propagated from previous layers.
    added : float
        ``total``, minus that of the worst of its source layers.
    clipping : float
        The part that is lost because a neuron fires at most once per step, or a payload is limited.
    weights : float
        The part caused by rounding weights, biases and thresholds.
    time : float
        The part that remains in the membrane potentials after the last step: it decreases with more steps and with a
        finer resolution.
    """

    name: str
    size: float
    total: float
    added: float
    clipping: float
    weights: float
    time: float


@dataclasses.dataclass(frozen=True, repr=False)
class Diagnosis(Tabular):
    """Errors of all layers; `str` returns a table of them, the worst first."""

    num_steps: int
    num_images: int
    layers: tuple[LayerError, ...]

    @property
    def worst(self) -> tuple[LayerError, ...]:
        """The layers by the error that they add, largest first."""
        return tuple(sorted(self.layers, key=lambda layer: -layer.added))

    @property
    def parts(self) -> tuple[str, ...]:
        """What errors are made of: the names of these attributes of a `LayerError`."""
        return PARTS

    def _facts(self) -> str:
        steps, images, worst = counted(self.num_steps, "step"), counted(self.num_images, "image"), self.worst[0]
        return (
            f"{counted(len(self.layers), 'layer')}, {steps}, {images}, "
            f"most added by {brief(worst.name)}, {100 * worst.added:.2f} %"
        )

    def tables(self) -> tuple[Table]:
        """Errors in percent, the worst layer first."""
        head = ["layer", "added (%)", "total (%)", *(f"{part} (%)" for part in PARTS), "rms of activations"]
        steps, images = counted(self.num_steps, "step"), counted(self.num_images, "image")
        caption = f"errors after {steps} on {images}, relative to the activations' rms"
        return (Table(head, [self._row(layer) for layer in self.worst], caption),)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; layers in the order of the network, errors as fractions."""
        return plain(self)

    @staticmethod
    def _row(layer: LayerError) -> list[str]:
        errors = (layer.added, layer.total, *(getattr(layer, part) for part in PARTS))
        return [layer.name, *(f"{100 * error:.2f}" for error in errors), f"{layer.size:.4g}"]


def diagnose(
    net: Network | Student,
    model: Model,
    images: Images,
    num_steps: int | None = None,
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Diagnosis:
    """Compare decoded spikes with the model's activations, in every layer, and split the error into its causes.

    With ``x`` the model's activations, ``q`` those of the network's integer weights without clipping and after
    infinitely many steps, ``c`` the same with clipping, and ``d`` the decoded spikes ``n * quantum / num_steps``::

        d - x = (q - x) + (c - q) + (d - c) = weights + clipping + time

    Parameters
    ----------
    net : Network or Student
        From `lava_aug.convert` or `lava_aug.trainable`.
    model : torch.nn.Module or path
        The original model. Its images are normalised with ``net.normalize``.
    images : Images
        As for `lava_aug.simulate`.
    num_steps : int, optional
        Time steps per image; default ``net.num_steps``.
    batch_size, progress
        As for `lava_aug.simulate`.

    Returns
    -------
    Diagnosis
        Errors of every layer.

    Raises
    ------
    InputError
        If the network was not converted from the model, or as `lava_aug.simulate`.
    ConversionError
        If the model cannot be converted.
    """
    net = net.network() if isinstance(net, Student) else net
    x, steps = Payloads(net, images), check_num_steps(net, num_steps)
    graph: FloatGraph | None = None
    sums = {layer.name: np.zeros(5) for layer in net}
    ideal, simulator = _Ideal(net), Simulator(net)
    for batch in x.batches(images_per_batch(net, batch_size), progress):
        graph = graph or _graph(net, model, batch)
        decoded = _decoded(simulator, batch, steps)
        wanted = (value for _, _, value in graph.run(torch.tensor(batch) / INPUT_LEVELS))
        ideals = (ideal.run(batch, clip=clip) for clip in (False, True))
        for layer, *values in zip(net, wanted, *ideals, strict=True):
            parts = (value.double() for value in (*values, decoded.pop(layer.name)))
            sums[layer.name] += [_squares(part) for part in _differences(*parts)]
    return Diagnosis(steps, x.count, tuple(_errors(net, sums, x.count)))


def _graph(net: Network, model: Model, x: NDArray[Any]) -> FloatGraph:
    """The model's layers, which are the network's in the same order; ``x`` are the payloads of some images.

    Functions grow no further than these images need, as those of the network do for its calibration images.
    """
    if net.method not in METHODS:
        raise InputError(f"diagnose: expected a network from convert, found method {net.method!r}")
    model = as_module(model, net.inputs)
    data = Calibration(x.astype(np.uint8), PERCENTILE, per_channel=False, batch_size=len(x))
    graph = trace(model, as_intensity(data.images[:2]), METHODS[net.method].needs, net.normalize)
    made = {layer.name: layer.shape for layer in graph.layers}
    if list(made.items()) != [(layer.name, net.shapes[layer.name]) for layer in net]:
        raise InputError(
            "diagnose: the network was not converted from this model: their layers are "
            f"{[layer.name for layer in net]} and {list(made)}"
        )
    return within_reach(graph, measure(graph, data, check=False), data)[0]


def _decoded(simulator: Simulator, x: NDArray[Any], num_steps: int) -> dict[str, torch.Tensor]:
    """Mean coefficient of every neuron after all steps (readout: mean of ``v``), in the model's units."""
    net = simulator.net
    totals: dict[str, torch.Tensor] = {}

    def look(layer: Layer, a: torch.Tensor, s: torch.Tensor, v: NDArray[Any]) -> None:
        del a
        if layer.neuron.fires:
            totals[layer.name] = totals[layer.name] + s if layer.name in totals else s.double()
        else:
            totals[layer.name] = torch.tensor(v).double()

    simulator.run(x, Course(num_steps), look)
    return {name: total / num_steps * _tensor(net[name].quantum) for name, total in totals.items()}


def _tensor(value: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(value, np.float64))


class _Ideal:
    """A network as an ANN: its integer weights, but real-valued activations."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.kernels = {
            layer.name: [batch_form(c.synapse, torch.float64, "cpu") for c in layer.connections] for layer in net
        }

    @torch.no_grad()  # pyright: ignore[reportUntypedFunctionDecorator]: torch's
    def run(self, x: NDArray[Any], *, clip: bool) -> Iterator[torch.Tensor]:
        """Activations of every layer in order, in the model's units."""

        def give(layer: Layer, current: torch.Tensor) -> torch.Tensor:
            return layer.neuron.mean(current, clip=clip)

        for layer, _, value in walk(self.net, torch.tensor(x).double(), self._current, give):
            yield value * _tensor(layer.quantum)

    def _current(self, layer: Layer, sent: list[torch.Tensor]) -> torch.Tensor:
        currents = (kernel(values) for kernel, values in zip(self.kernels[layer.name], sent, strict=True))
        total = sum(currents, torch.zeros(()))
        return total if layer.bias is None else total + _tensor(layer.bias)


def _differences(x: Any, q: Any, c: Any, d: Any) -> tuple[Any, ...]:
    return x, d - x, c - q, q - x, d - c


def _squares(values: torch.Tensor) -> float:
    return float((values**2).sum())


def _errors(net: Network, sums: dict[str, NDArray[Any]], num_images: int) -> Iterator[LayerError]:
    totals = {INPUT: 0.0}
    for layer in net:
        size, *errors = np.sqrt(sums[layer.name])
        total, clipping, weights, time = (float(error / (size or 1.0)) for error in errors)
        totals[layer.name] = total
        added = total - max(totals[source] for source in layer.sources)
        count = num_images * math.prod(net.shapes[layer.name])
        yield LayerError(layer.name, float(size / np.sqrt(count)), total, added, clipping, weights, time)
