"""Weights that lie on a grid already, as those of quantised models do: the integers are the model's own."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lava_aug.conversion.composition import along_channels, scale_rows
from lava_aug.conversion.quantize import MAX_SCALE
from lava_aug.core import fixed_point
from lava_aug.core.layers import Shape
from lava_aug.core.synapse import Weighted

OFF = 2e-3
"""How far from whole numbers, in steps of the grid, weights may be: float32 rounds scales and products of them."""


class OwnScale(NamedTuple):
    """What keeps a quantised layer's integers.

    Attributes
    ----------
    scale : int or numpy.ndarray
        The threshold; one, or one for each channel.
    synapse : Weighted
        The model's integers, times a power of two that makes thresholds, which are whole numbers, precise.
    """

    scale: Any
    synapse: Weighted


def own_scale(term: Weighted, wide: Shape, shape: Shape, bits: int, room: NDArray[Any]) -> OwnScale | None:
    """The scale at which weights are the model's own integers; None if they are on no grid that has room.

    Parameters
    ----------
    term : Weighted
        Weights in units of the layer's quantum, for spikes of shape ``wide``.
    wide, shape : tuple of int
        Of the spikes and of their sums.
    bits : int
        Width of a signed weight; all of its range is used.
    room : numpy.ndarray
        Largest scale of each channel.
    """
    steps = _steps(list(term.channel_rows(wide)), bits)
    if steps is None or not np.isfinite(steps).any():
        return None
    some = np.isfinite(steps)
    exponent = int(np.floor(np.log2(np.minimum(room, MAX_SCALE)[some] * steps[some]).min()))
    steps = np.where(some, steps, np.median(steps[some]))
    whole = scale_rows(term, along_channels(1 / steps, shape), wide)
    if exponent < 0 or not isinstance(whole, type(term)):
        return None
    scales = np.rint(2.0**exponent / steps).astype(np.int64)
    integers = np.rint(whole.weight.astype(np.float64)).astype(np.int64) << exponent
    scale = int(scales[0]) if len(set(scales.tolist())) == 1 else along_channels(scales, shape)
    return OwnScale(scale, whole.replace(weight=integers))


def own_unit(term: Weighted, wide: Shape, bits: int) -> float | None:
    """The one step of a grid that all weights lie on; None if there is none."""
    return grid(np.concatenate([np.ravel(row) for row in term.channel_rows(wide)]), bits)


def _steps(rows: list[NDArray[Any]], bits: int) -> NDArray[Any] | None:
    """The step of each channel's grid, the same for all if one does; infinite for channels without weights."""
    common = grid(np.concatenate([np.ravel(row) for row in rows]), bits)
    steps = [common if common is not None else grid(np.ravel(row), bits) for row in rows]
    found = np.array([np.nan if step is None else step for step in steps])
    return None if np.isnan(found).any() else np.where([row.any() for row in rows], found, np.inf)


def grid(weights: NDArray[Any], bits: int) -> float | None:
    """The largest step of which weights are whole multiples that fit their bits; None if there is none.

    Examples
    --------
    >>> grid(np.array([0.75, -0.5, 0.0]), bits=8)
    0.25
    """
    weights = np.unique(weights.astype(np.float64))
    largest = np.abs(weights).max(initial=0.0)
    if not largest:
        return float("inf")
    low, high = fixed_point.signed_range(bits)
    for count in range(1, -low + 1):
        step = largest / count
        whole = np.rint(weights / step)
        if np.abs(weights / step - whole).max() < OFF and low <= whole.min() and whole.max() <= high:
            chosen = whole != 0
            return float(np.abs(weights[chosen]).sum() / np.abs(whole[chosen]).sum())
    return None
