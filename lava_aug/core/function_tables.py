"""The table of a real function, for the neuron that computes it, and how far the two are apart."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lava_aug.core import fixed_point
from lava_aug.core.errors import SpecError
from lava_aug.core.functions import MAX_PRODUCT, FunctionNeuron
from lava_aug.core.spec import Numbers, is_int

SEGMENTS = 256
"""Default number of lines between entries."""

SHIFT = 8
"""Fraction bits of entries: what is rounded there is a small part of what is rounded when a coefficient is sent."""

FINENESS = 64
"""Into how many parts of the output's quantum a unit of the mean input divides it, where the function is steepest."""

MAX_FRACTION_BITS = 24
"""Beyond them steeper functions lose accuracy instead of bits."""

SAMPLES = 32
"""Points at which each line is compared with the function."""

SLACK = 1 + 1e-9
"""What is added to the bound for the rounding of float64."""

Function = Callable[[NDArray[Any]], Any]


class Tabulated(NamedTuple):
    """A neuron for a real function, and how far it is from it.

    Attributes
    ----------
    neuron : FunctionNeuron
        The neuron.
    error : float
        Bound on ``|quantum_out * n / t - f(x)|``, in the function's units, for every number of steps ``t`` and every
        mean input ``x`` within the range, if nothing was saturated or capped.
    lasting : float
        What of it remains in long windows: after ``t`` steps the bound is ``lasting + quantum_out / (2 * t)``.
    """

    neuron: FunctionNeuron
    error: float
    lasting: float


class _Range(NamedTuple):
    low: float
    high: float

    def points(self, count: int) -> NDArray[Any]:
        return np.linspace(self.low, self.high, count)


def function_table(
    function: Function,
    vth: Numbers,
    *,
    quantum_in: float,
    quantum_out: float,
    low: float,
    high: float,
    segments: int = SEGMENTS,
    message_bits: int = fixed_point.MESSAGE_BITS,
    name: str | None = None,
) -> Tabulated:
    """The neuron that computes a real function of its mean input.

    Its table has the function at equal distances, 0 among them, and lines between them. The stated bound adds up the
    largest distance between lines and function, measured at many points; the steepest line times one unit of the mean
    input, which is rounded down; one unit of the table, for the line's own rounding; and half a coefficient, for that
    of the sum.

    Parameters
    ----------
    function : callable
        From float64 arrays to arrays of the same shape, finite in the range, and only asked there. Where it jumps, as a
        sign or floor does, the bound means nothing.
    vth : int, float or array
        Input current that stands for ``quantum_in``; see `FunctionNeuron`.
    quantum_in, quantum_out : float
        What one ``vth`` of mean input, and one unit of coefficient per step, stand for.
    low, high : float
        Range of the mean input, in the function's units. Beyond it the first and the last line go on.
    segments : int
        Most lines that the table may have, at least 2. A function that is much steeper at one end, as a square root
        is, takes more.
    message_bits : int
        Width of the payload, which must hold the function's values in the range.
    name : str, optional
        Name of the function, for people.

    Returns
    -------
    Tabulated
        The neuron, and the bound on its error.

    Raises
    ------
    SpecError
        If a quantum is not positive, the range is empty, the function is not finite in it, or the numbers are too large
        for the payload or for 64 bits.
    """
    _check("quantum_in", quantum_in, 0 < quantum_in < math.inf, "a positive number")
    _check("quantum_out", quantum_out, 0 < quantum_out < math.inf, "a positive number")
    _check("segments", segments, is_int(segments) and segments >= 2, "an integer of at least 2")
    _check("low and high", (low, high), -math.inf < low < high < math.inf, "finite numbers, the first the smaller one")
    inside = _Range(float(low), float(high))
    points = inside.points(SAMPLES * segments + 1)
    values = _values(function, points)
    limit = fixed_point.symmetric_limit(message_bits) * quantum_out
    if np.abs(values).max() > limit:
        raise SpecError(
            f"function_table: the function reaches {np.abs(values).max():g}, coefficients of {message_bits} bits reach "
            f"{limit:g}; use more message_bits, or a larger quantum_out"
        )
    steepest = float(np.abs(np.diff(values)).max()) / (points[1] - points[0]) * quantum_in / quantum_out
    finest = max(FINENESS * steepest, segments * quantum_in / (high - low), 1)
    fraction_bits = min(math.ceil(math.log2(finest)), _room(vth, float(np.abs(values).max()) / quantum_out))
    unit = quantum_in / 2**fraction_bits
    step_bits, entries = _grid(math.floor(low / unit), math.ceil(high / unit), segments)
    nodes = (entries << step_bits) * unit
    neuron = FunctionNeuron(
        vth=vth,
        table=np.rint(_at_nodes(function, nodes, inside) / quantum_out * 2**SHIFT).astype(np.int64),
        low=int(entries[0]) << step_bits,
        step_bits=step_bits,
        fraction_bits=fraction_bits,
        shift=SHIFT,
        message_bits=message_bits,
        function=name,
    )
    lasting = SLACK * _lasting(neuron.table * (quantum_out / 2**SHIFT), nodes, points, values, unit)
    lasting += SLACK * quantum_out / 2**SHIFT
    return Tabulated(neuron, lasting + quantum_out / 2, lasting)


def _check(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise SpecError(f"function_table: expected {name} to be {expected}, found {value!r}")


def _values(function: Function, x: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(all="ignore"):
        values = np.asarray(function(x), np.float64)
    if values.shape != x.shape or not np.isfinite(values).all():
        wrong = f"shape {values.shape}" if values.shape != x.shape else f"{values[~np.isfinite(values)][0]}"
        raise SpecError(
            f"function_table: expected finite values of shape {x.shape} from {x[0]:g} to {x[-1]:g}, found {wrong}"
        )
    return values


def _room(vth: Numbers, largest: float) -> int:
    """Most fraction bits with which no product on a line between entries of up to ``largest`` can be too large."""
    rise = math.ceil(2 * largest * 2**SHIFT).bit_length()
    state = fixed_point.STATE_BITS - (max(1, int(np.min(vth))).bit_length() - 1)
    return max(0, min(MAX_PRODUCT.bit_length() - 2 - rise - state, MAX_FRACTION_BITS))


def _grid(first: int, last: int, segments: int) -> tuple[int, NDArray[Any]]:
    """``step_bits``, and the multiples of ``2**step_bits`` on which entries are, from below ``first`` to ``last``."""
    step_bits = 0
    while -(-last >> step_bits) - (first >> step_bits) > segments:
        step_bits += 1
    return step_bits, np.arange(first >> step_bits, -(-last >> step_bits) + 1)


def _at_nodes(function: Function, nodes: NDArray[Any], inside: _Range) -> NDArray[Any]:
    """The function at the nodes; where they are beyond the range, on lines through its ends."""
    width = min(nodes[1] - nodes[0], inside.high - inside.low)
    ends = np.array([inside.low, inside.low + width, inside.high - width, inside.high])
    low, above, below, high = _values(function, ends.clip(*inside))
    values = _values(function, nodes.clip(*inside))
    values += (nodes - inside.low).clip(max=0) * (above - low) / width
    return values + (nodes - inside.high).clip(min=0) * (high - below) / width


def _lasting(
    lines: NDArray[Any], nodes: NDArray[Any], points: NDArray[Any], values: NDArray[Any], unit: float
) -> float:
    """The largest distance of the lines from the function between ``points``, with what a unit less of input changes.

    Between two points both may bend once more: by no more than a quarter of what they bend at these points.
    """
    drawn = np.interp(points, nodes, lines)
    bend = np.pad(sum(np.abs(np.diff(each, 2)) for each in (values, drawn)), 1, mode="edge") / 4
    slopes = np.abs(np.diff(lines) / np.diff(nodes))
    steeper = np.maximum(slopes, np.concatenate([slopes[:1], slopes[:-1]]))
    found = steeper[np.clip(np.searchsorted(nodes, points, side="right") - 1, 0, len(slopes) - 1)] * unit
    distance, change = (np.maximum(each[:-1], each[1:]) for each in (np.abs(values - drawn), found))
    return float((distance + bend[:-1] + bend[1:] + change).max())
