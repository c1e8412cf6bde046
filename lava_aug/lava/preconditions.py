"""What is checked before a Lava network starts: what would otherwise hang, crash, or compute something else."""

import shutil
import sys
import warnings
from typing import Any

import numpy as np

from lava_aug.core.errors import BackendError, BackendWarning
from lava_aug.lava.children import SHARED_MEMORY
from lava_aug.lava.lava_import import import_lava

import_lava()

from lava.magma.core.process.variable import Var  # noqa: E402
from lava.proc.monitor.process import Monitor  # noqa: E402


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
    return int(np.prod(port.shape)) * np.dtype(port.d_type).itemsize * int(port.size)
