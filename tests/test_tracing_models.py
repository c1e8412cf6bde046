"""Whole models: how layers are named, what is left out, and that the model stays as it is."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from float_graph import SHAPE, Model, images_of, lively, the_term, traced
from torch import nn

from lava_aug.conversion.tracing import trace
from lava_aug.core.layers import Relay


class Block(nn.Module):
    """A convolution, a batch norm and a ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.bn, self.act = nn.Conv2d(channels, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.bn(self.conv(x)))


def test_layers_are_named_as_in_the_model() -> None:
    features = nn.Sequential(Block(2), nn.ModuleDict({"pool": nn.AvgPool2d(2)})["pool"], Block(3))
    model = Model(
        lambda m, x: m.head(F.avg_pool2d(m.features(x), 2).flatten(1)),
        features=features,
        head=nn.Sequential(nn.Linear(3, 3)),
    )
    layers = traced(lively(model)).layers
    assert [(layer.name, the_term(layer).source) for layer in layers] == [
        ("features.0.conv", "input"),
        ("features.1", "features.0.conv"),
        ("features.2.conv", "features.1"),
        ("avg_pool2d", "features.2.conv"),
        ("head.0", "avg_pool2d"),
    ]


def test_a_module_that_is_used_twice_gives_two_layers() -> None:
    model = lively(Model(lambda m, x: m.fc(m.relu(m.fc(m.relu(m.fc(x))))), fc=nn.Linear(6, 6), relu=nn.ReLU()))
    layers = traced(model, (6,)).layers
    assert [(layer.name, the_term(layer).source, layer.activation.relu) for layer in layers] == [
        ("fc", "input", True),
        ("fc_1", "fc", True),
        ("fc_2", "fc_1", False),
    ]


def test_a_model_that_ends_in_a_relu_gets_a_readout() -> None:
    model = lively(nn.Sequential(nn.Flatten(), nn.Linear(70, 4), nn.ReLU(), nn.Dropout()))
    layers = traced(model).layers
    assert [(layer.name, the_term(layer).source, layer.activation.relu) for layer in layers] == [
        ("1", "input", True),
        ("readout", "1", False),
    ]
    assert isinstance(the_term(layers[1]).synapse, Relay)


def test_names_that_are_taken_are_not_given_twice() -> None:
    model = Model(lambda m, x: F.relu(m.readout(m.input(x).relu())), input=nn.Linear(6, 4), readout=nn.Linear(4, 4))
    first, *others = traced(lively(model), (6,)).layers
    assert first.name != the_term(first).source == "input"
    assert [(layer.name, the_term(layer).source) for layer in others] == [
        ("readout", first.name),
        ("relu_1", "readout"),
    ]


def test_an_unused_branch_is_left_out() -> None:
    def forward(m: Any, x: Any) -> Any:
        y = m.fc(x)
        m.auxiliary(x).softmax(1)
        return y

    model = lively(Model(forward, fc=nn.Linear(6, 4), auxiliary=nn.Linear(6, 2)))
    assert [layer.name for layer in traced(model, (6,)).layers] == ["fc"]


def test_what_nobody_uses_may_be_changed_in_place() -> None:
    def forward(m: Any, x: Any) -> Any:
        m.auxiliary(x).relu_()
        m.auxiliary(x).relu_().softmax(1)
        y = F.relu_(m.fc(x))
        y += 1
        return y

    model = lively(Model(forward, fc=nn.Linear(6, 4), auxiliary=nn.Linear(6, 2)))
    assert [layer.name for layer in traced(model, (6,)).layers] == ["fc", "add"]


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(inplace=True),
        Block(2),
        nn.Dropout(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(18, 4),
        nn.ReLU(inplace=True),
    )


def test_the_model_stays_as_it_is() -> None:
    model = lively(network())
    model[1].bn.train()
    model[2].train()
    state, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    assert len(set(modes)) == 2
    images = images_of(SHAPE).requires_grad_()
    before = images.detach().clone()
    graph = trace(model, images.detach())
    assert torch.equal(images, before)
    assert [module.training for module in model.modules()] == modes
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name
    for parameter in model.parameters():
        assert parameter.requires_grad
        assert parameter.grad is None
    assert not any(parameter.requires_grad for parameter in graph.module.parameters())


@pytest.mark.parametrize("change", [lambda m: m.train(), lambda m: m.double(), lambda m: m.requires_grad_(False)])
def test_mode_and_number_format_of_the_model_make_no_difference(change: Callable[[nn.Module], nn.Module]) -> None:
    images = images_of(SHAPE)
    layers = [trace(model, images).layers for model in (lively(network()), change(lively(network())))]
    for one, other in zip(*layers, strict=True):
        assert (one.name, one.terms, one.activation) == (other.name, other.terms, other.activation)
        assert np.array_equal(one.bias, other.bias) if one.bias is not None else other.bias is None


def test_arguments_with_a_default_stay_at_it() -> None:
    class Optional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 4)

        def forward(self, x: torch.Tensor, training: bool = False) -> torch.Tensor:
            return F.dropout(self.fc(x), 0.5, False)

    assert [layer.name for layer in traced(lively(Optional()), (6,)).layers] == ["fc"]


@pytest.mark.parametrize("pad", [(1, 1, 1, 1), (0, 1, 0, 1), (2, 0, 1, 3), (1, 2, 0, 0), (0, 0, 3, 0)])
@pytest.mark.parametrize(("stride", "dilation", "padding"), [(1, 1, 0), (2, 1, 1), (1, 2, 0), (3, (1, 2), (0, 1))])
def test_zeros_in_front_of_a_convolution_are_its_own_padding(
    pad: Any, stride: int, dilation: Any, padding: Any
) -> None:
    conv = nn.Conv2d(3, 4, (2, 3), stride, padding, dilation)
    model = lively(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.ZeroPad2d(pad), conv))
    graph = traced(model, (2, 8, 9))
    assert [layer.name for layer in graph.layers] == ["0", "3"]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_zeros_in_front_of_a_convolution_of_rows_are_its_own_padding() -> None:
    model = lively(nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.ConstantPad1d((3, 1), 0.0), nn.Conv1d(3, 4, 4, 2)))
    assert [layer.name for layer in traced(model, (2, 11)).layers] == ["0", "3"]
    model = lively(nn.Sequential(nn.Conv2d(2, 3, 4, padding="same"), nn.ReLU(), nn.Conv2d(3, 2, 2, padding="same")))
    assert [layer.name for layer in traced(model, (2, 6, 7)).layers] == ["0", "2"]


@pytest.mark.parametrize("between", [nn.ReLU(), nn.BatchNorm2d(3), nn.Hardtanh(-0.1, 0.3), nn.SiLU(), nn.LeakyReLU()])
def test_what_comes_between_zeros_and_a_convolution_is_not_left_out(between: nn.Module) -> None:
    traced(lively(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ZeroPad2d(1), between, nn.Conv2d(3, 4, 3))), (2, 8, 9))
