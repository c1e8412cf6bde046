"""One small model for every operation that can be converted: by name, its forward(), modules and shape of images."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from float_graph import Model, lively
from torch import nn


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, as `float_graph.Model` takes it, and the shape of its images."""

    forward: Callable[[Any, Any], Any]
    modules: dict[str, Callable[[], nn.Module]]
    shape: tuple[int, ...]

    def model(self, seed: int = 0) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lazy modules are "under heavy development"
            model = Model(self.forward, **{name: make() for name, make in self.modules.items()}).eval()
        model(torch.rand(2, *self.shape))  # after which lazy modules know their size
        return lively(model, seed)


def case(forward: Callable[[Any, Any], Any], *shape: int, **modules: Callable[[], nn.Module]) -> Case:
    """Modules that are not given: conv and other (2 to 4 channels), again (4 to 4), and norm and relu for them."""
    usual: dict[str, Callable[[], nn.Module]] = {
        "conv": lambda: nn.Conv2d(2, 4, 3, padding=1),
        "other": lambda: nn.Conv2d(2, 4, (1, 3), padding=(0, 1)),
        "again": lambda: nn.Conv2d(4, 4, 3, padding=1),
        "norm": lambda: nn.BatchNorm2d(4),
        "relu": nn.ReLU,
    }
    return Case(forward, {**usual, **modules}, shape or (2, 5, 7))


def hidden(m: Any, x: Any) -> Any:
    """Rectified maps (4, 5, 7)."""
    return F.relu(m.conv(x))


def on_maps(operation: Callable[[Any], Any], **modules: Callable[[], nn.Module]) -> Case:
    """An operation on rectified maps, and a convolution behind it that knows every place."""
    return case(lambda m, x: m.last(operation(hidden(m, x))), last=lambda: nn.LazyConv2d(3, (2, 3)), **modules)


def on_all(operation: Callable[[Any, Any], Any], **modules: Callable[[], nn.Module]) -> Case:
    """An operation on rectified maps, and a dense layer on all that it gives."""
    return case(lambda m, x: m.last(operation(m, hidden(m, x)).flatten(1)), last=lambda: nn.LazyLinear(3), **modules)


def added_in_place(x: Any, y: Any) -> Any:
    x += y
    return x


SUMS = {
    "two convolutions": case(lambda m, x: m.again(F.relu(m.conv(x) + m.other(x)))),
    "relu and convolution": case(lambda m, x: F.relu(m.again(y := hidden(m, x)) + y).mean((2, 3))),
    "alpha": case(lambda m, x: m.again(F.relu(torch.add(m.conv(x), m.other(x), alpha=0.5)))),
    "augmented": case(lambda m, x: m.again(F.relu(added_in_place(m.conv(x), m.other(x))))),
    "difference": case(lambda m, x: m.again(F.relu(m.conv(x) - m.other(x)))),
    "difference of relus": case(lambda m, x: m.again(hidden(m, x) - F.relu(m.other(x)))),
    "sub with alpha": case(lambda m, x: m.again(F.relu(torch.sub(m.conv(x), other=m.other(x), alpha=2)))),
    "of the same": case(lambda m, x: m.again((y := hidden(m, x)) + y)),
    "three": case(lambda m, x: m.again(hidden(m, x) + F.relu(m.other(x)) + m.conv(x))),
    "with the images": case(lambda m, x: m.again(torch.cat([x, x], 1) + hidden(m, x))),
    "of reshaped": case(lambda m, x: m.again((m.conv(x).flatten(1) + m.other(x).flatten(1)).view(-1, 4, 5, 7))),
    "of different memory": case(lambda m, x: m.again(hidden(m, x) + F.relu(m.other(x)).flatten(2).view(-1, 4, 5, 7))),
    "with the mean": case(lambda m, x: m.again((y := hidden(m, x)) - y.mean((2, 3), keepdim=True))),
    "broadcast": case(lambda m, x: m.again((y := hidden(m, x)) + y[:, 1:2] + y[..., :1])),
}


CONCATENATIONS = {
    "light parts, convolution": case(
        lambda m, x: m.last(torch.cat([hidden(m, x), F.relu(m.other(x))], 1)), last=lambda: nn.LazyConv2d(3, (2, 3))
    ),
    "heavy parts, norm and relu": case(
        lambda m, x: m.last(F.relu(m.after(torch.cat([m.conv(x), m.other(x)], dim=1)))),
        after=lambda: nn.BatchNorm2d(8),
        last=lambda: nn.LazyConv2d(3, 2),
    ),
    "light parts, norm and relu": case(
        lambda m, x: m.last(F.relu(m.after(torch.concat([hidden(m, x), F.relu(m.other(x))], axis=1)))),  # pyright: ignore[reportCallIssue, reportArgumentType]
        after=lambda: nn.BatchNorm2d(8),
        last=lambda: nn.LazyConv2d(3, 2),
    ),
    "heavy and light": case(
        lambda m, x: m.last(torch.cat([m.conv(x), x, hidden(m, x)], 1)), last=lambda: nn.LazyConv2d(3, 2)
    ),
    "linear": case(lambda m, x: m.last(torch.cat([hidden(m, x), x], -3).flatten(1)), last=lambda: nn.LazyLinear(3)),
    "pooling": case(
        lambda m, x: m.last(F.avg_pool2d(torch.cat([hidden(m, x), x], 1), 2)), last=lambda: nn.LazyConv2d(3, 2)
    ),
    "rows": case(lambda m, x: m.last(torch.cat([hidden(m, x), m.other(x)], 2)), last=lambda: nn.LazyConv2d(3, 2)),
    "columns": case(lambda m, x: m.last(torch.cat((x, x.flip(3)), dim=-1)), last=lambda: nn.LazyConv2d(3, 2)),
    "features": case(
        lambda m, x: m.last(torch.cat([hidden(m, x).mean((2, 3)), x.flatten(1)], 1)), last=lambda: nn.LazyLinear(3)
    ),
    "with a constant": case(
        lambda m, x: m.last(torch.cat([x, m.it.weight.reshape(1, 1, 5, 7).expand(x.shape[0], -1, -1, -1)], 1)),
        it=lambda: nn.Linear(7, 5),
        last=lambda: nn.LazyConv2d(3, 2),
    ),
    "of which a part is taken": case(lambda m, x: m.again(torch.cat([hidden(m, x), m.other(x), x], 1)[:, 6:])),
    "of which a part of a part is taken": case(
        lambda m, x: m.last(F.relu(torch.cat([hidden(m, x)[:, :2], F.relu(m.other(x))], 1).chunk(2, 1)[1])),
        last=lambda: nn.LazyConv2d(3, 2),
    ),
    "as the output": case(lambda m, x: torch.cat([hidden(m, x).mean((2, 3)), m.other(x).mean((2, 3))], 1)),
    "stack": case(
        lambda m, x: m.last(torch.stack([hidden(m, x), m.other(x)], 2).flatten(1, 2)), last=lambda: nn.LazyConv2d(3, 2)
    ),
}

REARRANGEMENTS = {
    "reshape": on_maps(lambda y: y.reshape(-1, 5, 4, 7)),
    "view": on_maps(lambda y: y.view(y.size(0), 2, 10, 7)),
    "flatten and unflatten": on_maps(lambda y: y.flatten(1).unflatten(1, (7, 4, 5))),
    "permute": on_maps(lambda y: y.permute(0, 3, 1, 2)),
    "transpose": on_maps(lambda y: torch.transpose(y, 2, 3)),
    "squeeze and unsqueeze": on_maps(lambda y: y[:, :1].squeeze(1).unsqueeze(1)),
    "chunk": on_maps(lambda y: y.chunk(2, 1)[1]),
    "split": on_maps(lambda y: torch.split(y, [1, 3], 1)[1] - y.split(3, dim=1)[0]),
    "slices": on_maps(lambda y: y[:, 1:, ::2, 1:-1]),
    "index": on_maps(lambda y: y[:, [3, 0, 0], :, :]),
    "flip and roll": on_maps(lambda y: y.flip(2).roll(2, 3)),
    "repeat": on_maps(lambda y: y.repeat(1, 1, 2, 1)),
    "expand": on_maps(lambda y: y[:, :1].expand(-1, 3, -1, -1)),
    "narrow": on_maps(lambda y: y.narrow(2, 1, 3)),
    "unbind": on_maps(lambda y: y.unbind(1)[2].unsqueeze(1)),
    "pixel shuffle": on_maps(lambda y: F.pixel_shuffle(y, 2)),
    "pixel unshuffle": on_maps(lambda y: F.pixel_unshuffle(y[:, :, :4, :6], 2)),
    "channel shuffle": on_maps(lambda y: y.view(-1, 2, 2, 5, 7).transpose(1, 2).reshape(-1, 4, 5, 7)),
    "nearest": on_maps(lambda y: F.interpolate(y, scale_factor=2)),
    "nearest, odd sizes": on_maps(lambda y: F.interpolate(y, (7, 9), None, "nearest")),
    "nearest-exact": on_maps(lambda y: F.interpolate(y, (3, 11), mode="nearest-exact")),
    "zeros": on_maps(lambda y: F.pad(y, (1, 2, 0, 1))),
    "cropping": on_maps(lambda y: F.pad(y, (-1, 2, 1, -2))),
    "constants": on_maps(lambda y: F.pad(y, (1, 2, 0, 1), value=0.5)),
    "whole constants": on_maps(lambda y: F.pad(y, (1, 2, 0, 1), value=3.0)),
    "reflection": on_maps(lambda y: F.pad(y, (1, 2, 0, 1), "reflect")),
    "circle": on_maps(lambda y: F.pad(y, (1, 2, 0, 1), mode="circular")),
    **{
        name: on_all(lambda m, y: m.it(y), it=make)
        for name, make in {
            "nn.Upsample": lambda: nn.Upsample(scale_factor=(2, 1)),
            "nn.UpsamplingNearest2d": lambda: nn.UpsamplingNearest2d((6, 6)),
            "nn.ZeroPad2d": lambda: nn.ZeroPad2d((2, 0, 1, 1)),
            "nn.ConstantPad2d": lambda: nn.ConstantPad2d(1, 0.3),
            "nn.ReflectionPad2d": lambda: nn.ReflectionPad2d((1, 2, 3, 0)),
            "nn.ReplicationPad2d": lambda: nn.ReplicationPad2d((1, 2, 3, 0)),
            "nn.PixelShuffle": lambda: nn.PixelShuffle(2),
            "nn.PixelUnshuffle": lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.PixelUnshuffle(2)),
            "nn.ChannelShuffle": lambda: nn.ChannelShuffle(2),
            "nn.Unflatten": lambda: nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Flatten(2)),
        }.items()
    },
}


class Constants(nn.Module):
    """Parameters and buffers, by which a signal is shifted and scaled."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.factor = nn.Parameter(torch.rand(4, 1, 1, generator=generator) + 0.5)
        self.register_buffer("offset", torch.randn(1, 4, 5, 7, generator=generator))
        self.register_buffer("row", torch.rand(7, generator=generator) + 0.5)
        self.conv, self.last = nn.Conv2d(2, 4, 3, padding=1), nn.LazyConv2d(3, 2)

    def forward(self, x: Any) -> Any:
        y = F.relu(self.conv(x) * self.factor + self.offset)
        return self.last(1 - F.relu(y / self.row - 0.25) * self.row)


CONSTANTS = {
    "numbers": on_maps(lambda y: 2 - (3 * y + 0.5) / 4),
    "negation": on_maps(lambda y: F.relu(0.2 - y) - -y),
    "rsub": on_maps(lambda y: torch.rsub(y, 1.5)),
    "multiply by zero": case(lambda m, x: m.again(hidden(m, x) + 0 * F.relu(m.other(x)))),
    "images": case(lambda m, x: m.again(F.relu(m.conv((x - 0.4) / 0.3)))),
    "images by channel": case(
        lambda m, x: m.conv((x - torch.tensor([[[0.4]], [[0.5]]])) / torch.tensor([[[0.2]], [[3]]]))
    ),
    "parameters and buffers": case(lambda m, x: m.it(x), it=Constants),
}

WEIGHTS = {
    **{
        name: case(lambda m, x: m.last(F.relu(m.it(x))), it=make, last=lambda: nn.LazyConv2d(3, 2))
        for name, make in {
            "stride and dilation": lambda: nn.Conv2d(2, 4, (2, 3), stride=(1, 2), dilation=(2, 1), padding=(1, 2)),
            "same, odd": lambda: nn.Conv2d(2, 4, (3, 5), padding="same"),
            "same, even": lambda: nn.Conv2d(2, 4, (2, 4), padding="same"),
            "same, even and dilated": lambda: nn.Conv2d(2, 4, (2, 2), padding="same", dilation=(3, 2)),
            "same, dilated": lambda: nn.Conv2d(2, 4, (3, 2), padding="same", dilation=(2, 3)),
            "valid": lambda: nn.Conv2d(2, 4, (3, 2), padding="valid"),
            "reflect": lambda: nn.Conv2d(2, 4, 3, padding=(1, 2), padding_mode="reflect"),
            "replicate": lambda: nn.Conv2d(2, 4, 3, padding=(2, 1), padding_mode="replicate", groups=2),
            "circular": lambda: nn.Conv2d(2, 4, 3, padding="same", padding_mode="circular"),
            "same and reflect": lambda: nn.Conv2d(2, 4, 4, padding="same", padding_mode="reflect"),
            "depthwise": lambda: nn.Conv2d(2, 6, (3, 2), groups=2, padding=1),
            "transposed": lambda: nn.ConvTranspose2d(2, 4, (2, 3)),
            "transposed, stride": lambda: nn.ConvTranspose2d(2, 4, 3, stride=2, padding=1, output_padding=(1, 0)),
            "transposed, groups": lambda: nn.ConvTranspose2d(2, 4, 2, stride=(1, 2), groups=2, bias=False),
            "transposed, dilated": lambda: nn.ConvTranspose2d(2, 4, 2, dilation=(2, 1)),
            "transposed and norm": lambda: nn.Sequential(nn.ConvTranspose2d(2, 4, 2, groups=2), nn.BatchNorm2d(4)),
            "linear on columns": lambda: nn.Linear(7, 5),
            "linear on columns and norm": lambda: nn.Sequential(nn.Linear(7, 5), nn.BatchNorm2d(2)),
        }.items()
    },
    "linear behind a concatenation": case(
        lambda m, x: m.last(torch.cat([hidden(m, x), F.relu(m.other(x))], 1)), last=lambda: nn.Linear(7, 3)
    ),
    "function": case(
        lambda m, x: F.linear(F.relu(F.conv2d(x, m.conv.weight * 2, m.conv.bias, padding=1)), m.it.weight),
        it=lambda: nn.Linear(7, 3),
    ),
    "rows": case(
        lambda m, x: m.last(F.avg_pool1d(F.relu(m.norm(m.it(x))), 2, padding=1).flatten(1)),
        *(3, 9),
        it=lambda: nn.Conv1d(3, 4, 3, padding=1, dilation=2),
        norm=lambda: nn.BatchNorm1d(4),
        last=lambda: nn.LazyLinear(3),
    ),
    "rows, same": case(
        lambda m, x: m.last(F.relu(m.it(x))),
        *(3, 9),
        it=lambda: nn.Conv1d(3, 4, 4, padding="same", padding_mode="reflect"),
        last=lambda: nn.Conv1d(4, 2, 2, stride=2),
    ),
    "rows, transposed": case(
        lambda m, x: m.last(F.relu(m.norm(m.it(x)))),
        *(3, 9),
        it=lambda: nn.ConvTranspose1d(3, 4, 3, stride=2, output_padding=1),
        norm=lambda: nn.BatchNorm1d(4),
        last=lambda: nn.Conv1d(4, 2, 2),
    ),
    "tokens": case(
        lambda m, x: m.last(F.relu(m.it(x)).transpose(1, 2)).mean(2),
        *(4, 6),
        it=lambda: nn.Linear(6, 5),
        last=lambda: nn.Linear(4, 3),
    ),
}

NORMS = {
    "before a padded convolution": case(lambda m, x: m.again(m.norm(hidden(m, x)))),
    "on the images": case(lambda m, x: m.conv(m.first(x)), first=lambda: nn.BatchNorm2d(2)),
    "after pooling": case(lambda m, x: m.again(m.norm(F.avg_pool2d(hidden(m, x), 2)))),
    "before relu, after relu": case(lambda m, x: m.again(F.relu(m.norm(hidden(m, x))))),
    "twice": case(lambda m, x: m.again(m.norm(m.norm(hidden(m, x))))),
    "after flatten": on_all(lambda m, y: m.flat(y.flatten(1)), flat=lambda: nn.BatchNorm1d(140)),
    "of linear": on_all(
        lambda m, y: F.relu(m.flat(m.fc(y.flatten(1)))), flat=lambda: nn.BatchNorm1d(6), fc=lambda: nn.Linear(140, 6)
    ),
    "as the output": case(lambda m, x: m.norm(hidden(m, x))),
}

POOLS = {
    "padding": on_maps(lambda y: F.avg_pool2d(y, (2, 3), stride=1, padding=1)),
    "padding not counted": on_maps(
        lambda y: F.avg_pool2d(y, (2, 3), stride=(1, 2), padding=1, count_include_pad=False)
    ),
    "ceil mode": on_maps(lambda y: F.avg_pool2d(y, (2, 3), ceil_mode=True)),
    "ceil mode and padding": on_maps(lambda y: F.avg_pool2d(y, 3, 2, 1, ceil_mode=True)),
    "ceil mode, wider than its map": on_all(lambda m, y: F.avg_pool2d(y, 8, ceil_mode=True, padding=2)),
    "ceil mode, divisor": on_maps(lambda y: F.avg_pool2d(y, 2, ceil_mode=True, divisor_override=3)),
    "uneven": on_maps(lambda y: F.adaptive_avg_pool2d(y, (2, 3))),
    "even and kept": on_maps(lambda y: F.adaptive_avg_pool2d(y, (5, None))),
    "of signed": case(lambda m, x: m.again(F.avg_pool2d(m.conv(x), 2))),
    "before relu": case(lambda m, x: m.again(F.relu(F.avg_pool2d(m.conv(x), 2) - 0.05))),
    "mean over columns": on_all(lambda m, y: y.mean(3)),
    "mean over channels": on_maps(lambda y: y.mean(1, keepdim=True)),
    "mean of means": on_all(lambda m, y: y.mean(-1).mean(-1)),
    "mean of everything": on_all(lambda m, y: y.mean((1, 2, 3), keepdim=True)),
    "sum over rows": on_all(lambda m, y: torch.sum(y, dim=2)),
    "sum of maps": on_all(lambda m, y: y.sum((2, 3))),
    "pool of pool": on_maps(lambda y: F.avg_pool2d(F.avg_pool2d(y, (1, 2)), (2, 1), 1)),
    "as the output": case(lambda m, x: F.avg_pool2d(hidden(m, x), 2)),
    "rows": case(
        lambda m, x: m.last(m.pool(F.relu(m.it(x)))),
        *(3, 10),
        it=lambda: nn.Conv1d(3, 4, 3),
        pool=lambda: nn.AdaptiveAvgPool1d(3),
        last=lambda: nn.Conv1d(4, 2, 2),
    ),
    "nn.AvgPool1d": case(
        lambda m, x: m.pool(F.relu(m.it(x))),
        *(3, 10),
        it=lambda: nn.Conv1d(3, 4, 3),
        pool=lambda: nn.AvgPool1d(3, 2, 1, count_include_pad=False),
    ),
}

BOUNDS = {
    "relu6": case(lambda m, x: m.again(F.relu6(20 * m.conv(x)))),
    "nn.ReLU6": case(lambda m, x: m.again(m.it(20 * m.conv(x))), it=nn.ReLU6),
    "hardtanh": case(lambda m, x: m.again(F.hardtanh(3 * m.conv(x), -0.25, 0.5))),
    "nn.Hardtanh": case(lambda m, x: m.again(m.it(3 * m.conv(x))), it=nn.Hardtanh),
    "clamp": case(lambda m, x: m.again(m.conv(x).clamp(-0.1, 0.3))),
    "clamp above zero": case(lambda m, x: m.again(torch.clamp(m.conv(x), min=0.1, max=0.3))),
}

ACTIVATIONS = {
    "min only": case(lambda m, x: m.again(m.conv(x).clamp(min=-0.2))),
    "max only": case(lambda m, x: m.again(m.conv(x).clamp(max=0.2))),
    "clamp_min": case(lambda m, x: m.again(torch.clamp_min(m.conv(x), 0.1))),
    "clamp_max": case(lambda m, x: m.again(m.conv(x).clamp_max(-0.1))),
    "leaky relu": case(lambda m, x: m.again(F.leaky_relu(m.conv(x), 0.2))),
    "nn.LeakyReLU": case(lambda m, x: m.again(m.it(m.conv(x))), it=lambda: nn.LeakyReLU(0.3, inplace=True)),
    "prelu": case(lambda m, x: m.again(m.it(m.conv(x))), it=nn.PReLU),
    "prelu by channel": case(lambda m, x: m.again(m.it(m.conv(x))), it=lambda: nn.PReLU(4, init=-0.4)),
    "absolute": case(lambda m, x: m.again(m.conv(x).abs() + abs(m.other(x)))),
    "of a relu": case(lambda m, x: m.again(F.leaky_relu(hidden(m, x)))),
    "as the output": case(lambda m, x: F.leaky_relu(m.conv(x), 0.2)),
}


def dense_block(m: Any, x: Any) -> Any:
    y = m.conv(x)
    y = torch.cat([y, m.again(F.relu(m.norm(y)))], 1)
    return m.last(F.relu(m.after(torch.cat([y, m.growth(F.relu(m.between(y)))], 1))).mean((2, 3)))


def shuffle_unit(m: Any, x: Any) -> Any:
    one, two = m.relu(m.norm(m.conv(x))).chunk(2, 1)
    two = F.relu(m.point(F.relu(m.depth(two))))
    y = torch.cat([one, two], 1)
    return m.again(y.view(-1, 2, 2, 5, 7).transpose(1, 2).contiguous().view(-1, 4, 5, 7)).mean((2, 3))


def inverted_residual(m: Any, x: Any) -> Any:
    y = m.norm(m.conv(x))
    z = F.relu(m.depth(F.relu(m.wide(y))))
    return m.last((y + m.narrow(z)).mean((2, 3)))


def fire(m: Any, x: Any) -> Any:
    y = F.relu(m.squeeze(hidden(m, x)))
    return m.last(torch.cat([F.relu(m.one(y)), F.relu(m.three(y))], 1))


def pre_activation(m: Any, x: Any) -> Any:
    y = m.conv(x)
    y = y + m.again(F.relu(m.norm(y)))
    return m.last(F.relu(m.after(y + m.third(F.relu(m.between(y))))).flatten(1))


def u_net(m: Any, x: Any) -> Any:
    y = hidden(m, x)
    z = F.relu(m.down(F.avg_pool2d(y, 2)))
    return m.last(F.relu(m.up(torch.cat([m.back(z), y], 1))))


def shared(m: Any, x: Any) -> Any:
    y = hidden(m, x)
    for _ in range(2):
        y = F.relu(m.norm(m.again(y)) + y)
    return m.last(y.flatten(1))


def branches(m: Any, x: Any) -> Any:
    y = m.relu(m.conv(x))
    return m.last(torch.cat([y.mean((2, 3)), m.again(y).flatten(1), m.other(x).sum((2, 3)), -y.flatten(1)], 1))


GRAPHS = {
    "dense block": case(
        dense_block,
        growth=lambda: nn.Conv2d(8, 4, 3, padding=1),
        between=lambda: nn.BatchNorm2d(8),
        after=lambda: nn.BatchNorm2d(12),
        last=lambda: nn.Linear(12, 3),
    ),
    "shuffle unit": case(
        shuffle_unit, depth=lambda: nn.Conv2d(2, 2, 3, groups=2, padding=1), point=lambda: nn.Conv2d(2, 2, 1)
    ),
    "inverted residual": case(
        inverted_residual,
        wide=lambda: nn.Sequential(nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8)),
        depth=lambda: nn.Sequential(nn.Conv2d(8, 8, 3, groups=8, padding=1, bias=False), nn.BatchNorm2d(8)),
        narrow=lambda: nn.Sequential(nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4)),
        last=lambda: nn.Linear(4, 3),
    ),
    "fire": case(
        fire,
        squeeze=lambda: nn.Conv2d(4, 2, 1),
        one=lambda: nn.Conv2d(2, 3, 1),
        three=lambda: nn.Conv2d(2, 3, 3, padding=1),
        last=lambda: nn.Conv2d(6, 3, (5, 7)),
    ),
    "pre-activation": case(
        pre_activation,
        third=lambda: nn.Conv2d(4, 4, (1, 3), padding=(0, 1)),
        between=lambda: nn.BatchNorm2d(4),
        after=lambda: nn.BatchNorm2d(4),
        last=lambda: nn.LazyLinear(3),
    ),
    "u-net": case(
        u_net,
        *(2, 6, 8),
        down=lambda: nn.Conv2d(4, 6, 3, padding=1),
        back=lambda: nn.ConvTranspose2d(6, 3, 2, stride=2),
        up=lambda: nn.Conv2d(7, 4, 3, padding=1),
        last=lambda: nn.Conv2d(4, 3, 1),
    ),
    "shared modules": case(shared, last=lambda: nn.LazyLinear(3)),
    "many branches": case(branches, last=lambda: nn.LazyLinear(3)),
}

CASES = {
    f"{group}: {name}": found
    for group, cases in {
        "sum": SUMS,
        "concatenation": CONCATENATIONS,
        "rearrangement": REARRANGEMENTS,
        "constants": CONSTANTS,
        "weights": WEIGHTS,
        "norm": NORMS,
        "pool": POOLS,
        "bound": BOUNDS,
        "activation": ACTIVATIONS,
        "graph": GRAPHS,
    }.items()
    for name, found in cases.items()
}
