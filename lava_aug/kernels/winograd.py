"""Convolutions with 3x3 kernels by Winograd's minimal filtering, exact on integers up to a known payload.

F(2x2, 3x3) of A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks" (CVPR 2016): every 4x4 tile of
the input gives 2x2 outputs, by 16 products instead of 36. Along one axis, with a tile ``d`` and a kernel ``g``::

    m[0] = g[0] * (d[0] - d[2])                        out[0] = m[0] + (m[1] + m[2])
    m[1] = (g[0] + g[1] + g[2]) / 2 * (d[1] + d[2])    out[1] = (m[1] - m[2]) - m[3]
    m[2] = (g[0] - g[1] + g[2]) / 2 * (d[2] - d[1])
    m[3] = g[2] * (d[1] - d[3])

Two axes are one inside the other. The products of all tiles and channels are 16 matrix products. Transforms start no
threads and survive a fork.
"""

import math
from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lava_aug.core.fixed_point import einsum

Pair = tuple[int, int]

DOUBLED = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])
"""Twice what the ``m`` take of a kernel."""

UNITS = np.array([1, 2, 2, 1])
"""The ``m`` are whole multiples of one over this, for integers."""

GAIN = 2.0
"""How many times faster than one BLAS product of the gathered columns: 1.5 to 2.9 where `suits` says yes."""

PAGE = 1024
"""float32 values in 4 KiB, after which addresses share a set of a first-level cache."""


def suits(weight: NDArray[Any], stride: Pair, dilation: Pair, groups: int) -> bool:
    """Whether a convolution with ``weight (out, in / groups, height, width)`` has this form, and gains from it.

    With fewer than 16 input channels, the transforms take longer than what they save.
    """
    return weight.shape[2:] == (3, 3) and stride == dilation == (1, 1) and groups == 1 and weight.shape[1] >= 16


def largest_payload(weight: NDArray[Any]) -> int:
    """Largest magnitude of integer spikes for which every number is exact in float32; 0 if there is none.

    Everything that is computed is linear in the spikes. So with spikes of magnitude up to L it is at most L times the
    sum of the magnitudes of its coefficients, and with integer weights it is a whole multiple of a unit. It is exact
    while the quotient of the two is at most ``2**24``. Along one axis, the coefficients and their units are

    ===============  ==================================  ====
    number           sum of ``|coefficient|``            unit
    ===============  ==================================  ====
    m[0], m[3]       ``2 |g[0]|``, ``2 |g[2]|``          1
    m[1], m[2]       ``2 |g[0] +- g[1] + g[2]| / 2``     1/2
    m[1] +- m[2]     ``|g[1]| + |g[0] + g[2]|``          1
    out[0], out[1]   ``|g[0]| + |g[1]| + |g[2]|``        1
    ===============  ==================================  ====

    where the last line covers the one above it. On two axes coefficients and units are products of these, with a line
    for either axis, and are added up over the input channels; sums over some of the channels, in any order, are
    smaller. The first axis is added up first, so an out of the second comes only with one of the first: of 5x5 pairs of
    lines, 21 occur, and the largest of their sums is the bound. It is between that of the plain sum, which is the last
    line on both axes, and 4 times that. Transformed spikes are at most 4 L; the products cover transformed weights.

    Parameters
    ----------
    weight : numpy.ndarray of integers, shape (out, in, 3, 3)
        Kernel.
    """
    scaled = np.concatenate([DOUBLED * UNITS[:, None], np.eye(3)])  # the last three are added up, for an out
    first = [0, 1, 2, 3, 4]
    terms = np.abs(einsum("ar,ocrs,bs->oabc", scaled, weight.astype(np.float64), scaled, optimize=True)).sum(axis=3)
    sums = np.add.reduceat(np.add.reduceat(terms, first, axis=1), first, axis=2)
    bound = max(sums[:, :, :4].max(), sums[:, 4, 4].max())
    return (1 << 24) // max(4, math.ceil(bound))


def tiled_convolution(
    weight: NDArray[Any], shape: tuple[int, ...], padding: Pair, axes: Pair
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A convolution of stride 1 in float32.

    Parameters
    ----------
    weight : numpy.ndarray of integers, shape (out, in, 3, 3)
        Kernel.
    shape : tuple of int
        Shape of the spikes.
    padding : pair of int
        Zeros on each side.
    axes : pair of int
        Axes of the spikes' map: (1, 2) for channels first, (0, 1) for channels last.

    Returns
    -------
    callable
        Takes spikes in any number format and gives float32 in the same order of axes, which the next call overwrites.
    """
    last = axes == (0, 1)
    channel = 3 - sum(axes)
    outputs, inputs = weight.shape[:2]
    sizes = [shape[axis] + 2 * pad - 2 for axis, pad in zip(axes, padding, strict=True)]
    counts = [-(-size // 2) for size in sizes]
    padded = np.zeros(np.insert([2 * count + 2 for count in counts], channel, inputs), np.float32)
    whole = np.zeros(np.insert([2 * count for count in counts], channel, outputs), np.float32)
    inner = padded[_span(axes, padding, [shape[axis] for axis in axes])]
    total = whole[_span(axes, (0, 0), sizes)]
    windows, blocks = _tiles(padded, 4, axes), _tiles(whole, 2, axes)
    (spread, left), (products, right) = (_rows(math.prod(counts), size, last) for size in (inputs, outputs))
    kernel = einsum("ar,ocrs,bs->aboc", DOUBLED / 2, weight, DOUBLED / 2, optimize=True).reshape(16, outputs, inputs)
    kernel = np.ascontiguousarray(kernel.transpose(0, 2, 1) if last else kernel, np.float32)
    factors = (left, kernel) if last else (kernel, left)

    def convolve(s: NDArray[Any]) -> NDArray[Any]:
        inner[:] = s
        transform_tiles(windows, spread)
        np.matmul(*factors, out=right)
        merge_products(products, blocks)
        return np.ascontiguousarray(total)

    return convolve


def _span(axes: Pair, start: Pair, sizes: list[int]) -> tuple[slice, ...]:
    """Index of a part of a map, with all channels."""
    index = [slice(None)] * 3
    for axis, first, size in zip(axes, start, sizes, strict=True):
        index[axis] = slice(first, first + size)
    return tuple(index)


def _tiles(values: NDArray[Any], size: int, axes: Pair) -> NDArray[Any]:
    """Every second window ``size x size`` of a map, a view: the two axes of a window come last."""
    steps = tuple(slice(None, None, 2 if axis in axes else None) for axis in range(3))
    view = cast(Any, sliding_window_view)  # its stub knows one axis
    return view(values, (size, size), axis=axes, writeable=True)[steps]


def _rows(tiles: int, channels: int, last: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Room for 16 matrices of tiles and channels, as rows and as matrices.

    Transforms go through all 16 at once. The distance of rows is a page and a cache line, so that they do not fight for
    the same places in the cache, which makes transforms up to three times faster.
    """
    rows = np.zeros((16, -(-tiles * channels // PAGE) * PAGE + 16), np.float32)
    shape = (tiles, channels) if last else (channels, tiles)
    return rows, rows[:, : tiles * channels].reshape(16, *shape)


@numba.njit(nogil=True, cache=True)
def _differences(a: float, b: float, c: float, d: float) -> tuple[float, float, float, float]:
    return a - c, b + c, c - b, b - d


@numba.njit(nogil=True, cache=True)
def _sums(a: float, b: float, c: float, d: float) -> tuple[float, float]:
    return a + (b + c), (b - c) - d


@numba.njit(nogil=True, cache=True)
def transform_tiles(windows: NDArray[Any], rows: NDArray[Any]) -> None:
    """What the products take of every tile: ``windows (..., 4, 4) -> rows (16, ...)``."""
    position = 0
    for i in range(windows.shape[0]):
        for j in range(windows.shape[1]):
            for k in range(windows.shape[2]):
                d = windows[i, j, k]
                h0 = _differences(d[0, 0], d[1, 0], d[2, 0], d[3, 0])
                h1 = _differences(d[0, 1], d[1, 1], d[2, 1], d[3, 1])
                h2 = _differences(d[0, 2], d[1, 2], d[2, 2], d[3, 2])
                h3 = _differences(d[0, 3], d[1, 3], d[2, 3], d[3, 3])
                for y in range(4):
                    v = _differences(h0[y], h1[y], h2[y], h3[y])
                    for x in range(4):
                        rows[4 * y + x, position] = v[x]
                position += 1


@numba.njit(nogil=True, cache=True)
def merge_products(rows: NDArray[Any], blocks: NDArray[Any]) -> None:
    """The outputs of every tile: ``rows (16, ...) -> blocks (..., 2, 2)``."""
    position = 0
    for i in range(blocks.shape[0]):
        for j in range(blocks.shape[1]):
            for k in range(blocks.shape[2]):
                out = blocks[i, j, k]
                q = position
                h0 = _sums(rows[0, q], rows[4, q], rows[8, q], rows[12, q])
                h1 = _sums(rows[1, q], rows[5, q], rows[9, q], rows[13, q])
                h2 = _sums(rows[2, q], rows[6, q], rows[10, q], rows[14, q])
                h3 = _sums(rows[3, q], rows[7, q], rows[11, q], rows[15, q])
                for y in range(2):
                    left, right = _sums(h0[y], h1[y], h2[y], h3[y])
                    out[y, 0] = left
                    out[y, 1] = right
                position += 1


def warm_up() -> None:
    """Compile, or read from numba's cache, before Lava forks."""
    for size in (3, 5):  # windows of a single tile are contiguous, which numba compiles apart
        tiled_convolution(np.zeros((1, 1, 3, 3), np.int64), (1, size, size), (0, 0), (1, 2))(np.zeros((1, size, size)))
