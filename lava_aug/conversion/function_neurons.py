"""Neurons whose table stands for a function of a model, over the inputs that calibration images gave it."""

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from lava_aug.conversion.signals import Pointwise
from lava_aug.core.errors import ConversionError, SpecError
from lava_aug.core.function_tables import function_table
from lava_aug.core.functions import FunctionNeuron

SEGMENTS = (256, 1024, 4096, 16384)
"""Numbers of lines that the table of a function may have."""

BEYOND = 0.25
"""How much more than the inputs' range on calibration images the table of a function covers on either side."""


def table_of(
    function: Pointwise, vth: Any, unit: float, quantum: float, inputs: tuple[float, float], message_bits: int
) -> FunctionNeuron:
    """For the inputs of calibration images, and a part of their range more where the function is defined there."""
    low, high = inputs
    more = BEYOND * max(high - low, unit)
    options: dict[str, Any] = {"quantum_in": unit, "quantum_out": quantum, "name": function.name}
    options["message_bits"] = message_bits

    def values(x: NDArray[Any]) -> NDArray[Any]:
        return function.apply(torch.as_tensor(x)).numpy()

    for bounds in ((low - more, high + more), (low, high + more), (low - more, high), (low, max(high, low + unit))):
        try:
            return _fine_table(values, vth, bounds, quantum, options)
        except SpecError as error:
            failed = error
    raise ConversionError(f"{function.name}: {failed}")


def _fine_table(
    values: Callable[[NDArray[Any]], NDArray[Any]], vth: Any, bounds: tuple[float, float], quantum: float, options: Any
) -> FunctionNeuron:
    """With as many lines as it takes to be much nearer than a quantum, up to the last of `SEGMENTS`."""
    made = None
    for segments in SEGMENTS:
        made = function_table(values, vth, low=bounds[0], high=bounds[1], segments=segments, **options)
        if made.lasting <= quantum / 8:
            break
    assert made is not None  # since there are numbers of segments
    return made.neuron
