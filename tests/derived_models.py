"""Operations that are recorded as others: order, comparisons, masks, limits, kernels that depend on images."""

import torch
import torch.nn.functional as F
from real_models import SHAPE, Table, between
from torch import nn


class Limits(nn.Module):
    """One for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]: torch's
        self.weight = nn.Parameter(torch.linspace(0, 0.5, channels).view(-1, 1, 1))


def with_zeros(y: torch.Tensor) -> torch.Tensor:
    """Some vectors are zero, as of padded places."""
    y = y.clone()
    y[:, :, 3, ::3] = 0
    return y


DERIVED: Table = {
    "norms of zero": (between(lambda m, y: F.normalize(with_zeros(m.it(y)), dim=1), it=nn.Conv2d(6, 6, 1)), SHAPE),
    "norms of zero, by sums": (between(lambda m, y: F.normalize(with_zeros(y), p=1, dim=1)), SHAPE),
    "cosines of zero": (
        between(lambda m, y: F.cosine_similarity(with_zeros(y), m.it(y), 1)[:, None], 1, it=nn.Conv2d(6, 6, 1)),
        SHAPE,
    ),
    "quotients by zero": (
        between(
            lambda m, y: (z := F.relu(m.it(y) - 0.2)) / (z.pow(2).sum(1, keepdim=True) + 1e-12).sqrt(),
            it=nn.Conv2d(6, 6, 1),
        ),
        SHAPE,
    ),
    "minima": (between(lambda m, y: -m.it(y).amin(1, True), 1, it=nn.Conv2d(6, 6, 1)), SHAPE),
    "minima and places": (between(lambda m, y: m.it(y).min(1, True)[0], 1, it=nn.Conv2d(6, 6, 1)), SHAPE),
    "both extremes": (
        between(lambda m, y: torch.cat(torch.aminmax(m.it(y), dim=1, keepdim=True), 1), 2, it=nn.Conv2d(6, 6, 1)),
        SHAPE,
    ),
    "in order": (between(lambda m, y: F.avg_pool2d(y, 4).sort(dim=3, descending=True)[0]), SHAPE),
    "largest few": (between(lambda m, y: m.it(y).topk(2, 1)[0], 2, it=nn.Conv2d(6, 5, 1)), SHAPE),
    "few of many": (
        between(lambda m, y: torch.topk(y.flatten(2), 3, dim=2)[0].mean(2)[..., None, None]),
        SHAPE,
    ),
    "most of few": (between(lambda m, y: m.it(y).topk(5, 1)[0], 5, it=nn.Conv2d(6, 7, 1)), SHAPE),
    "smallest few": (between(lambda m, y: m.it(y).topk(2, 1, largest=False)[0], 2, it=nn.Conv2d(6, 5, 1)), SHAPE),
    "maxima so far": (between(lambda m, y: m.it(y).cummax(2)[0], it=nn.Conv2d(6, 6, 1)), SHAPE),
    "minima so far": (between(lambda m, y: m.it(y).cummin(1)[0], it=nn.Conv2d(6, 6, 1)), SHAPE),
    "logs of sums so far": (between(lambda m, y: (8 * m.it(y)).logcumsumexp(1), it=nn.Conv2d(6, 6, 1)), SHAPE),
    "quantile": (between(lambda m, y: F.avg_pool2d(y, 4).flatten(2).quantile(0.3, 2)[..., None, None]), SHAPE),
    "median": (between(lambda m, y: F.avg_pool2d(y, 4).median(2, True)[0]), SHAPE),
    "product of all": (between(lambda m, y: (y + 0.5).view(-1, 2, 3, 16, 16).prod(2), 2), SHAPE),
    "products so far": (between(lambda m, y: (y + 0.5)[:, :3].cumprod(1), 3), SHAPE),
    "variance and mean": (between(lambda m, y: torch.cat(torch.var_mean(y, 1, keepdim=True), 1), 2), SHAPE),
    "limits for each channel": (between(lambda m, y: y.clamp(m.it.weight, m.it.weight + 0.3), it=Limits(6)), SHAPE),
    "limits from images": (between(lambda m, y: y.clamp(max=y.mean((2, 3), keepdim=True))), SHAPE),
    "threshold with a jump": (between(lambda m, y: F.threshold(y, 0.3, 0.1)), SHAPE),
    "floor of a quotient": (between(lambda m, y: torch.div(y, 0.2, rounding_mode="floor")), SHAPE),
    "a hard gate": (between(lambda m, y: y * (y.flip(1) > 0.2).float()), SHAPE),
    "where": (between(lambda m, y: torch.where(y > 0.2, y, 0.5 * y.flip(1))), SHAPE),
    "a mask from images": (between(lambda m, y: y.masked_fill(y.mean(1, True) < 0.2, 0.5)), SHAPE),
    "both conditions": (between(lambda m, y: y + ((y > 0.2) & ~(y > 0.5)).float()), SHAPE),
    "either condition": (between(lambda m, y: y + ((y < 0.2) | (y > 0.5)).float()), SHAPE),
    "whole numbers": (between(lambda m, y: (4 * y).int() / 4), SHAPE),
    "a table": (
        between(lambda m, y: m.it((4 * y.mean(1)).long().clamp(0, 9)).permute(0, 3, 1, 2), it=nn.Embedding(10, 6)),
        SHAPE,
    ),
    "a power from images": (between(lambda m, y: (y + 0.5) ** y.flip(1)), SHAPE),
    "powers for each channel": (between(lambda m, y: (y + 0.5) ** torch.arange(1, 7).view(-1, 1, 1)), SHAPE),
    "generalised mean": (
        between(lambda m, y: F.avg_pool2d((y + 0.1).pow(m.it.weight), 4).pow(1 / m.it.weight), it=nn.PReLU(1, 3.0)),
        SHAPE,
    ),
    "steps": (between(lambda m, y: torch.heaviside(m.it(y), torch.tensor(0.5)), it=nn.Conv2d(6, 6, 1)), SHAPE),
    "angle": (
        between(lambda m, y: torch.atan2((z := m.it(y))[:, :3], z[:, 3:]).abs(), 3, it=nn.Conv2d(6, 6, 1)),
        SHAPE,
    ),
    "distances of rows": (
        between(
            lambda m, y: F.pairwise_distance(y.flatten(2), m.it(y).flatten(2))[..., None, None], it=nn.Conv2d(6, 6, 1)
        ),
        SHAPE,
    ),
    "cosines": (between(lambda m, y: F.cosine_similarity(y, m.it(y), 1)[:, None], 1, it=nn.Conv2d(6, 6, 1)), SHAPE),
    "hypotenuse": (between(lambda m, y: torch.hypot(y, y.flip(1) + 0.1)), SHAPE),
    "log of a sum": (between(lambda m, y: torch.logaddexp(y, 2 * y.flip(1))), SHAPE),
    "Bilinear": (
        between(lambda m, y: m.it(y.mean((2, 3)), y.amax((2, 3)))[..., None, None], it=nn.Bilinear(6, 6, 6)),
        SHAPE,
    ),
    "distances": (
        between(
            lambda m, y: torch.cdist(F.avg_pool2d(y, 4).flatten(2).mT, m.it.weight).mT[..., None], it=nn.Linear(6, 6)
        ),
        SHAPE,
    ),
    "cross product": (between(lambda m, y: torch.cross(y[:, :3], y[:, 3:] + 0.1, dim=1), 3), SHAPE),
    "largest absolute": (between(lambda m, y: y.norm(float("inf"), 1, keepdim=True), 1), SHAPE),
    "kernels from images": (
        between(
            lambda m, y: F.conv2d(
                y.reshape(1, -1, 16, 16), m.it(y.mean((2, 3))).view(-1, 1, 3, 3), groups=6 * len(y), padding=1, stride=2
            ).view(-1, 6, 8, 8),
            it=nn.Linear(6, 54),
        ),
        SHAPE,
    ),
    "a grid from images": (
        between(
            lambda m, y: F.grid_sample(
                m.pool(y),
                F.affine_grid(m.it(y.mean((2, 3))).view(-1, 2, 3), [len(y), 6, 3, 3], align_corners=False),
                align_corners=False,
            ),
            it=nn.Linear(6, 6),
            pool=nn.AvgPool2d(4),
        ),
        SHAPE,
    ),
    "a grid from images, border": (
        between(
            lambda m, y: F.grid_sample(
                m.pool(y),
                F.affine_grid(m.it(y.mean((2, 3))).view(-1, 2, 3), [len(y), 6, 3, 3], align_corners=True),
                align_corners=True,
                padding_mode="border",
            ),
            it=nn.Linear(6, 6),
            pool=nn.AvgPool2d(4),
        ),
        SHAPE,
    ),
}
