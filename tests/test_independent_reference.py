"""The second implementation, which knows the documentation only, gives every bit that the simulator gives."""

import ast
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import independent
import numpy as np
import pytest
from examples import EXAMPLE_POPULATIONS, INTEGER_SYNAPSES, name_of, scale, weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from independent.layers import LAYERS
from independent.networks import Network as Independent
from independent.networks import payload
from independent.neurons import NEURONS
from nets import METHODS, SKIPS, images_for, layer, networks, payloads_for, skip_net, three_methods

import lava_aug as la
from lava_aug.core.layers import Conv, ConvTranspose, Dense, Relay, Scale, Shape, SumPool, Synapse
from lava_aug.core.network import INPUT, Head, Layer, Network
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, MaxPoolNeuron, Neuron, RateNeuron
from lava_aug.core.results import COUNTS

FOLDER = Path(independent.__file__).parent
PAGE = (FOLDER.parent.parent / "docs" / "file-format.md").read_text(encoding="utf-8")

KNOWN_SYNAPSES = [(synapse, shape) for synapse, shape in INTEGER_SYNAPSES if synapse.type_name in LAYERS]
KNOWN_POPULATIONS = [
    (neuron, shape) for neuron, shape in EXAMPLE_POPULATIONS if not neuron.is_float and neuron.type_name in NEURONS
]


def documented(kind: str) -> set[str]:
    """The types that the page has a section for."""
    return set(re.findall(rf"^### {kind} (\w+)$", PAGE, re.MULTILINE))


def test_it_knows_every_type_that_is_documented_and_runs_it() -> None:
    assert set(LAYERS) == documented("Layer"), "enter what is missing in tests/independent/layers.py"
    assert set(NEURONS) == documented("Neuron"), "enter what is missing in tests/independent/neurons.py"
    assert {synapse.type_name for synapse, _ in KNOWN_SYNAPSES} == set(LAYERS)
    assert {neuron.type_name for neuron, _ in KNOWN_POPULATIONS} == set(NEURONS)


def test_it_imports_nothing_of_ours_and_no_numpy() -> None:
    found: set[str] = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {name.partition(".")[0] for name in names}
    assert found == {"collections", "copy", "h5py", "independent", "itertools", "math", "os", "typing"}


def flat(values: np.ndarray, image: int) -> list[list[Any]]:
    """Of one image, by time step."""
    return values[:, image].reshape(len(values), -1).tolist()


def agree(path: Path, images: np.ndarray, num_steps: int | None = None, presentation: Any = "constant") -> la.Output:
    """The simulator's output for a file, after checking that the reference has the same in everything."""
    found = la.simulate(la.load(path), images, num_steps, record=True, presentation=presentation)
    net = Independent(path)
    for image, pixels in enumerate(images):
        run = net.run(pixels.ravel().tolist(), num_steps, presentation)
        assert flat(found.v, image) == run.v
        assert flat(found.logits, image) == run.logits
        assert {name: flat(s, image) for name, s in found.spikes.items()} == run.spikes
        counts = {kind: {name: c[:, image].tolist() for name, c in getattr(found, kind).items()} for kind in COUNTS}
        assert counts == run.counts
        for name, logits in found.heads.items():
            assert flat(logits, image) == [net.head_logits(each)[name] for each in run.logits]
    shapes = {name: s.shape[2:] for name, s in found.spikes.items()}
    assert {**shapes, found.network.readout.name: found.v.shape[2:]} == net.shapes
    return found


def saved(net: Network, folder: Path) -> Path:
    """The network as a file."""
    la.save(net, folder / "a.net")
    return folder / "a.net"


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), num_steps=st.integers(1, 5))
@pytest.mark.parametrize("method", METHODS)
def test_random_networks(method: str, data: st.DataObject, num_steps: int, tmp_path: Path) -> None:
    net = data.draw(networks(method, every_type=True))
    agree(saved(net, tmp_path), data.draw(payloads_for(net)), num_steps)


@pytest.mark.parametrize(("synapse", "shape"), KNOWN_SYNAPSES, ids=name_of)
def test_every_synapse(synapse: Synapse, shape: Shape, tmp_path: Path) -> None:
    net = three_methods(synapse, shape)
    agree(saved(net, tmp_path), images_for(net, 2), 3)


def currents_of_both_signs(neuron: Neuron, shape: Shape, *behind: Layer) -> Network:
    """The neurons as the layer ``of``, fed by a layer whose spikes of -1, 0 and 1 differ from step to step."""
    ternary = DoubleThresholdNeuron(vth=200, vth_lo=-99, signed=True)
    signs, factors = Scale(weight=np.resize([1, -1], shape[0])), Scale(weight=np.resize([29, 18, -40, 7], shape[0]))
    layers = (layer("ternary", INPUT, signs, ternary), layer("of", "ternary", factors, neuron))
    return Network(input_shape=shape, layers=(*layers, *behind))


@pytest.mark.parametrize(("neuron", "shape"), KNOWN_POPULATIONS, ids=name_of)
def test_every_neuron(neuron: Neuron, shape: Shape, tmp_path: Path) -> None:
    outputs = int(np.prod(neuron.output_shape(shape)))
    behind = [layer("out", "of", Dense(weight=weights(3, outputs)))] if neuron.fires else []
    net = currents_of_both_signs(neuron, shape, *behind)
    agree(saved(net, tmp_path), images_for(net, 3), 6)


@pytest.mark.parametrize("seed", range(8))
def test_saturation_at_both_ends_and_caps(seed: int, tmp_path: Path) -> None:
    """Currents beyond 24 bits, of a layer whose payloads are too narrow for it."""
    hidden = AugmentedNeuron(
        vth=np.array([2**15, 3, 2**22, 1]).reshape(4, 1),
        vth_lo=-(2**12),
        n_max=None if seed < 4 else 20,
        signed=seed % 2 == 0,
        message_bits=6,
    )
    bias, kernel = np.array([-(2**23), 2**22, 0, 9]), weights(4, 3, 1, 1, largest=2**15, seed=seed)
    pool = MaxPoolNeuron(kernel_size=(2, 1), stride=(1, 1), message_bits=5)
    layers = (
        layer("hidden", INPUT, Conv(weight=kernel), hidden, bias=bias.reshape(4, 1)),
        layer("pool", "hidden", scale([2**18, -(2**18), 2**10, 1]), pool),
        layer("out", "pool", Dense(weight=weights(3, 6, largest=2**15, seed=seed))),
    )
    net = Network(input_shape=(3, 2), layers=layers)
    found = agree(saved(net, tmp_path), images_for(net, 3), 9)
    assert found.saturated["hidden"].any()
    assert found.saturated["pool"].any()
    assert found.capped["pool"].any()


@pytest.mark.parametrize("name", SKIPS)
def test_paths_of_different_length(name: str, tmp_path: Path) -> None:
    net = skip_net(SKIPS[name])
    agree(saved(net, tmp_path), images_for(net, 2), 3)


@pytest.mark.parametrize("presentation", ["constant", "first"])
@pytest.mark.parametrize("num_steps", [None, 3])
def test_presentations_and_heads(num_steps: int | None, presentation: str, tmp_path: Path) -> None:
    net = skip_net(SKIPS["all"]).replace(num_steps=2, heads=(Head("a", (1,)), Head("b", (2, 1))))
    readout = net.readout.replace(quantum=0.3)
    path = saved(net.replace(layers=(*net.layers[:-1], readout)), tmp_path)
    assert agree(path, images_for(net, 2), num_steps, presentation).num_steps == (num_steps or 2)


def test_more_layers_than_digits(tmp_path: Path) -> None:
    """Group 10 comes after group 9, and inputs belong to the synapses of their number."""
    names = [INPUT, *(f"{k}" for k in range(12))]
    chain = [layer(name, before, scale([k, 1]), PASS) for k, (before, name) in enumerate(pairwise(names), 1)]
    behind = tuple((name, scale([k + 1, -k])) for k, name in enumerate([*names, INPUT, *names[3:]]))
    net = Network(input_shape=(2,), layers=(*chain, layer("out", INPUT, Relay(), connections=behind)))
    agree(saved(net, tmp_path), np.array([[3, 5], [0, 255]], np.uint8), 2)


# By hand, in one step: what a reader could take otherwise

PASS = AugmentedNeuron(vth=1, v0=0, signed=True, message_bits=24)
"""Sends what arrives."""


def sent(path: Path, image: list[Any], name: str) -> list[Any]:
    """What a layer sends of an image in the first step, from simulator and reference alike; the readout its ``v``."""
    found = agree(path, np.array([image], np.uint8), 1)
    return found.spikes.get(name, found.v)[0, 0].tolist()


def test_dense_layers_along_the_last_axis(tmp_path: Path) -> None:
    weight = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    path = saved(Network(input_shape=(2, 3), layers=(layer("out", INPUT, Dense(weight=weight)),)), tmp_path)
    assert sent(path, [[1, 2, 3], [4, 5, 6]], "out") == [[1, 2, 3, 6], [4, 5, 6, 15]]
    # every weight is a synapse, zero or not
    assert la.simulate(la.load(path), np.ones((1, 2, 3), np.uint8), 1).synops["out"].tolist() == [[24]]


def test_dense_layers_that_could_be_read_in_both_ways_take_all_elements(tmp_path: Path) -> None:
    weight = np.array([[1, 0, 0], [1, 1, 1]])
    path = saved(Network(input_shape=(1, 1, 3), layers=(layer("out", INPUT, Dense(weight=weight)),)), tmp_path)
    assert sent(path, [[[1, 2, 3]]], "out") == [1, 6]


def test_dense_layers_take_maps_in_c_order(tmp_path: Path) -> None:
    powers = 10 ** np.arange(6)[None]
    path = saved(Network(input_shape=(1, 2, 3), layers=(layer("out", INPUT, Dense(weight=powers)),)), tmp_path)
    assert sent(path, [[[1, 2, 3], [4, 5, 6]]], "out") == [654321]


def pooled(shape: Shape, sign: int, **options: Any) -> Network:
    """Max pooling of the images, or of them with the other sign."""
    return Network(
        input_shape=shape,
        layers=(
            layer("signed", INPUT, scale([sign] * shape[0]), PASS),
            layer("pool", "signed", Relay(), MaxPoolNeuron(**options)),
            layer("out", "pool", Relay()),
        ),
    )


@pytest.mark.parametrize(
    ("sign", "expected"),
    [(1, [[1, 3, 3], [21, 23, 23], [41, 43, 43]]), (-1, [[0, -1, -3], [-10, -11, -13], [-30, -31, -33]])],
)
def test_last_windows_of_max_pooling(sign: int, expected: list[Any], tmp_path: Path) -> None:
    """Of rows, they are at -1, 1, 3: the one at 5 would begin in the padding. Of columns, the one at 3 is there."""
    options = {"kernel_size": (2, 3), "stride": 2, "padding": 1, "ceil_mode": True}
    path = saved(pooled((1, 5, 4), sign, **options), tmp_path)
    image = [[[10 * row + column for column in range(4)] for row in range(5)]]
    assert sent(path, image, "pool") == [expected]


def test_max_pooling_takes_the_last_two_axes(tmp_path: Path) -> None:
    image = [[1, 2, 3, 4], [8, 7, 6, 5]]
    path = saved(pooled((2, 4), 1, kernel_size=(2, 2)), tmp_path)
    assert sent(path, image, "pool") == [[8, 6]]
    path = saved(pooled((2, 4), 1, kernel_size=(1, 2)), tmp_path)
    assert sent(path, image, "pool") == [[2, 4], [8, 6]]


def test_arrays_are_aligned_at_the_last_axis(tmp_path: Path) -> None:
    net = Network(input_shape=(2, 2), layers=(layer("out", INPUT, Relay(), bias=[10, 20]),))
    assert sent(saved(net, tmp_path), [[1, 2], [3, 4]], "out") == [[11, 22], [13, 24]]


def test_convolutions_of_rows_may_pad_in_height(tmp_path: Path) -> None:
    """Rows are maps of height 1; where the window is higher, all but one of its rows lie in the padding."""
    kernel = np.arange(1, 7).reshape(1, 1, 3, 2)
    net = Network(input_shape=(1, 3), layers=(layer("out", INPUT, Conv(weight=kernel, padding=(1, 0))),))
    assert sent(saved(net, tmp_path), [[1, 10, 100]], "out") == [[43, 430]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_images_in_floating_point(dtype: Any, tmp_path: Path) -> None:
    """Products with 255 that both number formats hold exactly, 127.5 among them."""
    intensities = np.arange(0, 1025, 8) / 1024
    net = Network(input_shape=(len(intensities),), layers=(layer("out", INPUT, Relay()),))
    found = la.simulate(net, intensities[None].astype(dtype), 1, record=True)
    assert found.spikes[INPUT][0, 0].tolist() == [payload(x) for x in intensities.tolist()]
    assert payload(0.5) == 128


# Files that leave out what has a default


def optional_names() -> dict[str, set[str]]:
    """By heading, the datasets that need not be there."""
    sections = re.findall(r"^### ((?:Layer|Neuron) \w+)$(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return {
        heading: {row.split("`")[1] for row in text.splitlines() if row.startswith("| `") and "| must be" not in row}
        for heading, text in sections
    }


def test_what_is_not_stored_has_its_default(tmp_path: Path) -> None:
    kernel = weights(2, 2, 2, 2, largest=5)
    layers = [
        layer("aug", INPUT, Conv(weight=kernel), AugmentedNeuron(vth=7)),
        layer("rate", "aug", scale([3, 2]), RateNeuron(vth=1500)),
        layer("ter", "rate", ConvTranspose(weight=kernel), DoubleThresholdNeuron(vth=2), bias=[-1]),
        layer("sums", "ter", SumPool(kernel_size=(1, 2)), AugmentedNeuron(vth=2), bias=[-1]),
        layer("max", "sums", scale([2, -1]), MaxPoolNeuron(kernel_size=(2, 1))),
        layer("out", "max", Dense(weight=weights(3, 2 * 2 * 3))),
    ]
    net = Network(input_shape=(2, 4, 4), layers=tuple(layers))
    path = saved(net, tmp_path)
    gone: set[str] = set()
    with h5py.File(path, "r+") as file:
        entries: Any = file["layer"]
        for group in [entry for entry in entries.values() if "neuron" in entry]:
            for kind, part in (("Layer", group), ("Neuron", group["neuron"])):
                for name in optional_names()[f"{kind} {part['type'][0].decode()}"] & set(part):
                    del part[name]
                    gone.add(name)
    assert gone == {
        "stride", "padding", "dilation", "groups", "outputPadding", "offset", "ceilMode",
        "v0", "vThLo", "signed", "payloadBits", "floating",
    }  # fmt: skip
    assert la.load(path) == net
    assert all(count.any() for count in agree(path, images_for(net, 2), 9).events.values())
    agree(path, images_for(net, 2), 9, "first")  # what the biases undo, down to v = -1
