"""The testing kit on Lava: our Processes and Lava's own, chains, and Processes that go wrong."""

from typing import Any

import numpy as np
import pytest
from clocks import Clock
from faulty.process import Middle, chain
from lava.proc.conv.process import Conv
from lava.proc.dense.models import PyDenseModelBitAcc
from lava.proc.dense.process import Dense
from lava.proc.lif.models import PyLifModelFloat
from lava.proc.lif.process import LIF

import lava_aug as la
from lava_aug.core.errors import BackendError, InputError
from lava_aug.processes import AugmentedIF
from lava_aug.processes.fast_models import PyFastDenseFixed
from lava_aug.testing import assert_models_agree, run_process

pytestmark = pytest.mark.lava


WEIGHTS = np.array([[2, -4], [6, 8], [10, 12]])
"""Even, as Lava keeps 7 bits and the sign of weights of both signs."""


def lif(**options: Any) -> LIF:
    """Fires above 10, keeps nothing."""
    return LIF(**{"shape": (2,), "vth": 10, "dv": 0, "du": 4095, "bias_mant": 0, **options})


# What goes in and out


def test_in_one_line() -> None:
    trace = run_process(AugmentedIF(shape=(2,), vth=10), a_in=[[37, 5], [-40, 12]], probe=["v", "n"])
    assert trace.s_out.tolist() == [[4, 1], [-4, 1]]
    assert trace.v.tolist() == [[2, 0], [2, 2]]
    assert trace.n.tolist() == [[4, 1], [0, 2]]
    assert (list(trace), trace.num_steps) == (["overflow_out", "s_out", "v", "n"], 2)
    assert {trace[name].dtype for name in trace} == {np.dtype(np.int64)}


def test_lavas_lif_in_fixed_and_in_floating_point() -> None:
    """In fixed point one unit of input current or threshold is 64 of the potential."""
    fixed = run_process(lif(), a_in=[[10, 11], [1, 0]], probe=["v"], num_steps=3)
    assert fixed.s_out.tolist() == [[0, 1], [1, 0], [0, 0]]
    assert fixed.v.tolist() == [[640, 0], [0, 0], [0, 0]]
    floating = run_process(lif(du=1), a_in=[[9.5, 10.5], [0.75, 0]], probe=["v"], tag="floating_pt")
    assert floating.s_out.tolist() == [[0, 1], [1, 0]]
    assert floating.v.tolist() == [[9.5, 0], [0, 0]]
    assert floating.v.dtype == np.float64


def test_integers_go_into_floating_point_ports() -> None:
    assert run_process(lif(du=1), a_in=[[11, 3]], model=PyLifModelFloat).s_out.tolist() == [[1, 0]]


def test_lavas_dense_sends_one_step_later() -> None:
    trace = run_process(Dense(weights=WEIGHTS, num_message_bits=8), s_in=[[1, 2], [0, -1]], num_steps=4)
    assert trace.a_out.tolist() == [[0, 0, 0], [-6, 22, 34], [4, -8, -12], [0, 0, 0]]


def test_a_chain_of_stock_processes() -> None:
    dense = Dense(weights=100 * WEIGHTS, num_message_bits=0, name="dense")
    trace = run_process(
        [dense, lif(shape=(3,), name="lif")], s_in=[[1, 1], [1, 0]], num_steps=4, probe=["a_out", "lif.v"]
    )
    clipped = np.clip(100 * WEIGHTS, -256, 254)
    assert trace.a_out[1].tolist() == clipped.sum(1).tolist()
    assert (list(trace), trace["lif.v"].shape) == (["s_out", "a_out", "lif.v"], (4, 3))
    assert trace.s_out.any()


def test_our_processes_and_lavas_in_one_chain() -> None:
    front, behind = Dense(weights=np.array([[2], [4]]), num_message_bits=16), Dense(weights=np.array([[2, -6]]))
    chained = [front, AugmentedIF(shape=(2,), vth=10, v0=0), behind]
    assert run_process(chained, s_in=[[30]], num_steps=4).a_out.ravel().tolist() == [0, 0, 2 - 6, 0]


def test_processes_that_are_connected_already() -> None:
    middle = chain()
    trace = run_process(middle, num_steps=3, probe=["seen"])
    assert (trace.s_out.tolist(), trace.seen.ravel().tolist()) == ([[1, 1], [2, 2], [3, 3]], [1, 2, 3])
    with pytest.raises(InputError, match="s_in is connected already, it cannot get an array as well"):
        run_process(chain(), s_in=[[1, 2]])


def test_run_configurations_and_vars_set_on_the_way() -> None:
    dense: Any = Dense(weights=WEIGHTS, num_message_bits=8)
    change = {2: lambda: dense.weights.set(2 * WEIGHTS)}
    config = la.FastSimCfg(select_tag="fixed_pt")
    trace = run_process(dense, s_in=np.ones((4, 2)), run_cfg=config, before=change)
    assert trace.a_out[:, 0].tolist() == [0, -2, -2, -4]
    assert config.exception_proc_model_map in ({}, None)  # ours was a copy


# What is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: run_process([], num_steps=1), "expected a Process or several, found none"),
        (lambda: run_process("lif", num_steps=1), "expected a Lava Process, found 'l'"),  # pyright: ignore
        (lambda: run_process(lif(name="x"), b_in=[[1, 2]]), "no InPort 'b_in'; there are {'x': ['a_in']}"),
        (lambda: run_process(lif(name="x"), probe=["w"], num_steps=1), "no OutPort or Var 'w'; there are {'x': ["),
        (lambda: run_process(lif(), probe="v", num_steps=1), "probe: expected names in a list, found 'v'"),
        (lambda: run_process(lif()), "expected inputs, or num_steps; found neither"),
        (lambda: run_process(lif(), "a_in"), "inputs: expected a dictionary of port name to array, found 'a_in'"),  # pyright: ignore
        (lambda: run_process(lif(), num_steps=0), "num_steps: expected an integer of at least 1, found 0"),
        (lambda: run_process(lif(), a_in=[1, 2]), "a_in: expected numbers of shape (T, 2), found int64 (2,)"),
        (lambda: run_process(lif(), a_in=[["a", "b"]]), "a_in: expected numbers of shape (T, 2), found <U1 (1, 2)"),
        (
            lambda: run_process(lif(name="x"), a_in=[[1, 2], [3, 0.5]]),
            "x.a_in takes integers of 32 bits, found 0.5 in step 1, element (1,); use other inputs, or another model "
            "(tag='floating_pt')",
        ),
        (lambda: run_process(lif(name="x"), a_in=[[2**31, 0]]), "x.a_in takes integers of 32 bits, found 2147483648"),
        (lambda: run_process(lif(), num_steps=3, before={3: print}), "before: expected steps from 1 to 2, found [3]"),
        (lambda: run_process(lif(), num_steps=1, model="x"), "model of LIF: expected a class, found 'x'"),
        (
            lambda: run_process(lif(), num_steps=1, run_cfg="x"),
            "expected a tag or a RunConfig, found tag=None, run_cfg='x'",
        ),
        (
            lambda: run_process([lif(name="a"), Dense(weights=WEIGHTS.T, name="b")], num_steps=1),
            "a sends {'s_out': (2,)}, b takes {'s_in': (3,)}: expected one pair of ports of the same shape; connect",
        ),
    ],
)
def test_refused(call: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert message in str(caught.value)


def test_a_tag_that_no_model_has() -> None:
    with pytest.raises(
        BackendError, match=r"LIF: .*No ProcessModels found with tag[\s\S]*its models have tags \['bit_"
    ):
        run_process(lif(), a_in=[[1, 2]], tag="fixed")


def test_a_process_runs_once() -> None:
    process = lif(name="once")
    run_process(process, num_steps=1)
    with pytest.raises(InputError, match="once has run already; make a new one for every run"):
        run_process(process, num_steps=1)


# What goes wrong

TEN = np.ones((10, 2), int)


def test_a_model_that_raises_gives_its_traceback() -> None:
    with pytest.raises(BackendError, match=r"raised ValueError: wrong in step 5[\s\S]*Traceback[\s\S]*in run_spk"):
        run_process(Middle("raise"), s_in=TEN)


def test_a_model_that_cannot_be_made() -> None:
    with pytest.raises(BackendError, match=r"could not be created:[\s\S]*ValueError: cannot be made"):
        run_process(Middle("init"), s_in=TEN)


def test_a_model_that_dies() -> None:
    with pytest.raises(BackendError, match=r"'middle' \(Middle\) was killed by signal 9"):
        run_process(Middle("kill"), s_in=TEN)


def test_a_model_that_does_not_send(clock: Clock) -> None:
    with pytest.raises(BackendError, match=r"did not answer within 2 seconds[\s\S]*have sent, of 10: s_out 4\)"):
        run_process(Middle("silent"), s_in=TEN, timeout=2)


def test_many_short_waits_end_too(clock: Clock) -> None:
    def wait() -> None:
        clock.now += 0.6

    with pytest.raises(BackendError, match=r"run_process: 5 of 10 steps took more than 2 seconds"):
        run_process(Middle("none"), s_in=TEN, timeout=2, before=dict.fromkeys(range(1, 10), wait))


# Models against each other


def test_models_that_agree() -> None:
    dense = Dense(weights=WEIGHTS, num_message_bits=8)
    trace = assert_models_agree(dense, {"s_in": [[1, 2]]}, models=[PyDenseModelBitAcc, PyFastDenseFixed], num_steps=2)
    assert trace.a_out.tolist() == [[0, 0, 0], [-6, 22, 34]]
    configs = [la.FastSimCfg(select_tag="fixed_pt")]
    assert_models_agree(lambda: dense, {"s_in": [[1, 2]]}, tags=["fixed_pt"], run_cfgs=configs, num_steps=2)


def test_models_that_do_not() -> None:
    """In fixed point the potential is 64 times that of floating point."""
    with pytest.raises(AssertionError) as caught:
        assert_models_agree(lif(du=0), {"a_in": [[1, 2], [3, 4]]}, tags=["fixed_pt", "floating_pt"], probe=["v"])
    assert str(caught.value).startswith("v differs first in step ")
    assert "tag floating_pt " in str(caught.value)


def test_what_goes_wrong_elsewhere_is_raised_here() -> None:
    with pytest.raises(BackendError, match="wrong in step 5"):
        assert_models_agree(Middle("raise"), {"s_in": TEN}, tags=["fixed_pt", "fixed_pt"])
    with pytest.raises(
        InputError, match=r"expected at least two of tags, models and run_cfgs, found \[\('tag', 'x'\)\]"
    ):
        assert_models_agree(lif(), {}, tags=["x"])
    with pytest.raises(BackendError, match="assert_models_agree: ZeroDivisionError: division by zero"):
        assert_models_agree(lambda: 1 / 0, {}, tags=["a", "b"])


def test_the_fixture(run_process: Any) -> None:
    assert run_process(Conv(weight=np.ones((1, 1, 1, 1)), input_shape=(1, 1, 1)), num_steps=1).a_out.tolist() == [
        [[[0]]]
    ]
