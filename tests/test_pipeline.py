"""The pipeline in Lava's time gives what the simulator gives, shifted by each layer's depth."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import METHODS, images_for, networks, small_net

from lava_aug.network import INPUT, Network
from lava_aug.pipeline import Pipeline
from lava_aug.recording import Recording
from lava_aug.simulator import simulate


def recorded(net: Network, images: np.ndarray, num_steps: int) -> dict[str, Recording]:
    """What every layer did while images followed each other."""
    total = len(images) * num_steps + net.depth
    recordings = {name: Recording(shape, total, keep=True) for name, shape in net.shapes.items()}
    pipeline = Pipeline(net, num_steps, recordings)
    for t in range(total):
        pipeline.step(images[t // num_steps] if t // num_steps < len(images) else np.zeros_like(images[0]))
    return recordings


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(METHODS).flatmap(lambda method: networks(method)), st.integers(1, 5))
def test_it_equals_the_simulator_in_every_layer_and_step(net: Network, num_steps: int) -> None:
    images = images_for(net, 3)
    expected = simulate(net, images, num_steps, record=True)
    for name, recording in recorded(net, images, num_steps).items():
        first = net.depths[name]
        assert recording.data is not None
        rows = recording.data[first : first + 3 * num_steps]
        windows = rows.reshape(3, num_steps, *rows.shape[1:]).swapaxes(0, 1)
        np.testing.assert_array_equal(windows, expected.v if name == net.readout.name else expected.spikes[name])


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
