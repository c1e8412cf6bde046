"""What differs in two networks, parameter by parameter."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import METHODS, networks, skip_net, small_net

from lava_aug.core.inputs import Input
from lava_aug.core.layers import Relay
from lava_aug.core.network import Connection, Head, Layer, Network
from lava_aug.core.neurons import AugmentedNeuron, RateNeuron
from lava_aug.verification.differences import differences


def with_hidden(**changes: Any) -> Network:
    """`small_net` with another first layer."""
    hidden, out = small_net()
    return small_net().replace(layers=(hidden.replace(**changes), out))


def weight(dtype: type, first: int) -> tuple[Connection, ...]:
    ((source, synapse),) = small_net().layers[0].connections
    found: Any = synapse
    values = found.weight.astype(dtype)
    values[1, 2] = first
    return (Connection(source, found.replace(weight=values)),)


FOUND = small_net().layers[0].connections[0].synapse
OLD = int(FOUND.weight[1, 2])  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (small_net(), []),
        (small_net(num_steps=9), ["num_steps: 4 and 9"]),
        (small_net(method="mine", resolution=0.5), ["method: 'custom' and 'mine'", "resolution: 1.0 and 0.5"]),
        (with_hidden(quantum=2.0), ["layer 'hidden': quantum: 1.0 and 2.0"]),
        (with_hidden(note="x"), ["layer 'hidden': note: None and 'x'"]),
        (with_hidden(bias=[7]), ["layer 'hidden': bias: None and [7]"]),
        (with_hidden(bias=[1, 2, 3, 4]), ["layer 'hidden': bias: None and int8 (4,)"]),
        (
            with_hidden(neuron=AugmentedNeuron(vth=301, v0=150, signed=True)),
            ["layer 'hidden': neuron.vth: 300 and 301", "layer 'hidden': neuron.signed: False and True"],
        ),
        (
            with_hidden(neuron=RateNeuron(vth=300)),
            ["layer 'hidden': neuron: AugmentedNeuron(vth=300, v0=150, vth_lo=-1) and RateNeuron(vth=300, v0=150)"],
        ),
        (
            with_hidden(connections=weight(int, OLD + 1)),
            [
                f"layer 'hidden': connections[0].synapse.weight: 1 of 24 differ, first at (1, 2): {OLD} and {OLD + 1}",
            ],
        ),
        (
            with_hidden(connections=weight(int, 300)),
            ["layer 'hidden': connections[0].synapse.weight: int8 (4, 6) and int16 (4, 6)"],
        ),
        (small_net(heads=(Head("a", (3,)),)), ["heads: 0 and 1"]),
        (small_net(inputs=(Input("a", (6,)),)), ["inputs: 0 and 1"]),
    ],
    ids=lambda value: "" if isinstance(value, Network) else str(len(value)),
)
def test_every_parameter(other: Network, expected: list[str]) -> None:
    assert differences(small_net(), other) == expected


def test_connections_and_names() -> None:
    one, other = skip_net({"c": ("a",)}), skip_net({"c": ("input",)})
    found = differences(one, other)
    assert "layer 'c': connections[1].source: 'a' and 'input'" in found
    renamed: Layer = one.readout.replace(name="end")
    assert differences(one, one.replace(layers=(*one.layers[:-1], renamed))) == ["layer 'out': name: 'out' and 'end'"]
    more = (*one["c"].connections, Connection("b", Relay()))
    layers = tuple(layer.replace(connections=more) if layer.name == "c" else layer for layer in one)
    assert differences(one, one.replace(layers=layers)) == ["layer 'c': connections: 2 and 3"]


@settings(deadline=None, max_examples=20)
@given(st.data(), st.sampled_from(METHODS))
def test_there_are_none_just_if_networks_are_equal(data: st.DataObject, method: str) -> None:
    one, other = data.draw(networks(method)), data.draw(networks(method))
    assert (differences(one, other) == []) == (one == other)
    copy = one.replace(layers=[layer.replace(quantum=np.float64(layer.quantum)) for layer in one])
    assert differences(one, copy) == []
