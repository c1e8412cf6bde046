"""What all Processes share."""

from typing import Any

from lava.magma.core.process.process import AbstractProcess

from lava_aug.errors import SpecError


class Process(AbstractProcess):
    """A Lava Process whose constructor may refuse its arguments."""

    _runtime: Any = None  # Lava's destructor asks for it, even if the constructor never came to set it


def check_fixed(what: str, is_float: bool) -> None:
    """Refuse floats in a fixed-point model: Lava would cut them to integers without a word."""
    if is_float:
        raise SpecError(f"{what} is floating-point; run it with Loihi2SimCfg(select_tag='floating_pt')")
