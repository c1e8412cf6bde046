"""Windows that slide over maps."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from independent.arrays import Pair, pair, places


class Window(NamedTuple):
    """A window that slides along one axis."""

    size: int
    stride: int
    padding: int
    dilation: int

    @property
    def span(self) -> int:
        return self.dilation * (self.size - 1) + 1

    def place(self, step: int, element: int) -> int:
        """Where on the axis an element of the window is; beyond its ends is padding."""
        return step * self.stride - self.padding + element * self.dilation

    def count(self, length: int) -> int:
        """How many windows fit."""
        return (length + 2 * self.padding - self.span) // self.stride + 1

    def ceil_count(self, length: int) -> int:
        """How many there are if a last one need not fit, but begin in the padding before the axis or on it."""
        found = -(-(length + 2 * self.padding - self.span) // self.stride) + 1
        return found if self.place(found - 1, 0) < length else found - 1


def windows(group: Any, size: Sequence[int], stride: Pair = (1, 1)) -> tuple[Window, Window]:
    """The windows of a layer or neuron along height and width."""
    strides, paddings = pair(group, "stride", stride), pair(group, "padding", (0, 0))
    dilations = pair(group, "dilation", (1, 1))
    rows, columns = map(Window, size, strides, paddings, dilations)
    return rows, columns


def meetings(
    both: tuple[Window, Window], steps: Sequence[int], plane: Sequence[int]
) -> Iterator[tuple[Pair, Pair, Pair]]:
    """Window (y, x), its element (j, k), and where on the plane that is, unless it is in the padding."""
    for y, x, j, k in places((*steps, both[0].size, both[1].size)):
        place = both[0].place(y, j), both[1].place(x, k)
        if 0 <= place[0] < plane[0] and 0 <= place[1] < plane[1]:
            yield (y, x), (j, k), place
