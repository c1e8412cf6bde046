"""Operations with trained weights: linear layers, convolutions, batch normalisation."""

import dataclasses
import operator
import types
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from lava_aug.conversion.operations import Step, converts, is_sequence, is_signal, kept_name, numpy_of
from lava_aug.conversion.rearrangement import rearranged
from lava_aug.conversion.signals import Signal
from lava_aug.core.layers import Conv, ConvTranspose, Dense, Shape

python: Any = operator  # of some of its functions the types are left open


@converts(nn.Linear)
def linear(step: Step, module: nn.Linear, x: Signal) -> Signal:
    """Dense, over all features or along the last axis."""
    weight, bias = numpy_of(module.weight), numpy_of(module.bias)
    if x.view == (module.in_features,):
        return step.linear(x, Dense(weight=weight), bias)
    if x.view[-1:] != (module.in_features,):
        raise step.fail(f"expected {module.in_features} features along the last axis, found shape {x.view}")
    made = step.linear(step.lowering.as_seen(x), Dense(weight=weight), bias)
    return dataclasses.replace(made, view=step.shape)  # (1, n) counts as (n,)


@converts(nn.Conv1d, nn.Conv2d)
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


@converts(F.conv1d, F.conv2d)
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

    module: Any = types.SimpleNamespace(
        weight=weight,
        bias=bias,
        stride=_along(stride, len(window)),
        padding=_along(padding, len(window)),
        dilation=_along(dilation, len(window)),
        groups=groups,
        kernel_size=window,
        padding_mode="zeros",
    )
    return convolution(step, module, x)


@converts(F.linear)
def linear_function(step: Step, x: Signal, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Signal:
    """`linear` with weights that may have been computed."""
    if any(map(is_signal, (weight, bias))):
        raise step.fail("multiplies with weights that depend on the image")
    module: Any = types.SimpleNamespace(weight=weight, bias=bias, in_features=weight.shape[1])
    return linear(step, module, x)


@converts(torch.matmul, python.matmul, "matmul")
def matmul(step: Step, x: Any, other: Any) -> Signal:
    """`linear` with a constant matrix from the right."""
    if is_signal(x) and is_signal(other):
        raise step.fail(
            "multiplies two values that depend on the image, as attention does, and spikes only add up; use a "
            "convolutional network"
        )
    if not is_signal(x) or other.ndim != 2:
        raise step.fail("only matrices of shape (in, out) from the right are supported; transpose, or use nn.Linear")
    return linear_function(step, x, other.T)


def _along(value: Any, axes: int) -> Any:
    """An option of a convolution, for each of its axes; functions take one number for all, too."""
    return value if isinstance(value, str) else tuple(value) if is_sequence(value) else (value,) * axes


def _on_map(module: Any, **fillers: int) -> dict[str, Any]:
    """Parameters as (height, width); those of one-dimensional modules with a filler for the height."""
    found = {name: tuple(getattr(module, name)) for name in fillers}
    return {name: (fillers[name], *value) if len(value) == 1 else value for name, value in found.items()}


def _column(bias: NDArray[Any] | None, shape: Shape) -> NDArray[Any] | None:
    return None if bias is None else bias.reshape(-1, *[1] * (len(shape) - 1))


def _padding(module: Any) -> list[tuple[int, int]]:
    """(before, after) for each axis; torch puts the odd one of padding="same" behind."""
    if module.padding == "valid":
        return [(0, 0) for _ in module.kernel_size]
    if module.padding == "same":
        totals = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(p, p) for p in module.padding]


def _symmetric(weight: NDArray[Any], padding: list[tuple[int, int]], dilation: Any) -> tuple[NDArray[Any], Any, Any]:
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


def _dilated(weight: NDArray[Any], axis: int, dilation: int) -> NDArray[Any]:
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


@converts(nn.ConvTranspose1d, nn.ConvTranspose2d)
def conv_transpose(step: Step, module: nn.ConvTranspose1d | nn.ConvTranspose2d, x: Signal) -> Signal:
    """Transposed convolution."""
    weight, bias = numpy_of(module.weight), numpy_of(module.bias)
    one = module.weight.ndim == 3
    options = _on_map(module, stride=1, padding=0, output_padding=0, dilation=1)
    synapse = ConvTranspose(weight=weight[:, :, None] if one else weight, groups=module.groups, **options)
    x = step.lowering.as_seen(x)
    return step.linear(x, synapse, _column(bias, synapse.output_shape(x.shape)))


@converts(F.conv_transpose1d, F.conv_transpose2d)
def conv_transpose_function(
    step: Step,
    x: Signal,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Signal:
    """`conv_transpose` with weights that may have been computed."""
    if any(map(is_signal, (weight, bias))):
        raise step.fail("convolves with weights that depend on the image")
    options = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    along = {name: _along(value, weight.ndim - 2) for name, value in options.items()}
    module: Any = types.SimpleNamespace(weight=weight, bias=bias, groups=groups, **along)
    return conv_transpose(step, module, x)


@converts(F.batch_norm)
def batch_norm_function(
    step: Step,
    x: Signal,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Signal:
    """`batch_norm` with numbers that may have been computed."""
    del momentum
    if training:
        raise step.fail("takes the statistics of the batch in evaluation too; pass training=self.training")
    module: Any = types.SimpleNamespace(
        running_mean=running_mean, running_var=running_var, weight=weight, bias=bias, eps=eps
    )
    return batch_norm(step, module, x)


@converts(nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
def batch_norm(step: Step, module: Any, x: Signal) -> Signal:
    """``x * scale + (shift - mean * scale)`` with ``scale = gamma / sqrt(var + eps)``, wherever it stands."""
    mean, variance = numpy_of(module.running_mean), numpy_of(module.running_var)
    if mean is None or variance is None:
        raise step.fail("has no running statistics; train it with track_running_stats=True")
    scale, gamma, beta = 1 / np.sqrt(variance + module.eps), numpy_of(module.weight), numpy_of(module.bias)
    scale = scale if gamma is None else scale * gamma
    shift = (0 if beta is None else beta) - mean * scale
    column = (-1, *[1] * (len(x.view) - 1))
    x = step.lowering.scaled(x, scale.reshape(column), kept_name(x, step), step.node.name)
    return step.lowering.shifted(x, shift.reshape(column), x.name, step.node.name)
