"""Names of ports and Vars, and connecting Processes to a chain."""

import itertools
from collections.abc import Callable
from typing import Any

from lava_aug.core.errors import InputError

USUAL = ("s_out", "a_out", "v_out", "s_in", "a_in")
"""Names of the ports that are meant where a Process has several of the same shape."""


def unconnected(port: Any) -> bool:
    """Whether nothing comes in."""
    return not port.in_connections


def members(process: Any, kinds: tuple[type, ...]) -> dict[str, Any]:
    """Ports and Vars of a Process, of some kinds, by name."""
    candidates = (*process.in_ports, *process.out_ports, *process.vars)
    return {member.name: member for member in candidates if isinstance(member, kinds)}


def resolve(
    processes: list[Any], name: str, kinds: tuple[type, ...], accept: Callable[[Any], bool] = lambda member: True
) -> Any:
    """A port or Var by its name, or by those of its Process and its own with a dot between them: the last acceptable.

    Raises
    ------
    InputError
        If there is none; the message lists all.
    """
    owner, dot, own = name.rpartition(".")
    by_process = [members(process, kinds) for process in reversed(processes) if not dot or process.name == owner]
    fitting = [each[own] for each in by_process if own in each]
    if fitting:
        return next(filter(accept, fitting), fitting[0])
    known = {process.name: sorted(members(process, kinds)) for process in processes}
    what = " or ".join(kind.__name__ for kind in kinds)
    raise InputError(f"run_process: no {what} {name!r}; there are {known}")


def connect(processes: list[Any]) -> None:
    """Connect each Process to the next, unless it is already."""
    for source, target in itertools.pairwise(processes):
        if not any(port.process is target for out in source.out_ports for port in out.get_dst_ports()):
            sender, receiver = _pair(source, target)
            sender.connect(receiver)


def _pair(source: Any, target: Any) -> tuple[Any, Any]:
    open_ports = [port for port in target.in_ports if unconnected(port)]
    fitting = [(a, b) for a, b in itertools.product(source.out_ports, open_ports) if a.shape == b.shape]
    usual = [(a, b) for a, b in fitting if a.name in USUAL and b.name in USUAL]
    chosen = fitting if len(fitting) == 1 else usual
    if len(chosen) != 1:
        outs = {port.name: port.shape for port in source.out_ports}
        ins = {port.name: port.shape for port in open_ports}
        raise InputError(
            f"run_process: {source.name} sends {outs}, {target.name} takes {ins}: expected one pair of ports of the "
            "same shape; connect them before"
        )
    return chosen[0]
