"""Float weights -> integer weights and threshold.

With ``m = weight * quantum_in / theta`` (the weights of a neuron with threshold 1)::

    vth = largest integer for which max|round(m * vth)| <= 2**(bits-1) - 1
    weight_int = round(m * vth),  bias_int = round(bias / theta * vth)

`round` is numpy's rint: to the nearest, ties to even.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core import fixed_point
from lava_aug.core.errors import ConversionError

MAX_SCALE = 1 << 20
"""Largest threshold that is chosen at resolution 1: it leaves 3 of the state's 23 magnitude bits for the coefficient
of one step. At a finer resolution coefficients are larger, and thresholds leave more
(`lava_aug.conversion.converter`)."""


def integer_scale(weight: NDArray[Any], bias: NDArray[Any] | None, bits: int, largest: int = MAX_SCALE) -> int:
    """The largest integer scale at which weights fit ``bits`` and biases 24 bits; 0 if there is none.

    Parameters
    ----------
    weight, bias : numpy.ndarray
        In units of the threshold.
    bits : int
        Width of a signed weight.
    largest : int
        Largest scale to choose, at most `MAX_SCALE`.

    Examples
    --------
    >>> integer_scale(np.array([0.5, -1.0]), None, bits=8)
    127
    """
    scale = _largest(float(np.abs(weight).max()), fixed_point.symmetric_limit(bits))
    if bias is not None:
        limit = fixed_point.symmetric_limit(fixed_point.STATE_BITS)
        scale = min(scale, _largest(float(np.abs(bias).max()), limit))
    return min(scale, largest)


def _largest(magnitude: float, limit: int) -> int:
    """Largest integer up to `MAX_SCALE` with ``round(magnitude * scale) <= limit``."""
    if magnitude * MAX_SCALE <= limit:
        return MAX_SCALE
    scale = min(MAX_SCALE, math.floor((limit + 0.5) / magnitude) + 1)
    while scale > 0 and np.rint(magnitude * scale) > limit:
        scale -= 1
    return scale


SEARCH_STEPS, SEARCH_RANGE = 33, 2.0


def searched_scale(weights: NDArray[Any], scale: int, bits: int, largest: int) -> int:
    """The scale from ``scale`` to `SEARCH_RANGE` times it with the least squared rounding error of the weights.

    A larger scale rounds finer, and clips the few weights that no longer fit.
    """
    limit = fixed_point.symmetric_limit(bits)
    candidates = np.unique(np.linspace(scale, min(largest, SEARCH_RANGE * scale), SEARCH_STEPS).astype(np.int64))
    errors = [float(((weights - np.rint(weights * s).clip(-limit, limit) / s) ** 2).sum()) for s in candidates]
    return int(candidates[int(np.argmin(errors))])


def rounded(values: NDArray[Any], scale: float) -> NDArray[Any]:
    """``round(values * scale)`` as int64."""
    return np.rint(values * scale).astype(np.int64)


def coarse_limit(bits: int) -> int:
    """Largest magnitude of weights that keep no more than half of their bits, of 8 at most; 0 if they have too few."""
    return max(0, (1 << (min(bits, 8) // 2 - 1)) - 1)


def power_of_two(scale: int) -> int:
    """The largest power of two up to ``scale``: dividing by it is a shift."""
    return 1 << (scale.bit_length() - 1) if scale else 0


def check_scale(scale: int, layer: str) -> int:
    """A usable threshold, or ConversionError."""
    if scale < 1:
        raise ConversionError(
            f"layer {layer!r}: even a threshold of 1 makes its weights or biases too large for their bits; "
            "use more weight bits or a coarser (larger) resolution"
        )
    return scale
