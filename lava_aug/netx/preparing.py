"""What is exported as a Sigma-Delta network: only what netx can express, in units of coefficients.

Stock netx supports sequential networks with ReLUs; others are rejected. How large the activations become is measured,
or expected. The readout, which has no bias, gets it by weights from a neuron that is constant.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.constant_channel import differs_by_place
from lava_aug.core.errors import NetworkError
from lava_aug.core.layers import Conv, Dense, SumPool, Synapse
from lava_aug.core.network import INPUT, INPUT_LEVELS, Layer, Network
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, RateNeuron
from lava_aug.kernels.batches import batch_form
from lava_aug.netx.layers import NetxWeighted
from lava_aug.netx.requantization import MAX_MESSAGE, MAX_WEIGHT, SPIKE_EXP, STATE_EXP, FloatLayer

SYNAPSES_TAKEN = (Conv, Dense, SumPool)
NEURONS_TAKEN = (RateNeuron, DoubleThresholdNeuron, AugmentedNeuron)

HEADROOM = 2.0
"""Without images: largest activation relative to the balanced threshold."""

MEASURED_HEADROOM = 1.25
"""With images: room relative to the largest activation on them."""

MAX_BETA = MAX_MESSAGE >> SPIKE_EXP
"""Largest bias whose message, ``beta << SPIKE_EXP``, fits."""


# What netx can express


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


def refused(layer: Layer, reason: str) -> NetworkError:
    """The error for a layer."""
    return NetworkError(
        f"layer {layer.name!r}: {reason}; a stock Sigma-Delta file holds convolutions of maps, average pooling and "
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


# Ranges


def float_layers(net: Network, x: NDArray[Any] | None, *, constant: bool = False) -> list[FloatLayer]:
    """What each layer computes, and what there must be room for: on payloads ``x``, or without any.

    If the network's last input channel is a ``constant`` 1, which ``x`` does not have, it is `INPUT_LEVELS` here, with
    weights that are as much smaller: as integers, those would be far larger than the others.
    """
    made, before = list[FloatLayer](), INPUT
    reach, n = float(INPUT_LEVELS), None if x is None else x.astype(np.float64)
    if constant and n is not None:
        n = np.concatenate([n, np.ones_like(n[:, :1])], axis=1)
    for layer in net:
        synapse, shape = windowed(layer.connections[0].synapse, net.shapes[before]), net.shapes[layer.name]
        vth = by_channel(1 if layer.neuron.threshold is None else layer.neuron.threshold, shape)
        matrix = synapse.weight / vth.reshape(-1, *[1] * (synapse.weight.ndim - 1))
        if constant and before == INPUT:
            matrix[:, -1] /= INPUT_LEVELS
        bias = None if layer.bias is None else by_channel(layer.bias, shape) / vth
        if n is None:
            reach, swing = _expected(net, layer, matrix, bias, reach)
        else:
            n, reach, swing = _measured(synapse, n, vth, bias)
        made.append(FloatLayer(matrix, bias, reach, swing))
        before = layer.name
    return made


def windowed(synapse: Synapse, shape: tuple[int, ...]) -> Any:
    """A synapse as stock networks have it: sum pooling is a convolution of each channel with ones."""
    return synapse.weighted(shape)


def _expected(
    net: Network, layer: Layer, matrix: NDArray[Any], constant: NDArray[Any] | None, reach: float
) -> tuple[float, float]:
    """Reach and swing without images; sums of many weights rarely come near the worst case."""
    rows, shift = matrix.reshape(len(matrix), -1), 0.0 if constant is None else np.abs(constant)
    worst = float((np.abs(rows).sum(axis=1) * reach + shift).max())
    if net.method == "custom":
        return worst, worst
    if layer is net.readout:
        swing = float((np.sqrt(2 * (rows**2).sum(axis=1)) * reach + shift).max())
        return min(worst, swing), min(worst, swing)
    if not layer.connections[0].synapse.learned:
        return worst, worst
    largest = min(worst, HEADROOM / net.resolution)
    return largest, min(worst, 2 * largest)


def _measured(
    synapse: Conv | Dense, n: NDArray[Any], vth: NDArray[Any], constant: NDArray[Any] | None
) -> tuple[NDArray[Any], float, float]:
    """Activations on images, reach and swing."""
    import torch

    with torch.no_grad():
        a = batch_form(synapse, torch.float64, "cpu")(torch.as_tensor(n)).numpy()
    axes = (-1, *[1] * (a.ndim - 2))
    a = a / vth.reshape(axes) + (0 if constant is None else constant.reshape(axes))
    swing = MEASURED_HEADROOM * max(float(np.abs(a).max()), 1.0)
    n = np.maximum(a, 0)
    return n, MEASURED_HEADROOM * max(float(n.max()), 1.0), swing


# The readout's bias


def with_constant(
    net: Network, layers: list[NetxWeighted], weight: NDArray[Any], bias: NDArray[Any]
) -> tuple[list[NetxWeighted], NDArray[Any], float]:
    """Add a constant channel, and the readout's weights from it, which are ``round(bias / what it sends)``.

    It is added to the last layer that has weights, with weights 0 and the smallest bias with which those of the readout
    fit, and passes the pooling layers that follow.

    Parameters
    ----------
    net : Network
        Ours, whose layers and readout the errors name.
    layers : list of NetxWeighted
        What has been made of the layers before the readout.
    weight : numpy.ndarray
        The readout's weights without biases, ``(outputs, inputs)``.
    bias : numpy.ndarray
        What its sums are to begin with, float64 ``(outputs,)``.

    Returns
    -------
    (list of NetxWeighted, numpy.ndarray, float)
        The layers and the weights with the constant, and the largest error of a bias.

    Raises
    ------
    NetworkError
        If no layer before the readout can take it, or the bias is too large.
    """
    learned = [index for index in range(len(layers)) if net.layers[index].connections[0].synapse.learned]
    if not learned:
        raise refused(net.readout, "it has a bias, which takes a layer with weights before it")
    start = learned[-1]
    if layers[start].synapse.groups > 1:
        name = net.layers[start].name
        raise refused(net.readout, f"it has a bias, which takes a constant channel in {name!r}, a grouped one")
    beta = _smallest(layers[start], layers[start + 1 :], float(np.abs(bias).max()))
    if beta is None:
        raise refused(net.readout, "its bias is too large for a constant of 16 bits and weights of 8")
    constant = _passed_on(layers[start], layers[start + 1 :], beta).ravel()
    column = np.zeros((len(weight), constant.size), np.int64)
    place = int(constant.argmax())  # not at an edge, where pooling may see padding
    column[:, place] = np.rint(bias / constant[place])
    extended = [*layers[:start], _enlarged(layers[start], beta), *map(_widened, layers[start + 1 :])]
    error = float(np.abs(column[:, place] * constant[place] - bias).max())
    return extended, np.concatenate([weight, column], axis=1), error


def _smallest(source: NetxWeighted, pools: list[NetxWeighted], largest: float) -> int | None:
    """The smallest bias of the constant with which the readout's weights fit."""
    for beta in range(1, MAX_BETA + 1):
        sent = int(_passed_on(source, pools, beta).max())
        if sent > MAX_MESSAGE:
            return None
        if sent and np.rint(largest / sent) <= MAX_WEIGHT:
            return beta
    return None


def _passed_on(source: NetxWeighted, pools: list[NetxWeighted], beta: int) -> NDArray[Any]:
    """What the last layer sends for the constant, ``(1, height, width)`` or ``(1,)``."""
    s = np.full((1, 1, *source.shape[1:]), beta << SPIKE_EXP, np.int64)
    for pool in pools:
        s = _one_channel(pool.synapse).accumulate(s) >> STATE_EXP
    return s[0]


def _one_channel(synapse: Conv | Dense) -> Conv | Dense:
    return synapse.replace(weight=synapse.weight[:1], groups=1)


def _enlarged(layer: NetxWeighted, beta: int) -> NetxWeighted:
    """A layer with one more channel, which has no weights."""
    bias = np.zeros(layer.shape[0], np.int64) if layer.bias is None else layer.bias
    return _with_channel(layer, np.zeros_like(layer.weight[:1]), np.append(bias, beta))


def _widened(layer: NetxWeighted) -> NetxWeighted:
    """A pooling layer for one more channel."""
    bias = None if layer.bias is None else np.append(layer.bias, 0)
    return _with_channel(layer, layer.weight[:1], bias, groups=layer.shape[0] + 1)


def _with_channel(layer: NetxWeighted, weight: NDArray[Any], bias: NDArray[Any] | None, **more: Any) -> NetxWeighted:
    shape = (layer.shape[0] + 1, *layer.shape[1:])
    return layer.replace(weight=np.concatenate([layer.weight, weight]), bias=bias, shape=shape, **more)
