"""Comparisons and what is done with them: spikes that stand for 0 and 1."""

from typing import Any

import torch

from lava_aug.conversion.elementwise import function_of, maximum, minimum, subtract
from lava_aug.conversion.operations import Step, Traced, converts

aten: Any = torch.ops.aten


@converts(aten.gt, aten.lt, aten.ge, aten.le, aten.eq, aten.ne)
def compare(step: Step, x: Any, other: Any) -> Traced:
    """A function of the difference, which jumps at zero."""
    packet = step.operation.packet
    apart = subtract(step, x, other)
    return function_of(step, apart, packet.__name__, lambda values: packet(values, 0).to(values.dtype))


@converts(aten.logical_and, aten.bitwise_and)
def both(step: Step, x: Any, other: Any) -> Traced:
    """The smaller of two."""
    return minimum(step, x, other)


@converts(aten.logical_or, aten.bitwise_or)
def either(step: Step, x: Any, other: Any) -> Traced:
    """The larger of two."""
    return maximum(step, x, other)


@converts(aten.logical_not, aten.bitwise_not)
def negation(step: Step, x: Traced) -> Traced:
    """``1 - x``."""
    return subtract(step, 1.0, x)


@converts(aten._to_copy, aten.to)
def convert(step: Step, x: Traced, *_: Any, **__: Any) -> Traced:
    """Nothing happens to numbers that stay what they are; others lose their fraction, or become 0 and 1."""
    (operand,) = step.operation.operands
    if step.value.is_floating_point() or not operand.tensor.is_floating_point():
        return x
    if step.value.dtype == torch.bool:
        return function_of(step, x, "nonzero", lambda values: (values != 0).to(values.dtype))
    return function_of(step, x, "trunc", torch.trunc)
