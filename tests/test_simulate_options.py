"""Options of the simulator: steps, recording, batches, progress; and every error of its inputs by its message."""

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import images_for, small_net

import lava_aug as la
from lava_aug.conversion.converter import convert
from lava_aug.core import walks
from lava_aug.core.errors import InputError
from lava_aug.core.layers import Dense
from lava_aug.core.network import MAX_STEPS, Connection, Layer, Network
from lava_aug.core.neurons import ReadoutNeuron
from lava_aug.core.results import COUNTS
from lava_aug.examples.digits import load_digits, train
from lava_aug.kernels.batches import exact_arithmetic
from lava_aug.simulation.courses import Course, margins
from lava_aug.simulation.settling import settle
from lava_aug.simulation.simulator import Simulator, simulate
from lava_aug.verification.reference import interpret
from lava_aug.verification.verifying import verify


def test_number_of_steps() -> None:
    net = small_net(num_steps=3)
    images = images_for(net)
    assert simulate(net, images).num_steps == 3
    longer = simulate(net, images, np.int64(7))  # pyright: ignore[reportArgumentType]
    assert longer.num_steps == 7
    assert np.array_equal(longer.v[:3], simulate(net, images).v)


def test_record_names_layers() -> None:
    net, images = small_net(), images_for(small_net())
    everything = interpret(net, images, 4).spikes
    wanted: list[tuple[Any, list[str]]] = [
        (False, []),
        (True, ["input", "hidden"]),
        ("hidden", ["hidden"]),
        (["input"], ["input"]),
        (iter(("hidden", "input")), ["hidden", "input"]),
        ((), []),
    ]
    for record, names in wanted:
        found = simulate(net, images, record=record).spikes
        assert list(found) == names
        assert all(np.array_equal(found[name], everything[name]) for name in names)


def test_progress_is_told_after_every_batch() -> None:
    calls: list[tuple[int, int]] = []
    simulate(small_net(), images_for(small_net()), batch_size=2, progress=lambda done, of: calls.append((done, of)))
    assert calls == [(2, 5), (4, 5), (5, 5)]


def test_default_batch_size_bounds_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    net, images = small_net(), images_for(small_net())
    for elements, sizes in ((13 * 3, [3, 5]), (13 * 3 - 1, [2, 4, 5]), (1, [1, 2, 3, 4, 5]), (10**6, [5])):
        calls: list[int] = []
        monkeypatch.setattr(walks, "BATCH_ELEMENTS", elements)
        simulate(net, images, progress=lambda done, _, calls=calls: calls.append(done))
        assert calls == sizes


def test_a_simulator_keeps_nothing_between_batches() -> None:
    net = small_net()
    images = images_for(net)
    simulator = Simulator(net)
    assert simulator.run(images, Course(4)).differences(simulator.run(images, Course(4))) == []


def matmul_precision() -> str:
    """How torch rounds products on a GPU, by its newer or its older setting."""
    backends: Any = torch.backends
    newer = hasattr(backends, "fp32_precision")
    return backends.cuda.matmul.fp32_precision if newer else torch.get_float32_matmul_precision()


@pytest.fixture
def tf32() -> Iterator[None]:
    """A user who asked for fast, inexact sums."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("tf32")
def test_exact_arithmetic_is_asked_for_and_given_back() -> None:
    enabled = torch.backends.cudnn.enabled
    with exact_arithmetic(torch.device("cuda")):  # none is needed
        assert matmul_precision() in ("highest", "ieee")
        assert not torch.backends.cudnn.enabled
    assert torch.get_float32_matmul_precision() == "medium"
    assert torch.backends.cudnn.enabled == enabled


@pytest.mark.usefixtures("tf32")
def test_on_a_cpu_cudnn_is_left_alone() -> None:
    enabled = torch.backends.cudnn.enabled
    seen = []
    simulate(small_net(), images_for(small_net()), look=lambda *_: seen.append(torch.backends.cudnn.enabled))
    assert set(seen) == {enabled}


@pytest.mark.usefixtures("tf32")
def test_exact_arithmetic_is_given_back_after_an_error() -> None:
    net = small_net()
    with pytest.raises(KeyError):
        Simulator(net).run(images_for(net), Course(1, ("nobody",)))
    assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="older torch has no precision per backend")
def test_precision_per_backend_is_given_back() -> None:
    """In a program of its own: torch refuses a mix of its older and newer settings."""
    program = """
import torch
from nets import images_for, small_net
from lava_aug.kernels.batches import exact_arithmetic
from lava_aug.simulation.settling import settle
from lava_aug.simulation.simulator import simulate

matmul, conv = torch.backends.cuda.matmul, torch.backends.mkldnn.conv
matmul.fp32_precision, conv.fp32_precision = "tf32", "bf16"
with exact_arithmetic(torch.device("cpu")):
    print(matmul.fp32_precision, conv.fp32_precision)
simulate(small_net(), images_for(small_net()))
print(matmul.fp32_precision, conv.fp32_precision)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == ["ieee ieee", "tf32 bf16"]


# Presentation, early exit


@pytest.fixture(scope="module")
def exiting() -> tuple[Network, np.ndarray]:
    """A converted network and images."""
    digits = load_digits()
    return convert(train(digits, epochs=3), digits.train_images[:200]), digits.test_images[:60]


@pytest.mark.parametrize("batch_size", [60, 7])
@pytest.mark.parametrize("compiled", [True, False])
def test_early_exit_is_the_full_run_cut_off(
    exiting: tuple[Network, np.ndarray], batch_size: int, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(importlib.import_module("lava_aug.simulation.populations"), "is_compiled", lambda *_: False)
    net, images = exiting
    full = simulate(net, images, 8, record=True)
    margin = float(np.median(margins(full.logits[2])))
    found = simulate(net, images, 8, record=True, stop_when=margin, batch_size=batch_size)

    reached = margins(full.logits) >= margin
    steps = np.where(reached.any(axis=0), reached.argmax(axis=0) + 1, 8)
    assert len(set(steps)) > 2
    np.testing.assert_array_equal(found.steps, steps)
    runs = np.arange(8)[:, None] < steps
    at = np.minimum(np.arange(8)[:, None], steps - 1)
    np.testing.assert_array_equal(found.v, full.v[at, np.arange(60)])
    np.testing.assert_array_equal(found.logits[-1], full.logits[steps - 1, np.arange(60)])
    for field in COUNTS:
        for name, counts in getattr(full, field).items():
            np.testing.assert_array_equal(getattr(found, field)[name], counts * runs, err_msg=f"{field} {name}")
    for name, spikes in full.spikes.items():
        np.testing.assert_array_equal(found.spikes[name], spikes * runs.reshape(8, 60, *[1] * (spikes.ndim - 2)))


def test_a_margin_that_nothing_reaches_changes_nothing(exiting: tuple[Network, np.ndarray]) -> None:
    net, images = exiting
    full, found = simulate(net, images, 4), simulate(net, images, 4, stop_when=1e9)
    assert full.differences(found) == []
    assert full.stops is None
    assert found.stops is None
    assert found.steps.tolist() == [4] * 60


def test_a_margin_that_all_reach_at_once(exiting: tuple[Network, np.ndarray]) -> None:
    net, images = exiting
    found = simulate(net, images, 4, stop_when=1e-9)
    assert found.steps.tolist() == [1] * 60
    assert found.events["conv1"][1:].sum() == 0
    assert simulate(net, images, 4).differences(found)[0].startswith("v: ")
    assert any(text.startswith("steps: 60 of 60 differ") for text in simulate(net, images, 4).differences(found))


def test_an_image_all_at_once_gives_the_same_sum(exiting: tuple[Network, np.ndarray]) -> None:
    """The theorem: what an AugMapping network has sent in all does not depend on when its input came."""
    net, images = exiting
    constant, first = (simulate(net, images, 8, record=True, presentation=p) for p in ("constant", "first"))
    np.testing.assert_array_equal(first.v[-1], constant.v[-1])
    np.testing.assert_array_equal(first.spikes["input"][0], 8 * images.astype(np.int32))
    assert not first.spikes["input"][1:].any()
    np.testing.assert_array_equal(first.events["input"][0], constant.events["input"][0])
    assert not first.events["input"][1:].any()
    for name, spikes in constant.spikes.items():
        np.testing.assert_array_equal(first.spikes[name].sum(axis=0), spikes.sum(axis=0), err_msg=name)
    np.testing.assert_array_equal(first.synops["conv1"].sum(axis=0) * 8, constant.synops["conv1"].sum(axis=0))


def test_the_most_steps_at_once_round_no_pixel() -> None:
    """255 * 65536 is less than 2**24. The first step shows it all, and ends the run by its margin."""
    connection = Connection("input", Dense(weight=np.array([[1, 0], [0, 0]])))
    net = Network(
        input_shape=(2,), layers=(Layer(name="out", connections=(connection,), neuron=ReadoutNeuron(), quantum=1),)
    )
    for pixel in (1, 51, 255):
        images = np.array([[pixel, 0]], np.uint8)
        out = simulate(net, images, MAX_STEPS, presentation="first", stop_when=1)
        assert out.steps.tolist() == [1]
        assert out.spike_sum["input"][0].tolist() == [pixel * MAX_STEPS]
        assert out.v[0].tolist() == [[min(pixel * MAX_STEPS, 2**23 - 1), 0]]
        assert pixel > 63 or settle(net, images, MAX_STEPS).v.tolist() == [[pixel * MAX_STEPS, 0]]


STEPS = "expected an integer from 1 to 65536, found"
INTEGER = "expected an integer of at least 1, found"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, f"num_steps: {STEPS} 0"),
        ({"num_steps": -3}, f"num_steps: {STEPS} -3"),
        ({"num_steps": 1.5}, f"num_steps: {STEPS} 1.5"),
        ({"num_steps": True}, f"num_steps: {STEPS} True"),
        ({"num_steps": 65537}, f"num_steps: {STEPS} 65537"),
        ({"num_steps": 10**30}, f"num_steps: {STEPS} {10**30}"),
        ({"batch_size": 0}, f"batch_size: {INTEGER} 0"),
        ({"batch_size": 2.0}, f"batch_size: {INTEGER} 2.0"),
        ({"batch_size": True}, f"batch_size: {INTEGER} True"),
        ({"record": "hiden"}, "record: no spikes of 'hiden'; there are ['input', 'hidden']"),
        ({"presentation": "last"}, "presentation: expected one of constant, first, found 'last'"),
        ({"stop_when": 0}, "stop_when: expected a positive number, found 0"),
        ({"stop_when": float("nan")}, "stop_when: expected a positive number, found nan"),
        ({"stop_when": "soon"}, "stop_when: expected a positive number, found 'soon'"),
        ({"record": 5}, "record: expected True, False, or names of layers, found 5"),
        ({"record": None}, "record: expected True, False, or names of layers, found None"),
        ({"record": [5]}, "record: no spikes of 5; there are ['input', 'hidden']"),
        ({"progress": 5}, "progress: expected a function, or None, found 5"),
        ({"look": "hidden"}, "look: expected a function, or None, found 'hidden'"),
        ({"device": None}, "device: expected the name of a torch device, such as 'cpu' or 'cuda', found None"),
        ({"device": 0}, "device: expected the name of a torch device, such as 'cpu' or 'cuda', found 0"),
        ({"record": ["hidden", "out"]}, "record: no spikes of 'out'; there are ['input', 'hidden']"),
    ],
)
def test_impossible_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        simulate(small_net(), images_for(small_net()), **options)
    assert str(caught.value) == message
    if set(options) <= {"num_steps", "batch_size"}:
        with pytest.raises(InputError, match=re.escape(message)):
            settle(small_net(), images_for(small_net()), **options)


def test_impossible_devices() -> None:
    with pytest.raises(InputError, match=r"^device 'nonsense' cannot be used: Expected one of cpu, "):
        simulate(small_net(), images_for(small_net()), device="nonsense")
    with pytest.raises(InputError, match=r"^device 'cuda:99' cannot be used: "):
        simulate(small_net(), images_for(small_net()), device="cuda:99")
    with pytest.raises(InputError, match=r"^device 'meta' cannot be used: "):
        simulate(small_net(), images_for(small_net()), device="meta")


def test_a_device_of_torch_is_one_too() -> None:
    images = images_for(small_net())
    found = simulate(small_net(), images, device=torch.device("cpu"))
    assert found.differences(simulate(small_net(), images)) == []


@pytest.mark.parametrize("function", [simulate, settle, verify, la.plan, la.check_loihi2])
def test_what_is_no_network_is_refused(function: Any) -> None:
    with pytest.raises(InputError, match=r"^net: expected a Network, as convert and load return it, found str$"):
        function("digits.net", np.zeros((1, 6), np.uint8))


@pytest.mark.parametrize("function", [la.save, la.nir.export, la.netx.export])
def test_what_is_no_network_is_not_written(function: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^net: expected a Network, as convert and load return it, found str$"):
        function("digits.net", tmp_path / "a.net")
    assert list(tmp_path.iterdir()) == []
