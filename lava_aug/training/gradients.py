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


def scaled(x: torch.Tensor, factor: float) -> torch.Tensor:
    """``x`` with ``factor`` times its gradient."""
    return through(x * factor, x)


def event_size(s: torch.Tensor) -> torch.Tensor:
    """What stands for an event in gradients: ``log(1 + |s|)``, whose slope is ``1 / (1 + |s|)``.

    Small coefficients are near to being no event at all, and so they are pushed to zero most; large ones, which carry
    what the network knows, are left in peace. Of a coefficient of 0 the slope is 0: what is silent stays so.
    """
    return s.abs().log1p()


def events(s: torch.Tensor) -> torch.Tensor:
    """1 for every coefficient that is not 0, with the gradient of `event_size`."""
    return through(event_size(s), (s != 0).to(s.dtype))
