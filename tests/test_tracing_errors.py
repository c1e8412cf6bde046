"""What cannot be converted is refused by name: the module or operation, and what to do."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from float_graph import Model, images_of
from torch import nn

from lava_aug.errors import ConversionError
from lava_aug.tracing import trace

SHAPE = (2, 6, 8)

SUPPORTED = "supported are Linear, Conv2d, BatchNorm, ReLU, AvgPool2d, AdaptiveAvgPool2d(1), Flatten, Dropout, Identity"
NO_BRANCHES = "branches (sums, concatenation) are not supported; use a network that is one chain"
USE_RELU = "train the network with ReLU instead"
NO_SOFTMAX = "remove it: the argmax of the logits is the same"
USE_AVERAGE = "train the network with AvgPool2d, or with stride in a convolution"


def conv(**options: Any) -> nn.Conv2d:
    return nn.Conv2d(2, 2, 3, padding=options.pop("padding", 1), **options)


def after_conv(module: nn.Module) -> nn.Module:
    """The module, named "it", behind a convolution."""
    return Model(lambda m, x: m.it(m.conv(x)), conv=conv(), it=module)


def function(operation: Callable[[Any], Any]) -> nn.Module:
    """An operation behind a convolution."""
    return Model(lambda m, x: operation(m.conv(x)), conv=conv())


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.MaxPool2d(2), f"module 'it' (MaxPool2d) is not supported; {USE_AVERAGE}"),
        (nn.GELU(), f"module 'it' (GELU) is not supported; {USE_RELU}"),
        (nn.Sigmoid(), f"module 'it' (Sigmoid) is not supported; {USE_RELU}"),
        (nn.ReLU6(), f"module 'it' (ReLU6) is not supported; {USE_RELU}"),
        (nn.Softmax(1), f"module 'it' (Softmax) is not supported; {NO_SOFTMAX}"),
        (nn.LogSoftmax(1), f"module 'it' (LogSoftmax) is not supported; {NO_SOFTMAX}"),
        (nn.ConvTranspose2d(2, 2, 3), f"module 'it' (ConvTranspose2d) is not supported; {SUPPORTED}"),
        (nn.GroupNorm(1, 2), f"module 'it' (GroupNorm) is not supported; {SUPPORTED}"),
        (
            nn.AvgPool2d(3, ceil_mode=True),
            "module 'it' (AvgPool2d): ceil_mode=True is not supported; set ceil_mode=False",
        ),
        (
            nn.AvgPool2d(3, padding=1, count_include_pad=False),
            "module 'it' (AvgPool2d): padding with count_include_pad=False is not supported; "
            "set count_include_pad=True",
        ),
        (
            nn.AdaptiveAvgPool2d((3, 4)),
            "module 'it' (AdaptiveAvgPool2d): output size (3, 4) is not supported; use 1, or AvgPool2d",
        ),
        (
            conv(padding="same"),
            "module 'it' (Conv2d): padding='same', padding_mode='zeros'; use numbers and 'zeros'",
        ),
        (
            conv(padding_mode="reflect"),
            "module 'it' (Conv2d): padding=(1, 1), padding_mode='reflect'; use numbers and 'zeros'",
        ),
        (nn.Linear(8, 3), "module 'it' (Linear): expected input (8,), found (2, 6, 8); flatten it first"),
        (nn.Flatten(0), "module 'it' (Flatten): mixes images: shape (480,) for a batch of 5; keep the first axis"),
        (
            nn.Sequential(nn.Flatten(2), nn.Unflatten(1, (1, 2)), nn.Conv2d(1, 2, 1)),
            "module 'it.2' (Conv2d): input was reshaped from (2, 6, 8) to (1, 2, 48); do not reshape",
        ),
        (
            nn.Sequential(nn.ReLU(), nn.BatchNorm2d(2)),
            "module 'it.1' (BatchNorm2d): can only be folded directly after Conv2d or Linear; move it there",
        ),
        (
            nn.Sequential(nn.AvgPool2d(2), nn.BatchNorm2d(2)),
            "module 'it.1' (BatchNorm2d): can only be folded directly after Conv2d or Linear; move it there",
        ),
        (
            nn.Sequential(nn.Flatten(), nn.BatchNorm1d(96)),
            "module 'it.1' (BatchNorm1d): can only be folded directly after Conv2d or Linear; move it there",
        ),
        (
            nn.BatchNorm2d(2, track_running_stats=False),
            "module 'it' (BatchNorm2d): has no running statistics; train it with track_running_stats=True",
        ),
    ],
)
def test_unsupported_module(module: nn.Module, message: str) -> None:
    with pytest.raises(ConversionError) as caught:
        trace(after_conv(module), images_of(SHAPE))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (torch.sigmoid, f"operation sigmoid (node 'sigmoid') is not supported; {USE_RELU}"),
        (lambda x: x.sigmoid(), f"operation .sigmoid() (node 'sigmoid') is not supported; {USE_RELU}"),
        (F.gelu, f"operation gelu (node 'gelu') is not supported; {USE_RELU}"),
        (lambda x: F.softmax(x, 1), f"operation softmax (node 'softmax') is not supported; {NO_SOFTMAX}"),
        (lambda x: F.max_pool2d(x, 2), f"operation max_pool2d (node 'max_pool2d') is not supported; {USE_AVERAGE}"),
        (lambda x: torch.cat([x, x], 1), f"operation cat (node 'cat') is not supported; {NO_BRANCHES}"),
        (
            lambda x: x + x.relu(),
            "operation .relu() (node 'relu'): what it takes is used elsewhere too; "
            "branches before ReLU are not supported",
        ),
        (lambda x: x + 1, f"operation add (node 'add') is not supported; {NO_BRANCHES}"),
        (lambda x: (x - 0.5) / 0.5, f"operation sub (node 'sub') is not supported; {SUPPORTED}"),
        (lambda x: x.chunk(2, 1)[0], f"operation .chunk() (node 'chunk') is not supported; {SUPPORTED}"),
        (lambda x: x.permute(0, 2, 3, 1), f"operation .permute() (node 'permute') is not supported; {SUPPORTED}"),
        (lambda x: x.mT, f"operation getattr (node 'getattr_1') is not supported; {SUPPORTED}"),
        (
            lambda x: x.view(-1),
            "operation .view() (node 'view'): mixes images: shape (480,) for a batch of 5; keep the first axis",
        ),
        (
            lambda x: x.view(-1, 48),
            "operation .view() (node 'view'): mixes images: shape (10, 48) for a batch of 5; keep the first axis",
        ),
        (
            lambda x: F.avg_pool2d(x, 3, ceil_mode=True),
            "operation avg_pool2d (node 'avg_pool2d'): ceil_mode=True is not supported; set ceil_mode=False",
        ),
        (
            lambda x: F.adaptive_avg_pool2d(x, (2, 2)),
            "operation adaptive_avg_pool2d (node 'adaptive_avg_pool2d'): "
            "output size (2, 2) is not supported; use 1, or AvgPool2d",
        ),
        (
            F.dropout,
            "operation dropout (node 'dropout'): drops at random in evaluation too; "
            "pass training=self.training, or use nn.Dropout",
        ),
        (lambda x: (x, x), "output: expected one tensor, found (conv, conv); return the logits alone"),
        (lambda x: {"logits": x}, "output: expected one tensor, found {'logits': conv}; return the logits alone"),
        (lambda x: x.size(0), "output: expected one tensor, found size; return the logits alone"),
    ],
)
def test_unsupported_operation(operation: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ConversionError) as caught:
        trace(function(operation), images_of(SHAPE))
    assert re.sub(r" in module 'conv'", "", str(caught.value)) == message


def residual(m: Any, x: Any) -> Any:
    y = m.conv(x)
    return y + m.other(y)


def before_relu(m: Any, x: Any) -> Any:
    y = m.conv(x)
    return m.other(F.relu(y)).flatten(1), y


def before_norm(m: Any, x: Any) -> Any:
    y = m.conv(x)
    return m.norm(y), y


def data_dependent(m: Any, x: Any) -> Any:
    return m.conv(x) if x.sum() > 0 else x


def forgotten_method(m: Any, x: Any) -> Any:
    y = m.conv(x)
    y.relu_()
    return m.other(y)


def forgotten_function(m: Any, x: Any) -> Any:
    y = m.conv(x)
    F.relu(y, inplace=True)
    return m.other(y)


def forgotten_module(m: Any, x: Any) -> Any:
    y = m.conv(x)
    m.relu(y)
    return m.other(y)


def recurrent(m: Any, x: Any) -> Any:
    return m.lstm(m.conv(x).flatten(2))[0]


def early_output(m: Any, x: Any) -> Any:
    y = m.conv(x)
    return y.view(m.other(y).size(0), -1)


IN_PLACE = "changes its input in place and its result is not used; assign it, as in x = relu(x)"


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (residual, f"operation add (node 'add') is not supported; {NO_BRANCHES}"),
        (
            before_relu,
            "operation relu (node 'relu'): what it takes is used elsewhere too; branches before ReLU are not supported",
        ),
        (
            before_norm,
            "module 'norm' (BatchNorm2d): what it takes is used elsewhere too; "
            "branches before batch normalisation are not supported",
        ),
        (recurrent, f"module 'lstm' (LSTM) is not supported; {SUPPORTED}"),
        (forgotten_method, f"operation .relu_() (node 'relu_'): {IN_PLACE}"),
        (forgotten_function, f"operation relu (node 'relu'): {IN_PLACE}"),
        (forgotten_module, f"module 'relu' (ReLU): {IN_PLACE}"),
        (early_output, "output: layer 'conv' is not the last; branches are not supported"),
        (lambda m, x: x, "output: found the images themselves; the model needs at least a Linear or Conv2d"),
        (lambda m, x: m.relu(x), "output: found the images themselves; the model needs at least a Linear or Conv2d"),
        (lambda m, x: m.norm(x), "module 'norm' (BatchNorm2d): expected a Conv2d or Linear before it, found the input"),
        (lambda m, x: m.conv(x) + x, f"operation add (node 'add') is not supported; {NO_BRANCHES}"),
        (
            data_dependent,
            "Model: torch.fx cannot trace it (symbolically traced variables cannot be used as inputs to control flow); "
            "remove control flow that depends on the data from forward()",
        ),
    ],
)
def test_unsupported_model(forward: Callable[[Any, Any], Any], message: str) -> None:
    modules = {"conv": conv(), "other": conv(), "relu": nn.ReLU(inplace=True), "norm": nn.BatchNorm2d(2)}
    model = Model(forward, **modules, lstm=nn.LSTM(48, 4))
    with pytest.raises(ConversionError) as caught:
        trace(model, images_of(SHAPE))
    assert re.sub(r" in module '\w+'", "", str(caught.value)) == message


def test_a_subclass_that_torch_fx_looks_into_is_named() -> None:
    class Scaled(nn.Conv2d):
        """A convolution of our own."""

    with pytest.raises(ConversionError) as caught:
        trace(nn.Sequential(Scaled(2, 2, 3)), images_of(SHAPE))
    assert str(caught.value) == f"operation conv2d (node 'conv2d' in module '0') is not supported; {SUPPORTED}"


class TwoInputs(nn.Module):
    """Takes two tensors."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y


class NoInput(nn.Module):
    """Takes none."""

    def forward(self) -> torch.Tensor:
        return torch.zeros(1)


@pytest.mark.parametrize(("model", "found"), [(TwoInputs(), 2), (NoInput(), 0)])
def test_forward_has_one_input(model: nn.Module, found: int) -> None:
    with pytest.raises(ConversionError) as caught:
        trace(model, images_of(SHAPE))
    assert str(caught.value) == f"{type(model).__name__}: expected a forward() with one input, found {found}"


@pytest.mark.parametrize(
    ("model", "where"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), r"module '1' \(Linear\): .*96.*784"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), r"module '0' \(Conv2d\): .*3 channels"),
        (function(lambda x: x.view(5, 77)), r"operation \.view\(\) \(node 'view'.*\): .*77"),
    ],
)
def test_images_that_the_model_does_not_take(model: nn.Module, where: str) -> None:
    with pytest.raises(ConversionError, match=where) as caught:
        trace(model, images_of(SHAPE))
    message = str(caught.value)
    assert message.startswith("the model does not take calibration images of shape (2, 6, 8): ")
    assert "\n" not in message


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite(value: float) -> None:
    layer = conv()
    with torch.no_grad():
        layer.weight[1, 0, 2, 1] = value
    with pytest.raises(ConversionError) as caught:
        trace(nn.Sequential(layer), images_of(SHAPE))
    assert str(caught.value) == (
        "module '0' (Conv2d): Conv.weight: expected finite numbers in float32, found 1 NaN or infinite ones"
    )


def test_what_is_no_module() -> None:
    with pytest.raises(ConversionError) as caught:
        trace(torch.relu, images_of(SHAPE))  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == "model: expected a torch.nn.Module, found builtin_function_or_method"
