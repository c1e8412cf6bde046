"""Exact sums on floating-point hardware: the dtype in which a sum of integers is exact, and the kernel."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lava_aug.core import fixed_point
from lava_aug.core.layers import Shape, Synapse
from lava_aug.core.network import Network
from lava_aug.kernels import compiled, compiled_synapses

if TYPE_CHECKING:
    import torch


def warm_up() -> None:
    """Compile, or read from numba's cache, all that Lava's processes need: call it before they are forked."""
    compiled.warm_up()
    compiled_synapses.warm_up()


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
        return 32 if fixed_point.exact_bits(self.bound(largest)) == 32 else 64

    def bound(self, largest: float) -> int:
        """Largest magnitude of any partial sum, for spikes of magnitude up to ``largest``."""
        return self.weight_sum * math.ceil(largest)


class SampleKernel(ExactKernel):
    """`Synapse.accumulate` for one sample, in numpy: event by event where few neurons are active, otherwise dense.

    Dense sums take the synapse's form for small payloads, if it has one and they are small enough for it, or BLAS.

    Takes spikes ``(*input_shape)`` in any number format and gives currents ``(*output_shape)`` in float32 or float64,
    exact on integers, which the next call may overwrite.
    """

    def __init__(self, synapse: Synapse, input_shape: Shape) -> None:
        super().__init__(synapse)
        self.synapse, self.input_shape = synapse, input_shape
        self.size = math.prod(input_shape)
        self.dense: dict[int, Callable[[np.ndarray], np.ndarray]] = {}
        self.by_event = None if self.is_float else synapse.events(input_shape)
        self.bounded = None if self.is_float else synapse.bounded(input_shape)

    def __call__(self, s: np.ndarray, largest: float | None = None, events: int | None = None) -> np.ndarray:
        """Input current; ``largest`` magnitude and number of ``events`` are counted unless they are known."""
        if self.is_float or (self.is_float is None and s.dtype == np.float64):
            return self._dense(64)(s.astype(np.float64, copy=False))
        largest = max(int(s.max()), -int(s.min())) if largest is None else largest
        if self.bits(largest) == 64:
            return self._dense(64)(s.astype(np.float64))
        bounded = self.bounded if self.bounded is not None and largest <= self.bounded.largest else None
        if self.by_event is not None:
            events = int(np.count_nonzero(s)) if events is None else events
            if events < self.by_event.break_even / (1 if bounded is None else bounded.gain) * self.size:
                return self.by_event.kernel(s.astype(np.float32, copy=False))
        dense = self._dense(32) if bounded is None else bounded.kernel
        return dense(s.astype(np.float32, copy=False))

    def _dense(self, bits: int) -> Callable[[np.ndarray], np.ndarray]:
        if bits not in self.dense:
            self.dense[bits] = self.synapse.blas(self.input_shape, np.dtype(f"f{bits // 8}"))
        return self.dense[bits]


class TorchKernel(ExactKernel):
    """`Synapse.accumulate` for a batch, in torch: ``(B, *input_shape) -> (B, *output_shape)``.

    Gives float32, or float64 where that was needed for the sum; the next call may overwrite it.
    """

    def __init__(self, synapse: Synapse, device: "torch.device") -> None:
        super().__init__(synapse)
        self.synapse, self.device = synapse, device
        self.forms: dict[int, Callable[[torch.Tensor], torch.Tensor]] = {}
        self.bounded = None if self.is_float else synapse.torch_bounded(device)

    def __call__(self, s: "torch.Tensor", largest: float | None = None) -> "torch.Tensor":
        """Input current for spikes; ``largest`` is their largest magnitude, if it is known."""
        import torch

        if self.bounded is not None:
            largest = largest_magnitude(s) if largest is None else largest
            if largest <= self.bounded.largest:
                return self.bounded.kernel(s, largest)
        bits = 32 if self.is_float or self._is_narrow(s, largest) else 64
        dtype = {32: torch.float32, 64: torch.float64}[bits]
        if bits not in self.forms:
            self.forms[bits] = self.synapse.torch(dtype, self.device)
        return self.forms[bits](s.to(dtype))

    def _is_narrow(self, s: "torch.Tensor", largest: float | None) -> bool:
        largest = largest_magnitude(s) if largest is None else largest
        # "<", not "<=": the bound is a sum in float32 itself, which may have been rounded down to 2**24, but not below.
        return self.bits(largest) == 32 or _second_bound(self.synapse, s) < 1 << 24


def torch_kernels(net: Network, device: "torch.device") -> dict[str, list[tuple[str, TorchKernel]]]:
    """The sources and kernels of every layer's connections, by its name."""
    return {layer.name: [(c.source, TorchKernel(c.synapse, device)) for c in layer.connections] for layer in net}


def _second_bound(synapse: Synapse, s: "torch.Tensor") -> float:
    """``max|weight| * max over outputs of sum|s|``: often far below ``weight_sum * max|s|``, at the price of a look."""
    largest = synapse.largest_input_sum(s)
    return math.inf if largest is None else largest * synapse.largest_weight


def largest_magnitude(s: "torch.Tensor") -> float:
    """``max|s|``."""
    low, high = s.aminmax()
    return max(high.item(), -low.item())
