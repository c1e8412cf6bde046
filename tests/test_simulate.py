"""The simulator against the theorem and a slow reference, for random networks and where exactness is hardest."""

import numpy as np
import pytest
import torch
from examples import DEVICES, weights
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nets import METHODS, images_for, layer, networks, payloads_for, small_net
from reference import theorem

from lava_aug.core.layers import Conv, Dense, SumPool
from lava_aug.core.network import INPUT, Connection, Layer, Network
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, Neuron, RateNeuron, ReadoutNeuron
from lava_aug.core.results import Output
from lava_aug.kernels import batches
from lava_aug.simulation.simulator import simulate
from lava_aug.verification.reference import interpret

TOP = 2**23 - 1
BOTTOM = -(2**23)


def identity(size: int) -> Dense:
    """As many inputs as outputs, each passed on."""
    return Dense(weight=np.eye(size, dtype=np.int8))


def both(net: Network, images: np.ndarray, num_steps: int, device: str = "cpu") -> Output:
    """The simulator's output, after checking that it equals the reference in everything."""
    found = simulate(net, images, num_steps, record=True, device=device)
    assert found.differences(interpret(net, images, num_steps)) == []
    return found


@settings(deadline=None, max_examples=60)
@given(st.data(), networks("aug", within_theorem=True), st.integers(1, 5))
def test_an_augmapping_network_is_an_ann_with_floor_activations(
    data: st.DataObject, net: Network, num_steps: int
) -> None:
    images = data.draw(payloads_for(net))
    found = simulate(net, images, num_steps, record=True)
    assume(all(not found.saturated[name].any() and not found.capped[name].any() for name in found.saturated))
    expected = theorem(net, images, num_steps)
    assert np.array_equal(found.v[-1], expected[net.readout.name])
    for name, spikes in found.spikes.items():
        assert np.array_equal(spikes.sum(axis=0), expected[name])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None, max_examples=40)
@given(data=st.data(), num_steps=st.integers(1, 6))
def test_random_networks_equal_the_reference(method: str, device: str, data: st.DataObject, num_steps: int) -> None:
    net = data.draw(networks(method))
    both(net, data.draw(payloads_for(net)), num_steps, device)


@settings(deadline=None, max_examples=25)
@given(st.data(), st.sampled_from(METHODS), st.integers(1, 4))
def test_batch_size_does_not_matter(data: st.DataObject, method: str, batch_size: int) -> None:
    net = data.draw(networks(method))
    images = data.draw(payloads_for(net))
    expected = simulate(net, images, 3, record=True)
    assert simulate(net, images, 3, record=True, batch_size=batch_size).differences(expected) == []


def test_statistics_by_hand() -> None:
    net = Network(
        input_shape=(1, 2, 3),
        layers=(
            layer("conv", INPUT, Conv(weight=np.array([[[[1, 1]]]])), AugmentedNeuron(vth=10, v0=0)),
            layer("pool", "conv", SumPool(kernel_size=(2, 1)), AugmentedNeuron(vth=1, signed=True, message_bits=3)),
            layer("out", "pool", Dense(weight=np.array([[1, -1], [1, 1]]))),
        ),
    )
    found = both(net, np.array([[[[9, 0, 0], [40, 50, 0]]]], np.uint8), 2)
    # currents of conv: [[9, 0], [90, 50]]; its spikes: [[0, 0], [9, 5]], then [[1, 0], [9, 5]]
    assert found.spikes["conv"][:, 0, 0].tolist() == [[[0, 0], [9, 5]], [[1, 0], [9, 5]]]
    assert found.spikes["pool"][:, 0, 0].tolist() == [[[3, 3]], [[3, 3]]]
    assert found.v[:, 0].tolist() == [[0, 6], [0, 12]]
    assert {name: count[:, 0].tolist() for name, count in found.events.items()} == {
        "input": [3, 3],
        "conv": [2, 3],
        "pool": [2, 2],
    }
    assert {name: count[:, 0].tolist() for name, count in found.spike_sum.items()} == {
        "input": [99, 99],
        "conv": [14, 15],
        "pool": [6, 6],
    }
    # pixels at the edges feed one window, those in the middle two
    assert {name: count[:, 0].tolist() for name, count in found.synops.items()} == {
        "conv": [4, 4],
        "pool": [2, 3],
        "out": [4, 4],
    }
    assert {name: count[:, 0].tolist() for name, count in found.capped.items()} == {
        "conv": [0, 0],
        "pool": [2, 2],
        "out": [0, 0],
    }


def test_saturation_is_counted_at_both_ends() -> None:
    rate = RateNeuron(vth=100, v0=TOP - 255)
    net = Network(
        input_shape=(3,),
        layers=(
            layer("hidden", INPUT, identity(3), rate),
            layer("out", "hidden", identity(3), bias=[BOTTOM, TOP, 0]),
        ),
    )
    found = both(net, np.array([[255, 254, 0], [255, 255, 255]], np.uint8), 3)
    assert found.saturated["hidden"].tolist() == [[0, 0], [2, 3], [2, 3]]
    assert found.saturated["out"].tolist() == [[1, 1], [2, 2], [2, 2]]
    assert found.v[:, 0].tolist() == [[BOTTOM + 1, TOP, 1], [BOTTOM, TOP, 2], [BOTTOM, TOP, 3]]


def test_sums_that_float32_cannot_hold_are_exact() -> None:
    rng = np.random.default_rng(0)
    large = rng.integers(2**21, 2**22, 32)
    small = rng.integers(-9, 10, 32)
    dense = Dense(weight=np.concatenate([large, small - large])[None])
    assert dense.weight_sum * 255 > 2**24
    net = Network(input_shape=(64,), layers=(layer("out", INPUT, dense),))
    images = np.full((2, 64), 255, np.uint8)
    exact = 255 * int(small.sum())
    in_single = batches.batch_form(dense, torch.float32, "cpu")(torch.tensor(images, dtype=torch.float32))
    assert in_single[0].item() != exact  # float32 would have been wrong
    assert both(net, images, 1).v.tolist() == [[[exact], [exact]]]


def test_input_currents_that_float32_cannot_hold_are_exact() -> None:
    over = 65795  # times 255 an odd number beyond 2**24
    neuron = AugmentedNeuron(vth=1, v0=-(2**22), message_bits=24)
    net = Network(
        input_shape=(1,),
        layers=(
            layer("hidden", INPUT, Dense(weight=np.array([[over]])), neuron, bias=[BOTTOM]),
            layer("out", "hidden", Dense(weight=np.array([[1]]))),
        ),
    )
    assert both(net, np.array([[255]], np.uint8), 3).v[0].tolist() == [[255 * over - 2**22 - 2**23]]


def test_large_input_currents_that_cancel_are_exact() -> None:
    out = Layer(
        name="out",
        connections=tuple(Connection(INPUT, Dense(weight=np.array([[w]]))) for w in (65795, -65793)),
        neuron=ReadoutNeuron(),
        quantum=1.0,
    )
    found = both(Network(input_shape=(1,), layers=(out,)), np.array([[255]], np.uint8), 2)
    assert found.v.tolist() == [[[510]], [[1020]]]


@pytest.mark.parametrize("signed", [False, True])
def test_many_steps_with_n_beyond_24_bits_are_exact(signed: bool) -> None:
    step = 32767 * 255
    n_max = step - 2
    neuron = AugmentedNeuron(vth=1, n_max=n_max, message_bits=24, signed=signed)
    net = Network(
        input_shape=(1,),
        layers=(
            layer("hidden", INPUT, Dense(weight=np.array([[32767]])), neuron),
            layer("out", "hidden", Dense(weight=np.array([[1]]))),
        ),
    )
    found = both(net, np.array([[255]], np.uint8), 4)
    assert 3 * n_max > 2**24
    assert n_max % 2 == 1
    assert found.spikes["hidden"].ravel().tolist() == [n_max] * 4


def test_long_runs_are_exact() -> None:
    net = small_net()
    images = images_for(net, 1)
    assert 600 * 32767 > 2**24
    found = both(net, images, 600)
    assert np.array_equal(found.spikes["hidden"].sum(axis=0), theorem(net, images, 600)["hidden"])


@pytest.mark.parametrize(
    "neuron",
    [
        RateNeuron(vth=8.0),
        DoubleThresholdNeuron(vth=8.0, vth_lo=-2.0),
        AugmentedNeuron(vth=0.5),
        AugmentedNeuron(vth=4.0),
    ],
    ids=repr,
)
def test_floating_point_networks(neuron: Neuron) -> None:
    relay = AugmentedNeuron(vth=1.0, signed=True)
    net = Network(
        input_shape=(2, 4, 4),
        layers=(
            layer("conv", INPUT, Conv(weight=weights(2, 2, 2, 2, largest=15) / 16), neuron, bias=[[[0.5]], [[-0.25]]]),
            layer("pool", "conv", SumPool(kernel_size=(2, 2)), relay),
            layer("out", "pool", Dense(weight=weights(3, 8) / 4), ReadoutNeuron(floating=True)),
        ),
    )
    found = both(net, images_for(net), 4)  # dyadic numbers, so exact
    assert found.v.dtype == np.float32
    assert found.spikes["conv"].any()


def test_number_formats() -> None:
    found = simulate(small_net(), images_for(small_net()), record=True)
    assert found.v.dtype == np.int64
    assert found.v.shape == (4, 5, 3)
    assert {spikes.dtype for spikes in found.spikes.values()} == {np.dtype(np.int32)}
    assert {count.dtype for count in found.synops.values()} == {np.dtype(np.int64)}
