"""Which networks stock Sigma-Delta netx supports: sequential ones with ReLUs; others are rejected."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.constant_channel import differs_by_place
from lava_aug.core.errors import NetworkError
from lava_aug.core.layers import Conv, Dense, SumPool
from lava_aug.core.network import INPUT, Layer, Network
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, RateNeuron

SYNAPSES_TAKEN = (Conv, Dense, SumPool)
NEURONS_TAKEN = (RateNeuron, DoubleThresholdNeuron, AugmentedNeuron)


def check_exportable(net: Network) -> None:
    """NetworkError, with the layer's name, if stock netx cannot express a network."""
    if net.is_float:
        raise NetworkError(
            "export: the network computes in floating point; convert it with weight_bits=8, as netx reads integers"
        )
    before = INPUT
    for layer in net:
        _check_place(net, layer, before)
        _check_synapse(net, layer, before)
        if layer is not net.readout:
            _check_neuron(net, layer)
        _check_threshold(net, layer)
        before = layer.name


def refused(layer: Layer, found: str) -> NetworkError:
    """The error for a layer."""
    return NetworkError(
        f"layer {layer.name!r}: {found}; a stock Sigma-Delta file holds convolutions of maps, average pooling and "
        "dense layers, one after the other, with ReLU neurons, and a dense readout"
    )


def _check_place(net: Network, layer: Layer, before: str) -> None:
    connection, *more = layer.connections
    if more:
        raise refused(layer, f"it sums {1 + len(more)} connections")
    if connection.source != before:
        raise refused(layer, f"it takes spikes of {connection.source!r} instead of {before!r}")


def _check_synapse(net: Network, layer: Layer, before: str) -> None:
    synapse, shape = layer.connections[0].synapse, net.shapes[before]
    if type(synapse) not in SYNAPSES_TAKEN:
        raise refused(layer, f"synapses of type {synapse.type_name!r} have no counterpart")
    if synapse.flattens and len(net.current_shapes[layer.name]) > 1:
        raise refused(layer, f"its matrix goes along the last axis of {shape}")
    if not synapse.flattens and len(shape) != 3:
        raise refused(layer, f"it slides along rows {shape}")
    if layer is net.readout and not synapse.flattens:
        raise refused(layer, "the readout is not dense")
    if not synapse.weights.any():
        raise refused(layer, "all of its weights are 0")


def _check_neuron(net: Network, layer: Layer) -> None:
    neuron: Any = layer.neuron
    if type(neuron) not in NEURONS_TAKEN:
        raise refused(layer, f"neurons of type {neuron.type_name!r} have no counterpart")
    if neuron.n_max is not None:
        raise refused(layer, "its neurons have an upper bound (ReLU6, clamp)")
    if not neuron.rectifies and layer.connections[0].synapse.learned:
        raise refused(layer, "its neurons are signed (a layer without ReLU)")


def _check_threshold(net: Network, layer: Layer) -> None:
    vth = layer.neuron.threshold
    if vth is not None and differs_by_place(vth, net.current_shapes[layer.name]):
        raise refused(layer, "its threshold varies with the position")


def by_channel(value: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """A number or array that is the same all over a channel as one number for each channel, float64 ``(channels,)``."""
    return np.array(np.broadcast_to(np.asarray(value, np.float64), shape).reshape(shape[0], -1)[:, 0])
