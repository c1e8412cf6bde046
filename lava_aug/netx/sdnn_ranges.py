"""The layers of a network in units of spike coefficients, and how large their activations become."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.layers import Conv, Dense, Synapse
from lava_aug.core.network import INPUT, INPUT_LEVELS, Layer, Network
from lava_aug.kernels.batches import batch_form
from lava_aug.netx.sdnn_limits import by_channel
from lava_aug.netx.sdnn_requantization import FloatLayer

HEADROOM = 2.0
"""Without images: largest activation relative to the balanced threshold."""

MEASURED_HEADROOM = 1.25
"""With images: room relative to the largest activation on them."""


def float_layers(net: Network, x: NDArray[Any] | None, *, constant: bool = False) -> list[FloatLayer]:
    """What each layer computes, and what there must be room for: on payloads ``x``, or without any.

    If the network's last input channel is a ``constant`` 1, which ``x`` does not have, it is `INPUT_LEVELS` here, with
    weights that are as much smaller: as integers, those would be far larger than the others.
    """
    made, before = [], INPUT
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
    found = min(worst, HEADROOM / net.resolution)
    return found, min(worst, 2 * found)


def _measured(
    synapse: Conv | Dense, n: NDArray[Any], vth: NDArray[Any], constant: NDArray[Any] | None
) -> tuple[NDArray[Any], float, float]:
    """Activations on images, reach and swing."""
    import torch

    with torch.no_grad():
        a = batch_form(synapse, torch.float64, "cpu")(torch.from_numpy(n)).numpy()
    axes = (-1, *[1] * (a.ndim - 2))
    a = a / vth.reshape(axes) + (0 if constant is None else constant.reshape(axes))
    swing = MEASURED_HEADROOM * max(float(np.abs(a).max()), 1.0)
    n = np.maximum(a, 0)
    return n, MEASURED_HEADROOM * max(float(n.max()), 1.0), swing
