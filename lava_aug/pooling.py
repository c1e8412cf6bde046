"""Average pooling for networks in which only ordinary spikes travel: folded into the next synapse, exactly.

``sum over a of w[a] * mean of window a`` is one sum over the inputs of all windows. Folding costs synapses, so where
it would cost too many, pooling stays a layer of the network's own neuron, with a threshold of the window's size.
"""

import dataclasses
from typing import Any

import numpy as np

from lava_aug.layers import Conv, Dense, Shape, SumPool, Synapse
from lava_aug.tracing import FloatLayer

MAX_GROWTH = 4
"""Folding may multiply the synapses of the next layer by this (a 2x2 window does)."""

FREE_SYNAPSES = 1 << 20
"""Or give it up to so many, whatever the factor: a small head behind global pooling."""


def fold_pools(layers: list[FloatLayer], input_shape: Shape) -> list[FloatLayer]:
    """Fold every pooling layer into the layers that take it, where that is exact and cheap enough.

    Parameters
    ----------
    layers : list of FloatLayer
        In topological order; not changed.
    input_shape : tuple of int
        Shape of the images.

    Returns
    -------
    list of FloatLayer
        The same map, with fewer layers.
    """
    kept = list(layers)
    for pool in reversed(layers):  # so that of two in a row the first finds a synapse to be folded into
        if not isinstance(pool.synapse, SumPool) or pool.relu or pool is kept[-1]:
            continue
        shapes = {layer.name: layer.shape for layer in kept} | {"input": input_shape}
        takers = [layer for layer in kept if layer.source == pool.name]
        folded = [folded_synapse(pool.synapse, pool.divisor, t.synapse, shapes[pool.source]) for t in takers]
        if not all(_worth_it(f, t, shapes[pool.source], pool.shape) for f, t in zip(folded, takers, strict=True)):
            continue
        for taker, synapse in zip(takers, folded, strict=True):
            assert synapse is not None  # _worth_it
            names = (pool.name, *taker.folded)
            kept[kept.index(taker)] = dataclasses.replace(taker, source=pool.source, synapse=synapse, folded=names)
        kept.remove(pool)
    return kept


def _worth_it(folded: Synapse | None, taker: FloatLayer, wide: Shape, pooled: Shape) -> bool:
    if folded is None or folded.output_shape(wide) != taker.shape:
        return False
    count = int(folded.fan_out(wide).sum())
    return count <= max(FREE_SYNAPSES, MAX_GROWTH * int(taker.synapse.fan_out(pooled).sum()))


def folded_synapse(pool: SumPool, divisor: int, taker: Synapse, wide: Shape) -> Synapse | None:
    """Pooling by ``divisor`` and then ``taker`` as one synapse on maps of shape ``wide``; None if that is not exact."""
    if isinstance(taker, Dense):
        return _folded_dense(pool, divisor, taker, wide)
    if isinstance(taker, Conv):
        return _folded_conv(pool, divisor, taker, wide)
    return None


def _folded_dense(pool: SumPool, divisor: int, dense: Dense, wide: Shape) -> Dense:
    """Every weight goes to all elements of its window: the adjoint of pooling, applied to each row."""
    channels, height, width = pool.output_shape(wide)
    rows = dense.weight.reshape(-1, channels, height, width).astype(np.float64) / divisor
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


def _folded_conv(pool: SumPool, divisor: int, conv: Conv, wide: Shape) -> Conv | None:
    """Kernel index ``a * dilation * pool_stride + b`` for kernel element a and window element b."""
    pooled = pool.output_shape(wide)
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
            ] += conv.weight / divisor
    stride: Any = [s * t for s, t in zip(conv.stride, pool.stride, strict=True)]
    padding: Any = [p * t + q for p, t, q in zip(conv.padding, pool.stride, pool.padding, strict=True)]
    return Conv(weight=kernel, stride=stride, padding=padding, groups=conv.groups)
