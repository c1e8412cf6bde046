"""Synapses compiled by numba, for one sample in float32: gathering columns for BLAS, and summing event by event.

All of them do what `Synapse.accumulate` says; which float is exact is decided by `lava_aug.kernels.samples`. They
start no threads and survive a fork.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from lava_aug.kernels import winograd

Pair = tuple[int, int]


def column_convolution(
    weight: NDArray[Any], shape: tuple[int, int, int], groups: int, stride: Pair, padding: Pair, dilation: Pair
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A convolution as one BLAS product per group, in the number format of the weights.

    Parameters
    ----------
    weight : numpy.ndarray, float32 or float64, shape (out, in / groups, height, width)
        Kernel.
    shape : tuple of int
        Shape of the result, (out, height, width).
    groups : int
        Groups of channels that do not mix.
    stride, padding, dilation : pairs of int
        As in `torch.nn.Conv2d`.

    Returns
    -------
    callable
        Takes ``(in, height, width)`` in the weights' format, C-contiguous, and gives ``shape``, which the next call
        overwrites.
    """
    window = (weight.shape[2], weight.shape[3])
    columns = np.empty((weight.shape[1] * groups * math.prod(window), *shape[1:]), weight.dtype)
    grouped = columns.reshape(groups, -1, math.prod(shape[1:]))
    rows = np.ascontiguousarray(weight).reshape(groups, shape[0] // groups, -1)
    total = np.empty((groups, shape[0] // groups, math.prod(shape[1:])), weight.dtype)

    def convolve(s: NDArray[Any]) -> NDArray[Any]:
        gather_columns(s, columns, window, stride, padding, dilation)
        for group in range(groups):
            np.dot(rows[group], grouped[group], out=total[group])
        return total.reshape(shape)

    return convolve


@numba.njit(nogil=True, cache=True)
def gather_columns(
    s: NDArray[Any], columns: NDArray[Any], window: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    """Lay the windows of a map out as columns: ``(C, H, W) -> (C * kh * kw, H_out * W_out)``, zeros outside."""
    channels, height, width = s.shape
    rows, cols = columns.shape[1], columns.shape[2]
    row = 0
    for c in range(channels):
        for i in range(window[0]):
            for j in range(window[1]):
                target = columns[row]
                row += 1
                for oy in range(rows):
                    y = oy * stride[0] - padding[0] + i * dilation[0]
                    line = target[oy]
                    if y < 0 or y >= height:
                        line[:] = 0
                        continue
                    x = j * dilation[1] - padding[1]
                    for ox in range(cols):
                        line[ox] = s[c, y, x] if 0 <= x < width else 0
                        x += stride[1]


@numba.njit(nogil=True, cache=True)
def convolve_events(
    s: NDArray[Any], weight: NDArray[Any], total: NDArray[Any], stride: Pair, padding: Pair, dilation: Pair
) -> None:
    """Add every event's kernel to ``total (H_out, W_out, out)``; ``weight (in, kh, kw, out / groups)``."""
    channels, height, width = s.shape
    rows, cols, outputs = total.shape
    _, kh, kw, per_group = weight.shape
    in_group = channels // (outputs // per_group)
    total[:] = 0
    for c in range(channels):
        first = (c // in_group) * per_group
        for y in range(height):
            for x in range(width):
                value = s[c, y, x]
                if value == 0:
                    continue
                for i in range(kh):
                    oy = y + padding[0] - i * dilation[0]
                    if oy < 0 or oy % stride[0] or oy // stride[0] >= rows:
                        continue
                    oy //= stride[0]
                    for j in range(kw):
                        ox = x + padding[1] - j * dilation[1]
                        if ox < 0 or ox % stride[1] or ox // stride[1] >= cols:
                            continue
                        target = total[oy, ox // stride[1], first : first + per_group]
                        kernel = weight[c, i, j]
                        for o in range(per_group):
                            target[o] += value * kernel[o]


@numba.njit(nogil=True, cache=True)
def gather_rows(s: NDArray[Any], rows: NDArray[Any], window: Pair, stride: Pair, padding: Pair, dilation: Pair) -> None:
    """`gather_columns` with channels last: ``(W, H, C) -> rows (W_out, H_out, kw, kh, C)``, zeros outside."""
    width, height, channels = s.shape
    for ox in range(rows.shape[0]):
        for oy in range(rows.shape[1]):
            for i in range(window[0]):
                x = ox * stride[0] - padding[0] + i * dilation[0]
                for j in range(window[1]):
                    y = oy * stride[1] - padding[1] + j * dilation[1]
                    if 0 <= x < width and 0 <= y < height:
                        for c in range(channels):
                            rows[ox, oy, i, j, c] = s[x, y, c]
                    else:
                        for c in range(channels):
                            rows[ox, oy, i, j, c] = 0


@numba.njit(nogil=True, cache=True)
def convolve_events_last(
    s: NDArray[Any], weight: NDArray[Any], total: NDArray[Any], stride: Pair, padding: Pair, dilation: Pair
) -> None:
    """`convolve_events` with channels last: ``s (W, H, C)``, ``weight (C, kw, kh, out)``, ``total (W, H, out)``."""
    width, height, channels = s.shape
    total[:] = 0
    for x in range(width):
        for y in range(height):
            for c in range(channels):
                value = s[x, y, c]
                if value == 0:
                    continue
                for i in range(weight.shape[1]):
                    ox = x + padding[0] - i * dilation[0]
                    if ox < 0 or ox % stride[0] or ox // stride[0] >= total.shape[0]:
                        continue
                    for j in range(weight.shape[2]):
                        oy = y + padding[1] - j * dilation[1]
                        if oy < 0 or oy % stride[1] or oy // stride[1] >= total.shape[1]:
                            continue
                        target = total[ox // stride[0], oy // stride[1]]
                        kernel = weight[c, i, j]
                        for o in range(total.shape[2]):
                            target[o] += value * kernel[o]


@numba.njit(nogil=True, cache=True)
def dense_events(s: NDArray[Any], weight: NDArray[Any], total: NDArray[Any]) -> None:
    """Add every event's row of ``weight (in, out)`` to ``total (out,)``."""
    total[:] = 0
    for i in range(s.shape[0]):
        value = s[i]
        if value != 0:
            row = weight[i]
            for o in range(total.shape[0]):
                total[o] += value * row[o]


@numba.njit(nogil=True, cache=True)
def sum_windows(
    s: NDArray[Any], total: NDArray[Any], window: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    """Sum of each window of each channel: ``(C, H, W) -> total (C, H_out, W_out)``."""
    channels, height, width = s.shape
    for c in range(channels):
        for oy in range(total.shape[1]):
            for ox in range(total.shape[2]):
                value = total.dtype.type(0)
                for i in range(window[0]):
                    y = oy * stride[0] - padding[0] + i * dilation[0]
                    if 0 <= y < height:
                        for j in range(window[1]):
                            x = ox * stride[1] - padding[1] + j * dilation[1]
                            if 0 <= x < width:
                                value += s[c, y, x]
                total[c, oy, ox] = value


@numba.njit(nogil=True, cache=True)
def scatter_columns(columns: NDArray[Any], total: NDArray[Any], stride: Pair, padding: Pair, dilation: Pair) -> None:
    """Add up products ``columns (out, kh, kw, H, W)`` of a transposed convolution in ``total (out, H_out, W_out)``."""
    total[:] = 0
    for o in range(total.shape[0]):
        for i in range(columns.shape[1]):
            for j in range(columns.shape[2]):
                for y in range(columns.shape[3]):
                    oy = y * stride[0] - padding[0] + i * dilation[0]
                    if 0 <= oy < total.shape[1]:
                        for x in range(columns.shape[4]):
                            ox = x * stride[1] - padding[1] + j * dilation[1]
                            if 0 <= ox < total.shape[2]:
                                total[o, oy, ox] += columns[o, i, j, y, x]


@numba.njit(nogil=True, cache=True)
def add_entries(
    s: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any], weight: NDArray[Any], total: NDArray[Any]
) -> None:
    """Product with a sparse matrix, entry by entry: ``s (in,) -> total (out,)``."""
    total[:] = 0
    for k in range(rows.shape[0]):
        total[rows[k]] += weight[k] * s[columns[k]]


def warm_up() -> None:
    """Compile, or read from numba's cache, before Lava forks."""
    winograd.warm_up()
    pair = (1, 1)
    for dtype in (np.float32, np.float64):
        s = np.zeros((1, 1, 1), dtype)
        gather_columns(s, np.zeros((1, 1, 1), dtype), pair, pair, pair, pair)
        sum_windows(s, np.zeros((1, 1, 1), dtype), pair, pair, pair, pair)
        gather_rows(s, np.zeros((1, 1, 1, 1, 1), dtype), pair, pair, pair, pair)
        scatter_columns(np.zeros((1, 1, 1, 1, 1), dtype), s.copy(), pair, pair, pair)
        place = np.zeros(1, np.int64)
        add_entries(s[0, 0], place, place, np.zeros(1, dtype), s[0, 0].copy())
    s = np.zeros((1, 1, 1), np.float32)
    convolve_events_last(s, np.zeros((1, 1, 1, 1), np.float32), s.copy(), pair, pair, pair)
    convolve_events(s, np.zeros((1, 1, 1, 1), np.float32), s.copy(), pair, pair, pair)
    dense_events(s[0, 0], s[0], s[0, 0].copy())
