"""Gradients of what has none: rounding, spikes and events count as something smooth when they are differentiated."""

from typing import Any, cast

import torch


class _Through(torch.autograd.Function):
    """Gives ``exact``, and its gradient to ``smooth``."""

    @staticmethod
    def forward(ctx: Any, smooth: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
        return exact.view_as(exact)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0], None


def through(smooth: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    """``exact``, bit for bit, with the gradient of ``smooth``."""
    return cast(torch.Tensor, cast(Any, _Through).apply(smooth, exact.detach()))


def rounded(x: torch.Tensor) -> torch.Tensor:
    """``round(x)``, halves to even, with the gradient of ``x``."""
    return through(x, x.detach().round())


def floored(x: torch.Tensor) -> torch.Tensor:
    """``floor(x)`` with the gradient of ``x``."""
    return through(x, x.detach().floor())


class _Quotient(torch.autograd.Function):
    """``min(max(floor(u / vth), low), high)``: as if it were made of single steps, in fewer passes over memory."""

    @staticmethod
    def forward(
        ctx: Any, u: torch.Tensor, vth: torch.Tensor, low: float | None, high: torch.Tensor | None
    ) -> torch.Tensor:
        q = u / vth
        ctx.save_for_backward(q, vth, high)
        ctx.low = low
        n = q.floor()
        n = n if low is None else n.clamp_(min=low)
        return n if high is None else n.clamp_(max=high)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        q, vth, high = ctx.saved_tensors
        g = gradients[0] / vth
        g = g if ctx.low is None else g.mul_(q >= ctx.low)
        g = g if high is None else g.mul_(q < high + 1)
        return g, -(g * q).sum_to_size(vth.shape) if ctx.needs_input_grad[1] else None, None, None


def quotient(u: torch.Tensor, vth: torch.Tensor, low: float | None, high: torch.Tensor | None) -> torch.Tensor:
    """``floor(u / vth)`` within bounds, with the gradient of ``u / vth`` where it is within them, and none elsewhere.

    ``vth`` and ``high`` broadcast to ``u``, and have its number format; both bounds are whole numbers, or None.
    """
    return cast(torch.Tensor, cast(Any, _Quotient).apply(u, vth, low, high))


def scaled(x: torch.Tensor, factor: float) -> torch.Tensor:
    """``x`` with ``factor`` times its gradient."""
    return through(x * factor, x)


def event_slope(s: torch.Tensor) -> torch.Tensor:
    """What stands for the derivative of an event in its coefficient: ``sign(s) / (1 + |s|)``, as of ``log(1 + |s|)``.

    Small coefficients are near to being no event at all, and so they are pushed to zero most; large ones, which carry
    what the network knows, are left in peace. Of a coefficient of 0 the slope is 0: what is silent stays so.
    """
    return s.sign() / (1 + s.abs())


class _Events(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, s: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(s)
        return (s != 0).to(s.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0] * event_slope(*ctx.saved_tensors)


def events(s: torch.Tensor) -> torch.Tensor:
    """1 for every coefficient that is not 0, with the derivative `event_slope`."""
    return cast(torch.Tensor, cast(Any, _Events).apply(s))
