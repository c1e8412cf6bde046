"""Models as people write them that cannot be converted, and what is said about them."""

from collections.abc import Callable
from typing import Any

import torch
from float_graph import Model
from real_models import around, between, conv_norm_relu, head, network
from torch import nn


def counting(m: Any, x: Any) -> Any:
    m.calls = getattr(m, "calls", 0) + 1
    return m.net(x) * m.calls


def doubling(m: Any, x: Any) -> Any:
    y = m.conv(x)
    m.conv.weight.mul_(2)
    z = m.conv(x)
    m.conv.weight.mul_(0.5)
    return m.head(y + z)


class Listed(nn.Module):
    """Layers in a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.head = [conv_norm_relu()], head()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers[0](x))


class Constant(nn.Module):
    """An output that depends on no image."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.scale = network(), nn.Parameter(torch.ones(4))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.net(x), self.scale


class MostFrequent(nn.Module):
    """Of all channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mode(1, keepdim=True)[0].expand_as(x)


def many_of_a_kind() -> nn.Module:
    blocks = [nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), MostFrequent()) for _ in range(30)]
    return nn.Sequential(conv_norm_relu(), *blocks, head())


CHANGES = (
    r"the layers made of the model differ from it by up to .* its operations do not: forward\(\) gives something else "
    "from call to call, or for other images"
)
VALUE = "asks for a value that depends on the image; remove control flow that depends on the data"
LIST = "is not supported; docs/conversion.md lists what is"
HERE = r"refused_models\.py:\d+"

REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "random numbers": (
        around(lambda m, x: m.net(x + torch.rand(3, 1, 1))),
        rf"operation rand \(node 'rand', {HERE}\): draws random numbers in evaluation too; pass training=self.training",
    ),
    "counts its calls": (around(counting), CHANGES),
    "size of the batch": (around(lambda m, x: m.net(x) * min(x.size(0), 5)), CHANGES),
    "changes its weights": (
        lambda: Model(doubling, conv=nn.Conv2d(3, 6, 3), head=head()),
        r"module 'conv' \(Conv2d\): forward\(\) changes its weights after it; write it without",
    ),
    "a branch on a value": (
        around(lambda m, x: m.net(x) if x.mean() > 0.5 else m.net(2 * x)),
        rf"operation item \(node 'item', {HERE}\): {VALUE}",
    ),
    "a value": (
        around(lambda m, x: m.net(x) * x.max().item()),
        rf"operation item \(node 'item', {HERE}\): {VALUE}",
    ),
    "layers in a list": (
        Listed,
        rf"operation batch_norm \(node 'batch_norm', {HERE}\): takes the statistics of the batch in evaluation too; .*"
        r"keep modules where eval\(\) reaches them: as attributes, or in a torch.nn.ModuleList",
    ),
    "an output without the image": (
        Constant,
        r"output: expected tensors that depend on the images, found 0: net_1_2, 1: a constant of shape \(4,\); what no "
        "image changes takes no network: leave it out",
    ),
    "many of a kind": (
        many_of_a_kind,
        r"30 operations cannot be converted:\n- operation mode \(node 'mode' in module '1.1', .*\) and 29 more "
        "like it is not supported; docs/conversion.md lists what is$",
    ),
    "transformer": (
        between(lambda m, y: m.it(y.flatten(2).mT).mT[..., None], it=nn.TransformerEncoderLayer(6, 2)),
        r"operation matmul .* in module 'it.self_attn', .*mixes images: it multiplies",  # whose first axis is time
    ),
    "places of maxima": (
        between(lambda m, y: y.argmax(1, keepdim=True).float(), 1),
        r"operation argmax .* spikes add up to values, not to their places or order; leave it to what follows",
    ),
}
