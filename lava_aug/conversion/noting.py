"""Runs a model once on a proxy for images, and records every operation on them.

torch.fx notes operations, but of its stand-ins it knows neither shape nor kind. Here every operation is also computed,
on example images: sizes are numbers, all that does not depend on the images is computed as it stands, and hooks run as
they do in the model.
"""

import contextlib
import operator
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import torch
import torch.fx
from torch import nn

from lava_aug.conversion.models import outputs
from lava_aug.conversion.operations import (
    changes_operand,
    evaluated,
    first_line,
    is_sequence,
    line_of_error,
    mapped,
    memory,
    users_line,
    versions,
    where,
)
from lava_aug.core.errors import ConversionError

ASKS = {
    *("size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset", "element_size", "get_device"),
    *("is_contiguous", "is_floating_point", "is_complex", "is_signed", "is_same_size", "result_type"),
    *("zeros_like", "ones_like", "new_zeros", "new_ones"),
}
"""Names of operations whose results do not depend on the values of a tensor."""

_LOCK = threading.Lock()
"""torch.fx exchanges methods of torch.nn.Module while it notes operations."""

DECIDES = "which depends on the image; remove control flow that depends on the data"
WRITES = "make it by torch.cat, torch.stack or F.pad"


class StandIn(torch.fx.Proxy):
    """Stands for a tensor, or several, that depend on the images; ``value`` is what it is for the example."""

    @property
    def value(self) -> Any:
        notes: Any = self.tracer
        return notes.values[self.node]

    def __getattr__(self, k: str) -> Any:
        attribute = getattr(self.value, k)
        if callable(attribute) and not isinstance(attribute, torch.Tensor):

            def method(*args: Any, **kwargs: Any) -> Any:
                return self.tracer.create_proxy("call_method", k, (self, *args), kwargs)

            return method
        if _holds_tensor(attribute):
            return self.tracer.create_proxy("call_function", getattr, (self, k), {})
        return attribute

    def __len__(self) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]: torch's has none
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        parts: Any = self  # torch adds most operations when it is imported
        return (parts[index] for index in range(len(self)))

    def _decides(self, *_: Any) -> Any:
        raise ConversionError(f"{where(self.node)}: forward() asks for its value{users_line(' in ')}, {DECIDES}")

    __bool__ = __int__ = __float__ = __index__ = __contains__ = __array__ = _decides  # pyright: ignore

    def __setitem__(self, index: Any, value: Any) -> None:
        raise ConversionError(f"{where(self.node)}: forward() writes into it{users_line(' in ')}; {WRITES}")


def _in_place(name: str) -> Callable[[Any, Any], Any]:
    def method(self: StandIn, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", getattr(operator, name), (self, other), {})

    return method


for _name in ("iadd", "isub", "imul", "itruediv"):
    setattr(StandIn, f"__{_name}__", _in_place(_name))


class Notes(torch.fx.Tracer):
    """The operations of a model, in the order in which it does them.

    Parameters
    ----------
    model : torch.nn.Module
        From `evaluation_copy`; forward() may change it.
    example : tensor, shape (B, *shape)
        What the model takes.

    Attributes
    ----------
    nodes : list of torch.fx.Node
        What the outputs depend on. ``meta`` has "inside", the path of the module whose forward() calls it, "line",
        where in the user's code, and "module", for a module that is one operation, as it is at that call.
    values : dict of torch.fx.Node to Any
        What each operation gave for the example.
    outputs : dict of str to Any
        Nodes by name (`lava_aug.conversion.models.outputs`), and what depends on no image as it is.

    Raises
    ------
    ConversionError
        If the model decides by values of the images, or does not run on the example.
    """

    def __init__(self, model: nn.Module, example: torch.Tensor) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]: torch's
        self.example = example
        self.values: dict[torch.fx.Node, Any] = {}
        self.outputs: dict[str, Any] = {}
        self.inside, self.name = [""], type(model).__name__
        with _LOCK, torch.no_grad():
            self._note(model)
        self.nodes = self._needed()
        self._check_constants()
        self._check_in_place()

    def _note(self, model: nn.Module) -> None:
        try:
            self.trace(model)
        except ConversionError:
            raise
        except Exception as error:
            raise ConversionError(
                f"{self.name}: torch.fx cannot trace it ({type(error).__name__}: {first_line(error)}"
                f"{line_of_error(error, ', ')}); docs/conversion.md says what forward() may do"
            ) from error

    # What torch.fx asks for

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        """Call the model as users do: with its hooks, and with other arguments at their defaults."""
        del root_fn, is_module, concrete_args

        def call_the_model(x: StandIn) -> Any:
            returned = outputs(self.root(x))
            self.outputs = {
                name: value.node if isinstance(value, StandIn) else value for name, value in returned.items()
            }
            return [value for value in returned.values() if isinstance(value, StandIn)]

        return call_the_model, [self.create_proxy("placeholder", "x", (), {})]

    def proxy(self, node: torch.fx.Node) -> StandIn:
        return StandIn(node, self)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: Any) -> Any:
        """Parameters are constants."""
        del attr, parameter_proxy_cache
        return attr_val

    def create_arg(self, a: Any) -> Any:
        """Constants are arguments as they are."""
        if isinstance(a, np.generic):
            return a.item()
        tracer: Any = super()  # whose types torch leaves open
        return a if isinstance(a, (torch.Tensor, nn.Module)) else tracer.create_arg(a)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """A module of torch's is one operation, between its hooks; of others the operations inside are noted.

        It is called for modules in other threads, too, but they have no stand-ins.
        """
        if not _holds_stand_in((args, kwargs)):
            return forward(*args, **kwargs)
        path = (self.submodule_paths or {}).get(m)
        if m is not self.root and self.is_leaf_module(m, path or "") and "forward" not in vars(m):
            with self._as_operation(m, self._known(m, path)):
                return forward(*args, **kwargs)
        path = self.inside[-1] if path is None else path  # a part of a Sequential is a new one
        self.inside.append(path)
        try:
            return forward(*args, **kwargs)
        finally:
            self.inside.pop()

    def _known(self, module: nn.Module, path: str | None) -> str:
        """The name of an operation; eval() does not reach modules that are no part of the model."""
        if path is None and module.state_dict():
            raise ConversionError(
                f"{self.name}: forward() calls a {type(module).__name__} that is not part of it{users_line(', ')}; "
                "make it an attribute, or keep it in a torch.nn.ModuleList or ModuleDict"
            )
        return type(module).__name__ if path is None else path

    @contextlib.contextmanager
    def _as_operation(self, module: nn.Module, path: str) -> Generator[None, None, None]:
        """While it lasts, forward() of a module is one operation, of the module as it is at that time."""

        def noted(*args: Any, **kwargs: Any) -> Any:
            now = object.__new__(type(module))
            now.__dict__.update({name: value for name, value in vars(module).items() if name != "forward"})
            return self._noted("call_module", path, args, kwargs, module=now)

        vars(module)["forward"] = noted
        try:
            yield
        finally:
            del vars(module)["forward"]

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: Any,
        kwargs: Any,
        name: str | None = None,
        type_expr: Any = None,
        *_: Any,
        **__: Any,
    ) -> Any:
        del type_expr
        if kind == "call_function" and hasattr(target, "__code__") and not str(target.__module__).startswith("torch."):
            return target(*args, **kwargs)  # a function of users' that torch.fx.wrap would have hidden
        return self._noted(kind, target, args, kwargs, name)

    def _noted(self, kind: str, target: Any, args: Any, kwargs: Any, name: str | None = None, **meta: Any) -> Any:
        made: Any = super().create_proxy(kind, target, args, kwargs, name)
        node = made.node
        node.meta.update(meta, inside=self.inside[-1], line=users_line())
        # Operations in place may reach the images.
        value = self.example.clone() if kind == "placeholder" else evaluated(node, self.values.__getitem__)
        called = target if isinstance(target, str) else getattr(target, "__name__", "")
        if _holds_tensor(value) and called not in ASKS:
            self.values[node], node.meta["versions"] = value, versions(node)
            return made
        self.graph.erase_node(node)
        if called in ASKS or (called == "getitem" and value is None):  # the second of what attention gives, say
            return value
        asks = f"asks for values of the images, {DECIDES}" if value is not None else f"writes into a tensor; {WRITES}"
        raise ConversionError(f"{where(node)}: {asks}")

    # What has been noted

    def _needed(self) -> list[torch.fx.Node]:
        needed = {node for node in self.outputs.values() if isinstance(node, torch.fx.Node)}
        for node in reversed(list(self.graph.nodes)):
            needed.update(node.all_input_nodes if node in needed else ())
        return [node for node in self.graph.nodes if node in needed]

    def _check_constants(self) -> None:
        for node in self.nodes:
            if versions(node) != node.meta["versions"]:
                raise ConversionError(f"{where(node)}: forward() changes its weights after it; write it without")

    def _check_in_place(self) -> None:
        """What was changed in place may not be used again under an old name: signals would not show the change.

        So ``x.relu_()`` alone on a line is refused where x is used afterwards, and all that is written into constants.
        """
        order = {node: place for place, node in enumerate(self.graph.nodes)}
        needed, lies = {*self.nodes, *list(order)[-1:]}, {node: memory(value) for node, value in self.values.items()}
        for node in filter(changes_operand, lies):
            older = [other for other in lies if order[other] < order[node] and lies[other] & lies[node]]
            later = [user for other in older for user in other.users if user in needed and order[user] > order[node]]
            if not older or (later and not node.users):
                raise ConversionError(
                    f"{where(node)}: changes its input in place and its result is not used; "
                    "assign it, as in x = relu(x)"
                )
            if later:
                raise ConversionError(
                    f"{where(node)}: changes its input in place, which {where(later[0])} uses afterwards "
                    "under its old name; assign the result, as in x = relu(x)"
                )


def _holds_stand_in(arguments: Any) -> bool:
    flags: list[bool] = []
    mapped(arguments, lambda value: flags.append(isinstance(value, StandIn)))
    return any(flags)


def _holds_tensor(value: Any) -> bool:
    """Whether an operation gives tensors; others ask for sizes."""
    return isinstance(value, torch.Tensor) or (is_sequence(value) and any(map(_holds_tensor, value)))
