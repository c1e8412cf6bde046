"""How fine spikes must be for what multiplies or bends them: finer than resolutions say, where much is made of them.

A unit of a source is to make at most one unit of what takes it: of a product with large values, of a steep function,
and of a sum that goes there. Going back from the last layer, that bounds the quantum of every layer on the way.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.conversion.calibration import Range
from lava_aug.conversion.methods import METHODS, Options
from lava_aug.conversion.signals import FloatLayer, Pointwise
from lava_aug.core import fixed_point
from lava_aug.core.network import INPUT

PARTS = 8
"""An interval in one part of which a function changes more than in all others holds a jump, or the end of a bend."""

POINTS = 4096 * PARTS + 1
"""At which the slope of a function is looked for."""

SPARE = 4
"""How many times more than calibration images give payloads and potentials have room for."""


def finest_quanta(
    layers: Sequence[FloatLayer],
    ranges: Mapping[str, Range],
    balanced: Mapping[str, NDArray[np.float64]],
    options: Options,
) -> dict[str, float]:
    """Bounds on the quanta of those layers that have to be finer than their resolution says.

    Parameters
    ----------
    layers : sequence of FloatLayer
        In topological order.
    ranges : mapping of str to Range
        From calibration images.
    balanced : mapping of str to numpy.ndarray
        Balanced thresholds.
    options : Options
        What was asked for; only graded spikes can be finer.

    Returns
    -------
    dict of str to float
        By layer; never so small that spikes or their sums would not fit their bits.
    """
    bounds: dict[str, float] = {}
    for layer in reversed(layers[:-1]):
        usual = options.resolution_of(layer.name) * float(balanced[layer.name].max())
        bound = min(bounds.pop(layer.name, math.inf), usual)
        fitting = max(bound, _smallest(float(ranges[layer.name].maximum.max()), options))
        if fitting < usual:
            bounds[layer.name] = fitting
        is_square = len(set(layer.sources)) < len(layer.sources)
        given = usual if layer.activation.product is not None and is_square else fitting
        for source, wanted in _wanted(layer, ranges, given, fitting < usual):
            bounds[source] = min(bounds.get(source, math.inf), wanted)
    bounds.pop(INPUT, None)
    return bounds if METHODS[options.method].needs.graded else {}


def _smallest(largest: float, options: Options) -> float:
    """The finest quantum with which payloads, and what they add up to in all steps, have room."""
    payload = max(1, fixed_point.symmetric_limit(options.most_message_bits))
    state = fixed_point.symmetric_limit(fixed_point.STATE_BITS) / options.num_steps
    return SPARE * largest / min(payload, state)


def _wanted(
    layer: FloatLayer, ranges: Mapping[str, Range], quantum: float, is_bound: bool
) -> Iterator[tuple[str, float]]:
    """Bounds on the quanta of a layer's sources, where its own quantum is given; none where that is nobody's bound."""
    if layer.activation.product is not None:
        sizes = [abs(term.gain) * float(ranges[term.source].maximum.max()) for term in layer.terms]
        for term, other in zip(layer.terms, reversed(sizes), strict=True):
            yield term.source, quantum / max(abs(term.gain) * other, 1e-30)
        return
    if layer.activation.function is not None:
        measured = ranges[layer.name]
        quantum /= _slope(layer.activation.function, float(measured.lows.min()), float(measured.highs.max()))
    elif not is_bound:
        return
    for term in layer.terms:
        yield term.source, quantum / max(abs(term.gain) * float(np.abs(term.synapse.weights).max()), 1e-30)


def _slope(function: Pointwise, low: float, high: float) -> float:
    """The largest one of a function between two inputs, beside its jumps, which no input is fine enough for."""
    x = torch.linspace(low, max(high, low + 1e-6), POINTS, dtype=torch.float64)
    changes, widths = (values.diff().reshape(-1, PARTS) for values in (function.apply(x), x))
    slopes = changes.abs().sum(1) / widths.sum(1)
    jumps = changes.abs().amax(1) > changes.abs().sum(1) / 2
    return float(torch.where(slopes.isfinite() & ~jumps, slopes, 1e-30).max())
