"""Biases of a Sigma-Delta readout, which has none: weights from a neuron that is constant."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.layers import Conv, Dense
from lava_aug.core.network import Layer
from lava_aug.netx.sdnn_limits import refused
from lava_aug.netx.sdnn_requantization import MAX_MESSAGE, MAX_WEIGHT
from lava_aug.netx.sigma_delta import SPIKE_EXP, STATE_EXP, SigmaDeltaLayer

MAX_BETA = MAX_MESSAGE >> SPIKE_EXP
"""Largest bias whose message, ``beta << SPIKE_EXP``, fits."""


def with_constant(
    readout: Layer, layers: list[SigmaDeltaLayer], pooled: set[str], weight: NDArray[Any], bias: NDArray[Any]
) -> tuple[list[SigmaDeltaLayer], NDArray[Any], float]:
    """Add a constant channel, and the readout's weights from it, which are ``round(bias / what it sends)``.

    It is added to the last layer that has weights, with weights 0 and the smallest bias with which those of the readout
    fit, and passes the pooling layers that follow.

    Parameters
    ----------
    readout : Layer
        Our readout, for errors.
    layers : list of SigmaDeltaLayer
        The layers before the readout.
    pooled : set of str
        Names of those that are pooling layers.
    weight : numpy.ndarray
        The readout's weights without biases, ``(outputs, inputs)``.
    bias : numpy.ndarray
        What its sums are to begin with, float64 ``(outputs,)``.

    Returns
    -------
    (list of SigmaDeltaLayer, numpy.ndarray, float)
        The layers and the weights with the constant, and the largest error of a bias.

    Raises
    ------
    NetworkError
        If no layer before the readout can take it, or the bias is too large.
    """
    start = next((i for i in reversed(range(len(layers))) if layers[i].name not in pooled), None)
    if start is None:
        raise refused(readout, "it has a bias, which takes a layer with weights before it")
    if layers[start].synapse.groups > 1:
        name = layers[start].name
        raise refused(readout, f"it has a bias, which takes a constant channel in {name!r}, a grouped one")
    beta = _smallest(layers[start], layers[start + 1 :], float(np.abs(bias).max()))
    if beta is None:
        raise refused(readout, "its bias is too large for a constant of 16 bits and weights of 8")
    constant = _passed_on(layers[start], layers[start + 1 :], beta).ravel()
    column = np.zeros((len(weight), constant.size), np.int64)
    place = int(constant.argmax())  # not at an edge, where pooling may see padding
    column[:, place] = np.rint(bias / constant[place])
    found = [*layers[:start], _enlarged(layers[start], beta), *map(_widened, layers[start + 1 :])]
    error = float(np.abs(column[:, place] * constant[place] - bias).max())
    return found, np.concatenate([weight, column], axis=1), error


def _smallest(source: SigmaDeltaLayer, pools: list[SigmaDeltaLayer], largest: float) -> int | None:
    """The smallest bias of the constant with which the readout's weights fit."""
    for beta in range(1, MAX_BETA + 1):
        sent = int(_passed_on(source, pools, beta).max())
        if sent > MAX_MESSAGE:
            return None
        if sent and np.rint(largest / sent) <= MAX_WEIGHT:
            return beta
    return None


def _passed_on(source: SigmaDeltaLayer, pools: list[SigmaDeltaLayer], beta: int) -> NDArray[Any]:
    """What the last layer sends for the constant, ``(1, height, width)`` or ``(1,)``."""
    s = np.full((1, 1, *source.shape[1:]), beta << SPIKE_EXP, np.int64)
    for pool in pools:
        s = _one_channel(pool.synapse).accumulate(s) >> STATE_EXP
    return s[0]


def _one_channel(synapse: Conv | Dense) -> Conv | Dense:
    return synapse.replace(weight=synapse.weight[:1], groups=1)


def _enlarged(layer: SigmaDeltaLayer, beta: int) -> SigmaDeltaLayer:
    """A layer with one more channel, which has no weights."""
    weight = np.concatenate([layer.synapse.weight, np.zeros_like(layer.synapse.weight[:1])])
    bias = np.zeros(layer.shape[0], np.int64) if layer.bias is None else layer.bias
    return _with_channel(layer, layer.synapse.replace(weight=weight), np.append(bias, beta))


def _widened(layer: SigmaDeltaLayer) -> SigmaDeltaLayer:
    """A pooling layer for one more channel."""
    weight = np.concatenate([layer.synapse.weight, layer.synapse.weight[:1]])
    bias = None if layer.bias is None else np.append(layer.bias, 0)
    return _with_channel(layer, layer.synapse.replace(weight=weight, groups=len(weight)), bias)


def _with_channel(layer: SigmaDeltaLayer, synapse: Conv | Dense, bias: NDArray[Any] | None) -> SigmaDeltaLayer:
    shape = (layer.shape[0] + 1, *layer.shape[1:])
    return dataclasses.replace(layer, synapse=synapse, bias=bias, shape=shape)
