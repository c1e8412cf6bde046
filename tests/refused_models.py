"""Models as people write them that cannot be converted, and what is said about them."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from float_graph import Model
from real_models import around, between, conv_norm_relu, head, network, plain
from torch import nn


class Tokens(nn.Module):
    """Attention, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.q, self.k, self.v = conv_norm_relu(), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        t = self.stem(x).flatten(2).transpose(1, 2)
        a = (self.q(t) @ self.k(t).transpose(-2, -1)).softmax(-1)
        return self.last((a @ self.v(t)).mean(1))


def counting(m: Any, x: Any) -> Any:
    m.calls = getattr(m, "calls", 0) + 1
    return m.net(x) * m.calls


def doubling(m: Any, x: Any) -> Any:
    y = m.conv(x)
    m.conv.weight.mul_(2)
    z = m.conv(x)
    m.conv.weight.mul_(0.5)
    return m.head(y + z)


def through_a_view(m: Any, x: Any) -> Any:
    y = m.stem(x)
    part = y[:, :2]
    part += 1
    return m.head(y)


def under_another_name(m: Any, x: Any) -> Any:
    y = z = m.stem(x)
    z *= 2
    return m.head(y) + m.head(z)


def written(m: Any, x: Any) -> Any:
    y = m.net(x)
    y[:, 0] = 0
    return y


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


def kind_of_x(m: Any, x: Any) -> Any:
    return m.net((x - 0.5) / 0.25 if type(x) is torch.Tensor else x)


def many_gelus() -> nn.Module:
    blocks = [nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.GELU()) for _ in range(30)]
    return nn.Sequential(conv_norm_relu(), *blocks, nn.Upsample(scale_factor=2, mode="bilinear"), head())


UNLIKE = r"forward\(\) behaves differently .*: the recorded operations differ from it by up to .*"
KIND = rf"{UNLIKE}reaches .*; likely reasons are code that checks the type of its input \(type\(x\),.* random"
CHANGES = (
    r"the layers made of the model differ from it by up to .* its operations do not: forward\(\) gives something else "
    "from call to call, or for other images"
)
VALUE = "which depends on the image; remove control flow that depends on the data"
LIST = "is not supported; docs/conversion.md lists what is"
RELU = "is not supported; train the network with ReLU instead"
HERE = r"refused_models\.py:\d+"

REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "kind of x": (around(kind_of_x), KIND),
    "isinstance": (around(lambda m, x: m.net(2 * x if isinstance(x, torch.Tensor) else x)), KIND),
    "is_tensor": (around(lambda m, x: m.net(2 * x) if torch.is_tensor(x) else m.net(x)), KIND),
    "random numbers": (around(lambda m, x: m.net(x + torch.rand(3, 1, 1))), KIND),
    "counts its calls": (around(counting), CHANGES),
    "size of the batch": (around(lambda m, x: m.net(x) * min(x.size(0), 5)), CHANGES),
    "changes its weights": (
        lambda: Model(doubling, conv=nn.Conv2d(3, 6, 3), head=head()),
        r"module 'conv' \(Conv2d\): forward\(\) changes its weights after it; write it without",
    ),
    "in place through a view": (
        lambda: Model(through_a_view, stem=conv_norm_relu(), head=head()),
        rf"operation iadd \(node 'iadd', {HERE}\): changes its input in place and its result is not used",
    ),
    "in place under another name": (
        lambda: Model(under_another_name, stem=conv_norm_relu(), head=head()),
        rf"operation imul \(node 'imul', {HERE}\): changes its input in place, which module 'head.0' "
        r"\(AdaptiveAvgPool2d\) uses afterwards under its old name",
    ),
    "writes into a tensor": (
        around(written),
        rf"module 'net.1.2' \(Linear\): forward\(\) writes into it in {HERE}; make it by torch.cat",
    ),
    "a branch on a value": (
        around(lambda m, x: m.net(x) if x.mean() > 0.5 else m.net(2 * x)),
        rf"operation gt \(node 'gt', {HERE}\): forward\(\) asks for its value in {HERE}, {VALUE}",
    ),
    "a value": (
        around(lambda m, x: m.net(x) * x.max().item()),
        rf"operation .item\(\) \(node 'item', {HERE}\): asks for values of the images, {VALUE}",
    ),
    "layers in a list": (
        Listed,
        rf"Listed: forward\(\) calls a Conv2d that is not part of it, {HERE}; make it an attribute, or keep it in a "
        "torch.nn.ModuleList",
    ),
    "an output without the image": (
        Constant,
        r"output: expected tensors that depend on the images, found 0: net_1_2, 1: a constant of shape \(4,\)",
    ),
    "many of a kind": (
        many_gelus,
        r"31 operations cannot be converted:\n- module '1.1' \(GELU\) and 29 more like it is not supported; train the "
        r"network with ReLU instead\n- module '31' \(Upsample\): mode='bilinear' is not supported; use mode='nearest'$",
    ),
    "sigmoid at the end": (
        plain(network(), nn.Sigmoid()),
        r"module '1' \(Sigmoid\) is not supported; remove it: the order of the logits is the same, and 1/2 becomes 0$",
    ),
    "sigmoid inside": (between(lambda m, y: torch.sigmoid(y)), rf"operation sigmoid \(node 'sigmoid', {HERE}\) {RELU}"),
    "swish": (
        between(lambda m, y: y * torch.sigmoid(y)),
        r"2 operations .*\n- operation sigmoid .* ReLU instead\n- operation mul .* multiplies two values that depend",
    ),
    "gated": (between(lambda m, y: F.glu(y, 1), 3), rf"operation glu .* {LIST}"),
    "attention": (
        Tokens,
        "3 operations .*\n- operation matmul .* and 1 more like it: .* attention .*\n- .*softmax",
    ),
    "transformer": (
        between(lambda m, y: m.it(y.flatten(2).mT).mT[..., None], it=nn.TransformerEncoderLayer(6, 2)),
        rf"module 'it' \(TransformerEncoderLayer\) {LIST}",
    ),
    "integers": (
        around(lambda m, x: m.last(m.it(x[:, 0, 0].long()).flatten(1)), it=nn.Embedding(2, 4), last=nn.Linear(64, 3)),
        rf"2 operations .*\n- operation .long\(\) .* {LIST}\n- module 'it' \(Embedding\) {LIST}",
    ),
    "fourier": (between(lambda m, y: torch.fft.rfft2(y).real), rf"operation fft_rfft2 .* {LIST}"),
    "standard deviations": (between(lambda m, y: y.std((2, 3), keepdim=True)), rf"operation .std\(\) .* {LIST}"),
    "largest values": (
        between(lambda m, y: torch.topk(y.flatten(2), 3, dim=2)[0].mean(2)[..., None, None]),
        rf"operation topk .* {LIST}",
    ),
    "stack in front": (
        between(lambda m, y: torch.stack([y, 2 * y]).mean(0)),
        r"2 operations .*\n- operation stack .*: mixes images: shape \(2, 2, 6, 16, 16\) for a batch of 2; keep the",
    ),
}
