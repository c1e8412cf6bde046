"""PyTorch model -> float layers: its operations are recorded, and each has a handler.

The model itself is never touched: copies in evaluation mode are run. Everything that cannot be converted is reported at
once, and the recorded operations are checked against the model.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.fx
import torch.nn.functional as F
from torch import nn

from lava_aug.conversion import elementwise, pooling_operations, rearrangement, weighted_operations
from lava_aug.conversion.float_layers import FloatGraph
from lava_aug.conversion.lowering import Lowering
from lava_aug.conversion.methods import Needs
from lava_aug.conversion.models import difference, evaluation_copy, second_copy
from lava_aug.conversion.noting import Notes
from lava_aug.conversion.operations import (
    OPERATIONS,
    Step,
    arguments,
    class_name,
    first_line,
    is_sequence,
    mapped,
    where,
)
from lava_aug.conversion.signals import FloatLayer, Signal
from lava_aug.core.errors import ConversionError, SpecError
from lava_aug.core.layers import Shape
from lava_aug.core.network import INPUT
from lava_aug.core.normalization import Normalization
from lava_aug.core.texts import brief

HANDLERS = (elementwise, pooling_operations, rearrangement, weighted_operations)
"""Modules of handlers, which enter them in `OPERATIONS` when they are imported."""

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
    if not isinstance(model, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]: users may pass anything
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


def _check_noted(notes: Notes, wanted: dict[str, Any]) -> None:
    """Whether the model does, when it is asked as users ask it, what was noted."""
    noted = noted_outputs(notes)
    if list(wanted) != list(noted):
        raise ConversionError(f"{UNLIKE}: outputs {list(wanted)} instead of {list(noted)}; {REASONS}")
    tensors = {name: value for name, value in wanted.items() if isinstance(value, torch.Tensor)}
    apart = difference(tensors, noted)
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
        if is_sequence(value):
            return tuple(self._instead(part, node) for part in value)
        known = isinstance(value, torch.Tensor) and value.is_floating_point() and value.shape[:1] == (self.batch,)
        return self.lowering.unknown(tuple(value.shape[1:]), node) if known else _Failed()

    def _num_users(self, node: torch.fx.Node) -> int:
        return sum(user.op == "output" or user in self.needed for user in node.users)

    def _signal(self, node: torch.fx.Node) -> Any:
        place = where(node)
        handler, module = self._handler(node, place)
        given, options = (mapped(part, self._standing_for) for part in arguments(node))
        options = dict(options)
        given = (options.pop("input"), *given) if "input" in options else given
        taken = {a.name: self.signals[a.name] for a in node.all_input_nodes}
        step = Step(self.lowering, node, place, self._name(node), self.values[node], self.batch, taken)
        try:
            return handler(step, *module, *given, **options)
        except ConversionError as error:
            raise ConversionError(str(error) if str(error).startswith(place) else f"{place}: {error}") from None
        except Exception as error:  # of arguments that the handler does not know
            raise ConversionError(f"{place}: {first_line(error)}") from error

    def _standing_for(self, argument: Any) -> Any:
        return self.signals[argument.name] if isinstance(argument, torch.fx.Node) else argument

    def _handler(self, node: torch.fx.Node, place: str) -> tuple[Callable[..., Any], list[Any]]:
        module: list[Any] = [node.meta["module"]] if node.op == "call_module" else []
        key = module[0].__class__ if module else node.target
        if key not in OPERATIONS:
            raise ConversionError(f"{place} is not supported; {advice(node, key)}")
        return OPERATIONS[key], module

    def _name(self, node: torch.fx.Node) -> str:
        if node.op == "call_module":
            return str(node.target)
        inside = node.meta["inside"]
        return f"{inside}.{node.name}" if inside else node.name

    def _finish(self) -> tuple[tuple[str, Shape], ...]:
        """The readout: of one tensor, or with all elements of several."""
        given = self.notes.outputs
        signals = {name: self.signals.get(getattr(node, "name", "")) for name, node in given.items()}
        heads = {name: signal for name, signal in signals.items() if isinstance(signal, Signal)}
        if len(heads) < len(given) or not heads:
            raise ConversionError(f"output: expected tensors that depend on the images, found {_told(given)}")
        first = heads.get("")
        if first is None:
            self.lowering.heads(list(heads.values()), READOUT)
            return tuple((name, signal.view or (1,)) for name, signal in heads.items())
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


# What is said of operations that cannot be converted

GENERAL_ADVICE = "docs/conversion.md lists what is"

_USE_RELU = "train the network with ReLU instead"
_NO_SOFTMAX = (
    "it divides by a sum that depends on the image, and spikes only add up; it can only be left out as the last step"
)
_USE_BATCH_NORM = "its statistics depend on the image; use BatchNorm"
_NO_ATTENTION = (
    "attention multiplies values that depend on the image, and spikes only add up; use a convolutional network"
)
_NO_TIME = "the network must be feed-forward"

_functional: Any = F  # of tanh torch leaves the types open

ADVICE: dict[Any, str] = {
    **dict.fromkeys((nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh, nn.ELU, nn.SELU, nn.CELU), _USE_RELU),
    **dict.fromkeys((nn.Softplus, nn.Softsign, nn.Hardswish, nn.Hardsigmoid, nn.LogSigmoid, nn.GLU), _USE_RELU),
    **dict.fromkeys((F.gelu, F.silu, F.mish, F.sigmoid, _functional.tanh, F.elu, F.selu, F.softplus), _USE_RELU),
    **dict.fromkeys((F.hardswish, F.hardsigmoid, torch.sigmoid, torch.tanh, "sigmoid", "tanh"), _USE_RELU),
    **dict.fromkeys((nn.Softmax, nn.LogSoftmax, nn.Softmax2d, F.softmax, F.log_softmax), _NO_SOFTMAX),
    **dict.fromkeys((torch.softmax, torch.log_softmax, "softmax", "log_softmax"), _NO_SOFTMAX),
    **dict.fromkeys((nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d), _USE_BATCH_NORM),
    **dict.fromkeys((F.layer_norm, F.group_norm, F.instance_norm, F.normalize), _USE_BATCH_NORM),
    **dict.fromkeys((nn.MultiheadAttention, F.scaled_dot_product_attention), _NO_ATTENTION),
    torch.bmm: _NO_ATTENTION,
    **dict.fromkeys((nn.RNN, nn.LSTM, nn.GRU), _NO_TIME),
}

_SOFTMAX = (nn.Softmax, nn.LogSoftmax, nn.Softmax2d, F.softmax, F.log_softmax, torch.softmax, torch.log_softmax)
_SIGMOID = (nn.Sigmoid, F.sigmoid, torch.sigmoid, "sigmoid", nn.LogSigmoid, F.logsigmoid)

AT_THE_END: dict[Any, str] = {
    **dict.fromkeys((*_SOFTMAX, "softmax", "log_softmax"), "remove it: the argmax of the logits is the same"),
    **dict.fromkeys(_SIGMOID, "remove it: the order of the logits is the same, and 1/2 becomes 0"),
}
"""For the last operation before an output."""


def advice(node: torch.fx.Node, key: Any) -> str:
    """What to do about an operation that is in none of the tables."""
    last = all(user.op == "output" for user in node.users)
    return (AT_THE_END.get(key) if last else None) or ADVICE.get(key, GENERAL_ADVICE)


class Refusals:
    """Errors about operations, those that say the same of many as one."""

    def __init__(self) -> None:
        self.found: dict[str, list[tuple[str, str]]] = {}

    def add(self, node: torch.fx.Node, message: str) -> None:
        """What is wrong with an operation, in a sentence that begins with `where` it is."""
        module: Any = node.meta.get("module")
        kind = class_name(module) if module is not None else str(node.target)
        place = where(node)
        self.found.setdefault(kind + message.removeprefix(place), []).append((place, message.removeprefix(place)))

    def __str__(self) -> str:
        lines = [self._line(same) for same in self.found.values()]
        total = sum(map(len, self.found.values()))
        return lines[0] if total == 1 else f"{total} operations cannot be converted:\n- " + "\n- ".join(lines)

    def _line(self, same: list[tuple[str, str]]) -> str:
        place, message = same[0]
        return f"{place}{f' and {len(same) - 1} more like it' if len(same) > 1 else ''}{message}"
