"""Operations that move, drop and repeat elements, or have no effect; and in which order the elements of a tensor lie.

As long as every element of a signal is there once, it does not matter where: `Traced.places` says it, and nothing
happens. So images need not be the first axis, or one of their own.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.conversion.operations import Step, Traced, converts
from lava_aug.conversion.recording import overwritten
from lava_aug.conversion.signals import Signal
from lava_aug.conversion.user_code import is_sequence
from lava_aug.core.layers import Scale, Shape, Sparse

aten: Any = torch.ops.aten

MIXES = "mixes images"


# In which order elements lie


@functools.lru_cache(maxsize=128)
def plain_places(shape: tuple[int, ...]) -> torch.Tensor:
    """Those of a tensor in which the images lead, and elements lie as in its signal."""
    return torch.arange(math.prod(shape)).reshape(shape)


def plain(signal: Signal, batch: int, view: Shape | None = None) -> Traced:
    """A signal, seen as a tensor of images."""
    signal = signal if view is None else dataclasses.replace(signal, view=view)
    return Traced(signal, plain_places((batch, *signal.view)))


def is_plain(x: Traced) -> bool:
    """Whether the first axis is that of images, and elements lie as in the signal."""
    shape = tuple(x.places.shape)
    return len(shape) > 0 and shape[1:] == x.signal.view and torch.equal(x.places, plain_places(shape))


def leading(step: Step, x: Traced) -> Signal:
    """The signal in the order of a tensor whose first axis is that of images."""
    shape = tuple(x.places.shape)
    if not shape or shape[0] != step.batch:
        raise step.fail(f"{MIXES}: shape {shape} for a batch of {step.batch}; keep the first axis")
    if torch.equal(x.places, plain_places(shape)):
        return dataclasses.replace(x.signal, view=shape[1:])
    return dataclasses.replace(_in_order(step, x).signal, view=shape[1:])


def _in_order(step: Step, x: Traced) -> Traced:
    """The elements in C order of the tensor."""
    return _picked(step, [x], x.images, x.elements + 1, torch.zeros_like(x.places, dtype=torch.float64), step.name)


def ordered(step: Step, x: Traced) -> Traced:
    """The same tensor, whose elements lie in C order within each image, wherever the axis of images is."""
    return x if (np.diff(x.positions) > 0).all() else _in_order(step, x)


def moved(step: Step, x: Traced, move: Callable[[torch.Tensor], torch.Tensor], name: str) -> Traced:
    """A tensor whose elements are moved, dropped or repeated by a function."""
    numbers = x.places.double() + x.images + 1
    return gathered(step, [x], move(numbers), move(torch.zeros_like(numbers)), name)


def gathered(step: Step, tensors: list[Traced], numbered: torch.Tensor, filled: torch.Tensor, name: str) -> Traced:
    """The tensor whose elements come from the given places.

    ``numbered`` counts from 1 through the first image of all tensors, leaves a number out, and goes on with the next
    image; ``filled`` is what constants are.
    """
    total = sum(x.size for x in tensors) + 1
    if not numbered.numel():
        raise step.fail("gives nothing that depends on the image")
    numbers = numbered.double() - filled.double()
    if (numbers % 1 != 0).any():
        raise step.fail("mixes elements; only moving, dropping and repeating them is supported")
    numbers = numbers.long()
    images, locals_ = numbers.div(total, rounding_mode="floor"), numbers % total
    if len(tensors) == 1 and numbers.numel() == tensors[0].places.numel():
        places = images * tensors[0].size + locals_ - 1
        if bool(locals_.all()) and bool((places.reshape(-1).bincount(minlength=places.numel()) == 1).all()):
            return Traced(tensors[0].signal, places)
    return _picked(step, tensors, images, locals_, filled.double(), name)


def _picked(
    step: Step, tensors: list[Traced], images: torch.Tensor, locals_: torch.Tensor, filled: torch.Tensor, name: str
) -> Traced:
    """A signal of its own, of elements that are given by image and number; 0 for constants."""
    split, axis = _axis_of_images(step, images, locals_ != 0)
    shape = tuple(images.shape)
    view = [size for place, size in enumerate(split) if place != axis]  # with what is left of the axis as two
    view[axis - 1 : axis + 1] = [view[axis - 1] * view[axis]] if shape[axis - 1] > step.batch else []
    places, constants = (
        values.reshape(split).movedim(axis, 0).reshape(step.batch, *view) for values in (locals_, filled)
    )
    if not ((places == places[:1]).all() and (constants == constants[:1]).all()):
        raise step.fail(f"does something else with every image of a batch of {step.batch}; keep the first axis")
    signal = _signal_of(step, tensors, places[0].numpy(), constants[0].numpy(), name)
    apart = plain_places(tuple(places.shape)).reshape(step.batch, *split[:axis], *split[axis + 1 :])
    return Traced(signal, apart.movedim(0, axis).reshape(shape))


def _axis_of_images(step: Step, images: torch.Tensor, known: torch.Tensor) -> tuple[tuple[int, ...], int]:
    """A shape in which the images are an axis of their own, one of the tensor's being three, and which that is."""
    shape = tuple(images.shape)
    for axis, size in enumerate(shape):
        for inner in (n for n in range(size, 0, -1) if size and size % (n * step.batch) == 0):
            expected = torch.arange(size).div(inner, rounding_mode="floor") % step.batch
            column = expected.reshape(-1, *[1] * (len(shape) - axis - 1))
            if bool((images == column)[known].all()):
                outer = size // (inner * step.batch)
                return (*shape[:axis], outer, step.batch, inner, *shape[axis + 1 :]), axis + 1
    raise step.fail(f"{MIXES}: shape {shape} for a batch of {step.batch}; keep the first axis")


def _signal_of(step: Step, tensors: list[Traced], places: NDArray[Any], constants: NDArray[Any], name: str) -> Signal:
    view: Shape = places.shape
    flat, parts, start = places.reshape(-1), list[Signal](), 1
    for x in tensors:
        stop = start + x.size
        if np.array_equal(flat, np.arange(start, stop)):
            return dataclasses.replace(x.signal, view=view)  # nothing moves
        rows = np.flatnonzero((flat >= start) & (flat < stop))
        if len(rows):
            columns = flat[rows].astype(np.int64) - start
            synapse = Sparse(weight=np.ones(len(rows), np.int8), rows=rows, columns=columns, shape=view or (1,))
            made = step.lowering.linear(x.signal, synapse, name, step.node)
            parts.append(dataclasses.replace(made, view=view))
        start = stop
    signal = parts[0] if len(parts) == 1 else step.lowering.added(parts, name, step.node)
    return step.lowering.shifted(signal, constants, signal.name, step.node) if constants.any() else signal


# Several tensors, and constants


def constant(step: Step, value: Any, x: Traced) -> Any:
    """A number, or a constant as an array for the elements of a signal; it must be the same for all images."""
    if not isinstance(value, torch.Tensor) or value.numel() == 1:
        return float(value)
    full = value.detach().double().expand(x.places.shape).numpy().reshape(-1)
    values = full[x.positions]
    if (values != values[:1]).any():
        raise step.fail(f"a constant of shape {tuple(value.shape)} differs between images")
    return values[0].reshape(x.signal.view)


def expanded(step: Step, x: Traced, shape: tuple[int, ...]) -> Traced:
    """A tensor repeated along axes, as PyTorch broadcasts it."""
    if tuple(x.places.shape) == shape:
        return x
    return moved(step, x, lambda values: values.expand(shape), f"{step.name}.expand")


def aligned(step: Step, tensors: list[Traced]) -> tuple[list[Signal], torch.Tensor]:
    """Signals of the same elements in the same order, and where these lie in the broadcast tensor."""
    shape = np.broadcast_shapes(*(tuple(x.places.shape) for x in tensors))
    first = next((x for x in tensors if tuple(x.places.shape) == shape), None)
    base = expanded(step, tensors[0], shape) if first is None else first
    return [base.signal if x is first else _like(step, x, base, shape) for x in tensors], base.places


def _like(step: Step, x: Traced, base: Traced, shape: tuple[int, ...]) -> Signal:
    """The elements of a tensor in the order of another."""
    wide = x.places.expand(shape)
    if torch.equal(wide, base.places):
        return dataclasses.replace(x.signal, view=base.signal.view)
    columns = wide.numpy().reshape(-1)[base.positions] - np.arange(step.batch)[:, None] * x.size
    if (columns != columns[:1]).any() or columns.min() < 0 or columns.max() >= x.size:
        raise step.fail(f"{MIXES}: shape {shape} for a batch of {step.batch}; keep the first axis")
    rows, target = np.arange(base.size), base.signal.view or (1,)
    synapse = Sparse(weight=np.ones(base.size, np.int8), rows=rows, columns=columns[0], shape=target)
    made = step.lowering.linear(x.signal, synapse, f"{step.name}.expand", step.node)
    return dataclasses.replace(made, view=base.signal.view)


# Operations


@converts(
    *(
        aten.view,
        aten._unsafe_view,
        aten._reshape_alias,
        aten.reshape,
        aten.squeeze,
        aten.unsqueeze,
        aten.flatten,
        aten.mT,
    ),
    *(aten.permute, aten.transpose, aten.t, aten.numpy_T, aten.flip, aten.roll, aten.rot90, aten.movedim),
    *(aten.select, aten.slice, aten.narrow, aten.unbind, aten.split, aten.split_with_sizes, aten.chunk),
    *(aten.index, aten.index_select, aten.gather, aten.take_along_dim, aten.diagonal, aten.unfold, aten.im2col),
    *(aten.expand, aten.repeat, aten.repeat_interleave, aten.stack, aten.tril, aten.triu),
    *(aten.reflection_pad1d, aten.reflection_pad2d, aten.reflection_pad3d),
    *(aten.replication_pad1d, aten.replication_pad2d, aten.replication_pad3d),
    *(aten.pixel_shuffle, aten.pixel_unshuffle, aten.channel_shuffle, aten.native_channel_shuffle),
    *(aten.upsample_nearest1d, aten.upsample_nearest2d, aten._upsample_nearest_exact1d),
    *(aten._upsample_nearest_exact2d, aten.upsample_nearest3d),
    *(aten.copy, aten.fill, aten.zero, aten.slice_scatter, aten.select_scatter, aten.index_put, aten.index_copy),
    *(aten.masked_fill, aten.where, overwritten),
)
def rearrange(step: Step, *_: Any, **__: Any) -> Any:
    """Any operation that moves, drops or repeats elements of each image, or puts constants between them.

    It is run on numbers that say where each element comes from, so that every spelling of it is right, and on zeros,
    which leave the constants.
    """
    tensors = step.tensors
    starts = np.cumsum([1, *(x.size for x in tensors)])
    numbers = {
        id(x): (x.elements + int(start) + x.images * int(starts[-1])).double()
        for x, start in zip(tensors, starts, strict=False)
    }
    numbered = step.evaluate(lambda x: numbers[id(x)])
    filled = step.evaluate(lambda x: torch.zeros_like(numbers[id(x)]))
    if is_sequence(numbered):
        pairs = enumerate(zip(numbered, filled, strict=True))
        return tuple(gathered(step, tensors, *pair, f"{step.name}.{index}") for index, pair in pairs)
    if numbered.numel() and not numbered.any():
        return step.value  # all of it has been replaced by constants
    return gathered(step, tensors, numbered, filled, step.name)


@converts(aten.constant_pad_nd)
def padding(step: Step, x: Traced, pad: Any, value: float = 0) -> Traced:
    """Constants around each image; a convolution behind zeros takes them as its own padding."""
    made: Traced = rearrange(step)
    axes = x.places.ndim - 2
    if value != 0 or min(pad) < 0 or not 0 < len(pad) // 2 <= axes:
        return made
    margins = [(before, after) for before, after in zip(pad[::2], pad[1::2], strict=True)][::-1]
    return dataclasses.replace(made, inner=(x, [(0, 0)] * (axes - len(margins)) + margins))


@converts(aten.cat)
def concatenate(step: Step, tensors: Any, dim: int = 0) -> Any:
    """Channels one after the other: no synapse is needed where the next operation has weights."""
    plains = [x for x in tensors if isinstance(x, Traced) and is_plain(x) and x.signal.view == x.signal.shape]
    if len(plains) < len(tensors) or dim not in (1, -len(plains[0].signal.view)):
        return rearrange(step)
    signals = [x.signal for x in plains]
    *starts, channels = itertools.accumulate((x.shape[0] for x in signals), initial=0)
    scales = [
        Scale(weight=np.ones(x.shape[0]), offset=start, channels=channels)
        for x, start in zip(signals, starts, strict=True)
    ]
    parts = [*map(step.linear, signals, scales)]
    return plain(step.lowering.added(parts, step.name, step.node), step.batch)


@converts(aten.clone, aten.detach, aten.alias, aten.lift_fresh, aten.contiguous, aten.dropout, aten.nan_to_num)
def identity(step: Step, x: Traced, *_: Any, **__: Any) -> Traced:
    """Nothing happens."""
    del step
    return x
