"""Operations with trained weights: linear layers, convolutions, batch normalisation."""

import dataclasses
import operator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from lava_aug.conversion.composition import along_channels
from lava_aug.conversion.operations import Step, converts, converts_modules, is_sequence, is_signal, kept_name, numpy_of
from lava_aug.conversion.rearrangement import rearranged
from lava_aug.conversion.signals import Signal
from lava_aug.core.layers import Conv, ConvTranspose, Dense, Shape

python: Any = operator  # of some of its functions the types are left open


@converts(F.linear)
@converts_modules(nn.Linear, takes=("weight", "bias"))
def linear(step: Step, x: Signal, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Signal:
    """Dense, over all features or along the last axis."""
    _check_constant(step, "multiplies", weight, bias)
    features, dense = weight.shape[1], Dense(weight=numpy_of(weight))
    if x.view == (features,):
        return step.linear(x, dense, numpy_of(bias))
    if x.view[-1:] != (features,):
        raise step.fail(f"expected {features} features along the last axis, found shape {x.view}")
    made = step.linear(step.lowering.as_seen(x), dense, numpy_of(bias))
    return dataclasses.replace(made, view=step.shape)  # (1, n) counts as (n,)


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
    return linear(step, x, other.T)


CONVOLUTION = ("weight", "bias", "stride", "padding", "dilation", "groups")


@converts(F.conv1d, F.conv2d)
@converts_modules(nn.Conv1d, nn.Conv2d, takes=(*CONVOLUTION, "padding_mode"))
def convolution(
    step: Step,
    x: Signal,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Signal:
    """A convolution; what its zero padding cannot say is padding of its own in front of it."""
    _check_constant(step, "convolves", weight, bias)
    axes, kernel = weight.ndim - 2, _map_kernel(weight)
    steps = _on_map(dilation, axes, 1)
    margins = _margins(padding, axes, kernel.shape[2:], steps)
    x = step.lowering.as_seen(x)
    if padding_mode != "zeros":
        x = _padded(step, x, margins, padding_mode)
        margins = [(0, 0), (0, 0)]
    kernel, symmetric, steps = _symmetric(kernel, margins, steps)
    synapse = Conv(weight=kernel, stride=_on_map(stride, axes, 1), padding=symmetric, dilation=steps, groups=groups)
    return step.linear(x, synapse, _column(numpy_of(bias), synapse.output_shape(x.shape)))


@converts(F.conv_transpose1d, F.conv_transpose2d)
@converts_modules(nn.ConvTranspose1d, nn.ConvTranspose2d, takes=(*CONVOLUTION, "output_padding"))
def conv_transpose(
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
    """Transposed convolution."""
    _check_constant(step, "convolves", weight, bias)
    axes = weight.ndim - 2
    synapse = ConvTranspose(
        weight=_map_kernel(weight),
        stride=_on_map(stride, axes, 1),
        padding=_on_map(padding, axes, 0),
        output_padding=_on_map(output_padding, axes, 0),
        dilation=_on_map(dilation, axes, 1),
        groups=groups,
    )
    x = step.lowering.as_seen(x)
    return step.linear(x, synapse, _column(numpy_of(bias), synapse.output_shape(x.shape)))


def _check_constant(step: Step, does: str, *weights: Any) -> None:
    if any(map(is_signal, weights)):
        raise step.fail(f"{does} with weights that depend on the image")


def _map_kernel(weight: torch.Tensor) -> NDArray[Any]:
    """Weights in float64; those for rows as for maps of height 1."""
    kernel = numpy_of(weight)
    return kernel[:, :, None] if weight.ndim == 3 else kernel


def _on_map(value: Any, axes: int, filler: int) -> Any:
    """An option of a convolution along so many axes as (height, width); functions take one number for all, too."""
    along = tuple(value) if is_sequence(value) else (value,) * axes
    return along if axes == 2 else (filler, *along)


def _column(bias: NDArray[Any] | None, shape: Shape) -> NDArray[Any] | None:
    return None if bias is None else along_channels(bias, shape)


def _margins(padding: Any, axes: int, window: Any, dilation: Any) -> list[tuple[int, int]]:
    """(before, after) along height and width; torch puts the odd one of padding="same" behind."""
    if padding == "valid":
        return [(0, 0), (0, 0)]
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(dilation, window, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(p, p) for p in _on_map(padding, axes, 0)]


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


@converts(F.batch_norm)
@converts_modules(
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm), takes=("running_mean", "running_var", "weight", "bias", "eps")
)
def batch_norm(
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
    """``x * scale + (shift - mean * scale)`` with ``scale = gamma / sqrt(var + eps)``, wherever it stands."""
    del momentum
    if training:
        raise step.fail("takes the statistics of the batch in evaluation too; pass training=self.training")
    mean, variance, gamma, beta = map(numpy_of, (running_mean, running_var, weight, bias))
    if mean is None or variance is None:
        raise step.fail("has no running statistics; train it with track_running_stats=True")
    scale = 1 / np.sqrt(variance + eps)
    scale = scale if gamma is None else scale * gamma
    shift = (0 if beta is None else beta) - mean * scale
    column = (-1, *[1] * (len(x.view) - 1))
    x = step.lowering.scaled(x, scale.reshape(column), kept_name(x, step), step.node.name)
    return step.lowering.shifted(x, shift.reshape(column), x.name, step.node.name)
