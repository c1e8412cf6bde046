"""Layers of exact sums: what a unit of their input stands for, where it needs no rounding."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.conversion.composition import Factors, along_channels
from lava_aug.conversion.signals import FloatLayer, Term
from lava_aug.core.layers import Relay, Shape, Sparse, SumPool, Synapse
from lava_aug.core.synapse import per_channel


def relayed_quantum(layer: FloatLayer, quanta: Mapping[str, Factors], shapes: Mapping[str, Shape]) -> Factors | None:
    """Quantum of a layer of exact sums; None if the layer has to be one with weights."""
    exact = all(is_whole(term.synapse) and term.gain > 0 for term in layer.terms)
    if not exact or layer.bias is not None or layer.activation.ceiling is not None:
        return None
    if len(layer.terms) == 1:
        return _through(layer.terms[0], layer.shape, quanta, shapes)
    return _concatenated(layer, quanta, shapes)


def _through(term: Term, shape: Shape, quanta: Mapping[str, Factors], shapes: Mapping[str, Shape]) -> Factors | None:
    quantum = quanta[term.source]
    if np.ndim(quantum) == 0:
        return quantum * term.gain
    way = _QUANTA_THROUGH.get(type(term.synapse))
    channels = None if way is None else way(term.synapse, np.broadcast_to(quantum, shapes[term.source]))
    return None if channels is None else along_channels(channels, shape) * term.gain


def _concatenated(layer: FloatLayer, sent: Mapping[str, Factors], shapes: Mapping[str, Shape]) -> Factors | None:
    """One quantum for each channel, if every channel comes from one source, as it is."""
    quanta = np.zeros(layer.shape[0])
    for term in layer.terms:
        synapse, wide = term.synapse, shapes[term.source]
        channels = per_channel(sent[term.source], wide)
        if channels is None or not synapse.keeps_place or (synapse.weights != 1).any():
            return None
        reached = synapse.connectivity(wide).fan_in.reshape(len(quanta), -1).any(axis=1)
        if quanta[reached].any():
            return None
        quanta[reached] = channels * term.gain
    return along_channels(quanta, layer.shape) if quanta.all() else None


def is_whole(synapse: Synapse) -> bool:
    """Whether a synapse adds up spikes without rounding."""
    return not synapse.learned and bool((synapse.weights == np.rint(synapse.weights)).all())


def _by_channel(synapse: Synapse, sent: NDArray[Any]) -> NDArray[Any] | None:
    return per_channel(sent, sent.shape)


def _moved(synapse: Sparse, sent: NDArray[Any]) -> NDArray[Any] | None:
    """Quanta of a sparse synapse's result, if all that meets in one place has the same."""
    wanted, quanta = sent.reshape(-1)[synapse.columns], np.zeros(math.prod(synapse.shape))
    quanta[synapse.rows] = wanted
    if (quanta[synapse.rows] != wanted).any() or not quanta.all():
        return None
    return per_channel(quanta.reshape(synapse.shape), synapse.shape)


_QUANTA_THROUGH: dict[type, Callable[[Any, NDArray[Any]], NDArray[Any] | None]] = {
    Relay: _by_channel,
    SumPool: _by_channel,
    Sparse: _moved,
}
"""From a synapse and the quanta of its spikes, one by one, to that of each channel of its sums, if it has one."""
