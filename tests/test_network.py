"""`Network`: shapes, depths, counts, the summary's exact text, and every error by its message."""

from typing import Any

import numpy as np
import pytest
from examples import weights
from nets import layer

from lava_aug.core.errors import NetworkError, SpecError
from lava_aug.core.layers import Conv, Dense, Relay, SumPool
from lava_aug.core.network import INPUT, INPUT_LEVELS, Connection, Layer, Network
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, Neuron, RateNeuron, ReadoutNeuron

TOP = 2**23 - 1
BOTTOM = -(2**23)
AUGMENTED = AugmentedNeuron(vth=100)


def readout(source: str, inputs: int, **options: Any) -> Layer:
    """A readout of three neurons."""
    return layer("out", source, Dense(weight=weights(3, inputs)), **options)


def dense(name: str, source: str, out: int = 4, inputs: int = 6, neuron: Neuron = AUGMENTED) -> Layer:
    """A dense layer."""
    return layer(name, source, Dense(weight=weights(out, inputs)), neuron)


def network(*layers: Layer, input_shape: tuple[int, ...] = (6,), **options: Any) -> Network:
    return Network(input_shape=input_shape, layers=layers, **options)


def example() -> Network:
    """A convolution, a pooling, a residual sum and a readout, on a non-square image."""
    relay = AugmentedNeuron(vth=1, signed=True)
    return network(
        layer(
            "conv", INPUT, Conv(weight=weights(2, 1, 3, 3), padding=(1, 1)), AUGMENTED, bias=np.array([[[5]], [[-7]]])
        ),
        layer("pool", "conv", SumPool(kernel_size=(2, 2), stride=(2, 2)), relay),
        layer("inner", "pool", Conv(weight=weights(2, 2, 1, 1)), AugmentedNeuron(vth=1234567, n_max=6, v0=0)),
        layer("shortcut", "pool", Relay(), relay),
        Layer(
            name="sum",
            connections=(Connection("inner", Conv(weight=weights(2, 2, 1, 1))), Connection("shortcut", Relay())),
            neuron=AugmentedNeuron(vth=8, vth_lo=-8),
            quantum=0.25,
        ),
        layer("fc", "sum", Dense(weight=weights(3, 12))),
        input_shape=(1, 4, 6),
        num_steps=8,
        method="aug",
        resolution=0.125,
    )


SUMMARY = """\
aug, resolution 0.125, 8 time steps, fixed point, 24-bit state
input input: shape 1x4x6, graded spikes 0 .. 255
layer     type              neuron        shape  neurons      vth  weights  synapses  inputs
-----------------------------------------------------------------------------------------------------
conv      conv 3x3          AUGIF         2x4x6       48      100       18       320  input
pool      sum pool 2x2      AUGIF signed  2x2x3       12        1        0        48  conv
inner     conv 1x1          AUGIF         2x2x3       12  1234567        4        24  pool
shortcut  relay             AUGIF signed  2x2x3       12        1        0        12  pool
sum       conv 1x1 + relay  AUGIF         2x2x3       12        8        4        36  inner, shortcut
fc        dense 12 -> 3     READOUT       3            3        -       36        36  sum
total: 99 neurons, 62 weights, 476 synapses, depth 5
options: vth_lo -1 / -vth, v0 0 / vth/2, message_bits 16, n_max 6"""


def test_shapes_and_depths() -> None:
    net = example()
    assert net.shapes == {
        "input": (1, 4, 6),
        "conv": (2, 4, 6),
        "pool": (2, 2, 3),
        "inner": (2, 2, 3),
        "shortcut": (2, 2, 3),
        "sum": (2, 2, 3),
        "fc": (3,),
    }
    assert net.depths == {"input": 0, "conv": 1, "pool": 2, "inner": 3, "shortcut": 3, "sum": 4, "fc": 5}


def test_shorter_paths_are_delayed() -> None:
    identity = Dense(weight=np.eye(6, dtype=int))
    net = network(
        dense("a", INPUT, 6),
        Layer(name="b", connections=(("a", identity), (INPUT, Relay())), neuron=AUGMENTED, quantum=1.0),  # pyright: ignore[reportArgumentType]
        dense("c", "b", 6),
        dense("side", INPUT, 6),
        readout(
            "c", 6, connections=[("side", Relay()), (INPUT, identity), ("c", Relay()), ("a", Relay()), ("b", Relay())]
        ),
    )
    assert net.depths == {"input": 0, "a": 1, "b": 2, "c": 3, "side": 1, "out": 4}
    assert net.depth == 4
    assert [net.delays(found.name) for found in net] == [(0,), (0, 1), (0,), (0,), (2, 3, 0, 2, 1)]
    lines = net.summary().splitlines()
    assert lines[5].endswith("  a, input (delay 1)")
    assert lines[8].endswith("  side (delay 2), input (delay 3), c, a (delay 2), b (delay 1)")
    with pytest.raises(KeyError, match="no layer 'd'"):
        net.delays("d")


def test_synapses_and_weights_are_counted() -> None:
    net = example()
    # 3x3 windows on 4x6 with padding 1: (2 + 3 + 3 + 2) * (2 + 3 + 3 + 3 + 3 + 2) = 160, for two channels
    assert {found.name: net.num_synapses(found.name) for found in net} == {
        "conv": 320,
        "pool": 48,
        "inner": 24,
        "shortcut": 12,
        "sum": 36,
        "fc": 36,
    }
    assert [found.num_weights for found in net] == [18, 0, 4, 0, 4, 36]


def test_consumers() -> None:
    net = example()
    assert [found.name for found, _ in net.consumers(INPUT)] == ["conv"]
    assert [(found.name, synapse) for found, synapse in net.consumers("pool")] == [
        ("inner", net["inner"].connections[0].synapse),
        ("shortcut", Relay()),
    ]
    assert [(found.name, synapse) for found, synapse in net.consumers("shortcut")] == [("sum", Relay())]
    assert list(net.consumers("fc")) == []


def test_access() -> None:
    net = example()
    assert len(net) == 6
    assert [found.name for found in net] == ["conv", "pool", "inner", "shortcut", "sum", "fc"]
    assert net["sum"] is net.layers[4]
    assert net.readout is net.layers[-1]
    assert not net.is_float
    assert [net.coefficient_limit(name) for name in (INPUT, "conv", "fc")] == [INPUT_LEVELS, 32767, 0]
    with pytest.raises(KeyError) as caught:
        net["cnv"]
    assert caught.value.args == (
        "no layer 'cnv'; there are ['conv', 'pool', 'inner', 'shortcut', 'sum', 'fc']",
    )  # fmt: skip


def test_summary() -> None:
    assert example().summary() == SUMMARY


@pytest.mark.parametrize(
    ("neurons", "told"),
    [
        ([AugmentedNeuron(vth=1.0, v0=0.0)], "0"),
        ([AugmentedNeuron(vth=1.0, v0=0.5)], "vth/2"),
        ([AugmentedNeuron(vth=3.0, v0=1.0)], "1"),
        ([AugmentedNeuron(vth=1, v0=0)], "0 = vth/2"),
        ([AugmentedNeuron(vth=3, v0=1)], "vth/2"),
        ([AugmentedNeuron(vth=1, v0=0), AugmentedNeuron(vth=3, v0=1)], "vth/2"),
        ([AugmentedNeuron(vth=1, v0=0), AugmentedNeuron(vth=3, v0=0)], "0"),
        ([AugmentedNeuron(vth=2, v0=0), AugmentedNeuron(vth=3, v0=1)], "0 / vth/2"),
    ],
)
def test_the_start_is_told_as_it_is(neurons: list[AugmentedNeuron], told: str) -> None:
    names = [INPUT, *(f"layer{k}" for k in range(len(neurons)))]
    layers = [
        layer(name, source, Relay(), neuron)
        for source, name, neuron in zip(names[:-1], names[1:], neurons, strict=True)
    ]
    readout = ReadoutNeuron(floating=neurons[0].is_float)
    net = network(*layers, layer("out", names[-1], Relay(), readout), input_shape=(6,))
    assert f", v0 {told}, message_bits 16" in net.summary()


def test_summary_of_a_floating_point_network() -> None:
    net = network(
        layer("fc1", INPUT, Dense(weight=weights(4, 6) / 8), RateNeuron(vth=0.5)),
        layer("out", "fc1", Dense(weight=weights(3, 4) / 8), ReadoutNeuron(floating=True)),
    )
    lines = net.summary().splitlines()
    assert lines[0] == "custom, resolution 1, 4 time steps, floating point"
    assert lines[4] == "fc1    dense 6 -> 4  IF       4            4  0.5       24        24  input"
    assert lines[-2:] == ["total: 7 neurons, 36 weights, 36 synapses, depth 2", "options: v0 vth/2"]


def test_summary_of_a_lone_readout_names_no_options() -> None:
    assert network(readout(INPUT, 6)).summary().splitlines()[-1] == "total: 3 neurons, 18 weights, 18 synapses, depth 1"


def test_defaults_and_normalisation() -> None:
    net = Network(input_shape=[np.int64(6)], layers=[readout(INPUT, 6, quantum=2)])  # pyright: ignore[reportArgumentType]
    assert (net.input_shape, net.num_steps, net.method, net.resolution) == ((6,), 4, "custom", 1.0)
    assert type(net.layers) is tuple
    assert (type(net.readout.quantum), net.readout.quantum) == (float, 2.0)
    assert type(net.readout.connections[0]) is Connection


def test_equality() -> None:
    assert example() == example()
    assert example() != example().replace(num_steps=9)
    assert example() != example().replace(layers=(*example().layers[:-1], readout("sum", 12)))
    changed = example()["conv"].replace(bias=np.array([[[5]], [[-6]]]))
    assert example() != example().replace(layers=(changed, *example().layers[1:]))
    assert example().replace(num_steps=9).shapes == example().shapes


def test_a_bias_may_be_anything_that_broadcasts() -> None:
    conv = Conv(weight=weights(2, 1, 1, 1))
    for bias in (np.ones(()), np.ones(5), np.ones((4, 1)), np.ones((2, 1, 1)), np.ones((2, 4, 5))):
        net = network(
            layer("conv", INPUT, conv, AUGMENTED, bias=bias.astype(int)), readout("conv", 40), input_shape=(1, 4, 5)
        )
        assert np.array_equal(net["conv"].bias, bias)  # pyright: ignore[reportArgumentType]
    for limits in ([BOTTOM, TOP, 0], [0, 0, 0]):
        assert readout(INPUT, 6, bias=limits).bias.tolist() == limits  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "Layer.name: expected a non-empty text, found ''"),
        ({"name": "input"}, "a layer cannot be named 'input': that is the name of the images"),
        ({"connections": ()}, "layer 'out': expected one or more (source, synapse) pairs, found ()"),
        (
            {"connections": [("input", 5)]},
            "layer 'out': expected one or more (source, synapse) pairs, found (Connection(source='input', synapse=5),)",
        ),
        ({"neuron": "IF"}, "layer 'out': expected a Neuron, found 'IF'"),
        ({"quantum": 0}, "layer 'out': quantum must be positive, found 0"),
        ({"quantum": -0.5}, "Layer.quantum: expected a finite number of at least 0, found -0.5"),
        ({"quantum": np.nan}, "Layer.quantum: expected a finite number of at least 0, found nan"),
        (
            {"bias": [0.5, 1.0, 0.25]},
            f"layer 'out': bias must be integers from {BOTTOM} to {TOP}, found float32 from 0.25 to 1.0",
        ),
        (
            {"bias": [TOP + 1, 0, 0]},
            f"layer 'out': bias must be integers from {BOTTOM} to {TOP}, found int32 from 0 to {TOP + 1}",
        ),
        (
            {"bias": [BOTTOM - 1, 0, 0]},
            f"layer 'out': bias must be integers from {BOTTOM} to {TOP}, found int32 from {BOTTOM - 1} to 0",
        ),
    ],
)
def test_impossible_layers(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        readout(INPUT, 6).replace(**options)
    assert str(caught.value) == message


FLOATING = Dense(weight=weights(4, 6) / 8)
MIXED = "mixes integer and floating-point layers; use one of them throughout"
LARGEST = 2**53 // INPUT_LEVELS


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "a network needs at least one layer, the readout"),
        ([dense("a", INPUT), dense("a", "a", 4, 4), readout("a", 4)], "layer 'a': name is used twice"),
        ([dense("a", INPUT), readout("b", 4)], "layer 'out': takes spikes of 'b', which is none of ['input', 'a']"),
        ([readout("a", 4), dense("a", INPUT)], "layer 'out': takes spikes of 'a', which is none of ['input']"),
        ([dense("a", INPUT, inputs=5), readout("a", 4)], "layer 'a': Dense: expected 5 inputs, found 6 (shape (6,))"),
        (
            [readout(INPUT, 6, connections=[(INPUT, Dense(weight=weights(n, 6))) for n in (3, 2)])],
            "layer 'out': its connections give different shapes: [(2,), (3,)]",
        ),
        ([readout(INPUT, 6, bias=[1] * 2)], "layer 'out': bias of shape (2,) does not fit the layer's shape (3,)"),
        ([readout(INPUT, 6, bias=[[1] * 3])], "layer 'out': bias of shape (1, 3) does not fit the layer's shape (3,)"),
        ([layer("a", INPUT, FLOATING, AUGMENTED), readout("a", 4)], f"layer 'a': {MIXED}"),
        ([dense("a", INPUT, neuron=RateNeuron(vth=1.0)), readout("a", 4)], f"layer 'a': {MIXED}"),
        ([layer("a", INPUT, FLOATING, RateNeuron(vth=1.0)), readout("a", 4)], f"layer 'out': {MIXED}"),
        ([dense("a", INPUT), dense("b", INPUT), readout("a", 4)], "layer 'b': no layer takes its spikes"),
        (
            [dense("a", INPUT, neuron=ReadoutNeuron()), readout(INPUT, 6)],
            "layer 'a': only the last layer can be a readout",
        ),
        (
            [dense("a", INPUT, neuron=ReadoutNeuron()), readout("a", 4)],
            "layer 'a': only the last layer can be a readout",
        ),
        ([dense("a", INPUT)], "layer 'a': the last layer must have a ReadoutNeuron"),
        (
            [readout(INPUT, 6, connections=[(INPUT, Dense(weight=np.array([[LARGEST + 1, 0, 0, 0, 0, 0]])))])],
            "layer 'out': input current may reach 9.01e+15, beyond exact arithmetic (2**53); use fewer bits",
        ),
        (
            [readout(INPUT, 6, connections=[(INPUT, Dense(weight=np.full((1, 6), LARGEST // 6)))] * 2)],
            "layer 'out': input current may reach 1.8e+16, beyond exact arithmetic (2**53); use fewer bits",
        ),
    ],
)  # fmt: skip
def test_layers_that_are_no_network(layers: list[Layer], message: str) -> None:
    with pytest.raises(NetworkError) as caught:
        network(*layers)
    assert str(caught.value) == message


def test_the_largest_exact_current_is_allowed() -> None:
    most = readout(INPUT, 6, connections=[(INPUT, Dense(weight=np.array([[-LARGEST, 0, 0, 0, 0, 0]])))])
    assert network(most)["out"].connections[0].synapse.weight_sum == LARGEST


def test_a_relay_makes_both_paths_of_a_residual_sum_equally_long() -> None:
    net = network(
        dense("a", INPUT, 6),
        dense("b", INPUT, 6, neuron=DoubleThresholdNeuron(vth=50)),
        readout("a", 6, connections=[("a", Relay()), ("b", Dense(weight=weights(6, 6)))]),
    )
    assert (net.depths["out"], net.num_synapses("out"), net.delays("out")) == (2, 42, (0, 0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": ()}, "Network.input_shape: expected a tuple of positive integers, found ()"),
        ({"num_steps": 65537}, "Network.num_steps: expected an integer from 1 to 65536, found 65537"),
        ({"num_steps": 0}, "Network.num_steps: expected an integer from 1 to 65536, found 0"),
        ({"method": ""}, "Network.method: expected a non-empty text, found ''"),
        ({"resolution": -1}, "Network.resolution: expected a finite number of at least 0, found -1"),
    ],
)
def test_impossible_parameters(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        network(readout(INPUT, 6), **options)
    assert str(caught.value) == message
