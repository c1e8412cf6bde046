"""Average pooling for networks with ordinary spikes only: folded into the next synapse, exactly.

``sum over a of w[a] * sum of window a`` is one sum over the inputs of all windows. Folding costs synapses, so where
it would cost too many, pooling stays a layer of the network's own neuron, with a threshold of the window's size.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lava_aug.core.layers import Conv, Dense, Shape, SumPool, Synapse
from lava_aug.core.sliding import as_map

MAX_GROWTH = 4
"""Folding may multiply the synapses of the next layer by this (a 2x2 window does)."""

FREE_SYNAPSES = 1 << 20
"""Or give it up to so many, whatever the factor: a small head behind global pooling."""


def worth_folding(folded: Synapse, wide: Shape, taker: Synapse, pooled: Shape) -> bool:
    """Whether a folded synapse on maps of shape ``wide`` costs little enough to stand for the one after pooling."""
    if folded.output_shape(wide) != taker.output_shape(pooled):
        return False
    allowed = max(FREE_SYNAPSES, MAX_GROWTH * taker.connectivity(pooled).count)
    return folded.connectivity(wide).count <= allowed


def folded_synapse(pool: Synapse, taker: Synapse, wide: Shape) -> Synapse | None:
    """Sum pooling and then ``taker`` as one synapse on maps of shape ``wide``; None if that is not exact."""
    key, pooled = (type(taker), type(pool)), pool.output_shape(wide)
    if key not in FOLDS:
        return None
    return FOLDS[key](pool, taker, as_map(wide), as_map(pooled))


def _folded_dense(pool: SumPool, dense: Dense, wide: Shape, pooled: Shape) -> Dense | None:
    """Every weight goes to all elements of its window: the adjoint of pooling, applied to each row."""
    channels, height, width = pooled
    if dense.weight.shape[1] != math.prod(pooled):
        return None  # along the last axis
    rows = dense.weight.reshape(-1, channels, height, width).astype(np.float64)
    margins = [
        (p, p + s * n + d * k)
        for p, s, n, d, k in zip(
            pool.padding, pool.stride, (height, width), pool.dilation, pool.kernel_size, strict=True
        )
    ]
    sums = np.zeros((*rows.shape[:2], *(size + sum(m) for size, m in zip(wide[1:], margins, strict=True))))
    for i in range(pool.kernel_size[0]):
        for j in range(pool.kernel_size[1]):
            y, x = i * pool.dilation[0], j * pool.dilation[1]
            sums[
                :, :, y : y + height * pool.stride[0] : pool.stride[0], x : x + width * pool.stride[1] : pool.stride[1]
            ] += rows
    top, left = pool.padding
    inner = sums[:, :, top : top + wide[1], left : left + wide[2]]
    return Dense(weight=inner.reshape(len(rows), -1))


def _folded_conv(pool: SumPool, conv: Conv, wide: Shape, pooled: Shape) -> Conv | None:
    """Kernel index ``a * dilation * pool_stride + b`` for kernel element a and window element b."""
    for axis in range(2):
        # Zeros that pad the pooled map must not stand for windows that see the image.
        outside = (
            pool.kernel_size[axis] <= pool.stride[axis] + pool.padding[axis]
            and pooled[axis + 1] * pool.stride[axis] - pool.padding[axis] >= wide[axis + 1]
        )
        if pool.dilation[axis] != 1 or (conv.padding[axis] and not outside):
            return None
    steps = [d * s for d, s in zip(conv.dilation, pool.stride, strict=True)]
    size = [(k - 1) * step + w for k, step, w in zip(conv.window, steps, pool.kernel_size, strict=True)]
    kernel = np.zeros((*conv.weight.shape[:2], *size))
    for i in range(pool.kernel_size[0]):
        for j in range(pool.kernel_size[1]):
            kernel[
                :,
                :,
                i : i + (conv.window[0] - 1) * steps[0] + 1 : steps[0],
                j : j + (conv.window[1] - 1) * steps[1] + 1 : steps[1],
            ] += conv.weight
    stride: Any = [s * t for s, t in zip(conv.stride, pool.stride, strict=True)]
    padding: Any = [p * t + q for p, t, q in zip(conv.padding, pool.stride, pool.padding, strict=True)]
    return Conv(weight=kernel, stride=stride, padding=padding, groups=conv.groups)


FOLDS: dict[tuple[type, type], Callable[[Any, Any, Shape, Shape], Synapse | None]] = {
    (Dense, SumPool): _folded_dense,
    (Conv, SumPool): _folded_conv,
}
"""How a synapse takes up the pooling in front of it, by the types of both."""
