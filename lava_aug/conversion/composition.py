"""Linear maps in floats: two of them as one, scaled rows and columns, and the weighted form of those without weights.

The converter works on synapses with float weights before it rounds them. Everything here is exact but for float32.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse

from lava_aug.layers import Conv, ConvTranspose, Dense, Relay, Scale, Shape, Sparse, SumPool, Synapse
from lava_aug.sliding import as_map

Factors = float | np.ndarray
"""One factor, or an array that broadcasts to the shape it is meant for."""


def per_channel(factors: Factors, shape: Shape) -> np.ndarray | None:
    """One factor for each channel (the first axis) of ``shape``; None if they differ within a channel."""
    full = np.broadcast_to(np.asarray(factors, np.float64), shape).reshape(shape[0], -1)
    return full[:, 0].copy() if (full == full[:, :1]).all() else None


def along_channels(values: np.ndarray, shape: Shape) -> np.ndarray:
    """Channel values as an array that broadcasts to ``shape``: ``(C,) -> (C, 1, 1)``."""
    return values.reshape(-1, *[1] * (len(shape) - 1))


def compact(values: np.ndarray, shape: Shape) -> np.ndarray:
    """An array that broadcasts to ``shape``, without its repetitions within channels."""
    channels = per_channel(values, shape)
    return np.broadcast_to(values, shape).copy() if channels is None else along_channels(channels, shape)


# Weighted forms


def weighted(synapse: Synapse, wide: Shape) -> Synapse:
    """The same map with weights that can be scaled: a relay as `Scale`, sum pooling as a depthwise `Conv`."""
    if isinstance(synapse, Relay):
        return Scale(weight=np.ones(wide[0]))
    if isinstance(synapse, SumPool):
        channels = wide[0]
        return Conv(
            weight=np.ones((channels, 1, *synapse.kernel_size)),
            groups=channels,
            **{name: getattr(synapse, name) for name in ("stride", "padding", "dilation")},
        )
    return synapse


def _weight(synapse: Any) -> np.ndarray:
    return synapse.weight.astype(np.float64)


def is_nothing(synapse: Synapse) -> bool:
    """Whether the map is zero."""
    return not (isinstance(synapse, (Relay, SumPool)) or _weight(synapse).any())


# Scaling


def scale_rows(synapse: Synapse, factors: Factors, wide: Shape) -> Synapse | None:
    """``factors * synapse``, factors for the outputs; None if a type cannot hold that."""
    shape = synapse.output_shape(wide)
    synapse = weighted(synapse, wide)
    if isinstance(synapse, Sparse):
        full = np.broadcast_to(np.asarray(factors, np.float64), shape).reshape(-1)
        return synapse.replace(weight=_weight(synapse) * full[synapse.rows])
    if np.ndim(factors) == 0:
        return synapse.replace(weight=_weight(synapse) * factors)  # pyright: ignore[reportCallIssue]
    if isinstance(synapse, Dense) and len(shape) > 1:  # along the last axis, where its outputs lie
        full = np.broadcast_to(factors, shape).reshape(-1, shape[-1])
        if (full == full[0]).all():
            return synapse.replace(weight=_weight(synapse) * full[0][:, None])
        return scale_rows(_along_last_axis(synapse, wide), factors, wide)
    channels = per_channel(factors, shape)
    return None if channels is None else _with_rows(synapse, channels)


def _with_rows(synapse: Synapse, channels: np.ndarray) -> Synapse | None:
    weight = _weight(synapse)
    if isinstance(synapse, (Dense, Conv)):
        return synapse.replace(weight=weight * channels.reshape(-1, *[1] * (weight.ndim - 1)))
    if isinstance(synapse, Scale):
        return synapse.replace(weight=weight * channels[synapse.offset : synapse.offset + len(weight)])
    if isinstance(synapse, ConvTranspose):
        grouped = weight.reshape(synapse.groups, -1, *weight.shape[1:])
        rows = channels.reshape(synapse.groups, 1, -1, 1, 1)
        return synapse.replace(weight=(grouped * rows).reshape(weight.shape))
    return None


def scale_columns(synapse: Synapse, factors: Factors, wide: Shape) -> Synapse | None:
    """``synapse * factors``, factors for the inputs of shape ``wide``; None if a type cannot hold that."""
    synapse = weighted(synapse, wide)
    if np.ndim(factors) == 0:
        return synapse.replace(weight=_weight(synapse) * factors)  # pyright: ignore[reportCallIssue]
    full = np.broadcast_to(factors, wide)
    if isinstance(synapse, Sparse):
        return synapse.replace(weight=_weight(synapse) * full.reshape(-1)[synapse.columns])
    if isinstance(synapse, Dense):
        return _with_columns_of_dense(synapse, full) or scale_columns(_along_last_axis(synapse, wide), factors, wide)
    channels = per_channel(full, wide)
    return None if channels is None else _with_columns(synapse, channels)


def _along_last_axis(dense: Dense, wide: Shape) -> Sparse:
    """The same map with weights of their own for every place along the other axes."""
    return _sparse(matrix(dense, wide), dense.output_shape(wide))


def _with_columns_of_dense(synapse: Dense, full: np.ndarray) -> Dense | None:
    inputs = synapse.weight.shape[1]
    rows = full.reshape(-1, inputs)
    return synapse.replace(weight=_weight(synapse) * rows[0]) if (rows == rows[0]).all() else None


def _with_columns(synapse: Synapse, channels: np.ndarray) -> Synapse | None:
    weight = _weight(synapse)
    if isinstance(synapse, Conv):
        inputs = channels.reshape(synapse.groups, 1, -1, 1, 1)
        grouped = weight.reshape(synapse.groups, -1, *weight.shape[1:])
        return synapse.replace(weight=(grouped * inputs).reshape(weight.shape))
    if isinstance(synapse, Scale):
        return synapse.replace(weight=weight * channels)
    if isinstance(synapse, ConvTranspose):
        return synapse.replace(weight=weight * channels.reshape(-1, 1, 1, 1))
    return None


def channel_rows(synapse: Any, wide: Shape) -> list[np.ndarray]:
    """The weights into each channel of the output, float64."""
    shape = synapse.output_shape(wide)
    weight = _weight(synapse)
    if isinstance(synapse, Sparse):
        ends = np.searchsorted(synapse.rows // math.prod(shape[1:]), np.arange(1, shape[0]))
        return np.split(weight, ends)
    if isinstance(synapse, Scale):
        behind = synapse.out_channels - synapse.offset - len(weight)
        return [weight[:0]] * synapse.offset + list(weight[:, None]) + [weight[:0]] * behind
    if isinstance(synapse, ConvTranspose):
        grouped = weight.reshape(synapse.groups, -1, *weight.shape[1:]).swapaxes(1, 2)
        return list(grouped.reshape(shape[0], -1))
    if isinstance(synapse, Dense) and len(shape) > 1:  # along the last axis: every channel has all of them
        return [weight.reshape(-1)] * shape[0]
    return list(weight.reshape(len(weight), -1))


def row_maxima(synapse: Any, wide: Shape) -> np.ndarray:
    """Largest ``|weight|`` into each channel of the output, float64; zero where there is none."""
    return np.array([np.abs(row).max(initial=0.0) for row in channel_rows(synapse, wide)])


# Composition


def compose(outer: Synapse, inner: Synapse, wide: Shape) -> Synapse | None:
    """``outer`` after ``inner`` as one synapse on spikes of shape ``wide``; None if no type can hold that."""
    if isinstance(inner, Relay):
        return outer
    if isinstance(outer, Relay):
        return inner
    rule = _RULES.get((type(outer), type(inner)))
    return None if rule is None else rule(outer, inner, wide)


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
    return _with_columns(outer, _weight(inner)) if _covers(inner, wide) else None


def _transpose_after_scale(outer: ConvTranspose, inner: Scale, wide: Shape) -> Synapse | None:
    if outer.groups == 1:
        part = _weight(outer)[inner.offset : inner.offset + len(inner.weight)]
        return outer.replace(weight=part * inner.weight[:, None, None, None])
    return _with_columns(outer, _weight(inner)) if _covers(inner, wide) else None


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
    product: Any = matrix(outer, shape) @ matrix(inner, wide)
    if (product.data == np.rint(product.data)).all():
        product = product.astype(np.int64)  # still a sum without rounding
    return _sparse(product, outer.output_shape(shape))


def _sparse(found: Any, shape: Shape) -> Sparse:
    """A matrix as a synapse; one without entries gets one of zero, which `is_nothing` knows."""
    if not found.nnz:
        found = scipy.sparse.csr_matrix(([0], ([0], [0])), shape=found.shape)
    return Sparse.from_scipy(found, shape)


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
    size, outputs = math.prod(wide), math.prod(synapse.output_shape(wide))
    if isinstance(synapse, Dense) and len(synapse.output_shape(wide)) == 1:
        weight = np.zeros((total, size))
        weight[offset : offset + outputs] = synapse.weight
        return Dense(weight=weight)
    if isinstance(synapse, (Relay, Scale, SumPool, Sparse)):
        rows = matrix(synapse, wide)
    elif size * outputs <= MAX_UNROLLED:
        basis = np.eye(size).reshape(size, *wide)
        rows = scipy.sparse.csr_matrix(synapse.accumulate(basis).reshape(size, -1).T)
    else:
        return None
    found = rows.tocoo()
    moved = scipy.sparse.csr_matrix((found.data, (found.row + offset, found.col)), shape=(total, size))
    return _sparse(moved, (total,))


MAX_UNROLLED = 1 << 22
"""Convolutions become matrices, where a head needs that, up to so many places."""


def matrix(synapse: Synapse, wide: Shape) -> scipy.sparse.csr_matrix:
    """A relay, scale, sum pooling, sparse, or dense synapse along the last axis, over flattened spikes, float64."""
    size = math.prod(wide)
    if isinstance(synapse, Sparse):
        return synapse.to_scipy(size).astype(np.float64)
    if isinstance(synapse, Dense):
        return scipy.sparse.csr_matrix(scipy.sparse.kron(scipy.sparse.identity(size // wide[-1]), _weight(synapse)))
    if isinstance(synapse, SumPool):
        return _pool_matrix(synapse, wide)
    scale = weighted(synapse, wide)
    assert isinstance(scale, Scale)
    shape, rest = scale.output_shape(wide), math.prod(wide[1:])
    rows = np.arange(size) + scale.offset * rest
    values = np.repeat(_weight(scale), rest)
    return scipy.sparse.csr_matrix((values, (rows, np.arange(size))), shape=(math.prod(shape), size))


def _pool_matrix(pool: SumPool, wide: Shape) -> Any:
    channels, *sizes = as_map(wide)
    along = [_axis_matrix(pool, axis, size, pool.output_size(wide)[axis]) for axis, size in enumerate(sizes)]
    return scipy.sparse.kron(scipy.sparse.identity(channels), scipy.sparse.kron(*along), format="csr")


def _axis_matrix(pool: SumPool, axis: int, size: int, outputs: int) -> Any:
    """Which positions of one axis each output adds up."""
    found = np.zeros((outputs, size))
    for row, positions in zip(found, pool.places(axis, outputs) - pool.padding[axis], strict=True):
        row[positions[(positions >= 0) & (positions < size)]] = 1
    return scipy.sparse.csr_matrix(found)
