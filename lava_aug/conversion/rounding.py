"""Float weights and biases of a layer -> integers: scale (the threshold) and exponents."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from lava_aug.conversion.adaptive import rounded_to_inputs
from lava_aug.conversion.composition import Factors, along_channels, row_maxima, scale_columns, scale_rows
from lava_aug.conversion.methods import Options
from lava_aug.conversion.quantize import (
    MAX_SCALE,
    check_scale,
    coarse_limit,
    integer_scale,
    power_of_two,
    rounded,
    searched_scale,
)
from lava_aug.conversion.signals import FloatLayer, Term
from lava_aug.core import fixed_point
from lava_aug.core.errors import ConversionError
from lava_aug.core.layers import Dense, Shape, Sparse
from lava_aug.core.network import Connection
from lava_aug.core.synapse import Weighted


class Room(NamedTuple):
    """How large scales may be, so that potentials stay within their bits.

    Attributes
    ----------
    hard : int
        What none may exceed, at least 1.
    soft : numpy.ndarray or float
        For each channel, what is safe for calibration images in all steps; it may cost what weights have beyond 8 bits,
        or one bit.
    idle : numpy.ndarray or bool
        Channels that are never active: of a scale of their own, ``soft`` may cost all bits.
    """

    hard: int
    soft: NDArray[Any] | float = np.inf
    idle: NDArray[Any] | bool = False


class Rounding:
    """Scales and rounds what arrives at a layer.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Shape of the images and of what every layer sends.
    quanta : mapping of str to float or numpy.ndarray
        What a spike of the images and of every layer so far stands for.
    options : Options
        What was asked for.
    remarks : list of str
        Takes on what the user should be warned about.
    sent : mapping of str to tensor
        What sources send on calibration images, for which weights are rounded together; without it, each to the
        nearest.
    """

    def __init__(
        self,
        shapes: Mapping[str, Shape],
        quanta: Mapping[str, Factors],
        options: Options,
        remarks: list[str],
        sent: Mapping[str, torch.Tensor],
    ) -> None:
        self.shapes, self.quanta, self.options = shapes, quanta, options
        self.remarks, self.sent = remarks, sent

    def in_units(self, layer: FloatLayer, term: Term, factors: Factors) -> Weighted:
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
        if not np.isfinite(rows.weight).all():
            raise ConversionError(f"layer {layer.name!r}: weights or biases are NaN or infinite")
        return rows

    def largest_weights(self, layer: FloatLayer) -> NDArray[Any]:
        """For each channel, the most that one unit of a source's spikes makes, in the model's units."""
        terms = [self.in_units(layer, term, 1.0) for term in layer.terms]
        wides = [self.shapes[term.source] for term in layer.terms]
        return np.max([row_maxima(s, wide) for s, wide in zip(terms, wides, strict=True)], axis=0)

    def scale(self, layer: FloatLayer, terms: list[Weighted], bias: NDArray[Any] | None, room: Room) -> Any:
        """The threshold: the largest with which weights and biases fit their bits; one, or one for each channel."""
        if bias is not None and not np.isfinite(bias).all():
            raise ConversionError(f"layer {layer.name!r}: weights or biases are NaN or infinite")
        if self.options.weight_bits is None:
            return 1.0
        wides, shape = [self.shapes[term.source] for term in layer.terms], layer.current_shape
        maxima, biases = self._row_maxima(layer, terms), largest_biases(layer, bias)
        soft, idle = (np.broadcast_to(limit, biases.shape) for limit in (room.soft, room.idle))
        hard = np.where(idle, np.minimum(soft, room.hard), room.hard).clip(min=1).astype(np.int64)
        if self.options.weight_scales == "layer" or not self._has_channels(terms, wides):
            weights = [np.ravel(term.weight) for term in terms]
            largest = np.array([largest_but_outliers(each) for each in weights])
            return self._fitting(layer, weights, largest, biases.max(), Room(int(hard.max()), soft.min()))
        rows = zip(*(s.channel_rows(wide) for s, wide in zip(terms, wides, strict=True)), strict=True)
        channels = zip(rows, maxima.T, biases, map(Room, hard.tolist(), soft), strict=True)
        thresholds = [self._fitting(layer, *channel) for channel in channels]
        return along_channels(np.array(thresholds), shape) if len(set(thresholds)) > 1 else thresholds[0]

    def _row_maxima(self, layer: FloatLayer, terms: list[Weighted]) -> NDArray[Any]:
        """Largest ``|weight|`` of each term into each channel, ``(terms, channels)``."""
        wides = [self.shapes[term.source] for term in layer.terms]
        return np.array([row_maxima(s, wide) for s, wide in zip(terms, wides, strict=True)])

    def finer_scale(
        self, layer: FloatLayer, terms: list[Weighted], bias: NDArray[Any] | None, scale: Any, room: Room
    ) -> Any:
        """A readout's scale with which all rows keep bits, if there is one that is larger: rows take exponents then."""
        bits = self.options.weight_bits
        rows = self._row_maxima(layer, terms).max(axis=0)
        if bits is None or not rows.any() or np.rint(rows[rows > 0].min() * scale) > coarse_limit(bits):
            return scale
        finest = integer_scale(rows[rows > 0].min(), largest_biases(layer, bias), bits, room.hard)
        return max(scale, finest)

    def _has_channels(self, terms: list[Weighted], wides: list[Shape]) -> bool:
        """Whether every term's outputs can be scaled channel by channel, without becoming another kind of synapse."""
        shapes = [s.output_shape(w) for s, w in zip(terms, wides, strict=True)]
        factors = [along_channels(np.arange(1.0, 1 + shape[0]), shape) for shape in shapes]
        return all(type(scale_rows(s, f, w)) is type(s) for s, f, w in zip(terms, factors, wides, strict=True))

    def _fitting(
        self, layer: FloatLayer, weights: Sequence[NDArray[Any]], maxima: NDArray[Any], bias: float, room: Room
    ) -> int:
        """The largest scale at which one connection's weights fit their bits; where several meet, the finest one's.

        A connection with larger weights takes an exponent then (`_with_exponent`), as Loihi's synapses have one.
        """
        bits = self.options.weight_bits
        assert bits is not None  # float networks have no integer scale
        biases, present, finest = np.array([bias]), maxima[maxima > 0], room.hard
        fits = [integer_scale(np.array([largest]), biases, bits, finest) for largest in present]
        scale = max(fits, default=integer_scale(np.zeros(1), biases, bits, finest))
        scale = check_scale(scale, layer.name)
        if self.options.search and len(present) == len(maxima) == 1:
            bound = min(finest, integer_scale(np.zeros(1), biases, bits, finest))
            scale = searched_scale(weights[0][weights[0] != 0].astype(np.float64), scale, bits, bound)
        eight = fixed_point.symmetric_limit(8) / present.max(initial=1e-30)  # weights as large as 8 bits have them
        scale = max(1, int(room.soft)) if min(scale / 2, eight) <= room.soft < scale else scale
        return power_of_two(scale) if self.options.power_of_two_vth else scale

    def rounded(
        self, layer: FloatLayer, terms: list[Weighted], bias: NDArray[Any] | None, scale: Any, *, by_rows: bool = False
    ) -> tuple[tuple[Connection, ...], NDArray[Any] | None]:
        """Synapses and bias in the network's number format; ``by_rows``: rows may take exponents of their own."""
        bits = self.options.weight_bits
        if bits is None:
            return tuple(map(Connection, layer.sources, terms)), bias
        made: list[Connection] = []
        for source, term in zip(layer.sources, terms, strict=True):
            wide = self.shapes[source]
            scaled: Any = scale_rows(term, scale, wide)
            self._note_bits(layer, source, scaled)
            parts = _by_size(scaled, wide, bits) if by_rows else _by_place(scaled, wide, bits, scale)
            alone = len(terms) == 1 and not by_rows and len(parts) == 1
            sent = self.sent.get(source)
            made += [Connection(source, w) for part in parts for w in _whole_numbers(part, bits, sent, alone=alone)]
        return tuple(made), None if bias is None else rounded(bias * scale, 1)

    def _note_bits(self, layer: FloatLayer, source: str, scaled: Any) -> None:
        """A remark if rounding leaves no more than half of the weights' bits, and they are not all one whole number."""
        bits = self.options.weight_bits
        assert bits is not None
        sizes = np.abs(scaled.weight[scaled.weight != 0])
        largest = np.rint(sizes.max(initial=0.0))
        if largest <= coarse_limit(bits) and not np.allclose(sizes, largest, rtol=1 / MAX_SCALE):
            self.remarks.append(
                f"layer {layer.name!r}: its weights for what {source!r} sends lie within +-{largest:.0f}, of "
                f"{bits} bits; larger ones would make its biases or potentials exceed "
                f"{fixed_point.STATE_BITS} bits. "
                "Use fewer time steps, a coarser (larger) resolution or, before the last layer, weight_scales='channel'"
            )

    def note_rows(self, layer: FloatLayer, terms: list[Weighted], scale: float) -> None:
        """A remark if rounding leaves some outputs, but not all, no more than half of their weights' bits."""
        bits = self.options.weight_bits
        if bits is None:
            return
        rows = self._row_maxima(layer, terms).max(axis=0)
        coarse = (rows > 0) & (np.rint(rows * scale) <= coarse_limit(bits))
        if coarse.any() and not coarse.all():
            named = ", ".join(map(str, np.flatnonzero(coarse)[:MOST_NAMED])) + (
                ", …" if coarse.sum() > MOST_NAMED else ""
            )
            self.remarks.append(
                f"layer {layer.name!r}: outputs {named} have weights so much smaller than others' that they lie within "
                f"+-{np.rint(rows * scale)[coarse].max():.0f}, of {bits} bits, since all of the readout has one unit. "
                "Use fewer time steps or a coarser (larger) resolution, or scale the outputs alike"
            )


MOST_NAMED = 10
"""Outputs that a remark lists."""

SHARED_BITS = 3
"""Rows of a readout share an exponent up to so many powers of two between the largest and the smallest one."""


OUTLIERS, OUTLYING = 1 / 1024, 8
"""Weights that are so many times larger than all but such a part of them get a connection of their own."""


def largest_biases(layer: FloatLayer, bias: NDArray[Any] | None) -> NDArray[Any]:
    """Largest ``|bias|`` of each channel."""
    shape = layer.current_shape
    return np.abs(np.broadcast_to(0.0 if bias is None else bias, shape)).reshape(shape[0], -1).max(axis=1)


def largest_but_outliers(weights: NDArray[Any]) -> float:
    """The largest ``|weight|``, without those few that are many times larger than all others."""
    sizes = np.abs(weights[weights != 0])
    if not sizes.size:
        return 0.0
    usual = OUTLYING * float(np.quantile(sizes, 1 - OUTLIERS))
    return float(sizes[sizes <= usual].max())


def _by_place(synapse: Weighted, wide: Shape, bits: int, scale: Any) -> list[Weighted]:
    """The synapse, and one with its outliers alone, where they exceed the bits of a scale for all."""
    weights, usual = synapse.weight, largest_but_outliers(np.ravel(synapse.weight))
    if np.ndim(scale) or np.abs(weights).max(initial=0.0) <= max(usual, fixed_point.symmetric_limit(bits) + 0.5):
        return [synapse]
    outlying = np.abs(weights) > usual
    few = synapse.replace(weight=weights * outlying)
    outliers = Sparse.from_map(few.matrix(wide), few.output_shape(wide))
    return [synapse.replace(weight=weights * ~outlying), outliers]


def _by_size(synapse: Weighted, wide: Shape, bits: int) -> list[Weighted]:
    """Synapses that add up to it, each with those rows that can share an exponent."""
    rows = row_maxima(synapse, wide)
    exponents = np.ceil(np.log2(np.maximum(rows / fixed_point.symmetric_limit(bits), 1)))
    groups = list(_groups(exponents, rows > 0))
    if len(groups) < 2:
        return [synapse]
    groups.sort(key=np.count_nonzero)
    return [*(_some_rows(synapse, group, wide) for group in groups[:-1]), _zeroed(synapse, groups[-1], wide)]


def _groups(exponents: NDArray[Any], left: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Masks of channels, from the largest exponents down."""
    while left.any():
        group = left & (exponents > exponents[left].max() - SHARED_BITS)
        yield group
        left = left & ~group


def _some_rows(synapse: Weighted, group: NDArray[Any], wide: Shape) -> Weighted:
    """Some rows alone: where the type can, without synapses for the others."""
    return _SOME_ROWS.get(type(synapse), _zeroed)(synapse, group, wide)


def _some_rows_of_dense(synapse: Dense, group: NDArray[Any], wide: Shape) -> Weighted:
    shape = synapse.output_shape(wide)
    if len(shape) > 1:  # along the last axis
        return _zeroed(synapse, group, wide)
    return Sparse.from_scipy(scipy.sparse.csr_matrix(synapse.weight * group[:, None]), shape)


def _zeroed(synapse: Weighted, group: NDArray[Any], wide: Shape) -> Weighted:
    masked = scale_rows(synapse, along_channels(group.astype(np.float64), synapse.output_shape(wide)), wide)
    assert masked is not None  # what has been scaled by rows can be again
    return masked


_SOME_ROWS: dict[type, Callable[[Any, NDArray[Any], Shape], Weighted]] = {Dense: _some_rows_of_dense}


def _whole_numbers(synapse: Weighted, bits: int, sent: torch.Tensor | None, *, alone: bool) -> list[Weighted]:
    """Weights rounded to so many bits, times a power of two where they meet finer ones.

    The identity of a residual sum is one weight for each channel, and its rounding error would be the same in every
    residual sum: what is left of it goes into a second connection.
    """
    weight, limit = synapse.weight.astype(np.float64), fixed_point.symmetric_limit(bits)
    step = 1 if alone else _step(weight, limit)
    together = None if sent is None else rounded_to_inputs(synapse, sent, step, limit)
    coarse = _multiples(weight, step, limit) if together is None else together
    parts = [synapse.replace(weight=coarse)]
    rest = np.rint(weight - coarse)
    if synapse.keeps_place and not alone and rest.any():
        parts.append(synapse.replace(weight=_multiples(rest, _step(rest, limit), limit)))
    return parts


def _step(weight: NDArray[Any], limit: int) -> int:
    """The smallest power of two of which at most ``limit`` make the largest weight."""
    step = 1
    while np.rint(np.abs(weight).max() / step) > limit:
        step *= 2
    return step


def _multiples(weight: NDArray[Any], step: int, limit: int) -> NDArray[Any]:
    """The nearest multiples of ``step``, up to ``limit`` of them."""
    return rounded(weight, 1 / step).clip(-limit, limit) * step
