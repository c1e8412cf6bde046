"""Validated access to the values of comparisons' JSON: whatever a file holds, errors say where and what."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import InputError
from lava_aug.core.texts import brief

MOST = 1e30
"""Largest number: sums of such, and what figures make of them, are finite."""

MOST_SPIKES = float(1 << 31)
"""Largest number in a raster."""

LARGEST_COEFFICIENT = 1 << 24
"""Of a spike, whose payload has at most 24 bits."""

MAX_DEPTH = 16
"""Of lists and objects in each other."""


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
        if not isinstance(members, Mapping) or not all(isinstance(name, str) for name in members):
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
        rows = [row for row in self.items(name) if isinstance(row, list) and row]
        if not rows or len(rows) < len(self.items(name)) or len({len(row) for row in rows}) > 1:
            raise InputError(f"{self._at(name)}: expected lists of numbers, of the same length")
        return np.array([[_number(value, self._at(name), -MOST_SPIKES, MOST_SPIKES) for value in row] for row in rows])

    def items(self, name: str) -> list[Any]:
        """A list."""
        value = self.value(name)
        if not isinstance(value, (list, tuple)):
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
        counts = {}
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
    values = list(value) if isinstance(value, (list, tuple)) else []
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
    if isinstance(value, Mapping):
        members = Fields(value, where)
        for name in members.names():
            _check_plain(members.value(name), f"{where}/{name}", depth - 1)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _check_plain(part, where, depth - 1)
    elif not (value is None or isinstance(value, int) or _is_text(value) or _is_finite(value)):
        raise InputError(f"{where}: expected texts, finite numbers, lists and objects, found {brief(value)}")
