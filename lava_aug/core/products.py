"""A neuron that multiplies two signals: element by element, or as matrices.

It keeps the sums of both, and so sends what `Neuron.total` of them says: after every step of a window the sum of its
coefficients is the product of the mean inputs, times the number of steps (docs/arithmetic.md).
"""

import math
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from lava_aug.core import fixed_point
from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import Array, doubles, extremes, floor_div, integers, is_whole
from lava_aug.core.functions import MeanNeuron
from lava_aug.core.neuron import MAX_STEPS, NEURONS, Cost, Doubt, Shape, State
from lava_aug.core.spec import boolean, integer, registered
from lava_aug.core.spec import shape as declared_shape

MAX_PRODUCT = 1 << 62
"""Largest magnitude that a sum of products may have on the way, so that it is within 64 bits."""

MAX_SHIFT = 45
"""Largest power of two that sums are divided by: times `MAX_STEPS` it has room, too."""

MAX_SIZE = 1 << 25
"""Largest number of rows, columns or matrices, as a layer has no more neurons."""

LARGEST_STATE = 1 << (fixed_point.STATE_BITS - 1)

HALF_BITS = fixed_point.STATE_BITS // 2


def most_factor(inner: int) -> int:
    """The largest factor with which sums of so many products are within their bits, whatever comes in."""
    return (MAX_PRODUCT // 2) // (inner * LARGEST_STATE**2)


@registered(NEURONS)
class ProductNeuron(MeanNeuron):
    """Sends the matrix product of the mean inputs, for each of a batch of matrices::

        v = sat24(v + a)                        v is never reset in a window; first all of x, then all of y
        p[i, j] = sum over k of x[i, k] * y[k, j]
        s = floor(factor * p / (t * 2**shift) + 1 / 2) - n            in step t of the window, from 1
        |s| <= 2**(message_bits - 1) - 1

    The input current is one row: ``x (batch, rows, inner)``, then ``y (batch, inner, columns)``, each in C order.
    Without saturation and cap, after every step ``n = floor(factor * p / (t * 2**shift) + 1 / 2)``, whatever the order
    of the inputs. All of it is exact: 24 by 24 bits, summed up and multiplied within 63. With ``floating`` only the
    coefficients are rounded, and ``v`` does not saturate.

    Examples
    --------
    Two products of two numbers each, in halves:

    >>> import numpy as np
    >>> neuron = ProductNeuron(batch=2, sent=(2,), shift=1)
    >>> neuron.step(State(np.zeros(4, int), np.zeros(2, int)), np.array([3, -4, 6, 6]), 0).s
    array([  9, -12])
    """

    type_name = "PRODUCT"
    takes_bias = False

    batch: int = integer(
        low=1, high=MAX_SIZE, default=1, stored_as="batch", doc="how many pairs of matrices are multiplied"
    )
    rows: int = integer(low=1, high=MAX_SIZE, default=1, stored_as="rows", doc="rows of the first matrix")
    inner: int = integer(
        low=1, high=1 << 15, default=1, stored_as="inner", doc="columns of the first matrix, rows of the second one"
    )
    columns: int = integer(low=1, high=MAX_SIZE, default=1, stored_as="columns", doc="columns of the second matrix")
    sent: Shape | None = declared_shape(
        optional=True, default=None, stored_as="sent", doc="shape of what is sent; default (batch, rows, columns)"
    )
    factor: int = integer(
        low=1,
        high=1 << 16,
        default=1,
        stored_as="factor",
        doc="what products are multiplied with; at most 2**15 / inner",
    )
    shift: int = integer(
        low=0, high=MAX_SHIFT, default=0, stored_as="shift", doc="and the power of two they are divided by"
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
        if self.sent is None:
            object.__setattr__(self, "sent", (self.batch, self.rows, self.columns))
        assert self.sent is not None
        count = self.batch * self.rows * self.columns
        if math.prod(self.sent) != count:
            raise SpecError(f"ProductNeuron.sent: expected a shape of {count:,} elements, found {self.sent}")
        most = most_factor(self.inner)
        if self.factor > most:
            raise SpecError(
                f"ProductNeuron.factor: expected at most {most}, so that sums of {self.inner:,} products are within 63 "
                f"bits, found {self.factor}"
            )

    @property
    def is_float(self) -> bool:
        return self.floating

    @property
    def operands(self) -> tuple[int, int]:
        """Elements of the first and of the second one."""
        return self.batch * self.rows * self.inner, self.batch * self.inner * self.columns

    def output_shape(self, shape: Shape) -> Shape:
        assert self.sent is not None  # set in __post_init__
        if shape != (sum(self.operands),):
            one, other = self.operands
            raise SpecError(
                f"ProductNeuron: expected input current of shape ({one + other},), the {one:,} elements of one operand "
                f"and then the {other:,} of the other, found shape {shape}"
            )
        return self.sent

    def describe(self) -> str:
        if self.rows == self.inner == self.columns == 1:
            return self.type_name
        return f"{self.type_name} {self.rows}x{self.inner}x{self.columns}"

    @property
    def inputs(self) -> int:
        return 2 * self.inner

    def told(self, before: State, a: NDArray[Any], bias: NDArray[Any], at: tuple[int, ...]) -> dict[str, Any]:
        """Many potentials belong to a neuron that multiplies: what their products add up to tells enough."""
        before_it, with_it = (self.products(v)[at] for v in (before.v, before.v + a))
        return {"product": before_it, "product with a": with_it, "n": before.n[at], "t": before.t}

    # What it computes

    def products(self, v: Array) -> Array:
        """Sums of products, ``(..., inputs) -> (..., *sent)``: int64 of integers, which must be within 24 bits."""
        assert self.sent is not None  # set in __post_init__
        leading, (first, _) = v.shape[:-1], self.operands
        x = v[..., :first].reshape(*leading, self.batch, self.rows, self.inner)
        y = v[..., first:].reshape(*leading, self.batch, self.inner, self.columns)
        multiply = _exact_products if is_whole(v) else _products
        return multiply(x, y).reshape(*leading, *self.sent)

    def _sum(self, v: Array, t: int) -> Array:
        if self.floating:
            return floor_div(self.products(v) * (self.factor / 2.0**self.shift / t) + 0.5, 1)
        divisor = t << self.shift
        return floor_div(self.products(integers(v)) * (2 * self.factor) + divisor, 2 * divisor)

    def mean(self, a: Array, *, clip: bool) -> Array:
        c = self.products(doubles(a)) * (self.factor / 2.0**self.shift)
        return c.clip(-self.coefficient_limit, self.coefficient_limit) if clip else c

    def wanted(self, drive: int) -> int:
        """Largest coefficient: the product of the means, and at most four times as much by which one step changes it.

        Of inputs up to D a step changes the mean by ``2 * D / t`` at most, and so ``t`` products of the means by ``4 *
        D**2``.
        """
        return (5 * self.inner * self.factor * drive**2 >> self.shift) + 2

    # What it costs

    def costs(self, shape: Shape) -> tuple[tuple[Cost, int], ...]:
        """All products of numbers, and for each sum of them the factor, which is rarely one, and the division."""
        sums = self.batch * self.rows * self.columns
        state, wide = fixed_point.STATE_BITS, self._sum_bits
        each = Cost(
            additions=self.inner + 1, products=((wide, self.factor.bit_length()), (wide, MAX_STEPS.bit_length()))
        )
        return (*super().costs(shape), (Cost(products=((state, state),)), sums * self.inner), (each, sums))

    @property
    def _sum_bits(self) -> int:
        """Width of sums of products."""
        return (self.inner * LARGEST_STATE**2).bit_length() + 1

    def doubts(self) -> Iterator[Doubt]:
        yield Doubt(
            found=self.inner,
            problem=f"it multiplies two signals ({self.inner:,} products for each number that is sent, in integers of "
            "up to 63 bits), and divides by the number of steps, and microcode may do none of it",
            change="use a model without products of signals: no attention, gates or LayerNorm",
        )


def _products(x: Array, y: Array) -> Array:
    """Matrix products; of single numbers without the overhead of matrices."""
    return x * y if x.shape[-1] == 1 else x @ y


def _exact_products(x: Array, y: Array) -> Array:
    """The same of integers of 24 bits, exactly; neither numpy nor torch has fast products of integer matrices.

    Float64 is exact up to ``2**53``, which 24 by 24 bits need not keep to, but up to ``2**18`` of 12 by 24 bits do.
    """
    if x.shape[-1] == 1:
        return x * y
    bound = x.shape[-1] * _largest(x) * _largest(y)
    if bound <= 1 << 53:
        return integers(doubles(x) @ doubles(y))
    high = x >> HALF_BITS
    upper, lower = (integers(doubles(part) @ doubles(y)) for part in (high, x - (high << HALF_BITS)))
    return (upper << HALF_BITS) + lower


def _largest(x: Array) -> int:
    low, high = extremes(x)
    return int(max(-low, high))
