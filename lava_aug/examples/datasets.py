"""Image data sets from disk, read with torchvision; nothing is downloaded."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import InputError

HELD_OUT = {"MNIST": 500, "FashionMNIST": 500, "CIFAR10": 100}
"""Training images of every class, the last ones, that no network in the zoo has learned from."""


class Images(NamedTuple):
    """uint8 images ``(N, C, H, W)`` and int64 labels ``(N,)``."""

    images: NDArray[Any]
    labels: NDArray[Any]


def load_images(name: str, root: str | Path, train: bool = False) -> Images:
    """Load a data set from a folder.

    Parameters
    ----------
    name : str
        "MNIST", "FashionMNIST" or "CIFAR10".
    root : str or Path
        torchvision's ``root``: the folder that contains ``MNIST/raw``, ``FashionMNIST/raw`` or ``cifar-10-batches-py``.
        For CIFAR-10 also a folder of images in ``train/<class>`` and ``test/<class>``, or one that holds such a folder
        under the name ``CIFAR10``.
    train : bool
        Training or test images.

    Returns
    -------
    Images
        In the order of the files.

    Raises
    ------
    InputError
        If the data set is unknown or not found, or torchvision is not installed.
    """
    if name not in LOADERS:
        raise InputError(f"data set {name!r}: expected one of {', '.join(LOADERS)}")
    try:
        import torchvision  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise InputError(
            f"data set {name!r}: torchvision, which reads it, is not installed; pip install lava-aug[data]"
        ) from error
    return LOADERS[name](name, Path(root), train)


def split(data: Images, per_class: int) -> tuple[Images, Images]:
    """A data set without the last images of every class, and these.

    The first part is for training, the second for validation. Files may be in any order, even sorted by class; hence a
    number of images per class and not in total.
    """
    chosen = np.zeros(len(data.labels), dtype=bool)
    for label in np.unique(data.labels):
        chosen[np.flatnonzero(data.labels == label)[-per_class:]] = True
    return Images(data.images[~chosen], data.labels[~chosen]), Images(data.images[chosen], data.labels[chosen])


def _mnist(name: str, root: Path, train: bool) -> Images:
    from torchvision import datasets

    try:
        data = getattr(datasets, name)(str(root), train=train, download=False)
    except Exception as error:  # torchvision raises nearly everything on damaged files
        if "not found" in str(error):
            raise _missing(name, root, f"the four unpacked idx files in {str(root / name / 'raw')!r}") from error
        raise _broken(name, root, f"{type(error).__name__} {error}") from error
    return _paired(name, root, data.data.unsqueeze(1).numpy(), data.targets.numpy())


def _cifar10(name: str, root: Path, train: bool) -> Images:
    from torchvision import datasets

    part = "train" if train else "test"
    for folder in (root / part, root / name / part):
        if os.path.isdir(folder):  # noqa: PTH112 - Path raises what it cannot tell
            return _folder(folder)
    try:
        data: Any = datasets.CIFAR10(str(root), train=train, download=False)
    except Exception as error:
        if "not found" in str(error):
            where = f"{str(root / 'cifar-10-batches-py')!r}, or images in {str(root / part / '<class>')!r}"
            raise _missing(name, root, where) from error
        raise _broken(name, root, f"{type(error).__name__} {error}") from error
    return _paired(name, root, np.ascontiguousarray(data.data.transpose(0, 3, 1, 2)), np.asarray(data.targets))


def _folder(folder: Path) -> Images:
    """Images in folders named as their classes, which are numbered in alphabetical order."""
    from torchvision import datasets

    try:
        data = datasets.ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise InputError(f"{str(folder)!r}: expected a folder of images for each class; {error}") from error
    images: list[NDArray[Any]] = []
    for path, _ in data.samples:
        image = _pixels(path, data.loader)
        if images and image.shape != images[0].shape:
            raise InputError(f"{path!r}: expected shape {images[0].shape}, as the first image has, found {image.shape}")
        images.append(image)
    return Images(np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2)), np.asarray(data.targets))


def _pixels(path: str, load: Callable[[str], Any]) -> NDArray[Any]:
    """An image, unless it is so large that reading it may be what it is for."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return np.asarray(load(path))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{path!r}: expected an image of at most {Image.MAX_IMAGE_PIXELS:,} pixels") from error
    except Exception as error:  # Pillow raises nearly everything on damaged files
        raise InputError(f"{path!r}: cannot be read as an image: {error}") from error


def _paired(name: str, root: Path, images: NDArray[Any], labels: NDArray[Any]) -> Images:
    if len(images) != len(labels):
        raise _broken(name, root, f"{len(images):,} images, and {len(labels):,} labels")
    return Images(images, labels)


def _missing(name: str, root: Path, where: str) -> InputError:
    get = f'python -c "from torchvision.datasets import {name}; {name}({str(root)!r}, download=True)"'
    return InputError(f"no {name} in {str(root)!r}: expected {where}. To get it: {get}")


def _broken(name: str, root: Path, what: str) -> InputError:
    return InputError(f"{name} in {str(root)!r} cannot be read, get it again: {what}")


LOADERS: dict[str, Callable[[str, Path, bool], Images]] = {"MNIST": _mnist, "FashionMNIST": _mnist, "CIFAR10": _cifar10}
"""The data sets by name."""
