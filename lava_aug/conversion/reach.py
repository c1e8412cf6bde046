"""Functions that grow without bound where their input vanishes, such as reciprocals: no further than they are needed.

Of what is divided by its norm, a zero is divided by the model's ``eps``, and stays zero; the reciprocal, of 1e12, would
leave all others without a spike.
"""

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.conversion.calibration import Calibration, Range, measure
from lava_aug.conversion.float_layers import FloatGraph
from lava_aug.conversion.signals import FloatLayer, Pointwise

VANISHING = 2.0**-16
"""Inputs below this part of the largest one are as good as zero."""

MOST_VALUES = 1 << 16
"""Of each batch, from which the smallest input is found that is none of these."""


def within_reach(
    graph: FloatGraph, ranges: dict[str, Range], calibration: Calibration
) -> tuple[FloatGraph, dict[str, Range]]:
    """The layers with functions that do not grow below the smallest inputs that do not vanish, and their ranges."""
    unbounded = {layer.name for layer in graph.layers if _grows(layer, ranges[layer.name])}
    if not unbounded:
        return graph, ranges
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in unbounded}
    for batch in calibration.batches(graph):
        for layer, x, _ in graph.run(batch):
            if layer.name in unbounded:
                some = x.reshape(-1)[:: max(1, x.numel() // MOST_VALUES)].double().numpy()
                found[layer.name].append(some[some > VANISHING * ranges[layer.name].highs.max()])
    values = {name: np.concatenate(parts) for name, parts in found.items()}
    low = 100 - calibration.percentile
    floors = {name: float(np.percentile(some, low)) for name, some in values.items() if len(some)}
    layers = [_bounded(layer, floors[layer.name]) if layer.name in floors else layer for layer in graph.layers]
    bounded = dataclasses.replace(graph, layers=layers)
    return bounded, measure(bounded, calibration, check=False)


def _grows(layer: FloatLayer, measured: Range) -> bool:
    """Whether a function is larger at the smallest input, which vanishes, than at all others."""
    if layer.activation.function is None:
        return False
    low, high = float(measured.lows.min()), float(measured.highs.max())
    if not 0 <= low < VANISHING * high:
        return False
    at_low, further = layer.activation.function.apply(torch.tensor([low, VANISHING * high])).abs().double().numpy()
    return bool(at_low > 2 * further)


def _bounded(layer: FloatLayer, floor: float) -> FloatLayer:
    function = layer.activation.function
    assert function is not None  # of those that grow
    bounded = Pointwise(function.name, lambda x: function.apply(x.clamp(min=floor)))
    return dataclasses.replace(layer, activation=dataclasses.replace(layer.activation, function=bounded))
