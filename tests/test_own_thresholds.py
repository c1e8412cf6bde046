"""Where one resolution for a layer would lose what matters: small channels, zeros that are divided, idle layers."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from float_graph import Model, images_of, lively
from torch import nn

from lava_aug import convert, diagnose, settle, simulate
from lava_aug.conversion.calibration import Range
from lava_aug.conversion.channel_sizes import APART, _sizes
from lava_aug.conversion.signals import RELU, SIGNED

SHAPE = (3, 8, 8)
IMAGES = (images_of(SHAPE, 8) * 255).round().to(torch.uint8)


def of_sizes(sizes: list[float], back: bool = True) -> nn.Module:
    """Channels of sizes, which the next layer makes alike, or takes as they are."""
    factors = torch.tensor(sizes).reshape(-1, 1, 1)

    def forward(m: Any, x: Any) -> Any:
        y = F.relu(m.conv(x) * factors)
        return m.last(F.relu(m.other(y / factors if back else y)).flatten(1))

    convs = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
    model = lively(Model(forward, conv=convs[0], other=convs[1], last=nn.Linear(64, 3)))
    with torch.no_grad():
        convs[0].weight.abs_()  # so that every channel is active
        assert convs[0].bias is not None
        convs[0].bias.fill_(-0.1)
    return model


def centred(found: np.ndarray, model: nn.Module) -> float:
    with torch.no_grad():
        wanted = model(IMAGES / 255).numpy()
    return float(np.corrcoef((found - found.mean(0)).ravel(), (wanted - wanted.mean(0)).ravel())[0, 1])


@pytest.mark.parametrize(
    ("sizes", "back", "apart"),
    [([1, 1, 2, 3], True, False), ([1, 1e-2, 1e-4, 1e2], True, True), ([1, 1e-2, 1e-4, 1e2], False, False)],
)
def test_small_channels_that_matter_have_thresholds_of_their_own(sizes: list[float], back: bool, apart: bool) -> None:
    model = of_sizes(sizes, back)
    net = convert(model, IMAGES, resolution=1 / 64, num_steps=2)
    quanta = np.ravel(net.layers[0].quantum)
    assert len(quanta) == (4 if apart else 1)
    if apart:
        np.testing.assert_allclose(quanta / quanta[0], np.array(sizes) / sizes[0], rtol=2)
    out = simulate(net, IMAGES)
    assert centred(out.logits[-1], model) > 0.99
    assert np.array_equal(settle(net, IMAGES).v, out.v[-1])


def test_what_hardly_ever_fires_has_room_for_what_holds_it_back() -> None:
    """With a quantum for the little that it sends, what lies far below zero would exceed 24 bits."""
    highs, lows = np.array([1.0, 1e-4, 1e-4, -0.1]), np.array([-1.0, -1.0, -1e-4, -1.0])
    measured = Range(percentile=highs[:1], maximum=highs[:1], lows=lows, highs=highs)
    assert _sizes(RELU, measured).tolist() == [1.0, 1 / APART, 1e-4, 0.0]
    assert _sizes(SIGNED, measured).tolist() == [1.0, 1.0, 1e-4, 1.0]


def test_idle_channels_take_no_bits_from_small_ones() -> None:
    model: Any = of_sizes([1e-4, 1e-4, 1e2, 1e-4])
    with torch.no_grad():
        model.conv.weight[1].neg_()  # never active, small, and so with large weights behind it
    net = convert(model, IMAGES, resolution=1 / 64, num_steps=2)
    assert centred(simulate(net, IMAGES).logits[-1], model) > 0.99


@pytest.mark.parametrize("eps", [1e-12, 1e-6])
@pytest.mark.parametrize("order", [1, 2])
def test_zero_divided_by_its_norm_is_zero(eps: float, order: int) -> None:
    def forward(m: Any, x: Any) -> Any:
        y = m.conv(x).clone()
        y[:, :, 2:4] = 0
        return F.normalize(y, order, 1, eps)

    model = lively(Model(forward, conv=nn.Conv2d(3, 4, 3)))
    net = convert(model, IMAGES, resolution=1 / 128, num_steps=2)
    found = simulate(net, IMAGES).logits[-1]
    with torch.no_grad():
        wanted = model(IMAGES / 255).numpy()
    assert np.abs(found - wanted).max() < 0.03
    assert not found.reshape(wanted.shape)[:, :, 2:4].any()
    assert all(layer.total < 0.05 for layer in diagnose(net, model, IMAGES).layers)


def test_products_of_idle_channels_with_thresholds_by_channel() -> None:
    def forward(m: Any, x: Any) -> Any:
        y = F.relu(m.conv(x))
        return m.last((y * y.mean((2, 3), keepdim=True)).flatten(1))

    model: Any = lively(Model(forward, conv=nn.Conv2d(3, 4, 3), last=nn.Linear(144, 3)))
    with torch.no_grad():
        model.conv.bias[1] = -100  # never active
    net = convert(model, IMAGES, resolution=1 / 64, thresholds="channel")
    assert centred(simulate(net, IMAGES).logits[-1], model) > 0.99


def test_layers_that_never_fire_ask_for_nothing() -> None:
    """A product with what is always zero, whose other operand needs no more than its own resolution."""

    def forward(m: Any, x: Any) -> Any:
        y = F.relu(m.conv(x))
        return m.last((y + y.tanh() * F.relu(-1 - y)).flatten(1))

    model = lively(Model(forward, conv=nn.Conv2d(3, 4, 3), last=nn.Linear(144, 3)))
    with pytest.warns(match="is never active"):
        net = convert(model, IMAGES, resolution=1 / 64, num_steps=2)
    out = simulate(net, IMAGES)
    assert centred(out.logits[-1], model) > 0.99
    assert float(np.max(net["conv"].quantum)) > 1e-4


@pytest.mark.parametrize("function", [nn.GELU(), nn.ReLU()])
def test_an_outlier_takes_no_bits_from_other_weights(function: nn.Module) -> None:
    """One weight in 4,096 is 40 times larger than all others; all rows share one scale, along the last axis."""
    model = lively(
        Model(lambda m, x: m.last(function(m.wide(x)).mean(1)), wide=nn.Linear(64, 64), last=nn.Linear(64, 3))
    )
    wide: Any = model.wide
    with torch.no_grad():
        wide.weight[5, 7] = 40 * wide.weight.abs().max()
    images = images_of((4, 64), 40)
    net = convert(model, images, resolution=1 / 128, num_steps=1)
    bulk, outlier = net["wide"].connections
    assert np.abs(bulk.synapse.weights).max() == 127
    assert np.unique(outlier.synapse.weights).size == 1
    with torch.no_grad():
        wanted = model(images).numpy()
    found = simulate(net, images).logits[-1].reshape(wanted.shape)
    assert np.corrcoef((found - found.mean(0)).ravel(), (wanted - wanted.mean(0)).ravel())[0, 1] > 0.99
