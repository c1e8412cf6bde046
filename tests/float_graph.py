"""What the tests of the converter share: models from one line, and a plain evaluator of float layers."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from lava_aug.conversion.float_layers import FloatGraph
from lava_aug.conversion.signals import FloatLayer, Term
from lava_aug.conversion.tracing import trace
from lava_aug.core.network import INPUT

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
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            for values, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
                (module.weight, 0.5, 1.5),
                (module.bias, -0.3, 0.3),
            ):
                if values is not None:
                    nn.init.uniform_(values, low, high)
        elif isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)):
            module.reset_parameters()
    return model.eval()


def images_of(shape: tuple[int, ...], count: int = 5, seed: int = 1) -> Tensor:
    """Random images in [0, 1], float32."""
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def evaluate(graph: FloatGraph, images: Tensor) -> dict[str, np.ndarray]:
    """Output of every layer, by the definitions: ``activation(sum of gain * accumulate + bias)`` in float64."""
    values = {INPUT: images.double().numpy()}
    for layer in graph.layers:
        found = sum(term.gain * term.synapse.accumulate(values[term.source]) for term in layer.terms)
        found = torch.tensor(found if layer.bias is None else found + layer.bias)
        values[layer.name] = layer.activate(found).numpy()
    return values


def the_term(layer: FloatLayer) -> Term:
    """The only term of a layer."""
    (term,) = layer.terms
    return term


def output_of(model: nn.Module, images: Tensor) -> np.ndarray:
    """What the model itself gives."""
    with torch.no_grad():
        return model(images).double().numpy()


def traced(model: nn.Module, shape: tuple[int, ...] = SHAPE, **options: Any) -> FloatGraph:
    """Trace, and hold shapes and the last layer against the model's output, by definition and in torch."""
    images = images_of(shape)
    graph = trace(model, images, **options)
    expected = graph.expected(images).double().numpy()
    layers = evaluate(graph, images)
    for layer in graph.layers:
        assert layers[layer.name].shape[1:] == layer.shape
    np.testing.assert_allclose(layers[graph.layers[-1].name].reshape(expected.shape), expected, atol=1e-5)
    found = graph.readout(images).double().numpy()
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-5)
    assert np.ptp(expected) > 0.01  # so that there is something to be wrong
    return graph
