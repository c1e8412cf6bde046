"""Running Lava networks without hangs and leaks: ours, and anybody's.

Lava waits without limit for processes that may be dead, and says nothing of why. `supervise` replaces, for the networks
that are started within it, Lava's runtime by one that

- looks at every child while it waits, and raises `BackendError` with the child's traceback or exit code,
- keeps to a timeout, if one is given,
- checks number formats, shared memory and the runtime's state before it starts or touches anything,
- ends every child and frees all shared memory when the block is left, however it is left; children also end when the
  parent is killed (Linux), and leave Ctrl-C to the parent.

It uses private parts of Lava, whose last release this is; hence ``lava-nc==0.10.*``.
"""

import atexit
import contextlib
import ctypes
import functools
import multiprocessing
import os
import queue
import shutil
import signal
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lava_aug.backend.lava_import import import_lava
from lava_aug.errors import BackendError, BackendWarning

import_lava()

from lava.magma.compiler.channels.pypychannel import CspSendPort  # noqa: E402
from lava.magma.core.process import process as process_module  # noqa: E402
from lava.magma.core.process.process import AbstractProcess  # noqa: E402
from lava.magma.runtime.message_infrastructure.multiprocessing import (  # noqa: E402
    MultiProcessing,
    SharedMemoryManager,
)
from lava.magma.runtime.mgmt_token_enums import MGMT_RESPONSE, enum_equal  # noqa: E402
from lava.magma.runtime.runtime import Runtime, target_fn  # noqa: E402
from lava.proc.monitor.process import Monitor  # noqa: E402

POLL_SECONDS = 0.1
"""How often children are looked at while nothing arrives."""

STOP_SECONDS = 10.0
"""How long children may take to end in an orderly way before they are killed."""

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps shared memory."""

_live: "weakref.WeakSet[SupervisedRuntime]" = weakref.WeakSet()


@contextlib.contextmanager
def supervise(process: AbstractProcess, *, timeout: float | None = None) -> Iterator[None]:
    """Run a Lava network safely: nothing hangs, and nothing is left behind.

    Within the block use the Process as always: `run`, `wait`, `pause`, `stop`, and `get` and `set` of its Vars. When
    the block is left the network is stopped, whether or not `stop` was called.

    Parameters
    ----------
    process : AbstractProcess
        Any Process of the network; it must not have been run yet.
    timeout : float, optional
        Seconds that any of these calls may take; default no limit. Children that wait for each other in vain are all
        alive, so only a timeout ends that.

    Raises
    ------
    BackendError
        If a child raises (with its traceback), dies (with its exit code or signal), the timeout passes, ports of
        different number formats are connected, shared memory is too small, or a stopped network is run again.

    Warns
    -----
    BackendWarning
        If an InPort is not connected: it will read zeros.

    Examples
    --------
    >>> from lava.magma.core.run_conditions import RunSteps
    >>> from lava.magma.core.run_configs import Loihi2SimCfg
    >>> from lava.proc.lif.process import LIF
    >>> lif = LIF(shape=(1,), du=4095, bias_mant=3)
    >>> with supervise(lif, timeout=60):
    ...     lif.run(condition=RunSteps(num_steps=10), run_cfg=Loihi2SimCfg())
    ...     v = lif.v.get()
    >>> v.tolist()
    [6.0]
    """
    if not isinstance(process, AbstractProcess):
        raise BackendError(f"supervise: expected a Lava Process, found {type(process).__name__}")
    if process.runtime is not None:
        raise BackendError("supervise: this network has been run already; enter the block before the first run()")
    check_not_searched()
    runtimes: list[SupervisedRuntime] = []

    def make(*arguments: Any, **options: Any) -> SupervisedRuntime:
        runtimes.append(SupervisedRuntime(*arguments, limit=timeout, **options))
        return runtimes[-1]

    original = process_module.Runtime
    process_module.Runtime = make
    try:
        yield
        for runtime in runtimes:
            runtime.stop()
    finally:
        process_module.Runtime = original
        for runtime in runtimes:
            runtime.kill()


class SupervisedRuntime(Runtime):
    """Lava's runtime with bounded waiting; see `supervise`.

    Parameters
    ----------
    limit : float, optional
        Seconds that any call may take.
    """

    def __init__(self, *arguments: Any, limit: float | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limit = limit
        self._deadline: float | None = None
        self._ended = False
        self._stopping = False
        self._progress: Callable[[], None] | None = None
        _live.add(self)

    # What Lava calls

    def initialize(self, node_cfg_idx: int = 0) -> None:
        """Start the children; Lava's own method waits for each without limit."""
        check_ports(self._executable)
        check_shared_memory(self._executable)
        with self._guarded():
            self._build_watchdog_manager()
            self._messaging_infrastructure = Children(self._executable)
            self._messaging_infrastructure.start()
            self._build_channels()
            self._build_sync_channels()
            self._build_processes()
            self._build_runtime_services()
            self._start_ports()
            self._await_builds()
            watched: Any = [_WatchedPort(port, self) for port in self.service_to_runtime]
            self.service_to_runtime = watched
        self._is_initialized = True

    def start(self, run_condition: Any) -> None:
        """Start or go on; a stopped network would crash the interpreter."""
        if self._ended:
            raise BackendError("this Lava network was stopped and cannot run again; make its Processes anew")
        with self._guarded():
            super().start(run_condition)

    def wait(self) -> None:
        """Wait for the end of a run."""
        with self._guarded():
            super().wait()

    def pause(self) -> None:
        """Pause a run."""
        with self._guarded():
            super().pause()

    def stop(self) -> None:
        """End all children: in an orderly way if they can, by force if not."""
        if self._ended:
            return
        try:
            if self._is_started:
                self._stopping = True
                self._deadline = time.monotonic() + STOP_SECONDS
                super().stop()
        except BackendError:
            pass  # what they had to say was said when it mattered; now they are killed
        finally:
            self.kill()

    def get_var(self, *arguments: Any, **options: Any) -> Any:
        """Read a Var."""
        self._check_idle()
        with self._guarded():
            return super().get_var(*arguments, **options)

    def set_var(self, *arguments: Any, **options: Any) -> Any:
        """Write a Var."""
        self._check_idle()
        with self._guarded():
            return super().set_var(*arguments, **options)

    def _get_resp_for_run(self) -> None:
        """Wait until every runtime service is done."""
        if not self._is_running:
            return
        for port in self.service_to_runtime:
            answer = port.recv()
            if enum_equal(answer, MGMT_RESPONSE.REQ_PAUSE):
                return self.pause()
            if enum_equal(answer, MGMT_RESPONSE.REQ_STOP):
                return self.stop()
            if not enum_equal(answer, MGMT_RESPONSE.DONE):
                self._await_cause()
        self._is_running = False
        return None

    def __del__(self) -> None:
        self.kill()

    # What it adds

    def follow(self, progress: Callable[[], None]) -> None:
        """Call a function now and then while waiting."""
        self._progress = progress

    def until(self, ready: Callable[[float], bool]) -> None:
        """Call ``ready(seconds)``, which waits at most so long, until it is true; look at the children in between."""
        while not ready(POLL_SECONDS):
            self.check_children()
            if self._progress is not None:
                self._progress()
            if self._deadline is not None and time.monotonic() > self._deadline:
                raise BackendError(
                    f"Lava did not answer within {self._limit or STOP_SECONDS:g} seconds, although all its processes "
                    "are alive; perhaps one waits for data that nobody sends"
                )

    def check_children(self) -> None:
        """Raise BackendError if a child has raised or died."""
        failure = self._children.failure(self._stopping)
        if failure is not None:
            raise BackendError(failure)

    def kill(self) -> None:
        """End everything at once; nothing happens the second time."""
        if self._ended:
            return
        self._ended, self._is_started, self._is_running = True, False, False
        if isinstance(self._messaging_infrastructure, Children):
            for port in self._open_ports:
                with contextlib.suppress(Exception):
                    port.join()
            self._children.kill(self._open_ports)
        self._open_ports = []

    @property
    def _children(self) -> "Children":
        assert isinstance(self._messaging_infrastructure, Children)  # made in initialize()
        return self._messaging_infrastructure

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Bounded in time; whatever goes wrong, nothing stays behind."""
        self._deadline = None if self._limit is None else time.monotonic() + self._limit
        try:
            yield
        except BaseException:
            self.kill()
            raise

    def _check_idle(self) -> None:
        if self._ended:
            raise BackendError("this Lava network was stopped; read its Vars before")
        if self._is_running:
            raise BackendError("Vars cannot be read or written while the network runs; call wait() or pause() first")

    def _await_builds(self) -> None:
        """Every child says when it has been built, or what went wrong."""
        for answers in self.exception_q:
            found: list[Any] = []

            def ready(seconds: float, answers: Any = answers, found: list[Any] = found) -> bool:
                with contextlib.suppress(queue.Empty):
                    found.append(answers.get(timeout=seconds))
                return bool(found)

            self.until(ready)
            if found[0] is not None:
                raise BackendError(f"a ProcessModel could not be made:\n{getattr(found[0], 'trace', found[0])}")
            answers.close()
        del self.exception_q

    def _await_cause(self) -> None:
        """A service reports an error: the child that caused it says more about it in a moment."""
        end = time.monotonic() + 1
        while time.monotonic() < end:
            self.check_children()
            time.sleep(POLL_SECONDS / 10)
        raise BackendError("a Lava process reported an error without saying which")


class _WatchedPort:
    """A channel from the runtime service, whose `recv` looks at the children while it waits."""

    def __init__(self, port: Any, runtime: SupervisedRuntime) -> None:
        self._port, self._runtime = port, weakref.proxy(runtime)

    def recv(self) -> np.ndarray:
        self._runtime.until(self._arrived)
        return self._port.recv()

    def _arrived(self, seconds: float) -> bool:
        waiting = self._port._queue
        with waiting.not_empty:
            return bool(waiting.queue) or (waiting.not_empty.wait(seconds) and bool(waiting.queue))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


class Children(MultiProcessing):
    """Lava's operating-system processes, and the shared memory between them."""

    def __init__(self, executable: Any) -> None:
        super().__init__()
        self._names = {id(b): f"{p.name!r} ({type(p).__name__})" for p, b in executable.proc_builders.items()}
        self._labels: list[str] = []

    def start(self) -> None:
        """Start the manager of the shared memory."""
        self._smm = SharedMemoryManager()
        manager: Any = self._smm._manager
        manager.start(prepare_child, (os.getpid(), _tied_to_parent()))

    def build_actor(self, target: Any, builder: Any, exception_q: Any = None) -> Any:
        """Start a child."""
        self._labels.append(self._names.get(id(builder), "runtime service"))
        prepared = functools.partial(_prepared_target, os.getpid(), _tied_to_parent())
        return super().build_actor(prepared, builder, exception_q)

    def failure(self, stopping: bool) -> str | None:
        """What the first child that failed has to say; None if all are well."""
        for actor, label in zip(self._actors, self._labels, strict=False):
            raised = actor.exception
            if raised:
                error, traceback = raised
                return f"Lava process {label} raised {type(error).__name__}: {error}\n\n{traceback}"
        for actor, label in zip(self._actors, self._labels, strict=False):
            if not actor._is_done and actor.exitcode is not None and (actor.exitcode != 0 or not stopping):
                return f"Lava process {label} {_ending(actor.exitcode)}"
        return None

    def stop(self) -> None:
        """Wait for the children for a while, then end what is left."""
        end = time.monotonic() + STOP_SECONDS
        for actor in self._actors:
            multiprocessing.Process.join(actor, max(0.0, end - time.monotonic()))
        self.kill(())

    def kill(self, ports: Any) -> None:
        """End every child at once, and free the shared memory."""
        mine: list[Any] = [actor for actor in self._actors if actor.__dict__["_parent_pid"] == os.getpid()]
        for actor in mine:
            if not actor._is_done and actor.is_alive():
                actor.kill()
        for actor in mine:
            with contextlib.suppress(Exception):
                actor.join()
        names = {port._shm.name for port in ports}
        self._free(names)

    def _free(self, names: set[str]) -> None:
        """Let the manager of the shared memory free it and end; if it was killed itself, do it here."""
        if self._smm is None or self._smm._manager is None:
            return
        with contextlib.suppress(Exception):
            self._smm._manager.shutdown()
        self._smm._manager = None
        for name in names:
            (SHARED_MEMORY / name).unlink(missing_ok=True)


def _ending(exitcode: int) -> str:
    if exitcode >= 0:
        return f"ended unexpectedly with exit code {exitcode}"
    hint = "; the machine may have run out of memory" if -exitcode == signal.SIGKILL else ""
    return f"was killed by signal {-exitcode} ({signal.Signals(-exitcode).name}){hint}"


def _tied_to_parent() -> bool:
    """Linux ties a child to the thread that forked it; only the main thread is sure to last."""
    return sys.platform == "linux" and threading.current_thread() is threading.main_thread()


def _prepared_target(parent: int, tied: bool, *arguments: Any, **options: Any) -> None:
    prepare_child(parent, tied)
    port: Any = CspSendPort
    port.send = _checked_send
    target_fn(*arguments, **options)


def prepare_child(parent: int, tied: bool) -> None:
    """In a child: leave Ctrl-C to the parent, end when it is killed, and use one thread.

    Source: prctl(2), PR_SET_PDEATHSIG (1).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if tied:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed before we asked
            os._exit(1)
    if "torch" in sys.modules:  # its pool of threads did not survive the fork
        sys.modules["torch"].set_num_threads(1)


_send = CspSendPort.send


def _checked_send(port: Any, data: Any) -> None:
    """Lava's send, which would cut off fractions and wrap large integers without a word."""
    if isinstance(data, np.ndarray) and data.dtype != port._dtype and data.dtype.kind != "b":
        sent = data.astype(port._dtype)
        if not np.array_equal(sent, data):
            where = tuple(int(i) for i in np.argwhere(sent != data)[0])
            raise BackendError(
                f"port {port._name!r} carries {np.dtype(port._dtype)}, which cannot hold {data[where]!r} "
                f"(element {where} of what was sent); change the port's type or the model"
            )
    _send(port, data)


def check_not_searched() -> None:
    """Refuse to start a network from a file that Lava is executing in its search for ProcessModels.

    Lava executes every file in a Process's folder, so a script there that starts a network when it is imported would
    start it again, which would search again, without end.
    """
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "_find_proc_models":
            text = (
                "Lava executes every Python file in a Process's folder in search of ProcessModels, and came upon a "
                "script that starts a network; put what it does under: if __name__ == '__main__':"
            )
            warnings.warn(text, BackendWarning, stacklevel=3)  # Lava swallows the exception
            raise BackendError(text)
        frame = frame.f_back


def check_ports(executable: Any) -> None:
    """Connected ports must carry the same kind of number; unconnected InPorts get a warning."""
    connected = set()
    for builder in executable.channel_builders:
        source, target = builder.src_port_initializer, builder.dst_port_initializer
        connected.add((builder.dst_process, target.name))
        kinds = {_kind(source.d_type), _kind(target.d_type)}
        if len(kinds - {None}) > 1:
            raise BackendError(
                f"{builder.src_process.name}.{source.name} sends {_name(source.d_type)}, but "
                f"{builder.dst_process.name}.{target.name} reads {_name(target.d_type)}; choose ProcessModels of one "
                "kind (select_tag='fixed_pt' or 'floating_pt')"
            )
    for process, builder in executable.proc_builders.items():
        for name in getattr(builder, "py_ports", {}):
            port = getattr(process, name, None)
            unused = port in process.in_ports.members and (process, name) not in connected
            if unused and not _may_stay_open(process, name, port):
                warnings.warn(
                    f"{process.name}.{name} is not connected and will read zeros", BackendWarning, stacklevel=2
                )


def _may_stay_open(process: Any, name: str, port: Any) -> bool:
    """A Monitor has a port that it reads only if it monitors one, and no Var."""
    optional = getattr(process, "optional_ports", ())
    return getattr(port, "external_pipe_flag", False) or name in optional or isinstance(process, Monitor)


def _kind(d_type: Any) -> str | None:
    try:
        kind = np.dtype(d_type).kind
    except TypeError:
        return None
    return {"i": "integer", "u": "integer", "f": "float"}.get(kind)  # ports declared bool take anything


def _name(d_type: Any) -> str:
    return np.dtype(d_type).name


def check_shared_memory(executable: Any) -> None:
    """All channels must fit into /dev/shm: where they do not, Lava hangs or its processes die of a bus error."""
    if not SHARED_MEMORY.is_dir():
        return
    needed = sum(_channel_bytes(builder.src_port_initializer) for builder in executable.channel_builders)
    free = shutil.disk_usage(SHARED_MEMORY).free
    if needed > free:
        raise BackendError(
            f"the channels of this network need {needed / 2**20:,.0f} MiB of shared memory, {SHARED_MEMORY} has "
            f"{free / 2**20:,.0f} MiB free; pass compile_config={{'pypy_channel_size': 2}} to run() (Lava's default is "
            "64 slots per channel), or enlarge it (docker run --shm-size)"
        )


def _channel_bytes(port: Any) -> int:
    return int(np.prod(port.shape)) * np.dtype(port.d_type).itemsize * int(port.size)


def _end_all() -> None:
    for runtime in list(_live):
        runtime.kill()


# Handlers run in reverse order: this one before multiprocessing's, which would wait for the children for ever.
atexit.register(_end_all)
