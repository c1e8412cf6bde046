"""Bit widths and integer primitives: the only place that knows how many bits anything has.

Every function takes numpy arrays and torch tensors alike and returns the kind it was given, so that one neuron
specification serves the simulator, the Lava ProcessModels and the tests. Integers may also be carried in floating
point (torch has no fast integer convolution); the docstrings say why the result is the same.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeIs

STATE_BITS = 24
"""Width of ``v``, of biases and of thresholds: Lava's LIF declares ``v`` with 24 bits of precision
(``lava/proc/lif/models.py``), as Loihi's compartment voltage has."""

MESSAGE_BITS = 16
"""Default width of a graded spike's signed payload, as netx gives Sigma-Delta neurons (lava/lib/dl/netx/hdf5.py)."""

MAX_MESSAGE_BITS = 24
"""Widest payload that a neuron may be given: lava-dl's graded ports declare 24 bits of precision."""

SPARE = 4
"""How many times more than known images give payloads have room for."""

WEIGHT_BITS = 8
"""Default width of a signed weight, sign included."""

PORT_BITS = 32
"""Width of the integers that travel between Lava processes (``np.int32`` ports)."""

Array = Any
"""A numpy array or a torch tensor."""


def is_array(value: object) -> TypeIs[NDArray[Any]]:
    """Whether a value is a numpy array, of elements of any type."""
    return isinstance(value, np.ndarray)


def is_numpy(value: object) -> TypeIs[NDArray[Any] | np.generic]:
    """Whether a value is a numpy array or one of numpy's numbers."""
    return isinstance(value, (np.ndarray, np.generic))


def is_list(value: object) -> TypeIs[list[Any] | tuple[Any, ...]]:
    """Whether a value is a list or tuple, of anything."""
    return isinstance(value, (list, tuple))


def is_mapping(value: object) -> TypeIs[Mapping[Any, Any]]:
    """Whether a value is a mapping, of anything."""
    return isinstance(value, Mapping)


def is_iterable(value: object) -> TypeIs[Iterable[Any]]:
    """Whether a value can be iterated over."""
    return isinstance(value, Iterable)


def einsum(subscripts: str, *operands: NDArray[Any], optimize: bool = False) -> NDArray[Any]:
    """numpy's, which leaves types open."""
    return cast(Any, np).einsum(subscripts, *operands, optimize=optimize)


BLOCK = 1 << 20
"""Elements that are looked at together where arrays may be large."""


def signed_range(bits: int) -> tuple[int, int]:
    """Smallest and largest two's complement integer: ``(-2**(bits-1), 2**(bits-1) - 1)``."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def symmetric_limit(bits: int) -> int:
    """Largest magnitude that both signs can have: ``2**(bits-1) - 1``. Used for weights and spike coefficients."""
    return (1 << (bits - 1)) - 1


def payload_bits(largest: float) -> int:
    """Width of a signed payload for coefficients of which known images give magnitudes up to ``largest``.

    Examples
    --------
    >>> payload_bits(8)
    7
    """
    return min(max(math.ceil(SPARE * largest).bit_length() + 1, 2), MAX_MESSAGE_BITS)


def saturate(x: Array, bits: int = STATE_BITS) -> Array:
    """Clip to the signed range of ``bits``: ``min(max(x, -2**(bits-1)), 2**(bits-1) - 1)``.

    Examples
    --------
    >>> saturate(np.array([-9, 7, 8]), bits=4)
    array([-8,  7,  7])
    """
    low, high = signed_range(bits)
    return x.clip(low, high)


def floor_div(x: Array, y: Array) -> Array:
    """``floor(x / y)`` for ``y > 0``, exact for integers in any carrier.

    Integer arrays use integer division. Floating-point carriers divide and round down, which is exact as long as
    ``|x| + y < 2**24`` in float32 (``2**53`` in float64). Proof: let ``k = floor(x/y) + 1``, so ``x/y <= k - 1/y``.
    A wrong result needs the rounded quotient to reach ``k``, so ``1/y`` would have to be at most half the spacing of
    floats next to ``k``, which is at most ``|k| * 2**-24``; but ``|k| * y <= |x| + y < 2**24``.

    The divisor goes to torch as a tensor of the same device: by a Python number, torch's CUDA kernel multiplies with
    the rounded reciprocal instead (``aten/src/ATen/native/cuda/BinaryDivTrueKernel.cu``), and ``41 * (1 / 41) < 1``.
    """
    if is_numpy(x):
        return x // y if x.dtype.kind in "iu" else np.floor(x / y)
    if not x.is_floating_point():
        return x // y
    return (x / (x.new_full((), y) if isinstance(y, (int, float)) else y)).floor()


def extremes(x: Array) -> tuple[float, float]:
    """Smallest and largest element."""
    low, high = (x.min(), x.max()) if is_numpy(x) else x.aminmax()
    return low.item(), high.item()


def cast_like(mask: Array, like: Array) -> Array:
    """Booleans, as zeros and ones, or other numbers in the number format of ``like``."""
    return mask.astype(like.dtype) if is_numpy(mask) else mask.to(like.dtype)


def is_whole(x: Array) -> bool:
    """Whether an array is of integers by its type."""
    return x.dtype.kind in "iu" if is_numpy(x) else not x.is_floating_point()


def integers(x: Array) -> Array:
    """The numbers as integers of 64 bits."""
    return x.astype(np.int64) if is_numpy(x) else x.long()


def doubles(x: Array) -> Array:
    """The numbers as floats of 64 bits."""
    return x.astype(np.float64) if is_numpy(x) else x.double()


def carried(value: Any, like: Array) -> Any:
    """A parameter as it is computed with: arrays in the number format, and on the device, of ``like``; numbers as is.

    Parameters are numpy arrays, in the narrowest type that holds them; states may be tensors, and wider.
    """
    if not is_array(value):
        return value
    return value.astype(like.dtype) if is_numpy(like) else like.new_tensor(value)


def exact_bits(bound: int) -> int | None:
    """Bits of the narrowest float that sums integers exactly while every partial sum stays within ``bound``.

    Parameters
    ----------
    bound : int
        Largest possible magnitude of any partial sum, for example ``max|s| * max over outputs of sum|w|``.

    Returns
    -------
    int or None
        32 up to ``2**24``, 64 up to ``2**53`` (the widths of their significands), None beyond.
    """
    if bound <= 1 << 24:
        return 32
    return 64 if bound <= 1 << 53 else None


def smallest_int(values: NDArray[Any]) -> NDArray[Any]:
    """The same integers in the narrowest of int8, int16, int32, int64 that holds them; OverflowError if none does."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    for dtype in (np.int8, np.int16, np.int32, np.int64):
        info = np.iinfo(dtype)
        if info.min <= low and high <= info.max:
            return values.astype(dtype)
    raise OverflowError(f"integers from {low} to {high} do not fit into 64 bits")


def exact_integers(values: NDArray[Any]) -> NDArray[Any]:
    """Floats that are whole numbers, as integers of the narrowest type; ValueError that names the first that is not.

    It looks at a block at a time, and so takes little more memory than what it returns.

    Examples
    --------
    >>> exact_integers(np.array([[1.0, -128.0]]))
    array([[   1, -128]], dtype=int8)
    """
    flat = values.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        wrong = ~(np.rint(block) == block) | ~(np.abs(block) < 1 << 53)  # NaN is equal to nothing
        if wrong.any():
            index = np.unravel_index(start + int(np.argmax(wrong)), values.shape)
            raise ValueError(f"expected whole numbers, found {values[index].item()!r} at {tuple(map(int, index))}")
    return smallest_int(values)
