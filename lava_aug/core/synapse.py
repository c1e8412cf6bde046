"""What every layer type has: the base class `Synapse`, and the table that knows them by name."""

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from lava_aug.core.connectivity import Connectivity, Shape
from lava_aug.core.fixed_point import BLOCK
from lava_aug.core.spec import Spec, array

SYNAPSES: dict[str, type["Synapse"]] = {}
"""Every synapse by the name of its type in files."""


class Synapse(Spec):
    """Base of all layer types: a linear map from one layer's spikes to another's input current.

    Attributes
    ----------
    is_identity : bool
        Whether it gives what it takes.
    keeps_place : bool
        Whether every spike goes to the neuron of the same place alone, maybe in another channel.
    flattens : bool
        Whether it takes spikes of any shape that have as many elements, in C order.
    learned : bool
        Whether its weights are a model's, which conversion rounds, and not the model's own sums, moves and copies,
        which are exact.
    """

    type_name: ClassVar[str]
    is_identity: ClassVar[bool] = False
    keeps_place: ClassVar[bool] = False
    flattens: ClassVar[bool] = False
    learned: ClassVar[bool] = False

    @property
    def is_float(self) -> bool | None:
        """Whether the weights are floating point; None if there are none."""
        return None

    @property
    def num_weights(self) -> int:
        """Stored weights, shared ones counted once."""
        return 0

    @property
    def weights(self) -> NDArray[Any]:
        """Every value that a weight has, at least once: those stored, or what stands for them."""
        raise NotImplementedError

    @property
    def weight_sum(self) -> float:
        """Largest sum of ``|weight|`` into one neuron: ``|a| <= weight_sum * max|s|``."""
        raise NotImplementedError

    @property
    def largest_weight(self) -> float:
        """Largest ``|weight|``."""
        return max(float(self.weights.max()), -float(self.weights.min()))

    @property
    def multiplies(self) -> bool:
        """Whether it has weights other than -1, 0 and 1."""
        return not np.isin(self.weights, (-1, 0, 1)).all()

    @property
    def mantissa_bits(self) -> int:
        """Signed width of integer weights, without the power of two that divides them all (Loihi's weight exponent)."""
        weights = np.abs(self.weights.astype(np.int64))
        common = int(np.gcd.reduce(weights.ravel()))
        return int(weights.max() // max(common & -common, 1)).bit_length() + 1

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the input current for spikes of ``input_shape``; SpecError if they do not fit."""
        raise NotImplementedError

    def accumulate(self, s: NDArray[Any]) -> NDArray[Any]:
        """Input current ``a`` for spikes ``s``: ``(batch, *input_shape) -> (batch, *output_shape)``, exact."""
        raise NotImplementedError

    def connectivity(self, input_shape: Shape) -> Connectivity:
        """Who feeds whom, whatever the weights: fan-in, fan-out and the number of synapses."""
        raise NotImplementedError

    def matrix(self, input_shape: Shape) -> Any:
        """The map on flattened spikes, a `scipy.sparse.csr_array` ``(outputs, inputs)`` in float64."""
        from scipy import sparse

        size = math.prod(input_shape)
        firsts = range(0, size, max(1, BLOCK // size))
        parts = (np.eye(min(size - first, firsts.step), size, first).reshape(-1, *input_shape) for first in firsts)
        blocks = [sparse.csr_array(self.accumulate(part).reshape(len(part), -1).astype(np.float64)) for part in parts]
        return sparse.csr_array(sparse.vstack(blocks).T)

    def with_dtype(self, dtype: Any) -> "Synapse":
        """The same with stored weights, if there are any, in another number format."""
        return self

    def weighted(self, input_shape: Shape) -> "Weighted | None":
        """The same map with weights of its own, which can be scaled; None if only a `Sparse` can be that."""
        return None

    def describe(self) -> str:
        """One short text for the summary."""
        return self.type_name

    def stored_extras(self, input_shape: Shape) -> dict[str, Any]:
        """Datasets that netx has and that follow from the parameters: written for other readers, checked on load."""
        return {}


def widened(s: NDArray[Any]) -> NDArray[Any]:
    """Integers as int64, in which sums of them fit; floats as they are."""
    return s.astype(np.int64, copy=False) if s.dtype.kind in "iu" else s


def per_channel(values: Any, shape: Shape) -> NDArray[Any] | None:
    """One value for each channel (the first axis) of ``shape``, float64; None if they differ within a channel."""
    full = np.broadcast_to(np.asarray(values, np.float64), shape).reshape(shape[0], -1)
    return full[:, 0].copy() if (full == full[:, :1]).all() else None


def absolute_sum(weight: NDArray[Any], axis: int) -> NDArray[Any]:
    """Sums of ``|weight|`` along an axis in float64, without a copy of all weights in float64."""
    positive, negative = (part.sum(axis, np.float64) for part in (np.maximum(weight, 0), np.minimum(weight, 0)))
    return positive - negative


class Weighted(Synapse):
    """Base of layer types with stored weights."""

    weight: NDArray[Any] = array(stored_as="weight", doc="weights")

    @property
    def is_float(self) -> bool:
        return self.weight.dtype.kind == "f"

    @property
    def num_weights(self) -> int:
        return self.weight.size

    @property
    def weight_sum(self) -> float:
        return float(absolute_sum(self.weight.reshape(len(self.weight), -1), axis=1).max())

    @property
    def weights(self) -> NDArray[Any]:
        return self.weight

    def with_dtype(self, dtype: Any) -> Self:
        return self.replace(weight=self.weight.astype(dtype))

    def weighted(self, input_shape: Shape) -> Self:
        return self

    def scaled(self, factors: Any) -> Self:
        """The same type with ``weight * factors``, computed in float64."""
        return self.replace(weight=self.weight.astype(np.float64) * factors)

    def with_rows(self, factors: NDArray[Any], input_shape: Shape) -> "Weighted | None":
        """``factors * self``, one for each element of the result; None if no type holds that."""
        channels = per_channel(factors, self.output_shape(input_shape))
        return None if channels is None else self.scaled(self._by_output(channels))

    def with_columns(self, factors: NDArray[Any], input_shape: Shape) -> "Weighted | None":
        """``self * factors``, one for each spike; None if no type holds that."""
        channels = per_channel(factors, input_shape)
        return None if channels is None else self.scaled(self._by_input(channels))

    def _by_output(self, channels: NDArray[Any]) -> NDArray[Any]:
        """Values of the result's channels, so that they broadcast to the weights."""
        return channels.reshape(-1, *[1] * (self.weight.ndim - 1))

    def _by_input(self, channels: NDArray[Any]) -> NDArray[Any]:
        """Values of the spikes' channels, so that they broadcast to the weights."""
        raise NotImplementedError

    def channel_rows(self, input_shape: Shape) -> list[NDArray[Any]]:
        """The weights into each channel of the result, float64."""
        return list(self.weight.astype(np.float64).reshape(len(self.weight), -1))

    def _exact(self, s: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        dtype = np.float64 if self.is_float or s.dtype.kind == "f" else np.int64
        return s.astype(dtype), self.weight.astype(dtype)
