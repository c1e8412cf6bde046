"""Layers rounded one after the other, each in view of what the rounded layers before it send on calibration images."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.conversion.building import Builder
from lava_aug.conversion.calibration import evenly_spaced
from lava_aug.conversion.composition import Factors, along_channels
from lava_aug.conversion.float_layers import FloatGraph
from lava_aug.conversion.signals import FloatLayer
from lava_aug.core.fixed_point import STATE_BITS, signed_range
from lava_aug.core.network import INPUT_LEVELS, Layer
from lava_aug.core.walks import that_fit, walk
from lava_aug.kernels.batches import batch_form

MOST_IMAGES, NEURONS = 256, 1 << 27
"""Calibration images that correct biases: this number, or the number that makes this many neurons, most of which are
not kept at the same time."""


class Passed(NamedTuple):
    """What a layer gives for calibration images: the model's values, and mean spikes per step of the network."""

    exact: torch.Tensor
    sent: torch.Tensor


class Arrived(NamedTuple):
    """What arrives at a layer: the model's values; the layer made of it, and its mean input current per step."""

    exact: torch.Tensor
    layer: Layer
    current: torch.Tensor


@torch.no_grad()  # pyright: ignore[reportUntypedFunctionDecorator]: torch's
def corrected_layers(
    graph: FloatGraph,
    images: torch.Tensor,
    made: Callable[[FloatLayer], Layer],
    builder: Builder,
) -> tuple[Layer, ...]:
    """The layers of a network, rounded so that their inputs on calibration images are the model's.

    Weights are rounded together, for what the layers before, rounded, send (`lava_aug.conversion.adaptive`). Rounding
    also shifts the mean input of each channel: that shift is taken off its biases (Nagel et al., ICCV 2019, "Data-free
    quantization through weight equalization and bias correction", appendix D: empirical bias correction, layer by
    layer).

    Parameters
    ----------
    graph : FloatGraph
        The model.
    images : tensor, float32 in [0, 1], shape (B, *shape)
        Calibration images.
    made : callable
        Makes a layer, by the builder.
    builder : Builder
        Which is told what the layer's sources send. Neurons that have a total send that of ``num_steps`` time steps,
        others the mean rate of infinitely many.
    """
    layers: list[Layer] = []
    num_steps, units = builder.options.num_steps, builder.units

    def take(layer: FloatLayer, given: list[Passed]) -> Arrived:
        exact = graph.arriving(layer, [passed.exact for passed in given])
        sources = dict(zip(layer.sources, (passed.sent for passed in given), strict=True))
        builder.sent.clear()
        builder.sent.update(sources)
        new = made(layer)
        current = _current(new, sources)
        if layer.name in units:
            new, current = _shifted(new, current, exact, units[layer.name])
        layers.append(new)
        return Arrived(exact, new, current)

    def give(layer: FloatLayer, arrived: Arrived) -> Passed:
        return Passed(layer.activate(arrived.exact), _sent(arrived.layer, arrived.current, num_steps))

    for _ in walk(graph.layers, Passed(images, images * INPUT_LEVELS), take, give):
        pass
    return tuple(layers)


def chosen(images: NDArray[Any], graph: FloatGraph) -> NDArray[Any]:
    """As many of the images as correct biases, evenly spaced."""
    return evenly_spaced(images, min(MOST_IMAGES, that_fit((layer.shape for layer in graph.layers), NEURONS)))


def _current(layer: Layer, sources: dict[str, torch.Tensor]) -> torch.Tensor:
    bias = torch.zeros(()) if layer.bias is None else torch.as_tensor(layer.bias.astype(np.float32))
    return sum((batch_form(s, torch.float32, "cpu")(sources[source]) for source, s in layer.connections), bias)


def _shifted(layer: Layer, current: torch.Tensor, exact: torch.Tensor, units: Factors) -> tuple[Layer, torch.Tensor]:
    """The layer with other biases, and its current with them."""
    wanted = exact.mean(0, dtype=torch.float64) * torch.as_tensor(units)
    error = (current.mean(0, dtype=torch.float64) - wanted).numpy()
    shift = along_channels(np.rint(error.reshape(len(error), -1).mean(axis=1)).astype(np.int64), error.shape)
    low, high = signed_range(STATE_BITS)
    bias = np.clip((0 if layer.bias is None else layer.bias) - shift, low, high)
    return layer.replace(bias=bias), current - torch.as_tensor(shift.astype(np.float32))


def _sent(layer: Layer, current: torch.Tensor, num_steps: int) -> torch.Tensor:
    """Mean spikes per step."""
    total = layer.neuron.total((current * num_steps).round().double(), num_steps)
    mean = layer.neuron.mean(current, clip=True) if total is None else total / num_steps
    return mean.float()
