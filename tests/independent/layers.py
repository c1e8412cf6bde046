"""Layer types: the shape of the input current, and every synapse."""

import math
from collections.abc import Callable
from typing import Any

from independent.arrays import Grid, Shape, flat_index, pair, places, read
from independent.windows import meetings, windows

Synapses = tuple[Shape, list[tuple[int, int, int]]]
"""Shape of the input current, and each synapse: index of the neuron, index of the spike, weight."""


def as_map(shape: Shape) -> Shape:
    """Rows are maps of height 1."""
    return shape if len(shape) == 3 else (shape[0], 1, shape[1])


def like(shape: Shape, result: Shape) -> Shape:
    """What came of rows is rows."""
    return result if len(shape) == 3 else (result[0], result[2])


def dense(group: Any, shape: Shape) -> Synapses:
    weight = read(group, "weight")
    outputs, inputs = weight.shape
    before = () if math.prod(shape) == inputs else shape[:-1]
    found = [
        (row * outputs + o, row * inputs + i, weight.flat[o * inputs + i])
        for row, o, i in places((math.prod(before), outputs, inputs))
    ]
    return (*before, outputs), found


def relay(group: Any, shape: Shape) -> Synapses:
    return shape, [(place, place, 1) for place in range(math.prod(shape))]


def scale(group: Any, shape: Shape) -> Synapses:
    weight, offset = read(group, "weight"), read(group, "offset", 0)
    result = (read(group, "channels", offset + shape[0]), *shape[1:])
    found = [
        (flat_index((offset + c, *rest), result), flat_index((c, *rest), shape), weight.flat[c])
        for c, *rest in places(shape)
    ]
    return result, found


def sparse(group: Any, shape: Shape) -> Synapses:
    rows, columns, weight = (read(group, name).flat for name in ("rows", "columns", "weight"))
    return tuple(read(group, "outShape").flat), list(zip(rows, columns, weight, strict=True))


def conv(group: Any, shape: Shape) -> Synapses:
    return sliding(group, shape, read(group, "weight"), read(group, "groups", 1))


def pool(group: Any, shape: Shape) -> Synapses:
    size = (shape[0], 1, *read(group, "kernelSize").flat)
    return sliding(group, shape, Grid(size, [1] * math.prod(size)), groups=shape[0])


def sliding(group: Any, shape: Shape, weight: Grid, groups: int) -> Synapses:
    outputs, inputs, *size = weight.shape
    channels, *plane = as_map(shape)
    both = windows(group, size)
    result = (outputs, both[0].count(plane[0]), both[1].count(plane[1]))
    found: list[tuple[int, int, int]] = []
    for step, element, place in meetings(both, result[1:], plane):
        for o, i in places((outputs, inputs)):
            source = (o // (outputs // groups) * inputs + i, *place)
            value = weight.flat[flat_index((o, i, *element), weight.shape)]
            found.append((flat_index((o, *step), result), flat_index(source, (channels, *plane)), value))
    return like(shape, result), found


def conv_transpose(group: Any, shape: Shape) -> Synapses:
    weight, groups = read(group, "weight"), read(group, "groups", 1)
    inputs, outputs, *size = weight.shape
    _, *plane = as_map(shape)
    both, extra = windows(group, size), pair(group, "outputPadding", (0, 0))
    height, width = (
        (length - 1) * window.stride + window.span + more - 2 * window.padding
        for length, window, more in zip(plane, both, extra, strict=True)
    )
    result = (outputs * groups, height, width)
    found: list[tuple[int, int, int]] = []
    for step, element, place in meetings(both, plane, result[1:]):
        for i, o in places((inputs, outputs)):
            target = (i // (inputs // groups) * outputs + o, *place)
            value = weight.flat[flat_index((i, o, *element), weight.shape)]
            found.append((flat_index(target, result), flat_index((i, *step), (inputs, *plane)), value))
    return like(shape, result), found


LAYERS: dict[str, Callable[[Any, Shape], Synapses]] = {
    "dense": dense,
    "relay": relay,
    "scale": scale,
    "sparse": sparse,
    "conv": conv,
    "pool": pool,
    "conv_transpose": conv_transpose,
}
