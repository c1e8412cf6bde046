"""Individual operations of a model: their results, their source locations, and what they write to."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.fx
import torch.fx.node
from torch import nn

_PACKAGES = tuple(str(Path(file).parent) for file in (torch.__file__, __file__))

ROOT = "call_the_model"
"""Name of the function that calls the model; what calls that function is no code of the model's."""


def evaluated(node: torch.fx.Node, of: Callable[[torch.fx.Node], Any]) -> Any:
    """An operation on what stands for its arguments."""
    args: Any = torch.fx.node.map_arg(node.args, of)
    kwargs: Any = torch.fx.node.map_arg(node.kwargs, of)
    if node.op == "call_module":
        return node.meta["module"].forward(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    assert callable(node.target)
    return node.target(*args, **kwargs)


def where(node: torch.fx.Node) -> str:
    """An operation, for messages."""
    if node.op == "call_module":
        return f"module {str(node.target)!r} ({class_name(type(node.meta['module']))})"
    if node.op in ("placeholder", "output"):
        return {"placeholder": "the images", "output": "the output"}[node.op]
    inside, line = (node.meta.get(key, "") for key in ("inside", "line"))
    places = [f"node {node.name!r}{f' in module {inside!r}' if inside else ''}", *([line] if line else [])]
    target = f".{node.target}()" if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))
    return f"operation {target} ({', '.join(places)})"


def class_name(kind: type) -> str:
    """The name of a class, in full where it is another than torch.nn's of that name."""
    return (
        kind.__name__ if kind.__module__.startswith("torch.nn.modules.") else f"{kind.__module__}.{kind.__qualname__}"
    )


def changes_operand(node: torch.fx.Node) -> bool:
    """Whether an operation writes its result to where its input is."""
    if node.op == "call_module":
        return bool(getattr(node.meta["module"], "inplace", False))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    in_place = name in ("iadd", "isub", "imul", "itruediv") or (name.endswith("_") and not name.endswith("__"))
    return node.op.startswith("call") and (in_place or bool(node.kwargs.get("inplace")))


def memory(value: Any) -> set[int]:
    """Where the tensors of a value lie."""
    found: set[int] = set()

    def look(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            found.add(part.untyped_storage().data_ptr())

    torch.fx.node.map_aggregate(value, look)
    return found - {0}


def versions(node: torch.fx.Node) -> list[int]:
    """How often the constants of an operation, weights among them, have been changed in place."""
    found: list[int] = []

    def look(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found.append(value._version)

    torch.fx.node.map_aggregate((node.args, node.kwargs), look)
    for module in node.meta["module"].modules() if node.op == "call_module" else ():
        found.extend(value._version for value in (*module.parameters(False), *module.buffers(False)))
    return found


def users_line(before: str = "") -> str:
    """Where in the code of the running model we are, the words before it in front."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
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
    names = {id(module): name for name, module in model.named_modules()}
    frames = [id(frame.f_locals.get("self")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    inside = [names[self] for self in frames if names.get(self)]
    name = inside[-1] if inside else ""
    module = f"module {name!r} ({class_name(type(model.get_submodule(name)))})" if name else ""
    place = ", ".join(filter(None, (module, line_of_error(error))))
    return f"{place}: " if place else ""


def first_line(error: BaseException) -> str:
    """What an error says, without what follows in further lines."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
