"""What cannot be converted is refused by name: the module or operation, and what to do."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from float_graph import Model, images_of
from torch import nn

from lava_aug.conversion.methods import METHODS
from lava_aug.conversion.tracing import trace
from lava_aug.core.errors import ConversionError

SHAPE = (2, 6, 8)

LIST = "docs/conversion.md lists what is"
DECIDES = "asks for a value that depends on the image; remove control flow that depends on the data"
NO_PLACES = "takes the places of maxima, which spikes do not carry"
RANDOM = "draws random numbers in evaluation too; pass training=self.training, or use a module, such as nn.Dropout"
NO_SPIKES = "what no image changes takes no network: leave it out of what forward() returns"
OUTPUT = "output: expected tensors that depend on the images, found"
FEED_FORWARD = "the network must be feed-forward"


def conv(**options: Any) -> nn.Conv2d:
    return nn.Conv2d(2, 2, 3, padding=options.pop("padding", 1), **options)


def after_conv(module: nn.Module) -> nn.Module:
    """The module, named "it", behind a convolution."""
    return Model(lambda m, x: m.it(m.conv(x)), conv=conv(), it=module)


def function(operation: Callable[[Any], Any]) -> nn.Module:
    """An operation behind a convolution."""
    return Model(lambda m, x: operation(m.conv(x)), conv=conv())


def refusal(model: nn.Module) -> str:
    """Why a model is not traced, without the line of this file."""
    with pytest.raises(ConversionError) as caught:
        trace(model, images_of(SHAPE))
    return re.sub(r"(,| in) test_tracing_errors.py:\d+", "", str(caught.value))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Flatten(0), "module 'it' (Flatten): mixes images: shape (480,) for a batch of 5; keep the first axis"),
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
        (lambda x: x.grad_fn, f"{OUTPUT} nothing"),
        (lambda x: x.max(1).indices + x[:, 0], f"operation add (node 'add'): {NO_PLACES}"),
        (lambda x: F.max_pool2d(x, 2, return_indices=True), f"output: {NO_PLACES}"),
        (lambda x: x * x.max().item(), f"operation item (node 'item'): {DECIDES}"),
        (lambda x: torch.tensor(x.tolist()), f"operation tolist (node 'tolist'): {DECIDES}"),
        (lambda x: torch.from_numpy(x.numpy()), f"operation numpy (node 'numpy'): {DECIDES}"),
        (
            lambda x: x[x > 0],
            "operation index (node 'index'): tensors used as indices must be long, int, byte or bool tensors",
        ),
        (
            lambda x: x.view(-1),
            "operation view (node 'view'): mixes images: shape (480,) for a batch of 5; keep the first axis",
        ),
        (
            lambda x: x.view(-1, 48),
            "operation view (node 'view'): mixes images: shape (10, 48) for a batch of 5; keep the first axis",
        ),
        (
            lambda x: x.flip(0),
            "operation flip (node 'flip'): mixes images: shape (5, 2, 6, 8) for a batch of 5; keep the first axis",
        ),
        (lambda x: x.mean(0), "operation mean (node 'mean'): mixes images; keep the first axis"),
        (
            lambda x: x.narrow(1, 2, 0),
            "operation slice (node 'slice'): gives nothing that depends on the image",
        ),
        (
            lambda x: x.clamp(1, 1),
            "operation clamp (node 'clamp'): expected min < max, found 1 and 1",
        ),
        (
            lambda x: x + torch.arange(5.0).reshape(5, 1, 1, 1),
            "operation add (node 'add'): a constant of shape (5, 1, 1, 1) differs between images",
        ),
        (F.dropout, f"operation bernoulli (node 'bernoulli'): {RANDOM}"),
        (lambda x: (x, x.size(0)), f"{OUTPUT} 0: conv, 1: 5"),
        (lambda x: {"a": (x, torch.ones(3))}, f"{OUTPUT} a.0: conv, a.1: a constant of shape (3,); {NO_SPIKES}"),
        (lambda x: (), f"{OUTPUT} nothing"),
        (lambda x: x.size(0), f"{OUTPUT} 5"),
    ],
)
def test_unsupported_operation(operation: Callable[[Any], Any], message: str) -> None:
    assert refusal(function(operation)) == message


@pytest.mark.parametrize("method", ["termapping", "rate"])
def test_functions_need_graded_spikes(method: str) -> None:
    with pytest.raises(ConversionError) as caught:
        trace(function(F.silu), images_of(SHAPE), METHODS[method].needs)
    assert re.fullmatch(
        r"operation silu \(node 'silu', test_tracing_errors.py:\d+\): is a function that only graded spikes can carry; "
        "use method='augmapping'",
        str(caught.value),
    )


def data_dependent(m: Any, x: Any) -> Any:
    return m.conv(x) if x.sum() > 0 else x


def recurrent(m: Any, x: Any) -> Any:
    return m.lstm(m.conv(x).flatten(2))[0]


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (recurrent, f"module 'lstm' (LSTM) is not supported; {FEED_FORWARD}"),
        (lambda m, x: x, "output: found the images themselves; the model needs at least a Linear or Conv2d"),
        (lambda m, x: m.relu(x), "output: found the images themselves; the model needs at least a Linear or Conv2d"),
        (data_dependent, f"operation item (node 'item'): {DECIDES}"),
    ],
)
def test_unsupported_model(forward: Callable[[Any, Any], Any], message: str) -> None:
    modules = {"conv": conv(), "other": conv(), "relu": nn.ReLU(inplace=True), "norm": nn.BatchNorm2d(2)}
    model = Model(forward, **modules, lstm=nn.LSTM(48, 4))
    assert refusal(model) == message


def test_all_faults_are_reported_at_once() -> None:
    def forward(m: Any, x: Any) -> Any:
        y = m.conv(x).mode(1, True)[0]
        z = m.norm(m.relu(m.conv(x)))  # is fine, and so is the rest
        return m.lstm((y + z * z.sigmoid()).flatten(2))[0] + m.lstm(z.flatten(2))[0]

    modules = {"conv": conv(), "relu": nn.ReLU(), "norm": nn.BatchNorm2d(2), "lstm": nn.LSTM(48, 4)}
    assert refusal(Model(forward, **modules)).splitlines() == [
        "3 operations cannot be converted:",
        f"- operation mode (node 'mode') is not supported; {LIST}",
        f"- module 'lstm' (LSTM) and 1 more like it is not supported; {FEED_FORWARD}",
    ]


class NoInput(nn.Module):
    """Takes none."""

    def forward(self) -> torch.Tensor:
        return torch.zeros(1)


def test_forward_takes_an_input() -> None:
    assert refusal(NoInput()) == (
        "the model does not take calibration images of shape (2, 6, 8): NoInput.forward() takes 1 positional argument "
        "but 2 were given"
    )


@pytest.mark.parametrize(
    ("model", "where"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), r"module '1' \(Linear\): .*96.*784"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), r"module '0' \(Conv2d\): .*3 channels"),
        (function(lambda x: x.view(5, 77)), r": test_tracing_errors\.py:\d+: shape '\[5, 77\]'"),
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
    assert str(caught.value) == "model: expected a torch.nn.Module or an ONNX file, found builtin_function_or_method"


def test_several_inputs_are_refused_with_what_to_do() -> None:
    class Two(nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return torch.relu(left - 0.5 * right)

    with pytest.raises(ConversionError) as caught:
        trace(Two(), images_of(SHAPE))
    assert str(caught.value) == (
        "model: forward() takes several inputs; pass a dictionary of them as images, {'left': ..., 'right': ...}"
    )
