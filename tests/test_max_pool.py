"""Max pooling of running sums, against PyTorch's max pooling of the sums."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from examples import DEVICES, weights
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nets import images_for, layer
from reference import theorem

from lava_aug.core.errors import NetworkError, SpecError
from lava_aug.core.images import payloads
from lava_aug.core.layers import Conv, Dense, Relay
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, MaxPoolNeuron, State, initial_state
from lava_aug.netx.networks import load, save
from lava_aug.simulation.settling import settle
from lava_aug.simulation.simulator import simulate
from lava_aug.verification.reference import interpret

TOP = 2**23 - 1


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Any that PyTorch takes: padding of at most half the kernel."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    return {
        "kernel_size": kernel,
        "stride": draw(st.none() | st.tuples(st.integers(1, 4), st.integers(1, 4))),
        "padding": tuple(draw(st.integers(0, size // 2)) for size in kernel),
        "dilation": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "ceil_mode": draw(st.booleans()),
    }


maps = st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9))


def pooled(v: np.ndarray, given: dict[str, Any]) -> Any:
    """What PyTorch gives, None if it refuses or a window sees padding alone."""
    try:
        found = torch.nn.functional.max_pool2d(torch.tensor(v, dtype=torch.float64), **given).numpy()
    except RuntimeError:
        return None
    return found if np.isfinite(found).all() else None


def in_torch(state: State, device: str) -> State:
    """The same in float32."""
    v, n = (torch.tensor(x, dtype=torch.float32, device=device) for x in state[:2])
    return State(v, n)


@pytest.mark.parametrize("device", DEVICES)
@settings(deadline=None, max_examples=300)
@given(given_options=options(), shape=maps, seed=st.integers(0, 10**6), scale=st.sampled_from([1, 100, 2**20]))
def test_n_is_the_maximum_of_the_running_sums(
    device: str, given_options: dict[str, Any], shape: Any, seed: int, scale: int
) -> None:
    neuron, rng = MaxPoolNeuron(**given_options, message_bits=24), np.random.default_rng(seed)
    total = np.zeros(shape, np.int64)
    if pooled(total, given_options) is None:
        with pytest.raises(SpecError, match=r"does not fit into|sees nothing but padding"):
            neuron.output_shape(shape)
        return
    state = initial_state(neuron, shape)
    single = in_torch(state, device)
    for _ in range(4):
        a = rng.integers(-scale, scale + 1, shape)
        total = total + a
        step = neuron.step(state, a, 0)
        fast = neuron.step(single, torch.tensor(a, dtype=torch.float32, device=device), 0)
        np.testing.assert_array_equal(step.state.n, pooled(total, given_options))
        np.testing.assert_array_equal(step.state.n, state.n + step.s)
        np.testing.assert_array_equal(step.state.v, total)
        for one, other in ((fast.s, step.s), (fast.state.n, step.state.n), (fast.state.v, step.state.v)):
            np.testing.assert_array_equal(one.cpu().numpy(), other)
        assert step.state.n.shape == neuron.output_shape(shape)
        state, single = step.state, fast.state


@settings(deadline=None)
@given(options(), maps, st.integers(0, 10**6))
def test_unit_spikes_stay_unit_spikes(given_options: dict[str, Any], shape: Any, seed: int) -> None:
    assume(pooled(np.zeros(shape), given_options) is not None)
    neuron, rng = MaxPoolNeuron(**given_options, message_bits=2), np.random.default_rng(seed)
    state = initial_state(neuron, shape)
    for _ in range(8):
        step = neuron.step(state, rng.integers(-1, 2, shape), 0)
        state = step.state
        assert set(np.unique(step.s)) <= {-1, 0, 1}
        assert step.capped is not None
        assert not step.capped.any()


def test_by_hand() -> None:
    neuron = MaxPoolNeuron(kernel_size=(1, 2))
    state, found = initial_state(neuron, (1, 4)), []
    for a in ([3, 1, -5, -2], [-9, 0, 9, 0], [0, 0, -9, 0], [4, 4, 4, 4]):
        step = neuron.step(state, np.array([a]), 0)
        state = step.state
        found.append((step.s.tolist(), state.n.tolist()))
    assert found == [([[3, -2]], [[3, -2]]), ([[-2, 6]], [[1, 4]]), ([[0, -6]], [[1, -2]]), ([[4, 4]], [[5, 2]])]


def test_what_exceeds_the_payload_follows() -> None:
    neuron = MaxPoolNeuron(kernel_size=(1, 2), message_bits=4)
    state, found = initial_state(neuron, (1, 2)), []
    for a in ([20, 3], [0, 0], [0, 0], [-40, -40]):
        step = neuron.step(state, np.array([a]), 0)
        state = step.state
        assert step.capped is not None
        found.append((step.s.item(), state.n.item(), step.capped.item()))
    assert found == [(7, 7, True), (7, 14, True), (6, 20, False), (-7, 13, True)]


def test_running_sums_saturate() -> None:
    neuron = MaxPoolNeuron(kernel_size=(1, 2), message_bits=24)
    step = neuron.step(initial_state(neuron, (1, 4)), np.array([[TOP + 1, 0, TOP, -TOP - 2]]), 0)
    assert step.state.v.tolist() == [[TOP, 0, TOP, -TOP - 1]]
    assert step.saturated.tolist() == [[True, False, False, True]]
    assert step.s.tolist() == [[TOP, TOP]]
    floating = MaxPoolNeuron(kernel_size=(1, 2), floating=True)
    step = floating.step(initial_state(floating, (1, 2)), np.array([[0.25, -1e9]]), 0)
    assert (step.s.tolist(), step.saturated.any()) == ([[0.25]], False)


def net_with(pool: MaxPoolNeuron, neuron: Any = None) -> Network:
    """Max pooling of the images, and behind a convolution."""
    conv = Conv(weight=weights(3, 2, 2, 2, largest=9))
    return Network(
        input_shape=(2, 7, 6),
        layers=(
            layer("images", INPUT, Relay(), MaxPoolNeuron(kernel_size=(2, 2), stride=(1, 1))),
            layer("conv", "images", conv, neuron or AugmentedNeuron(vth=300, signed=True)),
            layer("pool", "conv", Relay(), pool, quantum=np.array([1, 2, 3]).reshape(3, 1, 1)),
            layer("out", "pool", Dense(weight=weights(4, 18)), bias=[1, 2, 3, 4]),
        ),
    )


POOL = MaxPoolNeuron(kernel_size=(3, 2), stride=(2, 2), padding=(1, 0))


@pytest.mark.parametrize("neuron", [AugmentedNeuron(vth=300, signed=True), DoubleThresholdNeuron(vth=900)])
def test_networks(neuron: Any, tmp_path: Path) -> None:
    net = net_with(POOL, neuron)
    assert net.current_shapes == {"images": (2, 7, 6), "conv": (3, 5, 4), "pool": (3, 5, 4), "out": (4,)}
    assert net.shapes == {INPUT: (2, 7, 6), "images": (2, 6, 5), "conv": (3, 5, 4), "pool": (3, 3, 2), "out": (4,)}
    images = images_for(net, 3)
    found = simulate(net, images, 5, record=True)
    assert found.differences(interpret(net, payloads(net, images), 5)) == []
    sums = {name: spikes.cumsum(axis=0) for name, spikes in found.spikes.items()}
    for t in range(5):
        expected = pooled(sums["conv"][t], {"kernel_size": (3, 2), "stride": 2, "padding": (1, 0)})
        np.testing.assert_array_equal(sums["pool"][t], expected)
    save(net, tmp_path / "pool.net")
    assert load(tmp_path / "pool.net") == net


def test_ternary_networks_stay_ternary() -> None:
    pool = MaxPoolNeuron(kernel_size=(2, 2), message_bits=2, padding=(1, 0))
    net = net_with(pool, DoubleThresholdNeuron(vth=2000, signed=True))
    found = simulate(net, images_for(net, 4), 8, record="pool")
    assert set(np.unique(found.spikes["pool"])) == {-1, 0, 1}
    assert not found.capped["pool"].any()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(0, 10**6))
def test_settling(num_steps: int, seed: int) -> None:
    net = net_with(POOL)
    images = np.random.default_rng(seed).integers(0, 256, (3, *net.input_shape)).astype(np.uint8)
    found = settle(net, images, num_steps)
    np.testing.assert_array_equal(found.v, simulate(net, images, num_steps).v[-1])
    np.testing.assert_array_equal(found.v, theorem(net, images, num_steps)["out"])


def test_settling_near_the_limits_is_refused() -> None:
    images = np.full((1, 2, 7, 6), 255, np.uint8)
    with pytest.raises(NetworkError, match="layer 'images' come close to the 24-bit limit"):
        settle(net_with(POOL), images, 20000)
    with pytest.raises(NetworkError, match=r"layer 'pool' sends up to .* and 3-bit payloads hold up to 3"):
        settle(net_with(POOL.replace(message_bits=3)), images, 4)


def test_summary() -> None:
    lines = net_with(POOL).summary().splitlines()
    assert re.match(r"pool +relay +MAXPOOL 3x2/2x2 +3x3x2 +18 +- +0 +60 +conv$", lines[6])
    assert lines[-1] == "options: message_bits 16, vth_lo -1, v0 vth/2"


@pytest.mark.parametrize(
    ("given_options", "message"),
    [
        ({"kernel_size": 0}, "kernel_size: expected one or two integers of at least 1, found 0"),
        ({"kernel_size": 2, "stride": 0}, "stride: expected one or two integers of at least 1, found 0"),
        ({"kernel_size": 2, "padding": -1}, "padding: expected one or two integers of at least 0, found -1"),
        (
            {"kernel_size": (3, 2), "padding": (1, 2)},
            "padding: expected at most half of the window, which spans (3, 2), found (1, 2)",
        ),
        ({"kernel_size": 2, "ceil_mode": 1}, "ceil_mode: expected True or False, found 1"),
        ({"kernel_size": 2, "message_bits": 1}, "message_bits: expected an integer from 2 to 24, found 1"),
    ],
)
def test_impossible_parameters(given_options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        MaxPoolNeuron(**given_options)
    assert str(caught.value) == f"MaxPoolNeuron.{message}"


@pytest.mark.parametrize(
    ("neuron", "shape", "message"),
    [
        (MaxPoolNeuron(kernel_size=(3, 3)), (2, 4, 2), "window (3, 3) does not fit into (4, 2)"),
        (
            MaxPoolNeuron(kernel_size=(2, 2), dilation=(1, 3), padding=(0, 1)),
            (1, 2, 2),
            "a window of (2, 2) on (2, 2) sees nothing but padding",
        ),
        (MaxPoolNeuron(kernel_size=(2, 2)), (6,), "expected input current (..., height, width), found shape (6,)"),
    ],
)
def test_maps_that_do_not_fit(neuron: MaxPoolNeuron, shape: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        neuron.output_shape(shape)
    assert str(caught.value) == f"MaxPoolNeuron: {message}"
    with pytest.raises(NetworkError, match=re.escape(f"layer 'pool': MaxPoolNeuron: {message}")):
        Network(input_shape=shape, layers=(layer("pool", INPUT, Relay(), neuron), layer("out", "pool", Relay())))


def test_a_bias_is_refused() -> None:
    with pytest.raises(SpecError, match="layer 'pool': MAXPOOL neurons take no bias; leave it out"):
        layer("pool", INPUT, Relay(), POOL, bias=[1])
