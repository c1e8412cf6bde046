"""`verify`: networks of all kinds are equal everywhere, and what the result and the command say."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import run
from examples import EXAMPLE_POPULATIONS, INTEGER_SYNAPSES, name_of, weights
from faults import AT_THRESHOLD, IMAGES, ladder, late
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import METHODS, SKIPS, layer, networks, payloads_for, skip_net, small_net, three_methods
from test_heads import IMAGES as HEAD_IMAGES
from test_heads import converted

import lava_aug as la
from lava_aug.core.images import random_images
from lava_aug.core.layers import Dense, Relay, Shape, Synapse
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import Neuron
from lava_aug.core.results import Output
from lava_aug.examples.digits import DigitsNet, load_digits
from lava_aug.kernels import compiled
from lava_aug.lava import lava_import
from lava_aug.verification import verifying as verification
from lava_aug.verification.verifying import verify

INTEGER_POPULATIONS = [(neuron, shape) for neuron, shape in EXAMPLE_POPULATIONS if not neuron.is_float]

# Equal


def is_equal(net: Network, images: Any = None, num_steps: int = 4) -> bool:
    found = verify(net, images, num_steps, lava=False)
    return found.ok and [pair.equal for pair in found.pairs] == [True, True, False, False]


@pytest.mark.parametrize(("synapse", "shape"), INTEGER_SYNAPSES, ids=name_of)
def test_every_synapse(synapse: Synapse, shape: Shape) -> None:
    assert is_equal(three_methods(synapse, shape))


@pytest.mark.parametrize(("neuron", "shape"), [pair for pair in INTEGER_POPULATIONS if pair[0].fires], ids=name_of)
def test_every_neuron(neuron: Neuron, shape: Shape) -> None:
    hidden = layer("hidden", INPUT, Relay(), neuron)
    outputs = int(np.prod(neuron.output_shape(shape)))
    assert is_equal(
        Network(input_shape=shape, layers=(hidden, layer("out", "hidden", Dense(weight=weights(3, outputs)))))
    )


@pytest.mark.parametrize("name", SKIPS)
def test_paths_of_different_length(name: str) -> None:
    assert is_equal(skip_net(SKIPS[name]))


def test_several_heads() -> None:
    assert is_equal(converted(), HEAD_IMAGES[:3])


@settings(deadline=None, max_examples=15)
@given(st.data(), st.sampled_from(METHODS), st.integers(1, 5))
def test_random_networks(data: st.DataObject, method: str, num_steps: int) -> None:
    net = data.draw(networks(method))
    assert is_equal(net, data.draw(payloads_for(net)), num_steps)


def test_what_an_equal_network_says() -> None:
    found = verify(ladder(), IMAGES, 4, lava=False)
    # 4 steps of 2 images: 3 spikes of input, first, second; 3 readouts; events and sums of 3, the other counts of 3
    assert found.num_values == 4 * 2 * (3 * 3 + 3 + 2 * 3 + 3 * 3)
    assert str(found).splitlines() == [
        "2 images, 4 time steps, 216 values in each pair",
        "spec = simulator",
        "spec = file",
        "left out: Lava hierarchical, Lava fused: not asked for",
    ]
    assert found.groups == (("spec", "simulator", "file"),)
    assert found.to_dict()["ok"] is True
    assert [pair["equal"] for pair in found.to_dict()["pairs"]] == [True, True, False, False]


def test_without_lava_the_result_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise la.BackendError("there is no Lava here")

    monkeypatch.delitem(sys.modules, "lava_aug.lava.deploy", raising=False)
    monkeypatch.setattr(lava_import, "import_lava", missing)
    found = verify(small_net())
    assert not found.ok
    assert verify(small_net(), lava=False).ok
    assert str(found).splitlines()[-1] == "left out: Lava hierarchical, Lava fused: there is no Lava here"


def test_random_images_are_taken_by_default() -> None:
    assert verify(small_net(), lava=False).num_images == 6
    assert verify(small_net(), num_images=1, lava=False).num_images == 3


def test_progress_counts_runs() -> None:
    told: list[tuple[int, int]] = []
    verify(small_net(), lava=False, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


# The model


def test_the_distance_to_the_model() -> None:
    digits = load_digits()
    torch.manual_seed(0)
    model, images = DigitsNet(), digits.test_images[:3]
    net = la.convert(model, digits.train_images[:60])
    found = verify(net, images, model=model, lava=False)
    assert found.diagnosis == la.diagnose(net, model, images)
    assert found.ok
    assert str(found).endswith(str(found.diagnosis))
    assert found.to_dict()["diagnosis"]["layers"][0]["name"] == "conv1"
    with pytest.raises(la.InputError, match="diagnose: expected a network from convert, found method 'custom'"):
        verify(small_net(), model=model, lava=False)


# Wrong input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": np.zeros((1, 5))}, r"^images: expected shape \(B, 6\), found \(1, 5\)$"),
        ({"num_steps": 0}, "^num_steps: expected an integer from 1 to 65536, found 0$"),
        ({"num_images": -1}, "^num_images: expected an integer of at least 0, found -1$"),
        ({"seed": "x"}, "^seed: expected an integer of at least 0, found 'x'$"),
    ],
)
def test_wrong_input(options: dict[str, Any], message: str) -> None:
    with pytest.raises(la.InputError, match=message):
        verify(small_net(), **options)


def test_floating_point_networks_are_refused() -> None:
    torch.manual_seed(0)
    net = la.convert(DigitsNet(), load_digits().train_images[:30], weight_bits=None)
    with pytest.raises(la.InputError, match=r"^verify: expected a fixed-point network, found floating-point weights"):
        verify(net)


def test_random_images_hold_the_extremes() -> None:
    net = small_net()
    images = random_images(net, 3, seed=1)
    assert (images.shape, images.dtype) == ((5, 6), np.uint8)
    assert (images[3:] == [[0], [255]]).all()
    assert 100 < images[:3].mean() < 155
    assert np.array_equal(images, random_images(net, 3, seed=1))
    assert not np.array_equal(images, random_images(net, 3, seed=2))
    assert len(random_images(net, 0)) == 2


# The command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    la.save(ladder(), tmp_path / "ladder.net")
    np.save(tmp_path / "images.npy", IMAGES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def test_the_command_prints_the_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "ladder.net", "--no-lava", "--images", "images.npy", "-T", "4") == 0
    assert capsys.readouterr().out == f"{verify(ladder(), IMAGES, 4, lava=False)}\n"
    assert run("verify", "ladder.net", "--no-lava", "--images", "images.npy", "--num-images", "1") == 0
    assert capsys.readouterr().out.startswith("1 image, 4 time steps")
    assert run("verify", "ladder.net", "--no-lava", "--num-images", "2", "--seed", "7", "--json") == 0
    expected = verify(ladder(), num_images=2, seed=7, lava=False)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(expected.to_dict()))


def test_the_command_fails_if_something_differs(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled.CompiledPopulation, "step", late(compiled.CompiledPopulation.step))
    assert run("verify", "ladder.net", "--no-lava", "--images", "images.npy") == 1
    assert f"spec != simulator: {AT_THRESHOLD}\n" in capsys.readouterr().out
    assert run("verify", "ladder.net", "--no-lava", "--images", "images.npy", "--json") == 1
    assert json.loads(capsys.readouterr().out)["pairs"][0]["mismatch"]["before"]["v"] == 20


def test_the_command_shows_the_distance_to_the_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digits = load_digits()
    torch.manual_seed(0)
    model = DigitsNet()
    torch.save(model.state_dict(), "digits.pt")
    net = la.convert(model, digits.train_images[:60], normalize=(0.3, 0.5))
    la.save(net, "digits.net")
    options = ("--model", "lava_aug.examples.digits:DigitsNet", "-w", "digits.pt")
    assert run("verify", "digits.net", "--no-lava", "--num-images", "1", *options) == 0
    expected = la.diagnose(net, model, random_images(net, 1))
    assert str(expected) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.net",), "no such file"),
        (("ladder.net", "--images", "none.npy"), "cannot be read as .npy or .npz"),
        (("ladder.net", "-w", "digits.pt"), "--weights: expected the model that they belong to"),
        (("ladder.net", "--images", "images.npy", "--num-images", "0"), "--num-images: expected at least 1, found 0"),
        (("ladder.net", "--num-images", "-1"), "num_images: expected an integer of at least 0, found -1"),
        (("ladder.net", "--model", "lava_aug.examples.digits:DigitsNet"), "diagnose: expected a network from convert"),
        (("ladder.net", "-T", "0"), "num_steps: expected an integer from 1 to 65536"),
    ],
)
def test_the_command_refuses_wrong_input(
    arguments: tuple[str, ...], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", *arguments) == 2
    captured = capsys.readouterr()
    assert message in " ".join(captured.err.split())
    assert "Traceback" not in captured.err


def test_interrupted_runs_are_not_taken_for_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any) -> Output:
        raise la.RunInterruptedError("stop", None, 0) from KeyboardInterrupt()

    monkeypatch.setitem(verification.RUNS, "simulator", interrupted)
    with pytest.raises(la.RunInterruptedError, match="stop"):
        verify(small_net())
