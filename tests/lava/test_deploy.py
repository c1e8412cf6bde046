"""`run`: converted networks on Lava equal the simulator, and leave the interpreter as they found it."""

import gc
import logging
from typing import Any

import numpy as np
import pytest
import torch
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.monitor.process import Monitor
from nets import images_for, small_net
from torch.utils.data import DataLoader, TensorDataset

from lava_aug.conversion.converter import METHODS, convert
from lava_aug.core.errors import InputError
from lava_aug.core.network import INPUT
from lava_aug.examples.digits import Digits, DigitsNet, load_digits, train
from lava_aug.lava.deploy import Deployment, run
from lava_aug.simulation.pipeline import Recording
from lava_aug.simulation.simulator import simulate

pytestmark = pytest.mark.lava


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_digits()


@pytest.fixture(scope="module")
def model(digits: Digits) -> DigitsNet:
    return train(digits, epochs=2)


@pytest.mark.parametrize("method", METHODS)
def test_a_converted_network_equals_the_simulator(method: Any, digits: Digits, model: DigitsNet) -> None:
    net = convert(model, digits.train_images[:300], method, num_steps=4)
    images, labels = digits.test_images[:15], digits.test_labels[:15]
    found = run(net, images, record=True)
    assert found.differences(simulate(net, images, record=True)) == []
    assert found.v.shape == (4, 15, 10)
    assert set(found.spikes) == {INPUT, *(layer.name for layer in net if layer.neuron.fires)}
    if method == "augmapping":
        assert found.accuracy(labels)[-1] >= 0.8


def test_a_converted_network_of_floats_nearly_equals_the_simulator(digits: Digits, model: DigitsNet) -> None:
    """Lava computes in float64, the simulator in float32: and a rounding may cost an event."""
    net = convert(model, digits.train_images[:300], weight_bits=None)
    images = digits.test_images[:5]
    found, expected = run(net, images, 4), simulate(net, images, 4)
    assert np.abs(found.logits[-1] - expected.logits[-1]).max() < 0.02 * np.abs(expected.logits[-1]).max()
    for name, events in expected.events.items():
        assert np.abs(found.events[name] - events).max() <= 0.02 * events.max() + 1


def test_images_of_a_loader_run_with_their_labels() -> None:
    net, images, labels = small_net(), images_for(small_net(), 5), np.arange(5) % 3
    loader = DataLoader(TensorDataset(torch.tensor(images), torch.tensor(labels)), batch_size=2)
    found, expected = run(net, loader, 2), simulate(net, images, 2)
    assert found.differences(expected) == []
    assert found.accuracy().tolist() == expected.accuracy(labels).tolist()


def test_only_what_is_asked_for_is_recorded() -> None:
    net = small_net(num_steps=3)
    images = images_for(net, 2)
    everything = simulate(net, images, record=True)
    for record, names in [("hidden", {"hidden"}), ((INPUT,), {INPUT}), (False, set()), ([], set())]:
        found = run(net, images, record=record)
        assert set(found.spikes) == names
        assert all(np.array_equal(found.spikes[name], everything.spikes[name]) for name in names)
        assert found.differences(simulate(net, images, record=record)) == []


def test_images_in_any_form_give_the_same() -> None:
    net = small_net()
    images = images_for(net, 3)
    expected = run(net, images, 2, record=True)
    num_steps: Any = np.int64(2)
    for same in (images / 255, torch.tensor(images), torch.tensor(images) / 255):
        assert run(net, same, num_steps, record=True).differences(expected) == []


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (np.zeros((2, 5), np.uint8), {}, r"^images: expected shape \(B, 6\), found \(2, 5\)$"),
        (np.zeros((0, 6), np.uint8), {}, "^images: expected at least one image, found none$"),
        (np.zeros((1, 6), int), {}, "^images: expected uint8 or floating point"),
        (np.full((1, 6), 1.5), {}, r"^images: floating-point images must be in \[0, 1\], found 1.5 to 1.5"),
        (np.full((1, 6), np.nan), {}, "^images: found NaN or infinite values"),
        (np.zeros((1, 6)), {"num_steps": 0}, "^num_steps: expected an integer from 1 to 65536, found 0$"),
        (np.zeros((1, 6)), {"record": "out"}, r"^record: no spikes of 'out'; there are \['input', 'hidden'\]$"),
    ],
)
def test_bad_input_is_refused_before_lava_starts(
    images: np.ndarray, options: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: Any, **__: Any) -> None:
        raise AssertionError("Lava was started")

    monkeypatch.setattr(AbstractProcess, "__init__", start)
    with pytest.raises(InputError, match=message):
        run(small_net(), images, **options)


def test_runs_in_a_row_are_equal_and_keep_nothing() -> None:
    """Lava keeps every Process ever made, and a log handler each; ours would keep images and recordings with it."""

    def kept() -> int:
        gc.collect()
        return sum(issubclass(type(thing), (Recording, AbstractProcess)) for thing in gc.get_objects())

    net = small_net()
    images = images_for(net, 4)
    before, handlers = kept(), list(logging.getLogger().handlers)
    first = run(net, images, 3, record=True)
    assert run(net, images, 3, record=True).differences(first) == []
    assert kept() == before
    assert logging.getLogger().handlers == handlers


def test_processes_of_a_deployment_can_be_monitored() -> None:
    net = small_net()
    images, num_steps = images_for(net, 3), 2
    expected = simulate(net, images, num_steps, record=True)
    deployment = Deployment(net, images, num_steps)
    assert deployment.total_steps == 3 * num_steps + net.depth
    hidden, out = deployment.neurons["hidden"], deployment.neurons["out"]
    targets: list[Any] = [hidden.s_out, hidden.n, out.v, deployment.synapses["out"][0].a_out]  # pyright: ignore
    monitors = [Monitor() for _ in targets]
    for monitor, target in zip(monitors, targets, strict=True):
        monitor.probe(target, deployment.total_steps)
    try:
        deployment.source.run(condition=RunSteps(deployment.total_steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        spikes, n, v, a = (
            monitor.get_data()[target.process.name][target.name]
            for monitor, target in zip(monitors, targets, strict=True)
        )
    finally:
        deployment.source.stop()
    sent = expected.spikes["hidden"].swapaxes(0, 1)
    assert np.array_equal(spikes[1:7], sent.reshape(6, 4))
    assert np.array_equal(n[1:7], sent.cumsum(axis=1).reshape(6, 4))
    assert np.array_equal(v[2:8], expected.v.swapaxes(0, 1).reshape(6, 3))
    weight: Any = net["out"].connections[0].synapse
    assert np.array_equal(a[1:8], spikes[:7] @ weight.weight.T)
    assert deployment.output().differences(simulate(net, images, num_steps)) == []
