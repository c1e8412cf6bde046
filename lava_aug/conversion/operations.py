"""One operation of a model, and the handlers that convert it."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.conversion.lowering import Lowering
from lava_aug.conversion.recording import Operation, Value
from lava_aug.conversion.signals import Signal
from lava_aug.conversion.user_code import mapped
from lava_aug.core.errors import ConversionError
from lava_aug.core.layers import Shape

Handler = Callable[..., Any]
"""Gets the step and the operation's arguments, `Traced` among them, and gives one, or a tuple of them."""

OPERATIONS: dict[Any, Handler] = {}
"""Handlers by the operation of ATen that they convert."""

AnyHandler = TypeVar("AnyHandler", bound=Handler)


def converts(*operations: Any) -> Callable[[AnyHandler], AnyHandler]:
    """Enter a handler for operations of ATen: ``torch.ops.aten.relu``, with all its overloads, in place or not.

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


@dataclasses.dataclass(frozen=True, eq=False)
class Traced:
    """A tensor that depends on the images: elements of a signal, in any order.

    Attributes
    ----------
    signal : Signal
        What it consists of, for one image; its elements are counted in C order.
    places : tensor of int, of the tensor's own shape, images included
        ``image * size + element``; every element of every image is there once.
    inner : (Traced, list of (int, int)) or None
        What it is with zeros around it, and how many before and behind each axis of a map: a convolution can take that
        instead.
    """

    signal: Signal
    places: torch.Tensor
    inner: "tuple[Traced, list[tuple[int, int]]] | None" = None

    @property
    def size(self) -> int:
        """Elements for one image."""
        return math.prod(self.signal.view)

    @property
    def images(self) -> torch.Tensor:
        """The image that each place is of."""
        return self.places.div(self.size, rounding_mode="floor")

    @property
    def elements(self) -> torch.Tensor:
        """The element of the signal that is at each place."""
        return self.places % self.size

    @property
    def positions(self) -> NDArray[Any]:
        """Where each element of each image lies, in C order of the tensor: ``(B, size)``."""
        return np.argsort(self.places.numpy().reshape(-1), kind="stable").reshape(-1, self.size)

    def of(self, signal: Signal) -> "Traced":
        """Another signal in the same order; what padding was around is no longer known."""
        return Traced(signal, self.places)


class Refused:
    """Stands for what no spikes can carry.

    Parameters
    ----------
    message : str
        What is said to those who use it; "" if it has been said.
    """

    def __init__(self, message: str = "") -> None:
        self.message = message


@dataclasses.dataclass
class Step:
    """One operation on its way to becoming part of a signal.

    Attributes
    ----------
    lowering : Lowering
        Makes layers.
    operation : Operation
        The operation.
    value : Any
        What it gave for the example batch.
    batch : int
        Size of that batch.
    given : dict
        What every value that it takes stands for.
    """

    lowering: Lowering
    operation: Operation
    value: Any
    batch: int
    given: dict[Any, Any]

    @property
    def tensors(self) -> list[Traced]:
        """What it takes that depends on the images, each once."""
        return list(dict.fromkeys(part for part in self.given.values() if isinstance(part, Traced)))

    @property
    def name(self) -> str:
        """For a layer that it makes."""
        operation = self.operation
        whole = operation.module is not None and operation.path
        inside = f"{operation.path}.{operation.name}" if operation.path else operation.name
        return operation.path if whole else inside

    @property
    def node(self) -> str:
        """Unique among operations."""
        return self.operation.name

    @property
    def shape(self) -> Shape:
        """Shape of what it gave, images included; complex numbers are pairs."""
        return (*self.value.shape, *([2] if self.value.is_complex() else []))

    def fail(self, message: str) -> ConversionError:
        return ConversionError(f"{self.operation.where}: {message}")

    def kept_name(self, x: Signal) -> str:
        """A layer is named after the operation with weights that it begins with, where there is one."""
        return x.name if x.source is None else self.name

    def linear(self, x: Signal, synapse: Any, bias: NDArray[Any] | None = None, gain: float = 1.0) -> Signal:
        """``gain * synapse(x) + bias``."""
        return self.lowering.linear(x, synapse, self.name, self.node, bias=bias, gain=gain)

    def evaluate(self, replace: Callable[[Traced], torch.Tensor]) -> Any:
        """The operation itself in float64, on other tensors in place of those that depend on the images.

        Complex numbers come and go as pairs of real ones.
        """

        def argument(part: Any) -> Any:
            given = self.given[part] if isinstance(part, Value) else part
            if isinstance(given, Traced):
                made = replace(given)
                return torch.view_as_complex(made.contiguous()) if part.tensor.is_complex() else made
            return _double(given) if isinstance(given, torch.Tensor) else given

        args, kwargs = mapped((self.operation.args, self.operation.kwargs), argument)
        made = IN_ANY_MEMORY.get(self.operation.packet, self.operation.function)(*args, **kwargs)
        return mapped(made, _as_pairs)


def _double(x: torch.Tensor) -> torch.Tensor:
    if x.is_complex():
        return x.to(torch.complex128)
    return x.double() if x.is_floating_point() else x


def _as_pairs(x: Any) -> Any:
    return torch.view_as_real(x.resolve_conj()) if isinstance(x, torch.Tensor) and x.is_complex() else x


_ATEN: Any = torch.ops.aten


def _reshaped(x: torch.Tensor, size: Any, stride: Any) -> torch.Tensor:
    del stride
    return torch.reshape(x, size)


IN_ANY_MEMORY: dict[Any, Callable[..., torch.Tensor]] = {
    **dict.fromkeys((_ATEN.view, _ATEN._unsafe_view), torch.reshape),
    _ATEN._reshape_alias: _reshaped,
}
"""What stands for operations that depend on where in memory the elements of a tensor lie."""
