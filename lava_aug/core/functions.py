"""A neuron that computes a function other than ReLU, from a table.

The neuron keeps the sum of what has come in, and so sends what `Neuron.total` of it says: after every step of a window
the sum of its coefficients is the function of the mean input, times the number of steps (docs/arithmetic.md).
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core import fixed_point
from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import (
    Array,
    carried,
    cast_like,
    doubles,
    floor_div,
    integers,
    is_array,
    is_whole,
    saturate,
)
from lava_aug.core.neuron import MAX_STEPS, NEURONS, Cost, Doubt, Neuron, State
from lava_aug.core.spec import Numbers, array, every, integer, numbers, offending, registered, text

MAX_VTH = fixed_point.signed_range(fixed_point.STATE_BITS)[1]

MAX_ENTRIES = (1 << 16) + 1
"""Most entries of a table. Larger ones are mistakes, or files that claim what no chip has room for."""

MAX_PRODUCT = 1 << 62
"""Largest magnitude that a product may have on the way: whatever is added to it, the sum is within 64 bits."""


class MeanNeuron(Neuron):
    """Base of neurons that keep all of their input, and send what a function of its mean says."""

    graded = True
    fire_cost = Cost()

    message_bits: int

    @property
    def coefficient_limit(self) -> int:
        return fixed_point.symmetric_limit(self.message_bits)

    def initial(self) -> tuple[Numbers, int]:
        return (0.0 if self.is_float else 0), 0

    def due(self, v: Array, n: Array, t: int) -> Array:
        return cast_like(self._checked_sum(v, t) - (n if self.is_float else integers(n)), v)

    def _sum(self, v: Array, t: int) -> Array:
        """The sum of the coefficients after ``t`` steps in which ``v`` came in: int64, or floats of whole numbers."""
        raise NotImplementedError

    def _checked_sum(self, v: Array, t: int) -> Array:
        if t > MAX_STEPS:
            name = type(self).__name__
            raise SpecError(f"{name}: expected windows of at most {MAX_STEPS:,} steps, found step {t:,}")
        return self._sum(v, t)

    @property
    def no_total(self) -> str | None:
        return "computes in floating point, where sums depend on their order" if self.is_float else None

    def settled(self, u: Array, t: int) -> Array:
        n = self._checked_sum(u if self.is_float else saturate(u), t)  # far beyond 24 bits products would overflow
        return n if is_whole(u) else doubles(n)  # it may be more than float32 holds


@registered(NEURONS)
class FunctionNeuron(MeanNeuron):
    """Sends a function of the mean input, which a table gives, with straight lines between its entries::

        v = sat24(v + a + b)                                in step t of the window, from 1; v is never reset in it
        m = floor(v * 2**fraction_bits / (t * vth))         the mean input
        i = min(max(floor((m - low) / 2**step_bits), 0), len(table) - 2)
        r = m - low - i * 2**step_bits
        F = table[i] + floor((table[i+1] - table[i]) * r / 2**step_bits)        beyond both ends the lines go on
        s = floor((t * F + half) / 2**shift) - n            half = 2**(shift - 1), or 0 if shift is 0
        |s| <= 2**(message_bits - 1) - 1

    Without saturation, after every step without cap ``n = floor((t * F + half) / 2**shift)``, whatever the order of the
    inputs. With a floating-point ``vth`` only the coefficients are rounded, and ``v`` does not saturate. The table of a
    real function is made by `lava_aug.core.function_tables.function_table`.

    Examples
    --------
    The magnitude, of inputs in units of 10:

    >>> neuron = FunctionNeuron(vth=10, table=[8, 0, 8], low=-8, step_bits=3)
    >>> neuron.step(State(np.array([0, 0]), np.array([0, 0])), np.array([30, -70]), 0).s
    array([3, 7])
    """

    type_name = "FUNCTION"
    shared = ("table",)
    fire_cost = Cost(additions=8)

    vth: Numbers = numbers(
        stored_as="vThMant",
        doc="input current per step that is one unit of the mean input; 1 .. 2**23-1, or a positive float",
    )
    table: NDArray[Any] = array(
        ndim=1,
        whole=True,
        stored_as="table",
        doc="the function at its nodes, 2 to 65537, in units of 2**-shift of a coefficient per step",
    )
    low: int = integer(
        low=-(1 << 40),
        high=1 << 40,
        stored_as="low",
        doc="mean input of the first entry, in units of 2**-fractionBits of vThMant",
    )
    step_bits: int = integer(
        low=0, high=31, stored_as="stepBits", doc="entries are 2**stepBits apart, in the units of low"
    )
    fraction_bits: int = integer(
        low=0, high=31, default=0, stored_as="fractionBits", doc="fraction bits of the mean input"
    )
    shift: int = integer(low=0, high=31, default=0, stored_as="shift", doc="fraction bits of the table's entries")
    message_bits: int = integer(
        low=2,
        high=fixed_point.MAX_MESSAGE_BITS,
        default=fixed_point.MESSAGE_BITS,
        stored_as="payloadBits",
        doc="width of the signed payload: a coefficient is at most 2**(payloadBits - 1) - 1, of either sign",
    )
    function: str | None = text(
        optional=True, default=None, stored_as="function", doc="name of the function, for people"
    )

    def __post_init__(self) -> None:
        super().__post_init__()

        def possible(vth: Any) -> Any:
            return (vth > 0) & (self.is_float | (vth <= MAX_VTH))

        if not every(possible, self.vth):
            expected = f"an integer from 1 to {MAX_VTH} or a positive float"
            raise SpecError(f"FunctionNeuron.vth: expected {expected}, found {offending(possible, self.vth)}")
        if not 2 <= len(self.table) <= MAX_ENTRIES:
            raise SpecError(f"FunctionNeuron.table: expected 2 to {MAX_ENTRIES} entries, found {len(self.table)}")
        if not self.is_float and max(self._products()) > MAX_PRODUCT:
            raise SpecError(
                f"FunctionNeuron.table: expected products below 2**62 in windows of up to {MAX_STEPS:,} steps, found "
                f"one of {max(self._products()).bit_length()} bits; use smaller entries with a smaller shift, or fewer "
                "fraction_bits"
            )

    def _products(self) -> tuple[int, int, int]:
        """Largest magnitudes of ``v * 2**fraction_bits``, of the product in ``F``, and of ``t * F``, for any input."""
        state = 1 << (fixed_point.STATE_BITS - 1 + self.fraction_bits)
        mean = state // int(np.min(self.vth)) + 1  # of one step; of t, a t-th of it
        span = abs(self.low) + ((len(self.table) - 1) << self.step_bits) + 1
        fixed = self._largest + 2 + (self._steepest * span >> self.step_bits)  # F, but for what grows with the mean
        return state, self._steepest * (mean + span), MAX_STEPS * fixed + (self._steepest * mean >> self.step_bits)

    @property
    def _largest(self) -> int:
        return max(map(abs, self.table.tolist()))

    @property
    def _steepest(self) -> int:
        """The largest difference between neighbouring entries."""
        entries = self.table.tolist()
        return max(abs(after - before) for before, after in pairwise(entries))

    @property
    def is_float(self) -> bool:
        return self.vth.dtype.kind == "f" if is_array(self.vth) else isinstance(self.vth, float)

    def describe(self) -> str:
        return f"{self.type_name} {self.function}" if self.function else self.type_name

    def told(self, before: State, a: NDArray[Any], bias: NDArray[Any], at: tuple[int, ...]) -> dict[str, Any]:
        """With the number of steps before this one, which the mean depends on."""
        return {**super().told(before, a, bias, at), "t": before.t}

    # What it computes

    def _sum(self, v: Array, t: int) -> Array:
        whole = v if self.is_float else integers(v)
        share = t * carried(self.vth, whole)
        m = whole * 2.0**self.fraction_bits / share if self.is_float else floor_div(whole << self.fraction_bits, share)
        total = t * self._curve(m) + ((1 << self.shift) >> 1)
        return floor_div(total, 1 << self.shift) if self.is_float else total >> self.shift

    def _curve(self, m: Array) -> Array:
        """``F``: of integers as they are, of floats without rounding."""
        table, from_low = carried(self.table, m), m - self.low
        i = integers(_halved(from_low, self.step_bits).clip(0, len(self.table) - 2))
        r = from_low - i * (1 << self.step_bits)
        return table[i] + _halved((table[i + 1] - table[i]) * r, self.step_bits)

    def mean(self, a: Array, *, clip: bool) -> Array:
        c = self._curve(a / carried(self.vth, a) * 2.0**self.fraction_bits) / 2.0**self.shift
        return c.clip(-self.coefficient_limit, self.coefficient_limit) if clip else c

    @property
    def gain(self) -> Numbers:
        """Of the steepest line of the table."""
        bits = self.fraction_bits - self.step_bits - self.shift
        return max(self._steepest, 1) * 2.0**bits / self.vth

    def wanted(self, drive: int) -> int:
        """Largest coefficient if nothing were rounded: the function's own, and what one input changes of the mean."""
        reach = -(-(drive << self.fraction_bits) // int(np.min(self.vth)))
        high = self.low + ((len(self.table) - 1) << self.step_bits)
        beyond = max(0, reach + self.low, reach - high)
        lines = -(-self._steepest * (beyond + 2 * reach) >> self.step_bits)
        return ((self._largest + lines) >> self.shift) + 1

    # What it costs

    @property
    def step_cost(self) -> Cost:
        """With the division by ``t * vth``, the line between two entries, and the product with ``t``."""
        divided, line, scaled = (
            (fixed_point.STATE_BITS + self.fraction_bits, fixed_point.STATE_BITS),
            (self._steepest.bit_length() + 1, self.step_bits + 1),
            (self._largest.bit_length() + 1, MAX_STEPS.bit_length()),
        )
        return super().step_cost + Cost(products=(divided, line, scaled))

    def doubts(self) -> Iterator[Doubt]:
        bits = max(self._products()).bit_length() + 1
        yield Doubt(
            found=bits,
            problem=f"it divides by the number of steps, and computes with integers of up to {bits} bits, "
            "and microcode may do neither",
            change="use an activation of straight pieces, such as ReLU",
        )


def _halved(x: Array, times: int) -> Array:
    """``floor(x / 2**times)`` of integers, ``x / 2**times`` of floats."""
    return x >> times if is_whole(x) else x / 2.0**times
