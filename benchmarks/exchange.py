"""A network and the images to run it on, in a folder that any environment with torch and numpy can read.

The network is written as what it computes: layers with their arguments in ``network.json``, weights in ``weights.npz``,
batch normalisation folded, every activation a module of its own, as converters want it. Nothing is pickled, so that
writer and reader may have different versions of torch, and the reader needs none of the writer's code.
"""

import dataclasses
import json
import operator
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

ADD = "add"
KINDS: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "conv": (
        nn.Conv2d,
        ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"),
    ),
    "linear": (nn.Linear, ("in_features", "out_features")),
    "relu": (nn.ReLU, ()),
    "avgpool": (nn.AvgPool2d, ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")),
    "maxpool": (nn.MaxPool2d, ("kernel_size", "stride", "padding", "dilation", "ceil_mode")),
    "mean": (nn.AdaptiveAvgPool2d, ("output_size",)),
    "flatten": (nn.Flatten, ("start_dim", "end_dim")),
}
"""Layers that can be written, by name: their module and what to make it of."""

KIND_OF = {module: kind for kind, (module, _) in KINDS.items()}
SKIPPED = (nn.Identity, nn.Dropout, nn.Dropout2d)
FUNCTIONS: dict[Any, str] = {
    F.relu: "relu",
    torch.relu: "relu",
    "relu": "relu",
    torch.flatten: "flatten",
    "flatten": "flatten",
    operator.add: ADD,
    operator.iadd: ADD,
    torch.add: ADD,
}


class ExchangeError(ValueError):
    """A network that cannot be written."""


@dataclasses.dataclass
class Layer:
    """One layer: its kind, what feeds it, what its module is made of, and the weights."""

    name: str
    kind: str
    inputs: list[str]
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    module: nn.Module | None = None


def write_network(model: nn.Module, folder: Path) -> None:
    """Write a model in evaluation mode; ExchangeError if it has an operation that is not in `KINDS`."""
    layers = traced(model)
    lines = [{key: getattr(layer, key) for key in ("name", "kind", "inputs", "arguments")} for layer in layers]
    (folder / "network.json").write_text(json.dumps(lines, indent=1))
    weights = {}
    for layer in layers:
        if layer.kind in ("conv", "linear"):
            module: Any = layer.module
            bias = torch.zeros(len(module.weight)) if module.bias is None else module.bias
            weights |= {f"{layer.name}.weight": module.weight, f"{layer.name}.bias": bias}
    np.savez(folder / "weights.npz", **{name: value.detach().numpy() for name, value in weights.items()})


def traced(model: nn.Module) -> list[Layer]:
    """The layers of a model in evaluation mode, in the order of computation; ExchangeError as `write_network`."""
    try:
        graph = fx.symbolic_trace(model)
    except (fx.proxy.TraceError, TypeError) as error:
        raise ExchangeError(f"the model cannot be traced: {error}") from error
    found: dict[str, Layer] = {}
    known: dict[str, str] = {}  # node to the name of what gives its value
    for node in graph.graph.nodes:
        inputs = [known[source.name] for source in node.all_input_nodes]
        if node.op == "placeholder":
            known[node.name] = "input"
        elif node.op == "output":
            break
        elif node.op == "call_module":
            known[node.name] = _add_module(found, graph.get_submodule(str(node.target)), inputs, node)
        else:
            known[node.name] = _add_function(found, inputs, node)
    return list(found.values())


def _add_module(found: dict[str, Layer], module: nn.Module, inputs: list[str], node: fx.Node) -> str:
    if isinstance(module, SKIPPED):
        return inputs[0]
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        _fold(found.get(inputs[0]), module, node)
        return inputs[0]
    kind = KIND_OF.get(type(module))
    if kind is None:
        raise ExchangeError(
            f"layer {node.target!r}: {type(module).__name__} cannot be written; expected {known_kinds()}"
        )
    arguments = {key: getattr(module, key) for key in KINDS[kind][1]}
    return _add(found, Layer(f"{kind}{len(found)}", kind, inputs, arguments, module))


def _fold(before: Layer | None, norm: Any, node: fx.Node) -> None:
    fuse: Any = {"conv": fuse_conv_bn_eval, "linear": fuse_linear_bn_eval}.get(before.kind if before else "")
    if before is None or fuse is None or len(node.all_input_nodes[0].users) != 1:
        raise ExchangeError(f"layer {node.target!r}: batch normalisation has to follow a convolution or a linear layer")
    before.module = fuse(before.module, norm)


def _add_function(found: dict[str, Layer], inputs: list[str], node: fx.Node) -> str:
    kind = FUNCTIONS.get(node.target)
    details = node.args[1:], dict(node.kwargs)
    plain_sum = len(node.args) == len(inputs) == 2 and not node.kwargs
    from_axis_1 = details in (((1,), {}), ((), {"start_dim": 1}))
    if kind is None or (kind == ADD and not plain_sum) or (kind == "flatten" and not from_axis_1):
        raise ExchangeError(f"operation {node.name!r} cannot be written; expected {known_kinds()}, or a sum")
    return _add(found, Layer(f"{kind}{len(found)}", kind, inputs))


def _add(found: dict[str, Layer], layer: Layer) -> str:
    found[layer.name] = layer
    return layer.name


def known_kinds() -> str:
    """The names of all layers that can be written."""
    return ", ".join(module.__name__ for module, _ in KINDS.values())


def read_network(folder: Path) -> fx.GraphModule:
    """The network, flat: modules with one name each, called in order; sums are ``operator.add``."""
    layers = json.loads((folder / "network.json").read_text())
    weights = np.load(folder / "weights.npz", allow_pickle=False)
    root, graph = nn.Module(), fx.Graph()
    values = {"input": graph.placeholder("x")}
    for layer in layers:
        name, inputs = layer["name"], tuple(values[source] for source in layer["inputs"])
        if layer["kind"] == ADD:
            values[name] = graph.call_function(operator.add, inputs)
            continue
        module = KINDS[layer["kind"]][0](**layer["arguments"])
        if f"{name}.weight" in weights:
            module.load_state_dict({key: torch.tensor(weights[f"{name}.{key}"]) for key in ("weight", "bias")})
        root.add_module(name, module)
        values[name] = graph.call_module(name, inputs)
    graph.output(values[layers[-1]["name"]])
    return fx.GraphModule(root, graph).eval()


@dataclasses.dataclass(frozen=True)
class Task:
    """What everybody has to do: images in [0, 1] as float32, for so many steps, on so many threads.

    Attributes
    ----------
    calibration, images, labels : numpy.ndarray
        uint8 images ``(N, C, H, W)``, and the classes of `images`.
    logits : numpy.ndarray
        What the ANN makes of the images, to see that everybody has the same network.
    steps : int
        Time steps per image.
    batch_size, threads : int
        Images computed together, and threads that torch may take.
    """

    calibration: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    steps: int
    batch_size: int
    threads: int

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The images in [0, 1], and their classes."""
        images, labels = to_input(self.images), torch.tensor(self.labels)
        yield from zip(images.split(self.batch_size), labels.split(self.batch_size), strict=True)


def repeats(least: int = 3, most: int = 20, seconds: float = 2.0) -> Iterator[int]:
    """How often something is timed, of which the shortest is taken: some times, and more often if it is fast."""
    end = time.perf_counter() + seconds
    for index in range(most):
        if index >= least and time.perf_counter() > end:
            return
        yield index


def to_input(images: np.ndarray) -> Tensor:
    """uint8 images as float32 in [0, 1]."""
    return torch.tensor(images).float() / 255


def write_task(task: Task, folder: Path) -> None:
    """Write everything but the network."""
    np.savez(folder / "task.npz", **dataclasses.asdict(task))


def read_task(folder: Path) -> Task:
    """The counterpart of `write_task`."""
    with np.load(folder / "task.npz", allow_pickle=False) as found:
        values: dict[str, Any] = {name: found[name] if found[name].ndim else int(found[name]) for name in found.files}
    return Task(**values)
