"""Layer types that slide a window over maps, convolution and sum pooling; and the maxima that max pooling takes.

Axes are PyTorch's: ``(channels, height, width)`` for maps and ``(out, in, height, width)`` for kernels, and the
operation is PyTorch's cross-correlation.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import PORT_BITS, Array, einsum, is_array, signed_range
from lava_aug.core.spec import array, integer, pair, registered
from lava_aug.core.synapse import (
    SYNAPSES,
    Block,
    Connectivity,
    Shape,
    Synapse,
    Weighted,
    all_to_all,
    listed,
    one_to_one,
    widened,
)

MAX_WINDOW = 1 << 12
"""Longest side of a window: far more than a map has, and little enough for tables of its places."""


def as_map(shape: Shape) -> tuple[int, int, int]:
    """Shape of a map or of rows as that of a map: ``(C, L)`` is ``(C, 1, L)``."""
    return shape[0], (1 if len(shape) == 2 else shape[1]), shape[-1]


def maps(s: Any) -> Any:
    """Spikes of a batch, array or tensor, as maps: ``(B, C, L)`` becomes ``(B, C, 1, L)``."""
    return s[:, :, None] if s.ndim == 3 else s


def like(outputs: Any, s: Any) -> Any:
    """Maps that were made of spikes, as rows if those were rows."""
    return outputs[:, :, 0] if s.ndim == 3 else outputs


class Sliding(Synapse):
    """What layers that slide a window over a map share.

    They take maps ``(channels, height, width)`` and give maps. Rows ``(channels, length)`` they see as maps of height
    1, which takes a window of height 1, and give rows.
    """

    stride: tuple[int, int] = pair(low=1, default=(1, 1), stored_as="stride", doc="steps of the window")
    padding: tuple[int, int] = pair(low=0, default=(0, 0), stored_as="padding", doc="zeros on each side")
    dilation: tuple[int, int] = pair(low=1, default=(1, 1), stored_as="dilation", doc="distance of window elements")

    @property
    def window(self) -> tuple[int, int]:
        """Height and width of the window, in elements."""
        raise NotImplementedError

    @property
    def geometry(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """How the window moves: stride, padding, dilation."""
        return self.stride, self.padding, self.dilation

    def map_shape(self, input_shape: Shape) -> tuple[int, int, int]:
        """Shape of the input as a map; SpecError if it is none."""
        if len(input_shape) not in (2, 3):
            raise SpecError(
                f"{type(self).__name__}: expected input (channels, height, width) or (channels, length), "
                f"found {input_shape}"
            )
        if max(self.window) > MAX_WINDOW:
            raise SpecError(f"{type(self).__name__}: expected a window of at most {MAX_WINDOW}, found {self.window}")
        return as_map(input_shape)

    def output_size(self, input_shape: Shape) -> tuple[int, int]:
        """Height and width of the result; SpecError if nothing is left."""
        sizes = [self._outputs(size, axis) for axis, size in enumerate(self.map_shape(input_shape)[1:])]
        if min(sizes) < 1:
            raise SpecError(f"{type(self).__name__}: {self._misfit()} input {self.map_shape(input_shape)}")
        if len(input_shape) == 2 and sizes[0] != 1:
            raise SpecError(f"{type(self).__name__}: rows {input_shape} need a window of height 1, found {self.window}")
        return sizes[0], sizes[1]

    def result_shape(self, input_shape: Shape, channels: int) -> Shape:
        """Shape of the result: a map of maps, rows of rows."""
        size = self.output_size(input_shape)
        return (channels, *size[-(len(input_shape) - 1) :])

    def _outputs(self, size: int, axis: int) -> int:
        """Positions of the window along an axis."""
        span = self.dilation[axis] * (self.window[axis] - 1) + 1
        return (size + 2 * self.padding[axis] - span) // self.stride[axis] + 1

    def _misfit(self) -> str:
        return f"window {self.window} does not fit into"

    def _windows(self, s: NDArray[Any]) -> NDArray[Any]:
        """``(..., C, H, W) -> (..., C, H_out, W_out, kh, kw)``, a view of the padded input."""
        lead = [(0, 0)] * (s.ndim - 2)
        padded = np.pad(s, [*lead, (self.padding[0],) * 2, (self.padding[1],) * 2])
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.window, strict=True)]
        views: NDArray[Any] = cast(Any, sliding_window_view)(padded, spans, axis=(-2, -1))  # its stub knows one axis
        return views[..., :: self.stride[0], :: self.stride[1], :: self.dilation[0], :: self.dilation[1]]

    def _connectivity(self, input_shape: Shape, *channels: Block) -> Connectivity:
        """Connections between channels, at all places of the window."""
        sizes, outputs = self.map_shape(input_shape)[1:], self.output_size(input_shape)
        places = (self._along(axis, sizes[axis], outputs[axis]) for axis in (0, 1))
        return Connectivity(input_shape, self.output_shape(input_shape), *channels, *places)

    def _along(self, axis: int, size: int, outputs: int) -> Block:
        """Which positions of one axis each output adds up."""
        columns, rows = self._pairs(axis, outputs, size)
        return listed(rows, columns, outputs, size)

    def _pairs(self, axis: int, count: int, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Positions from 0 to ``size - 1`` in windows along an axis, and which of the ``count`` windows each is in."""
        positions = self.places(axis, count) - self.padding[axis]
        inside = (positions >= 0) & (positions < size)
        return positions[inside], inside.nonzero()[0]

    def places(self, axis: int, count: int) -> NDArray[Any]:
        """Where the elements of ``count`` windows lie along an axis, padding included: ``(count, window)``."""
        steps, elements = np.arange(count) * self.stride[axis], np.arange(self.window[axis]) * self.dilation[axis]
        return steps[:, None] + elements


def by_group(channels: NDArray[Any], groups: int, count: int) -> NDArray[Any]:
    """Values of the channels on the weights' second axis, which belong to the group of the first one of ``count``."""
    return np.repeat(channels.reshape(groups, -1), count // groups, axis=0)[:, :, None, None]


def geometry_text(synapse: Sliding) -> str:
    """Window, and what is not as usual of stride and dilation, for the summary."""
    marks = ["x".join(map(str, synapse.window))]
    marks += [f"/{'x'.join(map(str, synapse.stride))}"] if synapse.stride != (1, 1) else []
    marks += [f"dilation {'x'.join(map(str, synapse.dilation))}"] if synapse.dilation != (1, 1) else []
    return " ".join(marks)


@registered(SYNAPSES)
class Conv(Sliding, Weighted):
    """Two-dimensional convolution as PyTorch defines it::

        a[o, y, x] = sum over i, j, k of weight[o, i, j, k] * s[i, y*stride - padding + j*dilation, ...]

    Parameters and shapes are those of `torch.nn.Conv2d`; pairs are (height, width). Spikes ``(channels, length)`` are
    seen as maps of height 1, so that `torch.nn.Conv1d` is a kernel of height 1.
    """

    type_name = "conv"
    learned = True

    weight: NDArray[Any] = array(stored_as="weight", doc="weights, (out, in / groups, height, width)")
    groups: int = integer(low=1, default=1, stored_as="groups", doc="groups of channels that do not mix")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight.ndim != 4:
            raise SpecError(f"Conv.weight: expected shape (out, in/groups, height, width), found {self.weight.shape}")
        if self.weight.shape[0] % self.groups:
            raise SpecError(f"Conv.groups: {self.weight.shape[0]} output channels do not divide by {self.groups}")

    @property
    def window(self) -> tuple[int, int]:
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def in_channels(self) -> int:
        return self.weight.shape[1] * self.groups

    def ungrouped(self) -> "Conv":
        """The same convolution in one group, with zeros where channels do not mix."""
        outputs, per_group, *window = self.weight.shape
        group, rows = np.arange(self.groups), outputs // self.groups
        weight = np.zeros((self.groups, rows, self.groups, per_group, *window), self.weight.dtype)
        weight[group, :, group] = self.weight.reshape(self.groups, rows, per_group, *window)
        return self.replace(weight=weight.reshape(outputs, self.in_channels, *window), groups=1)

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = self.result_shape(input_shape, self.weight.shape[0])
        if input_shape[0] != self.in_channels:
            raise SpecError(f"Conv: expected {self.in_channels} input channels, found {input_shape[0]}")
        return shape

    def accumulate(self, s: NDArray[Any]) -> NDArray[Any]:
        spikes, weight = self._exact(maps(s))
        grouped = spikes.reshape(len(s), self.groups, -1, *spikes.shape[2:])
        weight = weight.reshape(self.groups, -1, *weight.shape[1:])
        a = einsum("bgiyxjk,goijk->bgoyx", self._windows(grouped), weight)
        return like(a.reshape(len(s), -1, *a.shape[3:]), s)

    def connectivity(self, input_shape: Shape) -> Connectivity:
        outputs, inputs = self.weight.shape[:2]
        return self._connectivity(input_shape, one_to_one(self.groups), all_to_all(outputs // self.groups, inputs))

    def _by_input(self, channels: NDArray[Any]) -> NDArray[Any]:
        return by_group(channels, self.groups, len(self.weight))

    def describe(self) -> str:
        return f"conv {geometry_text(self)}" + (f" groups {self.groups}" if self.groups > 1 else "")

    def stored_extras(self, input_shape: Shape) -> dict[str, Any]:
        return {
            "inChannels": self.in_channels,
            "outChannels": self.weight.shape[0],
            "kernelSize": np.array(self.window),
        }


@registered(SYNAPSES)
class SumPool(Sliding):
    """Sum of the spikes in each window, channel by channel; all weights are 1.

    Average pooling is this sum with the division by ``kh * kw`` moved into the layer's quantum or threshold.
    """

    type_name = "pool"

    kernel_size: tuple[int, int] = pair(low=1, stored_as="kernelSize", doc="height and width of the window")

    @property
    def window(self) -> tuple[int, int]:
        return self.kernel_size

    @property
    def weights(self) -> NDArray[Any]:
        return np.ones(1, np.int8)

    @property
    def weight_sum(self) -> float:
        return float(math.prod(self.kernel_size))

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.result_shape(input_shape, input_shape[0])

    def accumulate(self, s: NDArray[Any]) -> NDArray[Any]:
        return like(self._windows(widened(maps(s))).sum(axis=(-2, -1)), s)

    def connectivity(self, input_shape: Shape) -> Connectivity:
        return self._connectivity(input_shape, one_to_one(input_shape[0]))

    def matrix(self, input_shape: Shape) -> Any:
        return self.connectivity(input_shape).matrix().astype(np.float64)

    def weighted(self, input_shape: Shape) -> Conv:
        channels, geometry = input_shape[0], {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        return Conv(weight=np.ones((channels, 1, *self.kernel_size), np.int8), groups=channels, **geometry)

    def describe(self) -> str:
        return f"sum pool {'x'.join(map(str, self.kernel_size))}"


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


def window_counts(windows: Sequence[Window], lengths: Sequence[int], ceil_mode: bool) -> list[int]:
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


def window_maxima(x: Array, windows: Sequence[Window], ceil_mode: bool) -> Array:
    """The largest element of every window, ``(..., H, W) -> (..., H_out, W_out)``: along one axis, then the other."""
    numbers = window_counts(windows, x.shape[-2:], ceil_mode)
    for axis, (window, count) in enumerate(zip(windows, numbers, strict=True), -2):
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
