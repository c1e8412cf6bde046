"""Normalised models: what the images are normalised with belongs to the network, wherever it goes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import run
from nets import layer
from test_nir import export, read_nodes
from torch import nn

import lava_aug as la
from lava_aug.core.constant_channel import with_constant_channel
from lava_aug.core.network import INPUT, Network
from lava_aug.core.normalization import normalization

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
IMAGES = np.random.default_rng(3).integers(0, 256, (24, 3, 12, 10), np.uint8)


def made(stride: Any = 1, kernel: Any = 3, padding: Any = 1, groups: int = 1) -> nn.Module:
    """A CNN whose first convolution is padded: behind normalised images, its bias differs from place to place."""
    torch.manual_seed(1)
    conv = nn.Conv2d(3, 6, kernel, stride, padding, groups=groups)
    features = nn.Sequential(conv, nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.Flatten())
    size = features(torch.zeros(1, 3, 12, 10)).shape[1]
    return nn.Sequential(*features, nn.Linear(size, 5)).eval()


def logits(model: nn.Module, images: np.ndarray = IMAGES) -> np.ndarray:
    """What the model gives for normalised images."""
    mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        return model((torch.tensor(images) / 255 - mean) / std).numpy()


LABELS = logits(made()).argmax(axis=1)
"""The model's own answers, which it is right on, always."""


@pytest.fixture(scope="module")
def net() -> Network:
    """The CNN, converted."""
    return la.convert(made(), IMAGES, resolution=1 / 32, normalize=(MEAN, STD))


def test_a_network_knows_it_and_so_does_its_file(net: Network, tmp_path: Path) -> None:
    assert net.normalize == normalization((MEAN, STD), 3)
    la.save(net, tmp_path / "n.net")
    assert la.load(tmp_path / "n.net") == net
    assert "normalised in the first layer: mean 0.5, 0.4, 0.3, standard deviation 0.2, 0.25, 0.3\n" in net.summary()
    np.testing.assert_allclose(net.to_dict()["normalize"]["std"], STD, rtol=1e-7)
    assert net.replace(normalize=None).to_dict()["normalize"] is None


def test_every_tool_normalises_for_the_model(net: Network) -> None:
    assert la.diagnose(net, made(), IMAGES).layers[-1].total < 0.03
    found = la.verify(net, IMAGES[:2], model=made(), lava=False)
    assert found.ok
    assert found.diagnosis is not None
    assert found.diagnosis.layers[-1].total < 0.05
    tuned = la.tune(made(), IMAGES, LABELS, num_steps=2, normalize=(MEAN, STD))
    assert tuned.ann_accuracy == 1.0
    assert tuned.best.accuracy == 1.0
    assert tuned.network.normalize == net.normalize


def test_the_commands_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("calibration.npz", images=IMAGES, labels=LABELS)
    model = f"{Path(__file__).stem}:made"
    common = ("-c", "calibration.npz", "-o", "n.net", "--mean", "0.5,0.4,0.3", "--std", "0.2,0.25,0.3")
    assert run("tune", model, *common, "-T", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["ann_accuracy"] == 1.0
    assert run("convert", model, *common, "-r", "0.03125") == 0
    capsys.readouterr()
    assert run("diagnose", "n.net", model, "--images", "calibration.npz", "--json") == 0
    assert json.loads(capsys.readouterr().out)["layers"][-1]["total"] < 0.03
    assert run("verify", "n.net", "--model", model, "--images", "calibration.npz", "--no-lava") == 0
    assert run("export", "n.net", "--to", "netx-sdnn", "-o", "s.net") == 0
    assert run("export", "n.net", "--to", "nir", "-o", "n.nir") == 0
    assert la.nir.load("n.nir") == la.load("n.net")


# A constant channel


def with_ones(images: np.ndarray) -> np.ndarray:
    """Images with the channel that the network then has."""
    return np.concatenate([images, np.ones_like(images[:, :1])], axis=1)


GEOMETRIES = [
    {},
    {"stride": 2},
    {"kernel": 5, "padding": 2},
    {"kernel": 7, "padding": 3, "stride": 2},
    {"kernel": (3, 5), "padding": (1, 2)},
    {"kernel": (3, 1), "padding": (1, 0), "stride": (1, 2)},
    {"groups": 3},
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("method", ["augmapping", "rate"])
def test_a_constant_channel_gives_the_same_spikes(geometry: dict[str, Any], method: Any) -> None:
    net = la.convert(made(**geometry), IMAGES, method, normalize=(MEAN, STD))
    found = with_constant_channel(net)
    assert found.input_shape == (4, 12, 10)
    assert found.layers[0].bias is not None
    assert found.layers[0].bias.shape == (6, 1, 1)
    assert net.layers[0].bias is not None
    assert net.layers[0].bias.shape != (6, 1, 1)
    one, other = la.simulate(net, IMAGES, record=True), la.simulate(found, with_ones(IMAGES), record=True)
    np.testing.assert_array_equal(one.v, other.v)
    for hidden in net.layers[:-1]:
        np.testing.assert_array_equal(one.spikes[hidden.name], other.spikes[hidden.name])


def test_networks_without_such_biases_stay_as_they_are() -> None:
    net = la.convert(made(padding=0), IMAGES, normalize=(MEAN, STD))
    assert with_constant_channel(net) is net


def test_other_layers_leave_the_constant_out() -> None:
    """The images go to a residual sum, a pool, a scale and a dense layer, too."""
    from lava_aug.core.layers import Conv, Dense, Relay, Scale, SumPool
    from lava_aug.core.neurons import AugmentedNeuron, ReadoutNeuron

    rng = np.random.default_rng(0)
    aug = AugmentedNeuron(vth=50, signed=True)
    bias = np.zeros((3, 6, 5), int)
    bias[:, 0] += 7
    bias[:, -1] -= 4
    conv = layer("conv", INPUT, Conv(weight=rng.integers(-9, 9, (3, 3, 3, 3)), padding=(1, 1)), aug, bias=bias)
    layers = (
        conv.replace(connections=(*conv.connections, (INPUT, Relay()), (INPUT, Scale(weight=np.array([2, -3, 4]))))),
        layer("pool", INPUT, SumPool(kernel_size=(2, 2), padding=(1, 1)), aug),
        layer("dense", INPUT, Dense(weight=rng.integers(-9, 9, (4, 90))), aug),
    )
    out = layer("out", "conv", Dense(weight=rng.integers(-9, 9, (2, 90))), ReadoutNeuron())
    more = (
        ("pool", Dense(weight=rng.integers(-9, 9, (2, 126)))),
        ("dense", Dense(weight=rng.integers(-9, 9, (2, 4)))),
    )
    net = Network(input_shape=(3, 6, 5), layers=(*layers, out.replace(connections=(*out.connections, *more))))
    images = rng.integers(0, 256, (5, 3, 6, 5), np.uint8)
    one, other = la.simulate(net, images), la.simulate(with_constant_channel(net), with_ones(images))
    np.testing.assert_array_equal(one.v, other.v)


def test_biases_that_no_convolution_makes_are_refused() -> None:
    net = la.convert(made(), IMAGES, normalize=(MEAN, STD))
    assert net.layers[0].bias is not None
    bias = np.array(np.broadcast_to(net.layers[0].bias, net.shapes["0"]))
    bias[0, 5, 5] += 1
    odd = net.replace(layers=(net.layers[0].replace(bias=bias), *net.layers[1:]))
    with pytest.raises(la.NetworkError, match="layer '0': its bias varies with the position, and no padded conv"):
        with_constant_channel(odd)
    with pytest.raises(la.NetworkError, match="layer '0': its bias varies with the position"):
        la.netx.export(odd, "never.net")


# Exports


def test_nir_says_it_without_our_metadata(tmp_path: Path) -> None:
    net = la.convert(made(), IMAGES, "rate", num_steps=8, v0="zero", normalize=(MEAN, STD))
    graph = export(net, tmp_path / "n.nir")
    assert la.nir.load(tmp_path / "n.nir") == net
    assert tuple(graph.nodes["input"].input_type["input"]) == (4, 12, 10)
    assert "the images have an additional last channel" in str(graph.metadata["lava_aug"]["lost"])
    read = read_nodes(graph)
    np.testing.assert_array_equal(la.simulate(read, with_ones(IMAGES), 8).v, la.simulate(net, IMAGES).v)


def test_sigma_delta_answers_as_the_model(net: Network, tmp_path: Path) -> None:
    written = la.netx.export(net, tmp_path / "s.net", images=IMAGES)
    assert written.network.constant
    assert written.network.input_shape == (4, 12, 10)
    assert any("additional last channel" in note and "255" in note for note in written.notes)
    found = np.concatenate([la.netx.simulate(written.network, image, 1).answers for image in IMAGES])
    wanted = logits(made())
    centred = [values - values.mean(axis=0) for values in (found, wanted)]
    assert np.corrcoef(*(values.ravel() for values in centred))[0, 1] > 0.99
    assert (found.argmax(axis=1) == LABELS).mean() >= 0.9


# What cannot be


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (0.5, 0.0, r"Normalization.std: expected positive numbers, found \[0.0\]"),
        ((0.5, np.nan), 1.0, "Normalization.mean: expected finite numbers"),
        (((0.5,),), 1.0, r"Normalization.mean: expected 1 dimensions, found shape \(1, 1\)"),
    ],
)
def test_numbers_that_cannot_be(mean: Any, std: Any, message: str) -> None:
    with pytest.raises(la.SpecError, match=message):
        normalization((mean, std), 2)


def test_a_network_refuses_what_does_not_fit(net: Network) -> None:
    with pytest.raises(la.NetworkError, match=r"normalize: Normalization\.mean: expected one number or 3, found 2"):
        net.replace(normalize=normalization(((0.1, 0.2), 1.0), 2))
    with pytest.raises(la.NetworkError, match=r"normalize: expected a Normalization, found \(0.5, 0.5\)"):
        net.replace(normalize=(0.5, 0.5))  # pyright: ignore[reportArgumentType]
