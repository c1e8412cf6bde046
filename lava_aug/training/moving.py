"""What of a network can move in training, so that what stays keeps its meaning; and the units that weights are in."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.layers import Shape, Synapse
from lava_aug.core.network import INPUT, INPUT_LEVELS, Layer, Network
from lava_aug.core.neurons import AugmentedNeuron, MaxPoolNeuron, Neuron, ReadoutNeuron
from lava_aug.core.synapse import Weighted

WHOLE = 1e-6
"""How near to whole numbers the ratios of units of exact sums are: quanta of channels are kept in float32."""

Quanta = Mapping[str, NDArray[Any]]
"""By name: what a unit of the spikes of the input, or of a layer, stands for."""

Factors = Callable[[NDArray[Any]], NDArray[Any] | None]

THRESHOLDS: frozenset[type[Neuron]] = frozenset({AugmentedNeuron})
"""Neurons whose threshold is the quantum in units of the potential."""

SCALES: frozenset[type[Neuron]] = THRESHOLDS | {ReadoutNeuron}
"""Neurons for which the unit of the potential may be any."""

FOLLOWERS: frozenset[type[Neuron]] = SCALES | {MaxPoolNeuron}
"""Neurons that send a fixed multiple of what comes in."""


@dataclasses.dataclass(frozen=True)
class Moves:
    """What of a layer can move.

    Attributes
    ----------
    weights : tuple of bool
        The weights of each connection.
    threshold, scale : bool
        Its quantum, and what a unit of its potential stands for.
    follows : str or None
        The source whose quantum this layer's is a fixed multiple of.
    """

    weights: tuple[bool, ...]
    threshold: bool = False
    scale: bool = False
    follows: str | None = None


def quanta_of(net: Network) -> dict[str, NDArray[Any]]:
    """What a unit of the spikes of the input and of every layer stands for, float64."""
    known = {layer.name: np.asarray(layer.quantum, np.float64) for layer in net}
    return {INPUT: np.asarray(1 / INPUT_LEVELS), **known}


def moves_of(net: Network) -> dict[str, Moves]:
    """What of each layer can move.

    Weights move where they are a model's own, and not those of exact sums, moves and copies. The unit of a potential
    moves where all weights into it do. A threshold moves, but for those that a ceiling gives, if whatever takes the
    spikes can do with another quantum: weights that are scaled with it, and max pooling and relays of one layer, whose
    quantum follows.
    """
    quanta = quanta_of(net)
    weights = {layer.name: tuple(_weights_move(net, layer, quanta)) for layer in net}
    scaled = {layer.name: tuple(_are_scaled(net, layer, weights[layer.name], quanta)) for layer in net}
    follows = {layer.name: _followed(layer, weights[layer.name], quanta) for layer in net}
    kept = {source for layer in net for source in _kept(layer, scaled[layer.name], follows)}
    for layer in reversed(net.layers):  # what is kept keeps what it follows
        source = follows[layer.name]
        if source is not None and layer.name in kept:
            kept.add(source)
    return {
        layer.name: Moves(
            weights=weights[layer.name],
            threshold=_threshold_moves(layer, weights[layer.name]) and layer.name not in kept,
            scale=type(layer.neuron) in SCALES and all(scaled[layer.name]),
            follows=None if layer.name in kept else follows[layer.name],
        )
        for layer in net
    }


def _weights_move(net: Network, layer: Layer, quanta: Quanta) -> Iterator[bool]:
    unit = unit_of(layer)
    for source, synapse in layer.connections:
        yield weights_move(synapse, net.shapes[source], quanta[source], unit)


def _are_scaled(net: Network, layer: Layer, weights: tuple[bool, ...], quanta: Quanta) -> Iterator[bool]:
    """Whether the weights of each connection can follow quantum and unit."""
    unit = unit_of(layer)
    for (source, synapse), moves in zip(layer.connections, weights, strict=True):
        places = (
            places_of(cast(Weighted, synapse), net.shapes[source], quanta[source], cast(Any, unit)) if moves else None
        )
        yield places is not None and not places.fixed


def _kept(layer: Layer, scaled: tuple[bool, ...], follows: Mapping[str, str | None]) -> Iterator[str]:
    """The sources that have to keep their quanta because of a layer."""
    for source, follow in zip(layer.sources, scaled, strict=True):
        if not follow and follows[layer.name] is None:
            yield source


def _threshold_moves(layer: Layer, weights: tuple[bool, ...]) -> bool:
    return type(layer.neuron) in THRESHOLDS and any(weights) and "n_max" not in layer.neuron.numbers()


def _followed(layer: Layer, weights: tuple[bool, ...], quanta: Quanta) -> str | None:
    """The one source of a layer of exact sums, whose quantum this layer's is a multiple of; None if it is not."""
    sources = set(layer.sources)
    fixed = any(weights) or layer.bias is not None or "n_max" in layer.neuron.numbers()
    if fixed or len(sources) > 1 or type(layer.neuron) not in FOLLOWERS:
        return None
    (source,) = sources
    own, given = quanta[layer.name], quanta[source]
    if source == INPUT or given.size == 1:
        return source
    ratios = own / given if own.shape == given.shape else np.array([0.0, 1.0])
    return source if np.ptp(ratios) <= WHOLE * ratios.max() else None


def unit_of(layer: Layer) -> NDArray[Any] | None:
    """What one unit of a layer's potential stands for; None if neurons do not say."""
    gain = layer.neuron.gain
    return None if gain is None else np.asarray(layer.quantum, np.float64) * gain


# Where the units of a weight are


class Places(NamedTuple):
    """Where the quantum and the unit of each weight are, as indices that broadcast to the weights; None if it is one.

    Weights that are shared by places of different quanta or units are in those on average, which then must not move:
    ``fixed``.
    """

    quantum: NDArray[Any] | None
    unit: NDArray[Any] | None
    fixed: bool


def places_of(synapse: Weighted, wide: Shape, quantum: NDArray[Any], unit: NDArray[Any]) -> Places:
    """Those of a synapse on spikes of shape ``wide``; quantum and unit broadcast to the spikes and to the result."""
    columns = _places(quantum, wide, lambda numbered: synapse.column_factors(numbered, wide))
    rows = _places(unit, synapse.output_shape(wide), lambda numbered: synapse.row_factors(numbered, wide))
    lost = (quantum.size > 1 and columns is None) or (unit.size > 1 and rows is None)
    return Places(columns, rows, fixed=lost)


def _places(values: NDArray[Any], shape: Shape, factors: Factors) -> NDArray[Any] | None:
    if values.size == 1:
        return None
    numbered = factors(np.broadcast_to(np.arange(values.size).reshape(values.shape), shape))
    return None if numbered is None else numbered.astype(np.int64)


def weights_move(synapse: Synapse, wide: Shape, quantum: NDArray[Any], unit: NDArray[Any] | None) -> bool:
    """Whether weights are a model's own, and not those of exact sums, moves and copies."""
    if unit is None or not synapse.num_weights or not (synapse.learned or synapse.multiplies):
        return False
    if synapse.learned:
        return True
    places = places_of(cast(Weighted, synapse), wide, quantum, unit)
    ratios = taken(quantum, places.quantum) / taken(unit, places.unit)
    return bool((np.abs(ratios - np.rint(ratios)) > WHOLE * ratios).any())


def taken(values: Any, places: Any) -> Any:
    """The values, array or tensor, at some places; the one of all, or their mean, if there are no places."""
    return values.mean() if places is None else values.reshape(-1)[places]
