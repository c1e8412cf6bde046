"""`Trace`: what a Process did, step by step; and comparing two of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Trace(Mapping[str, NDArray[Any]]):
    """What every probed port sent in each time step, and the value of every probed Var after it.

    A mapping of names to arrays ``(num_steps, *shape)``, integers as int64, floats as float64. Names that are
    identifiers are attributes as well: ``trace["s_out"]`` is ``trace.s_out``.

    Parameters
    ----------
    arrays : mapping of str to array, shape (num_steps, *shape)
        By the name of a port or Var.
    """

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self._arrays = {name: np.asarray(values) for name, values in arrays.items()}

    @property
    def num_steps(self) -> int:
        """Time steps; 0 if nothing was probed."""
        return max((len(values) for values in self._arrays.values()), default=0)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            raise KeyError(f"no {name!r} in this trace; it has {list(self._arrays)}")
        return self._arrays[name]

    def __getattr__(self, name: str) -> NDArray[Any]:
        if name.startswith("_") or name not in self._arrays:
            raise AttributeError(f"no {name!r} in this trace; it has {list(self.__dict__.get('_arrays', ()))}")
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {values.dtype}{list(values.shape)}" for name, values in self._arrays.items())
        return f"Trace({parts})"


def assert_traces_equal(
    found: Mapping[str, Any],
    expected: Mapping[str, Any],
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    names: tuple[str, str] = ("found", "expected"),
) -> None:
    """Compare two traces; the error names the first time step, port and element in which they differ.

    Parameters
    ----------
    found, expected : Trace, or mapping of str to array, shape (num_steps, *shape)
        Everything in ``expected`` must be in ``found``; anything else in ``found`` is ignored.
    rtol, atol : float
        Allowed: ``|found - expected| <= atol + rtol * |expected|``. NaN equals NaN.
    names : (str, str)
        Names of the two in the message.

    Raises
    ------
    AssertionError
        If something is missing, a shape differs, or a value does.

    Examples
    --------
    >>> assert_traces_equal({"v": [[1, 2], [3, 4]]}, {"v": [[1, 2], [3, 5]]})
    Traceback (most recent call last):
        ...
    AssertionError: v differs first in step 1, element (1,): found 4, expected 5 (1 of 4 values differ)
    """
    first: tuple[int, int, str] | None = None
    for order, name in enumerate(expected):
        if name not in found:
            raise AssertionError(f"{names[0]} has no {name!r}, only {list(found)}")
        one, other = np.asarray(found[name]), np.asarray(expected[name])
        if one.shape != other.shape:
            raise AssertionError(f"{name}: {names[0]} has shape {one.shape}, {names[1]} {other.shape}")
        differing = ~np.isclose(one, other, rtol, atol, equal_nan=True) if rtol or atol else _unequal(one, other)
        if differing.any():
            where = tuple(int(i) for i in np.argwhere(differing)[0])
            if first is None or where[0] < first[0]:
                values = f"{names[0]} {one[where]}, {names[1]} {other[where]}"
                count = f"{np.count_nonzero(differing):,} of {differing.size:,} values differ"
                element = f", element {where[1:]}" if where[1:] else ""
                first = (where[0], order, f"{name} differs first in step {where[0]}{element}: {values} ({count})")
    if first is not None:
        raise AssertionError(first[2])


def _unequal(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Exact, for integers beyond 2**53 too."""
    both_nan = (one != one) & (other != other)
    return (one != other) & ~both_nan
