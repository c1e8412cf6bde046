"""Layer types: what a synapse adds up, the shapes it takes and gives, and how many synapses that is.

A layer of a `Network` is one or more of these synapses, a bias and a neuron. `Synapse.accumulate` is the definition:
plain integer arithmetic. `blas`, `events`, `bounded` and `torch` are faster forms of the same sum, held against it by
the conformance tests; a new layer type gets by without them. To add one, write a subclass with `output_shape`,
`accumulate` and `fan_out`, decorated with ``@registered(SYNAPSES)``.

Axes are PyTorch's: ``(channels, height, width)`` for maps and ``(out, in, height, width)`` for kernels, and the
operation is PyTorch's cross-correlation.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lava_aug.errors import SpecError
from lava_aug.spec import Spec, array, integer, pair, registered

if TYPE_CHECKING:
    from torch import Tensor

SYNAPSES: dict[str, type["Synapse"]] = {}
"""Every synapse by the name of its type in files."""

Shape = tuple[int, ...]


class EventForm(NamedTuple):
    """A kernel whose time grows with the number of events, and the activity up to which that pays.

    Attributes
    ----------
    kernel : callable
        Input current for spikes of one sample, float32.
    break_even : float
        Fraction of non-zero spikes below which it is faster than BLAS.
    """

    kernel: Callable[[np.ndarray], np.ndarray]
    break_even: float


class BoundedForm(NamedTuple):
    """A kernel faster than BLAS that is exact in float32 for small payloads only.

    Attributes
    ----------
    kernel : callable
        Input current for spikes of one sample, float32.
    largest : int
        Largest magnitude of a spike for which it is exact.
    gain : float
        How many times faster than BLAS it is.
    """

    kernel: Callable[[np.ndarray], np.ndarray]
    largest: int
    gain: float


def break_even(outputs: int) -> float:
    """Measured: BLAS takes about a quarter of the time per product, and every event has a fixed cost of about 32."""
    return 0.25 * outputs / (outputs + 32)


class Synapse(Spec):
    """Base of all layer types: a linear map from one layer's spikes to another's input current."""

    type_name: ClassVar[str]

    @property
    def is_float(self) -> bool | None:
        """Whether the weights are floating point; None if there are none."""
        return None

    @property
    def num_weights(self) -> int:
        """Stored weights, shared ones counted once."""
        return 0

    @property
    def weight_sum(self) -> float:
        """Largest sum of ``|weight|`` into one neuron: ``|a| <= weight_sum * max|s|``."""
        raise NotImplementedError

    @property
    def largest_weight(self) -> float:
        """Largest ``|weight|``."""
        return 1.0

    def largest_input_sum(self, s: "Tensor") -> float | None:
        """Bound on the sum of ``|s|`` over what arrives at one neuron, for a batch in torch; None if not known."""
        return None

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the input current for spikes of ``input_shape``; SpecError if they do not fit."""
        raise NotImplementedError

    def accumulate(self, s: np.ndarray) -> np.ndarray:
        """Input current ``a`` for spikes ``s``: ``(batch, *input_shape) -> (batch, *output_shape)``, exact."""
        raise NotImplementedError

    def fan_out(self, input_shape: Shape) -> np.ndarray:
        """Synapses that leave each input neuron, shape ``input_shape``."""
        raise NotImplementedError

    def blas(self, input_shape: Shape, dtype: np.dtype) -> Callable[[np.ndarray], np.ndarray]:
        """`accumulate` for one sample of number format ``dtype`` (float32 or float64), dense.

        The result may be overwritten by the next call, but never shares memory with the spikes.
        """
        return lambda s: np.array(self.accumulate(s[None])[0])

    def events(self, input_shape: Shape) -> "EventForm | None":
        """`accumulate` for one sample in float32, event by event; None if there is no such form."""
        return None

    def bounded(self, input_shape: Shape) -> "BoundedForm | None":
        """`accumulate` for one sample in float32, dense, for payloads up to a bound; None if there is no such form."""
        return None

    def torch(self, dtype: Any, device: Any) -> "Callable[[Tensor], Tensor]":
        """`accumulate` for a batch in torch, of number format ``dtype`` on ``device``."""
        import torch

        return lambda s: torch.as_tensor(self.accumulate(s.cpu().numpy()), device=device).to(dtype)

    def describe(self) -> str:
        """One short text for the summary."""
        return self.type_name

    def stored_extras(self, input_shape: Shape) -> dict[str, Any]:
        """Datasets that netx has and that follow from the parameters: written for other readers, checked on load."""
        return {}


def _widened(s: np.ndarray) -> np.ndarray:
    """Integers as int64, in which sums of them fit; floats as they are."""
    return s.astype(np.int64, copy=False) if s.dtype.kind in "iu" else s


class _Weighted(Synapse):
    weight: np.ndarray = array(stored_as="weight", doc="weights, (out, in) or (out, in / groups, height, width)")

    @property
    def is_float(self) -> bool:
        return self.weight.dtype.kind == "f"

    @property
    def num_weights(self) -> int:
        return self.weight.size

    @property
    def weight_sum(self) -> float:
        rows = np.abs(self.weight.reshape(len(self.weight), -1).astype(np.float64)).sum(axis=1)
        return float(rows.max())

    @property
    def largest_weight(self) -> float:
        return float(np.abs(self.weight.astype(np.float64)).max())

    def _exact(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        dtype = np.float64 if self.is_float or s.dtype.kind == "f" else np.int64
        return s.astype(dtype), self.weight.astype(dtype)


@registered(SYNAPSES)
class Dense(_Weighted):
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


class _Sliding(Synapse):
    """What layers that slide a window over a map share."""

    stride: tuple[int, int] = pair(low=1, default=(1, 1), stored_as="stride", doc="steps of the window")
    padding: tuple[int, int] = pair(low=0, default=(0, 0), stored_as="padding", doc="zeros on each side")
    dilation: tuple[int, int] = pair(low=1, default=(1, 1), stored_as="dilation", doc="distance of window elements")

    @property
    def window(self) -> tuple[int, int]:
        """Height and width of the window, in elements."""
        raise NotImplementedError

    def _map_shape(self, input_shape: Shape) -> tuple[int, int]:
        if len(input_shape) != 3:
            raise SpecError(f"{type(self).__name__}: expected input (channels, height, width), found {input_shape}")
        sizes = [
            (size + 2 * pad - dilation * (window - 1) - 1) // stride + 1
            for size, window, stride, pad, dilation in zip(
                input_shape[1:], self.window, self.stride, self.padding, self.dilation, strict=True
            )
        ]
        if min(sizes) < 1:
            raise SpecError(f"{type(self).__name__}: window {self.window} does not fit into input {input_shape}")
        return sizes[0], sizes[1]

    def _windows(self, s: np.ndarray) -> np.ndarray:
        """``(..., C, H, W) -> (..., C, H_out, W_out, kh, kw)``, a view of the padded input."""
        lead = [(0, 0)] * (s.ndim - 2)
        padded = np.pad(s, [*lead, (self.padding[0],) * 2, (self.padding[1],) * 2])
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.window, strict=True)]
        views = sliding_window_view(padded, spans, axis=(-2, -1))  # pyright: ignore[reportCallIssue, reportArgumentType]
        return views[..., :: self.stride[0], :: self.stride[1], :: self.dilation[0], :: self.dilation[1]]

    def _uses(self, input_shape: Shape) -> np.ndarray:
        """How many windows hold each position of the map, ``(H, W)``: the product of its counts along the axes."""
        counts = []
        for axis, outputs in enumerate(self._map_shape(input_shape)):
            positions = (
                np.arange(outputs)[:, None] * self.stride[axis]
                - self.padding[axis]
                + np.arange(self.window[axis])[None, :] * self.dilation[axis]
            ).ravel()
            size = input_shape[axis + 1]
            counts.append(np.bincount(positions[(positions >= 0) & (positions < size)], minlength=size))
        return np.outer(*counts)


@registered(SYNAPSES)
class Conv(_Sliding, _Weighted):
    """Two-dimensional convolution as PyTorch defines it::

        a[o, y, x] = sum over i, j, k of weight[o, i, j, k] * s[i, y*stride - padding + j*dilation, ...]

    Parameters and shapes are those of `torch.nn.Conv2d`; pairs are (height, width).
    """

    type_name = "conv"

    groups: int = integer(low=1, default=1, stored_as="groups", doc="groups of channels that do not mix")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight.ndim != 4:
            raise SpecError(f"Conv.weight: expected shape (out, in/groups, height, width), found {self.weight.shape}")
        if self.weight.shape[0] % self.groups:
            raise SpecError(f"Conv.groups: {self.weight.shape[0]} output channels do not divide by {self.groups}")

    @property
    def window(self) -> tuple[int, int]:
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def in_channels(self) -> int:
        return self.weight.shape[1] * self.groups

    def output_shape(self, input_shape: Shape) -> Shape:
        size = self._map_shape(input_shape)
        if input_shape[0] != self.in_channels:
            raise SpecError(f"Conv: expected {self.in_channels} input channels, found {input_shape[0]}")
        return (self.weight.shape[0], *size)

    def accumulate(self, s: np.ndarray) -> np.ndarray:
        s, weight = self._exact(s)
        grouped = s.reshape(len(s), self.groups, -1, *s.shape[2:])
        weight = weight.reshape(self.groups, -1, *weight.shape[1:])
        a = np.einsum("bgiyxjk,goijk->bgoyx", self._windows(grouped), weight)
        return a.reshape(len(s), -1, *a.shape[3:])

    def largest_input_sum(self, s: "Tensor") -> float:
        import torch

        over_channels = s.abs().sum(1, keepdim=True)
        window = torch.ones(1, 1, *self.window, dtype=s.dtype, device=s.device)
        sums = torch.nn.functional.conv2d(over_channels, window, None, self.stride, self.padding, self.dilation)
        return sums.max().item()

    def fan_out(self, input_shape: Shape) -> np.ndarray:
        per_use = self.weight.shape[0] // self.groups
        return np.broadcast_to(self._uses(input_shape) * per_use, input_shape).astype(np.int64)

    def blas(self, input_shape: Shape, dtype: np.dtype) -> Callable[[np.ndarray], np.ndarray]:
        from lava_aug.compiled_synapses import column_convolution

        options = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        channels, height, width = self.output_shape(input_shape)
        return column_convolution(self.weight.astype(dtype), (channels, height, width), self.groups, **options)

    def events(self, input_shape: Shape) -> EventForm:
        from lava_aug.compiled_synapses import convolve_events

        shape = self.output_shape(input_shape)
        per_group = shape[0] // self.groups
        weight = self.weight.reshape(self.groups, per_group, *self.weight.shape[1:])
        weight = np.ascontiguousarray(weight.transpose(0, 2, 3, 4, 1), np.float32)
        weight = weight.reshape(self.in_channels, *self.window, per_group)
        total = np.empty((*shape[1:], shape[0]), np.float32)

        def convolve(s: np.ndarray) -> np.ndarray:
            convolve_events(s, weight, total, self.stride, self.padding, self.dilation)
            return np.ascontiguousarray(total.transpose(2, 0, 1))

        return EventForm(convolve, break_even(per_group))

    def bounded(self, input_shape: Shape) -> BoundedForm | None:
        from lava_aug import winograd

        if self.is_float or not winograd.suits(self.weight, self.stride, self.dilation, self.groups):
            return None
        kernel = winograd.tiled_convolution(self.weight, input_shape, self.padding, (1, 2))
        return BoundedForm(kernel, winograd.largest_payload(self.weight), winograd.GAIN)

    def torch(self, dtype: Any, device: Any) -> "Callable[[Tensor], Tensor]":
        import torch

        weight = torch.tensor(self.weight).to(device, dtype)
        options = (self.stride, self.padding, self.dilation, self.groups)
        return lambda s: torch.nn.functional.conv2d(s, weight, None, *options)

    def describe(self) -> str:
        marks = [f"conv {'x'.join(map(str, self.window))}"]
        marks += [f"/{'x'.join(map(str, self.stride))}"] if self.stride != (1, 1) else []
        marks += [f"dilation {'x'.join(map(str, self.dilation))}"] if self.dilation != (1, 1) else []
        marks += [f"groups {self.groups}"] if self.groups > 1 else []
        return " ".join(marks)

    def stored_extras(self, input_shape: Shape) -> dict[str, Any]:
        return {
            "inChannels": self.in_channels,
            "outChannels": self.weight.shape[0],
            "kernelSize": np.array(self.window),
        }


@registered(SYNAPSES)
class SumPool(_Sliding):
    """Sum of the spikes in each window, channel by channel; all weights are 1.

    Average pooling is this sum with the division by ``kh * kw`` moved into the layer's quantum or threshold.
    """

    type_name = "pool"

    kernel_size: tuple[int, int] = pair(low=1, stored_as="kernelSize", doc="height and width of the window")

    @property
    def window(self) -> tuple[int, int]:
        return self.kernel_size

    @property
    def weight_sum(self) -> float:
        return float(math.prod(self.kernel_size))

    def output_shape(self, input_shape: Shape) -> Shape:
        size = self._map_shape(input_shape)
        return (input_shape[0], *size)

    def accumulate(self, s: np.ndarray) -> np.ndarray:
        return self._windows(_widened(s)).sum(axis=(-2, -1))

    def fan_out(self, input_shape: Shape) -> np.ndarray:
        return np.broadcast_to(self._uses(input_shape), input_shape).astype(np.int64)

    def blas(self, input_shape: Shape, dtype: np.dtype) -> Callable[[np.ndarray], np.ndarray]:
        from lava_aug.compiled_synapses import sum_windows

        total = np.empty(self.output_shape(input_shape), dtype)

        def pool(s: np.ndarray) -> np.ndarray:
            sum_windows(s, total, self.kernel_size, self.stride, self.padding, self.dilation)
            return total

        return pool

    def torch(self, dtype: Any, device: Any) -> "Callable[[Tensor], Tensor]":
        import torch

        if self.dilation == (1, 1) and all(2 * p <= k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            return lambda s: torch.nn.functional.avg_pool2d(
                s, self.kernel_size, self.stride, self.padding, divisor_override=1
            )
        return super().torch(dtype, device)

    def describe(self) -> str:
        return f"sum pool {'x'.join(map(str, self.kernel_size))}"


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
        return _widened(s)

    def fan_out(self, input_shape: Shape) -> np.ndarray:
        return np.ones(input_shape, np.int64)

    def torch(self, dtype: Any, device: Any) -> "Callable[[Tensor], Tensor]":
        return lambda s: s
