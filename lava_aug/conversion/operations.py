"""One operation of a model: what it gives, where it stands in the user's code, and the handlers that convert it."""

import dataclasses
import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import torch
import torch.fx
import torch.fx.node
from numpy.typing import NDArray
from torch import nn

from lava_aug.conversion.lowering import Lowering
from lava_aug.conversion.signals import Signal
from lava_aug.core.errors import ConversionError
from lava_aug.core.layers import Shape

Handler = Callable[..., Any]
"""Gets the step and the arguments of the operation, signals among them, and gives a signal, or a tuple of them."""

OPERATIONS: dict[Any, Handler] = {}
"""Handlers by what they convert: types of modules, functions, and names of tensor methods."""

AnyHandler = TypeVar("AnyHandler", bound=Handler)


def converts(*operations: Any) -> Callable[[AnyHandler], AnyHandler]:
    """Enter a handler for functions, names of tensor methods, and modules, which it gets before their input.

    Raises
    ------
    ValueError
        If one of them has a handler already.
    """

    def enter(handler: AnyHandler) -> AnyHandler:
        for operation in dict.fromkeys(operations):
            if operation in OPERATIONS:
                raise ValueError(f"{operation} has a handler already: {OPERATIONS[operation].__name__}")
            OPERATIONS[operation] = handler
        return handler

    return enter


def converts_modules(*modules: type[nn.Module], takes: Sequence[str] = ()) -> Callable[[AnyHandler], AnyHandler]:
    """Enter a function's handler for modules too, which keep arguments of the names in ``takes`` as attributes."""

    def enter(handler: AnyHandler) -> AnyHandler:
        @converts(*modules)
        def of_module(step: "Step", module: nn.Module, x: Signal) -> Any:
            return handler(step, x, **{name: getattr(module, name) for name in takes})

        del of_module
        return handler

    return enter


@dataclasses.dataclass
class Step:
    """One operation on its way to becoming part of a signal.

    Attributes
    ----------
    lowering : Lowering
        Makes layers.
    node : torch.fx.Node
        The operation.
    where : str
        Its description for messages.
    name : str
        Name for a layer that it makes.
    value : Any
        What it gave for the example batch.
    batch : int
        Size of that batch.
    arguments : dict of str to Any
        What every node that it takes stands for, by name.
    """

    lowering: Lowering
    node: torch.fx.Node
    where: str
    name: str
    value: Any
    batch: int
    arguments: dict[str, Any]

    @property
    def shape(self) -> Shape:
        """Shape of what it gave for one image."""
        return tuple(self.value.shape[1:])

    def fail(self, message: str) -> ConversionError:
        return ConversionError(f"{self.where}: {message}")

    def linear(self, x: Signal, synapse: Any, bias: NDArray[Any] | None = None, gain: float = 1.0) -> Signal:
        """``gain * synapse(x) + bias``."""
        return self.lowering.linear(x, synapse, self.name, self.node.name, bias=bias, gain=gain)

    def evaluate(self, replace: Callable[[Signal], torch.Tensor]) -> Any:
        """The operation itself on other tensors in place of its signals."""

        def argument(node: torch.fx.Node) -> Any:
            operand = self.arguments[node.name]
            return replace(operand) if isinstance(operand, Signal) else operand

        return evaluated(self.node, argument)


def numpy_of(tensor: torch.Tensor | None) -> Any:
    """A parameter in float64; None if there is none."""
    return None if tensor is None else tensor.detach().double().numpy()


def is_signal(x: Any) -> bool:
    """Whether an argument depends on the images."""
    return isinstance(x, Signal)


def is_sequence(x: Any) -> TypeGuard[Sequence[Any]]:
    """Whether an argument is several."""
    return isinstance(x, (tuple, list))


def kept_name(x: Signal, step: Step) -> str:
    """A layer is named after the operation with weights that it begins with, where there is one."""
    return x.name if x.source is None else step.name


# As it was recorded

_PACKAGES = tuple(str(Path(file).parent) for file in (torch.__file__, __file__))

ROOT = "call_the_model"
"""Name of the function that calls the model; what calls that function is no code of the model's."""


def evaluated(node: torch.fx.Node, of: Callable[[torch.fx.Node], Any]) -> Any:
    """An operation on what stands for its arguments."""
    args, kwargs = (mapped(part, lambda x: of(x) if isinstance(x, torch.fx.Node) else x) for part in arguments(node))
    if node.op == "call_module":
        return node.meta["module"].forward(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    assert callable(node.target)
    return node.target(*args, **kwargs)


def arguments(node: Any) -> tuple[Any, Any]:
    """Positional and named arguments of an operation, whose types torch leaves open."""
    return node.args, node.kwargs


def mapped(nested: Any, of: Callable[[Any], Any]) -> Any:
    """Arguments, or results, in which a function of each stands for it: of those in tuples, lists and dictionaries."""
    fx: Any = torch.fx.node  # whose types torch leaves open
    return fx.map_aggregate(nested, of)


def named_modules(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """All modules by their paths, the model's own being "", which torch leaves without types."""
    return model.named_modules()


def where(node: torch.fx.Node) -> str:
    """An operation, for messages."""
    if node.op == "call_module":
        return f"module {str(node.target)!r} ({class_name(node.meta['module'])})"
    if node.op in ("placeholder", "output"):
        return {"placeholder": "the images", "output": "the output"}[node.op]
    inside, line = (node.meta.get(key, "") for key in ("inside", "line"))
    places = [f"node {node.name!r}{f' in module {inside!r}' if inside else ''}", *([line] if line else [])]
    target = f".{node.target}()" if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))
    return f"operation {target} ({', '.join(places)})"


def class_name(module: object) -> str:
    """The name of a module's class, in full where it is another than torch.nn's of that name."""
    kind = type(module)
    return (
        kind.__name__ if kind.__module__.startswith("torch.nn.modules.") else f"{kind.__module__}.{kind.__qualname__}"
    )


def changes_operand(node: torch.fx.Node) -> bool:
    """Whether an operation writes its result to where its input is."""
    if node.op == "call_module":
        return bool(getattr(node.meta["module"], "inplace", False))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    in_place = name in ("iadd", "isub", "imul", "itruediv") or (name.endswith("_") and not name.endswith("__"))
    return node.op.startswith("call") and (in_place or bool(arguments(node)[1].get("inplace")))


def memory(value: Any) -> set[int]:
    """Where the tensors of a value lie."""
    addresses: set[int] = set()

    def look(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            addresses.add(part.untyped_storage().data_ptr())

    mapped(value, look)
    return addresses - {0}


def versions(node: torch.fx.Node) -> list[int]:
    """How often the constants of an operation, weights among them, have been changed in place."""
    counts: list[int] = []

    def look(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            counts.append(value._version)

    mapped(arguments(node), look)
    for module in node.meta["module"].modules() if node.op == "call_module" else ():
        counts.extend(value._version for value in (*module.parameters(False), *module.buffers(False)))
    return counts


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
