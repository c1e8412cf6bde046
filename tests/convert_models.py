"""The small models on which conversion is tested, and what their converted networks are held against."""

from collections.abc import Callable

import numpy as np
import torch
from float_graph import Model, images_of, lively, output_of
from torch import nn

from lava_aug import Network, simulate

SHAPE = (2, 9, 8)
IMAGES = (images_of(SHAPE, 24) * 255).round().to(torch.uint8)


def pooled() -> nn.Module:
    """Convolution, batch norm, ReLU and average pooling, twice, and two dense layers."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, (2, 3)),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AvgPool2d((3, 2)),
        nn.Flatten(),
        nn.Linear(6, 12),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(12, 5),
    )


def linear_between() -> nn.Module:
    """A dense layer without a ReLU, whose output has both signs."""
    return nn.Sequential(nn.Flatten(), nn.Linear(144, 16), nn.ReLU(), nn.Linear(16, 12), nn.Linear(12, 5))


def pooled_before_relu() -> nn.Module:
    """Pooling of both signs: first in front of a ReLU, then without one."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.AvgPool2d(2),
        nn.ReLU(),
        nn.Conv2d(4, 4, 2, padding=1),
        nn.AvgPool2d(3, 1),
        nn.Flatten(),
        nn.Linear(16, 5),
    )


def ending_in_relu() -> nn.Module:
    """Its last layer fires, and a readout of relays is added."""
    return nn.Sequential(nn.Flatten(), nn.Linear(144, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU())


def all_convolutions() -> nn.Module:
    """The readout is the global average of the last maps."""
    return Model(
        lambda m, x: m.pool(m.head(m.body(x))).flatten(1),
        body=nn.Sequential(nn.Conv2d(2, 6, 3, stride=(2, 1)), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=2), nn.ReLU()),
        head=nn.Conv2d(6, 5, 1),
        pool=nn.AdaptiveAvgPool2d(1),
    )


def pooled_images() -> nn.Module:
    """Pooling comes first, and cannot be folded into a convolution with padding."""
    return nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))


MODELS: dict[str, Callable[[], nn.Module]] = {
    function.__name__: function
    for function in (pooled, linear_between, pooled_before_relu, ending_in_relu, all_convolutions, pooled_images)
}


def made(name: str) -> nn.Module:
    return lively(MODELS[name](), seed=3)


def logits(net: Network, num_steps: int) -> np.ndarray:
    """What a network answers for `IMAGES` after all steps, ``(B, classes)``, in the model's units."""
    return simulate(net, IMAGES, num_steps).logits[-1].reshape(len(IMAGES), -1)


def expected(model: nn.Module) -> np.ndarray:
    return output_of(model, IMAGES / 255)


def correlation(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.corrcoef(found.ravel(), wanted.ravel())[0, 1])


def largest_error(found: np.ndarray, wanted: np.ndarray) -> float:
    """As a part of the standard deviation of what is wanted."""
    return float(np.abs(found - wanted).max() / wanted.std())
