"""Pooling operations: averages, sums and maxima over windows and over axes."""

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from lava_aug.conversion.operations import Step, converts, converts_modules, is_sequence
from lava_aug.conversion.signals import Signal
from lava_aug.core.layers import Sparse, SumPool
from lava_aug.core.sliding import as_map

MAX_DENOMINATOR = 1 << 12
"""Averages over windows of different sizes stay exact sums up to this common denominator."""

POOLING = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")


@converts(F.avg_pool1d, F.avg_pool2d)
@converts_modules(nn.AvgPool1d, takes=POOLING)
@converts_modules(nn.AvgPool2d, takes=(*POOLING, "divisor_override"))
def avg_pool(
    step: Step,
    x: Signal,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Signal:
    """A sum over windows and a divisor; where windows are of different size, a sum with weights."""
    x = step.lowering.as_seen(x)
    stride = kernel_size if stride is None or stride == () else stride
    window, steps, margins = (
        _height_and_width(x, value, filler) for value, filler in ((kernel_size, 1), (stride, 1), (padding, 0))
    )
    synapse = SumPool(kernel_size=window, stride=steps, padding=margins)
    if synapse.output_shape(x.shape) == step.shape and (count_include_pad or not max(margins)):
        return step.linear(x, synapse, gain=1 / (divisor_override or math.prod(window)))
    axes: list[NDArray[Any]] = []
    for axis, size in enumerate(as_map(x.shape)[1:]):
        basis = torch.eye(size, dtype=torch.float64).reshape(size, 1, size, 1)
        options = (ceil_mode, count_include_pad, 1 if divisor_override else None)
        averages = F.avg_pool2d(basis, (window[axis], 1), (steps[axis], 1), (margins[axis], 0), *options)
        axes.append(averages.reshape(size, -1).T.numpy())
    return _averaged(step, x, axes, 1 / divisor_override if divisor_override else 1.0)


def _height_and_width(x: Signal, value: Any, filler: int) -> Any:
    """A parameter of one- or two-dimensional pooling as (height, width)."""
    if len(x.view) == 2:
        return filler, value[0] if is_sequence(value) else value
    return tuple(value) if is_sequence(value) else (value, value)


@converts(F.adaptive_avg_pool1d, F.adaptive_avg_pool2d)
@converts_modules(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, takes=("output_size",))
def adaptive_avg_pool(step: Step, x: Signal, output_size: Any) -> Signal:
    """Averages over a given number of windows, which may be of different size and overlap."""
    x = step.lowering.as_seen(x)
    sizes, outputs = as_map(x.shape)[1:], as_map(step.shape)[1:]
    if all(size % output == 0 for size, output in zip(sizes, outputs, strict=True)):
        window: Any = tuple(size // output for size, output in zip(sizes, outputs, strict=True))
        return step.linear(x, SumPool(kernel_size=window, stride=window), gain=1 / math.prod(window))
    axes: list[NDArray[Any]] = []
    for size, output in zip(sizes, outputs, strict=True):
        basis = torch.eye(size, dtype=torch.float64).reshape(size, 1, size)
        axes.append(F.adaptive_avg_pool1d(basis, output).reshape(size, -1).T.numpy())
    return _averaged(step, x, axes)


def _averaged(step: Step, x: Signal, axes: list[NDArray[Any]], gain: float = 1.0) -> Signal:
    """``axes[0] @ map @ axes[1].T`` for every channel; with integer weights, if they have a common denominator."""
    sparse: Any = scipy.sparse  # whose types are left open
    along = sparse.kron(*map(sparse.csr_matrix, axes))
    weights = sparse.kron(sparse.identity(x.shape[0]), along, format="csr")
    return _weighted_sum(step, x, weights, gain)


def _weighted_sum(step: Step, x: Signal, weights: Any, gain: float) -> Signal:
    denominator = _common_denominator(weights.data)
    if denominator is not None:
        weights = scipy.sparse.csr_matrix(weights * denominator)
        weights.data = np.rint(weights.data).astype(np.int64)
        gain /= denominator
    return step.linear(x, Sparse.from_scipy(weights, step.shape), gain=gain)


def _common_denominator(values: NDArray[Any]) -> int | None:
    fractions = [Fraction(float(value)).limit_denominator(MAX_DENOMINATOR) for value in np.unique(values)]
    denominator = math.lcm(*(fraction.denominator for fraction in fractions))
    return denominator if denominator <= MAX_DENOMINATOR else None


@converts(torch.mean, "mean")
def mean(step: Step, x: Signal, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Signal:
    """The mean over some axes of each image."""
    del keepdim, dtype
    return _reduced(step, x, dim, average=True)


@converts(torch.sum, "sum")
def total(step: Step, x: Signal, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Signal:
    """The sum over some axes of each image."""
    del keepdim, dtype
    return _reduced(step, x, dim, average=False)


def _reduced(step: Step, x: Signal, dim: Any, *, average: bool) -> Signal:
    rank = len(x.view) + 1
    dims: Sequence[int] = range(rank) if dim is None else dim if is_sequence(dim) else (dim,)
    axes = sorted(d % rank for d in dims)
    if 0 in axes:
        raise step.fail("mixes images; keep the first axis")
    x = step.lowering.as_seen(x)
    count = math.prod(x.view[axis - 1] for axis in axes)
    gain = 1 / count if average else 1.0
    if len(x.view) == 3 and axes == [2, 3]:
        window: Any = x.view[1:]
        pooled = step.linear(x, SumPool(kernel_size=window, stride=window), gain=gain)
        return dataclasses.replace(pooled, view=step.shape)
    places = np.arange(math.prod(x.view)).reshape(x.view)
    kept = np.moveaxis(places, [axis - 1 for axis in axes], range(-len(axes), 0)).reshape(-1, count)
    rows = np.repeat(np.arange(len(kept)), count)
    ones = np.ones(kept.size, np.int8)
    weights = scipy.sparse.csr_matrix((ones, (rows, kept.reshape(-1))), shape=(len(kept), places.size))
    summed = step.linear(x, Sparse.from_scipy(weights, step.shape or (1,)), gain=gain)
    return dataclasses.replace(summed, view=step.shape)


@converts(F.max_pool1d, F.max_pool2d, torch.max_pool1d, torch.max_pool2d)
@converts_modules(
    nn.MaxPool1d, nn.MaxPool2d, takes=("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
)
def max_pool(
    step: Step,
    x: Signal,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Signal:
    """A layer of maxima over the running sums of windows."""
    if return_indices:
        raise step.fail("return_indices=True is not supported; spikes carry no places")
    options = {
        "kernel_size": _height_and_width(x, kernel_size, 1),
        "stride": _height_and_width(x, stride if stride not in (None, ()) else kernel_size, 1),
        "padding": _height_and_width(x, padding, 0),
        "dilation": _height_and_width(x, dilation, 1),
        "ceil_mode": bool(ceil_mode),
    }
    return step.lowering.max_pooled(x, options, step.name, step.node.name)


@converts(torch.amax, "amax")
def maxima(step: Step, x: Signal, dim: Any = (), keepdim: bool = False) -> Signal:
    """The maxima over all places of a map, for each channel."""
    del keepdim
    rank = len(x.view) + 1
    axes = sorted(d % rank for d in (dim if is_sequence(dim) else (dim,)))
    if axes != list(range(2, rank)):
        raise step.fail(f"takes maxima over axes {dim}; only those over a whole map are supported")
    pooled = max_pool(step, x, x.view[-1:] if rank == 3 else x.view[1:])
    return dataclasses.replace(pooled, view=step.shape)


@converts(F.adaptive_max_pool1d, F.adaptive_max_pool2d)
@converts_modules(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, takes=("output_size", "return_indices"))
def adaptive_max_pool(step: Step, x: Signal, output_size: Any, return_indices: bool = False) -> Signal:
    """`max_pool` where the windows are of one size."""
    sizes, outputs = as_map(x.view)[1:], as_map(step.shape)[1:]
    if any(size % output for size, output in zip(sizes, outputs, strict=True)):
        raise step.fail(f"output size {output_size} does not divide the map {sizes}; use a divisor, or MaxPool2d")
    window = tuple(size // output for size, output in zip(sizes, outputs, strict=True))
    return max_pool(step, x, window[-1:] if len(x.view) == 2 else window, return_indices=return_indices)
