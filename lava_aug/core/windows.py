"""Maxima over sliding windows along the last two axes, of numpy arrays and torch tensors alike."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import PORT_BITS, Array, is_array, signed_range


@dataclasses.dataclass(frozen=True)
class Window:
    """A window along one axis; what lies outside, in the padding, is minus infinity."""

    size: int
    stride: int
    padding: int
    dilation: int

    def count(self, length: int, ceil_mode: bool) -> int:
        """How many windows there are along an axis, by PyTorch's rule (``aten/src/ATen/native/Pool.h``).

        ``ceil_mode`` adds a last window that does not fit whole, unless it would begin in the padding behind the axis.
        """
        room = length + 2 * self.padding - self.dilation * (self.size - 1) - 1
        count = (room + (self.stride - 1 if ceil_mode else 0)) // self.stride + 1
        return count - 1 if ceil_mode and (count - 1) * self.stride >= length + self.padding else count

    def offsets(self) -> range:
        """Where its elements are, from where the first window would begin without padding."""
        return range(-self.padding, self.size * self.dilation - self.padding, self.dilation)

    def inside(self, offset: int, length: int, count: int) -> range:
        """The windows of which the element at an offset lies on the axis."""
        return range(max(0, -(offset // self.stride)), min(count, (length - 1 - offset) // self.stride + 1))


def counts(windows: Sequence[Window], lengths: Sequence[int], ceil_mode: bool) -> list[int]:
    """Numbers of windows along axes; SpecError if there are none, or if one sees padding alone."""
    numbers = [window.count(length, ceil_mode) for window, length in zip(windows, lengths, strict=True)]
    sizes = tuple(window.size for window in windows)
    if min(numbers) < 1:
        raise SpecError(f"window {sizes} does not fit into {tuple(lengths)}")
    for window, length, count in zip(windows, lengths, numbers, strict=True):
        seen = {index for offset in window.offsets() for index in window.inside(offset, length, count)}
        if len(seen) < count:
            raise SpecError(f"a window of {sizes} on {tuple(lengths)} sees nothing but padding")
    return numbers


def maxima(x: Array, windows: Sequence[Window], ceil_mode: bool) -> Array:
    """The largest element of every window, ``(..., H, W) -> (..., H_out, W_out)``: along one axis, then the other."""
    for axis, (window, count) in enumerate(zip(windows, counts(windows, x.shape[-2:], ceil_mode), strict=True), -2):
        x = _along(x, axis, window, count)
    return x


def _along(x: Array, axis: int, window: Window, count: int) -> Array:
    pooled = _lowest(x, [*x.shape[:axis], count, *x.shape[axis:][1:]])
    for offset in window.offsets():
        inside = window.inside(offset, x.shape[axis], count)
        if len(inside):
            start, stop = (index * window.stride + offset for index in (inside[0], inside[-1]))
            target = _part(axis, slice(inside.start, inside.stop))
            pooled[target] = _larger(pooled[target], x[_part(axis, slice(start, stop + 1, window.stride))])
    return pooled


def _part(axis: int, part: slice) -> tuple[Any, ...]:
    """Index of a slice along the last axis (-1) or the one before (-2)."""
    return (..., part) if axis == -1 else (..., part, slice(None))


def _lowest(like: Array, shape: list[int]) -> Array:
    """An array that is below everything else."""
    if is_array(like):
        return np.full(shape, np.iinfo(like.dtype).min if like.dtype.kind in "iu" else -np.inf, like.dtype)
    return like.new_full(shape, -np.inf if like.is_floating_point() else signed_range(PORT_BITS)[0])


def _larger(one: Array, other: Array) -> Array:
    return np.maximum(one, other) if is_array(one) else one.maximum(other)
