"""A time step of max pooling for a batch, compiled by numba: `lava_aug.core.neurons.MaxPoolNeuron` for many maps."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from lava_aug.kernels.counting import CAPPED, EVENTS, LARGEST, SATURATED, SPIKE_SUM

# Values are finite and zeros have no sign that matters: nothing is rounded differently under these flags.
_MATH = {"nnan", "ninf", "nsz"}

BELOW = np.float32(-(1 << 30))
"""Less than every potential."""


@numba.njit(nogil=True, cache=True)
def _inside(offset: int, stride: int, length: int, count: int) -> tuple[int, int]:
    """The windows, from and to, of which the element at an offset lies on an axis."""
    first = 0 if offset >= 0 else -(offset // stride)
    return first, min(count, (length - 1 - offset) // stride + 1)


@numba.njit(nogil=True, cache=True, fastmath=_MATH)
def fire(
    v: NDArray[Any],
    n: NDArray[Any],
    a: NDArray[Any],
    s: NDArray[Any],
    counts: NDArray[Any],
    size: NDArray[Any],
    stride: NDArray[Any],
    padding: NDArray[Any],
    dilation: NDArray[Any],
    limit: Any,
    low: Any,
    high: Any,
) -> None:
    """Integrate ``v (B, maps, H, W)``, send the change of maxima in ``s (B, maps, H_out, W_out)``, and count."""
    for b in range(v.shape[0]):
        vb, ab = v[b].reshape(-1), a[b].reshape(-1)
        events, total, saturated, capped, largest = np.int32(0), np.int64(0), np.int32(0), np.int32(0), np.int32(0)
        for i in range(vb.shape[0]):
            raw = np.float32(vb[i] + ab[i])
            x = min(max(raw, low), high)
            vb[i] = x
            saturated += np.int32(raw != x)
        for c in range(v.shape[1]):
            _maxima(v[b, c], s[b, c], size, stride, padding, dilation)
        nb, sb = n[b].reshape(-1), s[b].reshape(-1)
        for i in range(nb.shape[0]):
            wanted = sb[i] - nb[i]
            out = min(max(wanted, -limit), limit)
            sb[i] = out
            nb[i] += out
            events += np.int32(out != 0)
            change = np.int32(abs(out))
            total += change
            largest = max(largest, change)
            capped += np.int32(out != wanted)
        counts[b, EVENTS], counts[b, SPIKE_SUM] = events, total
        counts[b, SATURATED], counts[b, CAPPED], counts[b, LARGEST] = saturated, capped, largest


@numba.njit(nogil=True, cache=True, fastmath=_MATH)
def _maxima(
    x: NDArray[Any],
    maxima: NDArray[Any],
    size: NDArray[Any],
    stride: NDArray[Any],
    padding: NDArray[Any],
    dilation: NDArray[Any],
) -> None:
    """The largest element of every window of one map."""
    maxima[:] = BELOW
    for i in range(size[0]):
        top = i * dilation[0] - padding[0]
        first, last = _inside(top, stride[0], x.shape[0], maxima.shape[0])
        for j in range(size[1]):
            left = j * dilation[1] - padding[1]
            begin, end = _inside(left, stride[1], x.shape[1], maxima.shape[1])
            for oy in range(first, last):
                row, target = x[oy * stride[0] + top], maxima[oy]
                for ox in range(begin, end):
                    target[ox] = max(target[ox], row[ox * stride[1] + left])
