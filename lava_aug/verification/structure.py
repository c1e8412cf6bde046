"""Where two networks differ, parameter by parameter."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.fixed_point import is_array
from lava_aug.core.network import Layer, Network
from lava_aug.core.spec import Spec


def differences(one: Network, other: Network) -> list[str]:
    """What is not the same in two networks: a text for each parameter, none if the networks are equal.

    Types count: an int8 array is not the int16 array of the same numbers.

    Examples
    --------
    >>> from lava_aug.core.layers import Dense
    >>> from lava_aug.core.neurons import ReadoutNeuron
    >>> out = Layer(name="out", connections=[("input", Dense(weight=[[1, 2]]))], neuron=ReadoutNeuron(), quantum=1.0)
    >>> net = Network(input_shape=(2,), layers=[out])
    >>> differences(net, net.replace(layers=[out.replace(bias=[7])], num_steps=9))
    ["layer 'out': bias: None and [7]", 'num_steps: 4 and 9']
    """
    return list(_compared("", one, other))


def _compared(where: str, one: Any, other: Any) -> Iterator[str]:
    if type(one) is not type(other):
        yield f"{where}: {_brief(one)} and {_brief(other)}"
    elif isinstance(one, Spec):
        for field in dataclasses.fields(one):  # pyright: ignore[reportArgumentType]
            mine, theirs = getattr(one, field.name), getattr(other, field.name)
            yield from _compared(_joined(where, field.name), mine, theirs)
    elif isinstance(one, tuple):
        yield from _items(where, one, other)
    elif is_array(one):
        yield from _arrays(where, one, other)
    elif one != other:
        yield f"{where}: {one!r} and {other!r}"


def _items(where: str, one: tuple[Any, ...], other: tuple[Any, ...]) -> Iterator[str]:
    if len(one) != len(other):
        yield f"{where}: {len(one)} and {len(other)}"
        return
    for index, (mine, theirs) in enumerate(zip(one, other, strict=True)):
        yield from _compared(_item(where, one, index), mine, theirs)


def _item(where: str, items: tuple[Any, ...], index: int) -> str:
    if isinstance(items[index], Layer):
        return f"layer {items[index].name!r}"
    names = getattr(items, "_fields", None)
    return f"{where}[{index}]" if names is None else f"{where}.{names[index]}"


def _arrays(where: str, one: NDArray[Any], other: NDArray[Any]) -> Iterator[str]:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        yield f"{where}: {_brief(one)} and {_brief(other)}"
        return
    unequal = np.argwhere(one != other)
    if len(unequal):
        first = tuple(unequal[0].tolist())
        yield f"{where}: {len(unequal)} of {one.size} differ, first at {first}: {one[first]} and {other[first]}"


def _joined(where: str, name: str) -> str:
    separator = ": " if where.startswith("layer ") and ": " not in where else "."
    return f"{where}{separator}{name}" if where else name


def _brief(value: Any) -> str:
    if is_array(value):
        return str(value.tolist()) if value.size == 1 else f"{value.dtype} {value.shape}"
    return repr(value)
