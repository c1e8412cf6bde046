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

from lava_aug.conversion.calibration import Range, usual_thresholds
from lava_aug.conversion.composition import row_maxima
from lava_aug.conversion.methods import METHODS, Options
from lava_aug.conversion.relays import is_whole
from lava_aug.conversion.rounding import largest_biases, largest_but_outliers
from lava_aug.conversion.signals import SIGNED, FloatLayer, Pointwise, Term
from lava_aug.core import fixed_point
from lava_aug.core.layers import Shape
from lava_aug.core.network import INPUT
from lava_aug.core.synapse import Weighted

PARTS = 8
"""An interval in one part of which a function changes more than in all others holds a jump, or the end of a bend."""

POINTS = 4096 * PARTS + 1
"""At which the slope of a function is looked for."""

STATE = fixed_point.symmetric_limit(fixed_point.STATE_BITS)
"""The largest potential."""

ROOM = STATE // 4
"""How far potentials may get on calibration images: other images have twice as much room in `settle`, which believes
in half of the bits, and four times as much in the potentials."""

FITS = STATE // 5
"""How far sums that bound a quantum may get: what is as large as can be should have some more room for other images."""

FINE = 1 / 256
"""The resolution up to which spikes are as fine as asked for, whatever that leaves of the weights that take them."""

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
    fits = _Fits(shapes, ranges, options)
    least = _least(layers, balanced, fits)
    most = _most(layers, balanced, fits, least)
    names = sorted((most.keys() | least.keys()) - {INPUT})
    return {name: Bounds(least.get(name, 0.0), most.get(name, math.inf)) for name in names}


class _Fits:
    """The finest quanta with which sums have room."""

    def __init__(self, shapes: Mapping[str, Shape], ranges: Mapping[str, Range], options: Options) -> None:
        self.shapes, self.ranges, self.options = shapes, ranges, options

    def quantum(self, layer: FloatLayer, term: Term, *, is_last: bool = False) -> float:
        """Of a source, with which the layer's sums fit, with weights that use their bits in most channels."""
        bits, measured = self.options.weight_bits, self.ranges[layer.name]
        if bits is None or layer.activation.product is not None or term.source == INPUT or not term.gain:
            return 0.0
        largest = np.maximum(np.maximum(measured.highs, -measured.lows), largest_biases(layer, layer.bias))
        if is_whole(term.synapse):  # and stays as it is
            return float(largest.max()) / abs(term.gain) / FITS
        synapse = cast("Weighted", term.synapse)
        rows = row_maxima(synapse, self.shapes[term.source])
        rows = abs(term.gain) * np.minimum(rows, largest_but_outliers(np.ravel(synapse.weight)))
        keeps = is_last or len(layer.terms) > 1 or layer.activation.function is not None  # all of its input
        if keeps or self.options.weight_scales == "layer" or len(largest) != len(rows):
            largest = largest.max(keepdims=True)
        rows = rows.max(keepdims=True) if self.options.weight_scales == "layer" else rows
        steps = self.options.num_steps if keeps else 1
        needed = (steps * fixed_point.symmetric_limit(bits) / FITS * largest / np.maximum(rows, 1e-30))[rows > 0]
        return float(np.median(needed)) if needed.size else 0.0

    def smallest(self, layer: FloatLayer) -> float:
        """Of a layer itself, with which payloads, and what they add up to in all steps, have room."""
        measured, payload = self.ranges[layer.name], max(1, fixed_point.symmetric_limit(self.options.most_message_bits))
        sent = inside = float(measured.maximum.max())
        if layer.activation.function is None and layer.activation.product is None:  # of another unit than the input
            inside = max(sent, float(measured.highs.max()), -float(measured.lows.min()))
            inside = max(inside, float(largest_biases(layer, layer.bias).max()))
        return fixed_point.SPARE * max(sent / payload, inside * self.options.num_steps / STATE)


def _least(layers: Sequence[FloatLayer], balanced: Mapping[str, NDArray[np.float64]], fits: _Fits) -> dict[str, float]:
    """What sums need: of exact ones all, of weights so much that they are not all zero, and their bits up to `FINE`."""
    bounds: dict[str, float] = {}
    for layer in reversed(layers):
        for term in layer.terms:
            needed = fits.quantum(layer, term, is_last=layer is layers[-1])
            if layer.activation.max_pool is not None:  # sends what it takes
                needed = max(needed, bounds.get(layer.name, 0.0))
            elif needed and not is_whole(term.synapse):
                assert fits.options.weight_bits is not None  # of floats nothing is needed
                barely = needed / fixed_point.symmetric_limit(fits.options.weight_bits)
                needed = max(barely, min(needed, FINE * float(balanced[term.source].max())))
            bounds[term.source] = max(bounds.get(term.source, 0.0), needed)
    return bounds


def _most(
    layers: Sequence[FloatLayer],
    balanced: Mapping[str, NDArray[np.float64]],
    fits: _Fits,
    least: Mapping[str, float],
) -> dict[str, float]:
    """What products, functions and constants need, as far as the weights that take the spikes keep their bits."""
    ranges, options = fits.ranges, fits.options
    bounds = _beside_constants(layers, fits)
    for layer in reversed(layers[:-1]):
        # Nothing follows from a layer that is never active.
        threshold = float(usual_thresholds(balanced[layer.name], ranges[layer.name]).max()) or math.inf
        usual = options.resolution_of(layer.name) * threshold
        bound = min(bounds.pop(layer.name, math.inf), usual)
        fitting = max(bound, fits.smallest(layer), least.get(layer.name, 0.0))
        if fitting < usual:
            bounds[layer.name] = fitting
        for term, wanted in _wanted(layer, ranges, usual, fitting):
            bounds[term.source] = min(bounds.get(term.source, math.inf), max(wanted, fits.quantum(layer, term)))
    return bounds


def _beside_constants(layers: Sequence[FloatLayer], fits: _Fits) -> dict[str, float]:
    """Bounds for signed layers whose bias is large beside what varies, and for those that hand on what they send."""
    found: dict[str, float] = {}
    for layer in layers[:-1]:
        handed_on = layer.bias is None and any(source in found for source in layer.sources)
        if layer.activation == SIGNED and (layer.bias is not None or handed_on):
            measured = fits.ranges[layer.name]
            largest, varies = float(measured.maximum.max()), float((measured.highs - measured.lows).max()) / 2
            if largest * LEAST < varies < largest / LITTLE:
                found[layer.name] = fits.options.resolution_of(layer.name) * varies
    for layer in layers:
        for term in (term for term in layer.terms if term.source in found):
            found[term.source] = max(found[term.source], fits.quantum(layer, term))
    return found


def _wanted(
    layer: FloatLayer, ranges: Mapping[str, Range], usual: float, quantum: float
) -> Iterator[tuple[Term, float]]:
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
        yield term, quantum / max(abs(term.gain) * float(np.abs(term.synapse.weights).max()), 1e-30)


def _wanted_by_product(
    layer: FloatLayer, ranges: Mapping[str, Range], usual: float, quantum: float
) -> Iterator[tuple[Term, float]]:
    """Of a square, small ones need fine operands, by the root of what it needs; for large ones, the usual is enough."""
    sizes = [abs(term.gain) * float(ranges[term.source].maximum.max()) for term in layer.terms]
    is_square = len(set(layer.sources)) < len(layer.sources)
    for term, other in zip(layer.terms, reversed(sizes), strict=True):
        unit = (usual if is_square else quantum) / max(other, 1e-30)
        yield term, min(unit, math.sqrt(quantum) if is_square else unit) / max(abs(term.gain), 1e-30)


def _slope(function: Pointwise, low: float, high: float) -> float:
    """The largest one of a function between two inputs, beside its jumps, which no input is fine enough for."""
    x = torch.linspace(low, max(high, low + 1e-6), POINTS, dtype=torch.float64)
    changes, widths = (values.diff().reshape(-1, PARTS) for values in (function.apply(x), x))
    slopes = changes.abs().sum(1) / widths.sum(1)
    jumps = changes.abs().amax(1) > changes.abs().sum(1) / 2
    return max(float(torch.where(slopes.isfinite() & ~jumps, slopes, 0.0).max()), 1e-30)  # of a constant, too
