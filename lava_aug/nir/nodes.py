"""A network as nodes of NIR, the Neuromorphic Intermediate Representation.

The nodes are kept as NIR's files have them (a type and its parameters), so that reading needs no package ``nir``.

A layer becomes one node or several for each of its synapses, and one ``IF`` node for its neurons; the currents of
several edges into a node add up. Of all the nodes that NIR has, those are used that other tools run: none of norse 1.1,
sinabs 3.1, snnTorch 1.0 and nirtorch 2.6 reads ``Scale``, ``I`` or a convolution with groups. So grouped convolutions
are written out with zeros, scales are 1x1 convolutions or matrices, and the sum over time that a readout is stays with
the reader. What has no such form becomes a matrix on flattened spikes, if it is small.

Source: the nodes and their parameters are those of nir 1.0.8, https://github.com/neuromorphs/NIR (``nir/ir``).
"""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.constant_channel import differs_by_place, with_constant_channel
from lava_aug.core.errors import ExportError, NetworkError
from lava_aug.core.layers import Conv, Dense, Relay, Scale, Shape, SumPool, Synapse
from lava_aug.core.network import INPUT, Layer, Network
from lava_aug.core.neurons import (
    AugmentedNeuron,
    DoubleThresholdNeuron,
    MaxPoolNeuron,
    Neuron,
    ProductNeuron,
    RateNeuron,
)
from lava_aug.core.synapse import per_channel

MAX_WEIGHTS = 1 << 24
"""Most weights that a node may have which stands for a synapse that NIR has no node for."""

FINEST_MARGIN = 2.0**-8
"""How far the threshold of an ``IF`` node is below ``vth``, if float32 has room for it: see `threshold`."""


class Node(NamedTuple):
    """A node as it is stored: ``type``, and the other datasets by name."""

    kind: str
    fields: dict[str, Any]


class Graph(NamedTuple):
    """Nodes by name, and edges between them."""

    nodes: dict[str, Node]
    edges: list[tuple[str, str]]


def graph_of(net: Network) -> Graph:
    """The nodes and edges that a network becomes.

    NIR's nodes have one bias for each channel. A network whose first layer has others gets one more input channel,
    which must be 1 in every step (`lava_aug.core.constant_channel`).

    Raises
    ------
    ExportError
        If a layer can be said neither with NIR's nodes nor as a matrix of at most `MAX_WEIGHTS` weights.
    """
    with suppress(NetworkError):  # else what can be a matrix becomes one
        net = with_constant_channel(net)
    builder = _Builder(net)
    for layer in net:
        try:
            builder.add(layer)
        except ExportError as error:
            raise ExportError(f"layer {layer.name!r}: {error}") from None
    return builder.graph


class _Builder:
    """The graph so far: ``sources`` are the nodes that send a layer's spikes, ``shapes`` how NIR sees those."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.graph = Graph({}, [])
        self.shapes = {INPUT: net.input_shape}
        self.sources = {INPUT: self.node("input", Node("Input", {"shape": np.array(net.input_shape)}))}
        self.node("output", Node("Output", {}))

    def node(self, wanted: str, node: Node) -> str:
        """Enter a node under a name that HDF5 and Python can both have, and that nobody else has."""
        name = re.sub(r"\W", "_", wanted, flags=re.ASCII)
        while name in self.graph.nodes:
            name += "_"
        self.graph.nodes[name] = node
        return name

    def add(self, layer: Layer) -> None:
        shape = self.net.current_shapes[layer.name]
        chains = self._chains(layer, shape)
        if chains is None:
            shape = (math.prod(shape),)
            try:
                chains = list(self._matrices(layer, shape))
            except ExportError as error:
                raise ExportError(f"{error}{self._cause(layer)}") from None
        ends = [
            self._chain(source, chain, f"{layer.name}_{k}" if len(chains) > 1 else layer.name)
            for k, ((source, _), chain) in enumerate(zip(layer.connections, chains, strict=True))
        ]
        self.shapes[layer.name] = shape
        self.sources[layer.name] = self._neuron(layer, shape, ends)

    def _cause(self, layer: Layer) -> str:
        """Why a layer that has nodes of its own would be a matrix all the same."""
        if layer.bias is not None and differs_by_place(layer.bias, self.net.current_shapes[layer.name]):
            return "; its bias differs from place to place, which NIR's convolutions cannot have"
        flat = [c.source for c in layer.connections if self.shapes[c.source] != self.net.shapes[c.source]]
        return f"; layer {flat[0]!r} before it became a matrix, so that its maps are flattened" if flat else ""

    def _chain(self, source: str, chain: list[Node], name: str) -> str:
        end = self.sources[source]
        for node in chain:
            suffix = "flatten" if node.kind == "Flatten" else "weight"
            behind = self.node(f"{name}_{suffix}", node)
            self.graph.edges.append((end, behind))
            end = behind
        return end

    def _neuron(self, layer: Layer, shape: Shape, ends: list[str]) -> str:
        if not layer.neuron.fires:
            if len(ends) > 1:  # not every tool adds up what goes to its output
                total = self.node(f"{layer.name}_sum", _identity(shape))
                self.graph.edges.extend((end, total) for end in ends)
                ends = [total]
            self.graph.nodes["output"].fields["shape"] = np.array(shape)
            self.graph.edges.append((ends[0], "output"))
            return "output"
        name = self.node(layer.name, neuron_node(layer.neuron, self.net.current_shapes[layer.name], shape))
        self.graph.edges.extend((end, name) for end in ends)
        return name

    def _chains(self, layer: Layer, shape: Shape) -> list[list[Node]] | None:
        """The nodes of every connection; None if one of them needs a matrix, or the bias no longer fits to the map."""
        chains: list[list[Node]] = []
        for source, synapse in layer.connections:
            wide = self.net.shapes[source]
            if self.shapes[source] != wide and not (synapse.flattens and len(shape) == 1):
                return None
            rule = FORMS.get(type(synapse))
            chain = None if rule is None else rule(synapse, self.shapes[source], shape)
            if chain is None:
                return None
            chains.append(chain)
        return _with_bias(chains, layer, shape) if _no_double_edges(layer, chains) else None

    def _matrices(self, layer: Layer, shape: Shape) -> Iterator[list[Node]]:
        """Every connection as a matrix on flattened spikes, the bias with the first one."""
        bias = None if layer.bias is None else np.broadcast_to(layer.bias, self.net.current_shapes[layer.name])
        for k, (source, synapse) in enumerate(layer.connections):
            nodes = _on_one_axis(matrix(synapse, self.net.shapes[source]), self.shapes[source])
            if k == 0 and bias is not None and bias.any():
                nodes[-1] = _biased(nodes[-1], bias.reshape(-1))
            yield nodes


def _no_double_edges(layer: Layer, chains: list[list[Node]]) -> bool:
    """NIR has one edge at most between two nodes: a source that is passed on twice as it is needs matrices."""
    direct = [source for (source, _), chain in zip(layer.connections, chains, strict=True) if not chain]
    return len(direct) == len(set(direct))


def _with_bias(chains: list[list[Node]], layer: Layer, shape: Shape) -> list[list[Node]] | None:
    """The bias put into the first node that can have one, or into one more."""
    if layer.bias is None:
        return chains
    channels = per_channel(layer.bias, shape)
    if channels is None or len(shape) > 3:
        return None
    for chain in chains:
        if chain and "weight" in chain[-1].fields:
            chain[-1] = _biased(chain[-1], channels)
            return chains
    chains[0].append(_biased(_identity(shape), channels))
    return chains


def _biased(node: Node, bias: NDArray[Any]) -> Node:
    kind = "Affine" if node.kind == "Linear" else node.kind
    return Node(kind, {**node.fields, "bias": exact(bias)})


# Synapses


def exact(values: Any) -> NDArray[Any]:
    """Numbers as float32, in which other tools compute, or as float64 if that would round them."""
    numbers = np.asarray(values)
    narrow = numbers.astype(np.float32)
    return narrow if (narrow.astype(np.float64) == numbers).all() else numbers.astype(np.float64)


def matrix(synapse: Synapse, wide: Shape) -> NDArray[Any]:
    """A synapse on flattened spikes, ``(outputs, inputs)``: what it gives for each single spike."""
    _check_size(math.prod(wide) * math.prod(synapse.output_shape(wide)), f"{synapse.type_name} would be a matrix")
    return synapse.matrix(wide).toarray()


def _check_size(count: int, what: str) -> None:
    if count > MAX_WEIGHTS:
        raise ExportError(
            f"NIR tools have no node for it: {what} of {count:,} weights, more than {MAX_WEIGHTS:,}; "
            "use plain convolutions, sum pooling and dense layers"
        )


def _on_one_axis(weight: NDArray[Any], wide: Shape) -> list[Node]:
    """A matrix, and in front of it what makes one axis of several."""
    linear = Node("Linear", {"weight": exact(weight)})
    flatten = Node("Flatten", {"input_type": np.array(wide), "start_dim": 0, "end_dim": -1})
    return [linear] if len(wide) == 1 else [flatten, linear]


def _dense(synapse: Dense, wide: Shape, shape: Shape) -> list[Node] | None:
    return _on_one_axis(synapse.weight, wide) if len(shape) == 1 else None  # along the last axis


def _conv(synapse: Conv, wide: Shape, shape: Shape) -> list[Node] | None:
    size = len(synapse.weight) * synapse.in_channels * math.prod(synapse.window)
    _check_size(size, "written out, its groups are a convolution")
    weight = synapse.ungrouped().weight
    return _sliding(weight, wide, synapse.stride, synapse.padding, synapse.dilation)


def _sliding(weight: NDArray[Any], wide: Shape, stride: Any, padding: Any, dilation: Any) -> list[Node] | None:
    window = {"stride": tuple(stride), "padding": tuple(padding), "dilation": tuple(dilation)}
    rest = {"groups": 1, "bias": np.zeros(len(weight), np.float32)}
    if len(wide) == 3:
        return [Node("Conv2d", {"input_shape": tuple(wide[1:]), "weight": exact(weight), **window, **rest})]
    if weight.shape[2] > 1 or padding[0]:
        return None  # rows seen as maps of height 1, with a window that goes beyond them
    along = {name: pair[1] for name, pair in window.items()}
    return [Node("Conv1d", {"input_shape": wide[1], "weight": exact(weight[:, :, 0]), **along, **rest})]


def _pool(synapse: SumPool, wide: Shape, shape: Shape) -> list[Node] | None:
    if len(wide) == 3 and synapse.padding == (0, 0) and synapse.dilation == (1, 1):
        names = ("kernel_size", "stride", "padding")
        return [Node("SumPool2d", {name: np.array(getattr(synapse, name)) for name in names})]
    # Other tools read the padding of SumPool2d as zero.
    channels = wide[0]
    _check_size(channels**2 * math.prod(synapse.kernel_size), "padded or dilated pooling would be a convolution")
    weight = np.eye(channels)[:, :, None, None] * np.ones(synapse.kernel_size)
    return _sliding(weight, wide, synapse.stride, synapse.padding, synapse.dilation)


def _scale(synapse: Scale, wide: Shape, shape: Shape) -> list[Node] | None:
    return None if len(shape) > 3 else [_mixing(synapse.channel_matrix, wide)]


def _mixing(weight: NDArray[Any], wide: Shape) -> Node:
    """The same matrix on the channels of every place."""
    if len(wide) == 1:
        return Node("Linear", {"weight": exact(weight)})
    convolution = _sliding(weight[:, :, None, None], wide, (1, 1), (0, 0), (1, 1))
    assert convolution is not None  # a window of one element always fits
    return convolution[0]


def _identity(shape: Shape) -> Node:
    channels, ndim = shape[0], len(shape)
    if ndim > 3:
        raise ExportError(f"NIR has no node for arrays of {ndim} dimensions; use one to three")
    return _mixing(np.eye(channels), shape)


FORMS: dict[type, Callable[[Any, Shape, Shape], list[Node] | None]] = {
    Conv: _conv,
    Dense: _dense,
    Relay: lambda synapse, wide, shape: [],
    Scale: _scale,
    SumPool: _pool,
}
"""From a synapse, the shape of its input as NIR sees it and that of its output to nodes; None: only as a matrix."""


# Neurons


def margin(vth: Any) -> float:
    """How far below an integer threshold the one of the ``IF`` node is: see `threshold`."""
    bits = int(np.max(vth)).bit_length()
    return max(FINEST_MARGIN, 2.0 ** (bits - 24))


def threshold(vth: Any) -> Any:
    """The threshold of an ``IF`` node: a little below an integer ``vth``, so that ``>`` does what ``>=`` does.

    NIR's ``IF`` fires if ``v > v_threshold``, as norse and snnTorch do; sinabs and we fire if ``v >= vth``. Integers
    are above ``vth - m`` if and only if they are at least ``vth``, for any ``0 < m < 1``. A tool that resets by
    subtracting the threshold subtracts ``m`` too little with every spike; after n spikes its v is ``n * m`` above ours,
    and it still fires exactly when we do as long as ``(n + 1) * m < 1``. With ``m = 2**-8``, that is for 254 spikes.
    """
    return vth if np.asarray(vth).dtype.kind == "f" else vth - margin(vth)


def neuron_node(neuron: Neuron, full: Shape, shape: Shape) -> Node:
    """The ``IF`` node of a layer of threshold neurons, in a shape of as many: ``r = 1``, time in steps, reset to 0."""
    if type(neuron) not in FIRING:
        known = sorted(cls.type_name for cls in FIRING)
        raise ExportError(
            f"NIR has no node for {neuron.type_name} neurons, only for {known} and the readout"
            + INSTEAD.get(type(neuron), "")
        )
    thresholds = exact(np.broadcast_to(threshold(neuron.threshold), full).reshape(shape))
    return Node("IF", {"r": np.ones_like(thresholds), "v_threshold": thresholds, "v_reset": np.zeros_like(thresholds)})


FIRING: tuple[type[Neuron], ...] = (RateNeuron, DoubleThresholdNeuron, AugmentedNeuron)
"""Neurons that become ``IF`` nodes."""

INSTEAD: dict[type[Neuron], str] = {
    MaxPoolNeuron: "; convert the model with average pooling instead",
    ProductNeuron: "; use a model without products of two signals, as in attention and gates",
}
"""What to do about neurons that have no node."""
