"""Input images: validation, and conversion to input payloads."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import InputError
from lava_aug.core.network import INPUT_LEVELS, POSSIBLE_STEPS, Network, is_steps
from lava_aug.core.texts import brief, counted

Progress = Callable[[int, int], None]
"""Called with the number of finished images and of all images."""

PLAIN = (bool, int, float, complex, str, np.generic)
"""What numpy makes an array of by itself, from lists of lists."""

DEEPEST = 64
"""Most axes of an array in numpy."""

NUM_RANDOM = 4
"""Random images unless told otherwise."""


def as_numpy(values: Any, where: str) -> NDArray[Any]:
    """A numpy array of numbers from an array, a torch tensor, a PIL image, or lists of these or of numbers.

    Whatever is not the array itself becomes one with the same values: sparse tensors are filled with zeros, bfloat16
    becomes float32, PIL images of mode L or RGB become ``(C, H, W)``. Strides are positive, bytes in the usual order.

    Raises
    ------
    InputError
        If that cannot be, or values are masked.
    """
    try:
        found = _array(values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except Exception as error:  # it depends on where they come from
        raise InputError(f"{where}: expected an array or tensor: {error}") from error
    if found.dtype.kind == "O":
        raise InputError(f"{where}: expected an array, a tensor or a list of them, found {_kind(values)}")
    found = found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))
    return found if min(found.strides, default=0) >= 0 else np.ascontiguousarray(found)


def _kind(values: Any) -> str:
    return f"{type(values).__name__} of objects" if hasattr(values, "dtype") else type(values).__name__


def _array(values: Any) -> NDArray[Any]:
    if hasattr(values, "detach"):
        return _of_tensor(values)
    if hasattr(values, "getbands"):
        return _of_picture(values)
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise InputError(f"expected numbers, found {counted(np.ma.count_masked(values), 'masked value')}; fill them")
    if isinstance(values, (list, tuple)) and not isinstance(_first(values), PLAIN):
        return _stacked([_array(value) for value in values])
    return np.asarray(values)


def _first(values: Any) -> Any:
    """The first element that is no list, or 0."""
    for _ in range(DEEPEST):
        if not isinstance(values, (list, tuple)):
            return values
        values = values[0] if values else 0
    return 0


def _stacked(parts: list[NDArray[Any]]) -> NDArray[Any]:
    types = sorted({str(part.dtype) for part in parts})
    if len(types) > 1:
        raise InputError(f"expected a list of arrays of one type, found {' and '.join(types)}")
    return np.stack(parts)


def _of_tensor(tensor: Any) -> NDArray[Any]:
    import torch

    found = tensor.detach()
    found = found if found.layout == torch.strided else found.to_dense()
    if found.is_floating_point() and found.dtype not in (torch.float16, torch.float32, torch.float64):
        found = found.to(torch.float32)  # of formats that numpy does not have, all of which it holds
    return found.cpu().resolve_conj().resolve_neg().numpy()


def _of_picture(image: Any) -> NDArray[Any]:
    if image.mode not in ("L", "RGB"):
        raise InputError(f"expected PIL images of mode 'L' or 'RGB', found {image.mode!r}; use convert('RGB') on it")
    found = np.asarray(image)
    return found[None] if found.ndim == 2 else found.transpose(2, 0, 1)


def check_range(found: NDArray[Any], where: str) -> None:
    """Images are uint8, or floating point in [0, 1] without NaN."""
    if found.dtype == np.uint8:
        return
    if found.dtype.kind != "f":
        raise InputError(f"{where}: expected uint8 or floating point in [0, 1], found {found.dtype}")
    low, high = (found.min(), found.max()) if found.size else (0.0, 0.0)  # no copies: they may be larger than memory
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


def _unlike(wanted: tuple[int, ...], found: tuple[int, ...]) -> str:
    """What is wrong with the shape of some images, and what to do about the usual mistakes."""
    cures = {
        (*wanted[1:], wanted[0]): "; channels come first: images.transpose(0, 3, 1, 2)",
        wanted[1:]: "; the channel axis is missing: images[:, None]",
    }
    cure = cures.get(found[1:], "") if len(wanted) == 3 else ""
    cure = "; a single image is a batch of one: images[None]" if found == wanted else cure
    return f"expected shape (B, {', '.join(map(str, wanted))}), found {found}{cure}"


class Payloads:
    """Input payloads that are made of images when they are asked for: what is shown may be larger than the memory.

    Parameters
    ----------
    net : Network
        The network that will see them.
    images : array, tensor, or list of them, shape (B, *net.input_shape)
        uint8, or floating point in [0, 1].

    Raises
    ------
    InputError
        If type, shape or range is wrong.
    """

    def __init__(self, net: Network, images: Any) -> None:
        check_network(net)
        found = as_numpy(images, "images")
        if found.shape[1:] != net.input_shape or found.ndim == 0:
            raise InputError(f"images: {_unlike(net.input_shape, found.shape)}")
        if not len(found):
            raise InputError("images: expected at least one image, found none")
        check_range(found, "images")
        self._images, self._is_float = found, net.is_float

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """For some images: uint8, as they are or ``round(255 * x)``, or float32 for floating-point networks.

        The product is one of float64, whatever the format of ``x``, so it is exact for all shorter ones.
        """
        found = self._images[rows]
        if self._is_float:
            return found.astype(np.float32) * (1 if found.dtype == np.uint8 else INPUT_LEVELS)
        return found if found.dtype == np.uint8 else np.rint(found.astype(np.float64) * INPUT_LEVELS).astype(np.uint8)


def payloads(net: Network, images: Any) -> NDArray[Any]:
    """Input payloads of a network for images, all of them: uint8, or float32; parameters and errors as `Payloads`."""
    return Payloads(net, images)[:]


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
    if not isinstance(record, Iterable):
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
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise InputError(f"{name}: expected an integer of at least 0, found {value!r}")
    shape = net.input_shape
    drawn = np.random.default_rng(seed).integers(0, INPUT_LEVELS + 1, (num_images, *shape), np.uint8)
    return np.concatenate([drawn, np.zeros((1, *shape), np.uint8), np.full((1, *shape), INPUT_LEVELS, np.uint8)])
