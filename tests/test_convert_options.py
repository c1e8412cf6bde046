"""Options of `convert`, one by one: what each does, and what is refused or warned about, by message."""

from typing import Any

import numpy as np
import pytest
import torch
from convert_models import IMAGES, correlation, expected, largest_error, logits, made
from float_graph import lively, output_of
from torch import nn

from lava_aug import ConversionError, ConversionWarning, Network, convert, simulate
from lava_aug.conversion import composition
from lava_aug.core.layers import Conv, Dense, SumPool
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, Neuron, RateNeuron

METHODS = pytest.mark.parametrize("method", ["augmapping", "termapping", "rate"])


def thresholds(net: Network) -> dict[str, Any]:
    """The neurons that are neither relays of pooling nor readouts, by layer."""
    return {
        layer.name: layer.neuron for layer in net.layers[:-1] if not isinstance(layer.connections[0].synapse, SumPool)
    }


def largest_weights(net: Network) -> list[int]:
    """Of every layer that has weights."""
    synapses = [layer.connections[0].synapse for layer in net]
    return [int(np.abs(s.weight.astype(int)).max()) for s in synapses if isinstance(s, (Conv, Dense))]


@METHODS
def test_floating_point(method: Any) -> None:
    net = convert(made("pooled"), IMAGES, method, weight_bits=None)
    assert net.is_float
    assert all(isinstance(layer.neuron, Neuron) and layer.neuron.is_float for layer in net)
    hidden: Any = net["9"]
    assert (hidden.neuron.vth, hidden.neuron.v0) == (1.0, 0.5)
    linear: Any = made("pooled")[9]  # pyright: ignore[reportIndexIssue]
    factor = net["7" if method == "augmapping" else "4"].quantum / hidden.quantum
    weight = linear.weight.detach().numpy() * factor
    if method == "augmapping":
        np.testing.assert_allclose(hidden.connections[0].synapse.weight, weight, rtol=1e-5)
    else:  # folded: every weight goes to 3x2 places
        np.testing.assert_allclose(
            hidden.connections[0].synapse.weight.reshape(12, 6, 6),
            np.repeat(weight[:, :, None] / 6, 6, axis=2),
            rtol=1e-5,
        )
    np.testing.assert_allclose(hidden.bias, linear.bias.detach().numpy() / hidden.quantum, rtol=1e-5)


def test_weight_bits() -> None:
    model = made("linear_between")
    errors = []
    for bits in (2, 4, 8):
        net = convert(model, IMAGES, weight_bits=bits, weight_scales="layer", quality="fast")
        assert largest_weights(net) == [2 ** (bits - 1) - 1] * 3
        errors.append(largest_error(logits(net, 8), expected(model)))
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


@pytest.mark.parametrize("resolution", [1, 1 / 8, 1 / 64])
def test_thresholds_leave_room_for_the_coefficients(resolution: float) -> None:
    """What comes in in one step takes a quarter of the 24 bits on calibration images: here weights could have more."""
    model: Any = made("linear_between")
    net = convert(model, IMAGES, weight_bits=16, resolution=resolution, num_steps=1, weight_scales="layer")
    layer: Any = net["1"]
    largest = model[1](IMAGES.flatten(1) / 255).abs().max().item()
    assert layer.neuron.vth == min(2**20, int(2**23 / 4 * layer.quantum / largest))
    first = model[1].weight.abs().max().item() / 255 / layer.quantum
    weight = largest_weights(net)[0]
    assert weight < 32767
    assert weight == pytest.approx(first * layer.neuron.vth, abs=2)


def test_message_bits() -> None:
    with pytest.warns(
        ConversionWarning, match=r"on calibration images, layer '\d': spikes reach the 4-bit payload's limit"
    ) as warned:
        net = convert(made("pooled"), IMAGES, message_bits=4)
    assert "layer '0'" in str(warned[0].message)
    assert [layer.neuron.message_bits for layer in net if isinstance(layer.neuron, AugmentedNeuron)] == [4] * 5
    output = simulate(net, IMAGES, 4, record=True)
    assert max(np.abs(spikes).max() for name, spikes in output.spikes.items() if name != "input") == 7
    assert sum(count.sum() for count in output.capped.values()) > 0


@pytest.mark.parametrize(("method", "kind"), [("augmapping", AugmentedNeuron), ("termapping", DoubleThresholdNeuron)])
@pytest.mark.parametrize("weight_bits", [8, None])
def test_symmetric(method: Any, kind: type, weight_bits: int | None) -> None:
    options: dict[str, Any] = {"method": method, "weight_bits": weight_bits, "message_bits": 16}
    plain = thresholds(convert(made("pooled"), IMAGES, **options))
    symmetric = thresholds(convert(made("pooled"), IMAGES, symmetric=True, **options))
    assert list(plain) == list(symmetric) == ["0", "4", "9"]
    for name, neuron in symmetric.items():
        assert isinstance(neuron, kind)
        assert neuron == plain[name].replace(vth_lo=-neuron.vth)


@METHODS
def test_start(method: Any) -> None:
    half = thresholds(convert(made("pooled"), IMAGES, method))
    zero = thresholds(convert(made("pooled"), IMAGES, method, v0="zero"))
    assert list(half) == list(zero) == ["0", "4", "9"]
    for name, neuron in zero.items():
        np.testing.assert_array_equal(half[name].v0, half[name].vth // 2)
        assert neuron == half[name].replace(v0=0)


@METHODS
def test_power_of_two_thresholds(method: Any) -> None:
    model = made("pooled")
    free = convert(model, IMAGES, method)
    net = convert(model, IMAGES, method, power_of_two_vth=True)
    for name, neuron in thresholds(net).items():
        vth, free_vth = (np.asarray(each.vth, np.int64) for each in (neuron, thresholds(free)[name]))
        assert np.isin(vth, 2 ** np.arange(21)).all()
        assert ((vth <= free_vth) & (free_vth < 2 * vth)).all()
        assert net[name].quantum == free[name].quantum
    assert correlation(logits(net, 128 if method == "rate" else 32), expected(model)) > 0.99


def own_pooling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "MAX_GROWTH", 0)
    monkeypatch.setattr(composition, "FREE_SYNAPSES", 0)


@pytest.mark.parametrize(
    ("method", "expected_neuron"),
    [("rate", RateNeuron(vth=4)), ("termapping", DoubleThresholdNeuron(vth=4, signed=True))],
)
def test_pooling_that_would_cost_too_much_is_a_layer(
    monkeypatch: pytest.MonkeyPatch, method: Any, expected_neuron: Neuron
) -> None:
    own_pooling(monkeypatch)
    model = made("pooled")
    net = convert(model, IMAGES, method, percentile=100)
    assert [layer.name for layer in net] == ["0", "3", "4", "7", "9", "12"]
    assert net["3"].neuron == expected_neuron
    assert net["7"].neuron == expected_neuron.replace(vth=6, v0=3)
    assert (net["3"].quantum, net["7"].quantum) == (net["0"].quantum, net["4"].quantum)
    assert "sum pool 2x2" in net.summary()
    assert largest_error(logits(net, 256), expected(model)) < 0.1


@pytest.mark.parametrize("weight_bits", [8, None])
def test_pooling_of_both_signs_keeps_them(monkeypatch: pytest.MonkeyPatch, weight_bits: int | None) -> None:
    own_pooling(monkeypatch)
    model = made("pooled_before_relu")
    net = convert(model, IMAGES, "termapping", percentile=100, weight_bits=weight_bits)
    assert [getattr(net[name].neuron, "signed", None) for name in "0134"] == [True, False, True, True]
    assert largest_error(logits(net, 256), expected(model)) < 0.1


@pytest.mark.parametrize("method", ["rate", "termapping"])
def test_pooling_on_graded_pixels(method: Any) -> None:
    net = convert(made("pooled_images"), IMAGES, method)
    pool: Any = net["0"]
    assert pool.neuron.vth == 4 * 255
    assert pool.quantum == 1
    assert simulate(net, np.full_like(IMAGES, 255), 3, record="0").spikes["0"].min() == 1  # white in every step


@pytest.mark.parametrize("method", ["rate", "termapping"])
def test_pooling_with_another_divisor(monkeypatch: pytest.MonkeyPatch, method: Any) -> None:
    own_pooling(monkeypatch)
    model = lively(
        nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AvgPool2d(2, divisor_override=1), nn.Flatten(), nn.Linear(36, 5)
        )
    )
    net = convert(model, IMAGES, method, percentile=100)
    pool: Any = net["2"]
    assert pool.neuron.vth == 4
    assert pool.quantum == 4 * net["0"].quantum
    assert largest_error(logits(net, 512), output_of(model, IMAGES / 255)) < 0.1


def two_layers(*, bias: float = 0.0) -> nn.Sequential:
    model = lively(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    with torch.no_grad():
        model[0].bias.add_(bias)
    return model


PIXELS = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))


def test_a_dead_layer_is_warned_about() -> None:
    with pytest.warns(ConversionWarning) as caught:
        net = convert(two_layers(bias=-100.0), PIXELS)
    assert [str(warning.message) for warning in caught] == [
        "layer '0' is never active on the calibration images; its threshold is set to 1. "
        "Use more calibration images, or check the model"
    ]
    assert caught[0].filename == __file__
    assert net["0"].quantum == 1 / 8


def test_a_layer_that_is_seldom_active_takes_its_maximum() -> None:
    model = two_layers()
    assert isinstance(model[0], nn.Linear)
    with torch.no_grad():
        model[0].weight.fill_(0.5)
        model[0].bias.copy_(torch.tensor([-1.0, -9.0, -9.0, -9.0]))
    images = torch.zeros(20, 3)
    images[3] = 1.0
    assert convert(model, images, percentile=50, resolution=1)["0"].quantum == 0.5


@pytest.mark.parametrize("method", ["termapping", "rate"])
def test_a_resolution_that_clips_is_warned_about(method: Any) -> None:
    with pytest.warns(ConversionWarning) as caught:
        net = convert(two_layers(), PIXELS, method, resolution=0.25)
    assert [str(warning.message) for warning in caught] == [
        f"resolution 0.25 clips activations at 0.25 times the balanced threshold, since a {method} neuron fires at "
        "most once per step; use 1, or method='augmapping'"
    ]
    assert caught[0].filename == __file__
    assert net.resolution == 0.25


@pytest.mark.parametrize(
    ("model", "layer"), [("linear_between", "3"), ("pooled_before_relu", "3"), ("all_convolutions", "head")]
)
def test_signed_values_travel_as_a_pair_of_layers_in_rate_networks(model: str, layer: str) -> None:
    net = convert(made(model), IMAGES, "rate", weight_scales="layer", quality="fast")
    one, other = net[layer], net[f"{layer}.negative"]
    assert isinstance(one.neuron, RateNeuron)
    assert isinstance(other.neuron, RateNeuron)
    (plus,), (minus,) = one.connections, other.connections
    steps = [net[name].quantum / net[name].neuron.vth for name in (layer, f"{layer}.negative")]  # pyright: ignore
    weights = [c.synapse.weight * step for c, step in zip((plus, minus), steps, strict=True)]  # pyright: ignore
    np.testing.assert_allclose(weights[0], -weights[1], atol=sum(steps) / 2 + 1e-9)
    assert {one.name, other.name} <= {c.source for taker in net for c in taker.connections}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "snn"}, "method: expected one of ['augmapping', 'rate', 'termapping'], found 'snn'"),
        ({"resolution": 0}, "resolution: expected a positive number, found 0"),
        ({"resolution": -0.5}, "resolution: expected a positive number, found -0.5"),
        ({"resolution": float("inf")}, "resolution: expected a positive number, found inf"),
        ({"resolution": float("nan")}, "resolution: expected a positive number, found nan"),
        ({"resolution": "fine"}, "resolution: expected a positive number, found 'fine'"),
        ({"resolution": True}, "resolution: expected a positive number, found True"),
        ({"percentile": 0}, "percentile: expected a number above 0, at most 100, found 0"),
        ({"percentile": 100.1}, "percentile: expected a number above 0, at most 100, found 100.1"),
        ({"percentile": "max"}, "percentile: expected a number above 0, at most 100, found 'max'"),
        ({"weight_bits": 1}, "weight_bits: expected None or an integer from 2 to 16, found 1"),
        ({"weight_bits": 17}, "weight_bits: expected None or an integer from 2 to 16, found 17"),
        ({"weight_bits": 8.0}, "weight_bits: expected None or an integer from 2 to 16, found 8.0"),
        ({"weight_bits": True}, "weight_bits: expected None or an integer from 2 to 16, found True"),
        ({"message_bits": 1}, "AugmentedNeuron.message_bits: expected an integer from 2 to 24, found 1"),
        ({"message_bits": 25}, "AugmentedNeuron.message_bits: expected an integer from 2 to 24, found 25"),
        ({"v0": "full"}, "v0: expected 'half' or 'zero', found 'full'"),
        ({"v0": 0}, "v0: expected 'half' or 'zero', found 0"),
        ({"batch_size": 0}, "batch_size: expected an integer of at least 1, found 0"),
        ({"batch_size": 2.5}, "batch_size: expected an integer of at least 1, found 2.5"),
        ({"batch_size": True}, "batch_size: expected an integer of at least 1, found True"),
        ({"num_steps": 0}, "num_steps: expected an integer from 1 to 65536, found 0"),
        ({"num_steps": 10**30}, f"num_steps: expected an integer from 1 to 65536, found {10**30}"),
        ({"num_steps": 2.5}, "num_steps: expected an integer from 1 to 65536, found 2.5"),
        ({"balance": "best"}, "balance: expected 'percentile' or 'search', found 'best'"),
        ({"thresholds": 3}, "thresholds: expected 'layer' or 'channel', found 3"),
        ({"weight_scales": "row"}, "weight_scales: expected 'layer' or 'channel', found 'row'"),
        ({"normalize": 0.5}, "normalize: expected (mean, std), found 0.5"),
        (
            {"normalize": ((0.5, 0.5), 0.25)},
            "normalize: Normalization.mean: expected one number or 3, found 2",
        ),
        (
            {"normalize": (0.5, (0.25, 0.0, 1.0))},
            "normalize: Normalization.std: expected positive numbers, found [0.25, 0.0, 1.0]",
        ),
        (
            {"model": nn.Sequential(nn.Conv2d(3, 4, 3)), "calibration": np.zeros((2, 6, 8, 3), np.uint8)},
            "the model does not take calibration images of shape (6, 8, 3): module '0' (Conv2d): Given groups=1, "
            "weight of size [4, 3, 3, 3], expected input[2, 6, 8, 3] to have 3 channels, but got 6 channels instead; "
            "channels come first, images are (B, C, H, W)",
        ),
        ({"calibration": None}, "calibration: expected an array, a tensor or a list of them, found NoneType"),
        (
            {"model": "lenet.pt"},
            "model: expected a torch.nn.Module or an ONNX file, found 'lenet.pt', which holds weights; make the model, "
            "and load them into it with load_state_dict(torch.load(...))",
        ),
        ({"model": 5}, "model: expected a torch.nn.Module or an ONNX file, found int"),
        (
            {"resolution": 1e-9, "method": "termapping"},
            "layer '0': even a threshold of 1 makes its weights or biases too large for their bits; "
            "use more weight bits or a coarser (larger) resolution",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:resolution 1e-09 clips")
def test_unusable_options(options: dict[str, Any], message: str) -> None:
    arguments = {"model": two_layers(), "calibration": PIXELS, **options}
    with pytest.raises(ConversionError) as caught:
        convert(**arguments)
    assert str(caught.value) == message


def test_numbers_may_be_numpys() -> None:
    numpys: dict[str, Any] = {
        "resolution": np.float32(0.25),
        "percentile": np.int64(100),
        "weight_bits": np.int64(6),
        "batch_size": np.int32(3),
    }
    plain: dict[str, Any] = {"resolution": 0.25, "percentile": 100, "weight_bits": 6, "batch_size": 3}
    assert convert(two_layers(), PIXELS, **numpys) == convert(two_layers(), PIXELS, **plain)


@pytest.mark.parametrize(
    ("layer", "parameter", "message"),
    [
        (
            0,
            "weight",
            "module '0' (Linear): Dense.weight: expected finite numbers in float32, found 1 NaN or infinite ones",
        ),
        (0, "bias", "layer '0': output is NaN or infinite on calibration images"),
        (
            2,
            "weight",
            "module '2' (Linear): Dense.weight: expected finite numbers in float32, found 1 NaN or infinite ones",
        ),
        (2, "bias", "layer '2': output is NaN or infinite on calibration images"),
    ],
)
def test_parameters_that_are_not_numbers(layer: int, parameter: str, message: str) -> None:
    model = two_layers()
    with torch.no_grad():
        getattr(model[layer], parameter).view(-1)[0] = torch.nan
    with pytest.raises(ConversionError) as caught:
        convert(model, PIXELS)
    assert str(caught.value) == message
