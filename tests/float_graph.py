"""What the tests of the converter share: models from one line, and a plain evaluator of float layers."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
import torch.fx
from torch import Tensor, nn

from lava_aug.network import INPUT
from lava_aug.tracing import FloatGraph, FloatLayer, trace

ModelType = TypeVar("ModelType", bound=nn.Module)

SHAPE = (2, 5, 7)
"""Of the images that `traced` makes."""


class Model(nn.Module):
    """Modules by name, and ``forward(modules, x)``, in which they are attributes."""

    def __init__(self, forward: Callable[[Any, Any], Any], **modules: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def lively(model: ModelType, seed: int = 0) -> ModelType:
    """The model in evaluation mode, with random weights, biases and batch statistics, as training would leave them."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for values, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
                (module.weight, 0.5, 1.5),
                (module.bias, -0.3, 0.3),
            ):
                if values is not None:
                    nn.init.uniform_(values, low, high)
        elif isinstance(module, (nn.Linear, nn.Conv2d)):
            module.reset_parameters()
    return model.eval()


def images_of(shape: tuple[int, ...], count: int = 5, seed: int = 1) -> Tensor:
    """Random images in [0, 1], float32."""
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def evaluate(layers: list[FloatLayer], images: Tensor) -> dict[str, np.ndarray]:
    """Output of every layer: ``sum / divisor + bias``, then the ReLU, in float64."""
    values = {INPUT: images.double().numpy()}
    for layer in layers:
        found = layer.synapse.accumulate(values[layer.source]) / layer.divisor
        found = found if layer.bias is None else found + layer.bias
        values[layer.name] = np.maximum(found, 0) if layer.relu else found
    return values


def output_of(model: nn.Module, images: Tensor) -> np.ndarray:
    """What the model itself gives."""
    with torch.no_grad():
        return model(images).double().numpy()


class Nodes(torch.fx.Interpreter):
    """Keeps a copy of the output of every node."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.outputs: dict[str, np.ndarray] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor):
            self.outputs[n.name] = value.double().numpy().copy()
        return value


def traced(model: nn.Module, shape: tuple[int, ...] = SHAPE) -> FloatGraph:
    """Trace, and hold every layer against the output of its node, and the last one against the model's."""
    images = images_of(shape)
    expected = output_of(model, images)
    graph = trace(model, images)
    layers = evaluate(graph.layers, images)
    nodes = Nodes(graph.module)
    nodes.run(images.clone())
    for layer in graph.layers:
        assert layers[layer.name].shape[1:] == layer.shape
        found = nodes.outputs[layer.node]
        np.testing.assert_allclose(layers[layer.name].reshape(found.shape), found, atol=1e-5)
    np.testing.assert_allclose(layers[graph.layers[-1].name].reshape(expected.shape), expected, atol=1e-5)
    assert np.ptp(expected) > 0.01  # so that there is something to be wrong
    return graph
