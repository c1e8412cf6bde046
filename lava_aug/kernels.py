"""Exact sums on floating-point hardware: which float a sum of integers may be computed in, and who computes it."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lava_aug import fixed_point
from lava_aug.layers import Shape, Synapse

if TYPE_CHECKING:
    import torch


class ExactKernel:
    """A synapse that picks, for each call, the narrowest float in which its sum is exact.

    Every partial sum is at most ``weight_sum * max|s|``. Worst-case payloads would ask for float64 always; real ones
    are small, so looking at them pays.
    """

    def __init__(self, synapse: Synapse) -> None:
        self.is_float = synapse.is_float
        self.weight_sum = math.ceil(synapse.weight_sum)

    def bits(self, largest: float) -> int:
        """32 or 64, for spikes of magnitude up to ``largest``."""
        return 32 if fixed_point.exact_bits(self.weight_sum * math.ceil(largest)) == 32 else 64


class BlasKernel(ExactKernel):
    """`Synapse.accumulate` for one sample, in numpy: ``(*input_shape) -> (*output_shape)``, float in and out as int."""

    def __init__(self, synapse: Synapse, input_shape: Shape) -> None:
        super().__init__(synapse)
        self.synapse, self.input_shape = synapse, input_shape
        self.forms: dict[int, Callable[[np.ndarray], np.ndarray]] = {}

    def __call__(self, s: np.ndarray) -> np.ndarray:
        bits = 64 if self.is_float or s.dtype.kind == "f" else self.bits(max(int(s.max()), -int(s.min())))
        dtype = np.dtype(f"f{bits // 8}")
        if bits not in self.forms:
            self.forms[bits] = self.synapse.blas(self.input_shape, dtype)
        return self.forms[bits](s.astype(dtype))


class TorchKernel(ExactKernel):
    """`Synapse.accumulate` for a batch, in torch: ``(B, *input_shape) -> (B, *output_shape)``.

    Gives float32, or float64 where that was needed for the sum.
    """

    def __init__(self, synapse: Synapse, device: "torch.device") -> None:
        super().__init__(synapse)
        self.synapse, self.device = synapse, device
        self.forms: dict[int, Callable[[torch.Tensor], torch.Tensor]] = {}

    def __call__(self, s: "torch.Tensor") -> "torch.Tensor":
        import torch

        bits = 32 if self.is_float else self.bits(largest_magnitude(s))
        dtype = {32: torch.float32, 64: torch.float64}[bits]
        if bits not in self.forms:
            self.forms[bits] = self.synapse.torch(dtype, self.device)
        return self.forms[bits](s.to(dtype))


def largest_magnitude(s: "torch.Tensor") -> float:
    """``max|s|``."""
    low, high = s.aminmax()
    return max(high.item(), -low.item())
