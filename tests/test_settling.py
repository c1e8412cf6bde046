"""`settle` gives the readout of stepping, bit for bit, or says why it cannot."""

import re
from typing import Any

import numpy as np
import pytest
from examples import weights
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import images_for, layer, networks, small_net
from reference import theorem

from lava_aug.core.errors import InputError, NetworkError
from lava_aug.core.layers import Dense, Relay
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import AugmentedNeuron, RateNeuron, ReadoutNeuron
from lava_aug.simulation.settling import check_theorem, settle
from lava_aug.simulation.simulator import simulate


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 40))
def test_it_equals_the_theorem_and_stepping(data: st.DataObject, num_steps: int) -> None:
    net = data.draw(networks("aug", within_theorem=True))
    images = images_for(net, 3)
    try:
        found = settle(net, images, num_steps)
    except NetworkError:
        return
    stepped = simulate(net, images, num_steps)
    np.testing.assert_array_equal(found.v, stepped.v[-1])
    np.testing.assert_array_equal(found.v, theorem(net, images, num_steps)[net.readout.name])


def test_results_are_those_of_the_last_step() -> None:
    net, labels = small_net(), np.array([0, 1, 2, 0, 1])
    images = images_for(net)
    found, stepped = settle(net, images, 7), simulate(net, images, 7)
    np.testing.assert_array_equal(found.v, stepped.v[-1])
    np.testing.assert_allclose(found.logits, stepped.logits[-1])
    np.testing.assert_array_equal(found.predictions, stepped.predictions[-1])
    assert found.accuracy(labels) == stepped.accuracy(labels)[-1]
    with pytest.raises(InputError, match="labels: expected integers"):
        found.accuracy(labels[:2])


def test_many_steps_leave_float32_behind_and_stay_exact() -> None:
    """Sums beyond 2**24: the kernels turn to float64."""
    net = small_net()
    net = net.replace(layers=(net.layers[0].replace(neuron=AugmentedNeuron(vth=3000)), net.layers[1]))
    images = np.full((2, 6), 255, np.uint8)
    images[1, ::2] = 7
    found = settle(net, images, 200)
    expected = theorem(net, images, 200)["out"]
    assert 200 * 255 * net.layers[0].connections[0].synapse.weight_sum > 2**24
    np.testing.assert_array_equal(found.v, expected)


def test_a_residual_network_settles() -> None:
    dense = Dense(weight=weights(4, 6))
    net = Network(
        input_shape=(6,),
        layers=(
            layer("a", INPUT, dense, AugmentedNeuron(vth=300)),
            layer("b", INPUT, Relay(), AugmentedNeuron(vth=2, signed=True)),
            layer("out", "a", Dense(weight=weights(3, 4))).replace(
                connections=(("a", Dense(weight=weights(3, 4))), ("b", Dense(weight=weights(3, 6))))
            ),
        ),
    )
    images = images_for(net)
    np.testing.assert_array_equal(settle(net, images, 9).v, simulate(net, images, 9).v[-1])


def test_batches_and_progress() -> None:
    net, calls = small_net(), []
    images = images_for(net)
    found = settle(net, images, 5, batch_size=2, progress=lambda done, total: calls.append((done, total)))
    np.testing.assert_array_equal(found.v, settle(net, images, 5).v)
    assert calls == [(2, 5), (4, 5), (5, 5)]


def _with_neuron(neuron: Any) -> Network:
    net = small_net()
    return net.replace(layers=(net.layers[0].replace(neuron=neuron), net.layers[1]))


def test_what_a_bound_keeps_back_piles_up() -> None:
    """Weights of 127 put 190 thresholds into each step; what exceeds two of them stays in ``v``."""
    net = _with_neuron(AugmentedNeuron(vth=300, n_max=2))
    images = np.full((2, 6), 255, np.uint8)
    np.testing.assert_array_equal(settle(net, images, 20).v, simulate(net, images, 20).v[-1])
    np.testing.assert_array_equal(settle(net, images, 20).v, theorem(net, images, 20)["out"])
    with pytest.raises(NetworkError, match="layer 'hidden' come close to the 24-bit limit within 100 steps"):
        settle(net, images, 100)


REFUSED = {
    "rate": (_with_neuron(RateNeuron(vth=300)), 4, "layer 'hidden' has IF neurons, whose spikes depend on the order"),
    "symmetric": (_with_neuron(AugmentedNeuron(vth=300, vth_lo=-300)), 4, "layer 'hidden' has vth_lo = -300"),
    "capped": (_with_neuron(AugmentedNeuron(vth=3, message_bits=8)), 4, "8-bit payloads hold up to 127"),
    "readout": (_with_neuron(AugmentedNeuron(vth=30)), 4000, "come close to the 24-bit limit within 4,000 steps"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_say_why(case: str) -> None:
    net, num_steps, message = REFUSED[case]
    with pytest.raises(NetworkError, match=re.escape(message)):
        settle(net, np.full((2, 6), 255, np.uint8), num_steps)


def test_floating_point_is_refused() -> None:
    floats = Network(
        input_shape=(2,),
        layers=(
            layer("hidden", INPUT, Dense(weight=np.array([[0.5, 1.5]])), AugmentedNeuron(vth=1.0)),
            layer("out", "hidden", Dense(weight=np.array([[1.0]])), ReadoutNeuron(floating=True)),
        ),
    )
    with pytest.raises(NetworkError, match="computes in floating point"):
        check_theorem(floats)


def test_wrong_images_are_refused() -> None:
    with pytest.raises(InputError, match=r"images: expected shape \(B, 6\)"):
        settle(small_net(), np.zeros((2, 5), np.uint8))
