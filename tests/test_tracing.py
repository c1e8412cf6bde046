"""Every spelling of every supported operation gives float layers that compute what the model computes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from float_graph import Model, lively, the_term, traced
from torch import nn

from lava_aug.core.layers import Conv, Dense, SumPool

Forward = Callable[[Any, Any], Any]


def conv_relu_dense(relu: Forward, flatten: Forward, /, **modules: nn.Module) -> nn.Module:
    """A convolution to ``(3, 4, 5)`` and a dense layer, with one spelling of what lies between."""
    return lively(
        Model(
            lambda m, x: m.fc(flatten(m, relu(m, m.conv(x)))),
            conv=nn.Conv2d(2, 3, (2, 3)),
            fc=nn.Linear(60, 4),
            **modules,
        )
    )


def flat(m: Any, x: Any) -> Any:
    return x.flatten(1)


@pytest.mark.parametrize(
    "relu",
    [
        lambda m, x: m.relu(x),
        lambda m, x: m.relu_in_place(x),
        lambda m, x: F.relu(x),
        lambda m, x: F.relu(x, inplace=True),
        lambda m, x: F.relu_(x),
        lambda m, x: torch.relu(x),
        lambda m, x: torch.relu_(x),
        lambda m, x: x.relu(),
        lambda m, x: x.relu_(),
        lambda m, x: m.relu(F.relu(x)),
        lambda m, x: x.relu().view(x.size(0), 3, 4, 5),  # asking for a size is no branch
    ],
)
def test_relu(relu: Forward) -> None:
    model = conv_relu_dense(relu, flat, relu=nn.ReLU(), relu_in_place=nn.ReLU(inplace=True))
    assert [(layer.name, layer.activation.relu) for layer in traced(model).layers] == [("conv", True), ("fc", False)]


def test_a_relu_on_the_images_does_nothing() -> None:
    model = lively(nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(70, 4)))
    assert [(layer.name, layer.activation.relu) for layer in traced(model).layers] == [("2", False)]


@pytest.mark.parametrize(
    "flatten",
    [
        lambda m, x: m.flatten(x),
        lambda m, x: m.unflatten(m.flatten(x)).flatten(1),
        lambda m, x: torch.flatten(x, 1),
        lambda m, x: torch.flatten(x, start_dim=1),
        lambda m, x: torch.flatten(input=x, start_dim=1),
        lambda m, x: x.flatten(1),
        lambda m, x: x.flatten(start_dim=1),
        lambda m, x: x.view(x.size(0), -1),
        lambda m, x: x.view(x.size()[0], -1),
        lambda m, x: x.view(x.shape[0], 60),
        lambda m, x: x.view(-1, 60),
        lambda m, x: x.view((x.size(0), -1)),
        lambda m, x: x.reshape(x.shape[0], -1),
        lambda m, x: x.reshape(-1, x.shape[1] * x.shape[2] * x.shape[3]),
        lambda m, x: torch.reshape(x, (-1, 60)),
        lambda m, x: x.contiguous().view(-1, 12, 5).flatten(1),
    ],
)
def test_flatten(flatten: Forward) -> None:
    model = conv_relu_dense(lambda m, x: x, flatten, flatten=nn.Flatten(), unflatten=nn.Unflatten(1, (6, 10)))
    assert [layer.name for layer in traced(model).layers] == ["conv", "fc"]


def test_a_relu_may_follow_flatten() -> None:
    model = conv_relu_dense(flat, lambda m, x: F.relu(x))
    assert [layer.activation.relu for layer in traced(model).layers] == [True, False]


@pytest.mark.parametrize(
    ("pool", "divisor"),
    [
        (lambda m, x: m.square(x), 4),
        (lambda m, x: m.oblong(x), 6),
        (lambda m, x: m.override(x), 3),
        (lambda m, x: m.uncounted(x), 4),
        (lambda m, x: F.avg_pool2d(x, 2), 4),
        (lambda m, x: F.avg_pool2d(x, (2, 3), 1), 6),
        (lambda m, x: F.avg_pool2d(x, (2, 3), (1, 2), (1, 0)), 6),
        (lambda m, x: F.avg_pool2d(x, kernel_size=3, stride=2, padding=1), 9),
        (lambda m, x: F.avg_pool2d(input=x, kernel_size=2, divisor_override=5), 5),
        (lambda m, x: m.everything(x), 20),
        (lambda m, x: m.everything_pair(x), 20),
        (lambda m, x: F.adaptive_avg_pool2d(x, 1), 20),
        (lambda m, x: F.adaptive_avg_pool2d(x, (1, 1)), 20),
    ],
)
def test_average_pooling(pool: Forward, divisor: int) -> None:
    model = lively(
        Model(
            lambda m, x: pool(m, m.conv(x)),
            conv=nn.Conv2d(2, 3, (2, 3)),
            square=nn.AvgPool2d(2),
            oblong=nn.AvgPool2d((2, 3), stride=(1, 2), padding=(1, 1)),
            override=nn.AvgPool2d(2, divisor_override=3),
            uncounted=nn.AvgPool2d(2, count_include_pad=False),  # there is no padding that could count
            everything=nn.AdaptiveAvgPool2d(1),
            everything_pair=nn.AdaptiveAvgPool2d((1, 1)),
        )
    )
    layers = traced(model).layers
    assert [type(the_term(layer).synapse) for layer in layers] == [Conv, SumPool]
    assert the_term(layers[1]).gain == pytest.approx(1 / divisor)
    assert layers[1].bias is None


@pytest.mark.parametrize(
    "nothing",
    [
        lambda m, x: m.drop(x),
        lambda m, x: m.drop2d(x),
        lambda m, x: m.identity(x),
        lambda m, x: F.dropout(x, 0.5, m.training),
        lambda m, x: F.dropout(x, p=0.5, training=m.training),
        lambda m, x: F.dropout2d(x, training=m.training),
        lambda m, x: F.dropout(x, 0.0),
        lambda m, x: x.contiguous(),
    ],
)
def test_what_does_nothing_at_inference(nothing: Forward) -> None:
    model = conv_relu_dense(nothing, flat, drop=nn.Dropout(), drop2d=nn.Dropout2d(), identity=nn.Identity())
    assert [(layer.name, layer.activation.relu) for layer in traced(model.train().eval()).layers] == [
        ("conv", False),
        ("fc", False),
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": (1, 3)},
        {"kernel_size": (3, 2), "stride": (1, 2), "padding": (0, 1)},
        {"kernel_size": (2, 3), "dilation": (3, 1), "padding": 2},
        {"kernel_size": (3, 1), "groups": 2, "bias": False},
        {"kernel_size": 2, "stride": 2, "padding": 1, "groups": 2},
    ],
)
def test_convolution(options: dict[str, Any]) -> None:
    (layer,) = traced(lively(nn.Sequential(nn.Conv2d(2, 4, **options)))).layers
    assert isinstance(the_term(layer).synapse, Conv)
    assert (layer.bias is None) == ("bias" in options)


def test_dense_without_bias() -> None:
    (layer,) = traced(lively(nn.Sequential(nn.Flatten(), nn.Linear(70, 3, bias=False)))).layers
    assert (layer.bias, layer.shape, the_term(layer).gain) == (None, (3,), 1)


def test_images_of_one_axis() -> None:
    (layer,) = traced(lively(nn.Sequential(nn.Linear(6, 3))), (6,)).layers
    assert isinstance(the_term(layer).synapse, Dense)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_batch_normalisation_is_folded(affine: bool, bias: bool) -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, (2, 3), groups=2, bias=bias),
        nn.BatchNorm2d(4, affine=affine, eps=0.01),
        nn.Dropout(),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(80, 5, bias=bias),
        nn.BatchNorm1d(5, affine=affine),
    )
    layers = traced(lively(model)).layers
    assert [(layer.name, layer.activation.relu) for layer in layers] == [("0", True), ("6", False)]
