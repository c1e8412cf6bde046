"""Operations that move, drop and repeat elements, or have no effect."""

import dataclasses
import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from lava_aug.conversion.operations import Step, converts, converts_modules, is_sequence
from lava_aug.conversion.signals import Signal
from lava_aug.core.layers import Scale, Sparse


@converts(
    *(nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle),
    *(nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d),
    *(nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d),
    *(torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.unflatten),
    *(torch.permute, torch.transpose, torch.swapaxes, torch.movedim, torch.flip, torch.roll),
    *(torch.stack, torch.chunk, torch.split, torch.unbind, torch.narrow, torch.select),
    *(torch.index_select, torch.repeat_interleave, torch.tile, torch.broadcast_to),
    *(F.pad, F.pixel_shuffle, F.pixel_unshuffle, F.channel_shuffle),
    *("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten", "view_as"),
    *("permute", "transpose", "swapaxes", "movedim", "flip", "roll", "t"),
    *("chunk", "split", "unbind", "narrow", "select", "index_select"),
    *("expand", "repeat", "repeat_interleave", "tile"),
)
def rearrange(step: Step, *_: Any, **__: Any) -> Any:
    """Any operation that moves, drops or repeats elements of each image, or puts constants between them.

    It is run on numbers that say where each element comes from, so that every spelling of it is right, and on zeros,
    which leave the constants.
    """
    signals = [operand for operand in step.arguments.values() if isinstance(operand, Signal)]
    numbers = dict(zip(map(id, signals), _places(signals, step.batch), strict=True))
    numbered = step.evaluate(lambda signal: numbers[id(signal)])
    filled = step.evaluate(lambda signal: torch.zeros_like(numbers[id(signal)]))
    if is_sequence(numbered):
        pairs = enumerate(zip(numbered, filled, strict=True))
        return tuple(_gathered(step, signals, *pair, f"{step.name}.{index}") for index, pair in pairs)
    return _gathered(step, signals, numbered, filled, step.name)


def rearranged(step: Step, signal: Signal, move: Callable[[torch.Tensor], torch.Tensor], name: str) -> Signal:
    """A signal whose elements are moved by a function of a batch."""
    (places,) = _places([signal], step.batch)
    return _gathered(step, [signal], move(places), move(torch.zeros_like(places)), name)


def _starts(signals: list[Signal]) -> list[int]:
    """Number of the first element of each signal, from 1; the last one is the first that there is not."""
    return np.cumsum([1, *(math.prod(signal.view) for signal in signals)]).tolist()


def _places(signals: list[Signal], batch: int) -> list[torch.Tensor]:
    """Numbers for the elements of all signals; those of the next image go on where those of one end."""
    starts = _starts(signals)
    return [
        torch.stack(
            [torch.arange(start, stop, dtype=torch.float64) + image * starts[-1] for image in range(batch)]
        ).reshape(batch, *signal.view)
        for signal, start, stop in zip(signals, starts, starts[1:], strict=False)
    ]


def _gathered(step: Step, signals: list[Signal], numbered: torch.Tensor, filled: torch.Tensor, name: str) -> Signal:
    """The signal whose elements come from the given places, and constants elsewhere."""
    places, constants = _of_one_image(step, numbered.double(), filled.double(), _starts(signals)[-1])
    view = places.shape
    parts: list[Signal] = []
    for signal, start, stop in zip(signals, _starts(signals), _starts(signals)[1:], strict=False):
        if np.array_equal(places.reshape(-1), np.arange(start, stop)):
            return dataclasses.replace(signal, view=view)  # nothing moves
        rows = np.flatnonzero((places.reshape(-1) >= start) & (places.reshape(-1) < stop))
        if len(rows):
            columns = places.reshape(-1)[rows].astype(np.int64) - start
            synapse = Sparse(weight=np.ones(len(rows), np.int8), rows=rows, columns=columns, shape=view or (1,))
            moved = step.lowering.linear(signal, synapse, name, step.node.name)
            parts.append(dataclasses.replace(moved, view=view))
    if not parts:
        raise step.fail("gives nothing that depends on the image")
    signal = parts[0] if len(parts) == 1 else step.lowering.added(parts, name, step.node.name)
    return step.lowering.shifted(signal, constants, signal.name, step.node.name) if constants.any() else signal


def _of_one_image(
    step: Step, numbered: torch.Tensor, filled: torch.Tensor, count: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Places, 0 where there is none, and constants, for one image; an error if they are not the same for all."""
    if numbered.ndim >= 1 and numbered.shape[0] == step.batch:
        images = torch.arange(step.batch).reshape(-1, *[1] * (numbered.ndim - 1))
        places = numbered - filled
        places = torch.where(places == 0, places, places - images * count)
        if (places % 1 != 0).any():
            raise step.fail("mixes elements; only moving, dropping and repeating them is supported")
        if (places == places[:1]).all() and (filled == filled[:1]).all():
            return np.asarray(places[0]), np.asarray(filled[0])
    raise step.fail(f"mixes images: shape {tuple(numbered.shape)} for a batch of {step.batch}; keep the first axis")


@converts(torch.cat, torch.concat, torch.concatenate)
def concatenate(step: Step, tensors: Any = None, dim: int = 0, **options: Any) -> Signal:
    """Channels one after the other: no synapse is needed where the next operation has weights."""
    dim = options.get("axis", dim)
    signals = list(options.get("tensors", tensors))
    plain = all(isinstance(x, Signal) and x.view == x.shape for x in signals)
    if not plain or dim not in (1, -len(signals[0].view)):
        return rearrange(step)
    *starts, channels = itertools.accumulate((x.shape[0] for x in signals), initial=0)
    scales = [
        Scale(weight=np.ones(x.shape[0]), offset=start, channels=channels)
        for x, start in zip(signals, starts, strict=True)
    ]
    return step.lowering.added([*map(step.linear, signals, scales)], step.name, step.node.name)


@converts(F.interpolate)  # pyright: ignore[reportUnknownMemberType]: torch's
@converts_modules(nn.Upsample, nn.UpsamplingNearest2d, takes=("mode",))
def interpolate(
    step: Step, x: Signal, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *_: Any, **__: Any
) -> Signal:
    """Nearest neighbours only."""
    del size, scale_factor
    if mode not in ("nearest", "nearest-exact"):
        raise step.fail(f"mode={mode!r} is not supported; use mode='nearest'")
    return rearrange(step, x)


@converts(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.Identity)
@converts("contiguous", "clone", "detach", "cpu", "cuda")
def identity(step: Step, *arguments: Any, **__: Any) -> Signal:
    """Nothing happens at inference."""
    del step
    return next(a for a in arguments if isinstance(a, Signal))


@converts("float", "double", "half", "bfloat16", "to", "type", "type_as")
def cast(step: Step, x: Signal, *_: Any, **__: Any) -> Signal:
    """Nothing happens, as long as numbers stay floating point."""
    if not step.value.is_floating_point():
        raise step.fail(f"makes {step.value.dtype} of it, and spikes add up to any number; use floating point")
    return x


@converts(F.dropout, F.dropout1d, F.dropout2d)
def dropout(step: Step, x: Signal, p: float = 0.5, training: bool = True, *_: Any, **__: Any) -> Signal:
    """Nothing happens at inference, if the function is told when that is."""
    if training and p:
        raise step.fail("drops at random in evaluation too; pass training=self.training, or use nn.Dropout")
    return x


@converts(operator.getitem)
def item(step: Step, x: Any, index: Any) -> Any:
    """One of several results, or a part of a tensor."""
    return x[index] if is_sequence(x) else rearrange(step)


PARTS = ("values", "indices")


@converts(getattr)
def attribute(step: Step, x: Any, name: str) -> Any:
    """``x.T`` and its like; ``x.data``; the parts of what max() gives."""
    if is_sequence(x) and name in PARTS:
        return x[PARTS.index(name)]
    if name not in ("data", "T", "mT"):
        raise step.fail(f"asks for .{name}, which is not supported")
    return rearrange(step)
