from typing import Any, Literal

from numpy.typing import ArrayLike, NDArray

def qr(
    a: ArrayLike, *, mode: Literal["economic"], pivoting: Literal[True]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]: ...
