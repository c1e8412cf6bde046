"""Layer types that are matrices: any neuron to any other, or every neuron to the one of the same place."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lava_aug.errors import SpecError
from lava_aug.spec import registered
from lava_aug.synapse import SYNAPSES, EventForm, Shape, Synapse, Weighted, break_even, widened

if TYPE_CHECKING:
    from torch import Tensor


@registered(SYNAPSES)
class Dense(Weighted):
    """``a[o] = sum over i of weight[o, i] * s[i]``; takes spikes of any shape, flattened in C order.

    Examples
    --------
    >>> Dense(weight=[[1, 2, 3], [4, 5, 6]]).accumulate(np.array([[1, 0, -1]]))
    array([[-2, -2]])
    """

    type_name = "dense"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight.ndim != 2:
            raise SpecError(f"Dense.weight: expected shape (out, in), found {self.weight.shape}")

    def output_shape(self, input_shape: Shape) -> Shape:
        if math.prod(input_shape) != self.weight.shape[1]:
            raise SpecError(
                f"Dense: expected {self.weight.shape[1]} inputs, found {math.prod(input_shape)} (shape {input_shape})"
            )
        return (self.weight.shape[0],)

    def accumulate(self, s: np.ndarray) -> np.ndarray:
        s, weight = self._exact(s)
        return s.reshape(len(s), -1) @ weight.T

    def fan_out(self, input_shape: Shape) -> np.ndarray:
        return np.full(input_shape, self.weight.shape[0], np.int64)

    def largest_input_sum(self, s: "Tensor") -> float:
        return s.reshape(len(s), -1).abs().sum(1).max().item()

    def blas(self, input_shape: Shape, dtype: np.dtype) -> Callable[[np.ndarray], np.ndarray]:
        weight = self.weight.astype(dtype)
        return lambda s: weight @ s.reshape(-1)

    def events(self, input_shape: Shape) -> EventForm:
        from lava_aug.compiled_synapses import dense_events

        weight = np.ascontiguousarray(self.weight.T, np.float32)
        total = np.empty(weight.shape[1], np.float32)

        def accumulate(s: np.ndarray) -> np.ndarray:
            dense_events(s.reshape(-1), weight, total)
            return total

        return EventForm(accumulate, break_even(len(total)))

    def torch(self, dtype: Any, device: Any) -> "Callable[[Tensor], Tensor]":
        import torch

        weight = torch.tensor(self.weight).to(device, dtype).T.contiguous()
        return lambda s: s.reshape(len(s), -1) @ weight

    def describe(self) -> str:
        return f"dense {self.weight.shape[1]} -> {self.weight.shape[0]}"

    def stored_extras(self, input_shape: Shape) -> dict[str, Any]:
        return {"inFeatures": self.weight.shape[1], "outFeatures": self.weight.shape[0]}


@registered(SYNAPSES)
class Relay(Synapse):
    """Passes every spike on to the neuron of the same place: ``a = s``."""

    type_name = "relay"

    @property
    def weight_sum(self) -> float:
        return 1.0

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def accumulate(self, s: np.ndarray) -> np.ndarray:
        return widened(s)

    def fan_out(self, input_shape: Shape) -> np.ndarray:
        return np.ones(input_shape, np.int64)

    def torch(self, dtype: Any, device: Any) -> "Callable[[Tensor], Tensor]":
        return lambda s: s
