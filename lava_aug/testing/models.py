"""Which ProcessModel runs, and its number format at a port or in a Var."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from lava_aug.core.errors import BackendError, InputError
from lava_aug.lava.lava_import import import_lava

import_lava()

from lava.magma.compiler.compiler_graphs import ProcGroupDiGraphs  # noqa: E402
from lava.magma.core.model.model import AbstractProcessModel  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg, RunConfig  # noqa: E402

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
    chosen: Mapping[Any, Any] = (
        model if isinstance(model, Mapping) else {} if model is None else {type(processes[-1]): model}
    )
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
    for key in (process, type(process)):
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
