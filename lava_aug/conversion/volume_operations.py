"""Operations on volumes ``(channels, depth, height, width)``, as operations on maps whose channels are all slices.

A convolution along the depth, too, is one of maps: between slices that are too far apart, its weights are zeros. Slices
are stored one after the other, each with all its channels, so that what treats slices alike has no zeros: it is a
convolution in groups.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lava_aug.conversion.operations import Refused, Step, Traced, converts
from lava_aug.conversion.pooling_operations import NO_PLACES, adaptive_averages, averaged
from lava_aug.conversion.rearrangement import leading, plain
from lava_aug.conversion.signals import Signal
from lava_aug.core.fixed_point import einsum
from lava_aug.core.layers import Conv, ConvTranspose, Shape

aten: Any = torch.ops.aten

Weight = NDArray[Any]


def _turned(x: Traced, slices_lead: bool) -> Traced:
    """Seen with its depth as the first axis of each image."""
    return Traced(x.signal, x.places.transpose(1, 2)) if slices_lead else x


def _seen(step: Step, signal: Signal, view: Shape) -> Signal:
    return step.lowering.as_seen(dataclasses.replace(signal, view=view))


def _as_maps(step: Step, signal: Signal) -> Signal:
    first, second, *size = signal.view
    return _seen(step, signal, (first * second, *size))


def _volume(step: Step, made: Signal, shape: Shape, slices_lead: bool) -> Traced:
    """What the model sees as a volume, of a signal in one of both orders."""
    channels, depth, *size = shape
    view = (depth, channels, *size) if slices_lead else tuple(shape)
    return _turned(plain(made, step.batch, view), slices_lead)


# Convolutions


def convolution(
    step: Step, x: Traced, weight: Weight, bias: Weight | None, transposed: bool, groups: int, **options: Any
) -> Traced:
    """A convolution of maps, whose channels are the slices of all channels; ``options`` have three axes."""
    given = {name: _along(value) for name, value in options.items()}
    alone = weight.shape[2] == 1 and (given["stride"][0], given["padding"][0]) == (1, 0)
    slices_lead = alone or groups == 1
    signal = leading(step, _turned(x, slices_lead))
    depths = x.places.shape[2], step.shape[2]
    if alone:
        kernel, groups = np.tile(weight[:, :, 0], (depths[0], 1, 1, 1)), groups * depths[0]
    else:
        along = {name: value[0] for name, value in given.items()}
        kernel = _banded(weight, _used(weight.shape[2], depths[:: 1 if transposed else -1], along), slices_lead)
    on_maps = {name: value[1:] for name, value in given.items() if transposed or name != "output_padding"}
    synapse = (ConvTranspose if transposed else Conv)(weight=kernel, groups=groups, **on_maps)
    offset = None
    if bias is not None:
        offset = (np.tile(bias, depths[1]) if slices_lead else np.repeat(bias, depths[1]))[:, None, None]
    made = step.linear(_as_maps(step, signal), synapse, offset)
    return _volume(step, made, step.shape[1:], slices_lead)


def _along(value: Any) -> tuple[int, int, int]:
    return tuple(value) * 3 if len(value) == 1 else tuple(value)


def _used(window: int, depths: Sequence[int], along: dict[str, int]) -> Weight:
    """Whether an element of the window leads from one slice to another, ``(window, out, in)``; transposed, turned."""
    first, second = depths
    starts = np.arange(first) * along["stride"] - along["padding"]
    reached = starts + along["dilation"] * np.arange(window)[:, None]
    return (reached[:, :, None] == np.arange(second)).astype(np.float64)


def _banded(weight: Weight, used: Weight, slices_lead: bool) -> Weight:
    """Weights between all channels of all slices."""
    made = einsum("oikhw,kts->tosihw" if slices_lead else "oikhw,kts->otishw", weight, used, optimize=True)
    return made.reshape(weight.shape[0] * used.shape[1], weight.shape[1] * used.shape[2], *weight.shape[3:])


# Pooling


@converts(aten.avg_pool3d)
def avg_pool(
    step: Step,
    x: Traced,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Traced:
    """A sum over windows with weights."""
    windows, margins = _along(kernel_size), _along(padding)
    steps = _along(stride) if stride else windows
    axes: list[Any] = []
    for size, *given in zip(x.places.shape[2:], windows, steps, margins, strict=True):
        basis = torch.eye(size, dtype=torch.float64).reshape(size, 1, size, 1)
        window, step_, margin = ((value, other) for value, other in zip(given, (1, 1, 0), strict=True))
        options = (ceil_mode, count_include_pad, 1 if divisor_override else None)
        axes.append(F.avg_pool2d(basis, window, step_, margin, *options).reshape(size, -1).T.numpy())
    return _averages(step, x, axes, 1 / divisor_override if divisor_override else 1.0)


@converts(aten._adaptive_avg_pool3d, aten.adaptive_avg_pool3d)
def adaptive_avg_pool(step: Step, x: Traced, output_size: Any) -> Traced:
    """Averages over a given number of windows, which may be of different size and overlap."""
    del output_size
    return _averages(
        step, x, [adaptive_averages(*sizes) for sizes in zip(x.places.shape[2:], step.shape[2:], strict=True)]
    )


def _averages(step: Step, x: Traced, axes: list[Any], gain: float = 1.0) -> Traced:
    """An average along each axis."""
    signal = leading(step, _turned(x, True))
    channels, depth, *size = step.shape[1:]
    alike = np.identity(channels)
    made = averaged(step, signal, [axes[0], alike, *axes[1:]], (depth * channels, *size), gain)
    return _volume(step, made, step.shape[1:], True)


@converts(aten.max_pool3d_with_indices, aten.max_pool3d)
def max_pool(
    step: Step,
    x: Traced,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = (0,),
    dilation: Any = (1,),
    ceil_mode: bool = False,
) -> tuple[Any, ...]:
    """Maxima over the windows of each slice, then over slices, which is pooling of maps ``(depth, all places)``."""
    options = {"kernel_size": kernel_size, "stride": stride or kernel_size, "padding": padding, "dilation": dilation}
    given = {name: _along(value) for name, value in options.items()}
    channels, depth, *size = step.value[0].shape[1:]
    signal = leading(step, _turned(x, True))
    slices = signal.view[0]
    if (given["kernel_size"][1:], given["stride"][1:]) != ((1, 1), (1, 1)):
        within = {name: value[1:] for name, value in given.items()}
        signal = _pooled(step, _as_maps(step, signal), within, ceil_mode)
    if given["kernel_size"][0] != 1 or given["stride"][0] != 1:
        across = {name: (value[0], 0 if name == "padding" else 1) for name, value in given.items()}
        signal = _pooled(step, _seen(step, signal, (1, slices, channels * math.prod(size))), across, ceil_mode)
    return _volume(step, signal, (channels, depth, *size), True), Refused(NO_PLACES)


def _pooled(step: Step, signal: Signal, options: dict[str, Any], ceil_mode: bool) -> Signal:
    return step.lowering.max_pooled(signal, {**options, "ceil_mode": bool(ceil_mode)}, step.name, step.node)
