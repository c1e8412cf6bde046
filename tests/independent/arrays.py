"""Arrays as flat lists in C order, and how they are read from files."""

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

Shape = tuple[int, ...]
Pair = tuple[int, int]


class Grid(NamedTuple):
    """An array: its elements in C order."""

    shape: Shape
    flat: list[Any]


def places(shape: Shape) -> Iterator[Shape]:
    """The indices of all elements, in C order."""
    return itertools.product(*map(range, shape))


def flat_index(place: Shape, shape: Shape) -> int:
    """Where an element is in C order: the last axis is the fastest."""
    found = 0
    for index, size in zip(place, shape, strict=True):
        found = found * size + index
    return found


def spread(value: Any, shape: Shape) -> list[Any]:
    """A number, or an array that broadcasts, as one value for each element of a shape."""
    if not isinstance(value, Grid):
        return [value] * math.prod(shape)
    aligned = (place[len(shape) - len(value.shape) :] for place in places(shape))
    return [
        value.flat[flat_index(tuple(i if n > 1 else 0 for i, n in zip(place, value.shape, strict=True)), value.shape)]
        for place in aligned
    ]


def read(group: Any, name: str, default: Any = None) -> Any:
    """A dataset as a number, True or False, or a `Grid`."""
    if name not in group:
        return default
    value = group[name][()]
    return Grid(value.shape, value.ravel().tolist()) if value.shape else value.item()


def texts(group: Any, name: str) -> list[str]:
    """A dataset of texts."""
    value = read(group, name)
    return [text.decode() for text in (value.flat if isinstance(value, Grid) else [value])]


def pair(group: Any, name: str, default: Pair) -> Pair:
    """Two numbers, for height and width."""
    value = read(group, name)
    return default if value is None else (value.flat[0], value.flat[1])


def numbered(group: Any) -> list[Any]:
    """The groups 0, 1, 2, … in the order of their numbers."""
    return [group[str(index)] for index in range(len(group))]
