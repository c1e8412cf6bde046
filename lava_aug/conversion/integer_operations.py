"""Operations of models that torch.ao has converted to integers, in floats that lie on the same grids.

What stands for an integer tensor is the tensor that it would be dequantised to.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from lava_aug.conversion.decompositions import stands_for

aten: Any = torch.ops.aten
quantized: Any = torch.ops.quantized

LIMITS = {torch.quint8: (0, 255), torch.qint8: (-128, 127)}
"""Smallest and largest integer of each number format; those of what integer operations give are quint8."""

GRID = "lava_aug_grid"
"""Attribute of tensors that stand for integer ones: scale, zero point and number format, which averages keep."""


def _on_grid(x: torch.Tensor, scale: Any, zero: Any, dtype: Any = torch.quint8) -> torch.Tensor:
    low, high = LIMITS[dtype]
    made = aten.fake_quantize_per_tensor_affine_cachemask(x, float(scale), int(zero), low, high)[0]
    setattr(made, GRID, (scale, zero, dtype))
    return made


@stands_for(aten.quantize_per_tensor)
def quantize_per_tensor(x: torch.Tensor, scale: Any, zero: Any, dtype: Any) -> Any:
    """Rounded, and kept in range."""
    return _on_grid(x, scale, zero, dtype) if dtype in LIMITS else NotImplemented


@stands_for(aten.dequantize)
def dequantize(x: torch.Tensor) -> torch.Tensor:
    """It is what stands for it."""
    return x


@stands_for(aten.quantized_max_pool2d, aten.quantized_max_pool1d)
def max_pool(x: torch.Tensor, *args: Any) -> torch.Tensor:
    """The same of floats."""
    pool: Any = functional.max_pool2d if x.ndim == 4 else functional.max_pool1d
    return pool(x, *args)


def _convolved(x: torch.Tensor, packed: Any) -> torch.Tensor:
    weight, bias = packed.unpack()
    axes = x.ndim - 2  # those of one axis are packed with two
    stride, padding, dilation = (
        list(found)[-axes:] for found in (packed.stride(), packed.padding(), packed.dilation())
    )
    weight = weight.dequantize().reshape(*weight.shape[:2], *weight.shape[-axes:])
    return aten.convolution(x, weight, bias, stride, padding, dilation, False, [0] * axes, packed.groups())


def _multiplied(x: torch.Tensor, packed: Any) -> torch.Tensor:
    weight, bias = packed.unpack()
    return functional.linear(x, weight.dequantize(), bias)


def _enter(name: str, compute: Callable[..., torch.Tensor]) -> None:
    """An operation of two arguments, with and without ReLU; scale and zero point of what it gives come last."""

    def plain(one: Any, other: Any, *grid: Any) -> Any:
        return _on_grid(compute(one, other), *grid) if len(grid) == 2 else NotImplemented

    def rectified(one: Any, other: Any, *grid: Any) -> Any:
        return _on_grid(torch.relu(compute(one, other)), *grid) if len(grid) == 2 else NotImplemented

    stands_for(getattr(quantized, name))(plain)
    stands_for(getattr(quantized, f"{name}_relu"))(rectified)


_enter("conv1d", _convolved)
_enter("conv2d", _convolved)
_enter("conv3d", _convolved)
_enter("linear", _multiplied)
_enter("add", torch.add)
_enter("mul", torch.mul)
_enter("cat", torch.cat)


@stands_for(quantized.batch_norm1d, quantized.batch_norm2d, quantized.batch_norm3d)
def batch_norm(x: torch.Tensor, weight: Any, bias: Any, mean: Any, var: Any, eps: float, *grid: Any) -> torch.Tensor:
    """Of each channel."""
    return _on_grid(aten._native_batch_norm_legit_no_training(x, weight, bias, mean, var, 0.1, eps)[0], *grid)


def _averages(operation: Any) -> None:
    def average(x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(x, GRID):
            return NotImplemented
        return _on_grid(operation(x.view(x.shape), *args, **kwargs), *getattr(x, GRID))

    stands_for(operation)(average)


for _operation in (aten.mean, aten._adaptive_avg_pool2d, aten.avg_pool2d):  # of integers, on the same grid
    _averages(_operation)
