"""Element-wise operations: sums, constant factors, activations."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from lava_aug.conversion.fusing import Composed, Quantiser
from lava_aug.conversion.lowering import NEGATIVE
from lava_aug.conversion.operations import Step, Traced, converts
from lava_aug.conversion.products import product
from lava_aug.conversion.rearrangement import aligned, constant, expanded
from lava_aug.conversion.signals import RELU, Activation, Pointwise, Signal
from lava_aug.conversion.staircases import Stairs
from lava_aug.core.layers import Shape

aten: Any = torch.ops.aten

# Arithmetic


@converts(aten.add)
def add(step: Step, x: Any, other: Any, *, alpha: float = 1) -> Traced:
    """``x + alpha * other``, for two signals, or a signal and a constant."""
    return _linear_sum(step, [(x, 1.0), (other, float(alpha))])


@converts(aten.sub)
def subtract(step: Step, x: Any, other: Any, *, alpha: float = 1) -> Traced:
    """``x - alpha * other``."""
    return _linear_sum(step, [(x, 1.0), (other, -float(alpha))])


@converts(aten.rsub)
def reverse_subtract(step: Step, x: Any, other: Any, *, alpha: float = 1) -> Traced:
    """``other - alpha * x``."""
    return _linear_sum(step, [(other, 1.0), (x, -float(alpha))])


def _linear_sum(step: Step, parts: list[tuple[Any, float]]) -> Traced:
    lowering, node = step.lowering, step.node
    tensors = [(x, gain) for x, gain in parts if isinstance(x, Traced)]
    signals, places = aligned(step, [x for x, _ in tensors])
    gains = [gain for _, gain in tensors]
    pairs = zip(signals, gains, strict=True)
    signals = [x if gain == 1 else lowering.scaled(x, gain, x.name, node) for x, gain in pairs]
    total = Traced(signals[0] if len(signals) == 1 else lowering.added(signals, step.name, node), places)
    for value, gain in ((x, gain) for x, gain in parts if not isinstance(x, Traced)):
        total = _broadcast(step, total, value)
        offset = gain * constant(step, value, total)
        made = lowering.shifted(total.signal, offset, step.kept_name(total.signal), node)
        total = total.of(made)
    return total.of(dataclasses.replace(total.signal, node=node))


def _broadcast(step: Step, x: Traced, value: Any) -> Traced:
    """A tensor as large as its sum or product with a constant."""
    shape: Shape = tuple(value.shape) if isinstance(value, torch.Tensor) else ()
    return expanded(step, x, np.broadcast_shapes(tuple(x.places.shape), shape))


def _scaled(step: Step, x: Traced, factors: Any) -> Traced:
    made = step.lowering.scaled(x.signal, factors, step.kept_name(x.signal), step.node)
    return x.of(made)


@converts(aten.mul)
def multiply(step: Step, x: Any, other: Any) -> Traced:
    """A signal times a constant."""
    if isinstance(x, Traced) and isinstance(other, Traced):
        return product(step, x, other)
    signal, value = (x, other) if isinstance(x, Traced) else (other, x)
    signal = _broadcast(step, signal, value)
    return _scaled(step, signal, constant(step, value, signal))


@converts(aten.div)
def divide(step: Step, x: Any, other: Any, *, rounding_mode: str | None = None) -> Traced:
    """A signal divided by a constant."""
    signal = _broadcast(step, x, other)
    made = _scaled(step, signal, 1 / np.asarray(constant(step, other, signal)))
    if rounding_mode is None:
        return made
    return function_of(step, made, rounding_mode, {"floor": torch.floor, "trunc": torch.trunc}[rounding_mode])


@converts(aten.neg)
def negative(step: Step, x: Traced) -> Traced:
    """``-x``."""
    return _scaled(step, x, -1.0)


# Activations


def _rectified(step: Step, x: Traced, activation: Activation = RELU, shift: float = 0.0, sign: float = 1.0) -> Traced:
    name = step.kept_name(x.signal)
    made = step.lowering.activated(x.signal, activation, name, step.node, sign=sign, shift=shift)
    return x.of(made)


def _shifted(step: Step, x: Traced, offset: float) -> Traced:
    made = step.lowering.shifted(x.signal, offset, step.name, step.node)
    return x.of(made)


@converts(aten.relu)
def relu(step: Step, x: Traced) -> Traced:
    """A layer of rectified neurons; nothing where values cannot be negative."""
    return x if step.lowering.is_nonnegative(x.signal) else _rectified(step, x)


@converts(aten.clamp, aten.hardtanh, aten.clip)
def clamp(step: Step, x: Traced, min: Any = None, max: Any = None) -> Traced:
    """``low + clamp(x - low, 0, high - low)``: a rectified layer with a ceiling."""
    if step.operation.packet is aten.hardtanh:
        min, max = (default if limit is None else limit for limit, default in ((min, -1.0), (max, 1.0)))
    low, high = min, max
    if any(not isinstance(limit, (float, int)) for limit in (low, high) if limit is not None):
        above = x if low is None else maximum(step, x, low)
        return above if high is None else minimum(step, above, high)
    if low is not None and math.isinf(low):
        low = None
    if low is None and high is None:
        return x
    if low is None:  # min(x, high) = high - relu(high - x)
        made = _rectified(step, x, shift=float(high), sign=-1.0)
        opposite = step.lowering.scaled(made.signal, -1.0, step.name, step.node)
        return _shifted(step, made.of(opposite), float(high))
    ceiling = None if high is None else float(high) - float(low)
    if ceiling is not None and ceiling <= 0:
        raise step.fail(f"expected min < max, found {low} and {high}")
    made = _rectified(step, x, Activation(True, ceiling), shift=-float(low))
    return _shifted(step, made, float(low)) if low else made


@converts(aten.clamp_min)
def clamp_min(step: Step, x: Traced, min: Any) -> Traced:
    """``max(x, min)``."""
    return clamp(step, x, min=min)


@converts(aten.clamp_max)
def clamp_max(step: Step, x: Traced, max: Any) -> Traced:
    """``min(x, max)``."""
    return clamp(step, x, max=max)


@converts(aten.leaky_relu)
def leaky_relu(step: Step, x: Traced, negative_slope: Any = 0.01) -> Traced:
    """``relu(x) - slope * relu(-x)``: a layer for each sign, exact for any slope."""
    return x.of(_leaky(step, x.signal, negative_slope))


def _leaky(step: Step, x: Signal, slope: Any) -> Signal:
    lowering, node = step.lowering, step.node
    if lowering.is_nonnegative(x):
        return x
    name = step.kept_name(x)
    above = lowering.activated(x, RELU, name, node)
    below = lowering.activated(x, RELU, name + NEGATIVE, node, sign=-1.0)
    return lowering.added([above, lowering.scaled(below, -1.0 * slope, step.name, node)], step.name, node)


@converts(aten.prelu, aten._prelu_kernel)
def prelu(step: Step, x: Traced, weight: torch.Tensor) -> Traced:
    """`leaky_relu` with trained slopes, one or one for each channel."""
    if weight.ndim == 1 and weight.numel() > 1:
        weight = weight.reshape(-1, *[1] * (x.places.ndim - 2))
    return leaky_relu(step, x, constant(step, weight, x))


@converts(aten.abs)
def absolute(step: Step, x: Traced) -> Traced:
    """``relu(x) + relu(-x)``."""
    return leaky_relu(step, x, -1.0)


@converts(aten.threshold)
def threshold(step: Step, x: Traced, threshold: float, value: float) -> Traced:
    """``x`` above the threshold, the value elsewhere: a clamp, if they are the same, otherwise a function."""
    return clamp(step, x, min=value) if threshold == value else pointwise(step)


@converts(aten.maximum)
def maximum(step: Step, x: Any, other: Any) -> Traced:
    """``relu(x - other) + other``, for two signals, or a signal and a constant."""
    other = _once(step, other)
    return add(step, relu(step, subtract(step, x, other)), other)


@converts(aten.minimum)
def minimum(step: Step, x: Any, other: Any) -> Traced:
    """``other - relu(other - x)``."""
    other = _once(step, other)
    return subtract(step, other, relu(step, subtract(step, other, x)))


def _once(step: Step, x: Any) -> Any:
    """What is used twice, as the output of a layer."""
    return x.of(step.lowering.settled(x.signal)) if isinstance(x, Traced) else x


# Any other function of one value


def is_pointwise(step: Step) -> bool:
    """Whether an operation of one tensor is one function of its elements: where these lie does not matter."""
    value = step.value
    if len(step.tensors) != 1 or not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return False
    (operand,) = step.operation.operands
    if value.shape != operand.tensor.shape:
        return False
    order = torch.randperm(value.numel(), generator=torch.Generator().manual_seed(0))
    given = operand.tensor.double().reshape(-1)
    try:
        straight, mixed = (
            step.evaluate(lambda _, values=values: values.reshape(value.shape)).reshape(-1)
            for values in (given, given[order])
        )
    except Exception:  # whatever an operation says of float64
        return False
    return torch.allclose(straight[order], mixed, rtol=1e-9, atol=0, equal_nan=True)


def pointwise(step: Step, *_: Any, **__: Any) -> Traced:
    """A layer of neurons that compute a function by a table."""
    (x,) = step.tensors
    name = step.operation.name.rstrip("0123456789").rstrip("_") if step.operation.module is None else None
    name = name or type(step.operation.module).__name__.lower()
    return function_of(step, x, name, lambda values: step.evaluate(lambda _: values.double()).to(values.dtype))


def function_of(step: Step, x: Traced, name: str, apply: Callable[[torch.Tensor], torch.Tensor]) -> Traced:
    """A layer of neurons that compute a given function by a table."""
    if not step.lowering.needs.graded:
        raise step.fail("is a function that only graded spikes can carry; use method='augmapping'")
    return _rectified(step, x, Activation(function=Pointwise(name, apply)))


@converts(Composed)
def composed(step: Step, x: Traced) -> Traced:
    """A function written out in several operations."""
    return pointwise(step, x)


@converts(Quantiser)
def quantised(step: Step, x: Traced) -> Traced:
    """A layer whose quantum is the model's own; nothing where the values have been rounded so before."""
    found: Stairs = step.operation.function.stairs  # pyright: ignore[reportFunctionMemberAccess]: a `Run`
    activation = Activation(relu=True, ceiling=found.height * found.levels, levels=found.levels)
    if not found.low and step.lowering.has_steps(x.signal, activation):
        return x
    scaled = x if found.gain == 1 else _scaled(step, x, found.gain)
    made = _rectified(step, scaled, activation, shift=found.shift)
    return _shifted(step, made, found.low) if abs(found.low) > 1e-6 * found.height else made


@converts(aten.log_sigmoid_forward)
def log_sigmoid(step: Step, x: Traced) -> tuple[Any, ...]:
    """What torch keeps for the gradient is left out."""
    function = Pointwise("logsigmoid", torch.nn.functional.logsigmoid)
    return _rectified(step, x, Activation(function=function)), None
