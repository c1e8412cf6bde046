"""Layer types: a synapse's sum, its input and output shapes, and its number of synapses.

A layer of a `Network` is one or more of these synapses, a bias and a neuron. `Synapse.accumulate` is the definition:
plain integer arithmetic. Faster forms of the same sum are in `lava_aug.kernels`, registered by the layer type and
checked against it by the conformance tests; a new layer type gets by without them. To add one, write a subclass with
`output_shape`, `accumulate` and `connectivity`, decorated with ``@registered(SYNAPSES)``, here or in a module that is
imported here: import layer types from this one. Those that are plain matrices are here, every neuron to every other, or
to the one of the same place.
"""

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import SpecError
from lava_aug.core.sliding import Conv, SumPool
from lava_aug.core.sparse import Sparse
from lava_aug.core.spec import array, integer, registered
from lava_aug.core.synapse import (
    SYNAPSES,
    Connectivity,
    Shape,
    Synapse,
    Weighted,
    all_to_all,
    listed,
    one_to_one,
    widened,
)
from lava_aug.core.transposed import ConvTranspose

INPUT = "input"
"""Name under which layers refer to the images."""

INPUT_LEVELS = 255
"""Largest input payload: images are graded spikes of uint8 intensity, quantum 1/255."""

__all__ = [
    "INPUT",
    "INPUT_LEVELS",
    "SYNAPSES",
    "Conv",
    "ConvTranspose",
    "Dense",
    "Relay",
    "Scale",
    "Shape",
    "Sparse",
    "SumPool",
    "Synapse",
]


MAX_UNROLLED = 1 << 22
"""Most weights of a dense layer along the last axis that has its own for every place."""


@registered(SYNAPSES)
class Dense(Weighted):
    """``a[o] = sum over i of weight[o, i] * s[i]``.

    Spikes of any shape are flattened in C order. If their last axis alone has as many elements as there are inputs, the
    sum goes along that axis, as in `torch.nn.Linear`: ``(..., in) -> (..., out)``.

    Examples
    --------
    >>> Dense(weight=[[1, 2, 3], [4, 5, 6]]).accumulate(np.array([[1, 0, -1]]))
    array([[-2, -2]])
    """

    type_name = "dense"
    flattens = learned = True
    groups: ClassVar[int] = 1

    weight: NDArray[Any] = array(stored_as="weight", doc="weights, (out, in)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight.ndim != 2:
            raise SpecError(f"Dense.weight: expected shape (out, in), found {self.weight.shape}")

    def output_shape(self, input_shape: Shape) -> Shape:
        outputs, inputs = self.weight.shape
        if math.prod(input_shape) == inputs:
            return (outputs,)
        if input_shape[-1] == inputs:
            return (*input_shape[:-1], outputs)
        raise SpecError(f"Dense: expected {inputs} inputs, found {math.prod(input_shape)} (shape {input_shape})")

    def summed_axis_last(self, s: Any) -> Any:
        """Spikes of a batch, array or tensor, with the axis that is summed over as the last one."""
        return s.reshape(len(s), -1) if math.prod(s.shape[1:]) == self.weight.shape[1] else s

    def accumulate(self, s: NDArray[Any]) -> NDArray[Any]:
        s, weight = self._exact(s)
        return self.summed_axis_last(s) @ weight.T

    def connectivity(self, input_shape: Shape) -> Connectivity:
        shape, places = self.output_shape(input_shape), math.prod(input_shape) // self.weight.shape[1]
        return Connectivity(input_shape, shape, one_to_one(places), all_to_all(*self.weight.shape))

    def matrix(self, input_shape: Shape) -> Any:
        from scipy import sparse

        places = math.prod(input_shape) // self.weight.shape[1]
        return sparse.csr_array(sparse.kron(sparse.identity(places), self.weight.astype(np.float64)))

    def row_factors(self, factors: NDArray[Any], input_shape: Shape) -> NDArray[Any] | None:
        places = factors.reshape(-1, len(self.weight))
        return places[0][:, None] if (places == places[0]).all() else None

    def column_factors(self, factors: NDArray[Any], input_shape: Shape) -> NDArray[Any] | None:
        places = factors.reshape(-1, self.weight.shape[1])
        return places[0] if (places == places[0]).all() else None

    def _by_place(self, input_shape: Shape) -> Sparse | None:
        """The same map with weights of their own for every place along the other axes; None if they are too many."""
        if math.prod(input_shape) * len(self.weight) > MAX_UNROLLED:
            return None
        return Sparse.from_map(self.matrix(input_shape), self.output_shape(input_shape))

    def channel_rows(self, input_shape: Shape) -> list[NDArray[Any]]:
        shape = self.output_shape(input_shape)
        if len(shape) == 1:
            return super().channel_rows(input_shape)
        return [self.weight.astype(np.float64).reshape(-1)] * shape[0]

    def describe(self) -> str:
        return f"dense {self.weight.shape[1]} -> {self.weight.shape[0]}"

    def stored_extras(self, input_shape: Shape) -> dict[str, Any]:
        return {"inFeatures": self.weight.shape[1], "outFeatures": self.weight.shape[0]}


@registered(SYNAPSES)
class Relay(Synapse):
    """Passes every spike on to the neuron of the same place: ``a = s``."""

    type_name = "relay"
    is_identity = keeps_place = True

    @property
    def weights(self) -> NDArray[Any]:
        return np.ones(1, np.int8)

    @property
    def weight_sum(self) -> float:
        return 1.0

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def accumulate(self, s: NDArray[Any]) -> NDArray[Any]:
        return widened(s)

    def connectivity(self, input_shape: Shape) -> Connectivity:
        return Connectivity(input_shape, input_shape, one_to_one(math.prod(input_shape)))

    def matrix(self, input_shape: Shape) -> Any:
        return self.connectivity(input_shape).matrix().astype(np.float64)

    def weighted(self, input_shape: Shape) -> "Scale":
        return Scale(weight=np.ones(input_shape[0], np.int8))


@registered(SYNAPSES)
class Scale(Weighted):
    """Channel by channel, to the neurons of the same place in channels from ``offset`` on::

        a[offset + c, ...] = weight[c] * s[c, ...]

    The other channels of the result get nothing. It is the identity of a residual sum, whose channels may have
    different units, and a part's place in a concatenation of channels.

    Takes spikes of one or more axes, of which the first is the channel.

    Examples
    --------
    >>> Scale(weight=[2, 3], offset=1, channels=4).accumulate(np.array([[1, -1]]))
    array([[ 0,  2, -3,  0]])
    """

    type_name = "scale"
    keeps_place = True

    weight: NDArray[Any] = array(ndim=1, stored_as="weight", doc="one weight for each channel of the spikes")
    offset: int = integer(low=0, default=0, stored_as="offset", doc="channel of the result that the first one goes to")
    channels: int | None = integer(
        low=1, optional=True, default=None, stored_as="channels", doc="channels of the result; default offset + in"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out_channels < self.end:
            raise SpecError(
                f"Scale.channels: {len(self.weight)} channels from {self.offset} on need at least {self.end}, "
                f"found {self.channels}"
            )

    @property
    def out_channels(self) -> int:
        """Channels of the result."""
        return self.end if self.channels is None else self.channels

    @property
    def channel_matrix(self) -> NDArray[Any]:
        """What it does to the channels of one place, ``(out, in)``."""
        matrix = np.zeros((self.out_channels, len(self.weight)), self.weight.dtype)
        matrix[self.offset : self.end] = np.diag(self.weight)
        return matrix

    @property
    def end(self) -> int:
        """The first channel behind those that it writes."""
        return self.offset + len(self.weight)

    def output_shape(self, input_shape: Shape) -> Shape:
        if input_shape[0] != len(self.weight):
            raise SpecError(f"Scale: expected {len(self.weight)} input channels, found {input_shape[0]}")
        return (self.out_channels, *input_shape[1:])

    def accumulate(self, s: NDArray[Any]) -> NDArray[Any]:
        s, weight = self._exact(s)
        a = np.zeros((len(s), *self.output_shape(s.shape[1:])), s.dtype)
        a[:, self.offset : self.end] = s * self.shaped(weight, s.ndim - 1)
        return a

    @staticmethod
    def shaped(weight: Any, ndim: int) -> Any:
        """Weights, array or tensor, that broadcast over spikes of one sample."""
        return weight.reshape(-1, *[1] * (ndim - 1))

    def connectivity(self, input_shape: Shape) -> Connectivity:
        shape, channels = self.output_shape(input_shape), np.arange(len(self.weight))
        moved = listed(channels + self.offset, channels, self.out_channels, len(channels))
        return Connectivity(input_shape, shape, moved, one_to_one(math.prod(input_shape[1:])))

    def matrix(self, input_shape: Shape) -> Any:
        from scipy.sparse import csr_array

        size, rest = math.prod(input_shape), math.prod(input_shape[1:])
        values, columns = np.repeat(self.weight.astype(np.float64), rest), np.arange(size)
        return csr_array((values, (columns + self.offset * rest, columns)), shape=(self.out_channels * rest, size))

    def _by_output(self, channels: NDArray[Any]) -> NDArray[Any]:
        return channels[self.offset : self.end]

    def _by_input(self, channels: NDArray[Any]) -> NDArray[Any]:
        return channels

    def channel_rows(self, input_shape: Shape) -> list[NDArray[Any]]:
        weight, none = self.weight.astype(np.float64), [np.zeros(0)]
        return none * self.offset + list(weight[:, None]) + none * (self.out_channels - self.end)

    def describe(self) -> str:
        placed = self.out_channels > len(self.weight)
        return "scale" + (f" to {self.offset}:{self.end} of {self.out_channels}" if placed else "")
