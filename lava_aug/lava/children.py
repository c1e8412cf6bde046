"""The operating-system processes of a Lava network, which `supervision` watches: starting, diagnosing, ending them."""

# pyright: reportPrivateUsage=false
# What is private to Lava is what has to be mended.

import contextlib
import ctypes
import functools
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from lava_aug.core.errors import BackendError
from lava_aug.core.fixed_point import is_array
from lava_aug.core.shared import Shared
from lava_aug.lava.lava_import import import_lava

import_lava()

from lava.magma.compiler.channels.pypychannel import CspRecvPort, CspSendPort  # noqa: E402
from lava.magma.runtime import runtime  # noqa: E402
from lava.magma.runtime.message_infrastructure.multiprocessing import (  # noqa: E402
    MultiProcessing,
    SharedMemoryManager,
)

STOP_SECONDS = 10.0
"""How long children may take to end in an orderly way before they are killed."""

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps shared memory."""

ONE_BLAS_THREAD = Shared(lambda: threadpool_limits(1, user_api="blas"))
"""Children that are forked within it inherit the limit."""


class Children(MultiProcessing):
    """Lava's operating-system processes, and the shared memory between them."""

    def __init__(self, executable: Any) -> None:
        super().__init__()
        self._executable = executable
        self._names = {id(b): f"{p.name!r} ({type(p).__name__})" for p, b in executable.proc_builders.items()}
        self._labels: list[str] = []

    def start(self) -> None:
        """Start the manager of the shared memory."""
        _shrink()
        self._smm = SharedMemoryManager()
        manager: Any = self._smm._manager
        manager.start(prepare_child, (os.getpid(), _tied_to_parent()))

    def build_actor(self, target: Any, builder: Any, exception_q: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
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
        """Wait for the children for a while."""
        end = time.monotonic() + STOP_SECONDS
        for actor in self._actors:
            multiprocessing.Process.join(actor, max(0.0, end - time.monotonic()))

    def kill(self, ports: Iterable[Any]) -> None:
        """End every child and the ports' threads at once, and free the shared memory."""
        mine: list[Any] = [actor for actor in self._actors if actor.__dict__["_parent_pid"] == os.getpid()]
        for actor in mine:
            if not actor._is_done and actor.is_alive():
                actor.kill()
        for actor in mine:
            with contextlib.suppress(Exception):
                actor.join()
        for port in ports:
            _detach(port, port.join)
        for port in _outside_ports(self._executable):
            _detach(port, functools.partial(_end_thread, port))
        self._free()

    def _free(self) -> None:
        """Close the shared memory here, and let its manager free it and end; if that was killed, do it here."""
        if self._smm is None or self._smm._manager is None:
            return
        names = [handle.name for handle in self._smm._shared_memory_handles]
        with contextlib.suppress(Exception):
            self._smm.shutdown()  # closes this process's handles first, then the manager
        self._smm._manager = None
        for name in names:
            (SHARED_MEMORY / name).unlink(missing_ok=True)


def _shrink() -> None:
    """Give back free memory, as after the work of a large model: every fork would map all of it once more."""
    with contextlib.suppress(AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc's only


def _detach(port: Any, end: Callable[[], None]) -> None:
    """End a port's thread, and have it keep copies in the place of memory that is about to be unmapped."""
    with contextlib.suppress(Exception):
        end()
        if port.thread is not None:
            port.thread.join(1)
    port._array = [slot.copy() for slot in port._array]


def _outside_ports(executable: Any) -> list[Any]:
    """Ends of the channels between Lava and the rest of the program: those of Lava's Injector and Extractor."""
    names = ("external_pipe_csp_send_port", "external_pipe_csp_recv_port")
    ports = [port for process in executable.proc_builders for port in (*process.in_ports, *process.out_ports)]
    return [getattr(port, name) for port in ports for name in names if hasattr(port, name)]


def _end_thread(port: Any) -> None:
    """End a port's thread once it has noted all that has arrived, which the program may still want to receive."""
    noted: Any = port._req if isinstance(port, CspRecvPort) else port._ack
    deadline = time.monotonic() + 1
    while noted.get_value() and time.monotonic() < deadline:
        time.sleep(0.001)
    port._done = True
    noted.release()


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
    runtime.target_fn(*arguments, **options)


def prepare_child(parent: int, tied: bool) -> None:
    """In a child: leave Ctrl-C to the parent, end when it is killed, and use one thread.

    Source: prctl(2), PR_SET_PDEATHSIG (1).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if tied:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed before we asked
            os._exit(1)
    gc.freeze()  # looking through what it inherited would copy all of the parent's memory
    if "torch" in sys.modules and sys.modules["torch"].get_num_threads() > 1:  # they did not survive the fork
        sys.modules["torch"].set_num_threads(1)


_send: Callable[[Any, Any], None] = CspSendPort.send


def _checked_send(port: Any, data: Any) -> None:
    """Lava's send, which would cut off fractions and wrap large integers without a word."""
    if is_array(data) and data.dtype != port._dtype and data.dtype.kind != "b":
        sent = data.astype(port._dtype)
        if not np.array_equal(sent, data):
            where = tuple(int(i) for i in np.argwhere(sent != data)[0])
            raise BackendError(
                f"port {port._name!r} carries {np.dtype(port._dtype)}, which cannot hold {data[where]!r} "
                f"(element {where} of what was sent); change the port's type or the model"
            )
    _send(port, data)
