"""The images of `lava_aug.finetune`, for training, calibration and validation, and ways to change them at random."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lava_aug.conversion.calibration import as_intensity, calibration_images, evenly_spaced, labelled_images
from lava_aug.core.errors import ConversionError, InputError
from lava_aug.core.images import Images
from lava_aug.core.inputs import Input
from lava_aug.core.results import check_labels
from lava_aug.core.streams import Stream

HELD_OUT, MOST_HELD_OUT = 10, 5000
"""One of so many training images is for validation, unless there are others, and no more than these."""

CALIBRATION = 512
"""Training images that the model is converted with, unless there are others."""


def shifted(x: torch.Tensor) -> torch.Tensor:
    """Each image shifted by up to 2 pixels, its edges repeated: ``(B, C, H, W)``."""
    height, width = x.shape[2:]
    windows = F.pad(x, [2] * 4, mode="replicate").unfold(2, height, 1).unfold(3, width, 1)
    dy, dx = torch.randint(0, 5, (2, len(x)), device=x.device)
    return windows[torch.arange(len(x), device=x.device), :, dy, dx]


def flipped(x: torch.Tensor) -> torch.Tensor:
    """Half of the images mirrored, and all `shifted`."""
    mirrored = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
    return shifted(torch.where(mirrored, x.flip(-1), x))


AUGMENTATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor] | None] = {
    "none": None,
    "shift": shifted,
    "flip": flipped,
}
"""What the command offers for ``augment``."""


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Images for training, for calibration, and for validation.

    Attributes
    ----------
    images, labels : numpy.ndarray or None
        To train on; None if they come as a stream.
    stream : Images or None
        Batches of images and labels.
    calibration : numpy.ndarray
        To convert with.
    validation, expected : numpy.ndarray
        To measure accuracy and costs on, and their classes.
    inputs : tuple of Input
        Of a model that takes several.
    batch_size : int
        Images per step.
    """

    images: NDArray[Any] | None
    labels: NDArray[Any] | None
    stream: Images | None
    calibration: NDArray[Any]
    validation: NDArray[Any]
    expected: NDArray[Any]
    inputs: tuple[Input, ...]
    batch_size: int

    @staticmethod
    def of(
        train_data: Images, labels: Any, calibration: Images | None, validation: Images | None, batch_size: int
    ) -> "TrainingData":
        """Sort out what was given; InputError if something is missing."""
        if _is_stream(train_data):
            return TrainingData._streamed(train_data, calibration, validation, batch_size)
        images, own, inputs = _read(labelled_images, "train_data", train_data)
        y = check_labels(labels, (len(images),), own)
        if validation is None:
            each = max(HELD_OUT, -(-len(images) // MOST_HELD_OUT))
            held_out = np.arange(len(images)) % each == each - 1
            if not held_out.any():
                raise InputError(
                    f"train_data: expected {each} images or more, found {len(images)}; or give images for validation"
                )
            x, expected = images[held_out], y[held_out]
            images, y = images[~held_out], y[~held_out]
        else:
            x, expected = _validation(validation, inputs)
        shown = evenly_spaced(images, CALIBRATION) if calibration is None else _calibration(calibration)
        return TrainingData(images, y, None, shown, x, expected, inputs, batch_size)

    @staticmethod
    def _streamed(
        train_data: Images, calibration: Images | None, validation: Images | None, batch_size: int
    ) -> "TrainingData":
        if validation is None:
            raise InputError("validation: expected labelled images, as train_data is a stream, found none")
        images, _, inputs = _read(calibration_images, "train_data", train_data if calibration is None else calibration)
        x, expected = _validation(validation, inputs)
        return TrainingData(None, None, train_data, images, x, expected, inputs, batch_size)

    @property
    def steps(self) -> int | None:
        """Batches of an epoch, if that is known before the first one has been read."""
        if self.images is not None:
            return max(1, len(self.images) // self.batch_size)
        count = Stream(cast(Images, self.stream), "train_data").count
        return None if count is None else max(1, count // self.batch_size)

    def batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One epoch: images in [0, 1] and labels; arrays in another order each time, a stream in its own."""
        if self.images is not None and self.labels is not None:
            order = torch.randperm(len(self.images)).numpy()
            for rows in np.array_split(order, self.steps or 1):
                yield as_intensity(self.images[rows]), torch.tensor(self.labels[rows])
            return
        stream = Stream(cast(Images, self.stream), "train_data", inputs=self.inputs or None)
        for images, labels in stream.batches(self.batch_size):
            if labels is None:
                raise InputError("train_data: expected batches of images and integer labels, found no labels")
            yield as_intensity(images), torch.tensor(labels)


def _is_stream(data: Any) -> bool:
    """Whether images come in batches, such as from a DataLoader, which may give others in every epoch."""
    stream = Stream(data, "train_data")
    return stream.whole is None and not hasattr(data, "__getitem__")


def _read(read: Callable[[Any], Any], where: str, data: Images) -> Any:
    try:
        return read(data)
    except ConversionError as error:
        raise InputError(str(error).replace("calibration", where, 1)) from None


def _calibration(calibration: Images) -> NDArray[Any]:
    return _read(calibration_images, "calibration", calibration).images


def _validation(validation: Images, inputs: tuple[Input, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    images, labels, _ = _read(lambda data: labelled_images(data, inputs or None), "validation", validation)
    if labels is None:
        raise InputError("validation: expected images with integer labels, found no labels")
    return images, labels
