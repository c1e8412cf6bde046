"""The transposed convolution: every spike adds its kernel to the result."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import BLOCK, einsum
from lava_aug.core.sliding import Sliding, by_group, geometry_text, maps
from lava_aug.core.spec import array, integer, pair, registered
from lava_aug.core.synapse import (
    SYNAPSES,
    Block,
    Connectivity,
    Shape,
    Weighted,
    absolute_sum,
    all_to_all,
    listed,
    one_to_one,
)

if TYPE_CHECKING:
    pass


@registered(SYNAPSES)
class ConvTranspose(Sliding, Weighted):
    """Two-dimensional transposed convolution as PyTorch defines it::

        a[o, y*stride - padding + j*dilation, ...] += weight[i, o, j, k] * s[i, y, x]

    Parameters and shapes are those of `torch.nn.ConvTranspose2d`; pairs are (height, width), and weights are
    (in, out / groups, height, width). Spikes ``(channels, length)`` are seen as maps of height 1.
    """

    type_name = "conv_transpose"
    learned = True

    weight: NDArray[Any] = array(stored_as="weight", doc="weights, (in, out / groups, height, width)")
    output_padding: tuple[int, int] = pair(
        low=0, default=(0, 0), stored_as="outputPadding", doc="rows and columns added at the end"
    )
    groups: int = integer(low=1, default=1, stored_as="groups", doc="groups of channels that do not mix")

    def __post_init__(self) -> None:
        super().__post_init__()
        shape = self.weight.shape
        if self.weight.ndim != 4:
            raise SpecError(f"ConvTranspose.weight: expected shape (in, out/groups, height, width), found {shape}")
        if shape[0] % self.groups:
            raise SpecError(f"ConvTranspose.groups: {shape[0]} input channels do not divide by {self.groups}")
        limits = tuple(max(both) for both in zip(self.stride, self.dilation, strict=True))
        if any(extra >= limit for extra, limit in zip(self.output_padding, limits, strict=True)):
            raise SpecError(
                f"ConvTranspose.output_padding: expected less than stride or dilation, which are up to {limits}, "
                f"found {self.output_padding}"
            )

    @property
    def window(self) -> tuple[int, int]:
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def out_channels(self) -> int:
        """Channels of the result."""
        return self.weight.shape[1] * self.groups

    @property
    def weight_sum(self) -> float:
        """What arrives at one neuron has passed every ``stride``-th element of the window only."""
        phases: list[NDArray[Any]] = [self.places(axis, 1)[0] % self.stride[axis] for axis in (0, 1)]
        by_phase = [np.equal.outer(phase, np.unique(phase)).astype(np.float64) for phase in phases]
        return max(float(einsum("gojk,jy,kx->goyx", absolute_sum(part, 1), *by_phase).max()) for part in self._parts())

    def _parts(self) -> Iterator[NDArray[Any]]:
        """The weights by group, a block of groups, or of a group's outputs, at a time."""
        whole = self.by_group(self.weight)
        groups = max(1, BLOCK // whole[0].size)
        outputs = max(1, BLOCK // whole[0, :, 0].size)
        for first in range(0, len(whole), groups):
            for start in range(0, whole.shape[2], outputs):
                yield whole[first : first + groups, :, start : start + outputs]

    def by_group(self, weight: NDArray[Any]) -> NDArray[Any]:
        """Weights as ``(groups, in / groups, out / groups, height, width)``."""
        return weight.reshape(self.groups, -1, *self.weight.shape[1:])

    def _outputs(self, size: int, axis: int) -> int:
        span = self.dilation[axis] * (self.window[axis] - 1) + 1
        return (size - 1) * self.stride[axis] + span + self.output_padding[axis] - 2 * self.padding[axis]

    def _misfit(self) -> str:
        return f"padding {self.padding} leaves nothing of"

    def _along(self, axis: int, size: int, outputs: int) -> Block:
        return listed(*self._pairs(axis, size, outputs), outputs, size)

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = self.result_shape(input_shape, self.out_channels)
        if input_shape[0] != len(self.weight):
            raise SpecError(f"ConvTranspose: expected {len(self.weight)} input channels, found {input_shape[0]}")
        return shape

    def accumulate(self, s: NDArray[Any]) -> NDArray[Any]:
        shape, (height, width) = self.output_shape(s.shape[1:]), self.output_size(s.shape[1:])
        s, weight = self._exact(maps(s))
        weight = self.by_group(weight)
        grouped = s.reshape(len(s), self.groups, -1, *s.shape[2:])
        (top, left), rows, columns = self.padding, *(self.places(axis, s.shape[axis + 2]) for axis in (0, 1))
        a = np.zeros((len(s), *weight.shape[:1], weight.shape[2], height + 2 * top, width + 2 * left), s.dtype)
        for j, k in np.ndindex(self.window):
            targets = (..., rows[:, j, None], columns[None, :, k])
            a[targets] += einsum("bgiyx,gio->bgoyx", grouped, weight[..., j, k])
        return a[..., top : top + height, left : left + width].reshape(len(s), *shape)

    def connectivity(self, input_shape: Shape) -> Connectivity:
        inputs, outputs = len(self.weight) // self.groups, self.weight.shape[1]
        return self._connectivity(input_shape, one_to_one(self.groups), all_to_all(outputs, inputs))

    def _by_output(self, channels: NDArray[Any]) -> NDArray[Any]:
        return by_group(channels, self.groups, len(self.weight))

    def _by_input(self, channels: NDArray[Any]) -> NDArray[Any]:
        return channels.reshape(-1, 1, 1, 1)

    def channel_rows(self, input_shape: Shape) -> list[NDArray[Any]]:
        grouped = self.by_group(self.weight.astype(np.float64)).swapaxes(1, 2)
        return list(grouped.reshape(self.out_channels, -1))

    def describe(self) -> str:
        return f"conv transpose {geometry_text(self)}" + (f" groups {self.groups}" if self.groups > 1 else "")

    def stored_extras(self, input_shape: Shape) -> dict[str, Any]:
        return {
            "inChannels": len(self.weight),
            "outChannels": self.out_channels,
            "kernelSize": np.array(self.window),
        }
