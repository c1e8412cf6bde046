"""Early exit: an image whose prediction is clear after a few steps need not be presented for all of them."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Exit(NamedTuple):
    """What a margin gives: each image ends after the first step in which its margin is at least that large.

    Attributes
    ----------
    margin : float
        Largest minus second largest logit, in the ANN's units.
    mean_steps : float
        Time steps per image.
    accuracy : float
        0 .. 1, of each image's prediction when it ends.
    """

    margin: float
    mean_steps: float
    accuracy: float


def margins(logits: NDArray[Any]) -> NDArray[Any]:
    """How far the largest logit is ahead of the second largest: ``(..., classes) -> (...)``; at least two classes."""
    ordered = np.partition(logits, -2, axis=-1)
    return ordered[..., -1] - ordered[..., -2]


def early_exits(margins: NDArray[Any], right: NDArray[Any], thresholds: Iterable[float]) -> tuple[Exit, ...]:
    """What ending early would give, for several margins.

    With ``t_i`` the first step in which image i has ``margins[t_i, i] >= threshold``, and ``T`` if there is none, the
    mean number of steps is that of ``t_i``, and the accuracy that of ``right[t_i, i]``.

    Parameters
    ----------
    margins : numpy.ndarray, shape (T, B)
        Of every image after every step.
    right : numpy.ndarray, bool, shape (T, B)
        Whether the prediction is right.
    thresholds : iterable of float
        Margins to try.

    Returns
    -------
    tuple of Exit
        One for each threshold, in their order.
    """
    images, last = np.arange(margins.shape[1]), len(margins) - 1
    wide = margins.astype(np.float64)  # a threshold must not be rounded to float32
    points: list[Exit] = []
    for threshold in thresholds:
        enough = wide >= threshold
        stops = np.where(enough.any(axis=0), enough.argmax(axis=0), last)
        points.append(Exit(float(threshold), float(stops.mean() + 1), float(right[stops, images].mean())))
    return tuple(points)


def margins_to_try(margins: NDArray[Any], count: int = 20) -> NDArray[Any]:
    """Thresholds that end images at many different steps: margins that occurred, at even distances among all."""
    return np.unique(np.quantile(margins, np.linspace(0, 1, count), method="lower"))
