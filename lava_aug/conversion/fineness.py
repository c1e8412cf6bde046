"""How fine spikes must be for what multiplies or bends them, and how fine they may be for the sums that take them.

A unit of a source is to make at most one unit of what takes it: of a product with large values, of a steep function,
and of a sum that goes there. Going back from the last layer, that bounds the quantum of every layer on the way from
above. From below it is bounded by the bits of potentials: a sum of finer spikes would leave weights few of theirs, or
exceed the potentials itself, as that of all pixels of a map does.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.conversion.calibration import Range
from lava_aug.conversion.composition import row_maxima
from lava_aug.conversion.methods import METHODS, Options
from lava_aug.conversion.relays import is_whole
from lava_aug.conversion.signals import SIGNED, FloatLayer, Pointwise, Term
from lava_aug.core import fixed_point
from lava_aug.core.layers import Shape
from lava_aug.core.network import INPUT
from lava_aug.core.synapse import Weighted

PARTS = 8
"""An interval in one part of which a function changes more than in all others holds a jump, or the end of a bend."""

POINTS = 4096 * PARTS + 1
"""At which the slope of a function is looked for."""

ROOM = fixed_point.signed_range(fixed_point.STATE_BITS)[1] * 2 // 5
"""How far potentials may get on calibration images: others have twice as much, and `settle`, which believes in half of
the bits, has some to spare for what spikes round."""

FITS = ROOM // 2
"""How far sums that bound a quantum may get: what is as large as can be should have some more room for other images."""

FINE = 1 / 256
"""The resolution up to which spikes are as fine as asked for, whatever that leaves of the weights that take them."""

SPARE = 4
"""How many times more than calibration images give payloads and potentials have room for."""

LITTLE, LEAST = 16, 2.0**-14
"""What varies by less than one sixteenth of a constant beside it needs spikes of its own size; by less than the other
part, it is left of sums that do not differ."""


class Bounds(NamedTuple):
    """What a layer's largest quantum must not fall below, and must not exceed."""

    least: float = 0.0
    most: float = math.inf


def bounded_quanta(
    layers: Sequence[FloatLayer],
    shapes: Mapping[str, Shape],
    ranges: Mapping[str, Range],
    balanced: Mapping[str, NDArray[np.float64]],
    options: Options,
) -> dict[str, Bounds]:
    """Bounds on the quanta of those layers that have to be finer or coarser than their resolution says.

    Parameters
    ----------
    layers : sequence of FloatLayer
        In topological order.
    shapes : mapping of str to tuple of int
        Shape of the images and of what every layer sends.
    ranges : mapping of str to Range
        From calibration images.
    balanced : mapping of str to numpy.ndarray
        Balanced thresholds.
    options : Options
        What was asked for; only graded spikes can be finer or coarser.

    Returns
    -------
    dict of str to Bounds
        By layer; spikes and their sums fit their bits.
    """
    if not METHODS[options.method].needs.graded:
        return {}
    most, least = _most(layers, ranges, balanced, options), _least(layers, shapes, ranges, balanced, options)
    names = sorted((most.keys() | least.keys()) - {INPUT})
    return {name: Bounds(least.get(name, 0.0), most.get(name, math.inf)) for name in names}


def _most(
    layers: Sequence[FloatLayer],
    ranges: Mapping[str, Range],
    balanced: Mapping[str, NDArray[np.float64]],
    options: Options,
) -> dict[str, float]:
    bounds = _beside_constants(layers, ranges, options)
    for layer in reversed(layers[:-1]):
        usual = options.resolution_of(layer.name) * _threshold(balanced[layer.name], ranges[layer.name])
        bound = min(bounds.pop(layer.name, math.inf), usual)
        fitting = max(bound, _smallest(float(ranges[layer.name].maximum.max()), options))
        if fitting < usual:
            bounds[layer.name] = fitting
        for source, wanted in _wanted(layer, ranges, usual, fitting):
            bounds[source] = min(bounds.get(source, math.inf), wanted)
    return bounds


def _threshold(balanced: NDArray[np.float64], measured: Range) -> float:
    """The largest output where hardly any differs from zero; infinite, so that nothing follows, where none does."""
    return float(balanced.max()) or float(measured.maximum.max()) or math.inf


def _beside_constants(layers: Sequence[FloatLayer], ranges: Mapping[str, Range], options: Options) -> dict[str, float]:
    """Bounds for signed layers whose bias is large beside what varies, and for those that hand on what they send."""
    found: dict[str, float] = {}
    for layer in layers[:-1]:
        handed_on = layer.bias is None and any(source in found for source in layer.sources)
        if layer.activation == SIGNED and (layer.bias is not None or handed_on):
            measured = ranges[layer.name]
            largest, varies = float(measured.maximum.max()), float((measured.highs - measured.lows).max()) / 2
            if largest * LEAST < varies < largest / LITTLE:
                found[layer.name] = options.resolution_of(layer.name) * varies
    return found


def _least(
    layers: Sequence[FloatLayer],
    shapes: Mapping[str, Shape],
    ranges: Mapping[str, Range],
    balanced: Mapping[str, NDArray[np.float64]],
    options: Options,
) -> dict[str, float]:
    bounds: dict[str, float] = {}
    if options.is_float:
        return bounds
    for layer in reversed(layers):
        keeps = layer is layers[-1] or len(layer.terms) > 1 or layer.activation.function is not None  # all of its input
        steps = options.num_steps if keeps else 1
        for term in layer.terms if layer.activation.product is None else ():
            if term.source == INPUT:
                continue
            needed = _fitting(layer, term, shapes[term.source], ranges[layer.name], steps, options)
            if not is_whole(term.synapse):
                needed = min(needed, FINE * float(balanced[term.source].max()))
            elif layer.activation.max_pool is not None:  # sends what it takes
                needed = max(needed, bounds.get(layer.name, 0.0))
            bounds[term.source] = max(bounds.get(term.source, 0.0), needed)
    return bounds


def _fitting(layer: FloatLayer, term: Term, wide: Shape, measured: Range, steps: int, options: Options) -> float:
    """The quantum of a source with which the layer's sums fit, with weights that use their bits in most channels."""
    if not term.gain:  # of zero times what is sent
        return 0.0
    arrives = np.maximum(measured.highs, -measured.lows)
    if is_whole(term.synapse):  # and stays as it is
        return float(arrives.max()) / abs(term.gain) / FITS
    rows = abs(term.gain) * row_maxima(cast("Weighted", term.synapse), wide)
    if len(arrives) != len(rows) or steps > 1 or options.weight_scales == "layer":
        arrives = arrives.max(keepdims=True)
    if options.weight_scales == "layer":
        rows = rows.max(keepdims=True)
    assert options.weight_bits is not None
    most = fixed_point.symmetric_limit(options.weight_bits) / FITS
    needed = (steps * arrives * most / np.maximum(rows, 1e-30))[rows > 0]
    return float(np.median(needed)) if needed.size else 0.0


def _smallest(largest: float, options: Options) -> float:
    """The finest quantum with which payloads, and what they add up to in all steps, have room."""
    payload = max(1, fixed_point.symmetric_limit(options.most_message_bits))
    state = fixed_point.symmetric_limit(fixed_point.STATE_BITS) / options.num_steps
    return SPARE * largest / min(payload, state)


def _wanted(
    layer: FloatLayer, ranges: Mapping[str, Range], usual: float, quantum: float
) -> Iterator[tuple[str, float]]:
    """Bounds on the quanta of a layer's sources, where its own quantum is given; none where that is nobody's bound."""
    if layer.activation.product is not None:
        yield from _wanted_by_product(layer, ranges, usual, quantum)
        return
    if layer.activation.function is not None:
        measured = ranges[layer.name]
        quantum /= _slope(layer.activation.function, float(measured.lows.min()), float(measured.highs.max()))
    elif quantum >= usual:
        return
    for term in layer.terms:
        yield term.source, quantum / max(abs(term.gain) * float(np.abs(term.synapse.weights).max()), 1e-30)


def _wanted_by_product(
    layer: FloatLayer, ranges: Mapping[str, Range], usual: float, quantum: float
) -> Iterator[tuple[str, float]]:
    """Of a square, small ones need fine operands, by the root of what it needs; for large ones, the usual is enough."""
    sizes = [abs(term.gain) * float(ranges[term.source].maximum.max()) for term in layer.terms]
    is_square = len(set(layer.sources)) < len(layer.sources)
    for term, other in zip(layer.terms, reversed(sizes), strict=True):
        unit = (usual if is_square else quantum) / max(other, 1e-30)
        yield term.source, min(unit, math.sqrt(quantum) if is_square else unit) / max(abs(term.gain), 1e-30)


def _slope(function: Pointwise, low: float, high: float) -> float:
    """The largest one of a function between two inputs, beside its jumps, which no input is fine enough for."""
    x = torch.linspace(low, max(high, low + 1e-6), POINTS, dtype=torch.float64)
    changes, widths = (values.diff().reshape(-1, PARTS) for values in (function.apply(x), x))
    slopes = changes.abs().sum(1) / widths.sum(1)
    jumps = changes.abs().amax(1) > changes.abs().sum(1) / 2
    return max(float(torch.where(slopes.isfinite() & ~jumps, slopes, 0.0).max()), 1e-30)  # of a constant, too
