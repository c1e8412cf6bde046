"""The rows of a comparison: accuracy, spikes, operations and energy over time steps; and how they are read from JSON.

Whatever a file holds, errors say where and what.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from lava_aug.core.errors import InputError
from lava_aug.core.fixed_point import is_list, is_mapping
from lava_aug.core.texts import brief, counted
from lava_aug.simulation.courses import Exit

MOST = 1e30
"""Largest number: sums of such, and what figures make of them, are finite."""

MOST_SPIKES = float(1 << 31)
"""Largest number in a raster."""

LARGEST_COEFFICIENT = 1 << 24
"""Of a spike, whose payload has at most 24 bits."""

MAX_DEPTH = 16
"""Of lists and objects in each other."""


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether it is an object of JSON's, with named members."""
    return is_mapping(value) and all(isinstance(name, str) for name in value)


class Fields:
    """A JSON object.

    Parameters
    ----------
    members : mapping
        Its members.
    where : str
        How errors call it.

    Raises
    ------
    InputError
        If it is something else; as all methods, if a member is missing or not as it must be.
    """

    def __init__(self, members: Any, where: str) -> None:
        if not is_object(members):
            raise InputError(f"{where}: expected an object with named members, found {brief(members)}")
        self.where = where
        self._members = members

    def value(self, name: str) -> Any:
        """Anything, as it is."""
        if name not in self._members:
            raise InputError(f"{self.where}: {name!r} is missing")
        return self._members[name]

    def text(self, name: str) -> str:
        """A text that UTF-8 can write."""
        value = self.value(name)
        if not _is_text(value):
            raise InputError(f"{self._at(name)}: expected a text, found {brief(value)}")
        return value

    def number(self, name: str, high: float = MOST) -> float:
        """A number from 0 on."""
        return float(_number(self.value(name), self._at(name), 0, high))

    def count(self, name: str, low: int = 0) -> int:
        """A whole number."""
        number = _number(self.value(name), self._at(name), low)
        if number != int(number):
            raise InputError(f"{self._at(name)}: expected a whole number, found {brief(number)}")
        return int(number)

    def curve(self, name: str, length: int | None = None, high: float = MOST) -> NDArray[Any]:
        """Numbers from 0 on, one for each of one or more steps."""
        values = self.items(name)
        if not values or length not in (None, len(values)):
            expected = "one or more numbers" if length is None else f"{length} numbers, one for each step"
            raise InputError(f"{self._at(name)}: expected {expected}, found {len(values)}")
        return np.array([_number(value, self._at(name), 0, high) for value in values], np.float64)

    def matrix(self, name: str) -> NDArray[Any]:
        """Numbers in rows of the same length, at least one."""
        rows = [row for row in self.items(name) if is_list(row) and row]
        if not rows or len(rows) < len(self.items(name)) or len({len(row) for row in rows}) > 1:
            raise InputError(f"{self._at(name)}: expected lists of numbers, of the same length")
        return np.array([[_number(value, self._at(name), -MOST_SPIKES, MOST_SPIKES) for value in row] for row in rows])

    def items(self, name: str) -> list[Any]:
        """A list."""
        value = self.value(name)
        if not is_list(value):
            raise InputError(f"{self._at(name)}: expected a list, found {brief(value)}")
        return list(value)

    def fields(self, name: str) -> "Fields":
        """An object in this one."""
        return Fields(self.value(name), self._at(name))

    def names(self) -> Iterator[str]:
        """Of all members, each a text."""
        for name in self._members:
            if not _is_text(name):
                raise InputError(f"{self.where}: expected names that UTF-8 can write, found {brief(name)}")
            yield name

    def coefficients(self) -> dict[int, float]:
        """The members as spikes of each coefficient."""
        counts = dict[int, float]()
        for name in self.names():
            sign, digits = name[:1] == "-", name.lstrip("-")
            if not digits.isdecimal() or len(digits) > 8 or not 0 < int(digits) <= LARGEST_COEFFICIENT:
                raise InputError(f"{self.where}: expected coefficients of spikes, found {brief(name)}")
            counts[-int(digits) if sign else int(digits)] = self.number(name)
        return counts

    def plain(self) -> dict[str, Any]:
        """All members, whatever JSON has, not too deep in each other."""
        for name in self.names():
            _check_plain(self.value(name), self._at(name), MAX_DEPTH)
        return dict(self._members)

    def _at(self, name: str) -> str:
        return f"{self.where}/{name}"


def triple(value: Any, where: str) -> tuple[float, float, float]:
    """Three numbers."""
    values = value if is_list(value) else ()
    if len(values) != 3:
        raise InputError(f"{where}: expected three numbers, found {brief(value)}")
    one, two, three = (float(_number(value, where, -MOST)) for value in values)
    return one, two, three


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not any(0xD800 <= ord(letter) < 0xE000 for letter in value)


def _number(value: Any, where: str, low: float = -MOST, high: float = MOST) -> int | float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:  # NaN is in no range
        raise InputError(f"{where}: expected a number from {low:g} to {high:g}, found {brief(value)}")
    return value


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _check_plain(value: Any, where: str, depth: int) -> None:
    if depth == 0:
        raise InputError(f"{where}: expected at most {MAX_DEPTH} lists and objects in each other")
    if is_object(value):
        members = Fields(value, where)
        for name in members.names():
            _check_plain(members.value(name), f"{where}/{name}", depth - 1)
    elif is_list(value):
        for part in value:
            _check_plain(part, where, depth - 1)
    elif not (value is None or isinstance(value, int) or _is_text(value) or _is_finite(value)):
        raise InputError(f"{where}: expected texts, finite numbers, lists and objects, found {brief(value)}")


P = TypeVar("P")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LayerStatistics:
    """Statistics of one layer, or of the input: means over all images, for each of the T time steps.

    Attributes
    ----------
    neurons : int
        The number of neurons.
    events : numpy.ndarray
        Events in every step, ``(T,)``, not cumulative.
    spike_sum : numpy.ndarray
        Sum of ``|coefficient|`` in every step, ``(T,)``.
    synops : numpy.ndarray
        Synaptic operations *into* the layer in every step, ``(T,)``; zeros for the input.
    coefficients : mapping of int to float
        The number of spikes with each coefficient over all steps, without coefficient 0; empty for the input, whose
        spikes are intensities.
    """

    neurons: int
    events: NDArray[Any]
    spike_sum: NDArray[Any]
    synops: NDArray[Any]
    coefficients: Mapping[int, float]

    def __repr__(self) -> str:
        steps, events = counted(len(self.events), "time step"), float(self.events.sum())
        return f"<LayerStatistics: {counted(self.neurons, 'neuron')}, {steps}, {events:,.1f} events per image>"

    @classmethod
    def read(cls, fields: Fields, num_steps: int) -> Self:
        """The inverse of its part of `Comparison.to_dict`."""
        curves = {name: fields.curve(name, num_steps) for name in ("events", "spike_sum", "synops")}
        return cls(fields.count("neurons"), **curves, coefficients=fields.fields("coefficients").coefficients())


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Curve:
    """Accuracy and events of any network over time steps, ours or not.

    Attributes
    ----------
    title : str
        Its name in tables.
    accuracy : numpy.ndarray
        After every step, 0 .. 1.
    events : numpy.ndarray
        Mean events per image up to every step, excluding the input.
    """

    title: str
    accuracy: NDArray[Any]
    events: NDArray[Any]

    @property
    def num_steps(self) -> int:
        """Time steps per image."""
        return len(self.accuracy)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}: {brief(self.title)}, {counted(self.num_steps, 'time step')}, accuracy "
            f"{100 * self.accuracy[-1]:.2f} %, {self.events[-1]:,.1f} events per image>"
        )

    def first_step(self, accuracy: float) -> int | None:
        """The first step from which the accuracy is never below the given one; None if there is none."""
        below = np.flatnonzero(self.accuracy < accuracy)
        step = int(below[-1]) + 2 if len(below) else 1
        return step if step <= len(self.accuracy) else None


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Row(Curve):
    """One conversion in a comparison. Arrays have an element for every time step.

    Attributes
    ----------
    options : mapping
        How it was made: method, resolution, and further arguments of `convert` and `simulate`.
    summary : str
        Of the network.
    spike_sum : numpy.ndarray
        Mean sum of ``|coefficient|`` per image up to every step, excluding the input.
    synops : numpy.ndarray
        Mean synaptic operations per image up to every step, including those of the input's spikes.
    energy : numpy.ndarray
        Estimate (`lava_aug.experiments.energy`) per image up to every step, in nJ.
    layers : mapping of str to LayerStatistics
        By name, including ``"input"``, in the order of the network.
    exits : tuple of Exit
        The effect of early exit by the margin between the two largest logits; may be empty.
    overflows : int
        Potentials and coefficients that were clipped, over all images and steps.
    seconds : float
        Time of the simulation, summed over all parts.
    """

    options: Mapping[str, Any]
    summary: str
    spike_sum: NDArray[Any]
    synops: NDArray[Any]
    energy: NDArray[Any]
    layers: Mapping[str, LayerStatistics] = dataclasses.field(default_factory=dict[str, LayerStatistics])
    exits: tuple[Exit, ...] = ()
    overflows: int = 0
    seconds: float = 0.0

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """The inverse of its part of `Comparison.to_dict`."""
        accuracy = fields.curve("accuracy", high=1)
        curves = {name: fields.curve(name, len(accuracy)) for name in ("events", "spike_sum", "synops", "energy")}
        layers, exits = fields.fields("layers"), f"{fields.where}/exits"
        return cls(
            title=fields.text("title"),
            options=fields.fields("options").plain(),
            summary=fields.text("summary"),
            accuracy=accuracy,
            **curves,
            layers={name: LayerStatistics.read(layers.fields(name), len(accuracy)) for name in layers.names()},
            exits=tuple(Exit(*triple(point, exits)) for point in fields.items("exits")),
            overflows=fields.count("overflows"),
            seconds=fields.number("seconds"),
        )


def pareto_front(
    points: Iterable[P], cost: Callable[[P], tuple[float, float]], accuracy: Callable[[P], float]
) -> list[P]:
    """The points that no other beats in both accuracy and cost, cheapest first.

    Parameters
    ----------
    points : iterable
        The candidates.
    cost : callable
        Of a point: its cost, and a second cost as a tie-breaker.
    accuracy : callable
        Of a point.

    Examples
    --------
    >>> pareto_front([(5, 0.8), (9, 0.7), (7, 0.9)], cost=lambda p: (p[0], 0), accuracy=lambda p: p[1])
    [(5, 0.8), (7, 0.9)]
    """
    front: list[P] = []
    for point in sorted(points, key=lambda p: (cost(p)[0], -accuracy(p), cost(p)[1])):
        if not front or accuracy(point) > accuracy(front[-1]):
            front.append(point)
    return front
