"""More models that convert, as `real_models` has: sums, parts, extremes and clamps of maps."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from float_graph import Model
from real_models import SHAPE, Table, around, between, conv_norm_relu, head, network
from torch import nn


def clamps(m: Any, x: Any) -> Any:
    y = m.conv(x)
    bounded = torch.clamp(y, -0.3, -0.1) + F.hardtanh(y, -0.05, 0.2) + y.clamp(torch.tensor(-0.1), torch.tensor(0.1))
    return m.head(torch.clamp(y, min=-0.2) + torch.clamp(y, max=0.3) + bounded)


def rectified(m: Any, x: Any) -> Any:
    y = m.conv(x)
    return m.head(F.relu(y) - F.relu(-y) + torch.abs(torch.abs(y) - 0.2) + F.relu(F.relu6(y * 20) - 1))


def halves(m: Any, y: Any) -> Any:
    a, b = y.chunk(2, dim=1)
    return a - 2 * b


def three() -> nn.ModuleList:
    return nn.ModuleList([conv_norm_relu(6, 6, size) for size in (3, 1, 5)])


def signed(forward: Callable[[Any, Any], Any]) -> Callable[[], nn.Module]:
    """Of two convolutions without an activation, and a head."""

    def make() -> nn.Module:
        conv, other = (nn.Conv2d(3, 6, 3, padding=1) for _ in range(2))
        return Model(forward, conv=conv, other=other, head=head())

    return make


def of_sizes(m: Any, y: Any) -> Any:
    """Channels that differ by a factor of 10,000, of which later weights make the same."""
    sizes = torch.logspace(-2, 2, 6).view(-1, 1, 1)
    return m.other(F.relu(m.conv(y) * sizes) / sizes)


def every_function() -> nn.Module:
    """One after the other: what comes in is small in the end, and some give zero only."""
    first = [*(nn.ELU(), nn.Conv2d(6, 6, 3), nn.GELU(), nn.Conv2d(6, 6, 3), nn.SiLU(), nn.Tanh(), nn.Hardsigmoid())]
    more = [*(nn.Softplus(), nn.Hardswish(), nn.Mish(), nn.Softsign(), nn.Tanhshrink(), nn.Softshrink())]
    return nn.Sequential(nn.Conv2d(6, 6, 3), *first, *more, nn.Hardshrink(), nn.CELU(), nn.SELU(), nn.LogSigmoid())


PLACES = torch.rand(1, 16, 16, 2, generator=torch.Generator().manual_seed(6)) * 2 - 1


def at_fixed_places(m: Any, x: Any) -> Any:
    return m.net(F.grid_sample(x, PLACES.expand(len(x), -1, -1, -1), align_corners=False))


def scores(m: Any, x: Any) -> Any:
    """Of two levels, whose constants are large beside what differs."""
    y = m.stem(x)
    levels = [m.conv(part) - 30 for part in (y, F.avg_pool2d(y, 2))]
    return torch.cat([part.permute(0, 2, 3, 1).flatten(1, 2) for part in levels], 1)


WIDE = (1, 80, 80)
"""Of maps over which windows have more than 4,096 places."""


def pooled(pool: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, 3))


GRAPHS: Table = {
    "averages of wide windows": (pooled(nn.AvgPool2d(78)), WIDE),
    "maxima of wide windows": (pooled(nn.MaxPool2d(78)), WIDE),
    "large constants": (lambda: Model(scores, stem=conv_norm_relu(), conv=nn.Conv2d(6, 4, 3, padding=1)), SHAPE),
    "channels of different sizes": (between(of_sizes, conv=nn.Conv2d(6, 6, 3), other=nn.Conv2d(6, 6, 3)), SHAPE),
    "large weights, then small ones": (between(lambda m, y: m.it(1e4 * y) * 1e-4, it=nn.Conv2d(6, 6, 3)), SHAPE),
    "a branch of zeros": (between(lambda m, y: F.relu(y + 0 * m.it(y)), it=nn.Conv2d(6, 6, 1)), SHAPE),
    "every function": (between(lambda m, y: m.it(y), it=every_function()), SHAPE),
    "fixed places": (around(at_fixed_places), SHAPE),
    "matrices for each place": (
        between(lambda m, y: torch.einsum("bixy,iox->boxy", y, m.it.weight.view(6, 6, 16)), it=nn.Linear(16, 36)),
        SHAPE,
    ),
    "matrices from the right": (between(lambda m, y: y @ m.it.weight.view(6, 16, 5), it=nn.Linear(16, 30)), SHAPE),
    "mean of branches": (
        between(lambda m, y: torch.stack([part(y) for part in m.parts]).mean(0), parts=three()),
        SHAPE,
    ),
    "split, by index": (
        between(lambda m, y: sum(torch.split(y, [2, 2, 2], dim=1)[i] * (i + 1) for i in range(3)), 2),
        SHAPE,
    ),
    "halves": (between(halves, 3), SHAPE),
    "sum of a list": (between(lambda m, y: sum([part(y) for part in m.parts]), parts=three()), SHAPE),
    "mean of a stack": (
        between(lambda m, y: torch.stack([part(y) for part in m.parts], 1).mean(1), parts=three()),
        SHAPE,
    ),
    "ensemble": (around(lambda m, x: (m.net(x) + m.other(x)) / 2, other=network()), SHAPE),
    "two crops": (around(lambda m, x: m.net(x[:, :, :12, :12]) + m.net(x[:, :, 4:, 4:])), SHAPE),
    "without the mean": (around(lambda m, x: m.net(x - x.mean((1, 2, 3), keepdim=True))), SHAPE),
    "without the local mean": (around(lambda m, x: m.net(x - F.avg_pool2d(x, 5, 1, 2))), SHAPE),
    "sums of magnitudes": (signed(lambda m, x: m.head[2](m.conv(x).abs().sum((2, 3)) / 256)), SHAPE),
    "minima": (signed(lambda m, x: m.head(-F.max_pool2d(-m.conv(x), 3, 2, 1))), SHAPE),
    "maxima of parts": (
        signed(lambda m, x: m.head(F.max_pool2d(torch.cat([(y := m.conv(x))[:, :2], y[:, 1:4], x[:, :1]], 1), 2))),
        SHAPE,
    ),
    "maxima of the image": (around(lambda m, x: m.net(F.max_pool2d(x, 3, 1, 1) - x)), SHAPE),
    "clamps": (signed(clamps), SHAPE),
    "relus of relus": (signed(rectified), SHAPE),
    "the larger one": (signed(lambda m, x: m.head(torch.maximum(m.conv(x), m.other(x)))), SHAPE),
}
