"""Pooling operations: averages, sums and maxima over windows and over axes."""

import dataclasses
import functools
import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lava_aug.conversion.operations import Refused, Step, Traced, converts
from lava_aug.conversion.rearrangement import MIXES, leading, moved, plain, plain_places
from lava_aug.conversion.signals import Signal
from lava_aug.conversion.user_code import is_sequence
from lava_aug.core.layers import Shape, Sparse, SumPool
from lava_aug.core.sliding import as_map

aten: Any = torch.ops.aten

MAX_DENOMINATOR = 1 << 12
"""Averages over windows of different sizes stay exact sums up to this common denominator."""

NO_PLACES = "takes the places of maxima, which spikes do not carry"


def _map_of(step: Step, x: Traced) -> Signal:
    """Maps, or rows, which pooling takes as maps of height 1."""
    signal = leading(step, x)
    if signal.shape != signal.view and as_map(signal.shape) == signal.view:
        return dataclasses.replace(signal, view=signal.shape)
    return step.lowering.as_seen(signal)


def _pair(value: Any) -> Any:
    along = tuple(value) if is_sequence(value) else (value,)
    return along * 2 if len(along) == 1 else along


@converts(aten.avg_pool2d)
def avg_pool(
    step: Step,
    x: Traced,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Traced:
    """A sum over windows and a divisor; where windows are of different size, a sum with weights."""
    signal = _map_of(step, x)
    window, margins = _pair(kernel_size), _pair(padding)
    steps = _pair(stride) if stride else window
    synapse = SumPool(kernel_size=window, stride=steps, padding=margins)
    if as_map(synapse.output_shape(signal.shape)) == step.shape[1:] and (count_include_pad or not max(margins)):
        made = step.linear(signal, synapse, gain=1 / (divisor_override or math.prod(window)))
        return plain(made, step.batch, step.shape[1:])
    axes: list[NDArray[Any]] = []
    for axis, size in enumerate(as_map(signal.shape)[1:]):
        basis = torch.eye(size, dtype=torch.float64).reshape(size, 1, size, 1)
        options = (ceil_mode, count_include_pad, 1 if divisor_override else None)
        averages = F.avg_pool2d(basis, (window[axis], 1), (steps[axis], 1), (margins[axis], 0), *options)
        axes.append(averages.reshape(size, -1).T.numpy())
    return _of_maps(step, signal, axes, 1 / divisor_override if divisor_override else 1.0)


@converts(aten.avg_pool1d)
def avg_pool_of_rows(
    step: Step,
    x: Traced,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Traced:
    """The same for rows."""
    window, steps, margins = (1, *kernel_size), (1, *(stride or kernel_size)), (0, *padding)
    rows = Step(**{**vars(step), "value": step.value.unsqueeze(-2)})
    made = avg_pool(rows, _with_height(step, x), window, steps, margins, ceil_mode, count_include_pad)
    return plain(made.signal, step.batch, step.shape[1:])


def _with_height(step: Step, x: Traced) -> Traced:
    return moved(step, x, lambda values: values.unsqueeze(-2), step.name)


@converts(aten._adaptive_avg_pool2d, aten.adaptive_avg_pool2d)
def adaptive_avg_pool(step: Step, x: Traced, output_size: Any) -> Traced:
    """Averages over a given number of windows, which may be of different size and overlap."""
    del output_size
    signal = _map_of(step, x)
    sizes, outputs = as_map(signal.shape)[1:], step.shape[2:]
    if all(size % output == 0 for size, output in zip(sizes, outputs, strict=True)):
        window: Any = tuple(size // output for size, output in zip(sizes, outputs, strict=True))
        made = step.linear(signal, SumPool(kernel_size=window, stride=window), gain=1 / math.prod(window))
        return plain(made, step.batch, step.shape[1:])
    axes = [adaptive_averages(size, output) for size, output in zip(sizes, outputs, strict=True)]
    return _of_maps(step, signal, axes)


def adaptive_averages(size: int, outputs: int) -> NDArray[Any]:
    """The matrix of averages along one axis."""
    basis = torch.eye(size, dtype=torch.float64).reshape(size, 1, size)
    return F.adaptive_avg_pool1d(basis, outputs).reshape(size, -1).T.numpy()


def _of_maps(step: Step, x: Signal, axes: list[NDArray[Any]], gain: float = 1.0) -> Traced:
    made = averaged(step, x, [np.identity(x.shape[0]), *axes], step.shape[1:], gain)
    return plain(made, step.batch, step.shape[1:])


def averaged(step: Step, x: Signal, axes: list[NDArray[Any]], shape: Shape, gain: float = 1.0) -> Signal:
    """A matrix along each axis; with integer weights, if they have a common denominator."""
    sparse: Any = scipy.sparse  # whose types are left open
    weights = functools.reduce(lambda one, other: sparse.kron(one, other, format="csr"), map(sparse.csr_matrix, axes))
    denominator = _common_denominator(weights.data)
    if denominator is not None:
        weights = scipy.sparse.csr_matrix(weights * denominator)
        weights.data = np.rint(weights.data).astype(np.int64)
        gain /= denominator
    return step.linear(x, Sparse.from_scipy(weights, shape), gain=gain)


def _common_denominator(values: NDArray[Any]) -> int | None:
    fractions = [Fraction(float(value)).limit_denominator(MAX_DENOMINATOR) for value in np.unique(values)]
    denominator = math.lcm(*(fraction.denominator for fraction in fractions))
    return denominator if denominator <= MAX_DENOMINATOR else None


# Over axes


@converts(aten.mean)
def mean(step: Step, x: Traced, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Traced:
    """The mean over some axes of each image."""
    del keepdim, dtype
    return _reduced(step, x, dim, average=True)


@converts(aten.sum)
def total(step: Step, x: Traced, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Traced:
    """The sum over some axes of each image."""
    del keepdim, dtype
    return _reduced(step, x, dim, average=False)


def _reduced(step: Step, x: Traced, dim: Any, *, average: bool) -> Traced:
    groups, places = _groups(step, x, dim)
    outputs, count = groups.shape
    gain = 1 / count if average else 1.0
    shape = x.signal.shape
    if len(shape) == 3 and outputs == shape[0] and np.array_equal(np.sort(groups, 1).reshape(-1), np.arange(x.size)):
        pooled = step.linear(x.signal, SumPool(kernel_size=shape[1:], stride=shape[1:]), gain=gain)
        return Traced(dataclasses.replace(pooled, view=(outputs,)), places)
    rows = np.repeat(np.arange(outputs), count)
    ones = np.ones(groups.size, np.int8)
    weights = scipy.sparse.csr_matrix((ones, (rows, groups.reshape(-1))), shape=(outputs, x.size))
    as_seen = len(places) == step.batch and torch.equal(places, plain_places(tuple(places.shape)))
    view = tuple(places.shape[1:]) if as_seen else (outputs,)
    made = step.linear(x.signal, Sparse.from_scipy(weights, view or (1,)), gain=gain)
    return Traced(made, places)


def _groups(step: Step, x: Traced, dim: Any) -> tuple[NDArray[Any], torch.Tensor]:
    """Elements of an image, ``(outputs, count)``, that an operation over axes takes together; places of the results."""
    rank = x.places.ndim
    dims = range(rank) if dim is None or dim == [] or dim == () else dim if is_sequence(dim) else (dim,)
    axes = sorted(d % rank for d in dims)
    together = x.places.movedim(axes, tuple(range(rank - len(axes), rank)))
    kept = together.shape[: rank - len(axes)]
    together = together.reshape(math.prod(kept), -1)
    images = together.div(x.size, rounding_mode="floor")
    if (images != images[:, :1]).any():
        raise step.fail(f"{MIXES}; keep the first axis")
    count = len(together) // step.batch
    order = torch.argsort(images[:, 0], stable=True).reshape(step.batch, count)
    chosen = together[order] - torch.arange(step.batch)[:, None, None] * x.size
    if (chosen != chosen[:1]).any():
        raise step.fail(f"{MIXES}; keep the first axis")
    places = torch.empty(len(together), dtype=torch.int64)
    places[order.reshape(-1)] = torch.arange(len(together))
    shape = step.shape if isinstance(step.value, torch.Tensor) else tuple(step.value[0].shape)
    return chosen[0].numpy(), places.reshape(shape)


# Maxima


@converts(aten.max_pool2d_with_indices, aten.max_pool2d)
def max_pool(
    step: Step,
    x: Traced,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> tuple[Any, ...]:
    """A layer of maxima over the running sums of windows."""
    options = {
        "kernel_size": _pair(kernel_size),
        "stride": _pair(stride or kernel_size),
        "padding": _pair(padding),
        "dilation": _pair(dilation),
        "ceil_mode": bool(ceil_mode),
    }
    made = step.lowering.max_pooled(_map_of(step, x), options, step.name, step.node)
    return plain(made, step.batch, tuple(step.value[0].shape[1:])), Refused(NO_PLACES)


@converts(aten.amax)
def maxima(step: Step, x: Traced, dim: Any = (), keepdim: bool = False) -> Traced:
    """The maxima over some axes of each image."""
    del keepdim
    groups, places = _groups(step, x, dim)
    return _largest(step, x, groups, places)


@converts(aten.max)
def maxima_and_places(step: Step, x: Traced, dim: Any = None, keepdim: bool = False) -> Any:
    """The same; or with the places of the maxima, which nobody may take."""
    if isinstance(step.value, torch.Tensor):
        raise step.fail(f"{MIXES}; keep the first axis")
    return maxima(step, x, dim, keepdim), Refused(NO_PLACES)


@converts(aten.adaptive_max_pool3d, aten.adaptive_max_pool2d, aten.adaptive_max_pool1d)
def adaptive_max_pool(step: Step, x: Traced, output_size: Any) -> tuple[Any, ...]:
    """Maxima over windows that may be of different size and overlap."""
    del output_size
    shape = tuple(step.value[0].shape)
    signal, sizes, refused = leading(step, x), x.places.shape[2:], Refused(NO_PLACES)
    if len(sizes) < 3 and all(size % output == 0 for size, output in zip(sizes, shape[2:], strict=True)):
        signal = _map_of(step, x)
        window = tuple(size // n for size, n in zip(as_map(signal.shape)[1:], as_map(shape[1:])[1:], strict=True))
        options = {"kernel_size": window, "stride": window, "padding": (0, 0), "dilation": (1, 1), "ceil_mode": False}
        return plain(step.lowering.max_pooled(signal, options, step.name, step.node), step.batch, shape[1:]), refused
    axes = [_windows(size, output) for size, output in zip(sizes, shape[2:], strict=True)]
    places = np.arange(math.prod(signal.view)).reshape(signal.view)
    groups = [places[(slice(None), *np.ix_(*windows))].reshape(len(places), -1) for windows in itertools.product(*axes)]
    flat = np.stack(groups, 1).reshape(-1, groups[0].shape[1])
    return _largest(step, plain(signal, step.batch), flat, plain_places(shape)), refused


def _windows(size: int, outputs: int) -> NDArray[Any]:
    """Places of each window along an axis; smaller windows say their last one again, which changes no maximum."""
    starts = [size * i // outputs for i in range(outputs)]
    stops = [-(-size * (i + 1) // outputs) for i in range(outputs)]
    longest = max(stop - start for start, stop in zip(starts, stops, strict=True))
    return np.stack(
        [np.minimum(np.arange(start, start + longest), stop - 1) for start, stop in zip(starts, stops, strict=True)]
    )


def _largest(step: Step, x: Traced, groups: NDArray[Any], places: torch.Tensor) -> Traced:
    """The maximum of every row of elements."""
    outputs, count = groups.shape
    shape = x.signal.shape
    over_maps = len(shape) == 3 and outputs == shape[0]
    if over_maps and np.array_equal(np.sort(groups, 1).reshape(-1), np.arange(x.size)):
        signal, window = x.signal, shape[1:]
    elif len(shape) > 1 and shape[-1] == count and np.array_equal(groups.reshape(-1), np.arange(x.size)):
        signal, window = dataclasses.replace(x.signal, view=shape), (1, count)
    else:
        target: Shape = (outputs, 1, count)
        synapse = Sparse(
            weight=np.ones(groups.size, np.int8), rows=np.arange(groups.size), columns=groups.reshape(-1), shape=target
        )
        signal, window = step.linear(x.signal, synapse), (1, count)
    options = {"kernel_size": window, "stride": window, "padding": (0, 0), "dilation": (1, 1), "ceil_mode": False}
    made = step.lowering.max_pooled(signal, options, step.name, step.node)
    return Traced(dataclasses.replace(made, view=(outputs,)), places)
