"""The operating-system processes of a Lava network, which `supervision` watches: starting, diagnosing, ending them."""

import contextlib
import ctypes
import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from lava_aug.backend.lava_import import import_lava
from lava_aug.errors import BackendError

import_lava()

from lava.magma.compiler.channels.pypychannel import CspSendPort  # noqa: E402
from lava.magma.runtime.message_infrastructure.multiprocessing import (  # noqa: E402
    MultiProcessing,
    SharedMemoryManager,
)
from lava.magma.runtime.runtime import target_fn  # noqa: E402

STOP_SECONDS = 10.0
"""How long children may take to end in an orderly way before they are killed."""

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps shared memory."""


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
