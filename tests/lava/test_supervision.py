"""Every way in which Lava hangs or leaks ends, under supervision, in an exception and nothing left.

What ends the interpreter is tried in one of its own; the marker `lava` looks for leftovers after every test here.
"""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clocks import Clock
from faulty.process import FloatSink, Middle, Source, chain
from lava.magma.core.run_conditions import RunContinuous, RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import Dense
from lava.proc.lif.process import LIF
from lava.proc.monitor.process import Monitor
from nets import images_for, small_net

from lava_aug.core.errors import BackendError, BackendWarning, InputError, RunInterruptedError
from lava_aug.lava import children, deploy
from lava_aug.lava.children import prepare_child
from lava_aug.lava.supervision import supervise
from lava_aug.processes import AugmentedIF, IntegrateFire, Readout
from lava_aug.simulation.simulator import simulate
from lava_aug.testing import run_process
from lava_aug.testing.leftovers import check_leftovers, leftovers

pytestmark = pytest.mark.lava

HERE = Path(__file__).parent


def run(process: Any, num_steps: int = 20, **options: Any) -> None:
    process.run(condition=RunSteps(num_steps=num_steps, **options), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))


def test_a_healthy_network_runs_pauses_and_goes_on() -> None:
    middle = chain()
    with supervise(middle):
        run(middle)
        assert middle.seen.get().tolist() == [20]
        middle.seen.set(np.array([7]))
        assert middle.seen.get().tolist() == [7]
        run(middle, 3, blocking=False)
        middle.wait()
        assert middle.seen.get().tolist() == [23]
        middle.run(condition=RunContinuous())
        middle.pause()
        assert middle.seen.get()[0] >= 23


RAISED = {
    "raise": r"Lava process 'middle' \(Middle\) raised ValueError: wrong in step 5[\s\S]*Traceback[\s\S]*in run_spk",
    "init": r"a ProcessModel could not be created:[\s\S]*ValueError: cannot be made",
    "kill": r"Lava process 'middle' \(Middle\) was killed by signal 9 \(SIGKILL\)",
    "exit": r"Lava process 'middle' \(Middle\) ended unexpectedly with exit code 3",
    "shape": r"'middle' \(Middle\) raised AssertionError: data.shape=\(3,\)",
    "fraction": r"'middle' \(Middle\) raised BackendError: port 's_out' carries int32, which cannot hold 1.5",
    "large": r"port 's_out' carries int32, which cannot hold 1099511627776 \(element \(0,\)",
}


@pytest.mark.parametrize("fault", RAISED)
def test_a_failing_child_is_reported_although_nothing_limits_the_time(fault: str) -> None:
    middle = chain(fault)
    with pytest.raises(BackendError, match=RAISED[fault]), supervise(middle):
        run(middle)


def test_waiting_in_vain_ends_at_the_timeout(clock: Clock) -> None:
    middle = chain("silent")
    with pytest.raises(BackendError, match="did not answer within 1 seconds, although all its processes are alive"):  # noqa: SIM117
        with supervise(middle, timeout=1):
            run(middle)


def test_a_stopped_network_does_not_run_again() -> None:
    middle = chain()
    with supervise(middle):
        run(middle, 2)
        middle.stop()
        with pytest.raises(BackendError, match="was stopped and cannot run again"):
            run(middle, 2)
        with pytest.raises(BackendError, match="was stopped; read its Vars before"):
            middle.seen.get()


def test_vars_of_a_running_network_are_refused() -> None:
    middle = chain()
    with supervise(middle):
        middle.run(condition=RunContinuous(), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        with pytest.raises(BackendError, match="call wait\\(\\) or pause\\(\\) first"):
            middle.seen.get()


def test_an_exception_in_the_block_ends_the_network() -> None:
    middle = chain()
    with pytest.raises(KeyError), supervise(middle):
        run(middle, 2)
        raise KeyError("the user's own")


def test_ports_of_different_kinds_are_refused() -> None:
    source, sink = Source(), FloatSink()
    source.s_out.connect(sink.s_in)
    with pytest.raises(BackendError, match=r"source.s_out sends int32, but float_sink.s_in reads float64"):  # noqa: SIM117
        with supervise(source):
            run(source)


def test_an_unconnected_port_warns() -> None:
    middle = Middle("none")
    with pytest.warns(BackendWarning, match=r"middle.s_in is not connected and will read zeros"), supervise(middle):
        run(middle, 2)
        assert middle.seen.get().tolist() == [0]


def test_a_monitor_of_a_var_is_no_reason_to_warn() -> None:
    """Lava's Monitor then has an InPort that it never reads. Warnings are errors here."""
    lif, monitor = LIF(shape=(1,), vth=10, bias_mant=3, du=0, dv=0), Monitor()
    monitor.probe(lif.v, 2)
    with pytest.warns(BackendWarning) as found, supervise(lif):  # of the neuron's current, which comes from nowhere
        run(lif, 2)
        assert monitor.get_data()[lif.name]["v"].shape == (2, 1)
    ours = [str(warning.message) for warning in found if issubclass(warning.category, BackendWarning)]
    assert ours == [f"{lif.name}.a_in is not connected and will read zeros"]


def test_monitors_may_read_floats() -> None:
    """Lava declares their ports as integers, and keeps what arrives as it is."""
    neurons, monitors = Readout((2,), floating=True, bias=[0.25, -1.5]), (Monitor(), Monitor())
    for monitor, target in zip(monitors, (neurons.v_out, neurons.v), strict=True):
        monitor.probe(target, 2)
    with pytest.warns(BackendWarning, match="a_in is not connected"), supervise(neurons):
        neurons.run(condition=RunSteps(2), run_cfg=Loihi2SimCfg(select_tag="floating_pt"))
        found = [monitor.get_data()[neurons.name] for monitor in monitors]
    assert [data[name].tolist() for data, name in zip(found, ("v_out", "v"), strict=True)] == [
        [[0.25, -1.5], [0.5, -3.0]]
    ] * 2


@pytest.mark.parametrize(
    ("neurons", "bits", "expected", "warns"),
    [
        (lambda: AugmentedIF((1,), 10, v0=0, bias=35), 0, [0, 2], True),
        (lambda: AugmentedIF((1,), 10, v0=0, bias=35), 16, [0, 6], False),
        (lambda: IntegrateFire((1,), 10, v0=0, bias=35), 0, [0, 2], False),
    ],
)
def test_graded_spikes_into_synapses_that_count_them_as_ones_warn(
    neurons: Callable[[], Any], bits: int, expected: list[int], warns: bool
) -> None:
    sender, dense = neurons(), Dense(weights=np.array([[2]]), num_message_bits=bits)
    sender.s_out.connect(dense.s_in)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert run_process(dense, num_steps=2).a_out.ravel().tolist() == expected
    ours = [str(warning.message) for warning in found if issubclass(warning.category, BackendWarning)]
    message = (
        f"{sender.name} sends graded or negative spikes, but {dense.name} takes each for 1, as its num_message_bits "
        "is 0; write Dense(..., num_message_bits=16)"
    )
    assert ours == [message] * warns


def test_too_little_shared_memory_is_noticed_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = children.shutil.disk_usage("/dev/shm")
    monkeypatch.setattr(children.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    middle = chain()
    with pytest.raises(BackendError, match="of shared memory, /dev/shm has 0 MiB free; pass compile_config="):  # noqa: SIM117
        with supervise(middle):
            run(middle)


def test_only_processes_that_have_not_run_can_be_supervised() -> None:
    with pytest.raises(BackendError, match="expected a Lava Process, found str"):  # noqa: SIM117
        with supervise("x"):  # pyright: ignore[reportArgumentType]
            pass
    middle = chain()
    with supervise(middle):
        run(middle, 1)
    with pytest.raises(BackendError, match="has been run already"):  # noqa: SIM117
        with supervise(middle):
            pass


@pytest.mark.parametrize("timeout", [0, -1.5, float("nan"), "10", True])
def test_impossible_timeouts(timeout: Any) -> None:
    message = rf"^timeout: expected a positive number of seconds, or None, found {timeout!r}$"
    with pytest.raises(InputError, match=message), supervise(chain(), timeout=timeout):
        pass
    with pytest.raises(InputError, match=message):
        deploy.run(small_net(), images_for(small_net()), timeout=timeout)
    with pytest.raises(InputError, match=message):
        run_process(LIF(shape=(2,)), a_in=[[10, 11]], timeout=timeout)


def test_stock_processes_are_supervised_too() -> None:
    lif = LIF(shape=(2,), bias_mant=6, vth=4, dv=0)
    with pytest.warns(BackendWarning, match="a_in is not connected"), supervise(lif):
        run(lif, 3)
        assert lif.v.get().tolist() == [18, 18]


def script(body: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a script in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PREAMBLE) + textwrap.dedent(body)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


PREAMBLE = f"""
    import sys, os, signal, time, threading
    sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]
    from lava_aug.lava.supervision import supervise
    from clocks import REACHED
    from faulty.process import chain
    from lava.magma.core.run_conditions import RunSteps, RunContinuous
    from lava.magma.core.run_configs import Loihi2SimCfg
    cfg = Loihi2SimCfg(select_tag="fixed_pt")
"""


def test_a_forgotten_stop_does_not_keep_the_interpreter() -> None:
    """The block is never left: the generator behind it is still alive when the interpreter ends."""
    done = script("""
        middle = chain()
        block = supervise(middle)
        block.__enter__()
        middle.run(condition=RunSteps(num_steps=3), run_cfg=cfg)
        print("end of script")
    """)
    assert (done.returncode, done.stdout) == (0, "end of script\n"), done.stderr


def test_ctrl_c_ends_everything_quietly() -> None:
    done = script(
        """
        middle = chain("silent")
        threading.Thread(target=lambda: REACHED.wait() and os.killpg(0, signal.SIGINT)).start()
        try:
            with supervise(middle):
                middle.run(condition=RunSteps(num_steps=20), run_cfg=cfg)
        except KeyboardInterrupt:
            print("interrupted")
    """,
        start_new_session=True,
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
    assert "Traceback" not in done.stderr


def test_children_do_not_look_through_what_they_inherit() -> None:
    """Counting the references to an object copies the page it is on, in every child."""
    inherited = [[] for _ in range(100_000)]
    before = gc.get_freeze_count()
    with multiprocessing.get_context("fork").Pool(1, prepare_child, (os.getpid(), False)) as pool:
        assert pool.apply(gc.get_freeze_count) - before >= len(inherited)


def test_torchs_threads_of_before_do_not_matter() -> None:
    """They do not survive a fork, and whatever waits for them afterwards waits for ever."""
    done = script("""
        import torch
        import lava_aug as la
        from nets import images_for, small_net

        torch.set_num_threads(2)
        torch.ones(1 << 20).exp().sum()  # starts them
        net = small_net()
        images = images_for(net, 3)
        expected = la.simulate(net, images, 4)
        for fused in (True, False):
            print(expected.differences(la.run(net, images, 4, fused=fused)))
        middle = chain("torch")
        with supervise(middle):
            middle.run(condition=RunSteps(num_steps=7), run_cfg=cfg)
            print(middle.seen.get().tolist(), torch.get_num_threads())
    """)
    assert (done.returncode, done.stdout) == (0, "[]\n[]\n[7.0] 2\n"), done.stderr


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_children_end_with_a_killed_parent(signal_number: int) -> None:
    before = leftovers()
    body = """
        middle = chain()
        with supervise(middle):
            middle.run(condition=RunContinuous(), run_cfg=cfg)
            print(os.getpid(), flush=True)
            time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PREAMBLE) + textwrap.dedent(body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert len(_session(pid)) > 3  # Lava's processes
    os.kill(pid, signal_number)
    parent.wait()
    parent.stdout.close()
    while _session(pid):  # or the time limit of the test
        time.sleep(0.1)
    check_leftovers(before, patience=100)


def _session(leader: int) -> list[str]:
    """Process identifiers of a session, zombies left out."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def test_a_script_without_a_main_guard_is_named(tmp_path: Path) -> None:
    """Lava executes every file in a Process's folder: the script itself, if the Process is defined there."""
    (tmp_path / "unguarded.py").write_text(
        "import sys\n"
        "from lava_aug.lava.supervision import supervise\n"
        "from lava.magma.core.run_conditions import RunSteps\n"
        "from lava.magma.core.run_configs import Loihi2SimCfg\n"
        "from own import Own\n"
        "own = Own()\n"
        "with supervise(own):\n"
        "    own.run(condition=RunSteps(num_steps=2), run_cfg=Loihi2SimCfg())\n"
        "print('done')\n"
    )
    (tmp_path / "own.py").write_text(
        "from lava.magma.core.process.process import AbstractProcess\n"
        "from lava.magma.core.model.py.model import PyLoihiProcessModel\n"
        "from lava.magma.core.decorator import implements, requires\n"
        "from lava.magma.core.resources import CPU\n"
        "from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol\n"
        "class Own(AbstractProcess):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "@implements(proc=Own, protocol=LoihiProtocol)\n"
        "@requires(CPU)\n"
        "class PyOwn(PyLoihiProcessModel):\n"
        "    def run_spk(self):\n"
        "        pass\n"
    )
    done = subprocess.run([sys.executable, "unguarded.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.count("done") == 1
    assert "put what it does under: if __name__ == '__main__':" in done.stderr


def test_another_start_method_is_refused_in_one_sentence() -> None:
    body = "import multiprocessing as m; m.set_start_method('spawn'); import lava_aug as la; la.run"
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=False)
    assert (
        "BackendError: Lava needs multiprocessing's start method 'fork', but it has been set to 'spawn'" in done.stderr
    )


def test_fork_set_before_is_fine() -> None:
    body = "import multiprocessing as m; m.set_start_method('fork'); import lava_aug as la; print(la.run.__name__)"
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=False)
    assert done.stdout == "run\n", done.stderr


@pytest.mark.parametrize("fused", [True, False])
def test_an_interrupted_run_returns_what_was_finished(fused: bool) -> None:
    net = small_net()
    images = images_for(net, 40_000)
    seen = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(RunInterruptedError, match=r"run ended after \d+ of 40,000 images: interrupted") as caught:
        deploy.run(net, images, 2, fused=fused, progress=progress)
    finished, output = caught.value.num_finished, caught.value.output
    assert 20 < finished < 40_000
    assert output.num_images == finished
    assert output.differences(simulate(net, images[:finished], 2)) == []
    assert seen[-1][1] == 40_000


def test_a_run_that_takes_too_long_ends(clock: Clock) -> None:
    """As many seconds pass as images are finished."""
    net = small_net()

    def progress(done: int, total: int) -> None:
        clock.now = done

    with pytest.raises(RunInterruptedError, match=r"did not answer within 0\.5 seconds") as caught:
        deploy.run(net, images_for(net, 100_000), 4, timeout=0.5, progress=progress)
    assert 0 < clock.now <= caught.value.num_finished < 100_000
