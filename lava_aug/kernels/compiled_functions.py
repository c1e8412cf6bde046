"""A time step of neurons that compute a function, compiled by numba: see `lava_aug.kernels.compiled`.

Potentials and sums come in float32, where they are exact; products are integers of 64 bits, as in
`lava_aug.core.functions.FunctionNeuron`, which checks that they fit. Of floating-point neurons they are float64.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from lava_aug.kernels.counting import CAPPED, EVENTS, LARGEST, SATURATED, SPIKE_SUM


class Curve(NamedTuple):
    """What `fire` needs to know of a function: `FunctionNeuron`'s parameters, int64, or float64 for floating point.

    ``fraction`` is ``2**fraction_bits``, and ``step`` and ``unit`` are ``2**step_bits`` and ``2**shift``, or, of
    integers, their exponents.
    """

    table: NDArray[Any]
    low: Any
    fraction: Any
    step: Any
    unit: Any
    half: Any


def total(x: Any, t: Any, vth: Any, curve: Any) -> Any:
    """The sum of the coefficients after ``t`` steps in which ``x`` came in."""
    raise NotImplementedError("only compiled code calls it")


@overload(total)
def _total(x: Any, t: Any, vth: Any, curve: Any) -> Any:
    return _total_of_floats if isinstance(vth, numba.types.Float) else _total_of_integers


def _total_of_integers(x: Any, t: Any, vth: Any, curve: Any) -> Any:
    m = (np.int64(x) << curve.fraction) // (t * vth) - curve.low
    i = min(max(m >> curve.step, 0), curve.table.shape[0] - 2)
    left = curve.table[i]
    value = left + ((curve.table[i + 1] - left) * (m - (i << curve.step)) >> curve.step)
    return (t * value + curve.half) >> curve.unit


def _total_of_floats(x: Any, t: Any, vth: Any, curve: Any) -> Any:
    m = (np.float64(x) * curve.fraction / (t * vth) - curve.low) / curve.step
    i = int(min(max(np.floor(m), 0), curve.table.shape[0] - 2))
    left = curve.table[i]
    return np.floor((t * (left + (curve.table[i + 1] - left) * (m - i)) + curve.half) / curve.unit)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fire(
    v: NDArray[Any],
    n: NDArray[Any],
    a: NDArray[Any],
    bias: NDArray[Any],
    s: NDArray[Any],
    counts: NDArray[Any],
    t: int,
    vth: NDArray[Any],
    curve: Curve,
    limit: Any,
    low: Any,
    high: Any,
) -> None:
    """Integrate ``v (B, neurons)``, send in ``s`` what its total has changed by, and count."""
    for b in range(v.shape[0]):
        vb, nb, ab, sb = v[b], n[b], a[b], s[b]
        events, size, saturated, capped, largest = np.int32(0), np.int64(0), np.int32(0), np.int32(0), np.int32(0)
        for i in range(v.shape[1]):
            raw = np.float32(vb[i] + ab[i] + bias[i])
            x = min(max(raw, low), high)
            wanted = total(x, t, vth[i], curve) - np.int64(nb[i])
            out = min(max(wanted, -limit), limit)
            sb[i] = out
            vb[i] = x
            nb[i] += np.float32(out)
            events += np.int32(out != 0)
            change = np.int32(abs(out))
            size += change
            largest = max(largest, change)
            saturated += np.int32(raw != x)
            capped += np.int32(out != wanted)
        counts[b, EVENTS], counts[b, SPIKE_SUM] = events, size
        counts[b, SATURATED], counts[b, CAPPED], counts[b, LARGEST] = saturated, capped, largest
