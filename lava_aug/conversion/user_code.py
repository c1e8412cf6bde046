"""What is said of a user's model: the modules and lines that its operations stand in."""

import inspect
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import nn
from torch.utils import _pytree

_PACKAGES = tuple(f"{Path(file).parent}{os.sep}" for file in (torch.__file__, __file__))

ROOT = "call_the_model"
"""Name of the function that calls the model; what calls that function is no code of the model's."""


def mapped(nested: Any, of: Callable[[Any], Any]) -> Any:
    """Arguments, or results, in which a function of each stands for it: of those in tuples, lists and dictionaries."""
    return _pytree.tree_map(of, nested)


def named_modules(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """All modules by their paths, the model's own being "", which torch leaves without types."""
    return model.named_modules()


def where_of(name: str, path: str, module: nn.Module | None, line: str) -> str:
    """An operation, for messages: by the module that it is, or by its name, the module that calls it, and the line."""
    if module is not None and path:
        return f"module {path!r} ({class_name(module)})"
    kind = name.rstrip("0123456789").rstrip("_")
    inside = [f"node {name!r}{f' in module {path!r}' if path else ''}", *([line] if line else [])]
    return f"operation {kind} ({', '.join(inside)})"


def required_inputs(model: nn.Module) -> list[str]:
    """What forward() cannot do without; nothing if it does not say."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in parameters if one.kind in kinds and one.default is one.empty]


def class_name(module: object) -> str:
    """The name of a module's class, in full where it is another than torch.nn's of that name."""
    kind = type(module)
    return (
        kind.__name__ if kind.__module__.startswith("torch.nn.modules.") else f"{kind.__module__}.{kind.__qualname__}"
    )


def users_line(before: str = "") -> str:
    """Where in the code of the running model we are, the words before it in front."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_name != ROOT:
        if not frame.f_code.co_filename.startswith(_PACKAGES):
            return f"{before}{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def line_of_error(error: BaseException, before: str = "") -> str:
    """Where in the user's code an error came up, the words before it in front."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    lines = [f"{before}{Path(file).name}:{line}" for file, line in frames if not file.startswith(_PACKAGES)]
    return lines[-1] if lines else ""


def place_of_error(error: BaseException, model: nn.Module) -> str:
    """The innermost module of a model that an error came up in, and the line, with a colon behind them."""
    names = {id(module): name for name, module in named_modules(model)}
    frames = [id(frame.f_locals.get("self")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    inside = [names[self] for self in frames if names.get(self)]
    name = inside[-1] if inside else ""
    module = f"module {name!r} ({class_name(model.get_submodule(name))})" if name else ""
    place = ", ".join(filter(None, (module, line_of_error(error))))
    return f"{place}: " if place else ""


def first_line(error: BaseException) -> str:
    """What an error says, without what follows in further lines."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def is_sequence(x: Any) -> TypeGuard[Sequence[Any]]:
    """Whether an argument is several."""
    return isinstance(x, (tuple, list))
