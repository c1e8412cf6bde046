"""The operating-system processes of a Lava network: checked before they start, then started, diagnosed, ended.

What is checked would otherwise hang, crash, or compute something else. `lava_aug.lava.supervision` watches them.
"""

# pyright: reportPrivateUsage=false
# What is private to Lava is what has to be mended.

import contextlib
import ctypes
import functools
import gc
import math
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from lava_aug.core.errors import BackendError, BackendWarning
from lava_aug.core.fixed_point import is_array
from lava_aug.kernels.threads import Shared
from lava_aug.lava.lava_import import import_lava

import_lava()

from lava.magma.compiler.channels.pypychannel import CspRecvPort, CspSendPort  # noqa: E402
from lava.magma.core.process.variable import Var  # noqa: E402
from lava.magma.runtime import runtime  # noqa: E402
from lava.magma.runtime.message_infrastructure.multiprocessing import (  # noqa: E402
    MultiProcessing,
    SharedMemoryManager,
)
from lava.proc.monitor.process import Monitor  # noqa: E402

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

    def build_actor(self, target_fn: Any, builder: Any, exception_q: Any = None) -> Any:
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


import_lava()


def check_not_searched() -> None:
    """Refuse to start a network from a file that Lava is executing in its search for ProcessModels.

    Lava executes every file in a Process's folder, so a script there that starts a network when it is imported would
    start it again, which would search again, without end.
    """
    frame = sys._getframe()  # pyright: ignore[reportPrivateUsage]
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
    connected: set[Any] = set()
    for builder in executable.channel_builders:
        source, target = builder.src_port_initializer, builder.dst_port_initializer
        connected.add((builder.dst_process, target.name))
        _check_payloads(builder.src_process, builder.dst_process)
        kinds = {_kind(source.d_type), _kind(target.d_type)}
        if len(kinds - {None}) > 1 and not {Monitor} & {type(builder.src_process), type(builder.dst_process)}:
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


def _check_payloads(sender: Any, receiver: Any) -> None:
    """Lava's own synapses take every spike for 1, unless they are told how wide spikes are."""
    bits = getattr(receiver, "num_message_bits", None)
    if getattr(sender, "graded", False) and isinstance(bits, Var) and not np.any(bits.init):
        warnings.warn(
            f"{sender.name} sends graded or negative spikes, but {receiver.name} takes each for 1, as its "
            f"num_message_bits is 0; write {type(receiver).__name__}(..., num_message_bits=16)",
            BackendWarning,
            stacklevel=3,
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
    return math.prod(port.shape) * np.dtype(port.d_type).itemsize * int(port.size)
