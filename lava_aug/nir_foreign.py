"""Graphs of NIR that other tools wrote, as floating-point networks of rate neurons.

Signals are sums of terms: the spikes of a layer behind one synapse. Linear nodes change the synapses of all terms that
reach them, and an ``IF`` node makes a layer of them.

Source: the nodes, their parameters and equations are those of nir 1.0.8, https://github.com/neuromorphs/NIR.
"""

import graphlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from lava_aug.composition import compact, compose, per_channel, scale_rows
from lava_aug.errors import FileError, LavaAugError
from lava_aug.layers import Conv, Dense, Relay, Scale, Shape, Sparse, SumPool, Synapse
from lava_aug.network import INPUT, Connection, Layer, Network
from lava_aug.neurons import RateNeuron, ReadoutNeuron
from lava_aug.nir_nodes import Graph
from lava_aug.pooling import folded_synapse

MAX_ELEMENTS = 1 << 26
"""Most elements of what a node sends."""

MAX_KERNEL = 1 << 26
"""Most weights of two convolutions as one."""

MAX_SIZE = 1 << 12
"""Largest window, stride, padding and dilation."""

MAX_TERMS = 64
"""Most paths between two neurons that have only linear nodes on them."""


class Term(NamedTuple):
    """``factor * synapse`` on the spikes of a layer."""

    source: str
    synapse: Synapse
    factor: float


class Signal(NamedTuple):
    """What a node sends: its shape, terms, and the bias that was added; the shape may be a flattened one."""

    shape: Shape
    terms: tuple[Term, ...]
    bias: np.ndarray | None


def network_of(graph: Graph, input_unit: float) -> tuple[Network, list[str]]:
    """The network that a graph stands for, and what was assumed of it.

    Raises
    ------
    FileError
        If a node has no counterpart here; the message names it.
    """
    importer = _Importer(graph, input_unit)
    for name in _in_order(graph):
        try:
            importer.add(name)
        except (LavaAugError, ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
            text = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise FileError(f"node {name!r} ({graph.nodes[name].kind}): {text}") from error
    return importer.network(), _assumptions(graph, input_unit)


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


def _assumptions(graph: Graph, input_unit: float) -> list[str]:
    found = [f"one unit of input payload stands for {input_unit:g} at the graph's input"]
    if any(node.kind == "IF" for node in graph.nodes.values()):
        found.append("IF neurons fire at v >= v_threshold, which is then taken off v")
    if any(node.kind == "Flatten" for node in graph.nodes.values()):
        found.append("Flatten joins all dimensions of a sample")
    return found


class _Importer:
    """The layers so far, and what every node sends."""

    def __init__(self, graph: Graph, input_unit: float) -> None:
        self.graph, self.input_unit = graph, input_unit
        self.signals: dict[str, Signal] = {}
        self.shapes: dict[str, Shape] = {}
        self.layers: list[Layer] = []

    def network(self) -> Network:
        try:
            return Network(input_shape=self.shapes[INPUT], layers=tuple(self.layers), method="nir")
        except LavaAugError as error:
            raise FileError(str(error)) from None

    def add(self, name: str) -> None:
        node = self.graph.nodes[name]
        if node.kind == "Input":
            self.signals[name] = self._sent(INPUT, _shape(node.fields["shape"]))
        elif node.kind in LINEAR:
            self.signals[name] = LINEAR[node.kind](self, node.fields, self._incoming(name))
        elif node.kind in NEURONS:
            self.signals[name] = NEURONS[node.kind](self, name, node.fields, self._incoming(name))
        else:
            raise FileError(f"unknown here; known are {sorted({'Input', *LINEAR, *NEURONS})}")
        if math.prod(self.signals[name].shape) > MAX_ELEMENTS:
            raise FileError(f"sends {self.signals[name].shape}, more than {MAX_ELEMENTS:,} elements")

    def _sent(self, name: str, shape: Shape) -> Signal:
        """The spikes of a layer as they are."""
        self.shapes[name] = shape
        return Signal(shape, (Term(name, Relay(), 1.0),), None)

    def _incoming(self, name: str) -> Signal:
        """The sum of all that goes to a node."""
        found = [self.signals[source] for source, target in self.graph.edges if target == name]
        shapes = {signal.shape for signal in found}
        if len(shapes) != 1:
            raise FileError(f"expected inputs of one shape, found {sorted(shapes)}")
        terms = tuple(term for signal in found for term in signal.terms)
        if len(terms) > MAX_TERMS:
            raise FileError(f"has {len(terms)} paths to it from other neurons, at most {MAX_TERMS} are read")
        biases = [signal.bias for signal in found if signal.bias is not None]
        return Signal(found[0].shape, terms, sum(biases[1:], biases[0]) if biases else None)

    # Linear nodes

    def through(self, signal: Signal, synapse: Synapse, bias: np.ndarray | None = None) -> Signal:
        """A linear map, and a bias for each channel, behind a signal."""
        shape = synapse.output_shape(signal.shape)
        if max(math.prod(shape), _padded(synapse, signal.shape)) > MAX_ELEMENTS:
            raise FileError(f"sends {shape}, or pads to more than {MAX_ELEMENTS:,} elements")
        total = None if bias is None else np.broadcast_to(bias.reshape(-1, *[1] * (len(shape) - 1)), shape)
        if signal.bias is not None:
            earlier = synapse.accumulate(np.broadcast_to(signal.bias, signal.shape)[None].astype(np.float64))[0]
            total = earlier if total is None else total + earlier
        return Signal(shape, tuple(self._behind(synapse, term, signal.shape) for term in signal.terms), total)

    def _behind(self, outer: Synapse, term: Term, shape: Shape) -> Term:
        wide = self.shapes[term.source]
        inner = term.synapse
        if isinstance(outer, Conv) and isinstance(inner, SumPool):
            size = [(k - 1) * d * s + w for k, d, s, w in zip(
                outer.window, outer.dilation, inner.stride, inner.kernel_size, strict=True)]  # fmt: skip
            if outer.weight[:, :, 0, 0].size * math.prod(size) > MAX_KERNEL:
                raise FileError("pooling and convolution make too large a kernel")
        found = compose(outer, inner, wide)
        if found is None and isinstance(inner, SumPool):
            found = folded_synapse(inner, outer, wide)
        if found is None:
            found = _mixed(outer, inner)
        if found is None or (isinstance(inner, Relay) and wide != shape and not isinstance(outer, Dense)):
            raise FileError(
                f"cannot be one with the {inner.type_name} in front of it; put an IF node between them, or merge them"
            )
        return term._replace(synapse=found)

    def connections(self, signal: Signal) -> tuple[Connection, ...]:
        """The synapses of a layer that takes a signal, in the shape that the signal has."""
        return tuple(Connection(term.source, self._whole(term, signal.shape)) for term in signal.terms)

    def _whole(self, term: Term, shape: Shape) -> Synapse:
        wide = self.shapes[term.source]
        factor = term.factor * (self.input_unit if term.source == INPUT else 1.0)
        synapse: Synapse | None = term.synapse
        if synapse.output_shape(wide) != shape:  # flattened
            gather = Sparse.from_scipy(scipy.sparse.identity(math.prod(shape)), shape)
            synapse = gather if isinstance(synapse, Relay) else compose(gather, synapse, wide)
        if synapse is not None and factor != 1:
            synapse = scale_rows(synapse, factor, wide)
        if synapse is None:
            raise FileError(f"cannot take what {term.synapse.type_name} and Flatten make; leave the Flatten out")
        return synapse

    # Neurons

    def layer(self, name: str, signal: Signal, neuron: Any) -> None:
        """Enter a layer under the name of a node."""
        bias = None if signal.bias is None or not signal.bias.any() else compact(signal.bias, signal.shape)
        free = name
        while free in self.shapes:
            free += "_"
        self.layers.append(
            Layer(name=free, connections=self.connections(signal), neuron=neuron, quantum=1.0, bias=bias)
        )
        self.signals[name] = self._sent(free, signal.shape)


def _mixed(outer: Synapse, inner: Synapse) -> Synapse | None:
    """A matrix on what another one gives, or on the channels of a convolution; None for anything else."""
    if isinstance(outer, Dense) and isinstance(inner, Dense) and outer.weight.shape[1] == len(inner.weight):
        return Dense(weight=outer.weight.astype(np.float64) @ inner.weight.astype(np.float64))
    if not (isinstance(outer, Conv) and isinstance(inner, Conv) and _is_pointwise(outer) and inner.groups == 1):
        return None
    weight = np.einsum("oi,ijkl->ojkl", outer.weight[:, :, 0, 0].astype(np.float64), inner.weight.astype(np.float64))
    return inner.replace(weight=weight)


def _is_pointwise(conv: Conv) -> bool:
    return (conv.window, conv.stride, conv.padding, conv.groups) == ((1, 1), (1, 1), (0, 0), 1)


def _padded(synapse: Synapse, shape: Shape) -> int:
    """Elements of what a window slides over."""
    padding = synapse.padding if isinstance(synapse, (Conv, SumPool)) else (0, 0)
    padded = (size + 2 * extra for size, extra in zip(shape[-2:], padding, strict=False))
    return math.prod((*shape[:-2], *padded))


# Linear nodes

Fields = dict[str, Any]


def _shape(found: Any) -> Shape:
    shape = tuple(int(size) for size in np.ravel(found))
    if not shape or min(shape) < 1 or math.prod(shape) > MAX_ELEMENTS:
        raise FileError(f"expected a shape of at most {MAX_ELEMENTS:,} elements, found {shape}")
    return shape


def _numbers(found: Any, name: str, shape: Shape | None = None) -> np.ndarray:
    """A parameter as float64, of a shape if that is known."""
    values = np.asarray(found)
    if values.dtype.kind not in "iuf" or not values.size or not np.isfinite(values).all():
        raise FileError(f"{name}: expected finite numbers, found {values.dtype} of shape {values.shape}")
    if shape is not None and values.shape != shape:
        values = values.reshape(()) if values.size == 1 else values
        if values.shape:
            raise FileError(f"{name}: expected shape {shape}, found {values.shape}")
    return values.astype(np.float64)


def _pair(found: Any, name: str) -> tuple[int, int]:
    values = np.ravel(np.asarray(found))
    if values.dtype.kind not in "iu" or values.size not in (1, 2) or values.max() > MAX_SIZE:
        raise FileError(f"{name}: expected one or two integers of at most {MAX_SIZE:,}, found {found!r}")
    return int(values[0]), int(values[-1])


def _matrix(importer: _Importer, fields: Fields, signal: Signal) -> Signal:
    weight = _numbers(fields["weight"], "weight")
    if weight.ndim != 2 or len(signal.shape) != 1:
        raise FileError(f"expected a matrix on one axis, found weights {weight.shape} on {signal.shape}; use Flatten")
    bias = _numbers(fields["bias"], "bias", weight.shape[:1]) if "bias" in fields else None
    return importer.through(signal, Dense(weight=weight), None if bias is None else _full(bias, len(weight)))


def _full(bias: np.ndarray, channels: int) -> np.ndarray:
    return np.broadcast_to(bias, (channels,))


def _conv2d(importer: _Importer, fields: Fields, signal: Signal) -> Signal:
    weight = _numbers(fields["weight"], "weight")
    stride, dilation = _pair(fields["stride"], "stride"), _pair(fields["dilation"], "dilation")
    return _convolved(importer, fields, signal, 3, weight, stride, dilation)


def _conv1d(importer: _Importer, fields: Fields, signal: Signal) -> Signal:
    weight = _numbers(fields["weight"], "weight")
    stride, dilation = _pair(fields["stride"], "stride"), _pair(fields["dilation"], "dilation")
    return _convolved(importer, fields, signal, 2, weight[:, :, None], (1, stride[1]), (1, dilation[1]))


def _convolved(
    importer: _Importer, fields: Fields, signal: Signal, ndim: int, weight: np.ndarray, stride: Any, dilation: Any
) -> Signal:
    if len(signal.shape) != ndim or weight.ndim != 4:
        raise FileError(f"expected {ndim} dimensions and a kernel, found {signal.shape} and weights {weight.shape}")
    padding = _padding(fields["padding"], weight.shape[2:], stride, dilation)
    conv = Conv(
        weight=weight,
        stride=stride,
        dilation=dilation,
        padding=padding if ndim == 3 else (0, padding[1]),
        groups=_pair(fields["groups"], "groups")[0],
    )
    bias = _numbers(fields["bias"], "bias", weight.shape[:1]) if "bias" in fields else None
    return importer.through(signal, conv, None if bias is None else _full(bias, len(weight)))


def _padding(found: Any, window: Any, stride: Any, dilation: Any) -> tuple[int, int]:
    """Numbers, or torch's words: ``valid``, and ``same`` for windows that have a middle."""
    if not isinstance(found, str):
        return _pair(found, "padding")
    spans = [d * (k - 1) for k, d in zip(window, dilation, strict=True)]
    if found == "same" and tuple(stride) == (1, 1) and not any(span % 2 for span in spans):
        return spans[0] // 2, spans[1] // 2
    if found != "valid":
        raise FileError(f"padding: expected numbers, 'valid', or 'same' for odd windows and stride 1, found {found!r}")
    return 0, 0


def _sum_pool(importer: _Importer, fields: Fields, signal: Signal) -> Signal:
    names = ("kernel_size", "stride", "padding")
    size, stride, padding = (_pair(fields[name], name) for name in names)
    return importer.through(signal, SumPool(kernel_size=size, stride=stride, padding=padding))


def _average_pool(importer: _Importer, fields: Fields, signal: Signal) -> Signal:
    """The sum, divided by the size of the window, padding included: torch's default."""
    found = _sum_pool(importer, fields, signal)
    factor = 1.0 / math.prod(_pair(fields["kernel_size"], "kernel_size"))
    terms = tuple(term._replace(factor=term.factor * factor) for term in found.terms)
    return found._replace(terms=terms, bias=None if found.bias is None else found.bias * factor)


def _scale(importer: _Importer, fields: Fields, signal: Signal) -> Signal:
    scale = np.broadcast_to(_numbers(fields["scale"], "scale"), signal.shape)
    channels = per_channel(scale, signal.shape)
    if channels is not None:
        return importer.through(signal, Scale(weight=channels))
    diagonal = scipy.sparse.diags(scale.reshape(-1))
    return importer.through(signal, Sparse.from_scipy(diagonal, signal.shape))


def _flatten(importer: _Importer, fields: Fields, signal: Signal) -> Signal:
    """All dimensions of a sample: from 0 if the batch is not counted, as in NIR, or from 1 if it is, as in torch."""
    start, end = (int(fields.get(name, default)) for name, default in (("start_dim", 1), ("end_dim", -1)))
    if start not in (0, 1) or end not in (-1, len(signal.shape) - 1, len(signal.shape)):
        raise FileError(f"expected to flatten all dimensions, found {start} to {end} of {signal.shape}")
    return signal._replace(
        shape=(math.prod(signal.shape),), bias=None if signal.bias is None else signal.bias.reshape(-1)
    )


LINEAR: dict[str, Callable[[_Importer, Fields, Signal], Signal]] = {
    "Affine": _matrix,
    "AvgPool2d": _average_pool,
    "Conv1d": _conv1d,
    "Conv2d": _conv2d,
    "Flatten": _flatten,
    "Linear": _matrix,
    "Scale": _scale,
    "SumPool2d": _sum_pool,
}


# Neurons


def _integrate_and_fire(importer: _Importer, name: str, fields: Fields, signal: Signal) -> Signal:
    """``dv/dt = r * I``: in units of ``r``, the threshold is ``v_threshold / r``."""
    r, vth = (_numbers(fields[key], key, signal.shape) for key in ("r", "v_threshold"))
    reset = _numbers(fields.get("v_reset", 0.0), "v_reset", signal.shape)
    if reset.any() or r.min() <= 0 or vth.min() <= 0:
        raise FileError(
            f"expected v_reset 0 and positive r and v_threshold, found v_reset from {reset.min():g} to "
            f"{reset.max():g}, r from {r.min():g}, v_threshold from {vth.min():g}"
        )
    scaled = compact(np.broadcast_to(vth / r, signal.shape), signal.shape)
    one = scaled.flat[0]
    importer.layer(name, signal, RateNeuron(vth=float(one) if (scaled == one).all() else scaled, v0=0.0))
    return importer.signals[name]


def _integrator(importer: _Importer, name: str, fields: Fields, signal: Signal) -> Signal:
    """In front of the output it is our readout."""
    behind = [importer.graph.nodes[target].kind for source, target in importer.graph.edges if source == name]
    if behind != ["Output"]:
        raise FileError(f"expected an integrator to go to the output, found {behind}")
    r = _numbers(fields["r"], "r", signal.shape)
    if (r != r.flat[0]).any():
        raise FileError("expected one r for all integrators of the readout")
    factor = float(r.flat[0])
    terms = tuple(term._replace(factor=term.factor * factor) for term in signal.terms)
    return signal._replace(terms=terms, bias=None if signal.bias is None else signal.bias * factor)


def _output(importer: _Importer, name: str, fields: Fields, signal: Signal) -> Signal:
    """Whatever comes out is added up over the time steps."""
    importer.layer(name, signal, ReadoutNeuron(floating=True))
    return importer.signals[name]


NEURONS: dict[str, Callable[[_Importer, str, Fields, Signal], Signal]] = {
    "I": _integrator,
    "IF": _integrate_and_fire,
    "Output": _output,
}
