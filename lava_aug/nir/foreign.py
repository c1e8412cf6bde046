"""NIR graphs written by other tools, as floating-point networks of rate neurons.

A node becomes part of a signal, as an operation of a PyTorch model does (`lava_aug.conversion.lowering`). But all
layers are the graph's own neurons: where the converter would put one between two linear maps, the graph is refused.

Source: the nodes, their parameters and equations are those of nir 1.0.8, https://github.com/neuromorphs/NIR.
"""

import dataclasses
import functools
import graphlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lava_aug.conversion.composition import along_channels, compact, merged, scale_rows
from lava_aug.conversion.lowering import Lowering
from lava_aug.conversion.methods import Needs
from lava_aug.conversion.signals import RELU, Signal, Term
from lava_aug.core.errors import FileError, LavaAugError
from lava_aug.core.layers import Conv, Dense, Shape, SumPool, Synapse
from lava_aug.core.network import INPUT, Connection, Layer, Network
from lava_aug.core.neurons import Neuron, RateNeuron, ReadoutNeuron
from lava_aug.core.texts import brief
from lava_aug.nir.nodes import Graph

MAX_ELEMENTS = 1 << 26
"""Most elements of what a node sends, and most weights of two convolutions as one."""

MAX_TERMS = 64
"""Most paths between two neurons that have only linear nodes on them."""

MAX_SIZE = 1 << 12
"""Largest window, stride, padding and dilation."""

MAX_DIMENSIONS = 8
"""Most dimensions of a shape."""


def network_of(graph: Graph, input_unit: float, dt: float) -> tuple[Network, list[str]]:
    """The network that a graph stands for, a time step being ``dt`` of its time, and what was assumed of it.

    Raises
    ------
    FileError
        If a node has no counterpart here; the message names it.
    """
    reading = _Reading(graph, input_unit, dt)
    for name in _in_order(graph):
        try:
            reading.add(name)
        except (LavaAugError, ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
            text = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise FileError(f"node {name!r} ({graph.nodes[name].kind}): {text}") from error
    return reading.network(), _assumptions(graph, input_unit, dt)


def _in_order(graph: Graph) -> list[str]:
    """Names of the nodes, sources first."""
    for kind in ("Input", "Output"):
        count = sum(node.kind == kind for node in graph.nodes.values())
        if count != 1:
            raise FileError(f"expected one node of type {kind!r}, found {count}")
    before: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        before[target].append(source)
    try:
        return list(graphlib.TopologicalSorter(before).static_order())
    except graphlib.CycleError as error:
        raise FileError(f"expected a graph without cycles, found one through {sorted(set(error.args[1]))}") from None


def _assumptions(graph: Graph, input_unit: float, dt: float) -> list[str]:
    assumptions = [f"one unit of input payload represents {input_unit:g} at the graph's input", *_gains(graph, dt)]
    if any(node.kind == "IF" for node in graph.nodes.values()):
        assumptions.append("IF neurons fire at v >= v_threshold, which is then subtracted from v")
    if any(node.kind == "Flatten" for node in graph.nodes.values()):
        assumptions.append("Flatten flattens all dimensions of a sample")
    return assumptions


def _gains(graph: Graph, dt: float) -> list[str]:
    """What is said of r: some tools write 1 / dt, and leave it to the reader to know their dt."""
    values = [np.ravel(node.fields["r"]) for node in graph.nodes.values() if node.kind in ("I", "IF")]
    r = np.unique(np.concatenate(values)) if values else np.ones(0)
    if not (r * dt != 1).any():
        return []
    each = f"{r[0]:g}" if len(r) == 1 else f"{r[0]:g} to {r[-1]:g}"
    advice = f"; if the tool that wrote it has steps of 1 / r, give dt={1 / r[0]:g}" if len(r) == 1 else ""
    return [f"in each time step r * dt of the input current is added to v, with r = {each} and dt = {dt:g}{advice}"]


# From nodes to layers


class _Neurons(Lowering):
    """Lowering that makes no layers but those it is told to: linear maps become one, or are refused."""

    def composed(self, synapse: Synapse, term: Term, between: Shape, name: str) -> Term:
        """Also matrices, and pooling with what follows it, whatever that costs."""
        joined = merged(synapse, term.synapse, self.shapes[term.source], MAX_ELEMENTS)
        if joined is None:
            raise FileError(
                f"cannot be one with the {term.synapse.type_name} in front of it; put an IF node between them, or "
                "merge them"
            )
        return dataclasses.replace(term, synapse=joined)

    def neurons(self, signal: Signal, name: str) -> Signal:
        """What the layer of a node sends, in the shape in which the node sees it."""
        try:
            signal = self.as_seen(signal)
        except FileError:
            kinds = " and ".join(sorted({term.synapse.type_name for term in signal.terms}))
            raise FileError(f"cannot take what {kinds} and Flatten make; leave the Flatten out") from None
        return self.activated(signal, RELU, name, signal.node)


class _Reading:
    """What the nodes of a graph send, and the layers so far."""

    def __init__(self, graph: Graph, input_unit: float, dt: float) -> None:
        self.graph, self.input_unit, self.dt = graph, input_unit, dt
        self.lowering = _Neurons((), Needs())
        self.signals: dict[str, Signal] = {}
        self.layers: list[Layer] = []

    def network(self) -> Network:
        try:
            return Network(input_shape=self.lowering.shapes[INPUT], layers=tuple(self.layers), method="nir")
        except LavaAugError as error:
            raise FileError(str(error)) from None

    def add(self, name: str) -> None:
        """Find what a node sends."""
        node = self.graph.nodes[name]
        if node.kind == "Input":
            self.lowering.shapes[INPUT] = _shape(node.fields["shape"])
            self.signals[name] = self.lowering.images(name)
        elif node.kind in NODES:
            self.signals[name] = NODES[node.kind](Step(self, name, node.fields), self._incoming(name))
        else:
            raise FileError(f"unknown here; known are {sorted({'Input', *NODES})}")

    def _incoming(self, name: str) -> Signal:
        """The sum of all that goes to a node."""
        incoming = [self.signals[source] for source, target in self.graph.edges if target == name]
        shapes = {signal.view for signal in incoming}
        if len(shapes) != 1:
            raise FileError(f"expected inputs of one shape, found {sorted(shapes)}")
        total = self.lowering.added(incoming, name, f"{name}_")
        if len(total.terms) > MAX_TERMS:
            raise FileError(f"has {len(total.terms)} paths to it from other neurons, at most {MAX_TERMS} are read")
        return total

    def layer(self, name: str, signal: Signal, neuron: Neuron) -> Signal:
        """Enter a layer under the name of a node; what it sends."""
        sent = self.lowering.neurons(signal, name)
        made = self.lowering.layers[sent.name]
        bias = None if made.bias is None or not made.bias.any() else compact(made.bias, made.shape)
        connections = tuple(Connection(term.source, self._whole(term)) for term in made.terms)
        self.layers.append(Layer(name=made.name, connections=connections, neuron=neuron, quantum=1.0, bias=bias))
        return sent

    def _whole(self, term: Term) -> Synapse:
        """A term as a synapse for spikes."""
        factor = term.gain * (self.input_unit if term.source == INPUT else 1.0)
        wide = self.lowering.shapes[term.source]
        scaled = term.synapse if factor == 1 else scale_rows(term.synapse, factor, wide)
        assert scaled is not None  # a number scales any synapse
        return scaled.with_dtype(np.float32)


# Nodes

Fields = dict[str, Any]


class Step(NamedTuple):
    """One node on its way to becoming part of a signal, or a layer."""

    reading: _Reading
    name: str
    fields: Fields

    def linear(self, x: Signal, synapse: Synapse, gain: float = 1.0) -> Signal:
        """``gain * synapse(x) + bias``, with the node's bias, if it has one."""
        shape = synapse.output_shape(x.view)
        if math.prod(shape) > MAX_ELEMENTS:
            raise FileError(f"sends {shape}, more than {MAX_ELEMENTS:,} elements")
        bias = _numbers(self.fields["bias"], "bias", shape[:1]) if "bias" in self.fields else None
        column = None if bias is None else along_channels(bias, shape)
        return self.reading.lowering.linear(x, synapse, self.name, self.name, bias=column, gain=gain)


def _shape(stored: Any) -> Shape:
    values = np.ravel(np.asarray(stored))
    # Its length first: a file may claim a shape of millions of dimensions.
    if not 1 <= values.size <= MAX_DIMENSIONS or values.dtype.kind not in "iu" or values.min() < 1:
        raise FileError(f"expected a shape of at most {MAX_DIMENSIONS} dimensions, found {brief(values)}")
    shape = tuple(values.tolist())
    if math.prod(shape) > MAX_ELEMENTS:
        raise FileError(f"expected a shape of at most {MAX_ELEMENTS:,} elements, found {shape}")
    return shape


def _numbers(stored: Any, name: str, shape: Shape | None = None) -> NDArray[Any]:
    """A parameter as float64, of a shape if that is known."""
    values = np.asarray(stored)
    if values.dtype.kind not in "iuf" or not values.size or not np.isfinite(values).all():
        raise FileError(f"{name}: expected finite numbers, found {values.dtype} of shape {values.shape}")
    if shape is not None and values.shape != shape:
        values = values.reshape(()) if values.size == 1 else values
        if values.shape:
            raise FileError(f"{name}: expected shape {shape}, found {values.shape}")
    return values.astype(np.float64)


def _pair(stored: Any, name: str) -> tuple[int, int]:
    values = np.ravel(np.asarray(stored))
    if values.dtype.kind not in "iu" or values.size not in (1, 2) or values.max() > MAX_SIZE:
        raise FileError(f"{name}: expected one or two integers of at most {MAX_SIZE:,}, found {brief(values)}")
    return int(values[0]), int(values[-1])


def _matrix(step: Step, x: Signal) -> Signal:
    weight = _numbers(step.fields["weight"], "weight")
    if weight.ndim != 2 or len(x.view) != 1:
        raise FileError(f"expected a matrix on one axis, found weights {weight.shape} on {x.view}; use Flatten")
    return step.linear(x, Dense(weight=weight))


def _convolution(step: Step, x: Signal, ndim: int) -> Signal:
    """On maps, or on rows, which are maps of height 1."""
    fields, weight = step.fields, _numbers(step.fields["weight"], "weight")
    stride, dilation = _pair(fields["stride"], "stride"), _pair(fields["dilation"], "dilation")
    if ndim == 2:
        weight, stride, dilation = weight[:, :, None], (1, stride[1]), (1, dilation[1])
    if len(x.view) != ndim or weight.ndim != 4:
        raise FileError(f"expected {ndim} dimensions and a kernel, found {x.view} and weights {weight.shape}")
    padding = _padding(fields["padding"], weight.shape[2:], stride, dilation)
    padding = (0, padding[1]) if ndim == 2 else padding
    groups, _ = _pair(fields["groups"], "groups")
    _check_padded(x.view, padding)
    return step.linear(x, Conv(weight=weight, stride=stride, dilation=dilation, padding=padding, groups=groups))


def _padding(padding: Any, window: Any, stride: Any, dilation: Any) -> tuple[int, int]:
    """Numbers, or torch's words: ``valid``, and ``same`` for windows that have a middle."""
    if not isinstance(padding, str):
        return _pair(padding, "padding")
    spans = [d * (k - 1) for k, d in zip(window, dilation, strict=True)]
    if padding == "same" and tuple(stride) == (1, 1) and not any(span % 2 for span in spans):
        return spans[0] // 2, spans[1] // 2
    if padding != "valid":
        raise FileError(
            f"padding: expected numbers, 'valid', or 'same' for odd windows and stride 1, found {brief(padding)}"
        )
    return 0, 0


def _check_padded(shape: Shape, padding: tuple[int, int]) -> None:
    sides = (size + 2 * extra for size, extra in zip(shape[-2:], padding, strict=False))
    if math.prod((*shape[:-2], *sides)) > MAX_ELEMENTS:
        raise FileError(f"pads {shape} to more than {MAX_ELEMENTS:,} elements")


def _sum_pool(step: Step, x: Signal, gain: float = 1.0) -> Signal:
    size, stride, padding = (_pair(step.fields[name], name) for name in ("kernel_size", "stride", "padding"))
    _check_padded(x.view, padding)
    return step.linear(x, SumPool(kernel_size=size, stride=stride, padding=padding), gain)


def _average_pool(step: Step, x: Signal) -> Signal:
    """The sum, divided by the size of the window, padding included: torch's default."""
    return _sum_pool(step, x, 1.0 / math.prod(_pair(step.fields["kernel_size"], "kernel_size")))


def _scale(step: Step, x: Signal) -> Signal:
    factors = np.broadcast_to(_numbers(step.fields["scale"], "scale").astype(np.float32), x.view)
    return step.reading.lowering.scaled(x, factors, step.name, step.name)


def _flatten(step: Step, x: Signal) -> Signal:
    """All dimensions of a sample: from 0 if the batch is not counted, as in NIR, or from 1 if it is, as in torch."""
    start, end = (int(step.fields.get(name, default)) for name, default in (("start_dim", 1), ("end_dim", -1)))
    if start not in (0, 1) or end not in (-1, len(x.view) - 1, len(x.view)):
        raise FileError(f"expected to flatten all dimensions, found {start} to {end} of {x.view}")
    return dataclasses.replace(x, view=(math.prod(x.view),))


def _integrate_and_fire(step: Step, x: Signal) -> Signal:
    """``dv/dt = r * I``: in units of ``r * dt``, the threshold is ``v_threshold / (r * dt)``."""
    r, vth = (_numbers(step.fields[key], key, x.view) for key in ("r", "v_threshold"))
    reset = _numbers(step.fields.get("v_reset", 0.0), "v_reset", x.view)
    if reset.any() or r.min() <= 0 or vth.min() <= 0:
        raise FileError(
            f"expected v_reset 0 and positive r and v_threshold, found v_reset from {reset.min():g} to "
            f"{reset.max():g}, r from {r.min():g}, v_threshold from {vth.min():g}"
        )
    scaled = compact(np.broadcast_to(vth / (r * step.reading.dt), x.view), x.view)
    one = scaled.flat[0]
    return step.reading.layer(step.name, x, RateNeuron(vth=float(one) if (scaled == one).all() else scaled, v0=0.0))


def _integrator(step: Step, x: Signal) -> Signal:
    """In front of the output it is our readout."""
    graph = step.reading.graph
    behind = [graph.nodes[target].kind for source, target in graph.edges if source == step.name]
    if behind != ["Output"]:
        raise FileError(f"expected an integrator to go to the output, found {behind}")
    r = _numbers(step.fields["r"], "r", x.view)
    if (r != r.flat[0]).any():
        raise FileError("expected one r for all integrators of the readout")
    return step.reading.lowering.scaled(x, float(r.flat[0]) * step.reading.dt, step.name, step.name)


def _output(step: Step, x: Signal) -> Signal:
    """Whatever comes out is added up over the time steps."""
    return step.reading.layer(step.name, x, ReadoutNeuron(floating=True))


NODES: dict[str, Callable[[Step, Signal], Signal]] = {
    "Affine": _matrix,
    "AvgPool2d": _average_pool,
    "Conv1d": functools.partial(_convolution, ndim=2),
    "Conv2d": functools.partial(_convolution, ndim=3),
    "Flatten": _flatten,
    "I": _integrator,
    "IF": _integrate_and_fire,
    "Linear": _matrix,
    "Output": _output,
    "Scale": _scale,
    "SumPool2d": _sum_pool,
}
"""What nodes make of what comes in, by type."""
