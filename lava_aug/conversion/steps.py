"""One operation of a traced model on its way to becoming part of a signal; what all handlers share."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.fx
from numpy.typing import NDArray
from torch import nn

from lava_aug.conversion.float_layers import Signal
from lava_aug.conversion.lowering import Lowering
from lava_aug.conversion.nodes import evaluated
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
            found = self.arguments[node.name]
            return replace(found) if isinstance(found, Signal) else found

        return evaluated(self.node, argument)


def numpy_of(tensor: torch.Tensor | None) -> Any:
    """A parameter in float64; None if there is none."""
    return None if tensor is None else tensor.detach().double().numpy()


def is_signal(x: Any) -> bool:
    """Whether an argument depends on the images."""
    return isinstance(x, Signal)


def kept_name(x: Signal, step: Step) -> str:
    """A layer is named after the operation with weights that it begins with, where there is one."""
    return x.name if x.source is None else step.name
