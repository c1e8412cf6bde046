"""Options that change numbers: normalised images, channels by themselves, searches, and corrected biases."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from convert_models import IMAGES, expected, largest_error, made
from float_graph import Model, images_of, lively, output_of, traced
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operation_models import CASES
from torch import nn

from lava_aug import ConversionError, Network, convert, settle, simulate
from lava_aug.conversion.calibration import Calibration, measure
from lava_aug.conversion.methods import METHODS
from lava_aug.conversion.quantize import searched_scale
from lava_aug.conversion.tracing import trace
from lava_aug.core.neurons import MaxPoolNeuron
from lava_aug.core.normalization import normalization

METHOD = pytest.mark.parametrize("method", METHODS)


# Normalised images


class Normalize(nn.Module):
    """``(x - mean) / std`` with numbers for each channel."""

    def __init__(self, mean: Any, std: Any) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(mean).reshape(-1, 1, 1))
        self.std = nn.Parameter(torch.tensor(std).reshape(-1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.std


PADDED = {
    "convolution": lambda: nn.Sequential(nn.Conv2d(2, 4, 3, padding=(1, 2)), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(70, 6), nn.ReLU(), nn.Linear(6, 3)),
    "pooling": lambda: nn.Sequential(nn.AvgPool2d(3, 2, 1), nn.Conv2d(2, 4, 2, padding=1), nn.ReLU()),
    "relu": lambda: nn.Sequential(nn.ReLU(), nn.Conv2d(2, 4, 2, padding=1)),
}


def normalized(name: str) -> nn.Module:
    model = PADDED[name]()
    model(torch.zeros(2, 2, 5, 7))
    return lively(model)


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize("model", PADDED)
@pytest.mark.parametrize(("mean", "std"), [(0.45, 0.22), ((0.4, 0.6), (0.2, 0.3)), (0.5, (0.25, 0.4))])
@METHOD
def test_normalised_images(model: str, mean: Any, std: Any, method: str) -> None:
    needs = METHODS[method].needs
    graph = traced(normalized(model), needs=needs, normalize=normalization((mean, std), 2))
    inside = traced(nn.Sequential(Normalize(mean, std), normalized(model)), needs=needs)
    images = images_of((2, 5, 7), 4, seed=9)
    found = [g.readout(images).numpy() for g in (graph, inside)]
    np.testing.assert_allclose(found[0].reshape(4, -1), found[1].reshape(4, -1), atol=1e-5)


@pytest.mark.parametrize("weight_bits", [8, None])
def test_a_network_takes_plain_images(weight_bits: int | None) -> None:
    model = made("pooled")
    wanted = output_of(model, (IMAGES / 255 - 0.4) / 0.3)
    net = convert(model, IMAGES, normalize=(0.4, (0.3, 0.3)), weight_bits=weight_bits, resolution=1 / 64)
    assert net.input_shape == (2, 9, 8)
    assert largest_error(simulate(net, IMAGES, 8).logits[-1], wanted) < (0.15 if weight_bits else 0.02)


# Channels by themselves


def uneven() -> nn.Module:
    """Channels of very different size, as after batch normalisation in depthwise convolutions."""
    model = lively(nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Flatten()))
    model.append(nn.Linear(8 * 5 * 4, 5))
    sizes = torch.logspace(-2, 0, 8)
    with torch.no_grad():
        for index in (0, 2):
            model[index].weight.mul_(sizes.reshape(-1, 1, 1, 1))
            model[index].bias.abs_().mul_(sizes if index == 0 else sizes**2)
        model[5].weight.div_(sizes.repeat_interleave(20) ** 2)
    return model


def error(net: Network, model: nn.Module, num_steps: int = 16) -> float:
    """Mean squared error of the answer."""
    wanted = expected(model)
    return float(((simulate(net, IMAGES, num_steps).logits[-1].reshape(wanted.shape) - wanted) ** 2).mean())


def test_channels_with_scales_of_their_own_are_rounded_finer() -> None:
    model = uneven()
    options: Any = {"thresholds": "channel", "resolution": 1 / 32, "quality": "fast"}
    plain, net = (convert(model, IMAGES, weight_scales=scales, **options) for scales in ("layer", "channel"))
    assert np.shape(net["0"].neuron.vth) == np.shape(net["2"].neuron.vth) == (8, 1, 1)  # pyright: ignore
    assert np.ndim(plain["0"].neuron.vth) == 0  # pyright: ignore[reportAttributeAccessIssue]
    assert error(net, model) < error(plain, model)
    weights: Any = net["2"].connections[0].synapse
    assert (np.abs(weights.weight.astype(int)).reshape(8, -1).max(1) == 127).all()


def test_channels_with_thresholds_of_their_own() -> None:
    model = uneven()
    options: Any = {"resolution": 1 / 8, "weight_bits": None, "percentile": 100}
    plain, net = (convert(model, IMAGES, thresholds=t, **options) for t in ("layer", "channel"))
    assert np.shape(net["0"].quantum) == np.shape(net["2"].quantum) == (8, 1, 1)
    outputs = output_of(model[:2], IMAGES / 255).max((0, 2, 3))  # pyright: ignore[reportIndexIssue]
    np.testing.assert_allclose(np.ravel(net["0"].quantum), outputs / 8, rtol=1e-5)
    assert plain["0"].quantum == pytest.approx(outputs.max() / 8)
    assert error(net, model, 4) < error(plain, model, 4) / 4


def test_the_default_resolution_is_as_fine_as_the_network_needs() -> None:
    model = uneven()
    plain = convert(model, IMAGES, resolution=1 / 8)
    net = convert(model, IMAGES)
    assert plain.fidelity is not None
    assert net.fidelity is not None
    assert plain.fidelity.correlation < 0.99 <= net.fidelity.correlation
    assert net == convert(model, IMAGES, resolution=net.resolution)
    assert net.resolution in (1 / 64, 1 / 512)
    assert convert(model, IMAGES, layer_resolutions={"0": 1 / 16}).resolution == 1 / 8


def test_a_dead_channel_takes_a_usual_threshold() -> None:
    model: Any = lively(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    with torch.no_grad():
        model[0].bias[1] = -100.0
    net = convert(model, torch.rand(20, 3), thresholds="channel", percentile=100)
    quanta = np.ravel(net["0"].quantum)
    assert quanta[1] == np.median(np.delete(quanta, 1))


OPTIONS: dict[str, dict[str, Any]] = {
    "thresholds": {"thresholds": "channel"},
    "weight scales": {"weight_scales": "layer"},
    "search": {"balance": "search"},
    "quality": {"quality": "fast"},
    "all": {
        "thresholds": "channel",
        "balance": "search",
        "power_of_two_vth": True,
    },
}

GRAPHS = [name for name in CASES if name.startswith("graph")]


@pytest.mark.parametrize("name", ["pooled", "linear_between", "pooled_before_relu", "all_convolutions", *GRAPHS])
@pytest.mark.parametrize("options", OPTIONS)
def test_every_option_keeps_the_theorem(name: str, options: str) -> None:
    if name in CASES:
        model, images = CASES[name].model(), (images_of(CASES[name].shape, 12) * 255).round().to(torch.uint8)
    else:
        model, images = made(name), IMAGES
    net = convert(model, images, normalize=(0.1, 0.8), **OPTIONS[options])
    output = simulate(net, images, 4)
    assert np.array_equal(settle(net, images, 4).v.reshape(output.v[-1].shape), output.v[-1])
    wanted = output_of(model, (images / 255 - 0.1) / 0.8)
    assert np.corrcoef(output.logits[-1].ravel(), wanted.ravel())[0, 1] > 0.9


# Searches


@pytest.mark.parametrize("num_steps", [2, 4, 16])
@pytest.mark.parametrize("method", ["termapping", "rate"])
def test_searched_thresholds_express_outputs_better(method: Any, num_steps: int) -> None:
    model = made("pooled")
    images = IMAGES / 255
    graph = trace(model, images, METHODS[method].needs)
    ranges = measure(graph, Calibration(images.numpy(), 100, per_channel=False, batch_size=100))
    outputs = {layer.name: value.double().numpy() for layer, _, value in graph.run(images)}
    net = convert(model, IMAGES, method, num_steps=num_steps, balance="search")

    def squared(values: np.ndarray, theta: Any) -> float:
        counts = np.floor(values / theta * num_steps + 0.5).clip(0, num_steps)
        return float(((values - counts * theta / num_steps) ** 2).mean())

    better = []
    for layer in net.layers[:-1]:
        values = outputs[layer.name]
        found, largest = squared(values, layer.quantum), squared(values, ranges[layer.name].maximum[0])
        assert found <= largest * 1.001
        better.append(found < 0.95 * largest)
    assert any(better) or num_steps == 16


@pytest.mark.parametrize("name", ["pooled", "linear_between", "all_convolutions"])
def test_searched_thresholds_come_nearer_to_the_model_in_few_steps(name: str) -> None:
    model = made(name)
    choices: list[dict[str, Any]] = [{"percentile": 100}, {"balance": "search"}]
    errors = [
        error(convert(model, IMAGES, "termapping", num_steps=2, weight_bits=None, **options), model, 2)
        for options in choices
    ]
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_searched_weight_scales_round_better(bits: int) -> None:
    limit = 2 ** (bits - 1) - 1
    weights = np.random.default_rng(0).laplace(size=2000)
    scale = int(1000 * limit / np.abs(weights * 1000).max() * 1000) or 1
    weights = weights / 1000

    def squared(s: int) -> float:
        return float(((weights - np.rint(weights * s).clip(-limit, limit) / s) ** 2).sum())

    found = searched_scale(weights, scale, bits, 2**20)
    assert scale <= found <= 2 * scale
    assert squared(found) <= squared(scale)
    assert (squared(found) < 0.95 * squared(scale)) == (bits < 8)
    assert searched_scale(weights, scale, bits, scale) == scale


# Corrected biases


@pytest.mark.parametrize("name", ["pooled", "linear_between", "all_convolutions"])
def test_corrected_biases_keep_the_means(name: str) -> None:
    model = made(name)
    wanted = expected(model).mean(0)
    errors = []
    for quality in ("fast", "best"):
        net = convert(model, IMAGES, weight_bits=4, resolution=1 / 64, quality=quality)
        found = simulate(net, IMAGES, 16).logits[-1].reshape(len(IMAGES), -1)
        errors.append(np.abs(found.mean(0) - wanted).mean())
    assert errors[1] < errors[0] / 2


def test_corrected_biases_take_off_what_the_layers_before_have_rounded() -> None:
    """The answer's means are the model's to half a unit of its bias, with coarse spikes and weights of 3 bits."""
    model = made("linear_between")
    net = convert(model, IMAGES, weight_bits=3, resolution=1 / 2, num_steps=1)
    shift = (settle(net, IMAGES, 1).logits.reshape(len(IMAGES), -1) - expected(model)).mean(0)
    assert np.abs(shift).max() <= net.readout.quantum / 2 * 1.01


# Order in memory


@pytest.mark.parametrize("last", ["model", "images"])
def test_channels_that_come_last_in_memory_make_no_difference(last: str) -> None:
    parts = (nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    model, images = lively(nn.Sequential(*parts)), images_of((3, 8, 8), 6)
    usual = convert(model, images)
    if last == "model":
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]: torch has it
    else:
        images = images.permute(0, 2, 3, 1).numpy().copy().transpose(0, 3, 1, 2)
    net = convert(model, images)
    assert [layer.name for layer in net] == ["0", "2", "4"]
    assert net == usual


# Max pooling


@pytest.mark.filterwarnings("ignore:Lazy modules")
@METHOD
@pytest.mark.parametrize(
    "pool",
    [
        lambda m, y: F.max_pool2d(y, 2),
        lambda m, y: F.max_pool2d(y, (2, 3), stride=(1, 2), padding=(1, 1)),
        lambda m, y: F.max_pool2d(y, 2, ceil_mode=True),
        lambda m, y: m.pool(y),
        lambda m, y: F.adaptive_max_pool2d(y, (1, 1)),
        lambda m, y: F.max_pool2d(torch.cat([y, F.relu(m.other(y))], 1), 2)[:, 1:5],
    ],
)
def test_max_pooling(pool: Any, method: Any) -> None:
    model = Model(
        lambda m, x: m.last(pool(m, F.relu(m.conv(x))).flatten(1)),
        conv=nn.Conv2d(2, 4, 3, padding=1),
        other=nn.Conv2d(4, 4, 1),
        pool=nn.MaxPool2d(3, 2, dilation=(1, 2)),
        last=nn.LazyLinear(3),
    )
    model(torch.zeros(2, 2, 9, 8))
    model = lively(model)
    traced(model, (2, 9, 8), needs=METHODS[method].needs)
    options: dict[str, Any] = {"resolution": 1 / 256} if method == "augmapping" else {}
    net = convert(model, IMAGES, method, weight_bits=None, percentile=100, **options)
    assert any(isinstance(layer.neuron, MaxPoolNeuron) for layer in net)
    found = simulate(net, IMAGES, 4 if method == "augmapping" else 256).logits[-1]
    assert largest_error(found, expected(model)) < (0.02 if method == "augmapping" else 0.2)


def test_max_pooling_of_both_signs_is_refused_for_rate() -> None:
    model = lively(nn.Sequential(nn.Conv2d(2, 4, 3), nn.MaxPool2d(2)))
    with pytest.raises(ConversionError, match="put a ReLU before it, or use method='termapping' or 'augmapping'"):
        trace(model, IMAGES / 255, METHODS["rate"].needs)


# Any graph

CHANNELS = 4
STEPS: dict[str, Any] = {
    "conv": lambda m, x, y: m.conv(x),
    "depthwise": lambda m, x, y: m.depthwise(x),
    "norm": lambda m, x, y: m.norm(x),
    "relu": lambda m, x, y: F.relu(x),
    "leaky": lambda m, x, y: F.leaky_relu(x, 0.3),
    "bound": lambda m, x, y: x.clamp(-0.2, 0.4),
    "add": lambda m, x, y: x + y,
    "subtract": lambda m, x, y: x - 0.5 * y,
    "cat": lambda m, x, y: m.merge(torch.cat([x, y], 1)),
    "halves": lambda m, x, y: torch.cat([x[:, :2], y.chunk(2, 1)[1]], 1),
    "pool": lambda m, x, y: F.avg_pool2d(x, 3, 1, 1),
    "larger": lambda m, x, y: torch.maximum(x, y),
    "smaller": lambda m, x, y: torch.minimum(x, 0.5 * y),
    "largest": lambda m, x, y: F.max_pool2d(F.relu(x), (3, 1), 1, (1, 0)),
    "in place": lambda m, x, y: F.relu_(m.conv(x)),
    "part by part": lambda m, x, y: torch.stack([part * (i + 1) for i, part in enumerate(x.unbind(1))], 1) - y,
    "shift": lambda m, x, y: 0.3 - x,
    "transpose": lambda m, x, y: x.roll(1, 2).flip(3),
    "mean": lambda m, x, y: x - y.mean((2, 3), keepdim=True),
    "identity": lambda m, x, y: x,
}


@st.composite
def plans(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """Operations on what two earlier ones gave, of which the last is a layer with weights."""
    count = draw(st.integers(1, 7))
    names = draw(st.lists(st.sampled_from(sorted(STEPS)), min_size=count, max_size=count))
    return [(name, draw(st.integers(0, place)), draw(st.integers(0, place))) for place, name in enumerate(names)]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(plan=plans(), method=st.sampled_from(sorted(METHODS)), seed=st.integers(0, 100))
def test_any_graph(plan: list[tuple[str, int, int]], method: str, seed: int) -> None:
    def forward(m: Any, x: Any) -> Any:
        values = [m.first(x)]
        for name, one, other in plan:
            values.append(STEPS[name](m, values[one], values[other]))
        return m.last(torch.cat([values[-1], values[len(values) // 2]], 1))

    model = Model(
        forward,
        first=nn.Conv2d(2, CHANNELS, (2, 3), padding=1),
        conv=nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        depthwise=nn.Conv2d(CHANNELS, CHANNELS, (3, 1), padding=(1, 0), groups=CHANNELS),
        norm=nn.BatchNorm2d(CHANNELS),
        merge=nn.Conv2d(2 * CHANNELS, CHANNELS, 1),
        last=nn.Conv2d(2 * CHANNELS, 3, (2, 3)),
    )
    traced(lively(model, seed), (2, 4, 5), needs=METHODS[method].needs)
