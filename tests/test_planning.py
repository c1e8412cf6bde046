"""Widths: worked out by hand, never exceeded by what a run shows, and problems with their cures."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lava_aug as la
from lava_aug.core.layers import Conv, Dense, Scale
from lava_aug.core.network import INPUT, Connection, Layer, Network
from lava_aug.core.neurons import (
    AugmentedNeuron,
    DoubleThresholdNeuron,
    MaxPoolNeuron,
    Neuron,
    RateNeuron,
    ReadoutNeuron,
)


def layer(name: str, source: str, weight: object, neuron: Neuron, **options: object) -> Layer:
    connections = (Connection(source, Dense(weight=np.array(weight))),)
    return Layer(name=name, connections=connections, neuron=neuron, quantum=1.0, **options)  # pyright: ignore


def net_of(neuron: Neuron, weight: object = ((3, -2), (1, 7)), bias: object = (4, -4), num_steps: int = 3) -> Network:
    return Network(
        input_shape=(2,),
        layers=(
            layer("hidden", INPUT, weight, neuron, bias=np.array(bias)),
            layer("out", "hidden", [[5, -6]], ReadoutNeuron()),
        ),
        num_steps=num_steps,
    )


def test_worst_case_by_hand() -> None:
    hidden, out = la.plan(net_of(AugmentedNeuron(vth=10))).layers
    assert (hidden.worst_current, hidden.worst_v) == (8 * 255, 5 + 3 * (2040 + 4))
    assert hidden.worst_payload == (9 + 2040 + 4) // 10 + 1 == 206
    assert (hidden.weight_bits, out.weight_bits) == (4, 4)
    assert (out.worst_current, out.worst_v, out.worst_payload) == (11 * 206, 3 * 11 * 206, 0)
    assert hidden.v is hidden.payload is hidden.current is hidden.free_bits is None
    assert hidden.is_safe
    assert out.is_safe


def test_ordinary_spikes_carry_one() -> None:
    for neuron in (RateNeuron(vth=10), DoubleThresholdNeuron(vth=10)):
        hidden, out = la.plan(net_of(neuron)).layers
        assert (hidden.worst_payload, out.worst_current) == (1, 11)


def test_ranges_on_images_by_hand() -> None:
    """Pixels 10 and 0: currents 30 + 4 and 10 - 4 in every step."""
    images = np.array([[10, 0]], np.uint8)
    plan = la.plan(net_of(AugmentedNeuron(vth=10)), images, 2)
    hidden, out = plan.layers
    assert hidden.current == (10, 30)
    # 5 + 34 = 39: 3 spikes, 9 left; 9 + 34 = 43: 4 spikes. 5 + 6 = 11: 1 spike; 1 + 6 = 7: none.
    assert (hidden.v, hidden.payload) == ((7, 43), (0, 4))
    assert (out.current, out.v, out.payload) == ((9, 20), (9, 29), (0, 0))
    assert hidden.free_bits == 23 - 6
    assert (plan.num_images, plan.num_steps, plan.problems) == (1, 2, ())


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), vth=st.integers(1, 400), num_steps=st.integers(1, 5))
def test_nothing_exceeds_the_worst_case(seed: int, vth: int, num_steps: int) -> None:
    rng = np.random.default_rng(seed)
    net = Network(
        input_shape=(2, 5, 4),
        layers=(
            Layer(
                name="conv",
                connections=(Connection(INPUT, Conv(weight=rng.integers(-9, 10, (3, 2, 2, 2)))),),
                neuron=AugmentedNeuron(vth=np.array([vth, vth + 3, 2 * vth]).reshape(3, 1, 1), signed=bool(seed % 2)),
                bias=rng.integers(-50, 50, (3, 1, 1)),
                quantum=1.0,
            ),
            Layer(
                name="pool",
                connections=(Connection("conv", Scale(weight=np.ones(3, int))),),
                neuron=MaxPoolNeuron(kernel_size=(2, 2)),
                quantum=1.0,
            ),
            layer("out", "pool", rng.integers(-9, 10, (4, 6)), ReadoutNeuron()),
        ),
    )
    plan = la.plan(net, rng.integers(0, 256, (3, 2, 5, 4), np.uint8), num_steps)
    for found in plan.layers:
        assert found.v is not None
        assert found.payload is not None
        assert found.current is not None
        assert max(map(abs, found.current)) <= found.worst_current
        assert max(map(abs, found.v)) <= found.worst_v
        assert max(map(abs, found.payload)) <= found.worst_payload


def test_a_full_state_is_a_problem_with_its_cure() -> None:
    net = net_of(AugmentedNeuron(vth=2**22), weight=((2**15, 0), (0, 1)))
    plan = la.plan(net, np.array([[255, 255]], np.uint8), 3)
    assert plan.problems == (
        "layer 'hidden': v reaches the 24-bit limit 8,388,607; use fewer time steps than 3, fewer weight bits, or a "
        "coarser resolution than 1",
    )
    assert plan.tables()[0].rows[0][-1] == "no"


def test_what_steadily_sinks_is_no_problem() -> None:
    """Clipping changes nothing in a neuron that is silent, and that each further step would push down."""
    net = net_of(AugmentedNeuron(vth=2**22), weight=((-(2**15), 0), (0, 1)))
    plan = la.plan(net, np.array([[255, 255]], np.uint8), 3)
    assert plan.problems == ()
    assert plan.layers[0].v is not None
    assert plan.layers[0].v[0] == -(2**23)
    signed = net_of(AugmentedNeuron(vth=2**22, signed=True, v0=-(2**21)), weight=((-(2**15), 0), (0, 1)))
    assert len(la.plan(signed, np.array([[255, 255]], np.uint8), 3).problems) == 1


def test_a_full_payload_is_a_problem_with_its_cure() -> None:
    net = net_of(AugmentedNeuron(vth=2, message_bits=4))
    (problem,) = la.plan(net, np.array([[200, 0]], np.uint8)).problems
    assert problem == (
        "layer 'hidden': spikes reach the 4-bit payload's limit 7; use more message bits (up to 24), or a coarser "
        "resolution than 1"
    )


def test_a_shared_power_of_two_needs_no_bits() -> None:
    """As Loihi's weight exponent."""
    weights = la.plan(net_of(AugmentedNeuron(vth=10), weight=((128 * 16, -16), (48, 0)))).layers[0].weight_bits
    assert weights == 9
    assert la.plan(net_of(AugmentedNeuron(vth=10), weight=((127 * 16, -16), (48, 0)))).layers[0].weight_bits == 8


def test_as_text_and_as_json() -> None:
    net = net_of(AugmentedNeuron(vth=10))
    assert str(la.plan(net)).splitlines()[0] == "3 time steps, 24-bit state, no images: worst case only"
    plan = la.plan(net, np.array([[10, 0]], np.uint8))
    assert str(plan).splitlines()[0] == "3 time steps, 24-bit state, on 1 image"
    assert json.loads(json.dumps(plan.to_dict()))["layers"][0]["worst_payload"] == 206


def test_batches_make_no_difference() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 2), np.uint8)
    net, calls = net_of(AugmentedNeuron(vth=10)), []
    plan = la.plan(net, images, batch_size=2, progress=lambda done, total: calls.append((done, total)))
    assert plan == la.plan(net, images)
    assert calls == [(2, 7), (4, 7), (6, 7), (7, 7)]


def test_floating_point_has_no_widths() -> None:
    hidden = layer("hidden", INPUT, ((0.5, 1.0), (1.0, 1.0)), AugmentedNeuron(vth=1.0))
    out = layer("out", "hidden", [[0.5, 1.0]], ReadoutNeuron(floating=True))
    net = Network(input_shape=(2,), layers=(hidden, out))
    with pytest.raises(la.NetworkError, match="computes in floating point, which has no widths to plan"):
        la.plan(net)
