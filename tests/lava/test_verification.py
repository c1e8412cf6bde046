"""`verify` on Lava: all five runs are equal, and a fault planted in one of them is found there."""

from typing import Any

import numpy as np
import pytest
from faults import AT_THRESHOLD, IMAGES, VTH, ladder, late
from nets import SKIPS, images_for, layer, skip_net

from lava_aug.core.layers import Conv, Dense, Relay
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, MaxPoolNeuron, State
from lava_aug.kernels import compiled
from lava_aug.processes import neurons, spiking_network
from lava_aug.simulation import pipeline
from lava_aug.simulation.pipeline import Recording
from lava_aug.verification import reference
from lava_aug.verification.differences import Mismatch
from lava_aug.verification.verifying import Verification, verify

pytestmark = pytest.mark.lava

HIERARCHICAL, FUSED = "Lava hierarchical", "Lava fused"
ALL = ("spec", "simulator", "file", HIERARCHICAL, FUSED)


def mismatches(found: Verification) -> dict[str, Mismatch]:
    """By the run's name; nothing else may be wrong."""
    assert not any(pair.parameters or pair.error or pair.left_out for pair in found.pairs)
    return {pair.name: pair.mismatch for pair in found.pairs if pair.mismatch is not None}


def pooled() -> Network:
    """Max pooling behind TerMapping's neurons, and a residual sum of both."""
    conv = Conv(weight=np.arange(-6, 12).reshape(2, 1, 3, 3), padding=(1, 1))
    pool = MaxPoolNeuron(kernel_size=(2, 2), stride=(1, 1))
    around = ("conv", Conv(weight=np.ones((2, 2, 2, 2), np.int8)))
    return Network(
        input_shape=(1, 5, 4),
        layers=(
            layer("conv", INPUT, conv, DoubleThresholdNeuron(vth=900)),
            layer("pool", "conv", Relay(), pool),
            layer("sum", "pool", Relay(), AugmentedNeuron(vth=2), connections=(("pool", Relay()), around)),
            layer("out", "sum", Dense(weight=np.arange(48).reshape(2, 24))),
        ),
    )


@pytest.mark.parametrize("net", [skip_net(SKIPS["all"]), pooled()], ids=["delays", "pooling"])
def test_all_five_are_equal(net: Network) -> None:
    found = verify(net, num_images=2, num_steps=3)
    assert found.ok
    assert [pair.name for pair in found.pairs if pair.equal] == list(ALL[1:])
    assert found.groups == (ALL,)
    assert str(found).splitlines()[1:] == [f"spec = {name}" for name in ALL[1:]]


def test_a_compiled_step_shows_in_both_that_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.CompiledPopulation, "step", late(compiled.CompiledPopulation.step))
    found = verify(ladder(), IMAGES, 4)
    assert mismatches(found) == {"simulator": AT_THRESHOLD, FUSED: AT_THRESHOLD}
    assert found.groups == (("spec", "file", HIERARCHICAL), ("simulator", FUSED))
    assert "message_bits = 16 (Lava's step 9)" in str(found)


def test_a_specification_that_starts_wrong_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    original = reference.initial_state

    def wrong(neuron: Any, shape: Any) -> State:
        found = original(neuron, shape)
        return found._replace(v=found.v + 5) if getattr(neuron, "vth", 0) == VTH else found

    monkeypatch.setattr(reference, "initial_state", wrong)
    found = verify(ladder(), IMAGES, 4)
    assert found.groups == (("spec", "file"), ("simulator", HIERARCHICAL, FUSED))
    for mismatch in mismatches(found).values():
        assert (mismatch.layer, mismatch.step, mismatch.image, mismatch.neuron) == ("second", 3, 0, (2,))
        assert (mismatch.expected, mismatch.found) == (1, 0)
        assert mismatch.before["v"] == 5 + 2 * 9


def test_a_model_that_is_wrong_from_the_third_step_on_and_one_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """One neuron of the layer with `VTH` sends one too many; and the fused model fails."""
    original = neurons.NeuronModel.send

    def wrong(self: Any, s: np.ndarray) -> None:
        original(self, s + np.array([0, 1, 0]) * (getattr(self.neuron, "vth", 0) == VTH and self.t >= 3))

    def broken(*arguments: Any) -> None:
        raise ValueError("planted")

    monkeypatch.setattr(neurons.NeuronModel, "send", wrong)
    monkeypatch.setattr(pipeline.Pipeline, "step", broken)
    found = verify(ladder(), IMAGES, 4)
    assert [pair.equal for pair in found.pairs] == [True, True, False, False]
    mismatch = found.pairs[2].mismatch
    assert mismatch is not None
    assert (mismatch.layer, mismatch.step, mismatch.image, mismatch.neuron) == ("second", 3, 0, (1,))
    assert (mismatch.expected, mismatch.found) == (0, 1)
    assert {name: mismatch.before[name] for name in ("v", "n", "a")} == {"v": 14, "n": 0, "a": 7}
    assert mismatch.lava_step == 2 + 3
    assert "planted" in found.pairs[3].error
    assert "spec != Lava fused: failed: " in str(found)
    assert found.groups == (("spec", "simulator", "file"), (HIERARCHICAL,))


def test_a_window_that_does_not_reset_shows_in_the_second_image(monkeypatch: pytest.MonkeyPatch) -> None:
    original = neurons.NeuronModel.reset

    def wrong(self: Any) -> None:
        if getattr(self.neuron, "vth", 0) != VTH or self.time_step < 5:
            original(self)

    monkeypatch.setattr(neurons.NeuronModel, "reset", wrong)
    mismatch = mismatches(verify(ladder(), IMAGES, 4))[HIERARCHICAL]
    # what the first image left: 28 and 36 - 30; so the second pixels need 2 more, and get 2 in the first step
    assert (mismatch.layer, mismatch.step, mismatch.image, mismatch.neuron) == ("second", 1, 1, (1,))
    assert (mismatch.expected, mismatch.found) == (0, 1)


def test_a_residual_branch_that_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """One delay of two steps, which is one step in both runs on Lava."""
    line, synapses = pipeline.DelayLine, spiking_network.Synapses
    short = {0: 0, 2: 1}
    monkeypatch.setattr(pipeline, "DelayLine", lambda shape, delay: line(shape, short[delay]))
    monkeypatch.setattr(
        spiking_network, "Synapses", lambda *, delay, **options: synapses(delay=short[delay], **options)
    )
    net = skip_net(SKIPS["two steps shorter"])
    assert net.delays("d") == (0, 2)
    found = mismatches(verify(net, images_for(net, 3), 2))
    assert set(found) == {HIERARCHICAL, FUSED}
    assert found[HIERARCHICAL] == found[FUSED]
    assert found[FUSED].layer == "d"


def test_counts_that_are_wrong_only_in_lavas_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Recording.note_counts

    def wrong(self: Recording, t: int, counts: np.ndarray, s: np.ndarray) -> None:
        original(self, t, counts, s)
        if "out" in self.synops:
            self.synops["out"][t] += t == 7

    monkeypatch.setattr(Recording, "note_counts", wrong)
    found = mismatches(verify(ladder(), IMAGES, 4))
    assert set(found) == {HIERARCHICAL, FUSED}
    for mismatch in found.values():  # 7, counted from 0, is the second layer's step 2 of image 1
        assert str(mismatch) == "layer 'out', step 2 of image 1: synops: expected 0, found 1"
