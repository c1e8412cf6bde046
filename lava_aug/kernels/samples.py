"""A synapse's sum for one sample, in numpy: its fast forms, and the choice among those that are exact.

Each form is `Synapse.accumulate` for spikes ``(*input_shape)``, registered by the exact class of the synapse, so that a
subclass with a sum of its own never gets its parent's form. Results may be overwritten by the next call.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lava_aug.core import fixed_point
from lava_aug.core.layers import Conv, ConvTranspose, Dense, Scale, Shape, Sparse, SumPool, Synapse
from lava_aug.core.spec import entered
from lava_aug.kernels import compiled, compiled_synapses, winograd

Kernel = Callable[[NDArray[Any]], NDArray[Any]]


class EventForm(NamedTuple):
    """A kernel whose time grows with the number of events, and the activity up to which that pays.

    Attributes
    ----------
    kernel : callable
        Input current for spikes of one sample, float32.
    break_even : float
        Fraction of non-zero spikes below which it is faster than BLAS.
    """

    kernel: Kernel
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

    kernel: Kernel
    largest: int
    gain: float


DENSE: dict[type[Synapse], Callable[[Any, Shape, np.dtype[Any]], Kernel]] = {}
EVENTS: dict[type[Synapse], Callable[[Any, Shape], EventForm | None]] = {}
BOUNDED: dict[type[Synapse], Callable[[Any, Shape], BoundedForm | None]] = {}


def dense_form(synapse: Synapse, input_shape: Shape, dtype: np.dtype[Any]) -> Kernel:
    """The sum for one sample of number format ``dtype`` (float32 or float64), dense; never in the spikes' memory."""
    if type(synapse) in DENSE:
        return DENSE[type(synapse)](synapse, input_shape, dtype)
    return lambda s: np.array(synapse.accumulate(s[None])[0])


def event_form(synapse: Synapse, input_shape: Shape) -> EventForm | None:
    """The sum for one sample in float32, event by event; None if there is no such form."""
    return EVENTS[type(synapse)](synapse, input_shape) if type(synapse) in EVENTS else None


def bounded_form(synapse: Synapse, input_shape: Shape) -> BoundedForm | None:
    """The sum for one sample in float32, dense, for payloads up to a bound; None if there is no such form."""
    return BOUNDED[type(synapse)](synapse, input_shape) if type(synapse) in BOUNDED else None


def break_even(outputs: int) -> float:
    """Measured: BLAS takes about a quarter of the time per product, and every event has a fixed cost of about 32."""
    return 0.25 * outputs / (outputs + 32)


@entered(DENSE, Dense)
def _dense(dense: Dense, input_shape: Shape, dtype: np.dtype[Any]) -> Kernel:
    weight = dense.weight.astype(dtype)
    if len(dense.output_shape(input_shape)) > 1:
        return lambda s: s @ weight.T
    return lambda s: weight @ s.reshape(-1)


@entered(DENSE, Scale)
def _scale(scale: Scale, input_shape: Shape, dtype: np.dtype[Any]) -> Kernel:
    total = np.zeros(scale.output_shape(input_shape), dtype)
    weight = scale.shaped(scale.weight.astype(dtype), len(input_shape))

    def multiply(s: NDArray[Any]) -> NDArray[Any]:
        np.multiply(s, weight, out=total[scale.offset : scale.end])
        return total

    return multiply


@entered(DENSE, Sparse)
def _sparse(sparse: Sparse, input_shape: Shape, dtype: np.dtype[Any]) -> Kernel:
    rows, columns = sparse.indices()
    weight, total = sparse.weight.astype(dtype), np.empty(sparse.shape, dtype)

    def add_up(s: NDArray[Any]) -> NDArray[Any]:
        compiled_synapses.add_entries(s.reshape(-1), rows, columns, weight, total.reshape(-1))
        return total

    return add_up


@entered(DENSE, Conv)
def _conv(conv: Conv, input_shape: Shape, dtype: np.dtype[Any]) -> Kernel:
    weight, map_shape, shape = conv.weight.astype(dtype), conv.map_shape(input_shape), conv.output_shape(input_shape)
    result = (len(weight), *conv.output_size(input_shape))
    convolve = compiled_synapses.column_convolution(weight, result, conv.groups, *conv.geometry)
    return lambda s: convolve(s.reshape(map_shape)).reshape(shape)


@entered(DENSE, SumPool)
def _sum_pool(pool: SumPool, input_shape: Shape, dtype: np.dtype[Any]) -> Kernel:
    shape, map_shape = pool.output_shape(input_shape), pool.map_shape(input_shape)
    total = np.empty((shape[0], *pool.output_size(input_shape)), dtype)
    window = (pool.kernel_size, *pool.geometry)

    def add_up(s: NDArray[Any]) -> NDArray[Any]:
        compiled_synapses.sum_windows(s.reshape(map_shape), total, *window)
        return total.reshape(shape)

    return add_up


@entered(DENSE, ConvTranspose)
def _conv_transpose(conv: ConvTranspose, input_shape: Shape, dtype: np.dtype[Any]) -> Kernel:
    shape = conv.output_shape(input_shape)
    total = np.empty((conv.out_channels, *conv.output_size(input_shape)), dtype)
    height, width = conv.map_shape(input_shape)[1:]
    weight = conv.by_group(conv.weight.astype(dtype))
    rows = np.ascontiguousarray(weight.reshape(*weight.shape[:2], -1).swapaxes(1, 2))

    def convolve(s: NDArray[Any]) -> NDArray[Any]:
        columns = rows @ s.reshape(conv.groups, -1, height * width)
        columns = columns.reshape(*total.shape[:1], *conv.window, height, width)
        compiled_synapses.scatter_columns(columns, total, *conv.geometry)
        return total.reshape(shape)

    return convolve


@entered(EVENTS, Dense)
def _dense_events(dense: Dense, input_shape: Shape) -> EventForm | None:
    if len(dense.output_shape(input_shape)) > 1:
        return None
    weight = np.ascontiguousarray(dense.weight.T, np.float32)
    total = np.empty(weight.shape[1], np.float32)

    def accumulate(s: NDArray[Any]) -> NDArray[Any]:
        compiled_synapses.dense_events(s.reshape(-1), weight, total)
        return total

    return EventForm(accumulate, break_even(len(total)))


@entered(EVENTS, Conv)
def _conv_events(conv: Conv, input_shape: Shape) -> EventForm:
    shape, map_shape = conv.output_shape(input_shape), conv.map_shape(input_shape)
    per_group = shape[0] // conv.groups
    weight = conv.weight.reshape(conv.groups, per_group, *conv.weight.shape[1:])
    weight = np.ascontiguousarray(weight.transpose(0, 2, 3, 4, 1), np.float32)
    weight = weight.reshape(conv.in_channels, *conv.window, per_group)
    total = np.empty((*conv.output_size(input_shape), shape[0]), np.float32)

    def convolve(s: NDArray[Any]) -> NDArray[Any]:
        compiled_synapses.convolve_events(s.reshape(map_shape), weight, total, *conv.geometry)
        return np.ascontiguousarray(total.transpose(2, 0, 1)).reshape(shape)

    return EventForm(convolve, break_even(per_group))


@entered(BOUNDED, Conv)
def _conv_bounded(conv: Conv, input_shape: Shape) -> BoundedForm | None:
    suits = len(input_shape) == 3 and winograd.suits(conv.weight, conv.stride, conv.dilation, conv.groups)
    if conv.is_float or not suits:
        return None
    kernel = winograd.tiled_convolution(conv.weight, input_shape, conv.padding, (1, 2))
    return BoundedForm(kernel, winograd.largest_payload(conv.weight), winograd.GAIN)


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
        self.dense: dict[int, Kernel] = {}
        self.by_event = None if self.is_float else event_form(synapse, input_shape)
        self.bounded = None if self.is_float else bounded_form(synapse, input_shape)

    def __call__(self, s: NDArray[Any], largest: float | None = None, events: int | None = None) -> NDArray[Any]:
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

    def _dense(self, bits: int) -> Kernel:
        if bits not in self.dense:
            self.dense[bits] = dense_form(self.synapse, self.input_shape, np.dtype(f"f{bits // 8}"))
        return self.dense[bits]


def warm_up() -> None:
    """Compile, or read from numba's cache, all that Lava's processes need: call it before they are forked."""
    compiled.warm_up()
    compiled_synapses.warm_up()
