"""Lava against the specification: every neuron, every synapse and whole networks, step by step and bit by bit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import EXAMPLE_POPULATIONS, EXAMPLE_SYNAPSES, channels, name_of, table, weights
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from nets import METHODS, SKIPS, images_for, layer, skip_net, three_methods

from lava_aug.core.images import payloads
from lava_aug.core.layers import SYNAPSES, Conv, Dense, Relay, Shape, SumPool, Synapse
from lava_aug.core.network import INPUT, Connection, Layer, Network
from lava_aug.core.neurons import (
    NEURONS,
    AugmentedNeuron,
    DoubleThresholdNeuron,
    MaxPoolNeuron,
    Neuron,
    RateNeuron,
    ReadoutNeuron,
    initial_state,
)
from lava_aug.core.results import Output
from lava_aug.lava.deploy import Deployment, run
from lava_aug.lava.supervision import supervise
from lava_aug.netx.networks import load, save
from lava_aug.processes import Neurons
from lava_aug.simulation.simulator import simulate
from lava_aug.testing import run_process
from lava_aug.verification.reference import interpret

pytestmark = pytest.mark.lava


def test_every_registered_type_is_tested() -> None:
    assert set(NEURONS.values()) == {type(neuron) for neuron, _ in EXAMPLE_POPULATIONS}
    assert set(SYNAPSES.values()) == {type(synapse) for synapse, _ in EXAMPLE_SYNAPSES}


# Neurons


def currents(neuron: Neuron, num_steps: int, shape: Shape) -> np.ndarray:
    """Random input currents around the threshold and, for fixed point, some beyond 24 bits."""
    rng = np.random.default_rng(5)
    scale = 4 * np.asarray(getattr(neuron, "vth", 10), float)
    a = rng.uniform(-scale, 1.2 * scale, (num_steps, *shape))
    if neuron.is_float:
        return a
    far = rng.random(a.shape) < 0.05
    return np.where(far, rng.choice([2**31 - 1, -(2**31)], a.shape), a.clip(-(2**31), 2**31 - 1).astype(np.int64))


def stepped(neuron: Neuron, a: np.ndarray, bias: np.ndarray, interval: int, offset: int) -> dict[str, np.ndarray]:
    """What `Neuron.step` gives, with windows as `Neurons` defines them."""
    found: dict[str, list[Any]] = {"s_out": [], "v": [], "n": [], "overflow_out": []}
    state = initial_state(neuron, a.shape[1:])
    for time_step, current in enumerate(a, start=1):
        if time_step % interval == offset % interval:
            state = initial_state(neuron, a.shape[1:])
        step = neuron.step(state, current, bias)
        state = step.state
        capped = 0 if step.capped is None else np.count_nonzero(step.capped)
        row = (step.s, state.v, state.n, (np.count_nonzero(step.saturated), capped))
        for rows, value in zip(found.values(), row, strict=True):
            rows.append(value)
    return {name: np.array(rows) for name, rows in found.items()}


@pytest.mark.parametrize(("neuron", "shape"), EXAMPLE_POPULATIONS, ids=name_of)
def test_neurons(neuron: Neuron, shape: Shape) -> None:
    interval, offset = 8, 11
    a = currents(neuron, 28, shape)
    bias = np.resize(np.arange(-3, 3), (*shape[:-1], 1))
    bias = (bias / 8 if neuron.is_float else bias) * neuron.takes_bias
    expected = stepped(neuron, a, bias, interval, offset)
    process = Neurons(shape=shape, neuron=neuron, bias=bias, reset_interval=interval, reset_offset=offset)
    if not neuron.fires:
        expected = {"v_out": expected["v"], "v": expected["v"], "overflow_out": expected["overflow_out"]}
    tag = "floating_pt" if neuron.is_float else "fixed_pt"
    found = run_process(process, a_in=a, probe=expected, tag=tag)
    for name, values in expected.items():
        assert np.array_equal(found[name], values), name
    assert expected["overflow_out"][:, 0].any() != neuron.is_float
    assert not neuron.fires or len(np.unique(expected["s_out"])) >= 2


# Networks


def conform(
    net: Network, images: np.ndarray, num_steps: int, folder: Path, forms: Sequence[bool] = (True, False)
) -> Output:
    """What a saved and loaded network gives on Lava: just what simulator and slow reference give for the original.

    ``forms`` says whether it runs fused, in layers of their own, or both.
    """
    save(net, folder / "conform.net")
    loaded = load(folder / "conform.net")
    assert loaded == net
    expected = interpret(net, payloads(net, images), num_steps)
    assert simulate(net, images, num_steps, record=True).differences(expected) == []
    for fused in forms:
        found = run(loaded, images, num_steps, record=True, fused=fused)
        assert found.differences(expected) == []
    return expected


KINDS = {(type(synapse), synapse.is_float): synapse for synapse, _ in reversed(EXAMPLE_SYNAPSES)}
"""The first example of each type and number format."""


@pytest.mark.parametrize(("synapse", "shape"), EXAMPLE_SYNAPSES, ids=name_of)
def test_synapses_between_each_methods_neurons(synapse: Synapse, shape: Shape, tmp_path: Path) -> None:
    """All fused; in layers of their own, which have the same kernels (test_kernels), one of each kind."""
    net = three_methods(synapse, shape)
    forms = (True, False) if any(synapse is one for one in KINDS.values()) else (True,)
    found = conform(net, images_for(net, 3), 4, tmp_path, forms)
    assert all(found.events[name].any() == (synapse.weights > 0).any() for name in ("rate", "ter", "aug"))


class Chain:
    """A random network of one path, every layer of which fires."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.layers: list[Layer] = []
        self.input_shape = (2, 5, 6)
        self.source, self.s = INPUT, np.full((1, *self.input_shape), 128)

    def add(self, synapse: Synapse) -> None:
        """A layer whose threshold suits a typical input."""
        a = synapse.accumulate(self.s)
        vth = int(np.abs(a).mean()) // int(self.rng.integers(1, 5)) + 1
        kinds = [RateNeuron, DoubleThresholdNeuron, AugmentedNeuron]
        neuron = kinds[self.rng.integers(3)](vth=vth)
        bias = self.rng.integers(-vth // 2, vth, (a.shape[1], *[1] * (a.ndim - 2)))
        name = f"layer{len(self.layers)}"
        self.layers.append(layer(name, self.source, synapse, neuron, bias=bias))
        limit = neuron.coefficient_limit
        self.source, self.s = name, (a // vth).clip(0, limit)

    def synapse(self) -> Synapse:
        """One of each type that takes maps."""
        channels = self.s.shape[1]
        out = int(self.rng.integers(1, 4))
        conv = Conv(weight=self.rng.integers(-60, 128, (out, channels, 3, 2)), padding=(1, 1))
        return [conv, SumPool(kernel_size=(2, 3), padding=(1, 1)), Relay()][self.rng.integers(3)]

    def network(self, num_layers: int) -> Network:
        """So many layers, a dense one, and the readout."""
        for _ in range(num_layers):
            self.add(self.synapse())
        self.add(Dense(weight=self.rng.integers(-60, 128, (7, self.s.size))))
        readout = layer("out", self.source, Dense(weight=self.rng.integers(-127, 128, (4, 7))), bias=[1, -1, 2, -2])
        return Network(input_shape=self.input_shape, layers=(*self.layers, readout))


@pytest.mark.parametrize(("num_layers", "num_steps"), [(0, 1), (0, 3), (1, 5), (2, 1), (3, 2), (4, 6), (5, 1), (7, 3)])
def test_random_chains(num_layers: int, num_steps: int, tmp_path: Path) -> None:
    """Also of less time steps than layers, so that several images are under way at once."""
    net = Chain(10 * num_layers + num_steps).network(num_layers)
    found = conform(net, images_for(net, 4), num_steps, tmp_path)
    assert sum(bool(events.any()) for events in found.events.values()) >= num_layers


def test_a_residual_sum_through_a_relay_of_equal_depth(tmp_path: Path) -> None:
    relay = AugmentedNeuron(vth=1, v0=0, signed=True)
    net = Network(
        input_shape=(2, 4, 3),
        layers=(
            layer(
                "first", INPUT, Conv(weight=weights(3, 2, 3, 3), padding=(1, 1)), AugmentedNeuron(vth=900, signed=True)
            ),
            layer("inner", "first", Conv(weight=weights(3, 3, 3, 3, seed=1), padding=(1, 1)), AugmentedNeuron(vth=700)),
            layer("around", "first", Relay(), relay),
            Layer(
                name="sum",
                connections=(
                    Connection("inner", Conv(weight=weights(3, 3, 1, 1, seed=2))),
                    Connection("around", Relay()),
                    Connection("around", Conv(weight=weights(3, 3, 1, 1, seed=3))),
                ),
                neuron=DoubleThresholdNeuron(vth=120),
                quantum=1.0,
                bias=np.array([[[40]], [[-30]], [[0]]]),
            ),
            layer("out", "sum", Dense(weight=weights(5, 36, seed=4))),
        ),
    )
    found = conform(net, images_for(net, 3), 3, tmp_path)
    assert (found.spikes["around"] < 0).any()
    assert found.events["inner"].any()
    assert (found.spikes["sum"] != 0).any()


@pytest.mark.parametrize(
    "neuron",
    [
        RateNeuron(vth=channels(90, 900, 4000)),
        DoubleThresholdNeuron(vth=channels(90, 900, 4000), vth_lo=channels(-90, -1, -500), v0=0),
        AugmentedNeuron(vth=channels(90, 900, 4000), v0=channels(0, 1, 2), signed=True, n_max=channels(4, 100, 1)),
        table([-9, 0, 70, 99], vth=channels(900, 9000, 40), low=-8, step_bits=4, shift=2, function="bend"),
    ],
    ids=name_of,
)
def test_parameters_of_each_channel(neuron: Neuron, tmp_path: Path) -> None:
    net = Network(
        input_shape=(2, 4, 3),
        layers=(
            layer("hidden", INPUT, Conv(weight=weights(3, 2, 3, 3)), neuron, quantum=channels(0.5, 1, 2)),
            layer("out", "hidden", Dense(weight=weights(5, 6, seed=4))),
        ),
    )
    found = conform(net, images_for(net, 3), 3, tmp_path)
    assert found.events["hidden"].any()


@pytest.mark.parametrize(("name", "num_steps"), [(name, 1 + k % 4) for k, name in enumerate(SKIPS)])
def test_paths_of_different_length(name: str, num_steps: int, tmp_path: Path) -> None:
    """Also where an image waits for longer than it is shown, so that several wait at once."""
    net = skip_net(SKIPS[name], METHODS[num_steps % 3])
    found = conform(net, images_for(net, 4), num_steps, tmp_path)
    assert all(found.events[layer.name].any() for layer in net.layers[:-1])


def test_many_images_wait_at_once(tmp_path: Path) -> None:
    net = skip_net(SKIPS["all"])
    found = conform(net, images_for(net, 6), 1, tmp_path)
    assert len({tuple(v) for v in found.v[0].tolist()}) == 6


@pytest.mark.parametrize("neuron", [AugmentedNeuron(vth=300), DoubleThresholdNeuron(vth=900)], ids=name_of)
def test_max_pooling(neuron: Neuron, tmp_path: Path) -> None:
    """Behind the images, behind a layer, and beside it in a residual sum."""
    pool = MaxPoolNeuron(kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))
    net = Network(
        input_shape=(2, 7, 6),
        layers=(
            layer("images", INPUT, Relay(), MaxPoolNeuron(kernel_size=(2, 2), stride=(1, 1))),
            layer("conv", "images", Conv(weight=weights(3, 2, 2, 2)), neuron, quantum=channels(1, 2, 3)),
            layer("pool", "conv", Relay(), pool, quantum=channels(1, 2, 3)),
            layer("down", "conv", Conv(weight=weights(3, 3, 3, 3, seed=1), stride=(2, 2), padding=(1, 1)), neuron),
            Layer(
                name="sum",
                connections=(Connection("pool", Relay()), Connection("down", Relay())),
                neuron=AugmentedNeuron(vth=1, v0=0, signed=True),
                quantum=1.0,
            ),
            layer("out", "sum", Dense(weight=weights(5, 18, seed=4))),
        ),
    )
    assert (net.current_shapes["pool"], net.shapes["pool"]) == ((3, 5, 4), (3, 3, 2))
    found = conform(net, images_for(net, 3), 3, tmp_path)
    assert all(events.any() for events in found.events.values())


def test_what_happens_before_a_window_does_not_leak_into_it(tmp_path: Path) -> None:
    """Biases fire layers that wait for their first image; and images do not see each other."""
    net = Network(
        input_shape=(3,),
        layers=(
            layer("a", INPUT, Dense(weight=weights(4, 3)), AugmentedNeuron(vth=50), bias=[1000, 30, -700, 51]),
            layer("b", "a", Dense(weight=weights(4, 4, seed=1)), RateNeuron(vth=9), bias=[90, 9, -90, 4]),
            layer("c", "b", Dense(weight=weights(4, 4, seed=2)), DoubleThresholdNeuron(vth=9), bias=[90, 9, -90, 4]),
            layer("out", "c", Dense(weight=weights(2, 4, seed=3)), bias=[12345, -1]),
        ),
    )
    images = np.array([[0, 0, 0], [255, 1, 2], [0, 0, 0], [3, 200, 100]], np.uint8)
    found = conform(net, images, 2, tmp_path)
    for index in (1, 3):
        alone = run(net, images[index : index + 1], 2, record=True)
        assert np.array_equal(alone.v[:, 0], found.v[:, index])
    assert np.array_equal(found.v[:, 0], found.v[:, 2])
    assert all(np.array_equal(spikes[:, 0], spikes[:, 2]) for spikes in found.spikes.values())


def test_overflows_are_counted_alike(tmp_path: Path) -> None:
    net = Network(
        input_shape=(6,),
        layers=(
            layer("narrow", INPUT, Dense(weight=weights(5, 6)), AugmentedNeuron(vth=9, message_bits=5, signed=True)),
            layer("wide", "narrow", Dense(weight=weights(5, 5)), AugmentedNeuron(vth=1, message_bits=24, signed=True)),
            layer("clipped", "wide", Dense(weight=weights(5, 5) * 256), AugmentedNeuron(vth=1000, signed=True)),
            layer("out", "clipped", Dense(weight=weights(3, 5) * 256)),
        ),
    )
    found = conform(net, images_for(net, 3), 4, tmp_path)
    assert found.capped["narrow"].any()
    assert found.saturated["clipped"].any()
    assert found.saturated["out"].any()


def test_opposite_currents_beyond_32_bits_cancel_exactly(tmp_path: Path) -> None:
    wide = AugmentedNeuron(vth=1, message_bits=24, v0=0)
    big = np.full((2, 8), 2**15 - 1)
    net = Network(
        input_shape=(8,),
        layers=(
            layer("a", INPUT, Dense(weight=np.eye(8, dtype=int) * 30000), wide),
            layer("b", INPUT, Dense(weight=np.eye(8, dtype=int) * 30000), wide),
            Layer(
                name="out",
                connections=(
                    Connection("a", Dense(weight=big)),
                    Connection("b", Dense(weight=-big + np.eye(2, 8, dtype=int))),
                ),
                neuron=ReadoutNeuron(),
                quantum=1.0,
            ),
        ),
    )
    images = np.array([[200, 100, 255, 255, 255, 255, 255, 255]], np.uint8)
    found = conform(net, images, 1, tmp_path)
    assert found.v.tolist() == [[[200 * 30000, 100 * 30000]]]
    assert not found.saturated["out"].any()


def test_a_floating_point_network(tmp_path: Path) -> None:
    """Of numbers that float32 holds exactly, so that nothing is rounded and all must be equal."""
    net = Network(
        input_shape=(1, 5, 4),
        layers=(
            layer(
                "conv",
                INPUT,
                Conv(weight=weights(2, 1, 3, 2, largest=15) / 8, padding=(1, 1)),
                AugmentedNeuron(vth=16.0, v0=8.0, vth_lo=-16.0),
                bias=np.array([[[2.5]], [[-1.25]]]),
            ),
            layer(
                "pool",
                "conv",
                SumPool(kernel_size=(2, 2), stride=(2, 2)),
                AugmentedNeuron(vth=1.0, v0=0.0, vth_lo=-1.0),
            ),
            layer(
                "fc",
                "pool",
                Dense(weight=weights(4, 8, largest=15, seed=1) / 4),
                DoubleThresholdNeuron(vth=8.0, vth_lo=-8.0),
            ),
            layer("out", "fc", Dense(weight=weights(3, 4, largest=15, seed=2) / 4), ReadoutNeuron(floating=True)),
        ),
    )
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 5, 4)).astype(np.uint8)
    found = conform(net, images, 4, tmp_path)
    assert run(net, images, 4).v.dtype == simulate(net, images, 4).v.dtype == np.float32
    assert all(events.any() for events in found.events.values())


def test_the_hierarchical_model_of_a_spiking_network_equals_the_fused_one() -> None:
    """`SpikingNetwork` with Lava's own choice between a SubProcessModel and a leaf."""
    net = Chain(3).network(3)
    images = images_for(net, 3)
    deployment = Deployment(net, images, 3, (INPUT, net.layers[0].name), fused=True)
    config = Loihi2SimCfg(select_tag="fixed_pt", select_sub_proc_model=True)
    with supervise(deployment.source):
        deployment.source.run(condition=RunSteps(num_steps=deployment.total_steps), run_cfg=config)
    expected = run(net, images, 3, record=(INPUT, net.layers[0].name))
    assert deployment.output().differences(expected) == []
