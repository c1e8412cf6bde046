"""Parameters for each channel: the same as a population for each channel, with parameters of its own."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from examples import PER_CHANNEL_NEURONS, channels, name_of
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import images_for, layer

from lava_aug.core.errors import NetworkError, SpecError
from lava_aug.core.layers import Conv, Dense, Relay, Shape
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import (
    AugmentedNeuron,
    DoubleThresholdNeuron,
    Neuron,
    RateNeuron,
    ReadoutNeuron,
    State,
    initial_state,
)
from lava_aug.kernels.compiled import CompiledPopulation
from lava_aug.netx.networks import load, save
from lava_aug.plot.activity import trace
from lava_aug.simulation.settling import settle
from lava_aug.simulation.simulator import simulate

TOP = 2**23 - 1
SIZE = (2, 3)


@st.composite
def per_channel(draw: st.DrawFn) -> tuple[Neuron, list[Neuron]]:
    """A neuron that differs from channel to channel, and a neuron for each channel."""
    kind = draw(st.sampled_from([RateNeuron, DoubleThresholdNeuron, AugmentedNeuron]))
    number = draw(st.integers(1, 4))
    each: dict[str, Any] = {"vth": st.sampled_from([1, 2, 7, 41, 500, TOP])}
    each["v0"], each["n_max"] = st.integers(-50, 50), st.integers(1, 5)
    shared: dict[str, Any] = {}
    if kind is not RateNeuron:
        each["vth_lo"], shared["signed"] = st.sampled_from([-1, -2, -41, -500]), draw(st.booleans())
    chosen = draw(st.sets(st.sampled_from(sorted(each)))) | {"vth"}
    values = {name: [draw(each[name]) for _ in range(number)] for name in sorted(chosen)}
    whole = kind(**{name: channels(*found) for name, found in values.items()}, **shared)
    return whole, [kind(**{name: found[i] for name, found in values.items()}, **shared) for i in range(number)]


def currents(number: int, seed: int, scale: int, num_steps: int = 6) -> np.ndarray:
    """Input current of two images, with some far beyond 24 bits."""
    rng = np.random.default_rng(seed)
    a = rng.integers(-scale, 2 * scale, (num_steps, 2, number, *SIZE))
    return np.where(rng.random(a.shape) < 0.02, rng.choice([2**30, -(2**30)], a.shape), a)


def courses(neuron: Neuron, a: np.ndarray) -> list[list[np.ndarray]]:
    """``(s, v, n, saturated, capped)`` in every step."""
    v, n, _ = initial_state(neuron, a.shape[2:])
    state = State(np.stack([v] * a.shape[1]), np.stack([n] * a.shape[1]))
    found = []
    for current in a:
        step = neuron.step(state, current, 1)
        capped = np.zeros(step.s.shape, bool) if step.capped is None else step.capped
        found.append([step.s, step.state.v, step.state.n, step.saturated, capped])
        state = step.state
    return found


some_currents = st.tuples(st.integers(0, 10**6), st.sampled_from([5, 60, 900, 2**23]))


@settings(max_examples=150, deadline=None)
@given(per_channel(), some_currents)
def test_every_channel_is_a_population_of_its_own(neurons: tuple[Neuron, list[Neuron]], chosen: Any) -> None:
    whole, parts = neurons
    a = currents(len(parts), *chosen)
    together = courses(whole, a)
    for i, part in enumerate(parts):
        for one, all_channels in zip(courses(part, a[:, :, i]), together, strict=True):
            for expected, found in zip(one, all_channels, strict=True):
                np.testing.assert_array_equal(found[:, i], expected)


@settings(max_examples=100, deadline=None)
@given(per_channel(), some_currents)
def test_in_torch_and_compiled(neurons: tuple[Neuron, list[Neuron]], chosen: Any) -> None:
    whole, parts = neurons
    a = currents(len(parts), *chosen)
    shape = a.shape[2:]
    fast = CompiledPopulation(whole, shape, 2, np.ones(shape, np.int64))
    v, n = (torch.tensor(np.stack([x] * 2), dtype=torch.float32) for x in initial_state(whole, shape)[:2])
    state = State(v, n)
    for t, (current, (s, v, n, *_)) in enumerate(zip(a, courses(whole, a), strict=True), start=1):
        step = whole.step(state, torch.tensor(current, dtype=torch.float64).clamp(-(2**30), 2**30), torch.tensor(1.0))
        fast.step(current.reshape(2, -1).astype(np.float64), t)
        state = step.state
        for expected, in_torch, compiled in ((s, step.s, fast.s), (v, state.v, fast.v), (n, state.n, fast.n)):
            np.testing.assert_array_equal(in_torch.numpy(), expected)
            np.testing.assert_array_equal(compiled.reshape(expected.shape), expected)


def split(whole: Neuron, parts: list[Neuron], seed: int) -> tuple[Network, Network]:
    """One layer of several channels, or a layer for each channel, between the same synapses."""
    weight = np.random.default_rng(seed).integers(-9, 10, (len(parts), 1, 2, 2))
    behind = np.random.default_rng(seed + 1).integers(-9, 10, (3, len(parts), 6))
    readout = Dense(weight=behind.reshape(3, -1))
    one = Network(
        input_shape=(1, 3, 4), layers=(layer("0", INPUT, Conv(weight=weight), whole), layer("out", "0", readout))
    )
    hidden = [layer(str(i), INPUT, Conv(weight=weight[i : i + 1]), part) for i, part in enumerate(parts)]
    out = layer("out", "0", Dense(weight=behind[:, 0]))
    sources = tuple((str(i), Dense(weight=behind[:, i])) for i in range(len(parts)))
    many = Network(input_shape=(1, 3, 4), layers=(*hidden, out.replace(connections=sources)))
    return one, many


@settings(max_examples=30, deadline=None)
@given(per_channel(), st.integers(0, 10**6))
def test_whole_networks(neurons: tuple[Neuron, list[Neuron]], seed: int) -> None:
    one, many = split(*neurons, seed)
    images = images_for(one, 3)
    found, expected = simulate(one, images, 4, record="0"), simulate(many, images, 4, record=True)
    np.testing.assert_array_equal(found.v, expected.v)
    for i in range(len(neurons[1])):
        np.testing.assert_array_equal(found.spikes["0"][:, :, i : i + 1], expected.spikes[str(i)])
    assert (found.events["0"] == sum(expected.events[str(i)] for i in range(len(neurons[1])))).all()


def relayed(neuron: Neuron, shape: Shape, **options: Any) -> Network:
    """A layer that takes the images as they are, and a readout that adds up."""
    unit = 0.5 if neuron.is_float else 1
    readout = Dense(weight=np.ones((2, int(np.prod(shape))), int) * unit)
    return Network(
        input_shape=shape,
        layers=(
            layer("a", INPUT, Relay(), neuron, **options),
            layer("out", "a", readout, ReadoutNeuron(floating=neuron.is_float)),
        ),
    )


@pytest.mark.parametrize(("neuron", "shape"), PER_CHANNEL_NEURONS, ids=name_of)
def test_files(neuron: Neuron, shape: Shape, tmp_path: Path) -> None:
    net = relayed(neuron, shape, quantum=np.linspace(0.1, 0.7, shape[0]).reshape(-1, *[1] * (len(shape) - 1)))
    save(net, tmp_path / "some.net")
    assert load(tmp_path / "some.net") == net
    one = relayed(neuron, shape, quantum=[0.25])
    save(one, tmp_path / "one.net")
    assert load(tmp_path / "one.net")["a"].quantum.tolist() == [0.25]  # pyright: ignore


def test_settling() -> None:
    neuron = AugmentedNeuron(vth=channels(3, 40, 500), v0=channels(1, 2, -600), n_max=channels(50, 2, 9))
    net = relayed(neuron, (3, 2, 2))
    images = images_for(net, 4)
    np.testing.assert_array_equal(settle(net, images, 6).v, simulate(net, images, 6).v[-1])
    refused = relayed(AugmentedNeuron(vth=9, vth_lo=channels(-1, -2, -1)), (3, 2, 2))
    with pytest.raises(NetworkError, match=r"layer 'a' has vth_lo = -2 at \(1, 0, 0\); only with -1"):
        settle(refused, images, 6)


def test_summary_shows_ranges() -> None:
    neuron = AugmentedNeuron(vth=channels(12, 127), vth_lo=channels(-12, -127), n_max=channels(6, 9))
    text = relayed(neuron, (2, 1, 3)).summary()
    assert re.search(r" AUGIF +2x1x3 +6 +12\.\.127 ", text)
    assert text.splitlines()[-1] == "options: vth_lo -vth, v0 vth/2, n_max 6..9, message_bits 16"
    mixed = AugmentedNeuron(vth=channels(12, 127), vth_lo=channels(-1, -3), v0=channels(0, 5))
    assert relayed(mixed, (2, 1, 3)).summary().splitlines()[-1] == "options: vth_lo -3..-1, v0 0..5, message_bits 16"
    equal = relayed(AugmentedNeuron(vth=channels(0.5, 0.5)), (2, 1, 3)).summary()
    assert re.search(r" AUGIF +2x1x3 +6 +0\.5 ", equal)


def test_defaults_are_those_of_each_element() -> None:
    neuron = AugmentedNeuron(vth=channels(1, 9, TOP))
    assert (neuron.v0.tolist(), neuron.vth_lo) == ([[[0]], [[4]], [[TOP // 2]]], -1)  # pyright: ignore
    floating = DoubleThresholdNeuron(vth=channels(1.0, 3.0))
    assert (floating.v0.tolist(), floating.vth_lo.tolist()) == (  # pyright: ignore
        [[[0.5]], [[1.5]]],
        [[[-(2.0**-16)]], [[-3 * 2.0**-16]]],
    )
    assert (neuron.is_float, floating.is_float) == (False, True)
    assert DoubleThresholdNeuron(vth=2.0, vth_lo=channels(-1, -2)).vth_lo.dtype == np.float32  # pyright: ignore
    mixed = AugmentedNeuron(vth=7, v0=channels(2, 300))
    assert (mixed.v0.dtype, mixed.v0.flags.writeable) == (np.int16, False)  # pyright: ignore


BITS_24 = f"v0: expected an integer from {-TOP - 1} to {TOP}, as vth is an integer, found "
IN_RANGE = f"vth: expected an integer from 1 to {TOP} or a positive float, found "


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"vth": channels(3, 0)},
            IN_RANGE + "0 at (1, 0, 0)",
        ),
        ({"vth": [5, TOP + 1]}, IN_RANGE + "8388608 at (1,)"),
        ({"vth": [1.0, np.nan]}, "vth: expected a finite number, found nan at (1,)"),
        ({"vth": []}, "vth: expected a non-empty array of numbers, found float64 of shape (0,)"),
        ({"vth": [True, False]}, "vth: expected a non-empty array of numbers, found bool of shape (2,)"),
        (
            {"vth": 5, "v0": [1, 2.5]},
            BITS_24 + "1.0 at (0,)",
        ),
        (
            {"vth": [5, 6], "v0": TOP + 1},
            BITS_24 + "8388608",
        ),
        ({"vth": 5, "vth_lo": [-1, 0]}, "vth_lo: expected a negative number, found 0 at (1,)"),
        ({"vth": 5, "n_max": [4, 0, -1]}, "n_max: expected an integer from 1 to 2147483647, found 0 at (1,)"),
        ({"vth": 5, "n_max": [4.5]}, "n_max: expected an integer from 1 to 2147483647, found 4.5 at (0,)"),
    ],
)
def test_impossible_parameters(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        AugmentedNeuron(**options)
    assert str(caught.value) == f"AugmentedNeuron.{message}"


def test_parameters_that_do_not_fit_the_layer() -> None:
    neuron = AugmentedNeuron(vth=channels(3, 4))
    message = r"AugmentedNeuron.vth: expected a shape that broadcasts to \(3, 2, 2\), found \(2, 1, 1\)"
    with pytest.raises(NetworkError, match=f"layer 'a': {message}"):
        relayed(neuron, (3, 2, 2))
    with pytest.raises(SpecError, match=message):
        initial_state(neuron, (3, 2, 2))
    with pytest.raises(NetworkError, match=r"layer 'a': quantum of shape \(2, 1, 1\) does not fit the layer's shape"):
        relayed(AugmentedNeuron(vth=3), (3, 2, 2), quantum=channels(1, 2))


def test_quanta() -> None:
    quantum = relayed(AugmentedNeuron(vth=3), (2, 1, 2), quantum=channels(1, 2))["a"].quantum
    assert isinstance(quantum, np.ndarray)
    assert (quantum.dtype, quantum.ravel().tolist()) == (np.float32, [1, 2])
    with pytest.raises(SpecError, match=r"layer 'a': quantum must be positive, found 0.0 at \(1, 0, 0\)"):
        relayed(AugmentedNeuron(vth=3), (2, 1, 2), quantum=channels(0.5, 0))
    with pytest.raises(SpecError, match="layer 'out': the quantum of a readout must be one number, found an array"):
        layer("out", INPUT, Relay(), quantum=channels(1, 2))


def test_traces() -> None:
    found = trace(AugmentedNeuron(vth=np.array([10, 4])), [[25, 25], [-9, -9], [-30, -30]])
    assert found.s.T.tolist() == [[3, -1, -2], [6, -2, -4]]
    assert found.peak.T.tolist() == [[30, -9, -29], [27, -6, -28]]
