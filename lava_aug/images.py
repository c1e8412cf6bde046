"""What users hand in as images: checked, and turned into input payloads."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lava_aug.errors import InputError
from lava_aug.network import INPUT_LEVELS, POSSIBLE_STEPS, Network, is_steps
from lava_aug.texts import brief

Progress = Callable[[int, int], None]
"""Called with the number of finished images and of all images."""

NUM_RANDOM = 4
"""Random images unless told otherwise."""


def as_numpy(values: Any, where: str) -> np.ndarray:
    """A numpy array of numbers from an array, a torch tensor or nested lists."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    try:
        found = np.asarray(values)
    except ValueError as error:
        raise InputError(f"{where}: expected an array or tensor: {error}") from error
    return found


def check_range(found: np.ndarray, where: str) -> None:
    """Images are uint8, or floating point in [0, 1] without NaN."""
    if found.dtype == np.uint8:
        return
    if found.dtype.kind != "f":
        raise InputError(f"{where}: expected uint8 or floating point in [0, 1], found {found.dtype}")
    if not np.isfinite(found).all():
        raise InputError(f"{where}: found NaN or infinite values; images must be finite")
    if found.size and (found.min() < 0 or found.max() > 1):
        raise InputError(
            f"{where}: floating-point images must be in [0, 1], found {found.min():g} to {found.max():g}; "
            "divide by the largest intensity (undo any normalisation)"
        )


def payloads(net: Network, images: Any) -> np.ndarray:
    """Input payloads of a network for images.

    Parameters
    ----------
    net : Network
        The network that will see them.
    images : array or tensor, shape (B, *net.input_shape)
        uint8, or floating point in [0, 1].

    Returns
    -------
    numpy.ndarray
        uint8 of the same shape; floating-point images are rounded to the nearest of 255 levels. For floating-point
        networks float32, ``255 * intensity`` without rounding.

    Raises
    ------
    InputError
        If type, shape or range is wrong.
    """
    found = as_numpy(images, "images")
    if found.shape[1:] != net.input_shape or found.ndim == 0:
        raise InputError(f"images: expected shape (B, {', '.join(map(str, net.input_shape))}), found {found.shape}")
    if not len(found):
        raise InputError("images: expected at least one image, found none")
    check_range(found, "images")
    if net.is_float:
        return found.astype(np.float32) * (1 if found.dtype == np.uint8 else INPUT_LEVELS)
    return found if found.dtype == np.uint8 else np.rint(found * INPUT_LEVELS).astype(np.uint8)


def check_num_steps(net: Network, num_steps: int | None) -> int:
    """Time steps per image: the network's own unless given."""
    if num_steps is None:
        return net.num_steps
    if not is_steps(num_steps):
        raise InputError(f"num_steps: expected {POSSIBLE_STEPS}, found {brief(num_steps)}")
    return int(num_steps)


def check_record(net: Network, record: Any) -> tuple[str, ...]:
    """Names of the layers whose spikes are kept: True for all, or an iterable of names."""
    known = [name for name in net.shapes if name != net.readout.name]
    if isinstance(record, bool):
        return tuple(known) if record else ()
    names = (record,) if isinstance(record, str) else tuple(record)
    for name in names:
        if name not in known:
            raise InputError(f"record: no spikes of {name!r}; there are {known}")
    return names


def random_images(net: Network, num_images: int = NUM_RANDOM, seed: int = 0) -> np.ndarray:
    """Random uint8 images, and behind them the extremes: one all 0, one all 255.

    Parameters
    ----------
    net : Network
        The network that will see them.
    num_images : int
        How many random ones, at least 0.
    seed : int
        The same seed gives the same images.

    Returns
    -------
    numpy.ndarray
        uint8, ``(num_images + 2, *net.input_shape)``.

    Raises
    ------
    InputError
        If a number is negative or no integer.
    """
    for name, value in (("num_images", num_images), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise InputError(f"{name}: expected an integer of at least 0, found {value!r}")
    shape = net.input_shape
    drawn = np.random.default_rng(seed).integers(0, INPUT_LEVELS + 1, (num_images, *shape), np.uint8)
    return np.concatenate([drawn, np.zeros((1, *shape), np.uint8), np.full((1, *shape), INPUT_LEVELS, np.uint8)])
