"""A source that presents images one after the other."""

from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import LogConfig
from lava.magma.core.process.variable import Var
from numpy.typing import NDArray

from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import PORT_BITS, signed_range
from lava_aug.processes.base import Process


class ImageSource(Process):
    """Sends each image as graded spikes for ``num_steps`` time steps, then the next; after the last, zeros.

    Parameters
    ----------
    images : array, shape (num_images, *shape)
        Payloads; integers up to 32 bits, or floats for floating-point networks.
    num_steps : int
        Time steps per image.
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging configuration.

    Attributes
    ----------
    s_out : OutPort
        The image's payloads, ``shape``.
    index : Var
        Index of the image that is presented; ``num_images`` after the last.

    Raises
    ------
    SpecError
        If there is no image, a payload does not fit into 32 bits, or ``num_steps`` is not positive.
    """

    def __init__(
        self, *, images: Any, num_steps: int, name: str | None = None, log_config: LogConfig | None = None
    ) -> None:
        images = np.asarray(images)
        _check(images, num_steps)
        super().__init__(images=images, num_steps=num_steps, name=name, log_config=log_config)
        self.s_out = OutPort(shape=images.shape[1:])
        self.index = Var(shape=(1,), init=0)


def _check(images: NDArray[Any], num_steps: Any) -> None:
    if images.ndim < 2 or not images.size or images.dtype.kind not in "iuf":
        raise SpecError(
            f"ImageSource: expected numbers of shape (num_images, *shape), found {images.dtype} {images.shape}"
        )
    low, high = signed_range(PORT_BITS)
    smallest, largest = images.min(), images.max()
    if images.dtype.kind != "f" and (smallest < low or largest > high):
        raise SpecError(f"ImageSource: expected payloads from {low} to {high}, found {smallest} to {largest}")
    if not isinstance(num_steps, int) or num_steps < 1:
        raise SpecError(f"ImageSource: num_steps must be an integer of at least 1, found {num_steps!r}")
