"""Networks that people really have: torchvision's, at a small size, untrained, with batch statistics as of training."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lava_aug as la

torchvision = pytest.importorskip("torchvision")

SIZES = {"resnet18": 32, "vgg11_bn": 32, "mobilenet_v2": 32, "squeezenet1_1": 48, "densenet121": 32}
"""Side of the images: squeezenet has less padding."""

EIGHT_BITS = {"resnet18": 0.97, "vgg11_bn": 0.98, "mobilenet_v2": 0.7, "squeezenet1_1": 0.99, "densenet121": 0.93}
"""Correlation of what differs between images; of random weights, depthwise convolutions make the least of 8 bits."""


def images_for(name: str, count: int = 12) -> torch.Tensor:
    """Of different colours and shapes, as photographs are: pooled over their maps, images of noise are all alike."""
    generator = torch.Generator().manual_seed(3)
    noise = torch.rand(count, 3, SIZES[name], SIZES[name], generator=generator)
    shapes = F.interpolate(torch.rand(count, 3, 4, 4, generator=generator), SIZES[name], mode="bilinear")
    return ((0.3 * noise + 0.7 * shapes) * 255).round().to(torch.uint8)


def narrowed(model: nn.Module) -> nn.Module:
    """VGG with 256 instead of 4,096 neurons in its dense layers, which have nine tenths of its weights."""
    if isinstance(model, torchvision.models.VGG):
        model.classifier[0] = nn.Linear(model.classifier[0].in_features, 256)
        model.classifier[3] = nn.Linear(256, 256)
        model.classifier[6] = nn.Linear(256, model.classifier[6].out_features)
    return model


@functools.cache
def made(name: str) -> nn.Module:
    """Random weights, and the batch statistics that follow from them, shaken: no layer dies or explodes."""
    torch.manual_seed(0)
    model = narrowed(getattr(torchvision.models, name)(weights=None, num_classes=10))
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # pyright: ignore[reportAttributeAccessIssue]  # the mean of all batches
    with torch.no_grad():
        model.train()(images_for(name) / 255)
        for norm in norms:
            assert norm.running_var is not None
            assert norm.running_mean is not None
            norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.7, 1.4))
            norm.running_mean.add_(0.1 * torch.randn_like(norm.running_mean) * norm.running_var.sqrt())
            norm.bias.uniform_(-0.2, 0.2)
    return model.eval()


def correlation(found: np.ndarray, model: nn.Module, images: torch.Tensor) -> float:
    """Of what differs between images; a network that ignores them has none."""
    with torch.no_grad():
        wanted = model(images / 255).numpy()
    assert found.shape == wanted.shape
    assert np.ptp(wanted, axis=0).max() > 0.05 * np.abs(wanted).max()
    return float(np.corrcoef((found - found.mean(0)).ravel(), (wanted - wanted.mean(0)).ravel())[0, 1])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SIZES))
def test_float_weights_decode_to_the_models_logits(name: str) -> None:
    model, images = made(name), images_for(name)
    net = la.convert(model, images, resolution=1 / 2048, weight_bits=None, message_bits=24)
    out = la.simulate(net, images[:6])
    assert correlation(out.logits[-1], model, images[:6]) > 0.999


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SIZES))
def test_eight_bits_decode_to_the_models_logits_and_settle(name: str) -> None:
    model, images = made(name), images_for(name)
    net = la.convert(model, images, resolution=1 / 128, num_steps=4, weight_scales="channel")
    out = la.simulate(net, images)
    assert correlation(out.logits[-1], model, images) > EIGHT_BITS[name]
    assert np.array_equal(la.settle(net, images).v, out.v[-1])
    assert not any(found.any() for part in (out.saturated, out.capped) for found in part.values())


@pytest.mark.slow
def test_gates_and_functions_convert() -> None:
    """Squeeze and excitation, hardswish."""
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v3_small(weights=None).eval()
    images = images_for("resnet18")
    net = la.convert(model, images, resolution=1 / 2048, weight_bits=None, message_bits=24)
    assert correlation(la.simulate(net, images[:6], 1).logits[-1], model, images[:6]) > 0.999
    net = la.convert(model, images, resolution=1 / 128, num_steps=1, message_bits=24)
    out = la.simulate(net, images[:6])
    assert correlation(out.logits[-1], model, images[:6]) > 0.98
    assert np.array_equal(la.settle(net, images[:6]).v, out.v[-1])  # so that nothing overflows, fine as spikes are


def test_parts_of_torchvision() -> None:
    ops = torchvision.ops
    parts = [ops.Conv2dNormActivation(3, 6, activation_layer=nn.ReLU6), ops.StochasticDepth(0.5, "row")]
    torch.manual_seed(0)
    model = nn.Sequential(*parts, nn.AvgPool2d(8), nn.Flatten(), ops.MLP(96, [8, 4])).eval()
    images = images_for("resnet18")
    net = la.convert(model, images, resolution=1 / 512, weight_bits=None)
    assert correlation(la.simulate(net, images).logits[-1], model, images) > 0.999


class Deformed(nn.Module):
    """A deformable convolution, with offsets and a mask that depend on the image."""

    def __init__(self, masked: bool, **options: Any) -> None:
        super().__init__()
        groups = options.pop("offset_groups")
        alike = {"padding": 1, "stride": options.get("stride", 1)}
        self.stem = nn.Conv2d(3, 6, 3, 8, 1)
        self.offset = nn.Conv2d(6, 18 * groups, 3, **alike)
        self.mask = nn.Conv2d(6, 9 * groups, 3, **alike) if masked else None
        self.it = torchvision.ops.DeformConv2d(6, 4, 3, padding=1, **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.stem(x))
        mask = None if self.mask is None else self.mask(y).sigmoid()
        return self.it(y, self.offset(y), mask).flatten(1)


@pytest.mark.parametrize(
    ("masked", "options"),
    [(True, {"offset_groups": 1}), (False, {"offset_groups": 3, "groups": 2, "stride": 2, "dilation": 1})],
)
def test_deformable_convolutions(masked: bool, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model, images = Deformed(masked, **options).eval(), images_for("resnet18")
    net = la.convert(model, images, resolution=1 / 512, weight_bits=None, message_bits=24)
    assert correlation(la.simulate(net, images).logits[-1], model, images) > 0.999
