"""Ports and Vars by name, connecting Processes to a chain, and which ProcessModel runs with which kind of number."""

import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lava_aug.core.errors import BackendError, InputError
from lava_aug.core.fixed_point import is_mapping
from lava_aug.lava.lava_import import import_lava

import_lava()

from lava.magma.compiler.compiler_graphs import ProcGroupDiGraphs  # noqa: E402
from lava.magma.core.model.model import AbstractProcessModel  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg, RunConfig  # noqa: E402

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


import_lava()


FIXED = "fixed_pt"
"""The tag of fixed-point models."""


def configuration(processes: list[Any], tag: str | None, model: Any, run_cfg: Any) -> Any:
    """A run configuration of its own for one run."""
    if run_cfg is not None and (tag is not None or not isinstance(run_cfg, RunConfig)):
        raise InputError(f"run_process: expected a tag or a RunConfig, found tag={tag!r}, run_cfg={run_cfg!r}")
    models: dict[type, list[Any]] = {}
    if run_cfg is None:
        has_fixed = all(any(FIXED in m.tags for m in models_of(process, models)) for process in processes)
        made: Any = Loihi2SimCfg(select_tag=FIXED if tag is None and has_fixed and model is None else tag)
    else:
        made = copy.copy(run_cfg)
    chosen: Mapping[Any, Any] = model if is_mapping(model) else {} if model is None else {type(processes[-1]): model}
    for process, implementation in chosen.items():
        if not isinstance(implementation, type) or not issubclass(implementation, AbstractProcessModel):
            raise InputError(f"run_process: model of {process.__name__}: expected a class, found {implementation!r}")
    made.exception_proc_model_map = {**(getattr(made, "exception_proc_model_map", None) or {}), **chosen}
    made.found_models = models
    return made


def models_of(process: Any, known: dict[type, list[Any]]) -> list[Any]:
    """All ProcessModels of a Process that Lava finds: it executes every file next to it, so ``known`` keeps them."""
    try:
        if type(process) not in known:
            known[type(process)] = ProcGroupDiGraphs._find_proc_models(process)  # pyright: ignore[reportPrivateUsage]
        return known[type(process)]
    except Exception as error:
        raise BackendError(f"run_process: no ProcessModel of {type(process).__name__} was found: {error}") from error


def model_of(process: Any, config: Any) -> Any:
    """The ProcessModel that will run."""
    exceptions = config.exception_proc_model_map
    for key in (process, process.__class__):
        if key in exceptions:
            return exceptions[key]
    try:
        return config.select(process, models_of(process, config.found_models))
    except (AssertionError, NotImplementedError) as error:
        tags = sorted({tag for model in models_of(process, config.found_models) for tag in model.tags})
        raise BackendError(f"run_process: {type(process).__name__}: {error}; its models have tags {tags}") from error


def number_kind(process: Any, name: str, config: Any) -> str | None:
    """``"i"`` or ``"f"``; None if the model does not say, as those made of other Processes."""
    declared = getattr(model_of(process, config), name, None)
    try:
        kind = np.dtype(declared.d_type).kind  # pyright: ignore[reportOptionalMemberAccess]
    except (AttributeError, TypeError):
        return None
    return {"i": "i", "u": "i", "b": "i", "f": "f"}.get(kind)
