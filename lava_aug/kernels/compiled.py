"""A time step of whole populations in one pass over memory: the neurons of `lava_aug.core.neurons`, compiled by numba.

This is a second implementation of the same specification, for speed; the conformance tests check it against the first,
bit for bit. Functions are in `lava_aug.kernels.compiled_functions`; the three threshold neurons are one function::

    x    = min(max(v + a + b, low), high)
    up   = clip(floor(x / vth), 0, up_cap)
    down = clip(floor((vth_lo - x) / vth) + 1, 0, down_cap), at most n unless signed
    s    = clip(min(up - down, n_max * t - n), -limit, limit)

in step ``t`` of the window, with ``up_cap = 1`` for ordinary spikes, ``down_cap = 0`` for rate neurons and so on.
Integers are carried in float32, which is exact for 24-bit states (`lava_aug.core.fixed_point.floor_div`,
`lava_aug.simulation.simulator`); ``n_max * t`` is only rounded where it is beyond ``2**24``, which ``n`` does not
reach. There are two compiled forms: all neurons share ``vth``, ``vth_lo`` and ``n_max``, or each has its own.
Compilation takes a few seconds once; numba keeps the result in its cache. The functions release the interpreter's lock,
start no threads, and survive a fork.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from lava_aug.core import fixed_point
from lava_aug.core.fixed_point import is_array
from lava_aug.core.layers import Shape
from lava_aug.core.neurons import (
    AugmentedNeuron,
    DoubleThresholdNeuron,
    FunctionNeuron,
    MaxPoolNeuron,
    Neuron,
    RateNeuron,
    ReadoutNeuron,
)
from lava_aug.core.spec import Numbers
from lava_aug.kernels import compiled_functions
from lava_aug.kernels.counting import CAPPED, EVENTS, LARGEST, SATURATED, SPIKE_SUM, weighted_events

NO_LIMIT = float(1 << 30)
"""Stands for infinity: every quantity is below ``2**25``."""

BELOW = np.float32(-(1 << 30))
"""Less than every potential."""

# Values are finite and zeros have no sign that matters: nothing is rounded differently under these flags.
_MATH = {"nnan", "ninf", "nsz"}


class Parameters(NamedTuple):
    """Arguments of the compiled step, all float32; the first three may be arrays that broadcast to the layer."""

    vth: Numbers
    vth_lo: Numbers
    n_max: Numbers
    up_cap: float
    down_cap: float
    below_n: float
    limit: float
    low: float
    high: float


def _range(neuron: Neuron) -> tuple[float, float]:
    """What potentials are clipped to."""
    low, high = fixed_point.signed_range(fixed_point.STATE_BITS)
    return (-NO_LIMIT, NO_LIMIT) if neuron.is_float else (float(low), float(high))


def _spiking(neuron: Any, up_cap: float, down_cap: float) -> Parameters:
    low, high = _range(neuron)
    return Parameters(
        vth=neuron.vth,
        vth_lo=neuron.thresholds.get("vth_lo", -1),
        n_max=NO_LIMIT if neuron.n_max is None else neuron.n_max,
        up_cap=up_cap,
        down_cap=down_cap,
        below_n=0 if neuron.rectifies else NO_LIMIT,
        limit=neuron.coefficient_limit,
        low=low,
        high=high,
    )


def _readout(neuron: ReadoutNeuron) -> Parameters:
    return Parameters(1, -1, NO_LIMIT, 0, 0, 0, 0, *_range(neuron))


PARAMETERS: dict[type[Neuron], Callable[[Any], Parameters]] = {
    RateNeuron: lambda neuron: _spiking(neuron, 1, 0),
    DoubleThresholdNeuron: lambda neuron: _spiking(neuron, 1, 1),
    AugmentedNeuron: lambda neuron: _spiking(neuron, NO_LIMIT, NO_LIMIT),
    ReadoutNeuron: _readout,
}
"""How each neuron of the one function maps to it."""


def _arguments(neuron: Neuron, shape: Shape) -> tuple[Any, ...]:
    """The parameters in float32; if one of them is an array, all that may be are, with an element for each neuron."""
    parameters = PARAMETERS[type(neuron)](neuron)
    varying: tuple[Any, ...] = parameters[:3]
    if any(is_array(value) for value in varying):
        varying = tuple(np.broadcast_to(value, shape).astype(np.float32).reshape(-1) for value in varying)
    else:
        varying = tuple(np.float32(value) for value in varying)
    return (*varying, *(np.float32(value) for value in parameters[3:]))


def at(values: Any, i: int) -> Any:
    """The parameter of neuron ``i``, where neurons have one each, or the one that they share."""
    raise NotImplementedError("only compiled code calls it")


@overload(at)
def _at(values: Any, i: Any) -> Any:
    def each(values: Any, i: Any) -> Any:
        return values[i]

    def shared(values: Any, i: Any) -> Any:
        return values

    return each if isinstance(values, numba.types.Array) else shared


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_MATH)
def _fire(
    v: NDArray[Any],
    n: NDArray[Any],
    a: NDArray[Any],
    bias: NDArray[Any],
    s: NDArray[Any],
    counts: NDArray[Any],
    t: Any,
    vth: Any,
    vth_lo: Any,
    n_max: Any,
    up_cap: Any,
    down_cap: Any,
    below_n: Any,
    limit: Any,
    low: Any,
    high: Any,
) -> None:
    zero, one = np.float32(0), np.float32(1)
    for b in range(v.shape[0]):
        vb, nb, ab, sb = v[b], n[b], a[b], s[b]
        events, total, saturated, capped, largest = np.int32(0), np.int64(0), np.int32(0), np.int32(0), np.int32(0)
        for i in range(v.shape[1]):
            raw = np.float32(vb[i] + ab[i] + bias[i])
            x = min(max(raw, low), high)
            m = nb[i]
            unit = at(vth, i)
            up = min(max(np.floor(x / unit), zero), up_cap)
            down = min(min(max(np.floor((at(vth_lo, i) - x) / unit) + one, zero), down_cap), m + below_n)
            wanted = min(up - down, at(n_max, i) * t - m)
            out = min(max(wanted, -limit), limit)
            sb[i] = out
            vb[i] = x - out * unit
            nb[i] = m + out
            events += np.int32(out != zero)
            size = np.int32(abs(out))
            total += size
            largest = max(largest, size)  # of integers: a maximum of floats would keep the loop from being vectorised
            saturated += np.int32(raw != x)
            capped += np.int32(out != wanted)
        counts[b, EVENTS], counts[b, SPIKE_SUM] = events, total
        counts[b, SATURATED], counts[b, CAPPED], counts[b, LARGEST] = saturated, capped, largest


@numba.njit(nogil=True, cache=True)
def _inside(offset: int, stride: int, length: int, count: int) -> tuple[int, int]:
    """The windows, from and to, of which the element at an offset lies on an axis."""
    first = 0 if offset >= 0 else -(offset // stride)
    return first, min(count, (length - 1 - offset) // stride + 1)


@numba.njit(nogil=True, cache=True, fastmath=_MATH)
def _fire_pools(
    v: NDArray[Any],
    n: NDArray[Any],
    a: NDArray[Any],
    s: NDArray[Any],
    counts: NDArray[Any],
    size: NDArray[Any],
    stride: NDArray[Any],
    padding: NDArray[Any],
    dilation: NDArray[Any],
    limit: Any,
    low: Any,
    high: Any,
) -> None:
    """Integrate ``v (B, maps, H, W)``, send the change of maxima in ``s (B, maps, H_out, W_out)``, and count."""
    for b in range(v.shape[0]):
        vb, ab = v[b].reshape(-1), a[b].reshape(-1)
        events, total, saturated, capped, largest = np.int32(0), np.int64(0), np.int32(0), np.int32(0), np.int32(0)
        for i in range(vb.shape[0]):
            raw = np.float32(vb[i] + ab[i])
            x = min(max(raw, low), high)
            vb[i] = x
            saturated += np.int32(raw != x)
        for c in range(v.shape[1]):
            _maxima(v[b, c], s[b, c], size, stride, padding, dilation)
        nb, sb = n[b].reshape(-1), s[b].reshape(-1)
        for i in range(nb.shape[0]):
            wanted = sb[i] - nb[i]
            out = min(max(wanted, -limit), limit)
            sb[i] = out
            nb[i] += out
            events += np.int32(out != 0)
            change = np.int32(abs(out))
            total += change
            largest = max(largest, change)
            capped += np.int32(out != wanted)
        counts[b, EVENTS], counts[b, SPIKE_SUM] = events, total
        counts[b, SATURATED], counts[b, CAPPED], counts[b, LARGEST] = saturated, capped, largest


@numba.njit(nogil=True, cache=True, fastmath=_MATH)
def _maxima(
    x: NDArray[Any],
    maxima: NDArray[Any],
    size: NDArray[Any],
    stride: NDArray[Any],
    padding: NDArray[Any],
    dilation: NDArray[Any],
) -> None:
    """The largest element of every window of one map."""
    maxima[:] = BELOW
    for i in range(size[0]):
        top = i * dilation[0] - padding[0]
        first, last = _inside(top, stride[0], x.shape[0], maxima.shape[0])
        for j in range(size[1]):
            left = j * dilation[1] - padding[1]
            begin, end = _inside(left, stride[1], x.shape[1], maxima.shape[1])
            for oy in range(first, last):
                row, target = x[oy * stride[0] + top], maxima[oy]
                for ox in range(begin, end):
                    target[ox] = max(target[ox], row[ox * stride[1] + left])


class Compiled:
    """The neurons of one layer for a batch of images, from reset through a window.

    Parameters
    ----------
    neuron : Neuron
        Specification; its type must be in `COMPILED`.
    shape : tuple of int
        Shape of the input current.
    batch : int
        Number of images.
    bias : array or None
        Broadcastable to ``shape``.

    Attributes
    ----------
    sent_shape : tuple of int
        Shape of what is sent.
    v : numpy.ndarray
        Potential, float32, ``(batch, currents)``.
    n, s : numpy.ndarray
        Sum of coefficients, and coefficients of the last step: float32 ``(batch, spikes)``.
    counts : numpy.ndarray
        Of the last step, int64 ``(batch, 5)``; columns as in `lava_aug.kernels.counting`.
    """

    def __init__(self, neuron: Neuron, shape: Shape, batch: int, bias: NDArray[Any] | None) -> None:
        self.neuron, self.shape, self.sent_shape = neuron, shape, neuron.output_shape(shape)
        values = np.zeros(shape, np.float32) if bias is None else np.broadcast_to(bias, shape).astype(np.float32)
        self.bias = values.reshape(-1)
        self.v = np.empty((batch, self.bias.size), np.float32)
        self.n, self.s = (np.empty((batch, math.prod(self.sent_shape)), np.float32) for _ in range(2))
        self.counts = np.zeros((batch, 5), np.int64)
        self.reset()

    def reset(self) -> None:
        """Start a window."""
        v, n = self.neuron.initial()
        self.v[:] = np.broadcast_to(v, self.shape).reshape(-1)
        self.n.fill(n)

    def step(self, a: NDArray[Any], t: int, rows: slice = slice(None)) -> None:
        """One time step of some images.

        Parameters
        ----------
        a : numpy.ndarray, float32 or float64, shape (batch, currents)
            Input current of all images.
        t : int
            Which step of the window it is, counted from 1.
        rows : slice
            Which images; so that threads can share the work.
        """
        raise NotImplementedError

    def keep(self, rows: NDArray[Any]) -> None:
        """Forget all images but some, given as bool ``(batch,)``."""
        self.v, self.n, self.s, self.counts = self.v[rows], self.n[rows], self.s[rows], self.counts[rows]


class CompiledPopulation(Compiled):
    """Threshold neurons and readouts: those of `PARAMETERS`."""

    def __init__(self, neuron: Neuron, shape: Shape, batch: int, bias: NDArray[Any] | None) -> None:
        super().__init__(neuron, shape, batch, bias)
        self.parameters = _arguments(neuron, shape)

    def step(self, a: NDArray[Any], t: int, rows: slice = slice(None)) -> None:
        arrays = (self.v[rows], self.n[rows], a[rows], self.bias, self.s[rows], self.counts[rows])
        _fire(*arrays, np.float32(t), *self.parameters)


class CompiledMaxPool(Compiled):
    """Max pooling."""

    def __init__(self, neuron: MaxPoolNeuron, shape: Shape, batch: int, bias: NDArray[Any] | None) -> None:
        super().__init__(neuron, shape, batch, bias)
        size, stride, padding, dilation = (
            np.array(pair) for pair in (neuron.kernel_size, neuron.stride, neuron.padding, neuron.dilation)
        )
        self.windows = (size, stride, padding, dilation)
        self.limits = tuple(map(np.float32, (neuron.coefficient_limit, *_range(neuron))))

    def step(self, a: NDArray[Any], t: int, rows: slice = slice(None)) -> None:
        currents, spikes = (-1, *self.shape[-2:]), (-1, *self.sent_shape[-2:])

        def maps(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
            return values[rows].reshape(len(values[rows]), *shape)

        _fire_pools(
            maps(self.v, currents),
            maps(self.n, spikes),
            maps(a, currents),
            maps(self.s, spikes),
            self.counts[rows],
            *self.windows,
            *self.limits,
        )


class CompiledFunction(Compiled):
    """Functions by a table."""

    def __init__(self, neuron: FunctionNeuron, shape: Shape, batch: int, bias: NDArray[Any] | None) -> None:
        super().__init__(neuron, shape, batch, bias)
        number = np.float64 if neuron.is_float else np.int64
        self.vth = np.broadcast_to(neuron.vth, shape).astype(number).reshape(-1)
        exponents = (neuron.fraction_bits, neuron.step_bits, neuron.shift)
        fraction, step, unit = (number(2.0**bits if neuron.is_float else bits) for bits in exponents)
        half = number((1 << neuron.shift) >> 1)
        self.curve = compiled_functions.Curve(
            neuron.table.astype(number), number(neuron.low), fraction, step, unit, half
        )
        self.limits = (number(neuron.coefficient_limit), *map(np.float32, _range(neuron)))

    def step(self, a: NDArray[Any], t: int, rows: slice = slice(None)) -> None:
        arrays = (self.v[rows], self.n[rows], a[rows], self.bias, self.s[rows], self.counts[rows])
        compiled_functions.fire(*arrays, t, self.vth, self.curve, *self.limits)


COMPILED: dict[type[Neuron], Callable[[Any, Shape, int, NDArray[Any] | None], Compiled]] = {
    **dict.fromkeys(PARAMETERS, CompiledPopulation),
    MaxPoolNeuron: CompiledMaxPool,
    FunctionNeuron: CompiledFunction,
}
"""What runs each neuron that has a compiled form; the others take `Neuron.step`."""


def compiled_population(neuron: Neuron, shape: Shape, batch: int, bias: NDArray[Any] | None) -> Compiled:
    """The compiled form of a neuron; parameters as for `Compiled`."""
    return COMPILED[type(neuron)](neuron, shape, batch, bias)


def is_compiled(neuron: Neuron, num_steps: int) -> bool:
    """Whether a neuron has a compiled form that is exact for windows of so many steps: ``|n| <= 2**24`` throughout."""
    return type(neuron) in COMPILED and num_steps * neuron.coefficient_limit <= 1 << 24


def warm_up() -> None:
    """Compile, or read from numba's cache, what Lava's processes need: call it before they are forked."""
    function = FunctionNeuron(vth=1, table=np.array([0, 1]), low=0, step_bits=0)
    thresholds = [AugmentedNeuron(vth=2), AugmentedNeuron(vth=np.array([2]))]
    for neuron in (*thresholds, MaxPoolNeuron(kernel_size=(1, 1)), function, function.replace(vth=1.0)):
        population = compiled_population(neuron, (1, 1), 1, None)
        for dtype in (np.float32, np.float64):
            population.step(np.zeros((1, 1), dtype), 1)
    weighted_events(np.zeros((1, 1), np.float32), np.zeros(1, np.int32))
