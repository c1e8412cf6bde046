"""What a run on Lava takes from this process it gives back: file descriptors, shared memory and threads, every time.

The marker `lava` looks at processes and at names in /dev/shm; these tests look at what is open and mapped here.
"""

import gc
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clocks import REACHED
from faulty.process import chain
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.extractor import Extractor
from lava.proc.io.injector import Injector
from lava.proc.lif.process import LIF
from nets import images_for, small_net

from lava_aug.core.errors import BackendError
from lava_aug.lava import deploy
from lava_aug.lava.supervision import supervise
from lava_aug.testing import run_process

pytestmark = pytest.mark.lava

CALLS = 2


def held() -> tuple[int, int, int]:
    """Open file descriptors, mapped segments of Lava's shared memory, and threads of this process.

    Errors keep what their frames hold until the next collection, which comes when it comes.
    """
    gc.collect()
    mapped = Path("/proc/self/maps").read_text().count("/dev/shm/psm_")
    return len(list(Path("/proc/self/fd").iterdir())), mapped, threading.active_count()


def two_lifs() -> None:
    first, second = (LIF(shape=(1_000,), vth=1, bias_mant=2, du=0, dv=0) for _ in range(2))
    first.s_out.connect(second.a_in)
    with pytest.warns(match="is not connected"), supervise(first):
        first.run(condition=RunSteps(num_steps=2), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        assert first.v.get()[:2].tolist() == [4, 4]


def with_arrays() -> None:
    trace = run_process(LIF(shape=(2,), vth=10, dv=0, du=4095), a_in=[[10, 11], [1, 0]], probe=["v"])
    assert trace.s_out.tolist() == [[0, 1], [1, 0]]


def network(fused: bool) -> None:
    net = small_net()
    assert deploy.run(net, images_for(net, 3), 2, fused=fused).num_images == 3


def failing(fault: str, **options: Any) -> None:
    middle = chain(fault)
    with pytest.raises(BackendError), supervise(middle, **options):
        middle.run(condition=RunSteps(num_steps=20), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))


def interrupted() -> None:
    middle = chain("silent")
    REACHED.clear()
    user = threading.Thread(
        target=lambda: REACHED.wait() and signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    )
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have those in the background ignore it
    try:
        with pytest.raises(KeyboardInterrupt), supervise(middle):
            user.start()
            middle.run(condition=RunSteps(num_steps=20), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    finally:
        signal.signal(signal.SIGINT, before)
    user.join()


def never_run() -> None:
    with supervise(chain()):
        pass


CASES: dict[str, Callable[[], None]] = {
    "healthy": two_lifs,
    "run_process": with_arrays,
    "fused": lambda: network(True),
    "in layers": lambda: network(False),
    "raises": lambda: failing("raise"),
    "cannot be made": lambda: failing("init"),
    "killed": lambda: failing("kill"),
    "timeout": lambda: failing("silent", timeout=0.5),
    "Ctrl-C": interrupted,
    "never run": never_run,
}


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_held_after_a_call(case: str) -> None:
    CASES[case]()  # the first call starts multiprocessing's resource tracker, which stays
    before = held()
    for _ in range(CALLS):
        CASES[case]()
        assert held() == before


def anonymous() -> int:
    """Mappings of shared memory without a name, to which children write what they send."""
    gc.collect()
    return Path("/proc/self/maps").read_text().count("/dev/zero")


@pytest.mark.parametrize("case", ["run_process", "fused", "in layers"])
def test_what_was_noted_is_not_kept(case: str) -> None:
    """Lava keeps every Process that was ever made."""
    CASES[case]()
    before = anonymous()
    for _ in range(CALLS):
        CASES[case]()
    assert anonymous() == before


def test_inputs_are_not_kept() -> None:
    lif = LIF(shape=(3,), vth=10)
    run_process(lif, a_in=np.ones((2, 3)), tag="floating_pt")
    (feeding,) = lif.a_in.in_connections
    assert feeding.process.proc_params["images"] is None


def test_what_has_arrived_outside_lava_can_be_read_afterwards() -> None:
    """The channels between Lava and the program are closed too, but what is in them is kept."""

    def once() -> list[list[float]]:
        injector, extractor = Injector(shape=(2,)), Extractor(shape=(2,))
        injector.out_port.connect(extractor.in_port)
        with supervise(injector):
            injector.run(condition=RunSteps(num_steps=3, blocking=False), run_cfg=Loihi2SimCfg())
            for value in (1.5, 2.5, 3.5):
                injector.send(np.full(2, value))
            injector.wait()
        return [extractor.receive().tolist() for _ in range(3)]

    once()
    before = held()
    assert once() == [[1.5, 1.5], [2.5, 2.5], [3.5, 3.5]]
    assert held() == before


def script(body: str) -> subprocess.CompletedProcess[str]:
    folders = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    lines = f"import sys\nsys.path[:0] = {folders!r}\n" + textwrap.dedent(body)
    command = [sys.executable, "-W", "ignore", "-c", lines]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_many_calls_need_few_file_descriptors() -> None:
    done = script("""
        import resource
        from lava.proc.lif.process import LIF
        from lava_aug.testing import run_process

        resource.setrlimit(resource.RLIMIT_NOFILE, (72, 72))  # one call needs 56
        passed = 0
        for _ in range(9):
            trace = run_process(LIF(shape=(2,), vth=10, dv=0, du=4095), a_in=[[10, 11], [1, 0]])
            passed += trace.s_out.tolist() == [[0, 1], [1, 0]]
        print(passed)
    """)
    assert (done.returncode, done.stdout) == (0, "9\n"), done.stderr[-2000:]


def test_the_end_of_a_forked_process_leaves_the_network_alone() -> None:
    """It has a copy of everything that runs here, and ends its copies, not the network."""
    done = script("""
        import os
        from lava.magma.core.run_conditions import RunSteps
        from lava.magma.core.run_configs import Loihi2SimCfg
        from faulty.process import chain
        from lava_aug.lava.supervision import supervise

        middle = chain()
        with supervise(middle):
            middle.run(condition=RunSteps(num_steps=3), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
            if os.fork() == 0:
                sys.exit()
            os.wait()
            middle.run(condition=RunSteps(num_steps=4))
            print(middle.seen.get().tolist())
    """)
    assert (done.returncode, done.stdout) == (0, "[7.0]\n"), done.stderr[-2000:]
