"""`verify` with a fault planted in one of its runs: it is found, and told where it is."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from faults import AT_THRESHOLD, IMAGES, VTH, ladder, late
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import METHODS, SKIPS, layer, networks, payloads_for, skip_net, small_net

from lava_aug.core.layers import Dense, Relay
from lava_aug.core.network import INPUT, Layer, Network
from lava_aug.core.neurons import AugmentedNeuron, MaxPoolNeuron
from lava_aug.core.results import Output
from lava_aug.kernels import compiled
from lava_aug.kernels.batches import TorchKernel
from lava_aug.netx import hdf5
from lava_aug.netx import networks as netx
from lava_aug.simulation import simulator
from lava_aug.simulation.simulator import simulate
from lava_aug.verification import verifying as verification
from lava_aug.verification.differences import FIELDS, Mismatch, first_mismatch, misfit
from lava_aug.verification.reference import interpret
from lava_aug.verification.verifying import Pair, verify


def without_lava(net: Network, images: Any = None, num_steps: int | None = None) -> dict[str, Pair]:
    """The pairs by name; those on Lava must be left out."""
    found = verify(net, images, num_steps, lava=False)
    assert [pair.left_out for pair in found.pairs[2:]] == ["not asked for"] * 2
    return {pair.name: pair for pair in found.pairs[:2]}


# Faults in the simulator


def test_a_compiled_step_that_is_off_by_one_at_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.CompiledPopulation, "step", late(compiled.CompiledPopulation.step))
    found = verify(ladder(), IMAGES, 4, lava=False)
    assert not found.ok
    assert found.pairs[0] == Pair("simulator", mismatch=AT_THRESHOLD)
    assert found.pairs[1].equal
    assert found.groups == (("spec", "file"), ("simulator",))
    assert str(found).splitlines()[1:3] == [
        "spec != simulator: layer 'second', step 3 of image 1, neuron (2,): spikes: expected 1, found 0; "
        "before: v = 20, n = 0, a = 10, bias = 0, vth = 30, vth_lo = -1, message_bits = 16",
        "spec = file",
    ]
    assert str(found).splitlines()[-1] == "agree with each other: spec, file; simulator"
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["ok"] is False
    assert plain["pairs"][0]["mismatch"]["neuron"] == [2]
    assert plain["groups"] == [["spec", "file"], ["simulator"]]


def test_a_kernel_that_adds_up_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    net, original = ladder(), TorchKernel.__call__

    def wrong(self: TorchKernel, s: torch.Tensor, largest: float | None = None) -> torch.Tensor:
        a = original(self, s, largest).clone()
        if self.synapse is net["second"].connections[0].synapse:
            a[1, 2] += 9
        return a

    monkeypatch.setattr(TorchKernel, "__call__", wrong)
    mismatch = without_lava(net, IMAGES, 4)["simulator"].mismatch
    assert mismatch is not None
    assert (mismatch.layer, mismatch.step, mismatch.image, mismatch.neuron) == ("second", 2, 1, (2,))
    assert (mismatch.expected, mismatch.found) == (0, 1)
    assert {name: mismatch.before[name] for name in ("v", "n", "a")} == {"v": 10, "n": 0, "a": 10}


def test_a_count_that_is_wrong_from_the_second_step_on(monkeypatch: pytest.MonkeyPatch) -> None:
    original = simulator.Log.synops

    def wrong(self: simulator.Log, t: Any, name: str, operations: np.ndarray) -> None:
        original(self, t, name, operations + (name == "out" and t >= 1))

    monkeypatch.setattr(simulator.Log, "synops", wrong)
    pair = without_lava(ladder(), IMAGES, 4)["simulator"]
    expected = {"layer": "out", "field": "synops", "step": 2, "image": 0, "neuron": None, "before": {}}
    assert {name: getattr(pair.mismatch, name) for name in expected} == expected
    assert list(pair.lines()) == ["spec != simulator: layer 'out', step 2 of image 0: synops: expected 0, found 1"]


def test_saturation_that_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator.Log, "overflow", lambda *arguments: None)
    out = ladder().readout.replace(bias=[2**22, 0, 0])
    mismatch = without_lava(ladder().replace(layers=(*ladder().layers[:-1], out)), IMAGES, 4)["simulator"].mismatch
    assert mismatch is not None
    assert str(mismatch) == "layer 'out', step 2 of image 0: saturated: expected 1, found 0"


def test_the_readout_and_the_input_can_differ_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(change: Callable[[Output], None]) -> Mismatch:
        def run(*arguments: Any, **options: Any) -> Output:
            found = simulate(*arguments, **options)
            change(found)
            return found

        monkeypatch.setattr(verification, "simulate", run)
        mismatch = without_lava(ladder(), IMAGES, 4)["simulator"].mismatch
        assert mismatch is not None
        return mismatch

    def readout(found: Output) -> None:
        found.v[3, 0, 2] = 55

    def pixel(found: Output) -> None:
        found.spikes[INPUT][2, 1, 0] = 200

    assert str(changed(readout)) == (
        "layer 'out', step 4 of image 0, neuron (2,): v: expected 1, found 55; before: v = 0, n = 0, a = 1, bias = 0"
    )
    mismatch = changed(pixel)
    assert str(mismatch) == "layer 'input', step 3 of image 1, neuron (0,): spikes: expected 3, found 200"
    assert mismatch.lava_step == 4 + 3


def test_the_state_of_a_neuron_that_pools() -> None:
    pool = MaxPoolNeuron(kernel_size=(1, 2))
    net = Network(
        input_shape=(1, 1, 4),
        layers=(layer("pool", INPUT, Relay(), pool), layer("out", "pool", Dense(weight=np.ones((1, 2), np.int8)))),
    )
    x = np.array([[[[3, 5, 9, 2]]]], np.uint8)
    expected, found = interpret(net, x, 3), interpret(net, x, 3)
    found.spikes["pool"][1, 0, 0, 0, 1] = 8
    mismatch = first_mismatch(expected, found, x)
    assert mismatch is not None
    assert (mismatch.neuron, mismatch.expected, mismatch.found) == ((0, 0, 1), 9, 8)
    assert mismatch.before == {"largest v": 9, "largest v + a": 18, "n": 9, "message_bits": 16}


@contextlib.contextmanager
def simulating(net: Network) -> Any:
    """`verify` simulates another network than the one it is given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "simulate", lambda _, *arguments, **options: simulate(net, *arguments, **options))
        yield


def values_at(output: Output, name: str, t: int) -> list[np.ndarray]:
    """All that there is of a layer in a step."""
    readout = [output.v[t]] if name == output.network.readout.name else []
    return readout + [getattr(output, f)[name][t] for f in FIELDS if f != "v" and name in getattr(output, f)]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


@settings(deadline=None, max_examples=20)
@given(st.data(), st.sampled_from(METHODS), st.integers(1, 5))
def test_a_changed_bias_is_found_in_its_layer(data: st.DataObject, method: str, num_steps: int) -> None:
    """What is told is the first of all differences, and so the cause."""
    net = data.draw(networks(method))
    images = data.draw(payloads_for(net))
    broken: Layer = data.draw(st.sampled_from(net.layers))
    bias = np.zeros((1,), int) if broken.bias is None else broken.bias.astype(int)
    bias = bias + data.draw(st.sampled_from([1, -1, 40, 5000]))
    other = net.replace(layers=tuple(found.replace(bias=bias) if found is broken else found for found in net))
    expected, wrong = interpret(net, images, num_steps), simulate(other, images, num_steps, record=True)
    with simulating(other):
        mismatch = without_lava(net, images, num_steps)["simulator"].mismatch
    if mismatch is None:
        assert expected.differences(wrong) == []
        return
    assert mismatch.layer == broken.name
    step = mismatch.step - 1
    for name in net.shapes:
        assert all(same(values_at(expected, name, t), values_at(wrong, name, t)) for t in range(step))
    for name in list(net.shapes)[: list(net.shapes).index(broken.name)]:
        assert same(values_at(expected, name, step), values_at(wrong, name, step))
    arrays = [
        found.v if mismatch.field == "v" else getattr(found, mismatch.field)[mismatch.layer]
        for found in (expected, wrong)
    ]
    at = (step, mismatch.image, *(mismatch.neuron or ()))
    assert tuple(array[at] for array in arrays) == (mismatch.expected, mismatch.found)
    assert mismatch.expected != mismatch.found


# Faults in the specification


def test_a_definition_of_firing_that_is_off_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    original = AugmentedNeuron.fire
    monkeypatch.setattr(AugmentedNeuron, "fire", lambda self, v, n: original(self, v - (v == self.vth), n))
    found = verify(ladder(), IMAGES, 4, lava=False)
    mismatch = found.pairs[0].mismatch
    assert mismatch is not None
    assert (mismatch.layer, mismatch.step, mismatch.image, mismatch.neuron) == ("second", 3, 1, (2,))
    assert (mismatch.expected, mismatch.found) == (0, 1)
    assert found.groups == (("spec", "file"), ("simulator",))


def test_a_definition_of_a_sum_that_leaves_out_an_input(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Dense.accumulate
    monkeypatch.setattr(Dense, "accumulate", lambda self, s: original(self, s * (np.arange(s.shape[-1]) < 2)))
    mismatch = without_lava(ladder(), IMAGES, 4)["simulator"].mismatch
    assert mismatch is not None
    assert (mismatch.layer, mismatch.step, mismatch.image, mismatch.neuron) == ("first", 1, 0, (2,))
    assert (mismatch.expected, mismatch.found) == (0, 9)


# Faults in the file


def test_a_reader_that_changes_a_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    original = netx.made_whole

    def wrong(*arguments: Any) -> Any:
        found = original(*arguments)
        return found.replace(vth=VTH + 1) if getattr(found, "vth", 0) == VTH else found

    monkeypatch.setattr(netx, "made_whole", wrong)
    found = verify(ladder(), IMAGES, 4, lava=False)
    parameters = ("layer 'second': neuron.vth: 30 and 31",)
    assert found.pairs[1] == Pair("file", mismatch=AT_THRESHOLD, parameters=parameters)
    assert found.pairs[0].equal
    assert str(found).splitlines()[2] == "spec != file: layer 'second': neuron.vth: 30 and 31"
    assert not found.ok


def test_a_writer_that_drops_a_bias_which_changes_nothing_on_these_images(monkeypatch: pytest.MonkeyPatch) -> None:
    original = netx.put_spec

    def wrong(group: Any, spec: Any) -> None:
        original(group, spec.replace(bias=None) if getattr(spec, "name", "") == "second" else spec)

    monkeypatch.setattr(netx, "put_spec", wrong)
    found = without_lava(ladder(), IMAGES, 4)["file"]
    assert found == Pair("file", parameters=("layer 'second': bias: int8 (3,) and None",))
    assert not found.equal


@pytest.mark.parametrize(
    ("dataset", "value", "message"),
    [
        ("vThMant", 0, "layer 'a'/neuron: AugmentedNeuron.vth: expected an integer from 1 to 8388607 or a positive"),
        ("delay", [0, 0], "layer 'b': 'delay' is array([0, 0]), but should be (0, 1)"),
    ],
)
def test_a_writer_of_what_cannot_be_read(
    dataset: str, value: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = hdf5.put
    for module in (hdf5, netx):
        monkeypatch.setattr(
            module, "put", lambda group, name, v: original(group, name, value if name == dataset else v)
        )
    pair = without_lava(skip_net(SKIPS["all"]))["file"]
    assert not pair.equal
    assert pair.mismatch is None
    (line,) = pair.lines()
    assert line.startswith("spec != file: failed: ")
    assert message in line


def test_a_reader_that_gives_another_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "load", lambda path: small_net())
    pair = without_lava(ladder(), IMAGES, 4)["file"]
    assert pair.error == "the reloaded network takes images (6,) instead of (3,)"
    assert pair.parameters == ("input_shape[0]: 3 and 6", "layers: 3 and 2")
    shorter = Network(input_shape=(3,), layers=(layer("out", INPUT, Dense(weight=np.eye(3, dtype=np.int8))),))
    monkeypatch.setattr(verification, "load", lambda path: shorter)
    pair = without_lava(ladder(), IMAGES, 4)["file"]
    assert pair.error == "spikes of 'first': expected shape (4, 2, 3), found None"
    assert pair.parameters == ("layers: 3 and 1",)


def test_outputs_of_another_shape_do_not_fit() -> None:
    expected, found = interpret(ladder(), IMAGES, 4), interpret(ladder(), IMAGES, 3)
    assert misfit(expected, found) == "spikes of 'input': expected shape (4, 2, 3), found (3, 2, 3)"
    assert misfit(expected, expected) is None
