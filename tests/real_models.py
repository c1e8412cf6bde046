"""Models as people write them, by what is remarkable about them: each converts, and agrees with itself.

`graph_models` has more of them, `refused_models` those that are refused. Most take images (3, 16, 16) and are `stem`
and `head` with something between.
"""

import collections
import logging
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from float_graph import Model
from torch import nn
from torch.utils.checkpoint import checkpoint

Table = dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]

SHAPE = (3, 16, 16)


def conv_norm_relu(inputs: int = 3, outputs: int = 6, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def head(channels: int = 6, classes: int = 5) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def network() -> nn.Sequential:
    return nn.Sequential(conv_norm_relu(), head())


def plain(*modules: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*modules)


def between(forward: Callable[[Any, Any], Any], classes: int = 6, **modules: nn.Module) -> Callable[[], nn.Module]:
    """``forward(m, y)`` of the maps of a stem, and a head on ``classes`` channels."""
    parts = {"stem": conv_norm_relu(), "head": head(classes), **modules}
    return lambda: Model(lambda m, x: m.head(forward(m, m.stem(x))), **parts)


def around(forward: Callable[[Any, Any], Any], **modules: nn.Module) -> Callable[[], nn.Module]:
    """Something about a whole network, ``m.net``."""
    return lambda: Model(forward, net=network(), **modules)


# What forward() does with Python


class HuggingFace(nn.Module):
    """Optional arguments, branches on them, a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, pixel_values: Any = None, labels: Any = None, return_dict: Any = None) -> Any:
        return_dict = return_dict if return_dict is not None else True
        logits, loss = self.net(pixel_values), None
        if labels is not None:
            loss = F.cross_entropy(logits, labels)
        return {"logits": logits, "loss": loss} if return_dict else (logits,)


class WithScale(nn.Module):
    """A number, and a switch, with defaults."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = conv_norm_relu(), head()

    def forward(self, x: torch.Tensor, scale: float = 2.0, features_only: bool = False) -> torch.Tensor:
        y = self.stem(x * scale)
        return y if features_only else self.head(y)


class Wrapper(nn.Module):
    """Hands on whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.module, self.logger = network(), logging.getLogger("a model")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


def in_contexts(m: Any, x: Any) -> Any:
    with torch.no_grad():
        y = m.net[0](x)
    with torch.autocast("cpu", enabled=False):
        return m.net[1](y.float())


def by_sizes(m: Any, y: Any) -> Any:
    b, c, h, w = y.shape
    y = y.view(b, c, h * w).reshape(b, 2, c // 2, h, w).sum(2)
    return y.view(b, 2, h, w)


def only_when_scripted(m: Any, x: Any) -> Any:
    scripting = torch.jit.is_scripting()  # pyright: ignore[reportPrivateImportUsage]
    if not scripting and torch.is_grad_enabled():
        x = x + 1
    return m.net(x)


Outputs = collections.namedtuple("Outputs", "logits auxiliary")

PYTHON: Table = {
    "optional arguments": (HuggingFace, SHAPE),
    "arguments with defaults": (WithScale, SHAPE),
    "args and kwargs": (Wrapper, SHAPE),
    "contexts": (around(in_contexts), SHAPE),
    "gradients on or off": (around(lambda m, x: m.net(x if torch.is_grad_enabled() else 2 * x)), SHAPE),
    "scripting": (around(only_when_scripted), SHAPE),
    "unpacked sizes": (between(by_sizes, 2), SHAPE),
    "int of a size": (between(lambda m, y: torch.cat([y[:, : int(y.size(1) / 2)], y[:, 3:]], 1)), SHAPE),
    "half of a size": (between(lambda m, y: torch.cat([y[:, y.size(1) // 2 :], y[:, :3]], 1)), SHAPE),
    "numpy's numbers": (around(lambda m, x: m.net(x * np.float32(2) - np.sqrt(0.25))), SHAPE),
    "numpy's arrays": (
        around(lambda m, x: m.net(x - torch.from_numpy(np.array([0.5, 0.4, 0.3])).float().view(1, 3, 1, 1))),
        SHAPE,
    ),
    "none of the outputs": (around(lambda m, x: (m.net(x), None)), SHAPE),
    "nested outputs": (around(lambda m, x: {"a": m.net(x), "b": [m.net(x) * 2, (m.net(x) + 1, None)]}), SHAPE),
    "named outputs": (around(lambda m, x: Outputs(m.net(x), m.net(2 * x))), SHAPE),
    "one number": (around(lambda m, x: m.last(m.net(x)).squeeze(1), last=nn.Linear(5, 1)), SHAPE),
    "a branch that nobody takes": (
        between(lambda m, y: (m.lstm(y.mean(2).transpose(1, 2)), y)[1], lstm=nn.LSTM(6, 3, batch_first=True)),
        SHAPE,
    ),
}


# Hooks


def with_hooks(hook: Callable[[nn.Sequential], Any]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        model = network()
        hook(model)
        return model

    return make


HOOKS: Table = {
    "before the model": (
        with_hooks(lambda m: m.register_forward_pre_hook(lambda _, given: ((given[0] - 0.5) / 0.25,))),
        SHAPE,
    ),
    "behind the model": (with_hooks(lambda m: m.register_forward_hook(lambda _, given, y: 3 * y + 1)), SHAPE),
    "behind a block": (with_hooks(lambda m: m[0].register_forward_hook(lambda _, given, y: F.relu(y - 0.1))), SHAPE),
    "behind a relu": (
        with_hooks(lambda m: m[0][2].register_forward_hook(lambda _, given, y: y.clamp(max=0.05) + y.flip(1))),
        SHAPE,
    ),
    "before a norm": (
        with_hooks(lambda m: m[0][1].register_forward_pre_hook(lambda _, given: (given[0] * 3,))),
        SHAPE,
    ),
    "watching": (
        with_hooks(lambda m: [part.register_forward_hook(lambda _, given, y: None) for part in m.modules()]),
        SHAPE,
    ),
}


# Modules


class Slope(nn.Module):
    """One module, changed between its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.act, self.head = nn.Conv2d(3, 6, 3), nn.LeakyReLU(), head()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.act.negative_slope = 0.1
        y = self.act(self.stem(x))
        self.act.negative_slope = 0.8
        return self.head(self.act(y - 0.2))


class SameConv(nn.Conv2d):
    """Padding of TensorFlow's kind, and standardised weights."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        (h, w), k, step = input.shape[-2:], self.weight.shape[-1], self.stride[0]
        bottom, right = (max((math.ceil(n / step) - 1) * step + k - n, 0) for n in (h, w))
        if bottom > 0 or right > 0:
            input = F.pad(input, [right // 2, right - right // 2, bottom // 2, bottom - bottom // 2])
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / (self.weight.std((1, 2, 3), keepdim=True) + 1e-5)
        return F.conv2d(input, weight, self.bias, self.stride, 0, self.dilation, self.groups)


class MyReLU(nn.ReLU):
    """Nothing but a name."""


class MyPool(nn.MaxPool2d):
    """Nothing but a name."""


class Prompt(nn.Module):
    """Constants of its own: one is added, another is computed by a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.embed, self.head = conv_norm_relu(), nn.Linear(5, 6), head()
        self.prompt, self.token = nn.Parameter(torch.rand(1, 3, 16, 16) * 0.1), nn.Parameter(torch.rand(1, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(x + self.prompt) + self.embed(self.token).view(1, 6, 1, 1))


def reused(m: Any, x: Any) -> Any:
    return m.parts["head"](m.act(m.parts["b"](m.act(m.parts["a"](x)))))


MODULES: Table = {
    "an attribute that changes": (Slope, SHAPE),
    "padding by sizes": (plain(SameConv(3, 6, 3, 2), nn.ReLU(), head()), SHAPE),
    "subclasses": (plain(nn.Conv2d(3, 6, 3), MyReLU(), MyPool(2), nn.Flatten(), nn.Linear(294, 4)), SHAPE),
    "constants": (Prompt, SHAPE),
    "a reused activation": (
        lambda: Model(
            reused,
            act=nn.ReLU(inplace=True),
            parts=nn.ModuleDict({"a": nn.Conv2d(3, 6, 3), "b": nn.Conv2d(6, 6, 3), "head": head(), "c": nn.LSTM(3, 3)}),
        ),
        SHAPE,
    ),
    "an output that is always the same": (around(lambda m, x: 0 * m.net(x) + m.net[1][2].bias), SHAPE),
    "one neuron": (plain(nn.Flatten(), nn.Linear(768, 1), nn.ReLU(), nn.Linear(1, 1)), SHAPE),
    "one input": (plain(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 2)), (1,)),
    "one pixel": (plain(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1)), (1, 1, 1)),
    "one column": (
        plain(nn.Conv2d(3, 4, (5, 1), 2, (1, 0)), nn.ReLU(), nn.MaxPool2d((2, 1)), nn.Conv2d(4, 6, (3, 1)), head()),
        (3, 33, 1),
    ),
    "all options at once": (
        plain(
            nn.Conv2d(3, 6, (3, 5), (2, 1), (2, 3), (2, 1), groups=3),
            nn.ReLU(),
            nn.ConvTranspose2d(6, 4, (3, 2), (2, 3), (1, 0), (1, 2), groups=2, dilation=(1, 2)),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding="same", dilation=3),
            nn.ReLU(),
            head(4),
        ),
        SHAPE,
    ),
    "dilated maxima": (plain(nn.Conv2d(3, 6, 3), nn.MaxPool2d((3, 2), (2, 1), (1, 0), (2, 3)), head()), SHAPE),
}


def through_a_view(m: Any, x: Any) -> Any:
    y = m.stem(x)
    part = y[:, :2]
    part += 1
    return m.head(y)


def under_another_name(m: Any, x: Any) -> Any:
    y = z = m.stem(x)
    z *= 2
    return m.head(y) + m.head(z)


def forgotten(m: Any, x: Any) -> Any:
    y = m.conv(x)
    part = y[:, 1:4, 2:]
    F.relu(y, inplace=True)
    y[:, :, ::2].mul_(0.5)
    return m.head(y) + part.mean()[None, None] * 0 + m.head(torch.cat([part, part], 1)[..., :4])


def written(m: Any, x: Any) -> Any:
    y = m.net(x)
    y[:, 0] = 0
    return y


def into_a_buffer(m: Any, x: Any) -> Any:
    y = m.stem(x)
    wide = torch.zeros(len(x), 6, 20, 18)
    wide[:, :, 2:-2, 1:-1] = y
    wide[:, 3].copy_(wide[:, 2].flip(1))
    return m.head(wide.relu_())


def by_channels(m: Any, x: Any) -> Any:
    y = m.stem(x)
    return m.head(torch.stack([y[:, i] * (i + 1) for i in range(y.shape[1])], 1))


def time_first(m: Any, x: Any) -> Any:
    tokens = m.stem(x).flatten(2).permute(2, 0, 1)  # (places, images, channels)
    tokens = F.relu(m.up(tokens)) + tokens.mean(0, keepdim=True) @ m.up.weight.T
    return m.down(tokens).mean(0)


def in_windows(m: Any, x: Any) -> Any:
    y = m.stem(x).permute(0, 2, 3, 1).roll((1, 2), (1, 2))
    windows = y.view(-1, 4, 4, 4, 4, 6).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, 6)
    windows = torch.relu(m.up(windows)) + m.places.weight
    back = m.down(windows).view(-1, 4, 4, 4, 4, 6).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, 16, 6)
    return m.head(back.permute(0, 3, 1, 2))


def normalised(m: Any, x: Any) -> Any:
    n = m.norm
    return m.head(F.relu(F.batch_norm(m.conv(x), n.running_mean, n.running_var, n.weight, n.bias, False, 0.1, n.eps)))


class Scripted(nn.Module):
    """A part of it is compiled by TorchScript."""

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # newer versions would rather have torch.compile
            self.stem: Any = torch.jit.trace(conv_norm_relu().eval(), torch.rand(1, *SHAPE))
        self.head = head()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(x))


def cosines(n: int) -> torch.Tensor:
    """A discrete cosine transform."""
    k = torch.arange(n).double()
    return torch.cos(torch.pi / n * (k + 0.5) * k[:, None]).float()


BELOW_PYTHON: Table = {
    "in place through a view": (lambda: Model(through_a_view, stem=conv_norm_relu(), head=head()), SHAPE),
    "in place under another name": (lambda: Model(under_another_name, stem=conv_norm_relu(), head=head()), SHAPE),
    "writes into its output": (around(written), SHAPE),
    "writes into a buffer": (lambda: Model(into_a_buffer, stem=conv_norm_relu(), head=head()), SHAPE),
    "kind of x": (around(lambda m, x: m.net((x - 0.5) / 0.25 if type(x) is torch.Tensor else x)), SHAPE),
    "isinstance": (around(lambda m, x: m.net(2 * x if isinstance(x, torch.Tensor) else x)), SHAPE),
    "is_tensor": (around(lambda m, x: m.net(2 * x) if torch.is_tensor(x) else m.net(x)), SHAPE),
    "shows what it does": (around(lambda m, x: m.net(x) if f"{x} {x.mean():.2f}" + repr(x) else x), SHAPE),
    "a loop over channels": (lambda: Model(by_channels, stem=conv_norm_relu(), head=head()), SHAPE),
    "places first": (
        lambda: Model(time_first, stem=conv_norm_relu(), up=nn.Linear(6, 8), down=nn.Linear(8, 3)),
        SHAPE,
    ),
    "windows": (
        lambda: Model(
            in_windows,
            stem=conv_norm_relu(),
            up=nn.Linear(6, 8),
            down=nn.Linear(8, 6),
            head=head(),
            places=nn.Linear(8, 16),
        ),
        SHAPE,
    ),
    "F.batch_norm": (
        lambda: Model(normalised, conv=nn.Conv2d(3, 6, 3), norm=nn.BatchNorm2d(6), head=head()),
        SHAPE,
    ),
    "a part in TorchScript": (Scripted, SHAPE),
    "checkpointing": (around(lambda m, x: checkpoint(m.net, x, use_reentrant=False)), SHAPE),
    "einsum": (
        lambda: Model(
            lambda m, x: m.head(torch.einsum("bchw,cd,hk->bdkw", m.stem(x), m.one.weight, m.two.weight)),
            **{"stem": conv_norm_relu(), "head": head(), "one": nn.Linear(6, 6), "two": nn.Linear(4, 16)},
        ),
        SHAPE,
    ),
    "a matrix from the left": (between(lambda m, y: m.it.weight @ y, it=nn.Linear(16, 5)), SHAPE),
    "a matrix for each channel": (between(lambda m, y: m.it.weight.view(6, 4, 16) @ y, it=nn.Linear(16, 24)), SHAPE),
    "cosine transform": (between(lambda m, y: cosines(16) @ y @ cosines(16).T / 16), SHAPE),
    "bilinear": (between(lambda m, y: F.interpolate(y, (9, 23), mode="bilinear", align_corners=False)), SHAPE),
    "bicubic": (between(lambda m, y: F.interpolate(y, scale_factor=0.5, mode="bicubic", align_corners=True)), SHAPE),
    "area": (between(lambda m, y: F.interpolate(y, (5, 7), mode="area")), SHAPE),
    "antialiased": (between(lambda m, y: F.interpolate(y, (5, 7), mode="bilinear", antialias=True)), SHAPE),
    "unfold": (between(lambda m, y: F.unfold(y, 3, stride=2).unsqueeze(1).expand(-1, 6, -1, -1)), SHAPE),
    "rot90": (between(lambda m, y: torch.rot90(y, 1, (2, 3))), SHAPE),
    "cumsum": (between(lambda m, y: y.cumsum(3) / 16), SHAPE),
    "a mask": (between(lambda m, y: y.masked_fill(torch.eye(16, dtype=torch.bool), 0.5)), SHAPE),
    "largest of a group": (between(lambda m, y: y.view(-1, 2, 3, 16, 16).amax(2), 2), SHAPE),
    "largest and where": (between(lambda m, y: y.max(1, keepdim=True)[0], 1), SHAPE),
    "uneven maxima": (between(lambda m, y: F.adaptive_max_pool2d(y, (5, 3))), SHAPE),
}


def function(of: Callable[[Any], Any]) -> Callable[[], nn.Module]:
    """Between two convolutions."""
    return between(lambda m, y: of(m.it(y)), it=nn.Conv2d(6, 6, 3))


class Own(nn.Module):
    """A gate that nobody else has."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.log_ndtr(x) + x.atan()


FUNCTIONS: Table = {
    name: (function(of), SHAPE)
    for name, of in {
        "silu": F.silu,
        "silu in place": lambda y: F.silu(y, inplace=True),
        "gelu": F.gelu,
        "gelu by tanh": lambda y: F.gelu(y, approximate="tanh"),
        "sigmoid": torch.sigmoid,
        "sigmoid and relu": lambda y: torch.sigmoid(y).relu(),
        "tanh": torch.tanh,
        "hardswish": F.hardswish,
        "hardsigmoid": F.hardsigmoid,
        "mish": F.mish,
        "elu": F.elu,
        "selu": F.selu,
        "celu": lambda y: F.celu(y, 0.5),
        "softplus": F.softplus,
        "logsigmoid": F.logsigmoid,
        "exp": torch.exp,
        "log": lambda y: (y.abs() + 0.5).log(),
        "sqrt": lambda y: (y.abs() + 0.1).sqrt(),
        "reciprocal": lambda y: 1 / (y.abs() + 1),
        "square": lambda y: y**2,
        "erf": torch.erf,
        "tanhshrink": F.tanhshrink,
        "softshrink": lambda y: F.softshrink(y, 0.1),
        "hardshrink": lambda y: F.hardshrink(y, 0.2),
        "softsign": F.softsign,
        "of its own": Own(),
    }.items()
}


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


def squeezed(m: Any, y: Any) -> Any:
    return y * torch.sigmoid(m.up(F.relu(m.down(y.mean((2, 3), keepdim=True)))))


def attended(m: Any, y: Any) -> Any:
    tokens = F.avg_pool2d(y, 4).flatten(2).mT
    return m.it(tokens, tokens, tokens)[0].mT[..., None]


def product(of: Callable[[Any, Any], Any], classes: int = 6, **modules: nn.Module) -> Callable[[], nn.Module]:
    return between(lambda m, y: of(m, m.it(y)), classes, it=nn.Conv2d(6, 6, 3), **modules)


PRODUCTS: Table = {
    "attention by hand": (Tokens, SHAPE),
    "gate": (product(lambda m, y: y * torch.sigmoid(m.gate(y)), gate=nn.Conv2d(6, 6, 1)), SHAPE),
    "swish by hand": (product(lambda m, y: y * torch.sigmoid(y)), SHAPE),
    "square": (product(lambda m, y: y * y), SHAPE),
    "squeeze and excitation": (between(squeezed, down=nn.Conv2d(6, 3, 1), up=nn.Conv2d(3, 6, 1)), SHAPE),
    "quotient": (product(lambda m, y: y / (1 + y.abs().mean(1, keepdim=True))), SHAPE),
    "quotient in place": (product(lambda m, y: y.clone().div_(y.abs() + 1)), SHAPE),
    "quotient of a constant": (product(lambda m, y: torch.ones(6, 1, 1) / (1 + y.abs())), SHAPE),
    "LayerNorm": (
        between(lambda m, y: m.norm(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), norm=nn.LayerNorm(6)),
        SHAPE,
    ),
    "GroupNorm": (product(lambda m, y: m.norm(y), norm=nn.GroupNorm(2, 6)), SHAPE),
    "InstanceNorm": (product(lambda m, y: F.relu(m.norm(y)), norm=nn.InstanceNorm2d(6, affine=True)), SHAPE),
    "softmax": (product(lambda m, y: 3 * y.softmax(1)), SHAPE),
    "GLU": (product(lambda m, y: F.glu(y, 1), 3), SHAPE),
    "standard deviations": (product(lambda m, y: y.std((2, 3), keepdim=True)), SHAPE),
    "normalize": (product(lambda m, y: F.normalize(y, dim=1)), SHAPE),
    "local response": (product(lambda m, y: F.local_response_norm(y, 3, 0.1)), SHAPE),
    "MultiheadAttention": (between(attended, it=nn.MultiheadAttention(6, 2, batch_first=True)), SHAPE),
    "transformer": (
        between(
            lambda m, y: m.it(F.avg_pool2d(y, 4).flatten(2).mT).mT[..., None],
            it=nn.TransformerEncoderLayer(6, 2, 16, batch_first=True),
        ),
        SHAPE,
    ),
    "log softmax at the end": (lambda: nn.Sequential(network(), nn.LogSoftmax(1)), SHAPE),
}

GROUPS = {
    **{"products": PRODUCTS, "functions": FUNCTIONS, "python": PYTHON, "hooks": HOOKS, "modules": MODULES},
    "below Python": BELOW_PYTHON,
}
