"""What all Processes share."""

from typing import Any

from lava.magma.core.process.process import AbstractProcess

from lava_aug.core.errors import SpecError
from lava_aug.core.spec import is_int


class Process(AbstractProcess):
    """A Lava Process whose constructor may refuse its arguments."""

    _runtime: Any = None  # Lava's destructor asks for it, even if the constructor never came to set it


def checked_shape(process: Process, shape: Any) -> tuple[int, ...]:
    """A shape as Lava takes it; SpecError if it is none."""
    sizes: tuple[Any, ...] = tuple(shape) if isinstance(shape, (tuple, list)) else ()
    if not sizes or not all(is_int(size) and size >= 1 for size in sizes):
        raise SpecError(
            f"{type(process).__name__}.shape: expected a tuple of positive integers, such as (3,), found {shape!r}"
        )
    return tuple(map(int, sizes))


def check_fixed(what: str, is_float: bool) -> None:
    """Refuse floats in a fixed-point model: Lava would cut them to integers without a word."""
    if is_float:
        raise SpecError(f"{what} is floating-point; run it with Loihi2SimCfg(select_tag='floating_pt')")
