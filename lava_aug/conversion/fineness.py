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
from lava_aug.conversion.signals import SIGNED, FloatLayer, Pointwise, Term
from lava_aug.core import fixed_point
from lava_aug.core.network import INPUT

PARTS = 8
"""An interval in one part of which a function changes more than in all others holds a jump, or the end of a bend."""

POINTS = 4096 * PARTS + 1
"""At which the slope of a function is looked for."""

SPARE = 4
"""How many times more than calibration images give payloads and potentials have room for."""

LITTLE, LEAST = 16, 2.0**-14
"""What varies by less than one sixteenth of a constant beside it needs spikes of its own size; by less than the other
part, it is left of sums that do not differ."""

STATE = fixed_point.symmetric_limit(fixed_point.STATE_BITS)
"""The largest potential."""


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
    bounds = _beside_constants(layers, ranges, options)
    floors = _floors(layers, ranges, options)
    for layer in reversed(layers[:-1]):
        usual = options.resolution_of(layer.name) * _threshold(balanced[layer.name], ranges[layer.name])
        bound = min(bounds.pop(layer.name, math.inf), usual)
        fitting = max(bound, _smallest(layer, ranges[layer.name], options), floors.get(layer.name, 0.0))
        if fitting < usual:
            bounds[layer.name] = fitting
        for term, wanted in _wanted(layer, ranges, usual, fitting):
            least = _with_bits(layer, term, ranges[layer.name], options)
            bounds[term.source] = min(bounds.get(term.source, math.inf), max(wanted, least))
    bounds.pop(INPUT, None)
    return bounds if METHODS[options.method].needs.graded else {}


def _floors(layers: Sequence[FloatLayer], ranges: Mapping[str, Range], options: Options) -> dict[str, float]:
    """The finest quanta of sources with which sums of them have room, whatever is asked of them elsewhere."""
    found: dict[str, float] = {}
    for layer in layers:
        for term in layer.terms:
            floor = _with_bits(layer, term, ranges[layer.name], options, limit=1)
            found[term.source] = max(found.get(term.source, 0.0), floor)
    return found


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
    for layer in layers:
        for term in (term for term in layer.terms if term.source in found):
            found[term.source] = max(found[term.source], _with_bits(layer, term, ranges[layer.name], options))
    return found


def _threshold(balanced: NDArray[np.float64], measured: Range) -> float:
    """The largest output where hardly any differs from zero; infinite, so that nothing follows, where none does."""
    return float(balanced.max()) or float(measured.maximum.max()) or math.inf


def _smallest(layer: FloatLayer, measured: Range, options: Options) -> float:
    """The finest quantum with which payloads, and what they add up to in all steps, have room."""
    largest, payload = float(measured.maximum.max()), max(1, fixed_point.symmetric_limit(options.most_message_bits))
    inside = largest if _bends(layer) else max(largest, _largest_sum(layer, measured))
    return SPARE * max(largest / payload, inside * options.num_steps / STATE)


def _bends(layer: FloatLayer) -> bool:
    """Whether what a layer sends is in another unit than what arrives."""
    return layer.activation.function is not None or layer.activation.product is not None


def _largest_sum(layer: FloatLayer, measured: Range) -> float:
    """The largest potential on calibration images, or bias, with which it begins."""
    bias = 0.0 if layer.bias is None else float(np.abs(layer.bias).max())
    return max(float(measured.highs.max()), -float(measured.lows.min()), bias)


def _with_bits(layer: FloatLayer, term: Term, measured: Range, options: Options, limit: int = 0) -> float:
    """The finest quantum of a source with which weights keep their bits: sums of finer spikes leave them none.

    With ``limit``, the largest weight is to be that; by default as much as 8 bits hold, or 1 where all are alike.
    """
    if layer.activation.product is not None or options.weight_bits is None:
        return 0.0
    magnitudes = np.abs(term.synapse.weights)
    largest = float(magnitudes.max(initial=0.0))
    alike = len(layer.terms) == 1 and bool((magnitudes == largest).all())
    limit = limit or (1 if alike else fixed_point.symmetric_limit(min(options.weight_bits, 8)))
    unit = abs(term.gain) * largest
    return SPARE * _largest_sum(layer, measured) * options.num_steps * limit / max(STATE * unit, 1e-30)


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
