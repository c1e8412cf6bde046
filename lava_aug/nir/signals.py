"""The outputs of the nodes of another tool's graph, in our terms.

Signals are sums of terms: the spikes of a layer behind one synapse. Linear nodes change the synapses of all terms that
reach them, and neurons make a layer of them.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from lava_aug.conversion.composition import compact, compose, scale_rows
from lava_aug.conversion.pooling import folded_synapse
from lava_aug.core.errors import FileError, LavaAugError
from lava_aug.core.layers import Conv, Dense, Relay, Shape, Sparse, SumPool, Synapse
from lava_aug.core.network import INPUT, Connection, Layer, Network
from lava_aug.nir.nodes import Graph

MAX_ELEMENTS = 1 << 26
"""Most elements of what a node sends."""

MAX_KERNEL = 1 << 26
"""Most weights of two convolutions as one."""

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
    bias: NDArray[Any] | None


class Signals:
    """The layers so far, and what every node sends."""

    def __init__(self, graph: Graph, input_unit: float, dt: float) -> None:
        self.graph, self.input_unit, self.dt = graph, input_unit, dt
        self.of: dict[str, Signal] = {}
        self.shapes: dict[str, Shape] = {}
        self.layers: list[Layer] = []

    def network(self) -> Network:
        try:
            return Network(input_shape=self.shapes[INPUT], layers=tuple(self.layers), method="nir")
        except LavaAugError as error:
            raise FileError(str(error)) from None

    def sent(self, name: str, shape: Shape) -> Signal:
        """The spikes of a layer as they are."""
        self.shapes[name] = shape
        return Signal(shape, (Term(name, Relay(), 1.0),), None)

    def incoming(self, name: str) -> Signal:
        """The sum of all that goes to a node."""
        found = [self.of[source] for source, target in self.graph.edges if target == name]
        shapes = {signal.shape for signal in found}
        if len(shapes) != 1:
            raise FileError(f"expected inputs of one shape, found {sorted(shapes)}")
        terms = tuple(term for signal in found for term in signal.terms)
        if len(terms) > MAX_TERMS:
            raise FileError(f"has {len(terms)} paths to it from other neurons, at most {MAX_TERMS} are read")
        biases = [signal.bias for signal in found if signal.bias is not None]
        return Signal(found[0].shape, terms, sum(biases[1:], biases[0]) if biases else None)

    # Linear nodes

    def through(self, signal: Signal, synapse: Synapse, bias: NDArray[Any] | None = None) -> Signal:
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
        pair = type(outer), type(inner)
        if pair in _SIZES and _SIZES[pair](outer, inner) > MAX_KERNEL:
            raise FileError("pooling and convolution make too large a kernel")
        found = compose(outer, inner, wide) or folded_synapse(inner, outer, wide)
        if found is None and pair in _MIXED:
            found = _MIXED[pair](outer, inner)
        if found is None or (inner.is_identity and wide != shape and not outer.flattens):
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
            synapse = gather if synapse.is_identity else compose(gather, synapse, wide)
        if synapse is not None and factor != 1:
            synapse = scale_rows(synapse, factor, wide)
        if synapse is None:
            raise FileError(f"cannot take what {term.synapse.type_name} and Flatten make; leave the Flatten out")
        return synapse

    # Neurons

    def layer(self, name: str, signal: Signal, neuron: Any) -> Signal:
        """Enter a layer under the name of a node; what it sends."""
        bias = None if signal.bias is None or not signal.bias.any() else compact(signal.bias, signal.shape)
        free = name
        while free in self.shapes:
            free += "_"
        self.layers.append(
            Layer(name=free, connections=self.connections(signal), neuron=neuron, quantum=1.0, bias=bias)
        )
        return self.sent(free, signal.shape)


def _kernel_size(outer: Conv, pool: SumPool) -> int:
    """Weights of a convolution that takes up the pooling before it."""
    sides = zip(outer.window, outer.dilation, pool.stride, pool.kernel_size, strict=True)
    return outer.weight[:, :, 0, 0].size * math.prod((k - 1) * d * s + w for k, d, s, w in sides)


def _mixed_dense(outer: Dense, inner: Dense) -> Dense | None:
    """A matrix on what another one gives."""
    if outer.weight.shape[1] != len(inner.weight):
        return None
    return Dense(weight=outer.weight.astype(np.float64) @ inner.weight.astype(np.float64))


def _mixed_channels(outer: Conv, inner: Conv) -> Conv | None:
    """A matrix on the channels of a convolution."""
    if not _is_pointwise(outer) or inner.groups != 1:
        return None
    weight = np.einsum("oi,ijkl->ojkl", outer.weight[:, :, 0, 0].astype(np.float64), inner.weight.astype(np.float64))
    return inner.replace(weight=weight)


def _is_pointwise(conv: Conv) -> bool:
    return (conv.window, conv.stride, conv.padding, conv.groups) == ((1, 1), (1, 1), (0, 0), 1)


def _padded(synapse: Synapse, shape: Shape) -> int:
    """Elements of what a window slides over."""
    padding = _PADDING[type(synapse)](synapse) if type(synapse) in _PADDING else (0, 0)
    padded = (size + 2 * extra for size, extra in zip(shape[-2:], padding, strict=False))
    return math.prod((*shape[:-2], *padded))


_Pair = tuple[type[Synapse], type[Synapse]]

_SIZES: dict[_Pair, Callable[[Any, Any], int]] = {(Conv, SumPool): _kernel_size}
"""Weights of what two synapses, outer and inner, make as one, where that may be far more than both have."""

_MIXED: dict[_Pair, Callable[[Any, Any], Synapse | None]] = {
    (Dense, Dense): _mixed_dense,
    (Conv, Conv): _mixed_channels,
}
"""Two synapses as one, beyond what `compose` does for models."""

_PADDING: dict[type[Synapse], Callable[[Any], tuple[int, int]]] = dict.fromkeys((Conv, SumPool), lambda s: s.padding)
