"""ImageSource, Synapses and Recorder on Lava."""

from typing import Any

import numpy as np
import pytest
from examples import EXAMPLE_SYNAPSES, name_of, weights

from lava_aug.core.errors import SpecError
from lava_aug.core.layers import Dense, Relay, Shape, SumPool, Synapse
from lava_aug.processes import ImageSource, Readout, Recorder, Synapses
from lava_aug.simulation.pipeline import Recording
from lava_aug.testing import run_process

pytestmark = pytest.mark.lava


def test_images_follow_each_other_and_zeros_follow_them() -> None:
    images = np.array([[[1, -2]], [[255, 4]], [[2**31 - 1, -(2**31)]]])
    found = run_process(ImageSource(images=images, num_steps=2), num_steps=9, probe=["index"])
    assert found.s_out.tolist() == [*np.repeat(images, 2, axis=0).tolist(), *[[[0, 0]]] * 3]
    assert found.index.ravel().tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3]


def test_an_image_for_one_step() -> None:
    found = run_process(ImageSource(images=np.array([[7], [8]], np.uint8), num_steps=1), num_steps=3)
    assert found.s_out.ravel().tolist() == [7, 8, 0]


def test_floating_point_images() -> None:
    source = ImageSource(images=np.array([[0.25, 1e9], [-3.5, 0.0]], np.float32), num_steps=1)
    found = run_process(source, num_steps=3, tag="floating_pt")
    assert found.s_out.tolist() == [[0.25, 1e9], [-3.5, 0], [0, 0]]


@pytest.mark.parametrize(
    ("images", "num_steps", "message"),
    [
        (np.zeros(3, int), 1, "ImageSource: expected numbers of shape (num_images, *shape), found int64 (3,)"),
        (np.zeros((0, 3), int), 1, "ImageSource: expected numbers of shape (num_images, *shape), found int64 (0, 3)"),
        (np.zeros((1, 3), bool), 1, "ImageSource: expected numbers of shape (num_images, *shape), found bool (1, 3)"),
        (
            np.array([[2**31, 0]]),
            1,
            "ImageSource: expected payloads from -2147483648 to 2147483647, found 0 to 2147483648",
        ),
        (np.zeros((1, 3)), 0, "ImageSource: num_steps must be an integer of at least 1, found 0"),
        (np.zeros((1, 3)), 2.0, "ImageSource: num_steps must be an integer of at least 1, found 2.0"),
    ],
)
def test_image_source_refuses(images: np.ndarray, num_steps: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        ImageSource(images=images, num_steps=num_steps)
    assert str(caught.value) == message


def payloads(synapse: Synapse, shape: Shape, num_steps: int) -> np.ndarray:
    """Spikes of both signs, some of them so large that their sum is exact in float64 only."""
    rng = np.random.default_rng(1)
    s = rng.integers(-40, 41, (num_steps, *shape)) * (rng.random((num_steps, *shape)) < 0.5)
    s[num_steps // 2] *= 2**23 // 40
    return s / 4 if synapse.is_float else s


@pytest.mark.parametrize(("synapse", "shape"), EXAMPLE_SYNAPSES, ids=name_of)
def test_synapses_accumulate_one_step_later(synapse: Synapse, shape: Shape) -> None:
    s = payloads(synapse, shape, 6)
    tag = "floating_pt" if synapse.is_float else "fixed_pt"
    found = run_process(Synapses(synapse=synapse, shape=shape), s_in=s, num_steps=8, tag=tag).a_out
    expected = synapse.accumulate(s)
    assert found.shape[1:] == synapse.output_shape(shape)
    assert np.array_equal(found[1:7], expected)
    assert np.abs(expected).max() > 1000
    assert not found[0].any()
    assert not found[7].any()


@pytest.mark.parametrize(("is_float", "delay"), [(False, 1), (False, 4), (True, 2)])
def test_currents_wait_for_a_delay(is_float: bool, delay: int) -> None:
    synapse = Dense(weight=weights(3, 4) / 4 if is_float else weights(3, 4))
    s = payloads(synapse, (4,), 5)
    process = Synapses(synapse=synapse, shape=(4,), delay=delay)
    found = run_process(process, s_in=s, num_steps=7 + delay, tag="floating_pt" if is_float else "fixed_pt").a_out
    assert np.array_equal(found[1 + delay : 6 + delay], synapse.accumulate(s))
    assert not found[: 1 + delay].any()
    assert not found[6 + delay :].any()


@pytest.mark.parametrize("delay", [-1, 1.0, True, None])
def test_impossible_delays(delay: Any) -> None:
    with pytest.raises(SpecError) as caught:
        Synapses(synapse=Relay(), shape=(1,), delay=delay)
    assert str(caught.value) == f"Synapses: delay must be an integer of at least 0, found {delay!r}"


def test_the_next_current_can_be_read() -> None:
    synapses = Synapses(synapse=Dense(weight=np.array([[2, -3]])), shape=(2,))
    found = run_process(synapses, s_in=[[5, 1], [0, 4]], probe=["a_buf"])
    assert found.a_out.ravel().tolist() == [0, 7]
    assert found.a_buf.ravel().tolist() == [7, -12]


def test_currents_beyond_32_bits_arrive_whole() -> None:
    """Also those of several Synapses into one neuron, which may add up or cancel."""
    top, bottom = 2**23 - 1, -(2**23)
    source = ImageSource(images=np.array([[top] * 4, [-top] * 4]), num_steps=1)
    readout = Readout(shape=(2,))
    for weight in ([[127] * 4, [127] * 4], [[127] * 4, [-127, -127, -127, -126]]):
        synapses = Synapses(synapse=Dense(weight=np.array(weight)), shape=(4,))
        source.s_out.connect(synapses.s_in)
        synapses.a_out.connect(readout.a_in)
    found = run_process(readout, num_steps=3)
    assert found.v_out.tolist() == [[0, 0], [top, top], [bottom, 0]]
    assert found.overflow_out.tolist() == [[0, 0], [1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("synapse", "shape", "message"),
    [
        (Dense(weight=np.array([[1, 2]])), (3,), "Dense: expected 2 inputs, found 3 (shape (3,))"),
        (
            SumPool(kernel_size=(2, 2)),
            (4,),
            "SumPool: expected input (channels, height, width) or (channels, length), found (4,)",
        ),
        ("dense", (3,), "Synapses: expected a lava_aug.core.layers.Synapse, found 'dense'"),
    ],
)
def test_synapses_refuse(synapse: Any, shape: Shape, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Synapses(synapse=synapse, shape=shape)
    assert str(caught.value) == message


def test_recorder_keeps_and_counts() -> None:
    fan_out = {"a": np.array([[1, 10], [100, 1000]]), "b": np.array([[0, 2], [0, 2]])}
    recording = Recording((2, 2), 3, fan_out=fan_out, keep=True)
    s = np.array([[[5, 0], [0, -7]], [[0, 0], [0, 0]], [[1, 1], [-1, 0]], [[9, 9], [9, 9]]])
    overflow = [[3, 0], [0, 4], [0, 0], [9, 9]]
    run_process(Recorder(recording=recording), s_in=s, overflow_in=overflow)
    assert recording.data is not None
    assert recording.data.tolist() == s[:3].tolist()
    assert recording.events.tolist() == [2, 0, 3]
    assert recording.spike_sum.tolist() == [12, 0, 3]
    assert recording.saturated.tolist() == [3, 0, 0]
    assert recording.capped.tolist() == [0, 4, 0]
    assert {name: counts.tolist() for name, counts in recording.synops.items()} == {"a": [1001, 0, 111], "b": [2, 0, 2]}


def test_recorder_counts_without_keeping_and_reads_zeros_unconnected() -> None:
    recording = Recording((2,), 2)
    run_process(Recorder(recording=recording), s_in=[[5, -5], [0, 1]])
    assert recording.data is None
    assert recording.synops == {}
    assert recording.events.tolist() == [2, 1]
    assert recording.spike_sum.tolist() == [10, 1]
    assert recording.saturated.tolist() == recording.capped.tolist() == [0, 0]


def test_recorder_of_floats() -> None:
    """The sum of magnitudes is rounded down once, not payload by payload."""
    recording = Recording((3,), 1, keep=True, dtype=np.float32)
    run_process(Recorder(recording=recording), s_in=[[0.5, 0.75, -0.25]], tag="floating_pt")
    assert recording.data is not None
    assert recording.data.tolist() == [[0.5, 0.75, -0.25]]
    assert recording.events.tolist() == [3]
    assert recording.spike_sum.tolist() == [1]
