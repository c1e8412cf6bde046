"""Linear maps in floats: two of them as one, scaled rows and columns, and the weighted form of those without weights.

The converter works on synapses with float weights before it rounds them. Everything here is exact but for float32.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from lava_aug.core.layers import Conv, ConvTranspose, Dense, Scale, Shape, Sparse, SumPool, Synapse
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
    found = weighted(synapse, wide)
    if np.ndim(factors) == 0:
        return found.scaled(factors)
    return found.with_rows(np.broadcast_to(factors, synapse.output_shape(wide)), wide)


def scale_columns(synapse: Synapse, factors: Factors, wide: Shape) -> Weighted | None:
    """``synapse * factors``, factors for the inputs of shape ``wide``; None if no type can hold that."""
    found = weighted(synapse, wide)
    if np.ndim(factors) == 0:
        return found.scaled(factors)
    return found.with_columns(np.broadcast_to(factors, wide), wide)


def row_maxima(synapse: Weighted, wide: Shape) -> NDArray[Any]:
    """Largest ``|weight|`` into each channel of the output, float64; zero where there is none."""
    return np.array([np.abs(row).max(initial=0.0) for row in synapse.channel_rows(wide)])


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
    if outer.weight.shape[1] != math.prod(inner.shape):
        return None
    return Dense(weight=(inner.to_scipy(math.prod(wide)).T @ _weight(outer).T).T)


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


def placed(synapse: Synapse, wide: Shape, offset: int, total: int) -> Synapse | None:
    """Its outputs from ``offset`` on, of ``total`` on one axis; None if no type holds that at a reasonable size."""
    size, shape = math.prod(wide), synapse.output_shape(wide)
    if len(shape) == 1 and type(synapse) in _PLACED:
        return _PLACED[type(synapse)](synapse, offset, total)
    if synapse.learned and size * math.prod(shape) > MAX_UNROLLED:
        return None
    found = synapse.matrix(wide).tocoo()
    if synapse.learned:
        found.eliminate_zeros()
    moved = scipy.sparse.csr_matrix((found.data, (found.row + offset, found.col)), shape=(total, size))
    return Sparse.from_map(moved, (total,))


def _placed_dense(dense: Dense, offset: int, total: int) -> Dense:
    weight = np.zeros((total, dense.weight.shape[1]))
    weight[offset : offset + len(dense.weight)] = dense.weight
    return Dense(weight=weight)


_PLACED: dict[type, Callable[[Any, int, int], Synapse]] = {Dense: _placed_dense}
"""Types that hold the parts of one axis without becoming another one."""

MAX_UNROLLED = 1 << 22
"""Convolutions become matrices, where a head needs that, up to so many places."""
