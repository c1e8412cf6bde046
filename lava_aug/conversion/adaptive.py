"""Weights rounded together, so that a layer's sums, rather than each weight, are nearest to the model's.

Rounding a weight ``w[j]`` to ``q[j]`` changes a sum over inputs of covariance ``H`` by ``d = w[j] - q[j]`` times input
j. The weights that are not rounded yet take over as much of it as they can: with the upper Cholesky factor ``U`` of
``inv(H)``::

    w[k] -= d / U[j, j] * U[j, k]    for all k after j

Frantar et al., ICLR 2023, "GPTQ" (arXiv 2210.17323), after Hassibi and Stork, 1993, "Optimal brain surgeon". ``H`` is
that of the spikes that calibration images cause. It leaves out the inputs' means, since biases take care of these
(`lava_aug.conversion.correcting`).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.core.layers import Conv, Dense
from lava_aug.core.synapse import Weighted

DAMPING = 0.1
"""Part of the mean variance that is added to each input's, so that ``H`` has an inverse."""

MOST_INPUTS = 512 * 9
"""Weights of sums over more inputs are rounded to the nearest: their covariance would take longer than all else."""

BLOCK = 128
"""Columns that are rounded before what they leave goes to all others at once."""


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
    weight = torch.as_tensor(synapse.weight.astype(np.float64) / step).reshape(groups, -1, inputs)
    whole = _compensated(weight, covariance, limit)
    return whole.reshape(synapse.weight.shape).numpy().astype(np.int64) * step


def _compensated(weight: torch.Tensor, covariance: torch.Tensor, limit: int) -> torch.Tensor:
    """Whole numbers for weights ``(groups, rows, inputs)`` and covariances ``(groups, inputs, inputs)``."""
    diagonal = covariance.diagonal(dim1=1, dim2=2)
    damping = DAMPING * diagonal.mean(1, keepdim=True)
    covariance.diagonal(dim1=1, dim2=2).add_(torch.where(damping > 0, damping, 1.0))
    order = diagonal.argsort(dim=1, descending=True)
    weight = weight.gather(2, order[:, None].expand_as(weight))
    covariance = covariance.gather(1, order[:, :, None].expand_as(covariance))
    covariance = covariance.gather(2, order[:, None].expand_as(covariance))
    upper = _lower(torch.cholesky_inverse(_lower(covariance))).mT
    whole, inputs = torch.empty_like(weight), weight.shape[2]
    for start in range(0, inputs, BLOCK):
        block = slice(start, min(start + BLOCK, inputs))
        errors = torch.zeros_like(weight[:, :, block])
        for j in range(block.start, block.stop):
            whole[:, :, j] = weight[:, :, j].round().clamp(-limit, limit)
            error = (weight[:, :, j] - whole[:, :, j]) / upper[:, None, j, j]
            weight[:, :, j : block.stop] -= error[:, :, None] * upper[:, None, j, j : block.stop]
            errors[:, :, j - start] = error
        weight[:, :, block.stop :] -= errors @ upper[:, block, block.stop :]
    return whole.gather(2, order.argsort(dim=1)[:, None].expand_as(whole))


def _lower(matrices: torch.Tensor) -> torch.Tensor:
    return torch.linalg.cholesky(matrices)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]: torch's


def _of_dense(dense: Dense, sent: torch.Tensor) -> torch.Tensor | None:
    inputs = dense.weight.shape[1]
    if inputs > MOST_INPUTS:
        return None
    return _covariance((dense.summed_axis_last(image[None]).reshape(-1, inputs).T[None] for image in sent), inputs, 1)


def _of_conv(conv: Conv, sent: torch.Tensor) -> torch.Tensor | None:
    inputs = math.prod(conv.weight.shape[1:])
    if inputs > MOST_INPUTS or inputs == 1:
        return None
    unfold = torch.nn.Unfold(conv.window, dilation=conv.dilation, padding=conv.padding, stride=conv.stride)
    return _covariance((unfold(image[None]).reshape(conv.groups, inputs, -1) for image in sent), inputs, conv.groups)


LARGE_MEANS = 16
"""Means of so many standard deviations are taken from inputs first: squares of them would cost float32 its bits."""


def _covariance(parts: Iterable[torch.Tensor], inputs: int, groups: int) -> torch.Tensor:
    """Of parts ``(groups, inputs, samples)``."""
    squares = torch.zeros(groups, inputs, inputs, dtype=torch.float64)
    sums, count, usual = torch.zeros(groups, inputs, 1, dtype=torch.float64), 0, None
    for part in parts:
        if usual is None:
            mean = part.mean(2, keepdim=True)
            usual = mean * (mean.abs() > LARGE_MEANS * part.std(2, correction=0, keepdim=True))
        part = part - usual
        squares += part @ part.mT
        sums += part.sum(2, keepdim=True, dtype=torch.float64)
        count += part.shape[2]
    mean = sums / count
    return squares / count - mean @ mean.mT


_COVARIANCES: dict[type, Callable[[Any, torch.Tensor], torch.Tensor | None]] = {Dense: _of_dense, Conv: _of_conv}
"""Of the inputs of each sum of a type: ``(groups, inputs, inputs)``."""
