"""Networks of lava-dl's: the same output as stock netx gives with stock models, bit for bit."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import DelayDense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from typer.testing import CliRunner

from lava_aug.commands.cli import app
from lava_aug.core.errors import InputError
from lava_aug.lava.deploy import FastSimCfg
from lava_aug.lava.supervision import supervise
from lava_aug.netx import foreign
from lava_aug.netx.foreign import NetxNetwork
from lava_aug.netx.layers import Cuba, NetxConv, NetxDense, NetxFlatten, NetxInput, SigmaDelta
from lava_aug.netx.requantization import SPIKE_EXP
from lava_aug.netx.running import run
from lava_aug.netx.simulation import NetxOutput, simulate
from lava_aug.processes.fast_models import PyFastDelayDenseFixed

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(not any(distributions(name="lava-dl")), reason="lava-dl is not installed"),
]


def test_what_lava_dl_prints_when_imported_is_left_out() -> None:
    code = "from lava_aug.lava.lava_import import import_netx; print(import_netx().Network.__name__)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Network\n"


def folder() -> Path:
    """Where lava-dl's wheel keeps its networks."""
    from lava.lib.dl import netx

    return Path(netx.__file__).parents[4] / "tests/lava/lib/dl/netx"


def stock(path: Path, x: np.ndarray, **options: Any) -> np.ndarray:
    """What stock netx, with stock models, sends for inputs (num_steps, *shape); nothing of ours but the supervision."""
    from lava.lib.dl import netx

    net: Any = netx.hdf5.Network(net_config=str(path), **options)
    source = Source(data=np.ascontiguousarray(x.T))
    sink = Sink(shape=net.out_layer.out.shape, buffer=len(x))
    bare = not hasattr(net.in_layer, "transform")
    source.s_out.connect(net.in_layer.inp if bare else net.in_layer.neuron.a_in)
    net.out_layer.out.connect(sink.a_in)
    with supervise(source):
        source.run(condition=RunSteps(num_steps=len(x)), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        return sink.data.get().T.astype(int)


def integers(shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, shape)


def pilotnet_frame() -> np.ndarray:
    return np.load(folder() / "gts/pilotnet_sdnn/input.npy")[..., 0].T.astype(int)


WHEEL: dict[str, tuple[str, int | None, Callable[[], np.ndarray], int]] = {
    "tiny": ("tiny.net", None, lambda: integers((8, 3, 16, 16), 0, 120), 20),
    "mnist": ("mnist.net", 3, lambda: integers((7, 784), 0, 140), 300),
    "ntidigits": ("gts/ntidigits/ntidigits.net", 4, lambda: integers((9, 64), 0, 2), 1),
    "pilotnet_lif": ("gts/pilotnet_lif/network.net", 3, lambda: integers((4, 3, 66, 200), 0, 60), 1000),
    "pilotnet_sdnn": ("gts/pilotnet_sdnn/network.net", None, lambda: np.stack([pilotnet_frame()] * 9), 5),
}
"""File, layers, inputs, and how many events there must be at least for the test to mean something."""


def same(one: NetxOutput, other: NetxOutput) -> None:
    """What the last layer sends, and events of every layer in every step."""
    np.testing.assert_array_equal(one.sent, other.sent)
    assert list(one.events) == list(other.events)
    for name, events in one.events.items():
        np.testing.assert_array_equal(events, other.events[name])


@pytest.mark.parametrize("name", WHEEL)
def test_the_networks_in_lava_dls_wheel(name: str) -> None:
    file, num_layers, inputs, events = WHEEL[name]
    x = inputs()
    net = foreign.load(folder() / file, num_layers)
    output = run(net, x)
    found, expected = output.sent[: len(x)], stock(folder() / file, x, num_layers=num_layers)
    assert np.count_nonzero(expected) >= events
    np.testing.assert_array_equal(found, expected)
    if name == "pilotnet_sdnn":  # lava-dl's own test has the frame held for all steps, too
        same(simulate(net, x), output)
        np.testing.assert_array_equal(found.T, np.load(folder() / "gts/pilotnet_sdnn/output.npy"))


LIF = Cuba(vth=20, current_decay=1024, voltage_decay=128)


def small(delay: Any = None, neuron: Any = LIF, **options: Any) -> NetxNetwork:
    """A non-square map, a bias, a kernel that is not symmetric, and a flattened dense layer."""
    kernel = integers((2, 2, 3, 2), -60, 60)
    dense = integers((3, 20), -200, 200)
    return NetxNetwork(
        layers=(
            NetxInput(shape=(2, 4, 6), neuron=neuron),
            NetxConv(
                shape=(2, 2, 5),
                weight=kernel,
                bias=np.array([30, -2]),
                neuron=neuron,
                stride=(1, 1),
                padding=(0, 0),
                dilation=(1, 1),
                groups=1,
            ),
            NetxFlatten(shape=(20,)),
            NetxDense(shape=(3,), weight=dense, bias=np.array([3, 0, -1]), delay=delay, neuron=neuron, **options),
        )
    )


@pytest.mark.parametrize(
    ("delay", "options"),
    [
        ([0, 3, 1], {"reset_interval": 3}),
        (integers((3, 20), 0, 5), {}),
    ],
    ids=["by output, with a reset", "by synapse"],
)
def test_options_and_delays(delay: Any, options: dict[str, Any], tmp_path: Path) -> None:
    net, x = small(delay), integers((8, 2, 4, 6), 0, 80)
    net.write(tmp_path / "a.net")
    found, expected = run(net, x, **options).sent[: len(x)], stock(tmp_path / "a.net", x, **options)
    assert found.any()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("spike_exp", [2, 6])
def test_sigma_delta_with_another_exponent(spike_exp: int, tmp_path: Path) -> None:
    net, x = small(neuron=SigmaDelta(vth=3)), integers((6, 2, 4, 6), -100, 100)
    net.write(tmp_path / "a.net")
    output, expected = run(net, x, spike_exp=spike_exp), stock(tmp_path / "a.net", x, spike_exp=spike_exp)
    assert np.abs(expected).max() > 100
    np.testing.assert_array_equal(output.sent[: len(x)], expected)
    if spike_exp == SPIKE_EXP:
        same(simulate(net, x), output)


@pytest.mark.parametrize("spikes", [False, True])
def test_the_output_is_as_late_as_there_are_layers_with_weights(spikes: bool) -> None:
    neuron = Cuba(vth=1, current_decay=4096, voltage_decay=4096)
    dense = NetxDense(shape=(1,), weight=np.array([[100]]), neuron=neuron)
    net = NetxNetwork(layers=(NetxInput(shape=(1,), neuron=None if spikes else neuron), dense, dense))
    found = run(net, np.array([[1 if spikes else 100], [0], [0]]))
    assert net.depth == 2
    assert found.sent.ravel().tolist() == [0, 0, 1, 0, 0]
    assert found.answers.ravel().tolist() == [1, 0, 0]
    assert found.events_per_input == 2 / 3


@pytest.mark.parametrize(("largest", "bits"), [(1, 0), (100, 8), (1 << 20, 24)])
def test_fast_delays_equal_stock(largest: int, bits: int) -> None:
    """Binary and graded spikes, and weights that Dense shifts back."""
    x = integers((6, 7), -largest if bits else 0, largest + 1)
    weights, delays = integers((5, 7), -250, 250), integers((5, 7), 0, 4)
    found = {}
    for config in (Loihi2SimCfg, FastSimCfg):
        source, sink = Source(data=x.T), Sink(shape=(5,), buffer=6)
        dense = DelayDense(weights=weights, delays=delays, max_delay=5, num_message_bits=bits, weight_exp=-2)
        source.s_out.connect(dense.s_in)
        dense.a_out.connect(sink.a_in)
        with supervise(source):
            source.run(condition=RunSteps(num_steps=6), run_cfg=config(select_tag="fixed_pt"))
            found[config] = sink.data.get()
    assert found[Loihi2SimCfg].any()
    np.testing.assert_array_equal(found[FastSimCfg], found[Loihi2SimCfg])
    chosen = FastSimCfg(select_tag="fixed_pt").select(dense, [PyFastDelayDenseFixed.__mro__[1]])
    assert chosen is PyFastDelayDenseFixed


ROW = np.zeros((2, 4, 6), int)
WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "shape": (
        np.zeros((3, 6, 4, 2), int),
        {},
        "inputs: expected shape (N, 2, 4, 6), N at least 1, or (2, 4, 6), found (3, 6",
    ),
    "no steps": (ROW, {}, "one row of shape (2, 4, 6) is for all time steps; say how many with num_steps"),
    "zero steps": (ROW, {"num_steps": 0}, "num_steps: expected an integer of at least 1, found 0"),
    "fractions": (ROW + 0.5, {"num_steps": 1}, "expected whole numbers; round them"),
    "text": (np.full(ROW.shape, "a"), {"num_steps": 1}, "inputs: expected numbers, found <U1"),
    "range": (ROW + (1 << 17), {"num_steps": 1}, "inputs: expected -131071 to 131071, found 131072 to 131072"),
    "reset": (ROW, {"num_steps": 1, "reset_interval": 0}, "reset_interval: expected an integer from 1"),
    "bits": (ROW, {"num_steps": 1, "input_message_bits": 25}, "input_message_bits: expected an integer from 0 to 24"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_inputs_are_named(case: str) -> None:
    inputs, options, message = WRONG[case]
    with pytest.raises(InputError, match=re.escape(message)):
        run(small(), inputs, **options)


def test_spikes_without_payload_are_zero_or_one() -> None:
    net = NetxNetwork(layers=(NetxDense(shape=(2,), weight=np.array([[1, 2], [3, 4]]), neuron=LIF),))
    with pytest.raises(InputError, match="expected 0 to 1, found 0 to 3; for graded spikes give input_message_bits"):
        run(net, [[0, 3]])
    with pytest.raises(InputError, match="expected -8 to 7, found 0 to 9"):
        run(net, [[0, 9]], input_message_bits=4)


def test_the_command_runs_them(tmp_path: Path) -> None:
    """One row is held for as many steps as a sample has in the file, or as are asked for."""
    net, x = small().replace(sample_steps=7), integers((2, 4, 6), 0, 80)
    net.write(tmp_path / "a.net")
    np.save(tmp_path / "x.npy", x)
    arguments = ["run", str(tmp_path / "a.net"), "--images", str(tmp_path / "x.npy"), "-o", str(tmp_path / "out.npz")]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    assert "output 3, 9 time steps" in found.output
    with np.load(tmp_path / "out.npz") as arrays:
        np.testing.assert_array_equal(arrays["sent"], run(net, x, 7).sent)
        assert f"{np.count_nonzero(arrays['sent'])} non-zero in all" in found.output
        told = json.loads(CliRunner().invoke(app, [*arguments[:4], "-T", "7", "--json"]).output)
        assert told["sent"] == arrays["sent"].tolist()
        assert told["events"] == {name: int(arrays[f"events/{name}"].sum()) for name in ("input", "1", "3")}
