"""`run_process`: drive any Lava Process, or a chain of them, with arrays."""

import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import BackendError, BackendWarning, InputError
from lava_aug.core.fixed_point import PORT_BITS, signed_range
from lava_aug.core.spec import is_a, is_int
from lava_aug.core.texts import brief
from lava_aug.lava.lava_import import import_lava
from lava_aug.lava.supervision import check_timeout, supervise
from lava_aug.simulation.pipeline import Tape
from lava_aug.testing.traces import Trace

import_lava()

from lava.magma.core.process.ports.ports import InPort, OutPort  # noqa: E402
from lava.magma.core.process.process import AbstractProcess  # noqa: E402
from lava.magma.core.process.variable import Var  # noqa: E402
from lava.magma.core.run_conditions import RunSteps  # noqa: E402

from lava_aug.processes import ImageSource, Probe  # noqa: E402
from lava_aug.testing.wiring import configuration, connect, number_kind, resolve, unconnected  # noqa: E402  # noqa: E402

TIMEOUT = 30.0
"""Seconds that a run may take unless told otherwise."""


def run_process(
    process: AbstractProcess | Sequence[AbstractProcess],
    inputs: Mapping[str, Any] | None = None,
    *,
    num_steps: int | None = None,
    probe: Iterable[str] = (),
    tag: str | None = None,
    model: Any = None,
    run_cfg: Any = None,
    before: Mapping[int, Callable[[], None]] | None = None,
    timeout: float | None = TIMEOUT,
    **ports: Any,
) -> Trace:
    """Run a Process with arrays for its InPorts, return what it sent, and stop it whatever happens.

    Parameters
    ----------
    process : AbstractProcess or sequence of them
        Any Process with ports that has not run yet. A sequence is connected in order, unless it already is. Other
        connected Processes run as well.
    inputs : mapping of str to array, shape (T, *shape), optional
        The input of InPorts, step by step; zeros afterwards. Other InPorts stay unconnected and read zeros.
    num_steps : int, optional
        Time steps; default the length of the longest input.
    probe : iterable of str
        Names of Vars to record, and of OutPorts in addition to those of the last process, which are always in the
        trace. Vars can only be read while Lava is paused, so if any are named, it pauses after every step.
    tag : str, optional
        Which ProcessModels to use; default ``"fixed_pt"`` if all processes have one, otherwise Lava's choice.
    model : ProcessModel class, or mapping of Process class to ProcessModel class, optional
        Which ProcessModel to use for the process (the last one of a sequence), or for each class.
    run_cfg : RunConfig, optional
        Instead of ``tag``, for instance `lava_aug.FastSimCfg`.
    before : mapping of int to callable, optional
        Called before the step, counted from 0, while Lava is paused, for example to set Vars.
    timeout : float, optional
        Time limit in seconds; None for no limit.
    **ports
        As ``inputs``: ``a_in=array``.

    Returns
    -------
    Trace
        What every OutPort sent in each step, and the value of every Var after it, by name.

    Raises
    ------
    InputError
        If a name, a shape or a number is invalid.
    BackendError
        If a ProcessModel raises (with its traceback), dies, does not send, or is not found.

    Notes
    -----
    With several processes, inputs go to the first that has an unconnected port of that name, and probes to the last;
    ``"name.port"``, with the name of a Process, selects a specific one. Ports must be dense. A Process can run only
    once: create a new one for the next run.

    Examples
    --------
    >>> from lava.proc.lif.process import LIF
    >>> trace = run_process(LIF(shape=(2,), vth=10, du=4095, dv=0), a_in=[[10, 11], [1, 0]], probe=["v"])
    >>> trace.s_out.tolist(), trace.v.tolist()
    ([[0, 1], [1, 0]], [[640, 0], [0, 0]])
    """
    processes = [process] if isinstance(process, AbstractProcess) else list(process)
    _check_processes(processes)
    check_timeout(timeout)
    if inputs is not None and not is_a(inputs, Mapping):
        raise InputError(f"run_process: inputs: expected a dictionary of port name to array, found {brief(inputs)}")
    connect(processes)
    given = _inputs(processes, {**(inputs or {}), **ports})
    steps = _num_steps(num_steps, [values for _, values in given])
    _check_before(before or {}, steps)
    wanted = _wanted(processes, probe)
    config = configuration(processes, tag, model, run_cfg)
    forced: dict[Any, Any] = {}
    for port, values in given:
        _feed(port, values, config, forced)
    tapes = {name: _tape(port, steps, forced) for name, port in wanted.items() if isinstance(port, OutPort)}
    config.exception_proc_model_map = {**config.exception_proc_model_map, **forced}
    reads = {name: var for name, var in wanted.items() if name not in tapes}
    try:
        values = _run(processes[-1], steps, config, reads, dict(before or {}), timeout, tapes)
        return Trace({name: tapes[name].read() if name in tapes else values[name] for name in wanted})
    finally:
        for own in forced:  # Lava keeps every Process for ever, and with it all that it was given
            own.proc_params.overwrite("images" if isinstance(own, ImageSource) else "tape", None)


# What is given


def _check_processes(processes: list[Any]) -> None:
    if not processes:
        raise InputError("run_process: expected a Process or several, found none")
    for process in processes:
        if not isinstance(process, AbstractProcess):
            raise InputError(f"run_process: expected a Lava Process, found {process!r}")
        if process.runtime is not None:
            raise InputError(f"run_process: {process.name} has run already; make a new one for every run")


def _inputs(processes: list[Any], inputs: dict[str, Any]) -> list[tuple[Any, NDArray[Any]]]:
    """Ports and what they get."""
    driven: list[tuple[Any, NDArray[Any]]] = []
    for name, values in inputs.items():
        port = resolve([*reversed(processes)], name, (InPort,), accept=unconnected)
        if not unconnected(port):
            raise InputError(f"run_process: {name} is connected already, it cannot get an array as well")
        values = np.asarray(values)
        if values.ndim == 0 or values.shape[1:] != port.shape or not len(values) or values.dtype.kind not in "iufb":
            raise InputError(
                f"run_process: {name}: expected numbers of shape (T, {', '.join(map(str, port.shape))}), "
                f"found {values.dtype} {values.shape}"
            )
        driven.append((port, values))
    return driven


def _num_steps(num_steps: Any, inputs: list[NDArray[Any]]) -> int:
    if num_steps is None:
        if not inputs:
            raise InputError("run_process: expected inputs, or num_steps; found neither")
        return max(map(len, inputs))
    if not is_int(num_steps) or num_steps < 1:
        raise InputError(f"run_process: num_steps: expected an integer of at least 1, found {num_steps!r}")
    return num_steps


def _check_before(before: Mapping[int, Any], num_steps: int) -> None:
    wrong = [step for step in before if not is_int(step) or not 0 < step < num_steps]
    if wrong:
        raise InputError(f"run_process: before: expected steps from 1 to {num_steps - 1}, found {wrong}")


def _wanted(processes: list[Any], probe: Iterable[str]) -> dict[str, Any]:
    """Ports and Vars of the trace by name: the last process's OutPorts, then what was asked for."""
    if isinstance(probe, str):
        raise InputError(f"run_process: probe: expected names in a list, found {probe!r}")
    last = {port.name: port for port in processes[-1].out_ports}
    return last | {name: resolve(processes, name, (OutPort, Var)) for name in probe}


# Around the process


def _feed(port: Any, values: NDArray[Any], config: Any, forced: dict[Any, Any]) -> None:
    """Connect a source of the port's kind of number."""
    kind = number_kind(port.process, port.name, config) or ("f" if values.dtype.kind == "f" else "i")
    sent = values.astype(np.float64) if kind == "f" else _as_integers(port, values)
    source = ImageSource(images=sent, num_steps=1)
    source.s_out.connect(port)
    forced[source] = source.models["floating_pt" if kind == "f" else "fixed_pt"]


def _as_integers(port: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Lava would cut off fractions and wrap large integers without a word."""
    low, high = signed_range(PORT_BITS)
    wrong = (values < low) | (values > high) | (values != np.rint(values)) if values.dtype.kind != "b" else values < 0
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise InputError(
            f"run_process: {port.process.name}.{port.name} takes integers of {PORT_BITS} bits, found {values[where]} "
            f"in step {where[0]}, element {where[1:]}; use other inputs, or another model (tag='floating_pt')"
        )
    return values.astype(np.int64)


def _tape(port: Any, num_steps: int, forced: dict[Any, Any]) -> Tape:
    tape = Tape(port.shape, num_steps)
    probe = Probe(tape=tape)
    port.connect(probe.s_in)
    forced[probe] = probe.models["fixed_pt"]
    return tape


# Running


def _run(
    process: Any,
    num_steps: int,
    config: Any,
    reads: dict[str, Any],
    before: dict[int, Callable[[], None]],
    timeout: float | None,
    tapes: dict[str, Tape],
) -> dict[str, NDArray[Any]]:
    values: dict[str, list[Any]] = {name: [] for name in reads}
    pauses = sorted({*(range(1, num_steps) if reads else ()), *before, num_steps})
    deadline = time.monotonic() + (math.inf if timeout is None else timeout)
    with warnings.catch_warnings():
        # Ports were left out on purpose.
        warnings.filterwarnings("ignore", ".* is not connected and will read zeros", BackendWarning)
        try:
            with supervise(process, timeout=timeout):
                for start, end in zip([0, *pauses], pauses, strict=False):
                    if start in before:
                        before[start]()
                    process.run(condition=RunSteps(end - start), run_cfg=config)
                    for name, var in reads.items():
                        values[name].append(var.get())
                    if time.monotonic() > deadline:
                        raise BackendError(
                            f"run_process: {end} of {num_steps} steps took more than {timeout:g} seconds"
                        )
        except BackendError as error:
            raise BackendError(f"{error}{_silent(tapes, num_steps)}") from error
    kinds = {name: number_kind(var.process, var.name, config) for name, var in reads.items()}
    return {name: _as_kind(np.array(each), kinds[name]) for name, each in values.items()}


def _silent(tapes: dict[str, Tape], num_steps: int) -> str:
    """Which ports have sent less than others: a hint at what went wrong."""
    noted = {name: tape.noted for name, tape in tapes.items()}
    if not noted or min(noted.values()) == num_steps:
        return ""
    sent = ", ".join(f"{name} {count}" for name, count in noted.items())
    return f"\n(Time steps in which ports have sent, of {num_steps}: {sent})"


def _as_kind(values: NDArray[Any], kind: str | None) -> NDArray[Any]:
    """Lava reads Vars as floats."""
    return values.astype(np.int64) if kind == "i" else values.astype(np.float64)
