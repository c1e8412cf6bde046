"""Converted networks: worked out by hand, near the model in floats and in 8 bits, and equal to the theorem's ANN."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from convert_models import IMAGES, MODELS, SHAPE, correlation, expected, largest_error, logits, made
from float_graph import images_of, lively, output_of
from reference import theorem
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lava_aug import ConversionWarning, Network, convert, simulate
from lava_aug.core.layers import Conv, Dense, Relay, Sparse, SumPool
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, Neuron, RateNeuron, ReadoutNeuron

ALL = pytest.mark.parametrize("name", MODELS)


def by_hand(idle_bias: float = 0.0, output_bias: float = 0.5) -> nn.Sequential:
    """On a white image of two pixels, its hidden ReLUs give 1 and, with the first bias at 0, 0.5."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.5, 0.25], [1.0, -0.5]]))
        model[0].bias.copy_(torch.tensor([0.25, idle_bias]))
        model[2].weight.copy_(torch.tensor([[2.0, -1.0]]))
        model[2].bias.fill_(output_bias)
    return model


WHITE = torch.full((1, 2), 255, dtype=torch.uint8)
PLAIN: Any = {"percentile": 100, "weight_scales": "layer", "quality": "fast"}


def dense(net: Network, name: str) -> list[list[int]]:
    (connection,) = net[name].connections
    assert isinstance(connection.synapse, Dense)
    return connection.synapse.weight.tolist()


def test_integers_by_hand() -> None:
    net = convert(by_hand(), WHITE, **PLAIN)
    # theta = 1/8, so the weights are W * 8/255 thresholds, the largest 0.03137; 127.5 / 0.03137 = 4064.06.
    hidden = net["0"]
    # It sends up to 8, and 4 * 8 takes six bits and a sign.
    assert hidden.neuron == AugmentedNeuron(vth=4064, vth_lo=-1, v0=2032, signed=False, message_bits=7)
    assert dense(net, "0") == [[64, 32], [127, -64]]
    assert hidden.bias is not None
    assert hidden.bias.tolist() == [0.25 * 8 * 4064, 0]
    assert hidden.quantum == 1 / 8
    # The readout's largest weight is 2 * 1/8 and becomes 127; -63.5 goes to the even -64.
    assert dense(net, "2") == [[127, -64]]
    assert net.readout.neuron == ReadoutNeuron()
    assert net.readout.bias is not None
    assert net.readout.bias.tolist() == [254]
    assert net.readout.quantum == 0.25 / 127
    assert (net.input_shape, net.num_steps, net.method, net.resolution) == ((2,), 4, "augmapping", 1 / 8)


@pytest.mark.parametrize(
    ("method", "neuron"), [("termapping", DoubleThresholdNeuron(vth=32512)), ("rate", RateNeuron(vth=32512))]
)
def test_integers_of_the_other_methods_by_hand(method: Any, neuron: Neuron) -> None:
    net = convert(by_hand(), WHITE, method, num_steps=7, **PLAIN)
    assert net["0"].neuron == neuron  # theta = 1: eight times that of AugMapping, 127.5 * 255 rounded down
    assert dense(net, "0") == [[64, 32], [127, -64]]
    assert net["0"].quantum == 1
    assert net.readout.quantum == 2 / 127
    assert (net.num_steps, net.method, net.resolution) == (7, method, 1)


def test_large_biases_limit_the_scale() -> None:
    with pytest.warns(ConversionWarning) as caught:
        net = convert(by_hand(idle_bias=-1000.0, output_bias=2.0**15), WHITE, **PLAIN)
    assert [str(warning.message) for warning in caught] == [
        "layer '2': its weights for what '0' sends lie within +-3, of 8 bits; larger ones would make its biases or "
        "potentials exceed 24 bits. Use fewer time steps, a coarser (larger) resolution or, before the last layer, "
        "weight_scales='channel'"
    ]
    # -1000 is 8000 thresholds, and 1048 * 8000 the most that 24 bits hold; the weights are 1048 * 8/255 * W.
    assert net["0"].neuron == AugmentedNeuron(vth=1048, message_bits=7)
    assert dense(net, "0") == [[16, 8], [33, -16]]
    assert net["0"].bias is not None
    assert net["0"].bias.tolist() == [2 * 1048, -8000 * 1048]
    # 2**15 is 2**17 of the readout's largest weight, and 4 steps of that may take a quarter of the range of 24 bits.
    assert dense(net, "2") == [[3, -2]]
    assert net.readout.bias is not None
    assert net.readout.bias.tolist() == [3 * 2**17]
    assert net.readout.quantum == 0.25 / 3


@pytest.mark.parametrize("num_steps", [1, 4, 64])
def test_the_readout_lasts_for_as_many_steps_as_it_is_made_for(num_steps: int) -> None:
    """Sixteen-bit weights would fill its 24 bits in a few; others' logits may be twice those of calibration images."""
    model = made(next(iter(MODELS)))
    net = convert(model, IMAGES, weight_bits=16, num_steps=num_steps)
    out = simulate(net, IMAGES)
    assert out.saturated[net.readout.name].sum() == 0
    assert largest_error(out.logits[-1], expected(model)) < (0.5 if num_steps == 1 else 0.1)
    assert np.abs(out.v).max() < 1.05 * 2**21  # rounding makes it a little more
    assert num_steps == 1 or np.abs(out.v).max() > 2**20  # and not for many more


def test_a_window_of_fewer_steps_leaves_the_readout_more_bits() -> None:
    largest = [
        np.abs(dense(convert(made("linear_between"), IMAGES, resolution=1 / 256, num_steps=num_steps), "4")).max()
        for num_steps in (4, 64, 256)
    ]
    assert largest[0] == 127 > largest[1] > 3 * largest[2]


@ALL
def test_floats_approach_the_model(name: str) -> None:
    model = made(name)
    net = convert(model, IMAGES, resolution=1 / 64, weight_bits=None)
    assert net.is_float
    found, wanted = logits(net, 16), expected(model)
    assert correlation(found, wanted) > 0.999
    assert largest_error(found, wanted) < 0.01
    np.testing.assert_allclose(found, wanted, atol=0.002)


@ALL
def test_eight_bits_stay_near_the_model(name: str) -> None:
    model = made(name)
    found, wanted = logits(convert(model, IMAGES), 16), expected(model)
    assert correlation(found, wanted) > 0.999
    assert largest_error(found, wanted) < 0.1


@ALL
def test_a_finer_resolution_comes_nearer(name: str) -> None:
    model = made(name)
    errors = [
        np.abs(logits(convert(model, IMAGES, resolution=r, weight_bits=None), 2) - expected(model)).mean()
        for r in (1, 1 / 8, 1 / 64)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


@ALL
@pytest.mark.parametrize("method", ["termapping", "rate"])
def test_ordinary_spikes_approach_the_model_in_many_steps(name: str, method: Any) -> None:
    model = made(name)
    net, wanted = convert(model, IMAGES, method, percentile=100), expected(model)
    found = logits(net, 256)
    assert correlation(found, wanted) > 0.999
    assert largest_error(found, wanted) < 0.1


@ALL
@pytest.mark.parametrize(
    "options", [{}, {"weight_bits": 4, "resolution": 1.0}, {"v0": "zero", "power_of_two_vth": True}]
)
def test_a_network_equals_the_theorems_ann(name: str, options: dict[str, Any]) -> None:
    net = convert(made(name), IMAGES, **options)
    for num_steps in (1, 4):
        output = simulate(net, IMAGES, num_steps, record=True)
        for counts in (output.saturated, output.capped):
            assert not any(count.any() for count in counts.values())
        n = theorem(net, IMAGES.numpy(), num_steps)
        assert np.array_equal(output.v[-1], n[net.readout.name])
        for layer in net.layers[:-1]:
            assert np.array_equal(output.spikes[layer.name].sum(0), n[layer.name]), layer.name


@ALL
@pytest.mark.parametrize("bits", [4, 8])
def test_weights_use_all_their_bits(name: str, bits: int) -> None:
    net = convert(made(name), IMAGES, weight_bits=bits)
    largest = [
        int(np.abs(connection.synapse.weight.astype(int)).max())
        for layer in net
        for connection in layer.connections
        if isinstance(connection.synapse, (Conv, Dense))
    ]
    assert len(largest) >= 2
    assert set(largest) == {2 ** (bits - 1) - 1}


def test_layers_of_augmapping() -> None:
    net = convert(made("pooled"), IMAGES)
    assert [layer.name for layer in net] == ["0", "3", "4", "7", "9", "12"]
    for name, source, size, bits in (("3", "0", (2, 2), 8), ("7", "4", (3, 2), 9)):
        assert net[name].neuron == AugmentedNeuron(vth=1, v0=0, signed=True, message_bits=bits)
        assert net[name].connections == ((source, SumPool(kernel_size=size, stride=size)),)
        assert net[name].quantum == net[source].quantum / (size[0] * size[1])
    assert [" AUGIF signed " in line for line in net.summary().splitlines() if "sum pool" in line] == [True, True]


@pytest.mark.parametrize("method", ["termapping", "rate"])
def test_pooling_of_ordinary_spikes_is_folded(method: Any) -> None:
    net = convert(made("pooled"), IMAGES, method)
    assert [layer.name for layer in net] == ["0", "4", "9", "12"]
    assert [layer.connections[0].synapse.describe() for layer in net][2:] == ["dense 36 -> 12", "dense 12 -> 5"]
    folded = net["4"].connections[0].synapse
    assert isinstance(folded, Conv)
    assert (folded.window, folded.stride) == ((4, 6), (2, 2))
    assert "pool" not in net.summary()


def test_neurons_without_a_relu_are_signed() -> None:
    for name, signed in (("linear_between", [False, True]), ("pooled_before_relu", [True, False, True, True])):
        neurons = [layer.neuron for layer in convert(made(name), IMAGES)][:-1]
        assert [getattr(neuron, "signed", None) for neuron in neurons] == signed


def test_the_readout_after_a_relu_passes_on() -> None:
    net = convert(made("ending_in_relu"), IMAGES)
    assert net.readout.name == "readout"
    assert net.readout.connections == (("3", Relay()),)
    assert net.readout.quantum == net["3"].quantum
    assert (logits(net, 4) >= 0).all()


def test_the_average_of_the_last_maps_is_the_readout() -> None:
    net = convert(made("all_convolutions"), IMAGES)
    ((source, synapse),) = net.readout.connections
    assert source == "head"
    assert isinstance(synapse, Sparse)  # which, unlike pooling, gives the model's shape
    assert (synapse.to_scipy(40).toarray() == np.repeat(np.eye(5), 8, axis=1)).all()
    assert net.readout.quantum == net["head"].quantum / 8
    assert net.shapes["pool"] == (5,)


def test_quanta_are_percentiles_of_the_outputs() -> None:
    model = made("pooled")
    assert isinstance(model, nn.Sequential)
    for percentile in (100, 99.9, 90):
        net = convert(model, IMAGES, resolution=0.5, percentile=percentile)
        for name, depth in (("0", 3), ("4", 7), ("9", 11)):
            outputs = output_of(model[:depth], IMAGES / 255)
            assert net[name].quantum == pytest.approx(0.5 * np.percentile(outputs, percentile), rel=1e-5)


@pytest.mark.parametrize(
    "calibration",
    [
        IMAGES.numpy(),
        IMAGES / 255,
        DataLoader(TensorDataset(IMAGES, torch.arange(24)), batch_size=7),
    ],
)
def test_the_source_of_calibration_images_makes_no_difference(calibration: Any) -> None:
    assert convert(made("pooled"), calibration) == convert(made("pooled"), IMAGES)


def wide() -> nn.Module:
    """Convolutions for which torch has other kernels, and other sums, for one image than for many."""
    return lively(
        nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6272, 9)
        )
    )


@pytest.mark.parametrize("options", [{}, {"quality": "fast"}, {"method": "rate", "balance": "search"}])
def test_the_batch_size_makes_no_difference(options: dict[str, Any]) -> None:
    images = images_of((3, 16, 16), 40)
    first, *others = (
        convert(wide(), images, weight_scales="channel", thresholds="channel", batch_size=size, **options)
        for size in (1, 3, 13, 40, 100)
    )
    assert all(other == first for other in others)


def test_progress_is_told_of_batch_by_batch() -> None:
    calls: dict[int, list[tuple[int, int]]] = {7: [], 24: [], 100: []}
    for size, found in calls.items():
        convert(made("pooled"), IMAGES, batch_size=size, progress=lambda *now, found=found: found.append(now))
    assert calls[7] == [(7, 24), (14, 24), (21, 24), (24, 24)]
    assert calls[24] == calls[100] == [(24, 24)]


@pytest.mark.parametrize("change", [lambda model: model.train(), lambda model: model.double(), copy.deepcopy])
def test_mode_and_number_format_of_the_model_make_no_difference(change: Callable[[nn.Module], nn.Module]) -> None:
    assert convert(change(made("pooled")), IMAGES) == convert(made("pooled"), IMAGES)


def test_the_model_and_the_images_stay_as_they_are() -> None:
    model, images = made("pooled").train(), IMAGES / 255
    state, before = copy.deepcopy(model.state_dict()), images.clone()
    convert(model, images)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(images, before)


def test_the_shape_of_the_images_is_the_networks() -> None:
    assert convert(made("pooled"), IMAGES).input_shape == SHAPE
