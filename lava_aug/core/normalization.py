"""The normalisation of a model's images, which becomes part of the converted network."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import SpecError
from lava_aug.core.spec import Spec, array

if TYPE_CHECKING:
    from torch import Tensor


class Normalization(Spec):
    """``(x - mean) / std`` of images ``x`` in [0, 1]; one number for each channel, or one for all.

    Raises
    ------
    SpecError
        If a number is not finite, or a standard deviation is not positive.
    """

    mean: NDArray[Any] = array(ndim=1, stored_as="mean", doc="what is taken off images in [0, 1], one or by channel")
    std: NDArray[Any] = array(ndim=1, stored_as="std", doc="what is then divided by, positive, one or by channel")

    def __post_init__(self) -> None:
        for name in ("mean", "std"):  # one format, so that equal numbers are equal
            object.__setattr__(self, name, np.asarray(np.atleast_1d(getattr(self, name)), np.float64))
        super().__post_init__()
        if (self.std <= 0).any():
            raise SpecError(f"Normalization.std: expected positive numbers, found {self.std.tolist()}")

    def __call__(self, images: "Tensor") -> "Tensor":
        """A batch of images in [0, 1], ``(B, C, ...)``, normalised."""
        column = (-1, *[1] * (images.ndim - 2))
        mean, std = (images.new_tensor(values).reshape(column) for values in (self.mean, self.std))
        return (images - mean) / std

    def check_channels(self, channels: int) -> None:
        """SpecError unless there is one number, or one for each channel."""
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) not in (1, channels):
                raise SpecError(f"Normalization.{name}: expected one number or {channels}, found {len(values)}")

    def describe(self) -> str:
        """One line."""
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"mean {mean}, standard deviation {std}"


def normalization(normalize: Any, channels: int) -> Normalization | None:
    """`Normalization` from one, or from ``(mean, std)``, checked; None if there is none."""
    if normalize is None:
        return None
    if not isinstance(normalize, Normalization):
        try:
            mean, std = normalize
            normalize = Normalization(mean=mean, std=std)
        except SpecError:
            raise
        except (TypeError, ValueError):
            raise SpecError(f"expected (mean, std), found {normalize!r}") from None
    normalize.check_channels(channels)
    return normalize
