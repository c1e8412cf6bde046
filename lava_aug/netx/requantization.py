"""Integer weights and scales of Sigma-Delta networks, which use a fixed shift where ours divide by a threshold.

In units of the spike coefficient, one of our layers computes (``lava_aug.core.neurons``, the limit of many steps)::

    n_out = max(0, F * n_in + c)                F = W / vth,  c = b / vth

and a stock layer (`lava_aug.netx.running`), once everything has arrived, and but for what ``>> 6`` rounds off::

    64 * S_out = max(0, w * S_in + 4096 * beta)         w of 8 bits and beta integers

Let messages stand for ``S = gain * n``, with any positive gain for each layer. Then the second is the first, if::

    w = F * r,      r = 64 * gain_out / gain_in,        beta = c * gain_out / 64

A ReLU does not mind the scale, so gains need be neither powers of two nor whole: dividing by the threshold is a matter
of the gain. What costs accuracy is that ``w`` and ``beta`` are integers::

    w = round(F * r),      beta = round(c * gain_out / 64)

so r should be large. But r multiplies the gains, the input's is 64, and messages must not exceed 16 bits. A large gain
early in the network leaves small weights for what follows; a small one makes biases coarse, which are multiples of 64
messages. `choose_gains` finds the compromise. Given the rounded ``w``, the gain that fits best is the one that makes
``w / r`` nearest to ``F`` (least squares): `fitted`.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import BLOCK, symmetric_limit

SPIKE_EXP = 6
"""Binary places of a message of Sigma-Delta neurons: netx's default (``spike_exp``), which no file can change."""

STATE_EXP = 6
"""Binary places that their activations have more than a message: ``'state_exp': 6`` in ``lava/lib/dl/netx/hdf5.py``."""

BIAS_EXP = SPIKE_EXP + STATE_EXP
"""By how much their integer biases and thresholds are shifted (``lava/proc/sdn/process.py``)."""

INPUT_GAIN = float(1 << SPIKE_EXP)
"""Messages of the input per grey level."""

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


# Weights


def present(weight: NDArray[Any]) -> NDArray[Any]:
    """The values from -256 to 255 that an array holds, in order; a block at a time, since arrays can be large."""
    is_present, flat = np.zeros(512, bool), weight.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        is_present[flat[start : start + BLOCK].astype(np.int64) + 256] = True
    return np.flatnonzero(is_present) - 256


def stock_weights(values: NDArray[Any]) -> NDArray[Any]:
    """The weights that stock netx and Lava's Dense compute with, float64, for a layer that holds these and no others.

    netx shifts weights up as far as 8 bits allow, and says how many bits they need
    (``lava/lib/dl/netx/utils.py``, ``optimize_weight_bits``); Lava's Dense clips, cuts bits off
    (``lava/utils/weightutils.py``), and shifts its sums back.

    Examples
    --------
    >>> stock_weights(np.array([-3, 5]))
    array([-3.,  5.])
    >>> stock_weights(np.array([-128, -1]))  # shifted up, -256 is clipped to -255, of which a bit is cut off
    array([-127.,   -1.])
    >>> stock_weights(np.array([-64, -3, 0]))  # seven bits of -255 are kept, for no other value needs more
    array([-63.5,  -3. ,   0. ])
    """
    if values.min() < 0:
        values = np.minimum(values, 254)
    low, high = int(values.min()), int(values.max())
    limits = [127 / high if high > 0 else math.inf, -128 / low if low < 0 else math.inf]
    scale = -256 / low if high < 0 else 255 / high if low >= 0 else min(limits)
    mixed = high >= 0 > low
    shift = math.floor(math.log2(scale)) + mixed
    trailing = next((bits for bits in range(8, 0, -1) if not (values % (1 << bits)).any()), 0) - mixed
    width = 8 - shift - trailing
    shifted = values << shift
    sign = -1 if high <= 0 else 1
    both = int(low < 0 < high)  # Lava takes weights up to 0 for negative ones, netx for mixed ones
    clipped = np.clip(sign * shifted, -256 * both, 255)
    cut = 8 - width + both
    kept = (clipped >> cut) << cut if cut >= 0 else np.zeros_like(values)
    return sign * kept / 2.0**shift


def check_dense(weight: NDArray[Any]) -> None:
    """SpecError unless stock netx computes with the weights that a dense layer's file holds."""
    low, high = int(weight.min()), int(weight.max())
    if low < -256 or high > 255:
        raise SpecError(f"weight: expected 9 bits, -256 to 255, found {low} to {high}; stock netx clips others")
    if low == high == 0:
        raise SpecError("weight: all are zero, on which stock netx crashes (OverflowError)")
    values = present(weight)
    used = stock_weights(values)
    if not np.array_equal(used, values):
        index = int(np.argmin(used == values))
        raise SpecError(
            f"weight: stock netx, scaling weights from {low} to {high} to 8 bits, would compute with "
            f"{used[index]:g} in place of {values[index]}"
        )


def is_kept(w: NDArray[Any]) -> bool:
    """Whether netx keeps a layer's weights: 8 bits, some not 0, and not what `stock_weights` says that it loses.

    Examples
    --------
    >>> is_kept(np.array([-64, -3])), is_kept(np.array([-65, -3])), is_kept(np.array([-64, 3]))
    (False, True, True)
    """
    if not w.any() or np.abs(w).max() > MAX_WEIGHT:
        return False
    values = present(w)
    return np.array_equal(stock_weights(values), values)


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


# Gains


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
    best, choices = np.zeros(1), list[NDArray[Any]]()
    gains = np.array([INPUT_GAIN])
    for layer in layers[:-1]:
        candidates = largest_gain(layer) * 2.0 ** (-GRID_STEP * np.arange(GRID_SIZE))
        costs = best[:, None] + _transitions(layer, gains, candidates) + _losses(layer, candidates)
        choices.append(costs.argmin(axis=0))
        best, gains = costs.min(axis=0), candidates
    matrix = _sample(layers[-1].matrix)
    best = best + [rounding_error(matrix, readout_scale(layers[-1], gain)) for gain in gains]
    index, chosen = int(np.argmin(best)), list[float]()
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
