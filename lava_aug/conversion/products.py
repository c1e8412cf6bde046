"""Products of two signals: neurons only add up, and compute functions of one value."""

import math

import torch

from lava_aug.conversion.operations import Step, Traced
from lava_aug.conversion.rearrangement import aligned
from lava_aug.conversion.signals import Activation, Pointwise, Signal

SQUARE = Activation(function=Pointwise("square", torch.square))


def product(step: Step, x: Traced, y: Traced) -> Traced:
    """``x * y = ((x / r + r * y)**2 - (x / r - r * y)**2) / 4``, by quarter-squares: two layers that square.

    ``r`` makes both equally large on the example, so that neither is lost in the other's quantum.
    """
    if not step.lowering.needs.graded:
        raise step.fail("multiplies two values that depend on the image, which takes graded spikes; use augmapping")
    lowering, node = step.lowering, step.node
    if x is y:
        made = lowering.activated(x.signal, SQUARE, step.kept_name(x.signal), node)
        return x.of(made)
    (one, other), places = aligned(step, [_settled(step, x), _settled(step, y)])
    ratio = math.sqrt(_largest(step, x) / _largest(step, y))
    one, other = (lowering.scaled(s, f, s.name, node) for s, f in ((one, 1 / ratio), (other, ratio)))
    plus, minus = (
        lowering.activated(lowering.added([one, part], name, node), SQUARE, name, node)
        for part, name in (
            (other, f"{step.name}.plus"),
            (lowering.scaled(other, -1.0, other.name, node), f"{step.name}.minus"),
        )
    )
    quarters = [lowering.scaled(part, factor, step.name, node) for part, factor in ((plus, 0.25), (minus, -0.25))]
    return Traced(lowering.added(quarters, step.name, node), places)


def holds_squares(step: Step, signal: Signal) -> bool:
    """Whether it is made of products; a sum of many should be a layer, as what cancels takes bits of what follows."""
    layers = [step.lowering.layers.get(term.source) for term in signal.terms]
    return any(layer is not None and layer.activation is SQUARE for layer in layers)


def _settled(step: Step, x: Traced) -> Traced:
    """As the output of a layer, since it goes into two."""
    return x if step.lowering.is_light(x.signal) else x.of(step.lowering.settled(x.signal))


def _largest(step: Step, x: Traced) -> float:
    """On the example."""
    return max(float(value.tensor.double().abs().max()) for value, stands in step.given.items() if stands is x) or 1.0
