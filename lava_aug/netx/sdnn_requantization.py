"""Integer weights and scales of Sigma-Delta networks, which use a fixed shift where ours divide by a threshold.

In units of the spike coefficient, one of our layers computes (``lava_aug.core.neurons``, the limit of many steps)::

    n_out = max(0, F * n_in + c)                F = W / vth,  c = b / vth

and a stock layer (`lava_aug.netx.sigma_delta`), once everything has arrived, and but for what ``>> 6`` rounds off::

    64 * S_out = max(0, w * S_in + 4096 * beta)         w of 8 bits and beta integers

Let messages stand for ``S = gain * n``, with any positive gain for each layer. Then the second is the first, if::

    w = F * r,      r = 64 * gain_out / gain_in,        beta = c * gain_out / 64

A ReLU does not mind the scale, so gains need be neither powers of two nor whole: dividing by the threshold is a matter
of the gain. What costs accuracy is that ``w`` and ``beta`` are integers::

    w = round(F * r),      beta = round(c * gain_out / 64)

so r should be large. But r multiplies the gains, the input's is 64, and messages must not exceed 16 bits. A large gain
early in the network leaves small weights for what follows; a small one makes biases coarse, which are multiples of 64
messages. `choose_ranges` finds the compromise. Given the rounded ``w``, the gain that fits best is the one that makes
``w / r`` nearest to ``F`` (least squares): `fitted`.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.fixed_point import symmetric_limit

INPUT_GAIN = 64.0
"""Messages of the input per grey level: ``1 << spike_exp``."""

MAX_MESSAGE = symmetric_limit(16)
"""Largest message: 16 bits are what netx gives Sigma-Delta neurons."""

MAX_WEIGHT = symmetric_limit(8)
"""Largest weight."""

MAX_STATE = 1 << 22
"""Largest activation and readout: half of 24 bits, as changes, which can be twice as large, must fit, too."""

GRID_STEP, GRID_SIZE = 0.25, 41
"""Ranges of messages that are tried: `MAX_MESSAGE`, and down from there in factors of ``2 ** GRID_STEP``."""

TYPICAL = 1 / 8
"""What a typical activation is of the largest one."""

ROUNDED_OFF = 50.0
"""Messages by which sums are wrong for what was rounded off: half a message for each, one per image, 100 images."""

SAMPLE = 1 << 16
"""So many weights of a layer are looked at to choose ranges."""


@dataclasses.dataclass(frozen=True)
class FloatLayer:
    """What a layer computes in units of spike coefficients.

    Attributes
    ----------
    matrix : numpy.ndarray
        ``F``, float64, of the shape of the weights.
    constant : numpy.ndarray or None
        ``c``, one for each output channel.
    reach : float
        Largest ``n_out`` that there must be room for.
    swing : float
        Largest magnitude of ``F * n_in + c`` that there must be room for.
    """

    matrix: NDArray[Any]
    constant: NDArray[Any] | None
    reach: float
    swing: float


def fitted(matrix: NDArray[Any], scale: float) -> tuple[NDArray[Any], float]:
    """``w = round(matrix * scale)`` as int64, and the r for which ``w / r`` is nearest to the matrix.

    Examples
    --------
    >>> fitted(np.array([1.0, 1.0]), 2.7)
    (array([3, 3]), 3.0)
    """
    w = np.rint(matrix * scale)
    square = float((matrix * matrix).sum())
    return w.astype(np.int64), float((w * matrix).sum()) / square if square else scale


def rounding_error(matrix: NDArray[Any], scale: float) -> float:
    """Squared error of ``w / r`` relative to the matrix; infinite if the weights do not fit or are all 0."""
    w, r = fitted(matrix, scale)
    return math.inf if r <= 0 or np.abs(w).max() > MAX_WEIGHT else relative_error(matrix, w, r)


def relative_error(matrix: NDArray[Any], w: NDArray[Any], r: float) -> float:
    """Squared error of ``w / r`` relative to the matrix."""
    return float(((w / r - matrix) ** 2).sum() / (matrix**2).sum())


def is_kept(w: NDArray[Any]) -> bool:
    """Whether netx keeps a layer's weights: 8 bits, some not 0, and not what its ``optimize_weight_bits`` loses.

    That gives no bits to weights none of which is positive, and whose lowest is a power of two (``lava/lib/dl/netx/
    utils.py`` of lava-dl 0.6.0; found by test).

    Examples
    --------
    >>> is_kept(np.array([-64, -3])), is_kept(np.array([-65, -3])), is_kept(np.array([-64, 3]))
    (False, True, True)
    """
    largest = int(np.abs(w).max())
    lost = w.max() <= 0 and largest & (largest - 1) == 0
    return 0 < largest <= MAX_WEIGHT and not lost


def largest_gain(layer: FloatLayer) -> float:
    """The gain with which a layer's messages and activations just fit."""
    return min(MAX_MESSAGE / layer.reach, MAX_STATE / (64 * layer.swing))


def readout_scale(layer: FloatLayer, gain: float) -> float:
    """r of the readout, which shifts nothing: 1, the weights as they are, or less so that its sums fit."""
    return min(1.0, MAX_STATE / (gain * layer.swing), MAX_WEIGHT / float(np.abs(layer.matrix).max()))


def choose_gains(layers: Sequence[FloatLayer]) -> list[float]:
    """Gains of all layers but the readout that lose least, by dynamic programming over a grid.

    The loss is the sum over layers of squared errors relative to typical values: of the weights by `rounding_error`, of
    biases and messages as multiples of 64 and by `ROUNDED_OFF`.
    """
    best, choices = np.zeros(1), []
    gains = np.array([INPUT_GAIN])
    for layer in layers[:-1]:
        found = largest_gain(layer) * 2.0 ** (-GRID_STEP * np.arange(GRID_SIZE))
        costs = best[:, None] + _transitions(layer, gains, found) + _losses(layer, found)
        choices.append(costs.argmin(axis=0))
        best, gains = costs.min(axis=0), found
    matrix = _sample(layers[-1].matrix)
    best = best + [rounding_error(matrix, readout_scale(layers[-1], gain)) for gain in gains]
    index, chosen = int(np.argmin(best)), []
    for layer, back in zip(reversed(layers[:-1]), reversed(choices), strict=True):
        chosen.append(float(largest_gain(layer) * 2.0 ** (-GRID_STEP * index)))
        index = int(back[index])
    return chosen[::-1]


def _transitions(layer: FloatLayer, before: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
    """Errors of the weights for gains before and after; on two grids of equal steps only their ratio counts."""
    matrix, known = _sample(layer.matrix), {}
    table = np.empty((len(before), len(after)))
    for (i, k), _ in np.ndenumerate(table):
        if i - k not in known:
            known[i - k] = rounding_error(matrix, INPUT_GAIN * after[k] / before[i])
        table[i, k] = known[i - k]
    return table


def _losses(layer: FloatLayer, gains: NDArray[Any]) -> NDArray[Any]:
    typical = TYPICAL * layer.reach * gains
    squares = np.full(len(gains), float(ROUNDED_OFF**2))
    if layer.constant is not None and np.any(layer.constant):
        c = layer.constant * gains[:, None]
        squares += ((np.rint(c / INPUT_GAIN) * INPUT_GAIN - c) ** 2).mean(axis=1)
    return squares / typical**2


def _sample(matrix: NDArray[Any]) -> NDArray[Any]:
    """Some of the weights, the largest among them."""
    flat = matrix.ravel()
    if flat.size <= SAMPLE:
        return flat
    step = -(-flat.size // SAMPLE)
    return np.append(flat[::step], flat[np.abs(flat).argmax()])
