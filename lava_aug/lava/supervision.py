"""Running any Lava network without hangs and leaks.

Lava waits indefinitely for processes that may be dead, and does not say why. For the networks that are started within
it, `supervise` replaces Lava's runtime by one that

- monitors every child process while it waits, and raises `BackendError` with the child's traceback or exit code,
- enforces a timeout, if one is given,
- checks number formats, shared memory and the runtime's state before it starts or touches anything,
- ends every child and frees all shared memory when the block is left, however it is left; children also end when the
  parent is killed (Linux), and leave Ctrl-C to the parent.

It uses private parts of Lava, whose last release this is; hence ``lava-nc==0.10.*``.
"""

import atexit
import contextlib
import os
import queue
import time
import weakref
from collections.abc import Callable, Generator
from typing import Any

from numpy.typing import NDArray

from lava_aug.core.errors import BackendError, InputError
from lava_aug.core.spec import is_a, is_number
from lava_aug.lava.children import STOP_SECONDS, Children, check_not_searched, check_ports, check_shared_memory
from lava_aug.lava.lava_import import import_lava

import_lava()

from lava.magma.core.process import process as process_module  # noqa: E402
from lava.magma.core.process.process import AbstractProcess  # noqa: E402
from lava.magma.runtime.mgmt_token_enums import MGMT_RESPONSE, enum_equal  # noqa: E402
from lava.magma.runtime.runtime import Runtime  # noqa: E402

POLL_SECONDS = 0.1
"""How often children are looked at while nothing arrives."""

_live: "weakref.WeakSet[SupervisedRuntime]" = weakref.WeakSet()


@contextlib.contextmanager
def supervise(process: AbstractProcess, *, timeout: float | None = None) -> Generator[None, None, None]:
    """Run a Lava network safely: nothing hangs, and nothing is left behind.

    Within the block, use the Process as usual: `run`, `wait`, `pause`, `stop`, and `get` and `set` of its Vars. When
    the block is left, the network is stopped, whether or not `stop` was called.

    Parameters
    ----------
    process : AbstractProcess
        Any Process of the network; it must not have been run yet.
    timeout : float, optional
        Time limit of each of these calls, in seconds; default none. In a deadlock, all children are alive, so only a
        timeout can end it.

    Raises
    ------
    InputError
        If the timeout is not a positive number.
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
    if not is_a(process, AbstractProcess):
        raise BackendError(f"supervise: expected a Lava Process, found {type(process).__name__}")
    check_timeout(timeout)
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


def check_timeout(timeout: Any) -> None:
    """InputError unless it is a time that something may take, or None."""
    if timeout is not None and not (is_number(timeout) and timeout > 0):
        raise InputError(f"timeout: expected a positive number of seconds, or None, found {timeout!r}")


class SupervisedRuntime(Runtime):
    """Lava's runtime with bounded waiting; see `supervise`.

    Parameters
    ----------
    limit : float, optional
        Seconds that any call may take.
    """

    def __init__(self, *arguments: Any, limit: float | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limit, self._owner = limit, os.getpid()
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
            raise BackendError("this Lava network was stopped and cannot run again; create its Processes again")
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

    def join(self) -> None:
        """Nothing: `stop` calls it, and then `kill`, which needs the ports that Lava's own method would forget."""

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
            answer: Any = port.recv()
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
                    "are alive; perhaps one is waiting for data that is never sent"
                )

    def check_children(self) -> None:
        """Raise BackendError if a child has raised or died."""
        failure = self._children.failure(self._stopping)
        if failure is not None:
            raise BackendError(failure)

    def kill(self) -> None:
        """End everything at once; nothing happens the second time, nor in a process that was forked meanwhile."""
        if self._ended or self._owner != os.getpid():
            return
        self._ended, self._is_started, self._is_running = True, False, False
        if isinstance(self._messaging_infrastructure, Children):
            self._children.kill(self._open_ports)
        self._open_ports = []
        self._close_answers()

    def _close_answers(self) -> None:
        """Close what the children answered on when they were built."""
        for answers in self.exception_q:
            answers.close()
            answers._writer.close()
        self.exception_q = []

    @property
    def _children(self) -> "Children":
        assert isinstance(self._messaging_infrastructure, Children)  # made in initialize()
        return self._messaging_infrastructure

    @contextlib.contextmanager
    def _guarded(self) -> Generator[None, None, None]:
        """Bounded in time; whatever goes wrong, nothing stays behind."""
        self._deadline = None if self._limit is None else time.monotonic() + self._limit
        try:
            yield
        except BaseException:
            self.kill()
            raise

    def _check_idle(self) -> None:
        if self._ended:
            raise BackendError("this Lava network was stopped; read its Vars before stopping it")
        if self._is_running:
            raise BackendError("Vars cannot be read or written while the network runs; call wait() or pause() first")

    def _await_builds(self) -> None:
        """Every child says when it has been built, or what went wrong."""
        for answers in self.exception_q:
            outcomes: list[Any] = []

            def ready(seconds: float, answers: Any = answers, outcomes: list[Any] = outcomes) -> bool:
                with contextlib.suppress(queue.Empty):
                    outcomes.append(answers.get(timeout=seconds))
                return bool(outcomes)

            self.until(ready)
            if outcomes[0] is not None:
                raise BackendError(
                    f"a ProcessModel could not be created:\n{getattr(outcomes[0], 'trace', outcomes[0])}"
                )
        self._close_answers()

    def _await_cause(self) -> None:
        """A service reports an error: the child that caused it says more about it in a moment."""
        end = time.monotonic() + STOP_SECONDS
        while time.monotonic() < end:
            self.check_children()
            time.sleep(POLL_SECONDS / 10)
        raise BackendError("a Lava process reported an error without saying which")


class _WatchedPort:
    """A channel from the runtime service, whose `recv` looks at the children while it waits."""

    def __init__(self, port: Any, runtime: SupervisedRuntime) -> None:
        self._port, self._runtime = port, weakref.proxy(runtime)

    def recv(self) -> NDArray[Any]:
        self._runtime.until(self._arrived)
        return self._port.recv()

    def _arrived(self, seconds: float) -> bool:
        waiting = self._port._queue
        with waiting.not_empty:
            return bool(waiting.queue) or (waiting.not_empty.wait(seconds) and bool(waiting.queue))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


def _end_all() -> None:
    for runtime in list(_live):
        runtime.kill()


# Handlers run in reverse order: this one before multiprocessing's, which would wait for the children for ever.
atexit.register(_end_all)
