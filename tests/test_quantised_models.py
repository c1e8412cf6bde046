"""Models that are quantised already: the network has their integers, and at one time step gives what they give."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from float_graph import Model, images_of, lively
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.ao.quantization import (
    DeQuantStub,
    QuantStub,
    disable_observer,
    get_default_qat_qconfig,
    get_default_qat_qconfig_mapping,
    prepare_qat,
    quantize_fx,
)
from torch.ao.quantization import convert as to_integers
from torch.nn import functional as F

from lava_aug import Network, convert, settle, simulate
from lava_aug.conversion.own_scales import grid, own_scale
from lava_aug.conversion.staircases import stairs
from lava_aug.conversion.tracing import trace
from lava_aug.core.layers import Dense

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:UserWarning:torch"),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*:FutureWarning"),
]

SHAPE = (3, 8, 8)


def pixels(count: int = 100) -> torch.Tensor:
    return (images_of(SHAPE, count) * 255).round().to(torch.uint8)


def answers(model: nn.Module, x: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return model(x / 255).numpy()


def logits(net: Network, x: torch.Tensor) -> np.ndarray:
    return simulate(net, x).logits[-1]


# Clip, floor, shift (Bu et al., ICLR 2022)


class Floor(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.floor()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return grad


floor: Any = Floor.apply


class QCFS(nn.Module):
    """As its repository writes it."""

    def __init__(self, levels: int, up: float) -> None:
        super().__init__()
        self.up, self.t = nn.Parameter(torch.tensor([up])), levels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x / self.up
        x = floor(x * self.t + 0.5) / self.t
        x = torch.clamp(x, 0, 1)
        return x * self.up


class ClippedFirst(QCFS):
    """As its later version writes it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.clamp(x / self.up, 0, 1)
        return floor(x * self.t + 0.5) / self.t * self.up


def on_a_grid(model: nn.Module) -> nn.Module:
    """Weights of 4 bits, one step for each channel."""
    model = lively(model)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            flat = module.weight.data.flatten(1)
            steps = flat.abs().amax(1, keepdim=True) / 7
            steps = steps.max() if isinstance(module, nn.Linear) else steps
            module.weight.data = ((flat / steps).round() * steps).reshape(module.weight.shape)
    return model


@pytest.mark.parametrize("kind", [QCFS, ClippedFirst])
def test_clip_floor_shift(kind: type[QCFS]) -> None:
    model = on_a_grid(
        nn.Sequential(
            *(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), kind(8, 1.5), nn.AvgPool2d(2)),
            *(nn.Conv2d(6, 6, 3), kind(16, 0.8), nn.Flatten(), nn.Linear(24, 5)),
        )
    )
    x = pixels()
    net = convert(model, x, num_steps=1)
    first, _, second, readout = net
    assert [layer.quantum for layer in (first, second)] == pytest.approx([1.5 / 8, 0.8 / 16])
    assert [layer.neuron.n_max for layer in (first, second)] == [8, 16]  # type: ignore[attr-defined]
    assert len(np.unique(readout.connections[0].synapse.weights)) <= 15
    np.testing.assert_allclose(logits(net, x), answers(model, x), atol=1e-6)
    np.testing.assert_allclose(settle(net, x).logits, logits(net, x), atol=1e-12)
    for zero in (convert(model, x, num_steps=1, v0="zero"), convert(model, x, num_steps=1, weight_bits=None)):
        np.testing.assert_allclose(logits(zero, x), answers(model, x), atol=1e-5)


def test_rate_coding_of_clip_floor_shift() -> None:
    model, x = on_a_grid(nn.Sequential(nn.Flatten(), nn.Linear(192, 20), QCFS(8, 0.7), nn.Linear(20, 4))), pixels()
    net = convert(model, x, "rate", num_steps=8)
    assert net.layers[0].quantum == pytest.approx(0.7)  # after 8 steps, a neuron has fired 0 .. 8 times
    np.testing.assert_allclose(logits(net, x), answers(model, x), atol=2e-6)


# torch.ao


def branched() -> nn.Module:
    return Model(
        lambda m, x: m.out(torch.flatten(F.relu(m.norm(m.two(y := F.relu(m.one(x)))) + y), 1)),
        one=nn.Conv2d(3, 6, 3, padding=1),
        two=nn.Conv2d(6, 6, 3, padding=1),
        norm=nn.BatchNorm2d(6),
        out=nn.Linear(384, 5),
    )


def straight() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 5)),
    )


def trained(model: nn.Module) -> nn.Module:
    """Scales as training leaves them; training of weights is left out."""
    for seed in range(20):
        model(images_of(SHAPE, 16, seed))
    return model.eval()


def by_graph(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    mapping = get_default_qat_qconfig_mapping("x86")
    return trained(quantize_fx.prepare_qat_fx(make().train(), mapping, (images_of(SHAPE),)))


def by_modules(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(QuantStub(), make(), DeQuantStub()).train()
    for module in model.modules():
        module.qconfig = get_default_qat_qconfig("x86")  # type: ignore[assignment]
    return trained(prepare_qat(model))


QUANTISED: dict[str, Callable[[], nn.Module]] = {
    "graph, straight": lambda: by_graph(straight),
    "graph, branched": lambda: by_graph(branched),
    "modules": lambda: by_modules(straight),
    "integers, straight": lambda: quantize_fx.convert_fx(by_graph(straight)),  # pyright: ignore
    "integers, branched": lambda: quantize_fx.convert_fx(by_graph(branched)),  # pyright: ignore
    "integers by modules": lambda: to_integers(by_modules(straight)),
}


@pytest.mark.parametrize("name", QUANTISED)
def test_fake_quantised_and_integer_models(name: str) -> None:
    model, x = QUANTISED[name](), pixels(200)
    net = convert(model, x, num_steps=1)
    for module in model.modules():
        if hasattr(module, "disable_observer"):  # which convert does in its copy
            module.disable_observer()  # type: ignore[operator]
    wanted = answers(model, x)
    apart = np.abs(logits(net, x) - wanted) / net.layers[-2].quantum
    assert np.rint(apart).max() <= 3  # what rounds the other way goes on
    assert (np.rint(apart) > 0).mean() < 0.05
    assert len(np.unique(wanted)) > 10


def test_their_scales_and_integers() -> None:
    model = by_graph(straight)
    net = convert(model, pixels(), num_steps=1)
    model.apply(disable_observer)
    quantiser: Any = model.get_submodule("activation_post_process_1")
    found = next(layer for layer in net if layer.name == "0.conv")
    assert found.quantum == pytest.approx(float(quantiser.scale), rel=1e-5)
    assert found.neuron.n_max == 127  # type: ignore[attr-defined]  # x86 leaves out a bit
    conv: Any = model.get_submodule("0")
    with torch.no_grad():
        quantise = conv.weight_fake_quant
        factors = (conv.bn.weight / torch.sqrt(conv.bn.running_var + conv.bn.eps)).reshape(-1, 1, 1, 1)
        integers = torch.round(quantise(conv.weight * factors) / quantise.scale.reshape(-1, 1, 1, 1)).numpy()
    weights = found.connections[0].synapse.weights
    exponent = int(weights.max() / integers.max())
    assert exponent in [1 << bits for bits in range(20)]
    np.testing.assert_array_equal(weights, integers.astype(np.int64) * exponent)


def test_a_copy_keeps_observing() -> None:
    model = by_graph(straight)
    before = copy.deepcopy(model.state_dict())
    convert(model, pixels(), num_steps=1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_brevitas() -> None:
    qnn: Any = pytest.importorskip("brevitas.nn")
    torch.manual_seed(0)
    bits = {"weight_bit_width": 4}
    model = nn.Sequential(
        *(qnn.QuantIdentity(bit_width=8, return_quant_tensor=True), qnn.QuantConv2d(3, 6, 3, padding=1, **bits)),
        *(qnn.QuantReLU(bit_width=4), nn.MaxPool2d(2), qnn.QuantConv2d(6, 6, 3, **bits), qnn.QuantReLU(bit_width=4)),
        *(nn.Flatten(), qnn.QuantLinear(24, 5, bias=True, **bits)),
    )
    model, x = trained(model), pixels()
    net = convert(model, x, num_steps=1)
    assert [layer.neuron.n_max for layer in net if hasattr(layer.neuron, "n_max")] == [255, 15, 15]  # pyright: ignore
    np.testing.assert_allclose(logits(net, x), answers(model, x), atol=1e-5)


# Functions of one value, written out


class Written(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function
        self.one, self.two = nn.Linear(192, 12), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.function(self.one(x.flatten(1))))


def rounded_lsq(x: torch.Tensor) -> torch.Tensor:
    """Learned step size, with the straight-through estimator written as additions (Esser et al., ICLR 2020)."""
    scaled = torch.clamp(x / 0.05, 0, 15)
    return ((scaled.round() - scaled).detach() + scaled) * 0.05


FUNCTIONS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], int | None]] = {
    "swish": (lambda x: x * torch.sigmoid(x), None),
    "gelu by erf": (lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)), None),
    "gelu by tanh": (lambda x: 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.045 * x * x * x))), None),
    "softsign": (lambda x: x / (1 + x.abs()), None),
    "learned steps": (rounded_lsq, 15),
    "signed": (lambda x: torch.round(x / 0.1).clamp(-8, 7) * 0.1, 15),
    "with a gain": (lambda x: 3 * torch.floor(torch.relu(x) * 10).clamp(max=6), 6),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_written_out_are_one_layer(name: str) -> None:
    function, levels = FUNCTIONS[name]
    model, x = lively(Written(function)), images_of(SHAPE)
    graph = trace(model, x)
    assert len(graph.layers) == 2
    assert graph.layers[0].activation.levels == levels
    with torch.no_grad():
        wanted = model(x)
    torch.testing.assert_close(graph.readout(x), wanted, rtol=1e-4, atol=1e-5)


def test_what_is_taken_twice_is_rounded_once() -> None:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        y = torch.round(m.one(x.flatten(1)) * 8).clamp(0, 15) / 8
        return m.two(y) + m.two(torch.clamp(y, max=0.5))

    model, x = lively(Model(forward, one=nn.Linear(192, 12), two=nn.Linear(12, 4))), images_of(SHAPE)
    graph = trace(model, x)
    assert graph.layers[0].activation.levels == 15
    with torch.no_grad():
        wanted = model(x)
    torch.testing.assert_close(graph.readout(x), wanted, rtol=1e-4, atol=1e-5)


# The parts


@given(st.floats(1e-4, 1e4), st.integers(-20, 20), st.integers(1, 255), st.floats(0.01, 100), st.floats(1e-3, 1e3))
def test_stairs_are_found(width: float, first: int, levels: int, gain: float, largest: float) -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return gain * width * torch.floor(x / width + 0.5).clamp(first, first + levels)

    largest *= width
    found = stairs(function, largest)
    assert found is not None
    assert found.levels == levels
    assert found.start == pytest.approx((first + 0.5) * width, rel=1e-6, abs=1e-6 * width)
    assert found.height == pytest.approx(gain * width)
    assert found.low == pytest.approx(gain * width * first)
    if levels > 1:
        assert found.gain == pytest.approx(gain, rel=2e-5)


@pytest.mark.parametrize(
    "function",
    [
        *(torch.relu, torch.sigmoid, torch.floor, torch.sin, torch.zeros_like),
        *(lambda x: x.clamp(0, 1), lambda x: -x.round().clamp(0, 3), lambda x: x.round().clamp(0, 3) ** 2),
    ],
)
def test_other_functions_are_no_stairs(function: Any) -> None:
    assert stairs(function, 3.0) is None


@given(st.lists(st.integers(-128, 127), min_size=4, max_size=30), st.floats(1e-4, 1e3))
def test_grids_are_found(integers: list[int], step: float) -> None:
    weights = (np.array(integers) * step).astype(np.float32)
    found = grid(weights, 8)
    assert found is not None
    if any(integers):
        assert found / step == pytest.approx(round(found / step), rel=1e-2)
        np.testing.assert_allclose(np.rint(weights / found) * found, weights, atol=3e-3 * found)


def test_what_is_on_no_grid() -> None:
    assert grid(np.random.default_rng(0).normal(size=30), 8) is None
    assert grid(np.array([1.0, 300.0]), 8) is None
    assert grid(np.array([128.0, 1.0]), 8) is None
    assert grid(np.array([-128.0, 1.0]), 8) == 1.0


def test_channels_have_scales_of_their_own() -> None:
    weight = np.array([[3, -7, 1, 2], [127, 5, 0, -128], [0, 0, 0, 0]]) * np.array([[0.1], [0.003], [1.0]])
    found = own_scale(Dense(weight=weight), (4,), (3,), 8, np.array([5000.0, 2000.0, 10.0]))
    assert found is not None
    np.testing.assert_array_equal(found.synapse.weights, [[12, -28, 4, 8], [508, 20, 0, -512], [0, 0, 0, 0]])
    np.testing.assert_array_equal(found.scale[:2], [40, 1333])
    assert own_scale(Dense(weight=weight), (4,), (3,), 8, np.array([5000.0, 300.0, 10.0])) is None
