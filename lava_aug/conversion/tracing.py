"""PyTorch model -> float layers: its operations are recorded, and each has a handler (see `operations`).

The model itself is never touched: copies in evaluation mode are run. Everything that cannot be converted is reported at
once, and the recorded operations are checked against the model.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.fx
from torch import nn

from lava_aug.conversion.copies import evaluation_copy, second_copy
from lava_aug.conversion.faithful import difference
from lava_aug.conversion.float_layers import FloatGraph, FloatLayer, Needs, Signal
from lava_aug.conversion.lowering import Lowering
from lava_aug.conversion.nodes import first_line, where
from lava_aug.conversion.noting import Notes
from lava_aug.conversion.operations import OPERATIONS
from lava_aug.conversion.refusals import Refusals, advice
from lava_aug.conversion.steps import Step
from lava_aug.core.errors import ConversionError, SpecError
from lava_aug.core.layers import Shape
from lava_aug.core.network import INPUT
from lava_aug.core.normalization import Normalization
from lava_aug.core.texts import brief

READOUT = "readout"
"""Name of the layer that is added when a model ends in an activation."""


def trace(
    model: nn.Module, example: torch.Tensor, needs: Needs | None = None, normalize: Normalization | None = None
) -> FloatGraph:
    """Trace a model with an example batch, float in [0, 1].

    Parameters
    ----------
    model : torch.nn.Module
        What to trace.
    example : tensor, shape (B, *shape)
        Images in [0, 1].
    needs : Needs, optional
        What the method's spikes can carry; default everything.
    normalize : Normalization, optional
        What is done to images before the model sees them.

    Raises
    ------
    ConversionError
        If the model cannot be traced, does not take the example, gives something else when it is traced, or holds
        unsupported operations: all of them.
    """
    if not isinstance(model, nn.Module):
        raise ConversionError(f"model: expected a torch.nn.Module, found {type(model).__name__}")
    module = evaluation_copy(model)
    graph = FloatGraph(tuple(example.shape[1:]), [], second_copy(module), normalize)
    wanted = graph.answers(example)
    notes = Notes(second_copy(module), example if normalize is None else normalize(example))
    lowering = Lowering(graph.input_shape, needs or Needs())
    layers, heads = _Builder(notes, lowering, normalize).build()
    _check_noted(notes, wanted)
    return FloatGraph(graph.input_shape, layers, graph.module, normalize, heads, (example, noted_outputs(notes)))


def noted_outputs(notes: Notes) -> dict[str, Any]:
    """The outputs for the example, as the noted operations gave them."""
    return {name: notes.values.get(node, node) for name, node in notes.outputs.items()}


def _check_noted(notes: Notes, wanted: dict[str, torch.Tensor]) -> None:
    """Whether the model does, when it is asked as users ask it, what was noted."""
    found = noted_outputs(notes)
    if list(wanted) != list(found):
        raise ConversionError(f"{UNLIKE}: outputs {list(wanted)} instead of {list(found)}; {REASONS}")
    tensors = {name: value for name, value in wanted.items() if isinstance(value, torch.Tensor)}
    apart = difference(tensors, found)
    if apart is not None:
        raise ConversionError(f"{UNLIKE}: the recorded operations differ from it {apart}; {REASONS}")


UNLIKE = "forward() behaves differently on the images than when its operations were recorded"
REASONS = (
    "likely reasons are code that checks the type of its input (type(x), isinstance, torch.is_tensor), random "
    "numbers, and modules or hooks that change from call to call; write it without"
)


class _Failed:
    """Stands for what an operation that cannot be converted would have given."""


class _Builder:
    """Walks the operations once and makes the layers."""

    def __init__(self, notes: Notes, lowering: Lowering, normalize: Normalization | None) -> None:
        self.notes, self.lowering, self.normalize = notes, lowering, normalize
        self.values, self.batch = notes.values, len(notes.example)
        self.needed = set(notes.nodes)
        self.signals: dict[str, Any] = {}
        self.refusals = Refusals()

    def build(self) -> tuple[list[FloatLayer], tuple[tuple[str, Shape], ...]]:
        """The layers, and names and shapes of the outputs, if there are several."""
        for node in self.notes.nodes:
            if node.op == "placeholder":
                self.signals[node.name] = self._images(node.name)
            else:
                self._enter(node)
        if self.refusals.found:
            raise ConversionError(str(self.refusals))
        try:
            heads = self._finish()
        except SpecError as error:
            raise ConversionError(f"output: {error}") from error
        return list(self.lowering.layers.values()), heads

    def _images(self, node: str) -> Signal:
        signal = self.lowering.images(node)
        if self.normalize is None:
            return signal
        column = (-1, *[1] * (len(signal.view) - 1))
        mean, std = (values.astype(np.float64) for values in (self.normalize.mean, self.normalize.std))
        factors, offset = 1 / std, -mean / std
        scaled = self.lowering.scaled(signal, factors.reshape(column), "normalize", node)
        return self.lowering.shifted(scaled, offset.reshape(column), "normalize", node)

    def _enter(self, node: torch.fx.Node) -> None:
        """The signal of one operation; after a refusal something of its shape, so that all are found."""
        known = not any(isinstance(self.signals[a.name], _Failed) for a in node.all_input_nodes)
        try:
            self._handler(node, where(node))
            signal: Any = self._signal(node) if known else _Failed()
            shared = isinstance(signal, Signal) and self._num_users(node) > 1 and not self.lowering.is_light(signal)
            self.signals[node.name] = self.lowering.settled(signal) if shared else signal
        except ConversionError as error:
            self.refusals.add(node, str(error))
            self.signals[node.name] = self._instead(self.values[node], node.name)

    def _instead(self, value: Any, node: str) -> Any:
        if isinstance(value, (tuple, list)):
            return tuple(self._instead(part, node) for part in value)
        known = isinstance(value, torch.Tensor) and value.is_floating_point() and value.shape[:1] == (self.batch,)
        return self.lowering.unknown(tuple(value.shape[1:]), node) if known else _Failed()

    def _num_users(self, node: torch.fx.Node) -> int:
        return sum(user.op == "output" or user in self.needed for user in node.users)

    def _signal(self, node: torch.fx.Node) -> Any:
        place = where(node)
        handler, module = self._handler(node, place)
        arguments: Any = torch.fx.node.map_arg(node.args, lambda n: self.signals[n.name])
        options: Any = torch.fx.node.map_arg(node.kwargs, lambda n: self.signals[n.name])
        options = dict(options)
        arguments = (options.pop("input"), *arguments) if "input" in options else arguments
        taken = {a.name: self.signals[a.name] for a in node.all_input_nodes}
        step = Step(self.lowering, node, place, self._name(node), self.values[node], self.batch, taken)
        try:
            return handler(step, *module, *arguments, **options)
        except ConversionError as error:
            raise ConversionError(str(error) if str(error).startswith(place) else f"{place}: {error}") from None
        except Exception as error:  # of arguments that the handler does not know
            raise ConversionError(f"{place}: {first_line(error)}") from error

    def _handler(self, node: torch.fx.Node, place: str) -> tuple[Callable[..., Any], list[Any]]:
        arguments = [node.meta["module"]] if node.op == "call_module" else []
        key = type(arguments[0]) if arguments else node.target
        if key not in OPERATIONS:
            raise ConversionError(f"{place} is not supported; {advice(node, key)}")
        return OPERATIONS[key], arguments

    def _name(self, node: torch.fx.Node) -> str:
        if node.op == "call_module":
            return str(node.target)
        inside = node.meta["inside"]
        return f"{inside}.{node.name}" if inside else node.name

    def _finish(self) -> tuple[tuple[str, Shape], ...]:
        """The readout: of one tensor, or with all elements of several."""
        given = self.notes.outputs
        signals = {name: self.signals.get(getattr(node, "name", "")) for name, node in given.items()}
        found = {name: signal for name, signal in signals.items() if isinstance(signal, Signal)}
        if len(found) < len(given) or not found:
            raise ConversionError(f"output: expected tensors that depend on the images, found {_told(given)}")
        first = found.get("")
        if first is None:
            self.lowering.heads(list(found.values()), READOUT)
            return tuple((name, signal.view or (1,)) for name, signal in found.items())
        if not self.lowering.layers and first.source == INPUT:
            raise ConversionError("output: found the images themselves; the model needs at least a Linear or Conv2d")
        self.lowering.readout(first, READOUT)
        return ()


def _told(given: dict[str, Any]) -> str:
    """Outputs, as far as they are tensors by what makes them."""
    told = {name: _told_one(value) for name, value in given.items()}
    return told[""] if "" in told else ", ".join(f"{name}: {text}" for name, text in told.items()) or "nothing"


def _told_one(value: Any) -> str:
    constant = isinstance(value, torch.Tensor)
    told = f"a constant of shape {tuple(value.shape)}" if constant else brief(value)
    return str(value) if isinstance(value, torch.fx.Node) else told
