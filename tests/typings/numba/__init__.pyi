from collections.abc import Callable, Set
from typing import ParamSpec, TypeVar

from numba import types as types

_P = ParamSpec("_P")
_R = TypeVar("_R")

def njit(
    *, nogil: bool = False, cache: bool = False, error_model: str = "python", fastmath: bool | Set[str] = False
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...
