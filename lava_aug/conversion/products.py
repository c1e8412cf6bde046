"""Products of two signals, of elements or of matrices: one layer of neurons that multiply."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.conversion.operations import Step, Traced
from lava_aug.conversion.rearrangement import MIXES, plain_places
from lava_aug.core.layers import Shape

Arrange = Callable[[torch.Tensor], torch.Tensor]


def matrix_product(step: Step, x: Traced, y: Traced) -> Traced:
    """``x @ y``, of batches of matrices ``(batch, rows, inner)`` and ``(batch, inner, columns)``."""
    return _multiplied(step, (x, y), (x.places, y.places), lambda places: places)


def product(step: Step, x: Traced, y: Traced) -> Traced:
    """``x * y`` as PyTorch broadcasts them, in the order in which the elements of the larger one lie.

    Where that is the order of the tensor, what is repeated along the last axes comes in once for all of them: as one
    row or column of a matrix.
    """
    shape = np.broadcast_shapes(tuple(x.places.shape), tuple(y.places.shape))
    base = next((each for each in (x, y) if tuple(each.places.shape) == shape), None)
    wide = [each.places.reshape(*[1] * (len(shape) - each.places.ndim), *each.places.shape) for each in (x, y)]
    axes = _axes(wide, shape)
    order = [axis for group in axes for axis in group]
    if base is not None and (order != sorted(order) or (np.diff(base.positions) <= 0).any()):
        by_place = base.places.reshape(-1).argsort()
        one, other = (places.expand(shape).reshape(-1)[by_place].reshape(-1, 1, 1) for places in wide)
        return _multiplied(step, (x, y), (one, other), lambda _: base.places, base.signal.view)
    batch, rows, columns = (math.prod(shape[axis] for axis in group) for group in axes)
    one, other = wide[0].permute(order).reshape(batch, rows, 1), wide[1].permute(order).reshape(batch, 1, columns)

    def arrange(places: torch.Tensor) -> torch.Tensor:
        return places.reshape([shape[axis] for axis in order]).permute(np.argsort(order).tolist())

    return _multiplied(step, (x, y), (one, other), arrange)


def _axes(wide: list[torch.Tensor], shape: Shape) -> tuple[list[int], list[int], list[int]]:
    """Axes that both have, that only the first one has, and that only the other one has."""
    one, other = (tuple(each.shape) for each in wide)
    every = range(len(shape))
    both = [axis for axis in every if one[axis] == other[axis]]
    return (
        both,
        [axis for axis in every if one[axis] > other[axis]],
        [axis for axis in every if one[axis] < other[axis]],
    )


def _multiplied(
    step: Step,
    operands: tuple[Traced, Traced],
    places: tuple[torch.Tensor, torch.Tensor],
    arrange: Arrange,
    view: Shape | None = None,
) -> Traced:
    """A layer that multiplies matrices.

    Parameters
    ----------
    step : Step
        The operation.
    operands : Traced
        Both signals.
    places : tensor of int
        ``(batch, rows, inner)`` and ``(batch, inner, columns)``: where the matrices' elements come from, of all images.
    arrange : callable
        From the places of the result, ``(batch, rows, columns)``, to those of the tensor.
    view : tuple of int, optional
        Shape of the result for one image; by default that of the tensor where images lead.
    """
    if not step.lowering.needs.graded:
        raise step.fail("multiplies two values that depend on the image, which takes graded spikes; use augmapping")
    order = _by_image(step, operands, places)
    count, (_, rows, inner), columns = order.shape[1], places[0].shape, places[1].shape[2]
    numbers = plain_places((order.numel(), rows, columns))
    made = torch.empty_like(numbers)
    made[order.reshape(-1)] = numbers
    made = arrange(made)
    if view is None:
        leads = len(made) == step.batch and torch.equal(made, plain_places(tuple(made.shape)))
        view = tuple(made.shape[1:]) if leads else (count, rows, columns)
    elements = [_same(step, x, part[order]) for x, part in zip(operands, places, strict=True)]
    sizes = {"batch": count, "rows": rows, "inner": inner, "columns": columns, "sent": view or (1,)}
    signals = [x.signal for x in operands]
    signal = step.lowering.multiplied(signals, elements, sizes, step.name, step.node, view)
    return Traced(signal, made)


def _by_image(step: Step, operands: tuple[Traced, Traced], places: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Which matrices belong to each image, ``(images, matrices)``."""
    images = [part.div(x.size, rounding_mode="floor") for x, part in zip(operands, places, strict=True)]
    first = images[0][:, 0, 0]
    alike = all(bool((part == first[:, None, None]).all()) for part in images)
    if not alike or bool((first.bincount(minlength=step.batch) * step.batch != len(first)).any()):
        raise step.fail(f"{MIXES}: it multiplies elements of different images; keep the first axis")
    return first.argsort(stable=True).reshape(step.batch, -1)


def _same(step: Step, x: Traced, places: torch.Tensor) -> NDArray[np.int64]:
    """Elements of one image, which must be those of all others."""
    elements = places % x.size
    if bool((elements != elements[:1]).any()):
        raise step.fail(f"does something else with every image of a batch of {step.batch}; keep the first axis")
    return elements[0].reshape(-1).numpy()
