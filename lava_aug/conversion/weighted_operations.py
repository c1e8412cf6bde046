"""Operations with trained weights: linear layers, convolutions, batch normalisation."""

import types
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lava_aug.conversion.float_layers import Signal
from lava_aug.conversion.rearrangement import rearranged
from lava_aug.conversion.steps import Step, is_signal, kept_name, numpy_of
from lava_aug.layers import Conv, ConvTranspose, Dense, Shape


def linear(step: Step, module: nn.Linear, x: Signal) -> Signal:
    """Dense, over all features or along the last axis."""
    weight, bias = numpy_of(module.weight), numpy_of(module.bias)
    if x.view == (module.in_features,):
        return step.linear(x, Dense(weight=weight), bias)
    if x.view[-1] != module.in_features:
        raise step.fail(f"expected {module.in_features} features along the last axis, found shape {x.view}")
    return step.linear(step.lowering.as_seen(x), Dense(weight=weight), bias)


def convolution(step: Step, module: nn.Conv1d | nn.Conv2d, x: Signal) -> Signal:
    """A convolution; what its zero padding cannot say is padding of its own in front of it."""
    options, one = _on_map(module, stride=1, dilation=1), module.weight.ndim == 3
    weight, padding, bias = numpy_of(module.weight), _padding(module), numpy_of(module.bias)
    weight = weight[:, :, None] if one else weight
    padding = [(0, 0), *padding] if one else padding
    x = step.lowering.as_seen(x)
    if module.padding_mode != "zeros":
        x = _padded(step, x, padding, module.padding_mode)
        padding = [(0, 0), (0, 0)]
    weight, symmetric, dilation = _symmetric(weight, padding, options["dilation"])
    synapse = Conv(weight=weight, stride=options["stride"], padding=symmetric, dilation=dilation, groups=module.groups)
    return step.linear(x, synapse, _column(bias, synapse.output_shape(x.shape)))


def convolution_function(
    step: Step,
    x: Signal,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Signal:
    """`convolution` with weights that may have been computed, as in subclasses of `torch.nn.Conv2d`."""
    if any(map(is_signal, (weight, bias))):
        raise step.fail("convolves with weights that depend on the image")
    window = tuple(weight.shape[2:])

    def along(value: Any) -> Any:
        return value if isinstance(value, (str, tuple, list)) else (value,) * len(window)

    module: Any = types.SimpleNamespace(
        weight=weight,
        bias=bias,
        stride=along(stride),
        padding=along(padding),
        dilation=along(dilation),
        groups=groups,
        kernel_size=window,
        padding_mode="zeros",
    )
    return convolution(step, module, x)


def linear_function(step: Step, x: Signal, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Signal:
    """`linear` with weights that may have been computed."""
    if any(map(is_signal, (weight, bias))):
        raise step.fail("multiplies with weights that depend on the image")
    module: Any = types.SimpleNamespace(weight=weight, bias=bias, in_features=weight.shape[1])
    return linear(step, module, x)


def _on_map(module: Any, **fillers: int) -> dict[str, Any]:
    """Parameters as (height, width); those of one-dimensional modules with a filler for the height."""
    found = {name: tuple(getattr(module, name)) for name in fillers}
    return {name: (fillers[name], *value) if len(value) == 1 else value for name, value in found.items()}


def _column(bias: np.ndarray | None, shape: Shape) -> np.ndarray | None:
    return None if bias is None else bias.reshape(-1, *[1] * (len(shape) - 1))


def _padding(module: Any) -> list[tuple[int, int]]:
    """(before, after) for each axis; torch puts the odd one of padding="same" behind."""
    if module.padding == "valid":
        return [(0, 0) for _ in module.kernel_size]
    if module.padding == "same":
        totals = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(p, p) for p in module.padding]


def _symmetric(weight: np.ndarray, padding: list[tuple[int, int]], dilation: Any) -> tuple[np.ndarray, Any, Any]:
    """Weight, padding and dilation of the same convolution, with as much padding before as behind.

    Zeros are put in front of the kernel instead. Each of them moves the window's start by the dilation; where that is
    too much, the kernel is dilated with zeros first.
    """
    steps = list(dilation)
    for axis, (before, after) in enumerate(padding):
        if (after - before) % steps[axis]:
            weight, steps[axis] = _dilated(weight, axis + 2, steps[axis]), 1
        margins = [(0, 0)] * weight.ndim
        margins[axis + 2] = ((after - before) // steps[axis], 0)
        weight = np.pad(weight, margins)
    return weight, tuple(after for _, after in padding), tuple(steps)


def _dilated(weight: np.ndarray, axis: int, dilation: int) -> np.ndarray:
    """A kernel with ``dilation - 1`` zeros between the elements of an axis."""
    shape = list(weight.shape)
    shape[axis] = dilation * (shape[axis] - 1) + 1
    wide = np.zeros(shape)
    np.moveaxis(wide, axis, 0)[::dilation] = np.moveaxis(weight, axis, 0)
    return wide


def _padded(step: Step, x: Signal, padding: list[tuple[int, int]], mode: str) -> Signal:
    """Padding that repeats elements of the map."""
    margins = padding[-(len(x.view) - 1) :]
    flat = [size for before_after in reversed(margins) for size in before_after]
    return rearranged(step, x, lambda images: F.pad(images, flat, mode=mode), f"{step.name}.pad")


def conv_transpose(step: Step, module: nn.ConvTranspose1d | nn.ConvTranspose2d, x: Signal) -> Signal:
    """Transposed convolution."""
    weight, bias = numpy_of(module.weight), numpy_of(module.bias)
    one = isinstance(module, nn.ConvTranspose1d)
    options = _on_map(module, stride=1, padding=0, output_padding=0, dilation=1)
    synapse = ConvTranspose(weight=weight[:, :, None] if one else weight, groups=module.groups, **options)
    x = step.lowering.as_seen(x)
    return step.linear(x, synapse, _column(bias, synapse.output_shape(x.shape)))


def batch_norm(step: Step, module: nn.BatchNorm1d | nn.BatchNorm2d, x: Signal) -> Signal:
    """``x * scale + (shift - mean * scale)`` with ``scale = gamma / sqrt(var + eps)``, wherever it stands."""
    mean, variance = numpy_of(module.running_mean), numpy_of(module.running_var)
    if mean is None or variance is None:
        raise step.fail("has no running statistics; train it with track_running_stats=True")
    scale = 1 / np.sqrt(variance + module.eps)
    if module.affine:
        scale = scale * numpy_of(module.weight)
    shift = (numpy_of(module.bias) if module.affine else 0) - mean * scale
    column = (-1, *[1] * (len(x.view) - 1))
    x = step.lowering.scaled(x, scale.reshape(column), kept_name(x, step), step.node.name)
    return step.lowering.shifted(x, shift.reshape(column), x.name, step.node.name)
