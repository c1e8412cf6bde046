"""Weights rounded together, so that a layer's sums, rather than each weight, are nearest to the model's.

With errors ``e = w - q`` of the rounded weights ``q``, the sums are off by a variance of ``e H e``, where ``H`` is the
covariance of the inputs. With ``H = M M'`` for an upper triangular ``M`` that is the sum of squares of ``M' e``, whose
element j depends on the errors up to j alone, so one weight after the other is rounded to what makes it smallest::

    q[j] = round(w[j] + sum(e[k] * M[k, j] for k before j) / M[j, j])

Frantar et al., ICLR 2023, "GPTQ" (arXiv 2210.17323), after Hassibi and Stork, 1993, "Optimal brain surgeon"; this form,
which gives the same without an inverse of ``H``, is Babai's nearest plane algorithm (Combinatorica 6, 1986). ``H`` is
that of the spikes that calibration images cause. It leaves out the inputs' means, since biases take care of these
(`lava_aug.conversion.correcting`).
"""

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.core.layers import Conv, Dense
from lava_aug.core.synapse import Weighted

DAMPING = 0.1
"""Part of the mean variance that is added to each input's, so that no pivot of ``H`` is zero."""

MOST_INPUTS = 512 * 9
"""Weights of sums over more inputs are rounded to the nearest: their covariance would take longer than all else."""

BLOCK = 128
"""Weights that are rounded one by one before their errors go to all others at once."""

UNFOLDED = 1 << 24
"""Elements of the inputs of sums that are in memory at a time."""


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
    order = diagonal.argsort(dim=1, descending=True)[:, :, None]
    weight = weight.mT.gather(
        1, order.expand_as(weight.mT)
    )  # (groups, inputs, rows): one weight of all rows is in one piece
    covariance = covariance.gather(1, order.expand_as(covariance)).gather(2, order.mT.expand_as(covariance))
    factor = _upper(covariance)
    whole, errors, inputs = torch.empty_like(weight), torch.empty_like(weight), weight.shape[1]
    for start in range(0, inputs, BLOCK):
        stop = min(start + BLOCK, inputs)
        before = factor[:, :start, start:stop].mT @ errors[:, :start]
        for j in range(start, stop):
            left = before[:, j - start] + (factor[:, None, start:j, j] @ errors[:, start:j])[:, 0]
            whole[:, j] = (weight[:, j] + left / factor[:, j, j, None]).round().clamp(-limit, limit)
            errors[:, j] = weight[:, j] - whole[:, j]
    return whole.gather(1, order.argsort(dim=1).expand_as(whole)).mT


def _upper(matrices: torch.Tensor) -> torch.Tensor:
    """``M`` of ``M M'``: the usual factor, from the last row to the first."""
    cholesky = cast("Callable[[torch.Tensor], torch.Tensor]", torch.linalg.cholesky)  # pyright: ignore
    return cholesky(matrices.flip(1, 2)).flip(1, 2)


def _of_dense(dense: Dense, sent: torch.Tensor) -> torch.Tensor | None:
    inputs = dense.weight.shape[1]
    if inputs > MOST_INPUTS:
        return None
    return _covariance(lambda images: dense.summed_axis_last(images).reshape(-1, inputs).T[None], sent, inputs, 1)


def _of_conv(conv: Conv, sent: torch.Tensor) -> torch.Tensor | None:
    inputs = math.prod(conv.weight.shape[1:])
    if inputs > MOST_INPUTS or inputs == 1:
        return None
    unfold = torch.nn.Unfold(conv.window, dilation=conv.dilation, padding=conv.padding, stride=conv.stride)

    def unfolded(images: torch.Tensor) -> torch.Tensor:
        maps = images.unsqueeze(2) if images.ndim == 3 else images  # rows are maps of height 1
        return unfold(maps).unflatten(1, (conv.groups, inputs)).permute(1, 2, 0, 3).flatten(2)

    return _covariance(unfolded, sent, inputs, conv.groups)


LARGE_MEANS = 16
"""Means of so many standard deviations are taken from inputs first: squares of them would cost float32 its bits."""


def _covariance(
    samples: Callable[[torch.Tensor], torch.Tensor], sent: torch.Tensor, inputs: int, groups: int
) -> torch.Tensor:
    """Of the samples ``(groups, inputs, samples)`` that images give."""
    squares = torch.zeros(groups, inputs, inputs, dtype=torch.float64)
    sums, count, usual = torch.zeros(groups, inputs, 1, dtype=torch.float64), 0, None
    size = max(1, UNFOLDED // samples(sent[:1]).numel())
    for start in range(0, len(sent), size):
        part = samples(sent[start : start + size])
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
