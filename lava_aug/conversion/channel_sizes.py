"""Layers whose channels differ so much that one threshold for all would leave nothing of some that matter.

With spikes of one quantum, a channel whose values are a thousandth of another's sends next to none, whatever large
weights make of them in the next layer.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.conversion.calibration import Range
from lava_aug.conversion.relays import is_whole
from lava_aug.conversion.signals import Activation, FloatLayer
from lava_aug.core.layers import Conv, Dense, Shape, Synapse

APART = 64
"""A channel that is so many times smaller than the largest one, but does not matter so much less, is not to be lost."""


def own_thresholds(
    layers: Sequence[FloatLayer], ranges: Mapping[str, Range], shapes: Mapping[str, Shape], operands: Collection[str]
) -> dict[str, NDArray[np.float64]]:
    """Thresholds for each channel, of those layers that need them: the largest outputs on calibration images.

    Parameters
    ----------
    layers : sequence of FloatLayer
        In topological order.
    ranges : mapping of str to Range
        From calibration images.
    shapes : mapping of str to tuple of int
        Of what every layer sends.
    operands : collection of str
        Layers whose spikes are multiplied with others, and so have one quantum.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for layer in layers[:-1]:
        if layer.name in operands or not _has_weights(layer):
            continue
        sizes = _sizes(layer.activation, ranges[layer.name])
        takers = [(other, term) for other in layers for term in other.terms if term.source == layer.name]
        weights = [_largest_by_input(other.activation, term.synapse, shapes[layer.name]) for other, term in takers]
        if all(weight is not None for weight in weights) and sizes.any() and sizes.min() < sizes.max() / APART:
            matters = sizes * np.max([weight for weight in weights if weight is not None], axis=0)
            if ((sizes > 0) & (sizes < sizes.max() / APART) & (matters > matters.max() / APART)).any():
                found[layer.name] = sizes
    return found


def _has_weights(layer: FloatLayer) -> bool:
    """Whether its neurons are the method's own, and their thresholds are free."""
    activation = layer.activation
    free = activation == Activation(relu=activation.relu, ceiling=activation.ceiling)
    return free and not (layer.bias is None and all(is_whole(term.synapse) for term in layer.terms))


def _sizes(activation: Activation, measured: Range) -> NDArray[np.float64]:
    """The largest output of each channel; of those that are hardly ever active, a part of what holds them back.

    With a quantum for the little that they send, what holds them back would exceed their potentials.
    """
    highs = np.maximum(measured.highs, 0 if activation.relu else -measured.lows).astype(np.float64)
    highs = np.where(highs > 0, np.maximum(highs, -measured.lows / APART), 0.0)
    return highs if activation.ceiling is None else np.minimum(highs, activation.ceiling)


def _largest_by_input(activation: Activation, synapse: Synapse, wide: Shape) -> NDArray[np.float64] | None:
    """Largest ``|weight|`` from each channel; None where one quantum is needed, or nothing is known of a type."""
    known = _BY_INPUT.get(type(synapse))
    return None if known is None or activation.max_pool is not None else known(synapse, wide)


def _of_conv(conv: Conv, wide: Shape) -> NDArray[np.float64]:
    del wide
    parts = np.abs(conv.weight).reshape(conv.groups, -1, *conv.weight.shape[1:2], conv.window[0] * conv.window[1])
    return parts.max(axis=(1, 3)).reshape(-1)


def _of_dense(dense: Dense, wide: Shape) -> NDArray[np.float64] | None:
    inputs = dense.weight.shape[1]
    along_last = inputs != np.prod(wide)
    return None if along_last else np.abs(dense.weight).reshape(len(dense.weight), wide[0], -1).max(axis=(0, 2))


_BY_INPUT: dict[type, Callable[[Any, Shape], NDArray[np.float64] | None]] = {Conv: _of_conv, Dense: _of_dense}
"""By types that take channels of different quanta."""
