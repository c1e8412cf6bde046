"""Walks by hand: the order, what is kept and for how long, and batches."""

import gc
import weakref
from typing import NamedTuple

import numpy as np
import pytest
from nets import SKIPS, images_for, skip_net, small_net

from lava_aug.core.errors import InputError
from lava_aug.core.layers import Relay
from lava_aug.core.network import INPUT, Connection, Layer, Network
from lava_aug.core.neurons import AugmentedNeuron, ReadoutNeuron
from lava_aug.core.prices import payload_limits
from lava_aug.core.walks import batches, images_per_batch, last, that_fit, walk
from lava_aug.verification.reference import moments


class Named(NamedTuple):
    """A layer."""

    name: str
    sources: tuple[str, ...]


LAYERS = (
    Named("a", (INPUT,)),
    Named("b", ("a", INPUT)),
    Named("c", ("b", "b")),
    Named("d", ("a", "c")),
)


def test_a_walk_by_hand() -> None:
    found = list(walk(LAYERS, 1, lambda layer, given: given, lambda layer, arrived: 10 * sum(arrived)))
    assert found == [
        (LAYERS[0], [1], 10),
        (LAYERS[1], [10, 1], 110),
        (LAYERS[2], [110, 110], 2200),
        (LAYERS[3], [10, 2200], 22100),
    ]
    assert last(walk(iter(LAYERS), 1, lambda layer, given: sum(given), lambda layer, x: x))[2] == 5


class Value:
    """Something that can be watched."""


def test_what_nobody_needs_any_more_is_gone() -> None:
    alive: dict[str, weakref.ref[Value]] = {}

    def give(layer: Named, arrived: None) -> Value:
        del arrived
        value = Value()
        alive[layer.name] = weakref.ref(value)
        return value

    seen = []
    for layer, _, value in walk(LAYERS, Value(), lambda layer, given: None, give):
        del value
        gc.collect()
        seen.append((layer.name, [name for name, found in alive.items() if found() is not None]))
    assert seen == [("a", ["a"]), ("b", ["a", "b"]), ("c", ["a", "c"]), ("d", ["d"])]


@pytest.mark.parametrize("name", SKIPS)
def test_a_walk_gives_what_the_specification_gives_in_one_step(name: str) -> None:
    net = skip_net(SKIPS[name])
    x = images_for(net).astype(np.int64)
    steps = {moment.layer.name: moment for moment in moments(net, x, 1)}

    def take(layer: Layer, given: list[np.ndarray]) -> np.ndarray:
        return sum(c.synapse.accumulate(s) for c, s in zip(layer.connections, given, strict=True))  # pyright: ignore

    walked = list(walk(net, x, take, lambda layer, _: steps[layer.name].step.s))
    assert [layer.name for layer, _, _ in walked] == [layer.name for layer in net]
    for layer, a, _ in walked:
        np.testing.assert_array_equal(a, steps[layer.name].a)


def test_a_walk_goes_through_a_deep_network_once() -> None:
    """Every block of such a network doubles the number of paths through it."""
    layers, before = [], INPUT
    for index in range(60):
        connections = (Connection(before, Relay()), Connection(before, Relay()))
        layers.append(Layer(name=f"block {index}", connections=connections, neuron=AugmentedNeuron(vth=2), quantum=1))
        before = layers[-1].name
    layers.append(Layer(name="out", connections=(Connection(before, Relay()),), neuron=ReadoutNeuron(), quantum=1))
    limits = payload_limits(Network(input_shape=(2,), layers=tuple(layers)))
    assert list(limits) == [INPUT, *(layer.name for layer in layers)]
    assert (limits[INPUT], limits["block 59"]) == (255, 2**15 - 1)


def test_batches_of_what_fits() -> None:
    told: list[tuple[int, int]] = []
    found = [batch.tolist() for batch in batches(np.arange(5), 2, lambda done, total: told.append((done, total)))]
    assert (found, told) == ([[0, 1], [2, 3], [4]], [(2, 5), (4, 5), (5, 5)])
    assert that_fit([(2, 3), (4,)], 25) == 2
    assert that_fit([(2, 3), (4,)], 9) == 1
    net = small_net()
    assert images_per_batch(net, None) == (1 << 23) // sum(np.prod(shape) for shape in net.shapes.values())
    assert images_per_batch(net, np.int64(3)) == 3  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="batch_size: expected an integer of at least 1, found 0"):
        images_per_batch(net, 0)
    with pytest.raises(InputError, match="progress: expected a function, or None, found 3"):
        next(batches(np.arange(5), 2, 3))  # pyright: ignore[reportArgumentType]
