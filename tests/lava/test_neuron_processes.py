"""Each neuron's Process alone on Lava, against traces computed by hand."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import Dense as StockDense
from lava.proc.monitor.process import Monitor

from lava_aug.core.errors import SpecError
from lava_aug.core.layers import Relay
from lava_aug.core.neurons import MaxPoolNeuron
from lava_aug.processes import (
    AugmentedIF,
    DoubleThresholdIF,
    ImageSource,
    IntegrateFire,
    MaxPool,
    Neurons,
    Readout,
    Synapses,
)
from lava_aug.testing import run_process

pytestmark = pytest.mark.lava

TOP = 2**23 - 1
BOTTOM = -(2**23)


class Trace(NamedTuple):
    """One neuron's input current, step by step, and what must come of it."""

    process: Callable[..., Neurons]
    options: dict[str, Any]
    a: list[int]
    s: list[int]
    v: list[int]
    n: list[int]


TRACES = {
    "rate: fires at v == vth, not below; keeps the rest; never takes back": Trace(
        IntegrateFire,
        {"vth": 10, "v0": 0},
        a=[9, 1, 0, 25, 0, -40, 0],
        s=[0, 1, 0, 1, 1, 0, 0],
        v=[9, 0, 0, 15, 5, -35, -35],
        n=[0, 1, 1, 2, 3, 3, 3],
    ),
    "rate: starts at vth // 2": Trace(IntegrateFire, {"vth": 11}, a=[5, 1], s=[0, 1], v=[10, 0], n=[0, 1]),
    "rate: bias in every step": Trace(
        IntegrateFire, {"vth": 10, "v0": -2, "bias": 4}, a=[0, 0, 0, 9], s=[0, 0, 1, 1], v=[2, 6, 0, 3], n=[0, 0, 1, 2]
    ),
    "rate: n_max": Trace(
        IntegrateFire, {"vth": 10, "v0": 0, "n_max": 1}, a=[35, 0, 0], s=[1, 1, 1], v=[25, 15, 5], n=[1, 2, 3]
    ),
    "double: takes back at v == vth_lo, not above, and no more than n": Trace(
        DoubleThresholdIF,
        {"vth": 10},
        a=[5, 0, -1, -9, -1, 31, -1],
        s=[1, 0, -1, 0, 0, 1, 1],
        v=[0, 0, 9, 0, -1, 20, 9],
        n=[1, 1, 0, 0, 0, 1, 2],
    ),
    "double: a large deficit is taken back one by one": Trace(
        DoubleThresholdIF,
        {"vth": 10, "v0": 0},
        a=[20, 0, -35, 0, 0],
        s=[1, 1, -1, -1, 0],
        v=[10, 0, -25, -15, -15],
        n=[1, 2, 1, 0, 0],
    ),
    "double: symmetric vth_lo": Trace(
        DoubleThresholdIF,
        {"vth": 10, "vth_lo": -10, "v0": 0},
        a=[10, -9, -1, -20],
        s=[1, 0, -1, 0],
        v=[0, -9, 0, -20],
        n=[1, 1, 0, 0],
    ),
    "double: signed goes below zero": Trace(
        DoubleThresholdIF,
        {"vth": 10, "v0": 0, "signed": True},
        a=[-1, -10, 0],
        s=[-1, -1, 0],
        v=[9, 9, 9],
        n=[-1, -2, -2],
    ),
    "double: n_max": Trace(
        DoubleThresholdIF,
        {"vth": 10, "v0": 0, "n_max": 1},
        a=[30, 0, -21, 31],
        s=[1, 1, -1, 1],
        v=[20, 10, -1, 20],
        n=[1, 2, 1, 2],
    ),
    "augmented: floor(v / vth) at once": Trace(
        AugmentedIF,
        {"vth": 10, "v0": 0},
        a=[9, 1, 39, 1, 128],
        s=[0, 1, 3, 1, 12],
        v=[9, 0, 9, 0, 8],
        n=[0, 1, 4, 5, 17],
    ),
    "augmented: takes back at v == vth_lo, all at once, and no more than n": Trace(
        AugmentedIF,
        {"vth": 10},
        a=[37, -2, -1, -20, -90, 0, 95],
        s=[4, 0, -1, -2, -1, 0, 2],
        v=[2, 0, 9, 9, -71, -71, 4],
        n=[4, 4, 3, 1, 0, 0, 2],
    ),
    "augmented: symmetric vth_lo": Trace(
        AugmentedIF,
        {"vth": 10, "vth_lo": -10, "v0": 0},
        a=[50, -9, -1, -29, -1],
        s=[5, 0, -1, -2, -1],
        v=[0, -9, 0, -9, 0],
        n=[5, 5, 4, 2, 1],
    ),
    "augmented: signed": Trace(
        AugmentedIF, {"vth": 1, "v0": 0, "signed": True}, a=[-7, 3, 0], s=[-7, 3, 0], v=[0, 0, 0], n=[-7, -4, -4]
    ),
    "augmented: n_max": Trace(
        AugmentedIF,
        {"vth": 10, "v0": 0, "n_max": 2},
        a=[73, 3, 0, -81, 99],
        s=[2, 2, 2, -6, 9],
        v=[53, 36, 16, -5, 4],
        n=[2, 4, 6, 0, 9],
    ),
    "augmented: bias": Trace(
        AugmentedIF, {"vth": 4, "v0": 0, "bias": -3}, a=[20, 0, 0], s=[4, -1, -1], v=[1, 2, 3], n=[4, 3, 2]
    ),
}


@pytest.mark.parametrize("trace", [pytest.param(trace, id=name) for name, trace in TRACES.items()])
def test_trace(trace: Trace) -> None:
    process = trace.process(shape=(1,), **trace.options)
    a = np.array(trace.a).reshape(-1, 1)
    found = run_process(process, a_in=a, probe=["v", "n"])
    assert found.s_out.ravel().tolist() == trace.s
    assert found.v.ravel().tolist() == trace.v
    assert found.n.ravel().tolist() == trace.n
    assert not found.overflow_out.any()


def test_coefficients_are_cut_to_the_payload() -> None:
    process = AugmentedIF(shape=(2,), vth=3, v0=0, message_bits=4)
    a = [[100, 21], [0, 24], [-200, 0], [0, 0]]
    found = run_process(process, a_in=a, probe=["v", "n", "capped", "saturated"])
    assert found.s_out.tolist() == [[7, 7], [7, 7], [-7, 1], [-7, 0]]
    assert found.v.tolist() == [[79, 0], [58, 3], [-121, 0], [-100, 0]]
    assert found.n.tolist() == [[7, 7], [14, 14], [7, 15], [0, 15]]
    assert found.overflow_out.tolist() == [[0, 1], [0, 2], [0, 1], [0, 0]]
    assert found.capped.ravel().tolist() == [1, 3, 4, 4]
    assert not found.saturated.any()


def test_augmented_saturates_at_both_ends_of_24_bits() -> None:
    process = AugmentedIF(shape=(3,), vth=10, v0=0, message_bits=24)
    a = [[2**31 - 1, -(2**31), TOP], [-(2**31), -1, TOP - 7], [8, 1, TOP - 6]]
    found = run_process(process, a_in=a, probe=["v", "saturated", "capped"])
    assert found.s_out.tolist() == [[838860, 0, 838860], [-838860, 0, 838860], [0, 0, 838860]]
    assert found.v.tolist() == [[7, BOTTOM, 7], [-8, BOTTOM, 7], [0, BOTTOM + 1, 7]]
    assert found.overflow_out.tolist() == [[2, 0], [2, 0], [1, 0]]
    assert found.saturated.ravel().tolist() == [2, 4, 5]
    assert not found.capped.any()


@pytest.mark.parametrize("kind", [IntegrateFire, DoubleThresholdIF])
def test_others_saturate_at_both_ends_of_24_bits(kind: Callable[..., Neurons]) -> None:
    process = kind(shape=(2,), vth=10, v0=0)
    found = run_process(process, a_in=[[2**31 - 1, -(2**31)], [0, 0]], probe=["v"])
    assert found.s_out.tolist() == [[1, 0], [1, 0]]
    assert found.v.tolist() == [[TOP - 10, BOTTOM], [TOP - 20, BOTTOM]]
    assert found.overflow_out.tolist() == [[2, 0], [0, 0]]


def test_readout_integrates_saturates_and_reports() -> None:
    process = Readout(shape=(2,), bias=[1, -2])
    a = [[3, 4], [2**31 - 1, -(2**31)], [-5, 5]]
    found = run_process(process, a_in=a, probe=["v", "saturated", "capped"])
    assert found.v_out.tolist() == [[4, 2], [TOP, BOTTOM], [TOP - 4, BOTTOM + 3]]
    assert found.v.tolist() == found.v_out.tolist()
    assert found.overflow_out.tolist() == [[0, 0], [2, 0], [0, 0]]
    assert found.saturated.ravel().tolist() == [0, 2, 2]
    assert not found.capped.any()


FIRING = [IntegrateFire, DoubleThresholdIF, AugmentedIF]


@pytest.mark.parametrize("kind", FIRING)
@pytest.mark.parametrize("offset", [2, np.int64(5), 8])
def test_windows_follow_each_other(kind: Callable[..., Neurons], offset: Any) -> None:
    """Resets at the start of the steps 2, 5 and 8, whether or not the offset is larger than the interval."""
    interval: Any = np.int64(3)
    process = kind(shape=(1,), vth=10, bias=4, reset_interval=interval, reset_offset=offset)
    found = run_process(process, num_steps=8, probe=["v", "n"])
    assert found.s_out.ravel().tolist() == [0, 0, 1, 0, 0, 1, 0, 0]
    assert found.v.ravel().tolist() == [9, 9, 3, 7, 9, 3, 7, 9]
    assert found.n.ravel().tolist() == [0, 0, 1, 1, 0, 1, 1, 0]


def test_windows_of_a_readout_without_a_pause() -> None:
    process = Readout(shape=(1,), bias=4, reset_interval=3, reset_offset=2)
    found = run_process(process, num_steps=8)
    assert found.v_out.ravel().tolist() == [4, 4, 8, 12, 4, 8, 12, 4]


@pytest.mark.parametrize("kind", FIRING)
def test_windows_of_one_step(kind: Callable[..., Neurons]) -> None:
    found = run_process(kind(shape=(1,), vth=10, bias=4, reset_interval=1), a_in=[[0], [1], [0]], probe=["v"])
    assert found.s_out.ravel().tolist() == [0, 1, 0]
    assert found.v.ravel().tolist() == [9, 0, 9]


@pytest.mark.parametrize("kind", FIRING)
def test_bounds_of_n_start_again_with_every_window(kind: Callable[..., Neurons]) -> None:
    process = kind(shape=(1,), vth=10, v0=0, bias=99, n_max=1, reset_interval=3, reset_offset=2)
    found = run_process(process, num_steps=8, probe=["n"])
    assert found.n.ravel().tolist() == [1, 1, 2, 3, 1, 2, 3, 1]


@pytest.mark.parametrize("kind", FIRING)
def test_never_reset_by_default(kind: Callable[..., Neurons]) -> None:
    found = run_process(kind(shape=(1,), vth=10, bias=4), num_steps=50)
    assert np.cumsum(found.s_out).tolist() == [(5 + 4 * t) // 10 for t in range(1, 51)]


def test_maps_and_broadcast_biases() -> None:
    process = AugmentedIF(shape=(2, 1, 3), vth=10, v0=0, bias=[[[0]], [[20]]])
    found = run_process(process, a_in=np.arange(6).reshape(1, 2, 1, 3) * 5, probe=["bias"])
    assert found.s_out.tolist() == [[[[0, 0, 1]], [[3, 4, 4]]]]
    assert found.bias.tolist() == [[[[0, 0, 0]], [[20, 20, 20]]]]


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        (IntegrateFire, {"n": [[0, 1]], "vth": [[10]], "v0": [[5]], "v": [[5, 3]]}),
        (DoubleThresholdIF, {"n": [[0, 1]], "vth": [[10]], "v0": [[5]], "v": [[5, 3]], "vth_lo": [[-1]]}),
        (AugmentedIF, {"n": [[0, 1]], "vth": [[10]], "v0": [[5]], "v": [[5, 3]], "vth_lo": [[-1]]}),
        (Readout, {"v": [[0, 8]]}),
    ],
)
def test_every_var_can_be_read(process: Callable[..., Neurons], expected: dict[str, list[Any]]) -> None:
    options: dict[str, Any] = {"vth": 10} if process is not Readout else {}
    made = process(shape=(2,), bias=[0, 8], **options)
    found = run_process(made, num_steps=1, probe=made.vars.member_names)
    assert {name: found[name].tolist() for name in made.vars.member_names} == {
        **expected,
        "bias": [[0, 8]],
        "saturated": [[0]],
        "capped": [[0]],
    }


def test_parameters_can_be_set_between_runs() -> None:
    process: Any = AugmentedIF(shape=(1,), vth=10, v0=0, reset_interval=4, reset_offset=1)

    def change() -> None:
        process.vth.set(np.array([5]))
        process.v0.set(np.array([3]))
        process.vth_lo.set(np.array([-3]))

    a = np.array([25, 0, 4, -6, 2, -3]).reshape(-1, 1)
    found = run_process(process, a_in=a, probe=["v", "n", "vth", "v0", "vth_lo"], before={2: change})
    assert found.s_out.ravel().tolist() == [2, 0, 1, 0, 1, -1]
    assert found.v.ravel().tolist() == [5, 5, 4, -2, 0, 2]
    assert found.n.ravel().tolist() == [2, 2, 3, 3, 1, 0]
    assert found.vth.ravel().tolist() == [10, 10, 5, 5, 5, 5]
    assert found.v0.ravel().tolist() == [0, 0, 3, 3, 3, 3]
    assert found.vth_lo.ravel().tolist() == [-1, -1, -3, -3, -3, -3]


def test_v_and_n_can_be_set_between_runs() -> None:
    process: Any = DoubleThresholdIF(shape=(2,), vth=10, v0=0)

    def change() -> None:
        process.v.set(np.array([10, -4]))
        process.n.set(np.array([0, 2]))

    found = run_process(process, num_steps=2, probe=["v", "n"], before={1: change})
    assert found.s_out.tolist() == [[0, 0], [1, -1]]
    assert found.v.tolist() == [[0, 0], [0, 6]]
    assert found.n.tolist() == [[0, 0], [1, 1]]


def test_n_does_not_wrap_at_32_bits() -> None:
    """A neuron that is never reset may send its widest payload for ever."""
    process = AugmentedIF(shape=(1,), vth=1, v0=0, message_bits=24, bias=TOP)
    found = run_process(process, num_steps=300, probe=["n"])
    assert found.n.ravel().tolist() == [TOP * t for t in range(1, 301)]


def test_lava_monitors_can_probe() -> None:
    source = ImageSource(images=np.array([[37, 0], [-40, 12], [9, 0]]), num_steps=1)
    process: Any = AugmentedIF(shape=(2,), vth=10)
    source.s_out.connect(process.a_in)
    expected = {
        process.v: [[2, 5], [2, 7], [1, 7]],
        process.n: [[4, 0], [0, 1], [1, 1]],
        process.s_out: [[4, 0], [-4, 1], [1, 0]],
    }
    monitors = {target: Monitor() for target in expected}
    for target, monitor in monitors.items():
        monitor.probe(target, 3)
    try:
        process.run(condition=RunSteps(3), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        found = {target: monitor.get_data()[process.name][target.name] for target, monitor in monitors.items()}
    finally:
        process.stop()
    assert {target: values.tolist() for target, values in found.items()} == expected


def test_lavas_own_synapses_connect() -> None:
    """Stock Dense in front and behind: graded spikes of both signs pass, each with a step of delay."""
    source = ImageSource(images=np.array([[30], [-25]]), num_steps=1)
    front = StockDense(weights=np.array([[2], [4]]), num_message_bits=16)
    process: Any = AugmentedIF(shape=(2,), vth=10, v0=0)
    behind = StockDense(weights=np.array([[2, -6]]), num_message_bits=24)
    source.s_out.connect(front.s_in)
    front.a_out.connect(process.a_in)
    process.s_out.connect(behind.s_in)
    found = run_process(behind, num_steps=5)
    assert found.a_out.ravel().tolist() == [0, 0, 2 * 6 - 6 * 12, 2 * -5 - 6 * -10, 0]


FLOATS = {
    "rate": (
        IntegrateFire,
        {"vth": 0.5, "v0": 0.0},
        [0.5, 1e9, -2e9],
        [1, 1, 0],
        [0, 1e9 - 0.5, -1e9 - 0.5],
        [1, 2, 2],
    ),
    "double": (DoubleThresholdIF, {"vth": 0.5}, [0.5, -0.5, -1e9], [1, -1, 0], [0.25, 0.25, 0.25 - 1e9], [1, 0, 0]),
    "augmented": (AugmentedIF, {"vth": 0.5, "bias": 0.25}, [1, -0.75, 8], [3, -1, 16], [0, 0, 0.25], [3, 2, 18]),
    "integers": (AugmentedIF, {"vth": 2.0, "v0": 0.0}, [7, 0, -4], [3, 0, -2], [1, 1, 1], [3, 3, 1]),
}


@pytest.mark.parametrize(("process", "options", "a", "s", "v", "n"), FLOATS.values(), ids=FLOATS.keys())
def test_floating_point(process: Any, options: Any, a: Any, s: Any, v: Any, n: Any) -> None:
    made = process(shape=(1,), **options)
    currents = np.array(a, float).reshape(-1, 1)
    found = run_process(made, a_in=currents, probe=["v", "n"], tag="floating_pt")
    assert found.s_out.ravel().tolist() == s
    assert found.v.ravel().tolist() == v
    assert found.n.ravel().tolist() == n
    assert not found.overflow_out.any()


def test_floating_point_readout() -> None:
    process = Readout(shape=(1,), floating=True, bias=0.25)
    found = run_process(process, a_in=[[0.5], [1e9]], probe=["saturated"], tag="floating_pt")
    assert found.v_out.ravel().tolist() == [0.75, 1e9 + 1]
    assert not found.saturated.any()


def test_floating_point_parameters_can_be_set_between_runs() -> None:
    process: Any = AugmentedIF(shape=(1,), vth=1.0, v0=0.0)
    a = [[2.5], [0.0], [0.25]]
    change = {2: lambda: process.vth.set(np.array([0.25]))}
    found = run_process(process, a_in=a, probe=["v", "vth"], tag="floating_pt", before=change)
    assert found.s_out.ravel().tolist() == [2, 0, 3]
    assert found.v.ravel().tolist() == [0.5, 0.5, 0]
    assert found.vth.ravel().tolist() == [1, 1, 0.25]


@pytest.mark.parametrize(
    ("process", "options", "message"),
    [
        (
            IntegrateFire,
            {"vth": 0},
            "RateNeuron.vth: expected an integer from 1 to 8388607 or a positive float, found 0",
        ),
        (Neurons, {"neuron": "IF"}, "Neurons: expected a lava_aug.core.neurons.Neuron, found 'IF'"),
        (
            Neurons,
            {"neuron": MaxPoolNeuron(kernel_size=(1, 1)), "bias": 1},
            "MaxPoolNeuron: expected input current (..., height, width), found shape (2,)",
        ),
        (Readout, {"reset_interval": 0}, "reset_interval: expected an integer of at least 1 or None, found 0"),
        (Readout, {"reset_interval": 2.0}, "reset_interval: expected an integer of at least 1 or None, found 2.0"),
        (Readout, {"reset_interval": True}, "reset_interval: expected an integer of at least 1 or None, found True"),
        (Readout, {"reset_offset": -1}, "reset_offset: expected an integer of at least 0, found -1"),
        (Readout, {"reset_offset": "1"}, "reset_offset: expected an integer of at least 0, found '1'"),
        (
            Readout,
            {"bias": 0.5},
            "bias: expected integers from -8388608 to 8388607, as the neuron is fixed-point, found 0.5",
        ),
        (
            Readout,
            {"bias": 2**23},
            "bias: expected integers from -8388608 to 8388607, as the neuron is fixed-point, found 8388608",
        ),
        (
            Readout,
            {"bias": [0, -(2**23) - 1]},
            "bias: expected integers from -8388608 to 8388607, as the neuron is fixed-point, found [0, -8388609]",
        ),
        (Readout, {"bias": [1, 2, 3]}, "bias: expected a shape that broadcasts to (2,), found (3,)"),
    ],
)
def test_constructors_refuse(process: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        process(shape=(2,), **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("shape", [2, (), (0,), (2, 1.5), "2", None])
def test_shapes_are_tuples_of_sizes(shape: Any) -> None:
    with pytest.raises(SpecError, match=r"IntegrateFire\.shape: expected a tuple of positive integers, such as"):
        IntegrateFire(shape=shape, vth=3)
    with pytest.raises(SpecError, match=r"Synapses\.shape: expected a tuple of positive integers, such as"):
        Synapses(synapse=Relay(), shape=shape)
    assert IntegrateFire(shape=[2, 3], vth=3).a_in.shape == (2, 3)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("options", "name"), [({"vht": 3}, "vht"), ({}, "vth"), ({"vth": 3, "signed": True}, "signed")]
)
def test_constructors_refuse_misspelt_missing_and_foreign_parameters(options: dict[str, Any], name: str) -> None:
    with pytest.raises(TypeError, match=f"'{name}'"):
        IntegrateFire(shape=(2,), **options)


def test_parameters_of_each_neuron_are_vars_of_their_shape() -> None:
    process: Any = AugmentedIF(shape=(2, 3), vth=np.array([[10], [4]]), v0=0, reset_interval=2, reset_offset=1)
    change = {1: lambda: process.vth.set(np.array([[5], [4]]))}
    a = np.full((3, 2, 3), 21)
    found = run_process(process, a_in=a, probe=["v", "vth", "v0", "vth_lo"], before=change)
    assert found.s_out[:, :, 0].tolist() == [[2, 5], [4, 5], [4, 5]]
    assert found.v[:, :, 0].tolist() == [[1, 1], [2, 2], [1, 1]]
    assert found.vth.tolist() == [[[10], [4]], [[5], [4]], [[5], [4]]]
    assert (found.v0.shape, found.vth_lo.shape) == ((3, 1), (3, 1))


def test_parameters_must_fit_the_population() -> None:
    with pytest.raises(SpecError, match=r"RateNeuron.vth: expected a shape that broadcasts to \(2,\), found \(3,\)"):
        IntegrateFire(shape=(2,), vth=np.array([1, 2, 3]))


def test_max_pooling_by_hand() -> None:
    process = MaxPool(shape=(1, 4), kernel_size=(1, 2), message_bits=4, reset_interval=3, reset_offset=1)
    a = [[[3, 1, -5, -2]], [[-9, 0, 9, 0]], [[0, 9, 0, 0]], [[2, 0, 0, 0]]]
    found = run_process(process, a_in=a, probe=["n", "v", "capped"])
    assert found.s_out.tolist() == [[[3, -2]], [[-2, 6]], [[7, 0]], [[2, 0]]]
    assert found.n.tolist() == [[[3, -2]], [[1, 4]], [[8, 4]], [[2, 0]]]
    assert found.v.tolist() == [[[3, 1, -5, -2]], [[-6, 1, 4, -2]], [[-6, 10, 4, -2]], [[2, 0, 0, 0]]]
    assert found.capped.ravel().tolist() == [0, 0, 1, 1]


def test_max_pooling_takes_no_bias() -> None:
    with pytest.raises(SpecError, match="bias: MAXPOOL neurons take none, found 3"):
        Neurons(shape=(1, 4), neuron=MaxPoolNeuron(kernel_size=(1, 2)), bias=3)
