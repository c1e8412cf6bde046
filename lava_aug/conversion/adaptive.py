"""Weights rounded together, so that a layer's sums, rather than each weight, are nearest to the model's.

Rounding weights ``w`` to ``q`` changes a sum over inputs of covariance ``H`` by errors ``e = w - q``, whose variance is
``e' H e``. The weights that are not rounded yet take over as much of it as they can. With ``H = L L'``, L lower
triangular, the variance is the sum of the squares of ``sum(L[i, j] e[i] for i >= j)``, and from the last weight to the
first, each makes its square the smallest::

    q[j] = round(w[j] + sum(L[i, j] / L[j, j] * e[i] for i > j))

That is what GPTQ computes (Frantar et al., ICLR 2023, arXiv 2210.17323, after Hassibi and Stork, 1993, "Optimal brain
surgeon"), without the inverse of H: Babai's nearest plane (Chen et al., 2025, "The geometry of LLM quantization", arXiv
2507.18553). ``H`` is that of the spikes that calibration images cause. It leaves out the inputs' means, since biases
take care of these (`lava_aug.conversion.correcting`).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.core.layers import Conv, Dense
from lava_aug.core.sliding import maps
from lava_aug.core.synapse import Weighted

DAMPING = 0.1
"""Part of the mean variance that is added to each input's, so that ``H`` is positive definite."""

MOST_INPUTS = 512 * 9
"""Weights of sums over more inputs are rounded to the nearest: their covariance would take longer than all else."""

BLOCK = 64
"""Inputs whose weights are rounded before what they leave goes to all others at once."""


def rounded_to_inputs(synapse: Weighted, sent: torch.Tensor, step: int, limit: int) -> NDArray[Any] | None:
    """Multiples of ``step`` up to ``limit`` of them, near to weights, for which sums over such inputs stay the same.

    Parameters
    ----------
    synapse : Weighted
        With weights in units of the integers that they become.
    sent : tensor, shape (B, *shape)
        What its source sends.
    step, limit : int
        Of the integers.

    Returns
    -------
    numpy.ndarray of int64, or None
        None for types that have no sums over several inputs, or over too many.
    """
    if type(synapse) not in _COVARIANCES:
        return None
    covariance = _COVARIANCES[type(synapse)](synapse, sent)
    if covariance is None:
        return None
    groups, inputs = covariance.shape[:2]
    weight = (synapse.weight.astype(np.float64) / step).reshape(groups, -1, inputs)
    return _compensated(weight, covariance, limit).reshape(synapse.weight.shape) * step


def _compensated(weight: NDArray[Any], covariance: torch.Tensor, limit: int) -> NDArray[np.int64]:
    """Whole numbers for weights ``(groups, rows, inputs)`` and covariances ``(groups, inputs, inputs)``."""
    diagonal = covariance.diagonal(dim1=1, dim2=2)
    damping = DAMPING * diagonal.mean(1, keepdim=True)
    covariance.diagonal(dim1=1, dim2=2).add_(torch.where(damping > 0, damping, 1.0))
    order = diagonal.argsort(dim=1)  # the input that varies most is the last, which is rounded first
    lower = _lower(torch.stack([each[some][:, some] for each, some in zip(covariance, order, strict=True)]))
    lower /= lower.diagonal(dim1=1, dim2=2)[:, None].clone()
    # The weights of an input are rounded at once, so they are beside each other.
    places = order.numpy()[:, :, None]
    found = _rounded_from_the_last(np.take_along_axis(weight.swapaxes(1, 2), places, 1), lower.numpy(), limit)
    whole = np.empty_like(found)
    np.put_along_axis(whole, places, found, 1)
    return whole.swapaxes(1, 2)


def _rounded_from_the_last(weight: NDArray[Any], lower: NDArray[Any], limit: int) -> NDArray[np.int64]:
    """Of weights ``(groups, inputs, rows)``, with L whose columns are divided by their diagonal elements."""
    wanted, errors, whole = weight.copy(), np.zeros_like(weight), np.zeros(weight.shape, np.int64)
    for stop in range(weight.shape[1], 0, -BLOCK):
        start = max(stop - BLOCK, 0)
        inside = np.ascontiguousarray(lower[:, start:stop, start:stop].swapaxes(1, 2))
        for j in reversed(range(start, stop)):
            wanted[:, j] += (inside[:, j - start, None, j + 1 - start :] @ errors[:, j + 1 : stop])[:, 0]
            whole[:, j] = np.rint(wanted[:, j]).clip(-limit, limit)
            errors[:, j] = weight[:, j] - whole[:, j]
        wanted[:, :start] += lower[:, start:stop, :start].swapaxes(1, 2) @ errors[:, start:stop]
    return whole


def _lower(matrices: torch.Tensor) -> torch.Tensor:
    return torch.linalg.cholesky(matrices)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]: torch's


def _of_dense(dense: Dense, sent: torch.Tensor) -> torch.Tensor | None:
    inputs = dense.weight.shape[1]
    if inputs > MOST_INPUTS:
        return None

    def parts(images: torch.Tensor) -> torch.Tensor:
        return dense.summed_axis_last(images).reshape(-1, inputs).T[None]

    return _covariance(parts, sent, inputs, 1)


def _of_conv(conv: Conv, sent: torch.Tensor) -> torch.Tensor | None:
    inputs = math.prod(conv.weight.shape[1:])
    if inputs > MOST_INPUTS or inputs == 1:
        return None
    unfold = torch.nn.Unfold(conv.window, dilation=conv.dilation, padding=conv.padding, stride=conv.stride)

    def parts(images: torch.Tensor) -> torch.Tensor:
        windows = unfold(maps(images)).unflatten(1, (conv.groups, inputs))
        return windows.permute(1, 2, 0, 3).flatten(2)

    return _covariance(parts, sent, inputs, conv.groups)


LARGE_MEANS = 16
"""Means of so many standard deviations are taken from inputs first: squares of them would cost float32 its bits."""


def _covariance(
    parts: Callable[[torch.Tensor], torch.Tensor], sent: torch.Tensor, inputs: int, groups: int
) -> torch.Tensor:
    """Of the parts ``(groups, inputs, samples)`` of images: of so many at a time that samples are as many as inputs."""
    squares = torch.zeros(groups, inputs, inputs, dtype=torch.float64)
    sums, count, usual = torch.zeros(groups, inputs, 1, dtype=torch.float64), 0, None
    images = -(-inputs // parts(sent[:1]).shape[2])
    for start in range(0, len(sent), images):
        part = parts(sent[start : start + images])
        if usual is None:
            mean = part.mean(2, keepdim=True)
            usual = mean * (mean.abs() > LARGE_MEANS * part.std(2, correction=0, keepdim=True))
        part = part - usual
        squares += part @ part.mT
        sums += part.sum(2, keepdim=True, dtype=torch.float64)
        count += part.shape[2]
    mean = sums / count
    return squares.div_(count).baddbmm_(mean, mean.mT, alpha=-1)


_COVARIANCES: dict[type, Callable[[Any, torch.Tensor], torch.Tensor | None]] = {Dense: _of_dense, Conv: _of_conv}
"""Of the inputs of each sum of a type: ``(groups, inputs, inputs)``."""
