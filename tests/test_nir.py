"""NIR: every network comes back, the nodes compute what the layers do, and another tool fires the same spikes."""

import contextlib
import math
import re
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
import torch
from command_line import run
from examples import EXAMPLE_POPULATIONS, EXAMPLE_SYNAPSES, name_of, weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nets import METHODS, SKIPS, images_for, layer, networks, skip_net, small_net
from torch.nn import functional as F

import lava_aug as la
from lava_aug.core.errors import ExportError, ExportWarning, FileError
from lava_aug.core.layers import Conv, Dense, Relay, Shape, Synapse
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import (
    AugmentedNeuron,
    DoubleThresholdNeuron,
    MaxPoolNeuron,
    Neuron,
    RateNeuron,
    ReadoutNeuron,
)
from lava_aug.nir import nodes as nir_nodes
from lava_aug.nir.files import losses
from lava_aug.nir.nodes import FIRING, Node, graph_of, threshold


def export(net: Network, path: Path | None = None) -> nir.NIRGraph:
    """`nir.export`, whose warning every network gets."""
    with pytest.warns(ExportWarning, match="lost in readers that ignore the metadata"):
        return la.nir.export(net, path)


def read_nodes(graph: Any, **options: Any) -> Network:
    """`nir.load` of a graph without our metadata, or as if it had none."""
    with pytest.warns(ExportWarning, match="one unit of input payload represents"):
        return la.nir.load(graph, metadata=False, **options)


def one_layer(synapse: Synapse, shape: Shape, neuron: Neuron | None = None, **options: Any) -> Network:
    """A synapse, a neuron and a readout."""
    is_float = bool(synapse.is_float if neuron is None else neuron.is_float)
    found = neuron or RateNeuron(vth=5.0 if is_float else 5, v0=0)
    size = math.prod(found.output_shape(synapse.output_shape(shape)))
    behind = Dense(weight=weights(2, size) / 2 if is_float else weights(2, size))
    first = layer("a", INPUT, synapse, found, **options)
    return Network(input_shape=shape, layers=(first, layer("out", "a", behind, ReadoutNeuron(floating=is_float))))


# Back again


@pytest.mark.parametrize(("synapse", "shape"), EXAMPLE_SYNAPSES, ids=name_of)
def test_every_synapse_comes_back(synapse: Synapse, shape: Shape, tmp_path: Path) -> None:
    net = one_layer(synapse, shape)
    export(net, tmp_path / "a.nir")
    assert la.nir.load(tmp_path / "a.nir") == net


@pytest.mark.parametrize(("neuron", "shape"), EXAMPLE_POPULATIONS, ids=name_of)
def test_every_neuron_comes_back_or_is_named(neuron: Neuron, shape: Shape) -> None:
    if not neuron.fires:
        net = Network(input_shape=shape, layers=(layer("out", INPUT, Relay(), neuron),))
    else:
        net = one_layer(Relay(), shape, neuron)
    if neuron.fires and type(neuron) not in FIRING:
        instead = "average pooling" if isinstance(neuron, MaxPoolNeuron) else ""
        with pytest.raises(ExportError, match=f"layer 'a': NIR has no node for {neuron.type_name} neurons.*{instead}"):
            la.nir.export(net)
    else:
        assert la.nir.load(export(net)) == net


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(METHODS).flatmap(lambda method: networks(method)))
def test_any_network_comes_back(net: Network) -> None:
    assert la.nir.load(export(net)) == net


def test_heads_and_names_come_back() -> None:
    names = ["output", "input.", "a/b", ".", "é"]
    layers, source = [], INPUT
    for name in names:
        layers.append(layer(name, source, Dense(weight=weights(4, 4)), AugmentedNeuron(vth=9, n_max=3)))
        source = name
    layers.append(layer("out", source, Dense(weight=weights(5, 4)), note="folded"))
    net = Network(input_shape=(4,), layers=tuple(layers), heads=(("x", (2,)), ("y", (3, 1))), num_steps=7)  # pyright: ignore[reportArgumentType]
    graph = export(net)
    assert la.nir.load(graph) == net
    assert "the output is several tensors, one after the other" in losses(net)
    assert all(re.fullmatch(r"\w+", name, re.ASCII) for name in graph.nodes)


def test_nir_itself_reads_and_writes_the_file_without_loss(tmp_path: Path) -> None:
    net = skip_net(SKIPS["all"])
    export(net, tmp_path / "a.nir")
    nir.write(tmp_path / "b.nir", nir.read(tmp_path / "a.nir"))
    assert la.nir.load(tmp_path / "b.nir") == net
    metadata: Any = nir.read(tmp_path / "b.nir").metadata["lava_aug"]
    assert metadata["layer"]["1"]["weight"].dtype == np.int8
    assert [text.decode() for text in metadata["lost"]] == losses(net)


# What the nodes compute


def run_node(node: Node, x: torch.Tensor) -> torch.Tensor:
    """A linear node in torch, for a batch."""
    fields = {
        name: torch.tensor(found) if isinstance(found, np.ndarray) else found for name, found in node.fields.items()
    }
    if node.kind in ("Linear", "Affine"):
        return F.linear(x, fields["weight"].double(), fields["bias"].double() if "bias" in fields else None)
    if node.kind == "Flatten":
        return x.flatten(1)
    if node.kind == "SumPool2d":
        size, stride = (tuple(fields[name].tolist()) for name in ("kernel_size", "stride"))
        return F.avg_pool2d(x, size, stride, divisor_override=1)
    convolve: Any = {"Conv1d": F.conv1d, "Conv2d": F.conv2d}[node.kind]
    options = {name: fields[name] for name in ("stride", "padding", "dilation", "groups")}
    return convolve(x, fields["weight"].double(), fields["bias"].double(), **options)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(("synapse", "shape"), EXAMPLE_SYNAPSES, ids=name_of)
def test_the_nodes_add_up_what_the_synapse_does(synapse: Synapse, shape: Shape, with_bias: bool) -> None:
    out = synapse.output_shape(shape)
    bias = weights(*out, seed=4)[: out[0], ...][:, ..., :1] if len(out) > 1 else weights(*out, seed=4)
    graph = graph_of(one_layer(synapse, shape, bias=bias if with_bias else None))
    spikes = np.random.default_rng(0).integers(-3, 4, (2, *shape))
    x, name, following = torch.tensor(spikes).double(), "input", dict(graph.edges)
    while (name := following[name]) != "a":
        x = run_node(graph.nodes[name], x)
    expected = synapse.accumulate(spikes) + (bias if with_bias else 0)
    np.testing.assert_allclose(x.numpy().reshape(expected.shape), expected, rtol=1e-12)
    assert graph.nodes["a"].fields["v_threshold"].shape == tuple(x.shape[1:])


def test_bias_goes_where_nir_has_room_for_it() -> None:
    biased = one_layer(Relay(), (2, 3, 3), bias=np.array([4, -5]).reshape(2, 1, 1))
    node = graph_of(biased).nodes["a_weight"]
    assert (node.kind, node.fields["bias"].tolist()) == ("Conv2d", [4, -5])
    uneven = graph_of(one_layer(Relay(), (2, 3, 3), bias=np.arange(18).reshape(2, 3, 3)))
    assert uneven.nodes["a_weight"].kind == "Affine"
    assert uneven.nodes["a_weight"].fields["bias"].tolist() == list(range(18))
    assert uneven.nodes["a"].fields["v_threshold"].shape == (18,)


def test_a_source_passed_on_twice_is_no_double_edge() -> None:
    net = one_layer(Relay(), (3,))
    twice = net.layers[0].replace(connections=((INPUT, Relay()), (INPUT, Relay())))
    net = net.replace(layers=(twice, net.layers[1]))
    graph = graph_of(net)
    assert len(graph.edges) == len(set(graph.edges)) == 6
    assert la.nir.load(export(net)) == net


@pytest.mark.parametrize("vth", [1, 7, 32553, 2**16 - 1, 2**16, 2**22, 2**23 - 1])
def test_above_the_threshold_of_the_node_is_at_ours(vth: int) -> None:
    found = np.float32(threshold(vth))
    assert found == threshold(vth)  # float32 has room for it
    assert vth - 1 < found < vth
    assert not np.float32(vth - 1) > found
    assert np.float32(vth) > found


@pytest.mark.parametrize("skips", SKIPS)
def test_the_nodes_alone_fire_the_same_spikes(skips: str) -> None:
    """Read as a graph of another tool, with floats instead of integers, v from 0."""
    net = skip_net(SKIPS[skips], "rate")
    zero = [a.replace(neuron=a.neuron.replace(v0=0)) if a.neuron.fires else a for a in net]  # pyright: ignore[reportCallIssue]
    net = net.replace(layers=tuple(zero))
    found, images = read_nodes(export(net)), images_for(net)
    one, other = la.simulate(net, images, 12, record=True), la.simulate(found, images, 12, record=True)
    assert found.is_float
    assert sum(int(spikes.sum()) for name, spikes in one.spikes.items() if name != INPUT) > 100
    for name in "abcd":
        flat = other.spikes[name].reshape(one.spikes[name].shape)  # behind a matrix, maps are flattened
        np.testing.assert_array_equal(flat, one.spikes[name])
    np.testing.assert_array_equal(other.v, one.v)


def conv_net(**neuron: Any) -> Network:
    """Two convolutions and two dense layers, of rate neurons."""
    first, second = Conv(weight=weights(4, 1, 3, 3), padding=(1, 1)), Conv(weight=weights(6, 4, 4, 4), stride=(2, 2))
    bias = np.array([900, -700, 0, 5]).reshape(4, 1, 1)
    return Network(
        input_shape=(1, 8, 8),
        layers=(
            layer("conv1", INPUT, first, RateNeuron(vth=32553, **neuron), bias=bias),
            layer("conv2", "conv1", second, RateNeuron(vth=494, **neuron)),
            layer("fc1", "conv2", Dense(weight=weights(7, 54, seed=2)), RateNeuron(vth=301, **neuron), bias=weights(7)),
            layer("out", "fc1", Dense(weight=weights(3, 7)), bias=[1, -2, 3]),
        ),
        num_steps=16,
        method="rate",
    )


@pytest.mark.parametrize("neuron", [{"v0": 0}, {}], ids=["v0 zero", "v0 half"])
def test_snntorch_fires_the_same_spikes(neuron: dict[str, int], tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("snntorch")
    from nir_readers import differences, on_snntorch

    net, images = conv_net(**neuron), np.random.default_rng(1).integers(0, 256, (3, 1, 8, 8)).astype(np.uint8)
    export(net, tmp_path / "a.nir")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = on_snntorch(net, tmp_path / "a.nir", images, 16, adjusted=True)
    for name, there, here, different in differences(net, images, 16, found):
        assert different == 0, name
        assert there == here
        assert here > 50 or name == "out"


# What is said to be lost


def test_what_is_lost_is_named_by_layer() -> None:
    graded = AugmentedNeuron(vth=1, v0=0, signed=True)
    net = conv_net(v0=0)
    net = net.replace(
        layers=(
            net["conv1"],
            net["conv2"].replace(neuron=graded),
            net["fc1"].replace(neuron=DoubleThresholdNeuron(vth=5, n_max=2)),
            net["out"],
        )
    )
    assert losses(net) == [
        "reset by subtraction, which NIR leaves open (norse sets v to 0): conv1, conv2, fc1",
        "v starts from v0 instead of 0: fc1",
        "negative spikes at vth_lo: conv2, fc1",
        "n may become negative (signed): conv2",
        "graded spikes: several in one step: conv2",
        "n_max, the bound on the mean coefficient: fc1",
        "v stays within 24 bits",
        "the readout sums its input over the time steps",
    ]
    assert losses(conv_net(v0=0))[1:] == losses(net)[6:]


def test_windows_that_are_not_square_cannot_be_type_checked(tmp_path: Path) -> None:
    net = one_layer(Conv(weight=weights(2, 1, 3, 1)), (1, 5, 5))
    export(net, tmp_path / "a.nir")
    assert losses(net)[-1] == "nir assumes square windows: read it with nir.read(path, type_check=False)"
    with pytest.raises(ValueError, match="type mismatch"):
        nir.read(tmp_path / "a.nir")
    assert la.nir.load(nir.read(tmp_path / "a.nir", type_check=False)) == net


def test_large_matrices_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nir_nodes, "MAX_WEIGHTS", 100)
    with pytest.raises(ExportError, match="layer 'a': NIR tools have no node for it: relay would be a matrix of 324 "):
        graph_of(one_layer(Relay(), (2, 3, 3), bias=np.arange(18).reshape(2, 3, 3)))
    with pytest.raises(ExportError, match=r"layer 'a': .* its groups are a convolution of 144 weights, more than 100"):
        graph_of(one_layer(Conv(weight=weights(6, 2, 2, 2), groups=3), (6, 4, 4)))


# Graphs of other tools


def graph(*nodes: Any, check: bool = True) -> nir.NIRGraph:
    return nir.NIRGraph.from_list(*nodes, type_check=check)


def spiking(shape: Shape, vth: float, r: float = 1.0, **options: Any) -> nir.IF:
    return nir.IF(r=np.full(shape, r), v_threshold=np.full(shape, vth), **options)


def fired(currents: np.ndarray, vth: float, steps: int) -> np.ndarray:
    """Spikes of neurons with a constant current and soft reset, ``(steps, B, *shape)``."""
    v, spikes = np.zeros_like(currents), []
    for _ in range(steps):
        v = v + currents
        spikes.append((v >= vth).astype(int))
        v = v - spikes[-1] * vth
    return np.array(spikes)


MAPS = np.random.default_rng(5).integers(0, 9, (3, 2, 6, 6)).astype(np.uint8)
KERNEL, MATRIX = weights(3, 2, 3, 3) / 64, weights(5, 18) / 64


def _conv2d(padding: Any = (1, 1), **options: Any) -> nir.Conv2d:
    found = {"stride": (1, 1), "dilation": (1, 1), "groups": 1, "bias": np.array([0.5, -1, 2])}
    return nir.Conv2d(**{"input_shape": (6, 6), "weight": KERNEL, "padding": padding, **found, **options})


def _pool(kind: Any) -> Any:
    return kind(kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=np.array([0, 0]))


def _of_torch(*modules: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
    x = torch.tensor(MAPS).double()
    for module in modules:
        x = module(x)
    return x.numpy()


BIAS = torch.tensor([0.5, -1, 2]).double()
ROWS = nir.Input({"input": np.array([3, 7])})
INPUT_NODE = nir.Input({"input": np.array([2, 6, 6])})
INPUT_FLATTEN = nir.Flatten({"input": np.array([2, 6, 6])}, 0, -1)

FOREIGN: dict[str, tuple[list[Any], np.ndarray]] = {
    "convolution": ([_conv2d()], _of_torch(lambda x: F.conv2d(x, torch.tensor(KERNEL), BIAS, padding=1))),
    "same": ([_conv2d("same")], _of_torch(lambda x: F.conv2d(x, torch.tensor(KERNEL), BIAS, padding=1))),
    "valid": ([_conv2d("valid")], _of_torch(lambda x: F.conv2d(x, torch.tensor(KERNEL), BIAS))),
    "pooled": ([_pool(nir.SumPool2d)], _of_torch(lambda x: 4 * F.avg_pool2d(x, 2))),
    "averaged": ([_pool(nir.AvgPool2d)], _of_torch(lambda x: F.avg_pool2d(x, 2))),
    "averaged, convolved": (
        [_pool(nir.AvgPool2d), _conv2d(input_shape=(3, 3), bias=np.zeros(3))],
        _of_torch(lambda x: F.conv2d(F.avg_pool2d(x, 2), torch.tensor(KERNEL), padding=1)),
    ),
    "averaged, flattened": (
        [_pool(nir.AvgPool2d), nir.Flatten({"input": np.array([2, 3, 3])}, 0, -1), nir.Linear(MATRIX)],
        _of_torch(lambda x: F.avg_pool2d(x, 2).flatten(1) @ torch.tensor(MATRIX).T),
    ),
    "flattened": ([INPUT_FLATTEN], MAPS.reshape(3, -1).astype(float)),
    "pooled, flattened": (
        [_pool(nir.SumPool2d), nir.Flatten({"input": np.array([2, 3, 3])}, 0, -1)],
        _of_torch(lambda x: 4 * F.avg_pool2d(x, 2).flatten(1)),
    ),
    "scaled, flattened, scaled": (
        [nir.Scale(np.full((2, 6, 6), 0.5)), INPUT_FLATTEN, nir.Scale(np.arange(72.0))],
        MAPS.reshape(3, -1) / 2 * np.arange(72.0),
    ),
    "scaled": ([nir.Scale(np.full((2, 6, 6), 0.5))], MAPS / 2),
    "scaled unevenly": ([nir.Scale(np.arange(72.0).reshape(2, 6, 6))], MAPS * np.arange(72.0).reshape(2, 6, 6)),
    "bias through a scale": (
        [_conv2d(), nir.Scale(np.full((3, 6, 6), 2.0))],
        _of_torch(lambda x: 2 * F.conv2d(x, torch.tensor(KERNEL), BIAS, padding=1)),
    ),
}  # fmt: skip
"""Linear nodes on `MAPS`, and what they make of them."""


@pytest.mark.parametrize("case", FOREIGN)
def test_graphs_of_other_tools(case: str) -> None:
    nodes, currents = FOREIGN[case]
    shape = currents.shape[1:]
    found = read_nodes(graph(INPUT_NODE, *nodes, spiking(shape, 6.0, r=0.5)))
    out = la.simulate(found, MAPS, 9, record=True)
    (name,) = [name for name in out.spikes if name != INPUT]
    np.testing.assert_array_equal(out.spikes[name], fired(currents, 12.0, 9))
    np.testing.assert_array_equal(out.v[-1], fired(currents, 12.0, 9).sum(0))  # the readout counts


def test_rows_and_a_readout_that_integrates() -> None:
    kernel = weights(2, 3, 2) / 32
    conv = nir.Conv1d(input_shape=7, weight=kernel, stride=2, padding=1, dilation=1, groups=1, bias=np.array([1.0, 2]))
    found = read_nodes(
        graph(nir.Input({"input": np.array([3, 7])}), conv, nir.I(np.full((2, 4), 0.25))), input_unit=0.5
    )
    rows = np.random.default_rng(0).integers(0, 9, (4, 3, 7)).astype(np.uint8)
    expected = F.conv1d(torch.tensor(rows).double() / 2, torch.tensor(kernel), torch.tensor([1.0, 2]).double(), 2, 1)
    np.testing.assert_array_equal(la.simulate(found, rows, 3).v[-1], expected.numpy() * 0.75)


@pytest.mark.parametrize(("r", "dt"), [(1e4, 1e-4), (4.0, 0.25), (1.0, 1.0), (0.5, 4.0)])
def test_a_time_step_is_dt(r: float, dt: float) -> None:
    """v grows by r * dt of the input current in each step."""
    currents = MAPS.reshape(len(MAPS), -1).astype(float)
    flatten = nir.Flatten({"input": np.array(MAPS.shape[1:])}, 0, -1)
    matrix = nir.Linear(np.eye(currents.shape[1]))
    made = graph(INPUT_NODE, flatten, matrix, spiking(currents.shape[1:], 512.0, r=r))
    with pytest.warns(ExportWarning) as warned:
        found = la.nir.load(made, metadata=False, dt=dt)
    out = la.simulate(found, MAPS, 6)
    np.testing.assert_array_equal(out.v[-1], fired(currents * (r * dt), 512.0, 6).sum(0))
    said = f"with r = {r:g} and dt = {dt:g}; if the tool that wrote it has steps of 1 / r, give dt={1 / r:g}"
    assert (said in str(warned[0].message)) == (r * dt != 1)


@pytest.mark.parametrize("options", [{"dt": 0}, {"dt": -1e-4}, {"dt": "1"}, {"input_unit": float("nan")}])
def test_impossible_units(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(la.InputError, match=f"^{name}: expected a positive number, found"):
        la.nir.load("none.nir", **options)


def _lif() -> nir.LIF:
    one = np.ones(4)
    return nir.LIF(tau=one, r=one, v_leak=one * 0, v_threshold=one)


def _recurrent() -> nir.NIRGraph:
    nodes: Any = {
        "in": nir.Input({"input": np.array([4])}),
        "a": spiking((4,), 1.0),
        "w": nir.Linear(np.eye(4)),
        "out": nir.Output({"output": np.array([4])}),
    }
    return nir.NIRGraph(nodes, [("in", "a"), ("a", "w"), ("w", "a"), ("a", "out")], type_check=False)


REFUSED: dict[str, tuple[Callable[[], nir.NIRGraph], str]] = {
    "leaky": (lambda: graph(_lif()), r"node 'lif' \(LIF\): unknown here; known are \['Affine', .*'IF', 'Input'"),
    "cycle": (_recurrent, r"expected a graph without cycles, found one through \['a', 'w'\]"),
    "reset": (lambda: graph(spiking((4,), 1.0, v_reset=np.full(4, 0.5))), r"node 'if' \(IF\): expected v_reset 0"),
    "negative": (lambda: graph(spiking((4,), -1.0)), "v_threshold from -1"),
    "no number": (lambda: graph(spiking((4,), math.nan)), "v_threshold: expected finite numbers"),
    "padding": (lambda: graph(INPUT_NODE, _conv2d("same", stride=(2, 2)), check=False), "padding: expected numb"),
    "two convolutions": (
        lambda: graph(INPUT_NODE, _conv2d(), nir.Conv2d((6, 6), weights(3, 3, 3, 3) / 2, 1, 1, 1, 1, np.zeros(3))),
        r"node 'conv2d_1' \(Conv2d\): cannot be one with the conv in front of it; put an IF node between",
    ),
    "flattened convolution": (
        lambda: graph(INPUT_NODE, _conv2d(), nir.Flatten({"input": np.array([3, 6, 6])}, 0, -1), spiking((108,), 1.0)),
        r"node 'if' \(IF\): cannot take what conv and Flatten make; leave the Flatten out",
    ),
    "shapes": (lambda: graph(INPUT_NODE, nir.Linear(np.ones((2, 6))), check=False), "expected a matrix on one axis"),
    "integrator": (lambda: graph(nir.I(np.ones(4)), spiking((4,), 1.0)), "expected an integrator to go to the output"),
    "inner graph": (
        lambda: nir.NIRGraph({"g": graph(spiking((4,), 1.0))}, [], type_check=False),
        "nested graphs are not supported",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_counterpart_is_named(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(FileError, match=message):
        la.nir.load(make())


# Files that are wrong


def test_a_shape_that_claims_millions_of_dimensions(tmp_path: Path) -> None:
    foreign = graph(spiking((4,), 1.0))
    nir.write(tmp_path / "a.nir", foreign)
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        (name,) = [name for name in _names(file) if name.endswith("shape") and "input" in name]
        del file[name]
        file.create_dataset(name, shape=(1 << 24, 7), dtype="i1", chunks=(1 << 10, 7))
    tracemalloc.start()
    with pytest.raises(FileError, match=r"a shape of at most 8 dimensions, found int8 of shape \(117440512,\)"):
        la.nir.load(tmp_path / "a.nir")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 28  # 117 MB as bytes; as Python's integers they would be 940 MB and more


def _names(file: Any) -> list[str]:
    found: list[str] = []
    file.visit(found.append)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    export(small_net(), tmp_path / "a.nir")
    return tmp_path / "a.nir"


def _replaced(name: str, value: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file[name]
        if value is not None:
            file[name] = value

    return change


ALL = "node/metadata/lava_aug"
DAMAGE: dict[str, tuple[Callable[[Any], None], str]] = {
    "weight": (_replaced("node/nodes/hidden_weight/weight", np.ones((4, 6))), r"disagree: \['hidden_weight'\] changed"),
    "node": (
        _replaced("node/nodes/hidden/v_threshold", None),
        r"disagree: \['hidden'\] changed after",
    ),
    "edges": (_replaced("node/edges", np.array([[b"input", b"output"]])), r"disagree: \['edges'\] changed"),
    "no edges": (_replaced("node/edges", None), "file/node: 'edges' is missing"),
    "odd edges": (_replaced("node/edges", np.ones((2, 2))), "expected 'edges' to be pairs of names"),
    "stray edge": (_replaced("node/edges", np.array([[b"input", b"x"]])), "an edge names 'x', which is none of"),
    "type": (_replaced("node/type", "IF"), "expected type 'NIRGraph', found 'IF'"),
    "no type": (_replaced("node/nodes/hidden/type", None), "file/node/nodes/hidden: 'type' is missing"),
    "nothing": (_replaced("node", None), "file: 'node' is missing"),
    "version": (_replaced(f"{ALL}/metadata_version", 9), "unknown metadata version 9: this lava-aug reads version 1"),
    "format": (_replaced(f"{ALL}/format", "netx"), "not a lava-aug network: attribute 'format' is 'netx'"),
    "neuron": (_replaced(f"{ALL}/layer/1/neuron/vThMant", 0), "expected an integer from 1"),
    "link": (
        lambda file: _replaced(f"{ALL}/layer/1/weight", h5py.SoftLink("/node"))(file),
        "'weight' is a link, which is not followed",
    ),
    "claim": (
        lambda file: file.create_dataset("node/nodes/hidden/x", (2**28,), np.int8, chunks=(2**20,)),
        "claims 268,435,456 bytes; of this file at most 201,326,592 are read",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(case: str, path: Path) -> None:
    change, message = DAMAGE[case]
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(FileError, match=message) as caught:
        la.nir.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("metadata", [True, False])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=20))
def test_flipped_bytes_give_our_error_or_a_network(path: Path, metadata: bool, flips: list[tuple[float, int]]) -> None:
    data = bytearray(path.read_bytes())
    for position, value in flips:
        data[int(position * (len(data) - 1))] ^= value
    copy = path.with_name("flipped.nir")
    copy.write_bytes(data)
    with contextlib.suppress(FileError), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExportWarning)
        assert isinstance(la.nir.load(copy, metadata=metadata), Network)


def test_a_file_is_written_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def fail(target: Any, graph: Any) -> None:
        target.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(nir, "write", fail)
    with pytest.raises(FileError, match=r"cannot write .*disk full"):
        la.nir.export(conv_net(), path)
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == ["a.nir"]


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        la.nir.load(tmp_path / "none.nir")
    (tmp_path / "text.nir").write_text("no HDF5")
    with pytest.raises(FileError, match="damaged, or not an HDF5 file"):
        la.nir.load(tmp_path / "text.nir")


# On the command line


def test_export_writes_the_graph_and_says_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    la.save(small_net(), "small.net")
    assert run("export", "small.net", "--to", "nir", "-o", "small.nir") == 0
    printed = capsys.readouterr().out
    assert all(f"- lost in other readers: {loss}\n" in printed for loss in losses(small_net()))
    assert printed.endswith("Wrote small.nir.\n")
    assert la.nir.load("small.nir") == small_net()
    assert run("export", "small.net", "--to", "onnx", "-o", "small.onnx") == 2
    assert "--to 'onnx': expected one of lava-aug, nir, netx-sdnn" in capsys.readouterr().err
