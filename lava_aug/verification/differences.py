"""Where two networks differ, parameter by parameter, and where two outputs of one part: the first value."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.fixed_point import is_array
from lava_aug.core.network import INPUT, Layer, Network
from lava_aug.core.neurons import Neuron
from lava_aug.core.results import Output
from lava_aug.core.spec import Spec
from lava_aug.verification.reference import moments


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
        for field in dataclasses.fields(one):
            mine, theirs = getattr(one, field.name), getattr(other, field.name)
            yield from _compared(_joined(where, field.name), mine, theirs)
    elif isinstance(one, tuple):
        yield from _item_differences(where, cast("tuple[Any, ...]", one), other)
    elif is_array(one):
        yield from _array_differences(where, one, other)
    elif one != other:
        yield f"{where}: {one!r} and {other!r}"


def _item_differences(where: str, one: tuple[Any, ...], other: tuple[Any, ...]) -> Iterator[str]:
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


def _array_differences(where: str, one: NDArray[Any], other: NDArray[Any]) -> Iterator[str]:
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


FIELDS = ("spikes", "v", "saturated", "capped", "events", "spike_sum", "synops")
"""What is compared: where several differ in a layer and a step, the first of them is told."""


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """The first value that differs: in the earliest step, the first layer in the network's order.

    All that came before it is equal, and so is what the layer received in this step; so here is the cause, and not one
    of its consequences.

    Attributes
    ----------
    layer : str
        Name of the layer, or ``"input"``.
    field : str
        What differs: ``"spikes"``, the readout's ``"v"``, or a count, as `Output` names them.
    step : int
        Step of the window, from 1.
    image : int
        Which image, from 0.
    neuron : tuple of int or None
        Index of the neuron in the layer's shape; None for counts, which are of a whole layer.
    expected, found : int
        Both values.
    before : dict
        What the specification has there before the step: potential, running sum, input current, bias, thresholds. Of a
        max pooling neuron, the largest potential in its window. Empty for counts and for the input.
    lava_step : int
        The time step of Lava, from 1, in which the layer does this step: later by its depth.
    """

    layer: str
    field: str
    step: int
    image: int
    neuron: tuple[int, ...] | None
    expected: int
    found: int
    before: Mapping[str, int]
    lava_step: int

    def __str__(self) -> str:
        neuron = "" if self.neuron is None else f", neuron {self.neuron}"
        where = f"layer {self.layer!r}, step {self.step} of image {self.image}{neuron}"
        before = ", ".join(f"{name} = {value}" for name, value in self.before.items())
        values = f"{self.field}: expected {self.expected}, found {self.found}"
        return f"{where}: {values}" + (f"; before: {before}" if before else "")


class _Place(NamedTuple):
    """Where something differs; the smallest is the first."""

    step: int
    layer: int
    field: int
    index: tuple[int, ...]  # pyright: ignore[reportIncompatibleMethodOverride]


def misfit(expected: Output, found: Output) -> str | None:
    """Why two outputs cannot be compared: what only one of them has, or what has another shape; None if they can."""
    for field in FIELDS:
        one, other = _arrays_of(expected, field), _arrays_of(found, field)
        for name in {**one, **other}:
            shapes = [parts[name].shape if name in parts else None for parts in (one, other)]
            if shapes[0] != shapes[1]:
                return f"{field} of {name!r}: expected shape {shapes[0]}, found {shapes[1]}"
    return None


def first_mismatch(expected: Output, found: Output, x: NDArray[Any]) -> Mismatch | None:
    """The first value in which an output differs from the specification's; None if they are equal.

    Parameters
    ----------
    expected : Output
        From `lava_aug.verification.reference.interpret`, spikes recorded.
    found : Output
        Of the same layers, steps and images (see `misfit`).
    x : array, shape (B, *input_shape)
        The input payloads.
    """
    place = min(_places(expected, found), default=None)
    if place is None:
        return None
    net, field, name = expected.network, FIELDS[place.field], list(expected.network.shapes)[place.layer]
    (image, *neuron), is_count = place.index, field not in ("spikes", "v")
    at = (place.step, *place.index)
    return Mismatch(
        layer=name,
        field=field,
        step=place.step + 1,
        image=image,
        neuron=None if is_count else tuple(neuron),
        expected=int(_arrays_of(expected, field)[name][at]),
        found=int(_arrays_of(found, field)[name][at]),
        before={} if is_count or name == INPUT else _before(net, x, name, place.step + 1, image, tuple(neuron)),
        lava_step=image * expected.num_steps + net.depths[name] + place.step + 1,
    )


def _arrays_of(output: Output, field: str) -> Mapping[str, NDArray[Any]]:
    """Arrays ``(T, B, ...)`` by name of the layer."""
    return {output.network.readout.name: output.v} if field == "v" else getattr(output, field)


def _places(expected: Output, found: Output) -> Iterator[_Place]:
    """The first difference of every layer and field."""
    order = {name: index for index, name in enumerate(expected.network.shapes)}
    for index, field in enumerate(FIELDS):
        theirs = _arrays_of(found, field)
        for name, values in _arrays_of(expected, field).items():
            unequal = values != theirs[name]
            steps = np.flatnonzero(unequal.reshape(len(unequal), -1).any(axis=1))
            if len(steps):
                yield _Place(int(steps[0]), order[name], index, tuple(np.argwhere(unequal[steps[0]])[0].tolist()))


def _before(net: Network, x: NDArray[Any], name: str, step: int, image: int, neuron: tuple[int, ...]) -> dict[str, int]:
    """What the specification has before a step, at one neuron: it runs again, for this image alone."""
    for moment in moments(net, x[image : image + 1], step):
        if (moment.t, moment.layer.name) == (step, name):
            spec, bias = moment.layer.neuron, moment.layer.bias
            zero = np.zeros((), np.int64)
            state = spec.told(moment.before, moment.a, zero if bias is None else bias, (0, *neuron))
            return {name: int(value) for name, value in state.items()} | _parameters(spec, net.shapes[name], neuron)
    raise KeyError(f"no step {step} of {name!r}")


def _parameters(spec: Neuron, shape: tuple[int, ...], neuron: tuple[int, ...]) -> dict[str, int]:
    """What decides how a neuron fires; where ``v`` started does not matter any more."""
    values = {name: value for name, value in spec.numbers().items() if name != "v0"}
    return {name: int(np.broadcast_to(value, shape)[neuron]) for name, value in values.items()}
