"""Linear maps in floats: two of them as one, scaled rows and columns, and the weighted form of those without weights.

The converter works on synapses with float weights before it rounds them. Everything here is exact but for float32.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from lava_aug.core.errors import ConversionError
from lava_aug.core.layers import Conv, ConvTranspose, Dense, Scale, Shape, Sparse, SumPool, Synapse
from lava_aug.core.sliding import as_map
from lava_aug.core.synapse import Weighted, per_channel

Factors = float | NDArray[Any]
"""One factor, or an array that broadcasts to the shape it is meant for."""


def along_channels(values: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """Channel values as an array that broadcasts to ``shape``: ``(C,) -> (C, 1, 1)``."""
    return values.reshape(-1, *[1] * (len(shape) - 1))


def compact(values: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """An array that broadcasts to ``shape``, without its repetitions within channels."""
    channels = per_channel(values, shape)
    return np.broadcast_to(values, shape).copy() if channels is None else along_channels(channels, shape)


# Scaling


def is_nothing(synapse: Synapse) -> bool:
    """Whether the map is zero."""
    return not synapse.weights.any()


def weighted(synapse: Synapse, wide: Shape) -> Weighted:
    """The same map with weights that can be scaled."""
    return synapse.weighted(wide) or Sparse.from_map(synapse.matrix(wide), synapse.output_shape(wide))


def scale_rows(synapse: Synapse, factors: Factors, wide: Shape) -> Weighted | None:
    """``factors * synapse``, factors for the outputs; None if no type can hold that."""
    with_weights = weighted(synapse, wide)
    if np.ndim(factors) == 0:
        return with_weights.scaled(factors)
    return with_weights.with_rows(np.broadcast_to(factors, synapse.output_shape(wide)), wide)


def scale_columns(synapse: Synapse, factors: Factors, wide: Shape) -> Weighted | None:
    """``synapse * factors``, factors for the inputs of shape ``wide``; None if no type can hold that."""
    with_weights = weighted(synapse, wide)
    if np.ndim(factors) == 0:
        return with_weights.scaled(factors)
    return with_weights.with_columns(np.broadcast_to(factors, wide), wide)


def row_maxima(synapse: Weighted, wide: Shape) -> NDArray[Any]:
    """Largest ``|weight|`` into each channel of the output, float64; zero where there is none."""
    rows = synapse.channel_rows(wide)
    largest = {id(row): np.abs(row).max(initial=0.0) for row in {id(row): row for row in rows}.values()}  # many are one
    return np.array([largest[id(row)] for row in rows])


# Composition


def compose(outer: Synapse, inner: Synapse, wide: Shape) -> Synapse | None:
    """``outer`` after ``inner`` as one synapse on spikes of shape ``wide``; None if no type can hold that."""
    if inner.is_identity:
        return outer
    if outer.is_identity:
        return inner
    rule = _RULES.get((type(outer), type(inner)))
    return None if rule is None else rule(outer, inner, wide)


def composes(outer: type[Synapse], inner: Synapse) -> bool:
    """Whether a rule says how a synapse of a type comes after another one."""
    return inner.is_identity or (outer, type(inner)) in _RULES


def _weight(synapse: Weighted) -> NDArray[Any]:
    return synapse.weight.astype(np.float64)


def _dense_after_scale(outer: Dense, inner: Scale, wide: Shape) -> Dense | None:
    shape = inner.output_shape(wide)
    if outer.weight.shape[1] != math.prod(shape):
        return None  # along the last axis
    columns = _weight(outer).reshape(len(outer.weight), shape[0], -1)
    columns = columns[:, inner.offset : inner.offset + len(inner.weight)] * inner.weight[:, None]
    return Dense(weight=columns.reshape(len(outer.weight), -1))


def _dense_after_sparse(outer: Dense, inner: Sparse, wide: Shape) -> Dense | None:
    features = outer.weight.shape[1]
    if features != math.prod(inner.shape):  # along the last axis
        factors = _diagonal(inner, wide).reshape(-1, features)
        return outer.scaled(factors[0]) if (factors == factors[:1]).all() and factors.any() else None
    return Dense(weight=(inner.to_scipy(math.prod(wide)).T @ _weight(outer).T).T)


def _diagonal(sparse: Sparse, wide: Shape) -> NDArray[Any]:
    """Factors of a map that scales every element, and leaves it where it is; zeros of any other map."""
    rows, columns = sparse.indices()
    stays = sparse.shape == wide and np.array_equal(rows, columns) and len(rows) == math.prod(wide)
    return _weight(sparse) if stays else np.zeros(math.prod(sparse.shape))


def _conv_after_scale(outer: Conv, inner: Scale, wide: Shape) -> Synapse | None:
    if outer.groups == 1:
        part = _weight(outer)[:, inner.offset : inner.offset + len(inner.weight)]
        return outer.replace(weight=part * inner.weight[:, None, None])
    return _each_channel(outer, inner, wide)


def _transpose_after_scale(outer: ConvTranspose, inner: Scale, wide: Shape) -> Synapse | None:
    if outer.groups == 1:
        part = _weight(outer)[inner.offset : inner.offset + len(inner.weight)]
        return outer.replace(weight=part * inner.weight[:, None, None, None])
    return _each_channel(outer, inner, wide)


def _each_channel(outer: Weighted, inner: Scale, wide: Shape) -> Synapse | None:
    factors = np.broadcast_to(along_channels(_weight(inner), wide), wide)
    return outer.with_columns(factors, wide) if _covers(inner, wide) else None


def _covers(scale: Scale, wide: Shape) -> bool:
    return scale.output_shape(wide) == wide


def _scale_after(outer: Scale, inner: Synapse, wide: Shape) -> Synapse | None:
    """Rows of the inner one scaled, if the outer one does not move them."""
    shape = inner.output_shape(wide)
    return scale_rows(inner, along_channels(_weight(outer), shape), wide) if _covers(outer, shape) else None


def _scale_after_scale(outer: Scale, inner: Scale, wide: Shape) -> Scale:
    del wide
    part = _weight(outer)[inner.offset : inner.offset + len(inner.weight)]
    return Scale(weight=part * inner.weight, offset=outer.offset + inner.offset, channels=outer.out_channels)


def _pool_after_pool(outer: SumPool, inner: SumPool, wide: Shape) -> SumPool | None:
    """One window, if those of the inner one lie side by side."""
    plain = all(p.padding == (0, 0) and p.dilation == (1, 1) for p in (outer, inner))
    if not plain or inner.stride != inner.kernel_size:
        return None
    sizes: Any = [a * b for a, b in zip(inner.kernel_size, outer.kernel_size, strict=True)]
    strides: Any = [a * b for a, b in zip(inner.stride, outer.stride, strict=True)]
    pool = SumPool(kernel_size=sizes, stride=strides)
    return pool if pool.output_shape(wide) == outer.output_shape(inner.output_shape(wide)) else None


def _matrices(outer: Synapse, inner: Synapse, wide: Shape) -> Sparse:
    shape = inner.output_shape(wide)
    product: Any = outer.matrix(shape) @ inner.matrix(wide)
    if (product.data == np.rint(product.data)).all():
        product = product.astype(np.int64)  # still a sum without rounding
    return Sparse.from_map(product, outer.output_shape(shape))


_RULES: dict[tuple[type, type], Callable[[Any, Any, Shape], Synapse | None]] = {
    (Dense, Scale): _dense_after_scale,
    (Dense, Sparse): _dense_after_sparse,
    (Conv, Scale): _conv_after_scale,
    (ConvTranspose, Scale): _transpose_after_scale,
    (Scale, Scale): _scale_after_scale,
    (Scale, Dense): _scale_after,
    (Scale, Conv): _scale_after,
    (Scale, ConvTranspose): _scale_after,
    (Scale, SumPool): _scale_after,
    (SumPool, SumPool): _pool_after_pool,
    (Scale, Sparse): _matrices,
    (Sparse, Scale): _matrices,
    (Sparse, SumPool): _matrices,
    (Sparse, Sparse): _matrices,
}


# Composition at a price


def merged(outer: Synapse, inner: Synapse, wide: Shape, most: float = math.inf) -> Synapse | None:
    """`compose`, and pairs that may have more weights as one than both together; None if that is not exact.

    Raises
    ------
    ConversionError
        If these weights would be more than ``most``.
    """
    pair = type(outer), type(inner)
    if pair not in _MERGES:
        return compose(outer, inner, wide)
    rule, size = _MERGES[pair]
    if size(outer, inner, wide) > most:
        raise ConversionError(f"would be one with the {inner.type_name} in front of it, of more than {most:,} weights")
    return rule(outer, inner, wide)


def worth_merging(candidate: Synapse, wide: Shape, outer: Synapse, between: Shape) -> bool:
    """Whether what `merged` gave on maps of shape ``wide`` has few enough synapses to stand for the outer one alone."""
    if candidate.output_shape(wide) != outer.output_shape(between):
        return False
    allowed = max(FREE_SYNAPSES, MAX_GROWTH * outer.connectivity(between).count)
    return candidate.connectivity(wide).count <= allowed


MAX_GROWTH = 4
"""Pooling may multiply the synapses of the next layer by this (a 2x2 window does)."""

FREE_SYNAPSES = 1 << 20
"""Or give it up to so many, whatever the factor: a small head behind global pooling."""


def _dense_after_pool(dense: Dense, pool: SumPool, wide: Shape) -> Dense | None:
    """Every weight goes to all elements of its window: the adjoint of pooling, applied to each row."""
    (channels, height, width), extent = as_map(pool.output_shape(wide)), as_map(wide)[1:]
    if dense.weight.shape[1] != channels * height * width:
        return None  # along the last axis
    rows = _weight(dense).reshape(-1, channels, height, width)
    sides = zip(extent, (height, width), pool.stride, pool.padding, pool.dilation, pool.kernel_size, strict=True)
    sums = np.zeros((*rows.shape[:2], *(size + count * s + 2 * p + d * k for size, count, s, p, d, k in sides)))
    for y, x in np.ndindex(*pool.kernel_size):
        _every(sums, (y * pool.dilation[0], x * pool.dilation[1]), pool.stride, (height, width))[:] += rows
    top, left = pool.padding
    return Dense(weight=sums[:, :, top : top + extent[0], left : left + extent[1]].reshape(len(rows), -1))


def _conv_after_pool(conv: Conv, pool: SumPool, wide: Shape) -> Conv | None:
    """Kernel index ``a * dilation * pool_stride + b`` for kernel element a and window element b."""
    pooled, extent = as_map(pool.output_shape(wide))[1:], as_map(wide)[1:]
    for axis in range(2):
        # Zeros that pad the pooled map must not stand for windows that see the image.
        outside = (
            pool.kernel_size[axis] <= pool.stride[axis] + pool.padding[axis]
            and pooled[axis] * pool.stride[axis] - pool.padding[axis] >= extent[axis]
        )
        if pool.dilation[axis] != 1 or (conv.padding[axis] and not outside):
            return None
    steps, size = _merged_window(conv, pool)
    kernel = np.zeros((*conv.weight.shape[:2], *size))
    for start in np.ndindex(*pool.kernel_size):
        _every(kernel, start, steps, conv.window)[:] += conv.weight
    stride: Any = [s * t for s, t in zip(conv.stride, pool.stride, strict=True)]
    padding: Any = [p * t + q for p, t, q in zip(conv.padding, pool.stride, pool.padding, strict=True)]
    return Conv(weight=kernel, stride=stride, padding=padding, groups=conv.groups)


def _merged_window(conv: Conv, pool: SumPool) -> tuple[list[int], list[int]]:
    """How far apart a kernel's elements are in front of pooling, and the window that they span there."""
    steps = [d * s for d, s in zip(conv.dilation, pool.stride, strict=True)]
    return steps, [(k - 1) * step + w for k, step, w in zip(conv.window, steps, pool.kernel_size, strict=True)]


def _every(maps: NDArray[Any], start: Sequence[int], steps: Sequence[int], counts: Sequence[int]) -> NDArray[Any]:
    """So many rows and columns of maps, from a start in steps."""
    (y, x), (dy, dx), (height, width) = start, steps, counts
    return maps[:, :, y : y + height * dy : dy, x : x + width * dx : dx]


def _dense_after_dense(outer: Dense, inner: Dense, wide: Shape) -> Dense | None:
    del wide
    return Dense(weight=_weight(outer) @ _weight(inner)) if outer.weight.shape[1] == len(inner.weight) else None


def _channels_after_conv(outer: Conv, inner: Conv, wide: Shape) -> Conv | None:
    """A matrix on the channels of a convolution."""
    del wide
    pointwise = (outer.window, outer.stride, outer.padding, outer.groups) == ((1, 1), (1, 1), (0, 0), 1)
    if not pointwise or inner.groups != 1:
        return None
    return inner.replace(weight=np.einsum("oi,ijkl->ojkl", _weight(outer)[:, :, 0, 0], _weight(inner)))  # pyright: ignore[reportUnknownMemberType]: numpy's


_Merge = tuple[Callable[[Any, Any, Shape], Synapse | None], Callable[[Any, Any, Shape], int]]

_MERGES: dict[tuple[type, type], _Merge] = {
    (Dense, SumPool): (_dense_after_pool, lambda dense, pool, wide: len(dense.weight) * math.prod(wide)),
    (Conv, SumPool): (
        _conv_after_pool,
        lambda conv, pool, wide: math.prod((*conv.weight.shape[:2], *_merged_window(conv, pool)[1])),
    ),
    (Dense, Dense): (_dense_after_dense, lambda outer, inner, wide: len(outer.weight) * inner.weight.shape[1]),
    (Conv, Conv): (
        _channels_after_conv,
        lambda outer, inner, wide: len(outer.weight) * math.prod(inner.weight.shape[1:]),
    ),
}
"""How two synapses, outer and inner, become one, and of how many weights."""


def placed(synapse: Synapse, wide: Shape, offset: int, total: int) -> Synapse | None:
    """Its outputs from ``offset`` on, of ``total`` on one axis; None if no type holds that at a reasonable size."""
    size, shape = math.prod(wide), synapse.output_shape(wide)
    if len(shape) == 1 and type(synapse) in _PLACED:
        return _PLACED[type(synapse)](synapse, offset, total)
    if synapse.learned and size * math.prod(shape) > MAX_UNROLLED:
        return None
    entries = synapse.matrix(wide).tocoo()
    if synapse.learned:
        entries.eliminate_zeros()
    moved = scipy.sparse.csr_matrix((entries.data, (entries.row + offset, entries.col)), shape=(total, size))
    return Sparse.from_map(moved, (total,))


def _placed_dense(dense: Dense, offset: int, total: int) -> Dense:
    weight = np.zeros((total, dense.weight.shape[1]))
    weight[offset : offset + len(dense.weight)] = dense.weight
    return Dense(weight=weight)


_PLACED: dict[type, Callable[[Any, int, int], Synapse]] = {Dense: _placed_dense}
"""Types that hold the parts of one axis without becoming another one."""

MAX_UNROLLED = 1 << 22
"""Convolutions become matrices, where a head needs that, up to so many places."""
