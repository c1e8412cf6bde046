"""Input images: validation, and conversion to input payloads."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import InputError
from lava_aug.core.fixed_point import is_iterable
from lava_aug.core.network import INPUT_LEVELS, POSSIBLE_STEPS, Network, is_steps
from lava_aug.core.spec import is_int
from lava_aug.core.streams import Images, Stream, joined_labels
from lava_aug.core.texts import brief

Progress = Callable[[int, int], None]
"""Called with the number of finished images and of all images."""

WHOLE = 1 << 62
"""Images in a batch, if all are to be in one."""

NUM_RANDOM = 4
"""Random images unless told otherwise."""


def check_range(images: NDArray[Any], where: str) -> None:
    """Images are uint8, or floating point in [0, 1] without NaN."""
    if images.dtype == np.uint8:
        return
    if images.dtype.kind != "f":
        raise InputError(f"{where}: expected uint8 or floating point in [0, 1], found {images.dtype}")
    low, high = (images.min(), images.max()) if images.size else (0.0, 0.0)  # no copies: they may be larger than memory
    if not np.isfinite([low, high]).all():
        raise InputError(f"{where}: found NaN or infinite values; images must be finite")
    if low < 0 or high > 1:
        raise InputError(
            f"{where}: floating-point images must be in [0, 1], found {low:g} to {high:g}; divide by the largest "
            "intensity; for a model of normalised images pass raw ones, and use convert(normalize=(mean, std))"
        )


def check_network(net: Any) -> None:
    """InputError if something is no network."""
    if not isinstance(net, Network):
        raise InputError(f"net: expected a Network, as convert and load return it, found {type(net).__name__}")


def unlike(wanted: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """What is wrong with the shape of some images, and what to do about the usual mistakes."""
    cures = {
        (*wanted[1:], wanted[0]): "; channels come first: images.transpose(0, 3, 1, 2)",
        wanted[1:]: "; the channel axis is missing: images[:, None]",
    }
    cure = cures.get(shape[1:], "") if len(wanted) == 3 else ""
    cure = "; a single image is a batch of one: images[None]" if shape == wanted else cure
    return f"expected shape (B, {', '.join(map(str, wanted))}), found {shape}{cure}"


class Payloads:
    """Input payloads that are made of images when they are asked for: what is shown may be larger than the memory.

    Parameters
    ----------
    net : Network
        The network that will see them.
    images : Images
        Of shape ``net.input_shape``, uint8, or floating point in [0, 1].

    Raises
    ------
    InputError
        If type, shape or range is wrong; where images are read batch by batch, once they are.

    Attributes
    ----------
    count : int
        Images that `batches` has read.
    """

    def __init__(self, net: Network, images: Images) -> None:
        check_network(net)
        self._net, self._stream = net, Stream(images, "images", len(net.input_shape), net.inputs)
        if self._stream.whole is not None:
            self._check(self._stream.whole.images)
        self.count = 0
        self._labels: list[NDArray[Any] | None] = []

    def _check(self, images: NDArray[Any]) -> None:
        if images.shape[1:] != self._net.input_shape or images.ndim == 0:
            raise InputError(f"images: {unlike(self._net.input_shape, images.shape)}")
        if not len(images):
            raise InputError("images: expected at least one image, found none")
        check_range(images, "images")

    @property
    def labels(self) -> NDArray[Any] | None:
        """Labels of the images that `batches` has read, if all of them came with one."""
        return joined_labels(self._labels)

    def batches(self, size: int, progress: Progress | None = None) -> Iterator[NDArray[Any]]:
        """Successive payloads of ``size`` images, the last ones of fewer; reports progress once a batch is done.

        If it is not known how many images there will be, all are said to be those so far.
        """
        check_callable("progress", progress)
        self.count, self._labels = 0, []
        for images, labels in self._stream.batches(size):
            if self._stream.whole is None:
                self._check(images)
            self.count += len(images)
            self._labels.append(labels)
            yield self._payloads(images)
            if progress is not None:
                progress(self.count, max(self.count, self._stream.count or 0))
        if not self.count:
            raise InputError("images: expected at least one image, found none")

    def all(self) -> NDArray[Any]:
        """All payloads at once."""
        parts = list(self.batches(WHOLE))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _payloads(self, images: NDArray[Any]) -> NDArray[Any]:
        """uint8, as they are or ``round(255 * x)``, or float32 for floating-point networks.

        The product is one of float64, whatever the format of ``x``, so it is exact for all shorter ones.
        """
        if self._net.is_float:
            return images.astype(np.float32) * (1 if images.dtype == np.uint8 else INPUT_LEVELS)
        return (
            images if images.dtype == np.uint8 else np.rint(images.astype(np.float64) * INPUT_LEVELS).astype(np.uint8)
        )


def payloads(net: Network, images: Images) -> NDArray[Any]:
    """Input payloads of a network for images, all of them: uint8, or float32; parameters and errors as `Payloads`."""
    return Payloads(net, images).all()


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
    if isinstance(record, (bool, np.bool_)):
        return tuple(known) if record else ()
    if not is_iterable(record):
        raise InputError(f"record: expected True, False, or names of layers, found {record!r}")
    names = (record,) if isinstance(record, str) else tuple(record)
    for name in names:
        if name not in known:
            raise InputError(f"record: no spikes of {name!r}; there are {known}")
    return names


def check_callable(name: str, value: Any) -> None:
    """InputError if something is neither None nor can be called."""
    if value is not None and not callable(value):
        raise InputError(f"{name}: expected a function, or None, found {value!r}")


def random_images(net: Network, num_images: int = NUM_RANDOM, seed: int = 0) -> NDArray[Any]:
    """Random uint8 images, followed by the extremes: one all 0, one all 255.

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
        if not is_int(value) or value < 0:
            raise InputError(f"{name}: expected an integer of at least 0, found {value!r}")
    shape = net.input_shape
    generator = cast(Any, np.random.default_rng(seed))  # numpy leaves its types open
    drawn = generator.integers(0, INPUT_LEVELS + 1, (num_images, *shape), np.uint8)
    return np.concatenate([drawn, np.zeros((1, *shape), np.uint8), np.full((1, *shape), INPUT_LEVELS, np.uint8)])
