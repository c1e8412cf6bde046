"""Walks over networks: layers in topological order, and images in batches that fit into memory.

Whatever computes a network's layers one after the other, in floats, in integers or only bounds, does it by `walk`,
which keeps what a layer gives until its last use and no longer.
"""

import collections
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from lava_aug.core.errors import InputError
from lava_aug.core.images import Progress, check_callable
from lava_aug.core.layers import Shape
from lava_aug.core.network import INPUT, Network
from lava_aug.core.spec import is_int


class Node(Protocol):
    """A layer, of a `Network` or of the float graph that it is made of."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the layers, or `INPUT`, whose spikes it takes."""
        ...


NodeType = TypeVar("NodeType", bound=Node)
Arrived = TypeVar("Arrived")
Given = TypeVar("Given")
Item = TypeVar("Item")


def walk(
    layers: Iterable[NodeType],
    images: Given,
    take: Callable[[NodeType, list[Given]], Arrived],
    give: Callable[[NodeType, Arrived], Given],
) -> Iterator[tuple[NodeType, Arrived, Given]]:
    """All layers in order, each with what arrives at it and what it gives.

    Parameters
    ----------
    layers : iterable of Layer or FloatLayer
        In topological order.
    images : any
        What layers get from `INPUT`.
    take : callable
        Makes what arrives at a layer of what its sources gave, in the order of its connections.
    give : callable
        Makes what a layer gives of what arrives at it.
    """
    layers = tuple(layers)
    last_taker = {source: layer.name for layer in layers for source in layer.sources}
    given = {INPUT: images}
    del images
    for layer in layers:
        arrived = take(layer, [given[source] for source in layer.sources])
        given[layer.name] = give(layer, arrived)
        for source in {source for source in layer.sources if last_taker[source] == layer.name}:
            del given[source]
        yield layer, arrived, given[layer.name]


def last(items: Iterable[Item]) -> Item:
    """The last of one or more items, the others being dropped."""
    return collections.deque(items, maxlen=1)[0]


BATCH_ELEMENTS = 1 << 23
"""Neurons times images that one batch may hold unless told otherwise; about ten arrays of as many float32 are alive."""


def batches(x: NDArray[Any], size: int, progress: Progress | None) -> Iterator[NDArray[Any]]:
    """Successive batches of images; reports progress once a batch is done."""
    check_callable("progress", progress)
    for start in range(0, len(x), size):
        yield x[start : start + size]
        if progress is not None:
            progress(min(start + size, len(x)), len(x))


def that_fit(shapes: Iterable[Shape], elements: int) -> int:
    """The number of images, at least 1, for which layers of these shapes have so many neurons."""
    return max(1, elements // sum(map(math.prod, shapes)))


def images_per_batch(net: Network, batch_size: int | None) -> int:
    """Images computed together: as given, or as many as make `BATCH_ELEMENTS` neurons."""
    if batch_size is None:
        return that_fit(net.shapes.values(), BATCH_ELEMENTS)
    if not is_int(batch_size) or batch_size < 1:
        raise InputError(f"batch_size: expected an integer of at least 1, found {batch_size!r}")
    return int(batch_size)
