"""The export to stock Sigma-Delta files, without Lava: what is in them, what they compute, and what is refused."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import run
from examples import weights
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from nets import images_for, layer, skip_net, small_net

import lava_aug as la
from lava_aug.core.layers import Conv, Dense, Relay, SumPool
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, MaxPoolNeuron, ReadoutNeuron
from lava_aug.examples.digits import load_digits, train
from lava_aug.netx.exporting import NetxExport, requantized
from lava_aug.netx.foreign import NetxNetwork, load
from lava_aug.netx.layers import Cuba, NetxDense, NetxInput, NetxWeighted, SigmaDelta
from lava_aug.netx.requantization import (
    INPUT_GAIN,
    MAX_MESSAGE,
    MAX_STATE,
    MAX_WEIGHT,
    FloatLayer,
    choose_gains,
    fitted,
    is_kept,
    largest_gain,
    readout_scale,
    rounding_error,
)
from lava_aug.netx.simulation import encoded, simulate


def map_net(**conv: Any) -> Network:
    """Non-square maps and kernels, pooling, and a readout with a bias."""
    first = Conv(weight=weights(3, 2, 3, 2), padding=(1, 0), **conv)
    shape = first.output_shape((2, 6, 5))
    pool = SumPool(kernel_size=(2, 2), stride=(2, 2))
    features = int(np.prod(pool.output_shape(shape)))
    return Network(
        input_shape=(2, 6, 5),
        layers=(
            layer("conv", INPUT, first, AugmentedNeuron(vth=900), bias=weights(3, 1, 1, largest=9000, seed=1)),
            layer("pool", "conv", pool, AugmentedNeuron(vth=1, signed=True)),
            layer("fc", "pool", Dense(weight=weights(5, features, seed=2)), DoubleThresholdNeuron(vth=400)),
            layer("out", "fc", Dense(weight=weights(4, 5, seed=3)), bias=[300, -20_000, 0, 9000]),
        ),
    )


def by_name(made: NetxExport) -> dict[str, NetxWeighted]:
    """The layers with weights, by the names of ours."""
    weighted = [found for found in made.network.layers if isinstance(found, NetxWeighted)]
    return {report.name: found for report, found in zip(made.layers, weighted, strict=True)}


def answers(made: NetxExport, x: np.ndarray) -> np.ndarray:
    """Of images one by one, each from the start, without what images before it have rounded off, in our unit."""
    return np.concatenate([simulate(made.network, image, 1).answers for image in x]) / made.layers[-1].gain


def dense(weight: list[list[int]]) -> Dense:
    """A matrix by hand."""
    return Dense(weight=np.array(weight))


def exact(net: Network, x: np.ndarray) -> np.ndarray:
    """What a network gives after infinitely many steps, per step: without any rounding."""
    n = x.astype(np.float64)
    for one in net:
        a = one.connections[0].synapse.accumulate(n) + (0 if one.bias is None else one.bias)
        if not one.neuron.fires:
            return a
        n = np.maximum(a / getattr(one.neuron, "vth", 1), 0)
    raise AssertionError("no readout")


# The law


@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.floats(-1, 1)),
    st.floats(2, 127),
)
def test_weights_are_rounded_and_the_scale_fits_best(matrix: np.ndarray, scale: float) -> None:
    w, r = fitted(matrix, scale)
    assert np.abs(w - matrix * scale).max() <= 0.5
    if w.any():
        errors = [np.sum((w - candidate * matrix) ** 2) for candidate in (r, 0.99 * r, 1.01 * r, scale)]
        assert errors[0] <= min(errors) * (1 + 1e-9) + 1e-9


@given(st.floats(0.6, 100), st.integers(1, 6))
def test_equal_weights_lose_nothing(scale: float, size: int) -> None:
    ones = np.ones((size, size))
    assert rounding_error(ones, scale) == 0
    w, r = fitted(ones, scale)
    assert r == w[0, 0] == round(scale)


def test_weights_that_do_not_fit_or_vanish_cost_everything() -> None:
    assert rounding_error(np.array([1.0]), 128) == np.inf
    assert rounding_error(np.array([1.0]), 127) == 0
    assert rounding_error(np.array([1.0, -0.5]), 0.4) == np.inf


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_chosen_gains_fit(seed: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    reaches = rng.uniform(1, 300, depth)
    layers = [
        FloatLayer(rng.normal(0, 0.3, (6, 5)), rng.normal(size=6), reach, reach * rng.uniform(1, 4))
        for reach in reaches
    ]
    layers[-1] = dataclasses.replace(
        layers[-1], matrix=100 * layers[-1].matrix
    )  # a readout has a network's own weights
    gains = choose_gains(layers)
    assert len(gains) == depth - 1
    before = INPUT_GAIN
    for one, gain in zip(layers, gains, strict=False):
        assert gain * one.reach <= MAX_MESSAGE * (1 + 1e-12)
        assert 64 * gain * one.swing <= MAX_STATE * (1 + 1e-12)
        assert np.abs(fitted(one.matrix, 64 * gain / before)[0]).max() <= MAX_WEIGHT
        before = gain
    assert readout_scale(layers[-1], before) * before * layers[-1].swing <= MAX_STATE * 1.000001


def test_gains_are_the_best_of_the_grid_for_one_layer() -> None:
    one = FloatLayer(np.array([[0.5, -0.3], [0.11, 0.07]]), None, 100.0, 200.0)
    readout = FloatLayer(np.array([[90.0, -30.0]]), None, 10.0, 10_000.0)
    (gain,) = choose_gains([one, readout])
    assert gain <= largest_gain(one)
    assert rounding_error(one.matrix, 64 * gain / INPUT_GAIN) < 1e-3


# The arithmetic


def test_changes_are_sent_and_what_is_rounded_off_is_lost() -> None:
    act = np.array([[64], [64], [100], [37], [0]])
    np.testing.assert_array_equal(encoded(act, 0).ravel(), [1, 0, 0, -1, -1])  # 36, -63 and -37 shifted by 6


def test_small_changes_wait_until_they_reach_the_threshold() -> None:
    unit = 1 << 12
    act = np.array([[unit - 64], [unit], [3 * unit // 2], [2 * unit], [unit]])
    np.testing.assert_array_equal(encoded(act, 1).ravel(), [0, 64, 0, 64, -64])


def two_layers(bias: Any = (0, 3)) -> NetxNetwork:
    """Two inputs, two hidden neurons, and a sum."""
    hidden = NetxDense(shape=(2,), weight=np.array([[2, -1], [-1, 1]]), bias=bias, neuron=SigmaDelta(vth=0))
    out = NetxDense(shape=(1,), weight=np.array([[1, 2]]), neuron=SigmaDelta(vth=0, sums=True))
    return NetxNetwork(layers=(NetxInput(shape=(2,), neuron=SigmaDelta(vth=0)), hidden, out))


def test_one_layer_by_hand() -> None:
    found = simulate(two_layers(), np.array([[10, 5], [0, 7]], np.uint8))
    # Hidden sums of messages: (0, 192), (15, 192 - 5), (0, 192 + 7), (0, 192); the bias is there before the image.
    np.testing.assert_array_equal(found.sent.ravel(), [0, 2 * 192, 15 + 2 * 187, 2 * 199])
    np.testing.assert_array_equal(found.answers.ravel(), [15 + 2 * 187, 2 * 199])
    np.testing.assert_array_equal(found.events["input"], [2, 2, 1, 0])
    np.testing.assert_array_equal(found.events["1"], [1, 2, 2, 1])
    assert found.events_per_input == 2.5  # without what turning off the last image causes


def test_an_image_may_be_shown_longer() -> None:
    net = requantized(small_net()).network
    x = images_for(small_net())
    once, thrice = simulate(net, x), simulate(net, x, 3)
    np.testing.assert_array_equal(once.answers, thrice.answers)
    assert thrice.sent.shape == (3 * len(x) + 2, 3)


def test_the_last_layer_may_send_changes_instead_of_sums() -> None:
    """Whose running sum is the same, if nothing is rounded off."""
    net, x = two_layers(bias=None), np.array([[10, 5], [0, 7], [300, -20]])
    last = net.layers[-1].replace(neuron=SigmaDelta(vth=0), weight=np.array([[64, 128]]))
    found = simulate(net.replace(layers=(*net.layers[:-1], last)), x)
    np.testing.assert_array_equal(np.cumsum(found.sent), np.maximum(simulate(net, x).sent.ravel(), 0))
    assert list(found.events) == ["input", "1", "2"]


def test_small_changes_of_the_input_wait_too() -> None:
    net, x = two_layers(), np.array([[10, 5], [11, 9], [13, 9]])
    waiting = net.replace(layers=(net.layers[0].replace(neuron=SigmaDelta(vth=3)), *net.layers[1:]))
    held = np.array([[10, 5], [10, 9], [13, 9]])
    np.testing.assert_array_equal(simulate(waiting, x).sent[:4], simulate(net, held).sent[:4])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neuron": Cuba(vth=1, current_decay=0, voltage_decay=0)}, r"layer 1 \(dense\): expected Sigma-Delta neurons"),
        ({"delay": np.array(2)}, r"layer 1 \(dense\): .*without delays; other networks only run on Lava"),
    ],
)
def test_what_only_lava_can_run(change: dict[str, Any], message: str) -> None:
    net = two_layers()
    with pytest.raises(la.NetworkError, match=message):
        simulate(net.replace(layers=(net.layers[0], net.layers[1].replace(**change), net.layers[2])), [[1, 2]])


def test_without_neurons_in_the_input_only_lava_can_run_it() -> None:
    net = two_layers()
    with pytest.raises(la.NetworkError, match=r"layer 1 \(dense\): .* neurons, the input's among them"):
        simulate(net.replace(layers=(net.layers[0].replace(neuron=None), *net.layers[1:])), [[1, 1]])


def test_exports_take_pixels() -> None:
    net = requantized(small_net()).network
    for wrong, message in (
        (np.full((1, 6), 256), "inputs: expected 0 to 255, found 256 to 256"),
        (np.full((1, 6), 0.5), "inputs: expected whole numbers; give pixels from 0 to 255"),
        (np.zeros((0, 6)), r"inputs: expected shape \(N, 6\), N at least 1, or \(6,\), found \(0, 6\)"),
    ):
        with pytest.raises(la.InputError, match=message):
            simulate(net, wrong)


# Whole networks


@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.parametrize("net", [small_net(), map_net(), map_net(stride=(2, 1))], ids=["dense", "maps", "stride"])
def test_the_readout_is_ours_but_for_rounding(net: Network, measured: bool) -> None:
    x = images_for(net, 40)
    made = requantized(net, x if measured else None)
    expected = exact(net, x)
    tolerance = 0.03 if measured else 0.05  # the worst case leaves fewer bits to the weights
    assert np.abs(answers(made, x) - expected).max() < tolerance * np.abs(expected).max()


def test_thresholds_of_each_channel_divide_each_channel() -> None:
    net = small_net()
    vth = np.array([300, 600, 900, 150])
    one = net.layers[0].replace(neuron=AugmentedNeuron(vth=vth))
    net = Network(input_shape=(6,), layers=(one, net.layers[1]))
    x = images_for(net, 10)
    made = requantized(net, x)
    np.testing.assert_allclose(answers(made, x[:1]), exact(net, x)[:1], atol=0.03 * np.abs(exact(net, x)).max())


def test_a_bias_of_the_readout_becomes_a_constant() -> None:
    net = map_net()
    made = requantized(net)
    layers = by_name(made)
    assert layers["fc"].shape == (6,)
    assert not layers["fc"].weight[5].any()
    assert layers["fc"].bias is not None
    constant = 64 * int(layers["fc"].bias[5])
    found = layers["out"].weight[:, 5].astype(int) * constant / made.layers[-1].gain
    np.testing.assert_allclose(found, [300, -20_000, 0, 9000], atol=20_000 / 127)
    assert layers["out"].bias is None


def test_a_constant_passes_pooling_into_the_readout() -> None:
    first = map_net()
    pool = first["pool"].connections[0].synapse
    features = int(np.prod(first.shapes["pool"]))
    out = layer("out", "pool", Dense(weight=weights(4, features, seed=2)), bias=[4000, -90_000, 0, 9000])
    net = Network(input_shape=first.input_shape, layers=(*first.layers[:2], out))
    x = images_for(net, 20)
    made = requantized(net, x)
    layers = by_name(made)
    assert [found.shape[0] for found in layers.values()] == [4, 4, 4]
    assert layers["pool"].synapse.groups == 4
    assert isinstance(pool, SumPool)
    np.testing.assert_allclose(answers(made, x), exact(net, x), atol=0.03 * np.abs(exact(net, x)).max())


@pytest.fixture(scope="module")
def digits() -> tuple[Network, np.ndarray, np.ndarray]:
    """The converted digits network, test images and labels."""
    data = load_digits()
    net = la.convert(train(data), data.train_images, "augmapping")
    return net, data.test_images, data.test_labels


def test_digits_are_classified_as_by_our_network(digits: tuple[Network, np.ndarray, np.ndarray]) -> None:
    net, x, y = digits
    own = la.simulate(net, x[:200])
    found = simulate(requantized(net).network, x[:200])
    assert np.sum(found.predictions != own.predictions[-1]) <= 2
    assert np.mean(found.predictions == y[:200]) >= 0.98


def test_a_threshold_saves_messages(digits: tuple[Network, np.ndarray, np.ndarray]) -> None:
    net, x, y = digits
    made = requantized(net, threshold=0.02)
    all_sent, found = simulate(requantized(net).network, x[:100]), simulate(made.network, x[:100])
    assert made.layers[0].threshold == round(0.02 * made.layers[0].largest_message / 64)
    assert found.events_per_input < 0.9 * all_sent.events_per_input
    assert np.mean(found.predictions == y[:100]) >= 0.95


# The file


def contents(path: Path) -> dict[str, Any]:
    """All datasets of a file by name."""
    found: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def test_the_file_has_the_layout_of_lava_dls_pilotnet(tmp_path: Path) -> None:
    made = la.netx.export(map_net(stride=(2, 1)), tmp_path / "out.net", threshold=0.01)
    found = contents(tmp_path / "out.net")
    assert [found[f"layer/{i}/type"][0] for i in range(6)] == [
        b"input",
        b"conv",
        b"conv",
        b"flatten",
        b"dense",
        b"dense",
    ]
    assert all(found[f"layer/{i}/type"].dtype == "S10" for i in range(6))
    assert found["layer/0/shape"].tolist() == [2, 6, 5]
    assert found["layer/0/neuron/vThMant"] == 0
    assert {found[f"layer/{i}/neuron/type"] for i in (0, 1, 2, 4, 5)} == {b"SDNN"}
    assert found["layer/3/shape"].tolist() == [6, 1, 1]
    assert found["layer/1/bias"].dtype == np.float32
    for index, layer_ in zip((1, 2, 4, 5), by_name(made).values(), strict=True):
        weight = found[f"layer/{index}/weight"]
        assert weight.dtype == np.float32
        np.testing.assert_array_equal(weight, layer_.weight)
        assert layer_.neuron is not None
        assert found[f"layer/{index}/neuron/vThMant"] == layer_.neuron.vth
        assert found[f"layer/{index}/shape"].tolist() == list(layer_.shape)
        assert (f"layer/{index}/bias" in found) == (layer_.bias is not None)
    assert found["layer/1/stride"].tolist() == [2, 1]
    assert found["layer/1/padding"].tolist() == [1, 0]
    assert found["layer/1/kernelSize"].tolist() == [3, 2]
    assert (found["layer/2/groups"], found["layer/2/inChannels"], found["layer/2/outChannels"]) == (3, 3, 3)
    assert (found["layer/4/inFeatures"], found["layer/4/outFeatures"]) == (6, 6)
    assert [name for name in found if name.endswith("sigma_output")] == ["layer/5/neuron/sigma_output"]
    assert "layer/5/bias" not in found
    bias = by_name(made)["conv"].bias
    assert bias is not None
    np.testing.assert_array_equal(found["layer/1/bias"], bias)


@pytest.mark.parametrize("threshold", [0.0, 0.02])
@pytest.mark.parametrize("net", [small_net(), map_net(), map_net(stride=(2, 1))], ids=["dense", "maps", "stride"])
def test_what_is_written_is_read(net: Network, threshold: float, tmp_path: Path) -> None:
    made = la.netx.export(net, tmp_path / "out.net", threshold=threshold)
    assert load(tmp_path / "out.net") == la.read_network(tmp_path / "out.net") == made.network
    x = images_for(net, 3)
    np.testing.assert_array_equal(simulate(tmp_path / "out.net", x).sent, simulate(made.network, x).sent)


def test_the_value_of_the_constant_channel_is_checked(tmp_path: Path) -> None:
    requantized(small_net()).network.replace(constant=True).write(tmp_path / "out.net")
    assert load(tmp_path / "out.net").given_shape == (5,)
    with h5py.File(tmp_path / "out.net", "r+") as file:
        file.attrs["constant_channel"] = 1
    with pytest.raises(la.FileError, match="attribute 'constant_channel' is 1, expected 255"):
        load(tmp_path / "out.net")


def test_our_reader_says_that_it_is_another_format(tmp_path: Path) -> None:
    la.netx.export(small_net(), tmp_path / "out.net")
    with pytest.raises(la.FileError, match="attribute 'format' is 'netx-sdnn', expected 'lava-aug'"):
        la.load(tmp_path / "out.net")


def test_weights_that_netx_would_lose_are_avoided() -> None:
    hidden = layer("hidden", INPUT, dense([[-64, -64], [-64, -64]]), AugmentedNeuron(vth=64), bias=[20_000, 9000])
    net = Network(input_shape=(2,), layers=(hidden, layer("out", "hidden", dense([[-64, -32], [-32, -64]]))))
    x = images_for(net, 3)
    made = requantized(net, x)
    assert all(is_kept(found.weight) for found in by_name(made).values())
    np.testing.assert_allclose(answers(made, x), exact(net, x), rtol=0.03)


def test_nothing_is_written_where_nothing_can_be(tmp_path: Path) -> None:
    with pytest.raises(la.FileError, match="cannot write"):
        la.netx.export(small_net(), tmp_path / "no" / "out.net")
    assert not list(tmp_path.iterdir())


# What is refused


def chain(*layers: Any, input_shape: tuple[int, ...] = (2, 4, 4)) -> Network:
    """Layers one after the other, and a readout."""
    made, source, shape = [], INPUT, input_shape
    for index, (synapse, neuron) in enumerate(layers):
        made.append(layer(f"layer{index}", source, synapse, neuron))
        shape = neuron.output_shape(synapse.output_shape(shape))
        source = made[-1].name
    out = Dense(weight=weights(3, int(np.prod(shape))))
    return Network(input_shape=input_shape, layers=(*made, layer("out", source, out)))


def conv(**options: Any) -> Conv:
    """Two channels to two."""
    return Conv(weight=weights(2, 2 // options.get("groups", 1), 3, 3), padding=(1, 1), **options)


def biased(net: Network, bias: Any) -> Network:
    """With a bias of the readout."""
    return Network(input_shape=net.input_shape, layers=(*net.layers[:-1], net.layers[-1].replace(bias=np.array(bias))))


AUG = AugmentedNeuron(vth=500)
OUT = Dense(weight=weights(2, 4))
SPREAD = np.arange(1, 33).reshape(2, 4, 4)

REFUSED: dict[str, tuple[Callable[[], Network], str]] = {
    "two connections": (lambda: skip_net({"c": ("a",)}), "layer 'c': it sums 2 connections"),
    "relays": (lambda: chain((Relay(), AUG)), "layer 'layer0': synapses of type 'relay' have no counterpart"),
    "max pooling": (
        lambda: chain((conv(), AUG), (conv(), MaxPoolNeuron(kernel_size=(2, 2)))),
        "layer 'layer1': neurons of type 'MAXPOOL' have no counterpart",
    ),
    "signed": (
        lambda: chain((conv(), AugmentedNeuron(vth=500, signed=True))),
        r"layer 'layer0': its neurons are signed \(a layer without ReLU\)",
    ),
    "bounded": (
        lambda: chain((conv(), AugmentedNeuron(vth=5, n_max=6))),
        "layer 'layer0': its neurons have an upper bound",
    ),
    "rows": (
        lambda: chain((Conv(weight=weights(2, 2, 1, 3)), AUG), input_shape=(2, 5)),
        r"layer 'layer0': it slides along rows \(2, 5\)",
    ),
    "last axis": (
        lambda: chain((Dense(weight=weights(3, 4)), AUG)),
        r"layer 'layer0': its matrix goes along the last axis of \(2, 4, 4\)",
    ),
    "weights of 0": (
        lambda: chain((Dense(weight=np.zeros((3, 32), int)), AUG)),
        "layer 'layer0': all of its weights are 0",
    ),
    "thresholds": (
        lambda: chain((conv(), AugmentedNeuron(vth=SPREAD))),
        "layer 'layer0': its threshold varies with the position",
    ),
    "a readout of maps": (
        lambda: Network(input_shape=(2, 4, 4), layers=(layer("out", INPUT, conv()),)),
        "layer 'out': the readout is not dense",
    ),
    "nothing before a bias": (
        lambda: biased(chain(), [1, 2, 3]),
        "layer 'out': it has a bias, which takes a layer with",
    ),
    "groups before a bias": (
        lambda: biased(chain((conv(groups=2), AUG)), [1, 2, 3]),
        "layer 'out': it has a bias, which takes a constant channel in 'layer0', a grouped one",
    ),
    "a branch": (
        lambda: Network(
            input_shape=(4,),
            layers=(
                layer("a", INPUT, Dense(weight=weights(4, 4)), AUG),
                layer("b", INPUT, Dense(weight=weights(4, 4)), AUG),
                layer(
                    "out",
                    "b",
                    Dense(weight=weights(2, 4)),
                    connections=[(n, Dense(weight=weights(2, 4))) for n in "ab"],
                ),
            ),
        ),
        "layer 'b': it takes spikes of 'input' instead of 'a'",
    ),
}
"""Networks that stock netx cannot hold, and how it is said."""


@pytest.mark.parametrize("what", list(REFUSED))
def test_what_netx_cannot_hold_is_refused_by_name(what: str, tmp_path: Path) -> None:
    net, message = REFUSED[what]
    with pytest.raises(la.NetworkError, match=message):
        la.netx.export(net(), tmp_path / "out.net")
    assert not list(tmp_path.iterdir())


def test_floating_point_is_refused(tmp_path: Path) -> None:
    floating = Network(
        input_shape=(4,),
        layers=(layer("out", INPUT, Dense(weight=np.ones((2, 4), np.float32)), ReadoutNeuron(floating=True)),),
    )
    with pytest.raises(la.NetworkError, match="computes in floating point; convert it with weight_bits=8"):
        la.netx.export(floating, tmp_path / "out.net")


@pytest.mark.parametrize("threshold", [-0.1, 1, True, "0.1"])
def test_thresholds_that_make_no_sense(threshold: Any, tmp_path: Path) -> None:
    with pytest.raises(la.InputError, match="threshold: expected a number from 0 to below 1, found"):
        la.netx.export(small_net(), tmp_path / "out.net", threshold=threshold)


# The command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with networks and images, in which the command runs."""
    la.save(small_net(), tmp_path / "small.net")
    la.save(skip_net({"c": ("a",)}), tmp_path / "skip.net")
    np.save(tmp_path / "images.npy", images_for(small_net()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_the_command_writes_and_reports(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--images", "images.npy", "--threshold", "0.01")
    assert run("export", "small.net", "--to", "netx-sdnn", "-o", "out.net", *options) == 0
    printed = capsys.readouterr().out
    made = requantized(small_net(), images_for(small_net()), 0.01)
    for text in (
        f"±{made.layers[0].largest_weight}",
        f"{made.layers[0].largest_message:,}",
        "Wrote out.net.",
        *made.notes,
    ):
        assert text in printed
    np.testing.assert_array_equal(contents(folder / "out.net")["layer/1/weight"], by_name(made)["hidden"].weight)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("small.net", "--to", "onnx"), "--to 'onnx': expected one of lava-aug, nir, netx-sdnn"),
        (("skip.net", "--to", "netx-sdnn"), "layer 'c': it sums 2 connections"),
        (("none.net", "--to", "netx-sdnn"), "'none.net': no such file"),
        (("small.net", "--to", "netx-sdnn", "--images", "none.npy"), "'none.npy': cannot be read"),
        (("small.net", "--to", "netx-sdnn", "--threshold", "1"), "threshold: expected a number from 0 to below 1"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: tuple[str, ...], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("export", *arguments, "-o", "out.net") == 2
    assert message in capsys.readouterr().err
    assert not (folder / "out.net").exists()
