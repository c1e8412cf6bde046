"""Float weights and biases of a layer -> integers: scale (the threshold), exponents, and bias correction."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lava_aug import fixed_point
from lava_aug.conversion.calibration import Range
from lava_aug.conversion.composition import Factors, along_channels, channel_rows, row_maxima, scale_columns, scale_rows
from lava_aug.conversion.float_layers import FloatLayer, Term
from lava_aug.conversion.methods import Options
from lava_aug.conversion.quantize import check_scale, integer_scale, power_of_two, rounded, searched_scale
from lava_aug.errors import ConversionError
from lava_aug.layers import Scale, Shape, Synapse
from lava_aug.network import Connection


class Rounding:
    """Scales and rounds what arrives at a layer.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Shape of the images and of what every layer sends.
    ranges : mapping of str to Range
        From calibration images.
    quanta : mapping of str to float or numpy.ndarray
        What a spike of the images and of every layer so far stands for.
    options : Options
        What was asked for.
    """

    def __init__(
        self,
        shapes: Mapping[str, Shape],
        ranges: Mapping[str, Range],
        quanta: Mapping[str, Factors],
        options: Options,
    ) -> None:
        self.shapes, self.ranges, self.quanta, self.options = shapes, ranges, quanta, options

    def in_units(self, layer: FloatLayer, term: Term, factors: Factors) -> Synapse:
        """A term for spikes of the source's quantum, times factors for the outputs."""
        wide = self.shapes[term.source]
        quantum = self.quanta[term.source]
        columns = scale_columns(term.synapse, quantum * term.gain, wide)
        rows = None if columns is None else scale_rows(columns, factors, wide)
        if rows is None:
            raise ConversionError(
                f"layer {layer.name!r}: {term.synapse.describe()} takes spikes whose quantum differs between the "
                "channels, which lie on another axis there; use thresholds='layer' and weight_scales='layer'"
            )
        if not np.isfinite(rows.weight).all():  # pyright: ignore[reportAttributeAccessIssue]
            raise ConversionError(f"layer {layer.name!r}: weights or biases are NaN or infinite")
        return rows

    def largest_weights(self, layer: FloatLayer) -> np.ndarray:
        """For each channel, the most that one unit of a source's spikes makes, in the model's units."""
        terms = [self.in_units(layer, term, 1.0) for term in layer.terms]
        wides = [self.shapes[term.source] for term in layer.terms]
        return np.max([row_maxima(s, wide) for s, wide in zip(terms, wides, strict=True)], axis=0)

    def scale(self, layer: FloatLayer, terms: list[Synapse], bias: np.ndarray | None, finest: int) -> Any:
        """The threshold: the largest with which weights and biases fit their bits; one, or one for each channel."""
        if bias is not None and not np.isfinite(bias).all():
            raise ConversionError(f"layer {layer.name!r}: weights or biases are NaN or infinite")
        if self.options.weight_bits is None:
            return 1.0
        wides = [self.shapes[term.source] for term in layer.terms]
        maxima = np.array([row_maxima(s, wide) for s, wide in zip(terms, wides, strict=True)])
        shape, biases = layer.current_shape, np.zeros(layer.current_shape[0])
        if bias is not None:
            biases = np.abs(np.broadcast_to(bias, shape)).reshape(shape[0], -1).max(axis=1)
        if self.options.weight_scales == "layer" or not self._has_channels(terms, wides):
            weights = [np.ravel(term.weight) for term in terms]  # pyright: ignore[reportAttributeAccessIssue]
            return self._fitting(layer, weights, maxima.max(axis=1), biases.max(), finest)
        rows = zip(*(channel_rows(s, wide) for s, wide in zip(terms, wides, strict=True)), strict=True)
        found = [self._fitting(layer, r, m, b, finest) for r, m, b in zip(rows, maxima.T, biases, strict=True)]
        return along_channels(np.array(found), shape) if len(set(found)) > 1 else found[0]

    def _has_channels(self, terms: list[Synapse], wides: list[Shape]) -> bool:
        """Whether every term's outputs can be scaled channel by channel, without becoming another kind of synapse."""
        shapes = [s.output_shape(w) for s, w in zip(terms, wides, strict=True)]
        factors = [along_channels(np.arange(1.0, 1 + shape[0]), shape) for shape in shapes]
        return all(type(scale_rows(s, f, w)) is type(s) for s, f, w in zip(terms, factors, wides, strict=True))

    def _fitting(
        self, layer: FloatLayer, weights: Sequence[np.ndarray], maxima: np.ndarray, bias: float, finest: int
    ) -> int:
        """The largest scale at which one connection's weights fit their bits; where several meet, the finest one's.

        A connection with larger weights takes an exponent then (`_with_exponent`), as Loihi's synapses have one.
        """
        bits = self.options.weight_bits
        assert bits is not None  # float networks have no integer scale
        biases, present = np.array([bias]), maxima[maxima > 0]
        fits = [integer_scale(np.array([largest]), biases, bits, finest) for largest in present]
        scale = max(fits, default=integer_scale(np.zeros(1), biases, bits, finest))
        scale = check_scale(scale, layer.name)
        if self.options.search and len(present) == len(maxima) == 1:
            bound = min(finest, integer_scale(np.zeros(1), biases, bits, finest))
            scale = searched_scale(weights[0][weights[0] != 0].astype(np.float64), scale, bits, bound)
        return power_of_two(scale) if self.options.power_of_two_vth else scale

    def rounded(
        self, layer: FloatLayer, terms: list[Synapse], bias: np.ndarray | None, scale: Any
    ) -> tuple[tuple[Connection, ...], np.ndarray | None]:
        """Synapses and bias in the network's number format."""
        sources = [term.source for term in layer.terms]
        bits = self.options.weight_bits
        if bits is None:
            return tuple(map(Connection, sources, terms)), bias
        made: list[Connection] = []
        for source, term in zip(sources, terms, strict=True):
            scaled: Any = scale_rows(term, scale, self.shapes[source])
            made += [Connection(source, whole) for whole in _whole_numbers(scaled, bits, alone=len(terms) == 1)]
        if self.options.bias_correction:
            bias = self._corrected(layer, terms, made, bias, scale)
        return tuple(made), None if bias is None else rounded(bias * scale, 1)

    def _corrected(
        self, layer: FloatLayer, terms: list[Synapse], made: list[Connection], bias: np.ndarray | None, scale: Any
    ) -> np.ndarray | None:
        """The bias, less what rounding the weights adds to the mean of each channel on calibration images.

        The sum is linear in the spikes, so their means are all that is needed (Nagel et al., ICCV 2019, "Data-free
        quantization through weight equalization and bias correction", section 4.2).
        """
        error: Any = 0.0
        for source, whole in made:
            error = error + whole.accumulate(self._mean(source))[0] / scale
        for term, exact in zip(layer.terms, terms, strict=True):
            error = error - exact.accumulate(self._mean(term.source))[0]
        channels = error.reshape(len(error), -1).mean(axis=1)
        shift = along_channels(channels, layer.current_shape)
        return -shift if bias is None else bias - shift

    def _mean(self, source: str) -> np.ndarray:
        """Mean spikes of a layer, as a batch of one."""
        return (self.ranges[source].mean / self.quanta[source])[None]


def _whole_numbers(synapse: Any, bits: int, *, alone: bool) -> list[Synapse]:
    """Weights rounded to so many bits, times a power of two where they meet finer ones.

    The identity of a residual sum is one weight for each channel, and its rounding error would be the same in every
    residual sum: what is left of it goes into a second connection.
    """
    weight = synapse.weight.astype(np.float64)
    coarse = _with_exponent(weight, bits, alone=alone)
    found = [synapse.replace(weight=coarse)]
    rest = np.rint(weight - coarse)
    if isinstance(synapse, Scale) and not alone and rest.any():
        found.append(synapse.replace(weight=_with_exponent(rest, bits, alone=False)))
    return found


def _with_exponent(weight: np.ndarray, bits: int, *, alone: bool) -> np.ndarray:
    """``round(weight / 2**e) * 2**e`` with the smallest e for which quotients fit; e = 0 for a single connection."""
    limit = fixed_point.symmetric_limit(bits)
    exponent = 0
    while not alone and np.rint(np.abs(weight).max() / (1 << exponent)) > limit:
        exponent += 1
    return rounded(weight, 1 / (1 << exponent)).clip(-limit, limit) << exponent
