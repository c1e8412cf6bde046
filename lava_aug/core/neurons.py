"""Neuron types: when they fire, and what they send.

Parameters are numbers, or arrays that broadcast to the shape of the layer, such as ``(C, 1, 1)`` for one value per
channel. Integers make a fixed-point neuron, a floating-point ``vth`` makes a floating-point one, which does not
saturate. To add a neuron, write a subclass with a ``type_name`` and `fire`, decorated with ``@registered(NEURONS)``.

Source: the double threshold and the augmented spike are from Yu, Ma et al., IEEE TNNLS 33(4), 2022, arXiv 2005.03231;
the exact rules, which its abstract leaves open, are our choice (docs/arithmetic.md).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core import fixed_point
from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import Array, carried, cast_like, extremes, floor_div, is_array
from lava_aug.core.functions import FunctionNeuron
from lava_aug.core.neuron import NEURONS, Cost, Doubt, Neuron, Shape, State, Step, Variable, broadcasts, initial_state
from lava_aug.core.products import ProductNeuron
from lava_aug.core.sliding import Window, window_counts, window_maxima
from lava_aug.core.spec import Numbers, boolean, every, frozen, integer, numbers, offending, pair, registered

__all__ = [
    "NEURONS",
    "AugmentedNeuron",
    "Cost",
    "DoubleThresholdNeuron",
    "Doubt",
    "FunctionNeuron",
    "MaxPoolNeuron",
    "Neuron",
    "ProductNeuron",
    "RateNeuron",
    "ReadoutNeuron",
    "State",
    "Step",
    "Variable",
    "broadcasts",
    "initial_state",
]

MAX_VTH = fixed_point.signed_range(fixed_point.STATE_BITS)[1]

MAX_N_MAX = fixed_point.signed_range(fixed_point.PORT_BITS)[1]
"""Largest bound on the mean coefficient: any payload is narrower, and its product with the time fits into 64 bits."""

FLOAT_VTH_LO = 2.0**-16
"""Default ``-vth_lo / vth`` of floating-point neurons: a float has no next number below zero that is the same at every
scale as -1 is for integers, so this small part of the threshold stands for it."""


def _is_float(value: Any) -> bool:
    return value.dtype.kind == "f" if is_array(value) else isinstance(value, float)


def _is_power_of_two(value: Any) -> bool:
    integers = np.asarray(value, np.int64)
    return bool((integers & (integers - 1) == 0).all())


class _Threshold(Neuron):
    """What the three threshold neurons share."""

    negative = False
    settable = ("vth", "v0")

    vth: Numbers = numbers(
        stored_as="vThMant",
        doc="threshold, and the amount subtracted from v per unit of spike coefficient; "
        "1 .. 2**23-1, or a positive float",
    )
    v0: Numbers | None = numbers(
        optional=True, default=None, stored_as="v0", doc="potential at the start of a window; default floor(vth / 2)"
    )
    n_max: Numbers | None = numbers(
        low=1,
        high=MAX_N_MAX,
        whole=True,
        optional=True,
        default=None,
        stored_as="nMax",
        doc="upper bound on n / t, the mean coefficient since the start of the window: ReLU6, clamp; default none",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(
            "vth",
            lambda vth: (vth > 0) & (self.is_float | (vth <= MAX_VTH)),
            f"an integer from 1 to {MAX_VTH} or a positive float",
        )
        if self.v0 is None:
            object.__setattr__(self, "v0", self.vth / 2 if self.is_float else self.vth // 2)
        self._same_format("v0")

    def _check(self, name: str, possible: Callable[[Any], Any], expected: str) -> None:
        value = getattr(self, name)
        if not every(possible, value):
            raise SpecError(f"{type(self).__name__}.{name}: expected {expected}, found {offending(possible, value)}")

    def _same_format(self, name: str) -> None:
        """Fixed-point parameters must be 24-bit integers; in floating point, integers become floats."""
        if not self.is_float:
            low, high = fixed_point.signed_range(fixed_point.STATE_BITS)
            expected = f"an integer from {low} to {high}, as vth is an integer"
            self._check(name, lambda v: (np.asarray(v).dtype.kind in "iu") & (low <= v) & (v <= high), expected)
        value = getattr(self, name)
        if is_array(value):
            value = frozen(value.astype(np.float32) if self.is_float else value)
        elif self.is_float:
            value = float(value)
        object.__setattr__(self, name, value)

    @property
    def is_float(self) -> bool:
        return _is_float(self.vth)

    def initial(self) -> tuple[Numbers, int]:
        assert self.v0 is not None  # set in __post_init__
        return self.v0, 0

    def _bounded(self, s: Array, n: Array, t: int) -> Array:
        # With n <= n_max * t, this only touches s > 0. Float32 rounds the product where it is beyond what n can reach.
        return s if self.n_max is None else s.clip(max=carried(self.n_max, n) * t - n)

    def _rest(self, v: Array, s: Array) -> Array:
        return v - s * carried(self.vth, v)

    def peak(self, v: Array, s: Array) -> Array:
        return v + s * carried(self.vth, v)

    @property
    def event_cost(self) -> Cost:
        """The reset; a graded spike takes a division and the product ``s * vth`` as well, unless both are shifts."""
        if self.coefficient_limit <= 1 or (not self.is_float and _is_power_of_two(self.vth)):
            return Cost(additions=1)
        return Cost(additions=1, products=((fixed_point.STATE_BITS, fixed_point.STATE_BITS),) * 2)

    @property
    def rectifies(self) -> bool:
        return True

    @property
    def keeps_n(self) -> bool:
        return self.n_max is not None or (self.negative and self.rectifies)

    @property
    def thresholds(self) -> Mapping[str, Numbers]:
        return {"vth": self.vth}

    def wanted(self, drive: int) -> int:
        vth = int(np.min(self.vth))
        return (vth - 1 + drive) // vth + 1 if self.graded else self.coefficient_limit

    def mean(self, a: Array, *, clip: bool) -> Array:
        c = a / carried(self.vth, a)
        c = c.clip(min=0) if self.rectifies else c
        c = c if self.n_max is None else c.clip(max=carried(self.n_max, c))
        return c.clip(-self.coefficient_limit, self.coefficient_limit) if clip else c


@registered(NEURONS)
class RateNeuron(_Threshold):
    """Ordinary integrate-and-fire neuron with soft reset, the baseline: ``s = 1 if v >= vth else 0``.

    Examples
    --------
    >>> neuron = RateNeuron(vth=10, v0=0)
    >>> neuron.step(State(np.array([4, 25]), np.array([0, 0])), np.array([5, 5]), 0).s
    array([0, 1])
    """

    type_name = "IF"
    fire_cost = Cost(additions=1)

    def fire(self, v: Array, n: Array) -> Array:
        return cast_like(v >= carried(self.vth, v), v)


class _DoubleThreshold(_Threshold):
    """What neurons with a lower threshold share."""

    negative = True
    settable = ("vth", "v0", "vth_lo")

    vth_lo: Numbers | None = numbers(
        optional=True,
        default=None,
        stored_as="vThLo",
        doc="lower threshold, negative; default -1 (floating point: -vth * 2**-16)",
    )
    signed: bool = boolean(
        default=False,
        stored_as="signed",
        doc="whether n may become negative (pooling relays, linear outputs); otherwise the neuron is a ReLU",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vth_lo is None:
            object.__setattr__(self, "vth_lo", -self.vth * FLOAT_VTH_LO if self.is_float else -1)
        self._same_format("vth_lo")
        self._check("vth_lo", lambda vth_lo: vth_lo < 0, "a negative number")

    @property
    def rectifies(self) -> bool:
        return not self.signed

    @property
    def thresholds(self) -> Mapping[str, Numbers]:
        assert self.vth_lo is not None  # set in __post_init__
        return {"vth": self.vth, "vth_lo": self.vth_lo}

    def describe(self) -> str:
        return self.type_name + (" signed" if self.signed else "")


@registered(NEURONS)
class DoubleThresholdNeuron(_DoubleThreshold):
    """TerMapping's neuron: ordinary spikes of both signs::

        s = +1   if v >= vth
        s = -1   if v <= vth_lo and n > 0       (signed: whatever n is)
        s =  0   otherwise

    ``n > 0`` makes it a ReLU: it takes back what it sent too early, and no more.

    Examples
    --------
    >>> neuron = DoubleThresholdNeuron(vth=10)
    >>> neuron.step(State(np.array([5, 5, 5]), np.array([0, 0, 1])), np.array([25, -9, -9]), 0).s
    array([ 1,  0, -1])
    """

    type_name = "DTIF"
    fire_cost = Cost(additions=2)

    def fire(self, v: Array, n: Array) -> Array:
        up = cast_like(v >= carried(self.vth, v), v)
        down = cast_like(v <= carried(self.vth_lo, v), v)
        return up - (down if self.signed else down.clip(max=n))


@registered(NEURONS)
class AugmentedNeuron(_DoubleThreshold):
    """AugMapping's neuron: as many double-threshold spikes as fit into the step, in one graded spike::

        s = floor(v / vth)                              if v >= vth
        s = -min(n, floor((vth_lo - v) / vth) + 1)      if v <= vth_lo      (signed: without the min)
        s = 0                                           otherwise
        |s| <= 2**(message_bits - 1) - 1

    With ``vth_lo = -1``, no saturation and no cap, after every step since the reset
    ``n = max(0, floor((v0 + sum of (a + b)) / vth))``, whatever the order of the inputs (docs/arithmetic.md).

    Examples
    --------
    >>> neuron = AugmentedNeuron(vth=10)
    >>> neuron.step(State(np.array([5, 5, 5]), np.array([0, 1, 9])), np.array([37, -40, -40]), 0).s
    array([ 4, -1, -4])
    """

    type_name = "AUGIF"
    graded = True
    fire_cost = Cost(additions=2)

    message_bits: int = integer(
        low=2,
        high=fixed_point.MAX_MESSAGE_BITS,
        default=fixed_point.MESSAGE_BITS,
        stored_as="payloadBits",
        doc="width of the signed payload: a coefficient is at most 2**(payloadBits - 1) - 1, of either sign",
    )

    @property
    def coefficient_limit(self) -> int:
        return fixed_point.symmetric_limit(self.message_bits)

    def fire(self, v: Array, n: Array) -> Array:
        # Below each threshold the quotient is not positive, so clipping at zero is the "otherwise" of the equation.
        vth, low = carried(self.vth, v), carried(self.vth_lo, v)
        up = floor_div(v, vth).clip(min=0)
        down = (floor_div(low - v, vth) + 1).clip(min=0)
        return up - (down if self.signed else down.clip(max=n))

    @property
    def no_total(self) -> str | None:
        if self.is_float:
            return "computes in floating point, where the theorem does not hold exactly"
        if every(_is_minus_one, self.vth_lo):
            return None
        offender = offending(_is_minus_one, self.vth_lo)
        return f"has vth_lo = {offender}; only with -1 are sums independent of order"

    def settled(self, u: Array, t: int) -> Array:
        n = floor_div(u, carried(self.vth, u))
        n = n if self.signed else n.clip(min=0)
        return n if self.n_max is None else n.clip(max=carried(self.n_max, n) * t)

    def swing(self, u: Array, n: Array, t: int, *, steady: bool) -> float:
        low, high = extremes(u)
        # A steady input can only push a silent neuron further down, where clipping changes nothing.
        down = 0.0 if steady or self.signed else -low
        up = high / t + np.max(self.vth)
        if self.n_max is not None:  # what the bound keeps back piles up
            up += extremes(u - n * carried(self.vth, u))[1]
        return max(down, up)

    def doubts(self) -> Iterator[Doubt]:
        if not _is_power_of_two(self.vth):
            vth = int(np.max(self.vth))
            yield Doubt(
                found=vth,
                problem=f"spikes are v / vth, vth up to {vth:,} is no power of two, and microcode may not divide",
                change="convert with power_of_two_vth=True (--power-of-two-vth), which makes it a shift",
            )


def _is_minus_one(value: float) -> bool:
    return value == -1


@registered(NEURONS)
class ReadoutNeuron(Neuron):
    """Integrates and never fires: ``v = sat24(v + a + b)``, from 0. The prediction is the argmax of ``v``.

    Examples
    --------
    >>> ReadoutNeuron().step(State(np.array([1, 2**23 - 1]), np.array([0, 0])), np.array([5, 5]), 0).state.v
    array([      6, 8388607])
    """

    type_name = "READOUT"
    fires = False
    fire_cost = Cost()

    floating: bool = boolean(default=False, stored_as="floating", doc="whether v is floating point, without saturation")

    @property
    def is_float(self) -> bool:
        return self.floating

    @property
    def coefficient_limit(self) -> int:
        return 0

    def initial(self) -> tuple[Numbers, int]:
        return (0.0 if self.floating else 0), 0

    def fire(self, v: Array, n: Array) -> Array:
        return n  # stays 0

    def mean(self, a: Array, *, clip: bool) -> Array:
        return a

    @property
    def gain(self) -> Numbers:
        return 1

    @property
    def no_total(self) -> str | None:
        return "computes in floating point, where sums depend on their order" if self.is_float else None

    def settled(self, u: Array, t: int) -> Array:
        return u


@registered(NEURONS)
class MaxPoolNeuron(Neuron):
    """Max pooling: passes on the maximum over its inputs' running sums::

        v = sat24(v + a)                        for each input
        s = max over the window of v - n        for each output; outside of the map is minus infinity
        |s| <= 2**(message_bits - 1) - 1

    Without saturation and cap, after every step since the reset ``n`` is the maximum over the window of what has come
    in over each input. If inputs change by -1, 0 or 1, so does their maximum. The window slides over the last two axes,
    so ``v`` and the input current have another shape than ``n`` and ``s``. Parameters are those of
    `torch.nn.MaxPool2d`; pairs are (height, width).

    Examples
    --------
    >>> neuron = MaxPoolNeuron(kernel_size=(1, 2))
    >>> neuron.step(State(np.array([[5, 3, 0, 0]]), np.array([[5, 0]])), np.array([[-4, 1, -2, -1]]), 0).s
    array([[-1, -1]])
    """

    type_name = "MAXPOOL"
    graded = True
    takes_bias = False
    fire_cost = Cost(additions=1)

    kernel_size: tuple[int, int] = pair(low=1, stored_as="kernelSize", doc="height and width of the window")
    stride: tuple[int, int] | None = pair(
        low=1, optional=True, default=None, stored_as="stride", doc="steps of the window; default the window's size"
    )
    padding: tuple[int, int] = pair(low=0, default=(0, 0), stored_as="padding", doc="minus infinity on each side")
    dilation: tuple[int, int] = pair(low=1, default=(1, 1), stored_as="dilation", doc="distance of window elements")
    ceil_mode: bool = boolean(
        default=False, stored_as="ceilMode", doc="whether a last window may end beyond the padding, begun on the map"
    )
    message_bits: int = integer(
        low=2,
        high=fixed_point.MAX_MESSAGE_BITS,
        default=fixed_point.MESSAGE_BITS,
        stored_as="payloadBits",
        doc="width of the signed payload: a coefficient is at most 2**(payloadBits - 1) - 1, of either sign",
    )
    floating: bool = boolean(default=False, stored_as="floating", doc="whether v is floating point, without saturation")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride is None:
            object.__setattr__(self, "stride", self.kernel_size)
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        if any(2 * padding > span for padding, span in zip(self.padding, spans, strict=True)):
            raise SpecError(
                f"MaxPoolNeuron.padding: expected at most half of the window, which spans {tuple(spans)}, "
                f"found {self.padding}"
            )

    @property
    def is_float(self) -> bool:
        return self.floating

    @property
    def coefficient_limit(self) -> int:
        return fixed_point.symmetric_limit(self.message_bits)

    @property
    def _windows(self) -> list[Window]:
        assert self.stride is not None  # set in __post_init__
        return list(map(Window, self.kernel_size, self.stride, self.padding, self.dilation))

    def initial(self) -> tuple[Numbers, int]:
        return (0.0 if self.floating else 0), 0

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) < 2:
            raise SpecError(f"MaxPoolNeuron: expected input current (..., height, width), found shape {shape}")
        try:
            return (*shape[:-2], *window_counts(self._windows, shape[-2:], self.ceil_mode))
        except SpecError as error:
            raise SpecError(f"MaxPoolNeuron: {error}") from None

    def describe(self) -> str:
        size, stride = ("x".join(map(str, sizes)) for sizes in (self.kernel_size, self.stride or ()))
        return f"{self.type_name} {size}/{stride}"

    def maxima(self, v: Array) -> Array:
        """The maximum over each window, ``(..., *shape) -> (..., *output_shape(shape))``."""
        return window_maxima(v, self._windows, self.ceil_mode)

    def fire(self, v: Array, n: Array) -> Array:
        return self.maxima(v) - n

    @property
    def inputs(self) -> int:
        return math.prod(self.kernel_size)

    def sent_limit(self, arriving: int) -> int:
        """What it takes: if its inputs change by at most so much, so does their maximum."""
        return arriving

    def told(self, before: State, a: NDArray[Any], bias: NDArray[Any], at: tuple[int, ...]) -> dict[str, Any]:
        """Several potentials and currents belong to a neuron that pools: the largest ones decide."""
        v = before.v
        return {"largest v": self.maxima(v)[at], "largest v + a": self.maxima(v + a)[at], "n": before.n[at]}

    def mean(self, a: Array, *, clip: bool) -> Array:
        return self.maxima(a)

    @property
    def gain(self) -> Numbers:
        return 1

    @property
    def no_total(self) -> str | None:
        return "computes in floating point, where sums depend on their order" if self.is_float else None

    def settled(self, u: Array, t: int) -> Array:
        return self.maxima(u)

    def doubts(self) -> Iterator[Doubt]:
        yield Doubt(
            found=self.inputs,
            problem=f"max pooling keeps {self.inputs:,} inputs apart, which neurons get as one sum",
            change="train with average pooling or strided convolutions",
        )
