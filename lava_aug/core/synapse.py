"""What every layer type has: the base class `Synapse`, the table that knows them by name, and `Connectivity`.

`Connectivity` says who feeds whom, whatever the weights: fan-in, fan-out and counts follow from one declaration.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from lava_aug.core.fixed_point import BLOCK
from lava_aug.core.spec import Spec, array

Shape = tuple[int, ...]


class Block(NamedTuple):
    """Connections along one or more axes.

    Attributes
    ----------
    fan_in, fan_out : numpy.ndarray
        Synapses into each output, and out of each input, int64.
    matrix : callable
        Makes the array of counts, ``(outputs, inputs)``, plain or scipy's sparse ones.
    """

    fan_in: NDArray[Any]
    fan_out: NDArray[Any]
    matrix: Callable[[], Any]


def one_to_one(count: int) -> Block:
    """Each input to the output of the same place."""
    each = np.ones(count, np.int64)
    return Block(each, each, lambda: _counts(np.arange(count), np.arange(count), count, count))


def all_to_all(outputs: int, inputs: int) -> Block:
    """Each input to each output."""
    fan_in, fan_out = np.full(outputs, inputs, np.int64), np.full(inputs, outputs, np.int64)
    return Block(fan_in, fan_out, lambda: np.ones((outputs, inputs), np.int64))


def listed(rows: NDArray[Any], columns: NDArray[Any], outputs: int, inputs: int) -> Block:
    """One synapse for each pair of an output (``rows``) and an input (``columns``)."""
    fan_in, fan_out = np.bincount(rows, minlength=outputs), np.bincount(columns, minlength=inputs)
    return Block(fan_in, fan_out, lambda: _counts(rows, columns, outputs, inputs))


def _counts(rows: NDArray[Any], columns: NDArray[Any], outputs: int, inputs: int) -> Any:
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(rows), np.int64), (rows, columns)), shape=(outputs, inputs))


class Connectivity:
    """Synapses between inputs and outputs of given shapes: the Kronecker product of blocks, over axes in C order.

    Parameters
    ----------
    input_shape, output_shape : tuple of int
        Of the spikes and of the input current.
    *blocks : Block
        From the first axes to the last: ``[all_to_all(out, in), one_to_one(height * width)]`` is a 1x1 convolution.

    Examples
    --------
    >>> found = Connectivity((2, 3), (1, 3), all_to_all(1, 2), one_to_one(3))
    >>> found.fan_in.tolist(), found.fan_out.tolist(), found.count
    ([[2, 2, 2]], [[1, 1, 1], [1, 1, 1]], 6)
    >>> found.matrix().toarray()
    array([[1, 0, 0, 1, 0, 0],
           [0, 1, 0, 0, 1, 0],
           [0, 0, 1, 0, 0, 1]])
    """

    def __init__(self, input_shape: Shape, output_shape: Shape, *blocks: Block) -> None:
        self.input_shape, self.output_shape, self.blocks = input_shape, output_shape, blocks

    @property
    def fan_in(self) -> NDArray[Any]:
        """Synapses into each output, int64 ``output_shape``."""
        return _product([block.fan_in for block in self.blocks]).reshape(self.output_shape)

    @property
    def fan_out(self) -> NDArray[Any]:
        """Synapses out of each input, int64 ``input_shape``."""
        return _product([block.fan_out for block in self.blocks]).reshape(self.input_shape)

    @property
    def count(self) -> int:
        """All synapses."""
        return int(np.prod([block.fan_in.sum() for block in self.blocks], dtype=object))

    def matrix(self) -> Any:
        """How many synapses lead from each input to each output, both flattened.

        Returns
        -------
        scipy.sparse.csr_array of int64, shape (outputs, inputs)
            0 and 1, as no synapse of ours connects two neurons twice. It has `count` entries: not for large layers.
        """
        from scipy import sparse

        product = functools.partial(sparse.kron, format="csr")  # blocks of zeros are not stored
        return sparse.csr_array(functools.reduce(product, [block.matrix() for block in self.blocks]), dtype=np.int64)


def _product(counts: list[NDArray[Any]]) -> NDArray[Any]:
    return functools.reduce(np.multiply.outer, counts)


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
        found = self.row_factors(factors, input_shape)
        if found is not None:
            return self.scaled(found)
        apart = self._by_place(input_shape)
        return None if apart is None else apart.with_rows(factors, input_shape)

    def with_columns(self, factors: NDArray[Any], input_shape: Shape) -> "Weighted | None":
        """``self * factors``, one for each spike; None if no type holds that."""
        found = self.column_factors(factors, input_shape)
        if found is not None:
            return self.scaled(found)
        apart = self._by_place(input_shape)
        return None if apart is None else apart.with_columns(factors, input_shape)

    def row_factors(self, factors: NDArray[Any], input_shape: Shape) -> NDArray[Any] | None:
        """Factors of the result's elements, broadcast to the weights; None if they differ where a weight is shared."""
        channels = per_channel(factors, self.output_shape(input_shape))
        return None if channels is None else self._by_output(channels)

    def column_factors(self, factors: NDArray[Any], input_shape: Shape) -> NDArray[Any] | None:
        """Factors of the spikes, broadcast to the weights; None if they differ where a weight is shared."""
        channels = per_channel(factors, input_shape)
        return None if channels is None else self._by_input(channels)

    def _by_place(self, input_shape: Shape) -> "Weighted | None":
        """The same map with weights of its own for every place; None if no type holds that."""
        return None

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
