"""Complex numbers as pairs of real ones along a last axis: Fourier transforms, and what is done with what they give.

An operation that is linear over the reals, and has no function here, is found by trying it, as any other.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from lava_aug.conversion.decompositions import stands_for
from lava_aug.conversion.operations import Step, Traced, converts

aten: Any = torch.ops.aten

Tensor = torch.Tensor


@converts(aten.view_as_real, aten.view_as_complex)
def as_seen(step: Step, x: Traced) -> Traced:
    """Pairs are what complex numbers are here."""
    del step
    return x


def _parts(x: Any) -> tuple[Any, Any]:
    """Real and imaginary part of a tensor or a number."""
    if isinstance(x, Tensor):
        real, imaginary = torch.view_as_real(x).unbind(-1) if x.is_complex() else (x, torch.zeros_like(x))
        return real, imaginary
    return x.real, x.imag


def _joined(real: Tensor, imaginary: Tensor) -> Tensor:
    return torch.view_as_complex(torch.stack([real, imaginary], -1))


@stands_for(aten.complex)
def joined(real: Tensor, imaginary: Tensor) -> Tensor:
    """Both parts are given."""
    return _joined(real, imaginary)


@stands_for(aten.polar)
def polar(size: Tensor, angle: Tensor) -> Tensor:
    """``size * exp(i * angle)``."""
    return _joined(size * angle.cos(), size * angle.sin())


@stands_for(aten._to_copy)
def as_complex(x: Tensor, *, dtype: Any = None, **_: Any) -> Any:
    """Real numbers as complex ones."""
    return NotImplemented if dtype is None or not dtype.is_complex else _joined(x, torch.zeros_like(x))


# Of complex numbers


@stands_for(aten._to_copy, of_complex=True)
def as_copy(x: Tensor, *, dtype: Any = None, **_: Any) -> Tensor:
    """Real numbers are the real part alone."""
    return _joined(*_parts(x)) if dtype is None or dtype.is_complex else _parts(x)[0]


@stands_for(aten.add, of_complex=True)
def total(x: Any, y: Any, *, alpha: Any = 1) -> Tensor:
    """``x + alpha * y``."""
    (a, b), (c, d) = _parts(x), _parts(y)
    return _joined(a + alpha * c, b + alpha * d)


@stands_for(aten.sub, of_complex=True)
def apart(x: Any, y: Any, *, alpha: Any = 1) -> Tensor:
    """``x - alpha * y``."""
    return total(x, y, alpha=-alpha)


def _product(x: Any, y: Any, of: Callable[[Any, Any], Tensor]) -> Tensor:
    """``(a + ib) * (c + id)``; of a real factor, each part by itself."""
    (a, b), (c, d) = _parts(x), _parts(y)
    if isinstance(x, Tensor) and not x.is_complex():
        return _joined(of(x, c), of(x, d))
    if isinstance(y, Tensor) and not y.is_complex():
        return _joined(of(a, y), of(b, y))
    return _joined(of(a, c) - of(b, d), of(a, d) + of(b, c))


@stands_for(aten.mul, of_complex=True)
def product(x: Any, y: Any) -> Tensor:
    """Element by element."""
    return _product(x, y, torch.mul)


@stands_for(aten.mm, of_complex=True)
def matrix_product(x: Tensor, y: Tensor) -> Tensor:
    """Of two matrices."""
    return _product(x, y, torch.mm)


@stands_for(aten.bmm, of_complex=True)
def matrix_products(x: Tensor, y: Tensor) -> Tensor:
    """Of batches of them."""
    return _product(x, y, torch.bmm)


@stands_for(aten.div, of_complex=True)
def quotient(x: Any, y: Any) -> Tensor:
    """``x * conj(y) / |y|**2``."""
    (a, b), (c, d) = _parts(x), _parts(y)
    square = c * c + d * d
    return _joined((a * c + b * d) / square, (b * c - a * d) / square)


@stands_for(aten._conj, of_complex=True)
def conjugate(x: Tensor) -> Tensor:
    """``a - ib``."""
    real, imaginary = _parts(x)
    return _joined(real, -imaginary)


@stands_for(aten.constant_pad_nd, of_complex=True)
def padded(x: Tensor, pad: Any, value: Any = 0) -> Tensor:
    """Around both parts."""
    pairs = zip(_parts(x), (value.real, value.imag), strict=True)
    return _joined(*(F.pad(part, pad, value=number) for part, number in pairs))


@stands_for(aten.abs, of_complex=True)
def size(x: Tensor) -> Tensor:
    """``sqrt(a**2 + b**2)``."""
    return torch.hypot(*_parts(x))


@stands_for(aten.angle, of_complex=True)
def angle(x: Tensor) -> Tensor:
    """``atan2(b, a)``."""
    real, imaginary = _parts(x)
    return torch.atan2(imaginary, real)


# Fourier transforms


def _last(transform: Any, *options: Any) -> Callable[[Tensor], Tensor]:
    """A transform of rows."""
    return lambda rows: transform(rows, [1], *options)


def _along(x: Tensor, axis: int, of: Callable[[Tensor], Tensor]) -> Tensor:
    """A linear operation along one axis, as a matrix, which the unit vectors show."""
    pairs = torch.view_as_real(x).movedim(axis, -2).flatten(-2) if x.is_complex() else x.movedim(axis, -1)
    units = torch.eye(pairs.shape[-1], dtype=torch.float64)
    made = of(torch.view_as_complex(units.reshape(len(units), -1, 2)) if x.is_complex() else units)
    matrix = torch.view_as_real(made).flatten(1) if made.is_complex() else made
    found = F.linear(pairs, matrix.T.to(pairs.dtype))
    if not made.is_complex():
        return found.movedim(-1, axis)
    return torch.view_as_complex(found.reshape(*found.shape[:-1], -1, 2).movedim(-2, axis))


@stands_for(aten._fft_c2c, of_complex=True)
def fourier(x: Tensor, dim: Any, normalization: int, forward: bool) -> Tensor:
    """Axis by axis."""
    for axis in dim:
        x = _along(x, axis % x.ndim, _last(aten._fft_c2c, normalization, forward))
    return x


@stands_for(aten._fft_r2c)
def fourier_of_real(x: Tensor, dim: Any, normalization: int, onesided: bool) -> Tensor:
    """The last axis first, whose other half is not computed."""
    *others, last = dim
    made = _along(x, last % x.ndim, _last(aten._fft_r2c, normalization, onesided))
    return fourier(made, others, normalization, True)


@stands_for(aten._fft_c2r, of_complex=True)
def back_to_real(x: Tensor, dim: Any, normalization: int, last_dim_size: int) -> Tensor:
    """The last axis at the end, of which there is one half."""
    *others, last = dim
    made = fourier(x, others, normalization, False)
    return _along(made, last % x.ndim, _last(aten._fft_c2r, normalization, last_dim_size))
