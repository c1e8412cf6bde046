"""Functions of one value that round: the steps of a quantised activation, found by what the function gives."""

from collections.abc import Callable
from typing import NamedTuple

import torch

Function = Callable[[torch.Tensor], torch.Tensor]

MOST_LEVELS = (1 << 15) - 1
"""Largest number of steps: what payloads carry."""

FAR, HALVINGS, NEAR = 1e6, 200, 0.02
"""How far outside of the example a function has ended; bisections; how near a step its place is checked, in steps."""


class Stairs(NamedTuple):
    """``low + height * clamp(floor((x - start) / width) + 1, 0, levels)``.

    Attributes
    ----------
    start, width : float
        Where the first step is, and how far apart they are.
    low, height : float
        The smallest value, and how high a step is.
    levels : int
        Number of steps.
    """

    start: float
    width: float
    low: float
    height: float
    levels: int

    @property
    def gain(self) -> float:
        """Height by width, 1 for what only rounds."""
        ratio = self.height / self.width
        return 1.0 if abs(ratio - 1) < 1e-5 else ratio

    @property
    def shift(self) -> float:
        """``floor((gain * x + shift) / height + 1/2)`` is the number of steps below ``x``."""
        shift = self.height / 2 - self.start * self.gain
        return 0.0 if abs(shift) < 1e-5 * self.height else shift


def stairs(function: Function, largest: float) -> Stairs | None:
    """The steps of a function that grows from one value to another in equal ones; None if it is another function.

    Parameters
    ----------
    function : callable
        From float64 tensors to tensors of the same shape.
    largest : float
        Largest magnitude of its argument on the example.
    """
    far = FAR * max(largest, 1e-3)
    low, high = _at(function, -far), _at(function, far)
    if not low < high < float("inf") or low == -float("inf"):
        return None
    slack = 1e-9 * (high - low)  # what float64 makes of round(x) - x + x
    start = _boundary(function, low + slack, far)
    end = _boundary(function, high - slack, far)
    just_above = start + max(1e-9 * far / FAR, 1e-7 * (end - start))
    height = _at(function, just_above) - low
    if height <= 0:
        return None
    levels = round((high - low) / height)
    if not 1 <= levels <= MOST_LEVELS:
        return None
    height = (high - low) / levels
    found = Stairs(start, height if levels == 1 else (end - start) / (levels - 1), low, height, levels)
    return found if _fits(function, found) else None


def _at(function: Function, x: float) -> float:
    return float(function(torch.tensor([x], dtype=torch.float64))[0])


def _boundary(function: Function, value: float, far: float) -> float:
    """Where a growing function exceeds a value."""
    below, above = -far, far
    for _ in range(HALVINGS):
        middle = (below + above) / 2
        below, above = (middle, above) if _at(function, middle) <= value else (below, middle)
    return above


def _fits(function: Function, found: Stairs) -> bool:
    """Whether the function is on each step, near both of its ends, what it should be."""
    steps = torch.arange(found.levels + 1, dtype=torch.float64)
    wanted = found.low + found.height * steps
    places = [found.start + found.width * (steps - part) for part in (NEAR, 0.5, 1 - NEAR)]
    return all(bool(((function(x) - wanted).abs() < 1e-4 * found.height).all()) for x in places)
