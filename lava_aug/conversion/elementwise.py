"""Element-wise operations: sums, constant factors, activations."""

import dataclasses
import operator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lava_aug.conversion.lowering import NEGATIVE
from lava_aug.conversion.operations import Step, converts, converts_modules, is_signal, kept_name, numpy_of
from lava_aug.conversion.rearrangement import rearranged
from lava_aug.conversion.signals import RELU, Activation, Signal

# Arithmetic

python: Any = operator  # of some of its functions the types are left open


@converts(torch.add, operator.add, python.iadd, "add", "add_")
def add(step: Step, x: Any, other: Any, *, alpha: float = 1) -> Signal:
    """``x + alpha * other``, for two signals, or a signal and a constant."""
    return _linear_sum(step, [(x, 1.0), (other, float(alpha))])


@converts(torch.sub, torch.subtract, operator.sub, python.isub, "sub", "sub_")
def subtract(step: Step, x: Any, other: Any, *, alpha: float = 1) -> Signal:
    """``x - alpha * other``."""
    return _linear_sum(step, [(x, 1.0), (other, -float(alpha))])


@converts(torch.rsub)
def reverse_subtract(step: Step, x: Any, other: Any, *, alpha: float = 1) -> Signal:
    """``other - alpha * x``."""
    return subtract(step, other, x, alpha=alpha)


def _linear_sum(step: Step, parts: list[tuple[Any, float]]) -> Signal:
    lowering, node = step.lowering, step.node.name
    signals = [lowering.scaled(x, gain, x.name, node) if gain != 1 else x for x, gain in parts if is_signal(x)]
    signals = [_broadcast(step, x) for x in signals] if len({x.view for x in signals}) > 1 else signals
    total = signals[0] if len(signals) == 1 else lowering.added(signals, step.name, node)
    for constant, gain in ((x, gain) for x, gain in parts if not is_signal(x)):
        total = lowering.shifted(total, gain * _constant(step, constant, total), kept_name(total, step), node)
    return dataclasses.replace(total, node=node)


def _broadcast(step: Step, x: Signal) -> Signal:
    """A signal repeated along axes of length 1, as far as the operation's result asks for it."""
    if len(x.view) != len(step.shape):
        raise step.fail(f"adds shapes {x.view} and {step.shape} of different rank; reshape them to the same")
    if x.view == step.shape:
        return x
    name = f"{step.name}.expand"
    return rearranged(step, x, lambda images: images.expand(step.batch, *step.shape), name)


def _constant(step: Step, value: Any, x: Signal) -> Any:
    """A constant argument for one image; its first axis, if it has one for the batch, must be 1."""
    if not isinstance(value, torch.Tensor):
        return float(value)
    array = value.detach().double().numpy()
    if array.ndim > len(x.view):
        if array.shape[0] != 1 and (array != array[:1]).any():
            raise step.fail(f"a constant of shape {array.shape} differs between images")
        array = array[0]
    if np.broadcast_shapes(array.shape, x.view) != x.view:
        raise step.fail(f"a constant of shape {array.shape} changes the shape {x.view}")
    return array


@converts(torch.mul, torch.multiply, operator.mul, python.imul, "mul", "mul_")
def multiply(step: Step, x: Any, other: Any) -> Signal:
    """A signal times a constant."""
    if is_signal(x) and is_signal(other):
        raise step.fail(
            "multiplies two values that depend on the image (attention, gates), and spikes only add up; "
            "use a network without them"
        )
    signal, constant = (x, other) if is_signal(x) else (other, x)
    factor = _constant(step, constant, signal)
    return step.lowering.scaled(signal, factor, kept_name(signal, step), step.node.name)


@converts(torch.div, torch.true_divide, python.truediv, python.itruediv, "div", "div_")
def divide(step: Step, x: Any, other: Any) -> Signal:
    """A signal divided by a constant."""
    if is_signal(other):
        raise step.fail("divides by a value that depends on the image, and spikes only add up")
    factor = 1 / np.asarray(_constant(step, other, x))
    return step.lowering.scaled(x, factor, kept_name(x, step), step.node.name)


@converts(torch.neg, torch.negative, operator.neg, "neg")
def negative(step: Step, x: Signal) -> Signal:
    """``-x``."""
    return step.lowering.scaled(x, -1.0, kept_name(x, step), step.node.name)


# Activations


@converts(F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_")
@converts_modules(nn.ReLU)
def relu(step: Step, x: Signal, *_: Any, **__: Any) -> Signal:
    """A layer of rectified neurons; nothing where values cannot be negative."""
    if step.lowering.is_nonnegative(x):
        return x
    return step.lowering.activated(x, RELU, kept_name(x, step), step.node.name)


@converts(torch.clamp, torch.clip, "clamp", "clamp_", "clip", "clip_")
def clamp(step: Step, x: Signal, min: Any = None, max: Any = None) -> Signal:
    """``low + clamp(x - low, 0, high - low)``: a rectified layer with a ceiling."""
    low, high, lowering, node = min, max, step.lowering, step.node.name
    if any(isinstance(limit, torch.Tensor) and limit.numel() > 1 for limit in (low, high)):
        raise step.fail("limits that differ between neurons are not supported; use one number")
    if low is None and high is None:
        return x
    if low is None:  # min(x, high) = high - relu(high - x)
        made = lowering.activated(x, RELU, kept_name(x, step), node, sign=-1.0, shift=float(high))
        return lowering.shifted(lowering.scaled(made, -1.0, step.name, node), float(high), step.name, node)
    ceiling = None if high is None else float(high) - float(low)
    if ceiling is not None and ceiling <= 0:
        raise step.fail(f"expected min < max, found {low} and {high}")
    made = lowering.activated(x, Activation(True, ceiling), kept_name(x, step), node, shift=-float(low))
    return lowering.shifted(made, float(low), step.name, node) if low else made


@converts(torch.clamp_min, "clamp_min")
def clamp_min(step: Step, x: Signal, min: Any) -> Signal:
    """``max(x, min)``."""
    return clamp(step, x, min=min)


@converts(torch.clamp_max, "clamp_max")
def clamp_max(step: Step, x: Signal, max: Any) -> Signal:
    """``min(x, max)``."""
    return clamp(step, x, max=max)


@converts(F.relu6)
@converts_modules(nn.ReLU6)
def relu6(step: Step, x: Signal, *_: Any, **__: Any) -> Signal:
    """``clamp(x, 0, 6)``."""
    return clamp(step, x, 0.0, 6.0)


@converts(F.hardtanh, F.hardtanh_)
@converts_modules(nn.Hardtanh, takes=("min_val", "max_val"))
def hardtanh(step: Step, x: Signal, min_val: float = -1.0, max_val: float = 1.0, *_: Any, **__: Any) -> Signal:
    """``clamp(x, min_val, max_val)``."""
    return clamp(step, x, min_val, max_val)


@converts(F.leaky_relu, F.leaky_relu_)
@converts_modules(nn.LeakyReLU, takes=("negative_slope",))
def leaky_relu(step: Step, x: Signal, negative_slope: Any = 0.01, *_: Any, **__: Any) -> Signal:
    """``relu(x) - slope * relu(-x)``: a layer for each sign, exact for any slope."""
    lowering, node = step.lowering, step.node.name
    if lowering.is_nonnegative(x):
        return x
    name = kept_name(x, step)
    above = lowering.activated(x, RELU, name, node)
    below = lowering.activated(x, RELU, name + NEGATIVE, node, sign=-1.0)
    return lowering.added([above, lowering.scaled(below, -1.0 * negative_slope, step.name, node)], step.name, node)


@converts(F.prelu, torch.prelu, "prelu")
@converts_modules(nn.PReLU, takes=("weight",))
def prelu(step: Step, x: Signal, weight: torch.Tensor) -> Signal:
    """`leaky_relu` with trained slopes, one or one for each channel."""
    slope = numpy_of(weight).reshape(-1, *[1] * (len(x.view) - 1))
    return leaky_relu(step, x, slope if slope.size > 1 else float(slope.item()))


@converts(F.rrelu, F.rrelu_)
@converts_modules(nn.RReLU, takes=("lower", "upper"))
def rrelu(
    step: Step, x: Signal, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, *_: Any, **__: Any
) -> Signal:
    """`leaky_relu` with the mean slope, which it has in evaluation."""
    if training:
        raise step.fail("draws random slopes in evaluation too; pass training=self.training")
    return leaky_relu(step, x, (lower + upper) / 2)


@converts(F.threshold, torch.threshold, torch.threshold_)
@converts_modules(nn.Threshold, takes=("threshold", "value"))
def threshold(step: Step, x: Signal, threshold: float, value: float, *_: Any, **__: Any) -> Signal:
    """``x`` above the threshold, the value elsewhere: a clamp, if they are the same."""
    if threshold != value:
        raise step.fail(f"jumps from {value} to {threshold}, and spikes add up in steps of one size; use a ReLU")
    return clamp(step, x, min=value)


@converts(torch.maximum, "maximum")
def maximum(step: Step, x: Any, other: Any) -> Signal:
    """``relu(x - other) + other``, for two signals, or a signal and a constant."""
    other = step.lowering.settled(other) if is_signal(other) else other
    return add(step, relu(step, subtract(step, x, other)), other)


@converts(torch.minimum, "minimum")
def minimum(step: Step, x: Any, other: Any) -> Signal:
    """``other - relu(other - x)``."""
    other = step.lowering.settled(other) if is_signal(other) else other
    return subtract(step, other, relu(step, subtract(step, other, x)))


@converts(torch.abs, operator.abs, "abs")
def absolute(step: Step, x: Signal) -> Signal:
    """``relu(x) + relu(-x)``."""
    return leaky_relu(step, x, -1.0)
