"""The options of `simulate`: number of steps, presentation of images, early exit, and what is recorded."""

import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import InputError
from lava_aug.core.images import check_num_steps, check_record
from lava_aug.core.network import Network
from lava_aug.core.results import check_one_head
from lava_aug.core.spec import is_int, is_number
from lava_aug.core.texts import brief

Presentation = Literal["constant", "first"]
"""How images come in: in every step alike, or ``num_steps`` times as strong in the first step, and then nothing."""

Counts = Literal["image", "sum"]
"""Whether counts are kept for each image, or summed over the images."""


class Course(NamedTuple):
    """What becomes of a batch: steps, layers to record, how images are presented, what ends them, and what is kept."""

    num_steps: int
    record: tuple[str, ...] = ()
    presentation: Presentation = "constant"
    stop_when: float | None = None
    summed: bool = False
    read_after: NDArray[Any] | None = None


def checked_course(
    net: Network,
    num_steps: int | None = None,
    record: bool | str | Iterable[str] = False,
    *,
    presentation: Any = "constant",
    stop_when: Any = None,
    counts: Any = "image",
    readouts: Any = "all",
) -> Course:
    """The course for what `simulate` was given; InputError if that is not usable."""
    steps = check_num_steps(net, num_steps)
    return Course(
        steps,
        check_record(net, record),
        _check_choice("presentation", presentation, Presentation),
        _check_margin(net, stop_when),
        _check_choice("counts", counts, Counts) == "sum",
        _check_readouts(readouts, steps),
    )


def _check_choice(name: str, value: Any, choices: Any) -> Any:
    if value not in get_args(choices):
        raise InputError(f"{name}: expected one of {', '.join(get_args(choices))}, found {value!r}")
    return value


def _check_readouts(readouts: Any, num_steps: int) -> NDArray[Any] | None:
    """The steps after which readouts are kept; None for all."""
    if isinstance(readouts, str) and readouts in ("all", "last"):
        return {"all": None, "last": np.array([num_steps])}[readouts]
    steps: list[Any] = list(readouts) if isinstance(readouts, Iterable) and not isinstance(readouts, str) else []
    if not steps or not all(is_int(step) and 1 <= step <= num_steps for step in steps) or steps != sorted(set(steps)):
        raise InputError(
            f"readouts: expected 'all', 'last', or ascending steps from 1 to {num_steps}, found {brief(readouts)}"
        )
    return np.array(steps)


def _check_margin(net: Network, margin: Any) -> float | None:
    if margin is None:
        return None
    check_one_head(net)
    if not is_number(margin) or margin <= 0:
        raise InputError(f"stop_when: expected a positive number, found {margin!r}")
    classes, *rest = net.shapes[net.readout.name]
    if classes < 2 or math.prod(rest) > 1:
        raise InputError(f"stop_when: expected a readout of two classes or more, found shape {(classes, *rest)}")
    return float(margin)
