"""The pipeline in Lava's time gives what the simulator gives, shifted by each layer's depth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import METHODS, SKIPS, images_for, layer, networks, skip_net, small_net

from lava_aug.core.layers import Relay
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import AugmentedNeuron
from lava_aug.simulation.pipeline import DelayLine, Pipeline, Recording
from lava_aug.simulation.simulator import simulate


def recorded(net: Network, images: np.ndarray, num_steps: int) -> dict[str, Recording]:
    """What every layer did while images followed each other."""
    total = len(images) * num_steps + net.depth
    recordings = {name: Recording(shape, total, keep=True) for name, shape in net.shapes.items()}
    pipeline = Pipeline(net, num_steps, recordings)
    for t in range(total):
        pipeline.step(images[t // num_steps] if t // num_steps < len(images) else np.zeros_like(images[0]))
    return recordings


def check_equals_the_simulator(net: Network, num_steps: int) -> None:
    """In every layer and step, for images that follow each other."""
    images = images_for(net, 3)
    expected = simulate(net, images, num_steps, record=True)
    for name, recording in recorded(net, images, num_steps).items():
        first = net.depths[name]
        assert recording.data is not None
        rows = recording.data[first : first + 3 * num_steps]
        windows = rows.reshape(3, num_steps, *rows.shape[1:]).swapaxes(0, 1)
        np.testing.assert_array_equal(windows, expected.v if name == net.readout.name else expected.spikes[name])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(METHODS).flatmap(lambda method: networks(method)), st.integers(1, 5))
def test_it_equals_the_simulator_in_every_layer_and_step(net: Network, num_steps: int) -> None:
    check_equals_the_simulator(net, num_steps)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 6])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("skips", SKIPS.values(), ids=list(SKIPS))
def test_paths_of_different_length(skips: dict[str, tuple[str, ...]], method: str, num_steps: int) -> None:
    """Also where an image waits for longer than it is shown, so that several wait at once."""
    net = skip_net(skips, method)
    assert max(max(net.delays(found.name)) for found in net) >= 1
    check_equals_the_simulator(net, num_steps)


def with_relays(net: Network) -> Network:
    """Chains of relays instead of delays: signed augmented neurons of threshold 1, which pass everything on."""
    relay, layers = AugmentedNeuron(vth=1, v0=0, signed=True), []
    for found in net:
        connections = []
        for k, ((source, synapse), delay) in enumerate(zip(found.connections, net.delays(found.name), strict=True)):
            last = source
            for step in range(delay):
                layers.append(layer(f"{found.name}_{k}_{step}", last, Relay(), relay))
                last = layers[-1].name
            connections.append((last, synapse))
        layers.append(found.replace(connections=tuple(connections)))
    return net.replace(layers=tuple(layers))


@pytest.mark.parametrize("skips", SKIPS.values(), ids=list(SKIPS))
def test_a_delay_is_what_a_chain_of_relays_does(skips: dict[str, tuple[str, ...]]) -> None:
    net = skip_net(skips)
    longer = with_relays(net)
    assert not any(delay for found in longer for delay in longer.delays(found.name))
    assert {name: longer.depths[name] for name in net.depths} == net.depths
    images = images_for(net, 3)
    one, other = recorded(net, images, 2), recorded(longer, images, 2)
    for name, depth in net.depths.items():
        np.testing.assert_array_equal(one[name].data[depth:], other[name].data[depth:])  # pyright: ignore[reportOptionalSubscript]


def test_delay_lines() -> None:
    line, at_once = DelayLine((2,), 2), DelayLine((2,), 0)
    values = np.arange(8.0).reshape(4, 2)
    assert [line(value).tolist() for value in values] == [[0, 0], [0, 0], [0, 1], [2, 3]]
    assert [at_once(value).tolist() for value in values] == values.tolist()
    assert (line.delay, at_once.delay) == (2, 0)


def test_it_answers_depth_steps_later() -> None:
    net = small_net()
    images = images_for(net, 1)
    pipeline = Pipeline(net, num_steps=3)
    answers = [pipeline.step(images[0]).copy() for _ in range(3 + net.depth)]
    np.testing.assert_array_equal(answers[net.depth :], simulate(net, images, 3).v[:, 0])


def test_recordings_of_some_layers_are_enough() -> None:
    net = small_net()
    recording = Recording((4,), 6, keep=True)
    pipeline = Pipeline(net, 4, {"hidden": recording})
    images = images_for(net, 1)
    for _ in range(6):
        pipeline.step(images[0])
    assert recording.data is not None
    np.testing.assert_array_equal(recording.data[1:5], simulate(net, images, 4, record="hidden").spikes["hidden"][:, 0])
    assert int(recording.finished[0]) == 6
    assert INPUT not in pipeline.recordings
