"""The ANN itself in a comparison: its logits, and the cost of a forward pass."""

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lava_aug.conversion.calibration import as_intensity, calibration_images
from lava_aug.conversion.converter import checked_normalization
from lava_aug.conversion.signals import FloatLayer
from lava_aug.conversion.tracing import trace
from lava_aug.core.images import Progress
from lava_aug.core.layers import Shape
from lava_aug.core.network import INPUT
from lava_aug.core.normalization import Normalization
from lava_aug.core.walks import batches
from lava_aug.experiments.energy import ann_energy


def ann_logits(
    model: nn.Module,
    images: Any,
    batch_size: int = 100,
    *,
    normalize: tuple[Any, Any] | Normalization | None = None,
    progress: Progress | None = None,
) -> NDArray[Any]:
    """The model's output on images, uint8 or in [0, 1], in evaluation mode: ``(B, ...)`` float32.

    ``normalize`` is as for `lava_aug.convert`; ``progress`` is called with the number of finished images and of all.
    """
    x = calibration_images(images)
    transform = checked_normalization(normalize, x.shape[1])
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            shown = map(as_intensity, batches(x, batch_size, progress))
            return np.concatenate([model(batch if transform is None else transform(batch)).numpy() for batch in shown])
    finally:
        model.train(was_training)


@dataclasses.dataclass(frozen=True)
class AnnCost:
    """One pass of an ANN for one image, batch normalisation being part of the layer before it.

    Attributes
    ----------
    macs : int
        Multiply-accumulates; those on padding are left out.
    additions : int
        Other additions: average pooling, residual sums.
    neurons : int
        Elements of all layers' outputs.
    """

    macs: int
    additions: int
    neurons: int

    @property
    def energy(self) -> float:
        """nJ with 8-bit integers."""
        return ann_energy(self.macs, self.additions, self.neurons)


def ann_cost(model: nn.Module, images: Any, *, normalize: tuple[Any, Any] | Normalization | None = None) -> AnnCost:
    """What one pass of a model costs.

    Parameters
    ----------
    model : torch.nn.Module
        As for `lava_aug.convert`.
    images : array or tensor, shape (B, *shape)
        Some images.
    normalize : (mean, std), optional
        As for `lava_aug.convert`.

    Raises
    ------
    ConversionError
        If the model holds something unsupported.
    """
    x = calibration_images(images)
    graph = trace(model, as_intensity(x[[0, -1]]), normalize=checked_normalization(normalize, x.shape[1]))
    shapes = {INPUT: graph.input_shape} | {layer.name: layer.shape for layer in graph.layers}
    costs = [_layer_cost(layer, shapes) for layer in graph.layers]
    return AnnCost(
        macs=sum(macs for macs, _ in costs),
        additions=sum(additions for _, additions in costs),
        neurons=sum(math.prod(layer.current_shape) for layer in graph.layers),
    )


def _layer_cost(layer: FloatLayer, shapes: dict[str, Shape]) -> tuple[int, int]:
    """Multiply-accumulates and other additions: the first term of a sum needs none."""
    counts = [(t.synapse.multiplies, t.synapse.connectivity(shapes[t.source]).count) for t in layer.terms]
    macs = sum(count for is_product, count in counts if is_product)
    plain = sum(count for is_product, count in counts if not is_product)
    return macs, plain if macs else max(0, plain - math.prod(layer.current_shape))
