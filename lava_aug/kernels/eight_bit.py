"""Convolutions of small spikes by 8-bit integer products, exact: oneDNN's, which torch includes on x86.

oneDNN multiplies uint8 with int8 and adds up in int32. Spikes have signs, so a zero point is added to them and taken
off again::

    sum over i of w[i] * s[i]  =  sum over i of w[i] * (s[i] + zero)  -  zero * sum over i of w[i]

Every sum on the way is at most ``weight_sum * (max|s| + zero)``; while that is within ``2**24``, float32 holds it too,
in whatever order oneDNN converts and subtracts. Processors without an instruction for such products add pairs of them
in 16 bits, which saturate: they stay within as long as ``(max|s| + zero) * 128 * 2 < 2**15``, so `LARGEST` it is.
"""

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Pair = tuple[int, int]

ZEROS = (1, 7, 63)
"""Zero points, and largest magnitudes of the spikes for which they serve."""

LARGEST = ZEROS[-1]

WORTH = 128
"""Products per output below which the conversions cost more than the products save."""


def suits(weight: NDArray[Any], groups: int, device: Any) -> bool:
    """Whether a convolution with ``weight (out, in / groups, height, width)`` has this form, and gains from it."""
    import torch

    narrow = weight.dtype.kind in "iu" and weight.size > 0 and weight.min() >= -128 and weight.max() <= 127
    gains = groups == 1 and math.prod(weight.shape[1:]) >= WORTH
    return bool(narrow and gains) and torch.device(device).type == "cpu" and is_available()


class EightBitConvolution:
    """A convolution of batches in torch, faster than in float32 by a factor of 2 to 4 where products are many.

    Parameters
    ----------
    weight : numpy.ndarray of integers in [-128, 127], shape (out, in, height, width)
        Kernel.
    stride, padding, dilation : pairs of int
        As in `torch.nn.Conv2d`.

    Attributes
    ----------
    largest : int
        Largest magnitude of integer spikes for which the result is exact; 0 if there is none.
    """

    def __init__(self, weight: NDArray[Any], stride: Pair, padding: Pair, dilation: Pair) -> None:
        import torch

        self.weight = torch.tensor(weight.astype(np.int8))
        self.geometry = (list(stride), list(padding), list(dilation), 1)
        self.scales, self.zeros = torch.ones(len(weight)), torch.zeros(len(weight), dtype=torch.int64)
        self.weight_sum = int(np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(1).max())
        self.largest = max(self._within(zero) for zero in ZEROS)
        self.total, self.packed = torch.empty(0), dict[int, Any]()

    def _within(self, zero: int) -> int:
        """Largest magnitude for which a zero point serves."""
        return max(0, min(zero, (1 << 24) // max(self.weight_sum, 1) - zero))

    def __call__(self, s: "Tensor", largest: float) -> "Tensor":
        """Input currents, float32 ``(B, out, H_out, W_out)``, which the next call overwrites.

        Parameters
        ----------
        s : torch.Tensor, shape (B, in, H, W)
            Integers in any number format.
        largest : float
            Their largest magnitude, at most `largest`.
        """
        import torch

        zero = next(zero for zero in ZEROS if largest <= self._within(zero))
        shifted = s.to(torch.int8, memory_format=torch.contiguous_format).add_(zero).view(torch.uint8)
        currents = _convolve(shifted, zero, self._packed(zero), self.scales, self.zeros, self.geometry)
        if self.total.shape != currents.shape:  # memory that was used before is much faster than what is fresh
            self.total = torch.empty(currents.shape)
        return self.total.copy_(currents)

    def _packed(self, zero: int) -> Any:
        import torch

        if zero not in self.packed:
            onednn: Any = torch.ops.onednn
            self.packed[zero] = onednn.qconv_prepack(self.weight, self.scales, 1.0, zero, *self.geometry)
        return self.packed[zero]


def _convolve(s: "Tensor", zero: int, packed: Any, scales: "Tensor", zeros: "Tensor", geometry: Any) -> "Tensor":
    """uint8 spikes in, float32 sums out, channels last."""
    import torch

    # Of the result: scale, zero point, format, no function.
    as_they_are: tuple[Any, ...] = (1.0, 0, torch.float32, "none", [], "")
    onednn: Any = torch.ops.onednn
    return onednn.qconv2d_pointwise(s, 1.0, zero, packed, scales, zeros, None, *geometry, *as_they_are)


@functools.cache
def is_available() -> bool:
    """Whether this build of torch has such products, tried once on the largest numbers there may be."""
    import torch

    try:
        convolution = EightBitConvolution(np.full((16, 16, 3, 3), -128), (1, 1), (1, 1), (1, 1))
        s = torch.full((1, 16, 4, 4), float(LARGEST))
        s[:, ::2, 1::2] *= -1
        weight = convolution.weight.to(torch.float32)
        expected = torch.nn.functional.conv2d(s, weight, padding=1)
        return torch.equal(convolution(s, LARGEST), expected)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):  # no such operation, or with other arguments
        return False
