"""One network, held in all the ways in which people hold theirs: wrapped, compiled, pruned, with a lock."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from float_graph import Model, lively
from torch import fx, nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.optim.swa_utils import AveragedModel

IMAGES = (torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(4)) * 255).round().to(torch.uint8)


def network() -> nn.Sequential:
    """Weights, batch normalisation, and an activation."""
    return lively(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)), seed=5
    )


def after_training(model: nn.Module) -> nn.Module:
    """Its weights have gradients, and what is computed of them has a history."""
    model.eval()(IMAGES / 255).sum().backward()
    return model


def pruned() -> nn.Module:
    model = network()
    prune.l1_unstructured(model[0], "weight", 0.5)
    prune.random_structured(model[4], "weight", 0.3, dim=0)
    return after_training(model)


def with_hooks_of(normalize: Callable[[nn.Module], Any]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        model = network()
        normalize(model[0])
        normalize(model[4])
        model.train()(IMAGES / 255)  # spectral normalisation learns
        return after_training(model)

    return make


class Triangle(nn.Module):
    """A parametrisation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.triu() + 0.1 * x.abs()


def with_a_triangle() -> nn.Module:
    model = network()
    parametrize.register_parametrization(model[4], "weight", Triangle())
    return model


class Locked(nn.Module):
    """Cannot be copied or pickled: not its lock, its file, its generator, nor what holds one."""

    def __init__(self) -> None:
        super().__init__()
        self.m, self.lock, self.count = network(), threading.Lock(), iter(range(3))
        self.config = {"lock": threading.Lock(), "numbers": self._numbers()}

    def _numbers(self) -> Iterator[int]:
        yield 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with self.lock, self.config["lock"]:
            return self.m(x)


class NothingReturned(nn.Module):
    """`train` is overridden, and returns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.m = network()

    def train(self, mode: bool = True) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().train(mode)
        self.m[1].eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.m(x)


def remembering() -> nn.Module:
    """Keeps a map in an attribute, with its history."""

    def forward(m: Any, x: Any) -> Any:
        m.last = m.net[:3](x)
        return m.net[3:](m.last)

    return after_training(Model(forward, net=network()))


def averaged() -> nn.Module:
    model = AveragedModel(network())
    model.update_parameters(network())
    return model


def compiled_in_place() -> nn.Module:
    model = network()
    model.compile()
    model[0].compile()
    return model


def compiled_inside() -> nn.Module:
    model = network()
    return nn.Sequential(torch.compile(model[:3]), model[3:])  # pyright: ignore[reportArgumentType]


def scripted_inside() -> nn.Module:
    model = network()
    return nn.Sequential(torch.jit.script(model[:3]), model[3:])  # pyright: ignore[reportArgumentType]


HELD: dict[str, Callable[[], Any]] = {
    "in training mode": lambda: network().train(),
    "after training": lambda: after_training(network()),
    "half precision": lambda: network().half(),
    "bfloat16": lambda: network().bfloat16(),
    "double precision": lambda: network().double(),
    "pruned": pruned,
    "weight_norm": with_hooks_of(nn.utils.weight_norm),
    "spectral_norm": with_hooks_of(nn.utils.spectral_norm),
    "parametrised weight_norm": with_hooks_of(parametrizations.weight_norm),
    "parametrised spectral_norm": with_hooks_of(parametrizations.spectral_norm),
    "a parametrisation": with_a_triangle,
    "with locks": lambda: nn.Sequential(Locked()),
    "train() returns nothing": NothingReturned,
    "with a kept map": remembering,
    "DataParallel": lambda: nn.DataParallel(network()),
    "averaged": averaged,
    "torch.compile": lambda: torch.compile(network()),
    "compile()": compiled_in_place,
    "torch.compile inside": compiled_inside,
    "torch.fx": lambda: fx.symbolic_trace(network()),
    "scripted": lambda: torch.jit.script(network()),
    "traced": lambda: torch.jit.trace(network(), IMAGES[:1] / 255),
    "scripted inside": scripted_inside,
}


class Lonely(nn.Module):
    """Refuses to be copied."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("there is only one of me")


class Stubborn(nn.Module):
    """Refuses to be evaluated."""

    def train(self, mode: bool = True) -> Any:
        raise RuntimeError("always in training")


def quantized() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(network(), {nn.Linear})


COPIED = "no copy in evaluation mode can be made of it"

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "on meta": (
        lambda: network().to("meta"),
        "Sequential: '0.weight' is on device 'meta' and has no values; load the trained weights, with "
        "load_state_dict(weights, assign=True)",
    ),
    "lazy": (
        lambda: nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(3)),
        "Sequential: '0.weight' of a lazy module has no values yet; run the model once, and train it",
    ),
    "quantised": (
        quantized,
        "module '4' (torch.ao.nn.quantized.dynamic.modules.linear.Linear) is not supported; docs/conversion.md lists "
        "what is",
    ),
    "not to be copied": (
        Lonely,
        f"Lonely: {COPIED} (RuntimeError: there is only one of me); convert a model that copy.deepcopy takes",
    ),
    "not to be evaluated": (
        Stubborn,
        f"Stubborn: {COPIED} (RuntimeError: always in training); convert a model that copy.deepcopy takes",
    ),
}
