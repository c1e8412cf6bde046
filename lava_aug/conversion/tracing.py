"""PyTorch model -> float layers: its operations are recorded, and each has a handler.

The model itself is never touched: copies in evaluation mode are run. Everything that cannot be converted is reported at
once, and the recorded operations are checked against the model.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from lava_aug.conversion import (
    comparisons,
    complex_numbers,
    derived,
    elementwise,
    integer_operations,
    pooling_operations,
    rearrangement,
    volume_operations,
    weighted_operations,
)
from lava_aug.conversion.elementwise import is_pointwise, pointwise
from lava_aug.conversion.float_layers import FloatGraph
from lava_aug.conversion.fusing import Quantiser
from lava_aug.conversion.lowering import Lowering
from lava_aug.conversion.methods import Needs
from lava_aug.conversion.models import difference, evaluation_copy, second_copy
from lava_aug.conversion.onnx_files import Model, as_module
from lava_aug.conversion.operations import OPERATIONS, Refused, Step, Traced
from lava_aug.conversion.rearrangement import MIXES, concatenate, identity, leading, plain, rearrange
from lava_aug.conversion.recording import Operation, Recording, Value
from lava_aug.conversion.signals import FloatLayer, Signal
from lava_aug.conversion.user_code import class_name, first_line, is_sequence, mapped, required_inputs
from lava_aug.conversion.weighted_operations import is_affine, probed
from lava_aug.core.errors import ConversionError, SpecError
from lava_aug.core.layers import Shape
from lava_aug.core.network import INPUT
from lava_aug.core.normalization import Normalization
from lava_aug.core.texts import brief

HANDLERS = (
    *(comparisons, complex_numbers, derived, elementwise, integer_operations, pooling_operations, rearrangement),
    *(volume_operations, weighted_operations),
)
"""Modules of handlers, which enter them in `OPERATIONS` when they are imported."""

OF_PAIRS = {complex_numbers.as_seen, concatenate, identity, rearrange}
"""Handlers for which it does not matter that complex numbers are pairs; others take none."""

READOUT = "readout"
"""Name of the layer that is added when a model ends in an activation."""


def trace(
    model: Model, example: torch.Tensor, needs: Needs | None = None, normalize: Normalization | None = None
) -> FloatGraph:
    """Trace a model with an example batch, float in [0, 1].

    Parameters
    ----------
    model : torch.nn.Module or path
        What to trace; the path of an ONNX file.
    example : tensor, shape (B, *shape)
        Images in [0, 1].
    needs : Needs, optional
        What the method's spikes can carry; default everything.
    normalize : Normalization, optional
        What is done to images before the model sees them.

    Raises
    ------
    FileError
        If the model is a path, and there is no ONNX file.
    ConversionError
        If the model cannot be traced, does not take the example, gives something else when it is traced, or holds
        unsupported operations: all of them.
    """
    module = evaluation_copy(as_module(model))
    several = required_inputs(module)
    if len(several) > 1:
        raise ConversionError(
            f"model: forward() takes several inputs; pass a dictionary of them as images, "
            f"{{{', '.join(f'{name!r}: ...' for name in several)}}}"
        )
    graph = FloatGraph(tuple(example.shape[1:]), [], second_copy(module), normalize)
    wanted = graph.answers(example)
    recording = Recording(second_copy(module), example if normalize is None else normalize(example))
    lowering = Lowering(graph.input_shape, needs or Needs())
    layers, heads = _Builder(recording, lowering, normalize).build()
    _check_recorded(recording, wanted)
    return FloatGraph(graph.input_shape, layers, graph.module, normalize, heads, (example, recorded_outputs(recording)))


def recorded_outputs(recording: Recording) -> dict[str, Any]:
    """The outputs for the example, as the recorded operations gave them."""
    return {name: value.tensor if isinstance(value, Value) else value for name, value in recording.outputs.items()}


def _check_recorded(recording: Recording, wanted: dict[str, Any]) -> None:
    """Whether the model does, when it is asked as users ask it, what was recorded."""
    noted = recorded_outputs(recording)
    if list(wanted) != list(noted):
        raise ConversionError(f"{UNLIKE}: outputs {list(wanted)} instead of {list(noted)}; {REASONS}")
    tensors = {name: value for name, value in wanted.items() if isinstance(value, torch.Tensor)}
    rounds = any(operation.packet is Quantiser for operation in recording.operations)
    apart = difference(tensors, noted, rounds=rounds)
    if apart is not None:
        raise ConversionError(f"{UNLIKE}: the recorded operations differ from it {apart}; {REASONS}")


UNLIKE = "forward() behaves differently on the images than when its operations were recorded"
REASONS = (
    "likely reasons are modules or hooks that change from call to call, and code that does something else for other "
    "images or another number of them; write it without"
)


class _Builder:
    """Walks the operations once and makes the layers."""

    def __init__(self, recording: Recording, lowering: Lowering, normalize: Normalization | None) -> None:
        self.recording, self.lowering, self.normalize = recording, lowering, normalize
        self.batch = len(recording.images.tensor)
        self.given: dict[Value, Any] = {}
        self.guessed: set[Value] = set()
        self.refusals = Refusals()

    def build(self) -> tuple[list[FloatLayer], tuple[tuple[str, Shape], ...]]:
        """The layers, and names and shapes of the outputs, if there are several."""
        self.given[self.recording.images] = plain(self._images("x"), self.batch)
        for operation in self.recording.operations:
            self._enter(operation)
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

    def _enter(self, operation: Operation) -> None:
        """What an operation gives; after a refusal something of its shape, so that all are found."""
        try:
            made = self._made(operation)
            several = is_sequence(operation.result)
            pairs = zip(operation.result if several else (operation.result,), made if several else (made,), strict=True)
            pairs = [(value, part) for value, part in pairs if isinstance(value, Value)]
        except ConversionError as error:
            guessed = self.guessed.intersection(operation.operands)
            if not (guessed and MIXES in str(error)):  # in which order elements lie behind a refusal is a guess
                self.refusals.add(operation, str(error))
            self.guessed.update(operation.results)
            pairs = [(value, self._instead(value, operation.name)) for value in operation.results]
        if self.guessed.intersection(operation.operands):
            self.guessed.update(operation.results)
        for value, part in pairs:
            self.given[value] = self._settled(part) if value.users > 1 and isinstance(part, Traced) else part

    def _settled(self, traced: Traced) -> Traced:
        if self.lowering.is_light(traced.signal):
            return traced
        return dataclasses.replace(traced, signal=self.lowering.settled(traced.signal))

    def _instead(self, value: Value, node: str) -> Any:
        tensor = value.tensor
        if not tensor.is_floating_point() or not tensor.numel() or len(tensor) % self.batch:
            return Refused()
        view = tuple(tensor.reshape(self.batch, -1, *tensor.shape[1:]).shape[1:])
        view = view[1:] if len(tensor) == self.batch else view
        made = plain(self.lowering.unknown(view, node), self.batch)
        return dataclasses.replace(made, places=made.places.reshape(tensor.shape))

    def _made(self, operation: Operation) -> Any:
        given = {value: self.given[value] for value in operation.operands}
        refused = [part for part in given.values() if isinstance(part, Refused)]
        if refused:
            message = next((part.message for part in refused if part.message), "")
            if message:
                raise ConversionError(f"{operation.where}: {message}")
            return tuple(Refused() for _ in operation.result) if is_sequence(operation.result) else Refused()
        values = mapped(operation.result, lambda part: part.tensor if isinstance(part, Value) else part)
        step = Step(self.lowering, operation, values, self.batch, given)
        args, kwargs = mapped((operation.args, operation.kwargs), self._standing_for)
        try:
            return self._handler(step)(step, *args, **kwargs)
        except ConversionError as error:
            place = operation.where
            raise ConversionError(str(error) if str(error).startswith(place) else f"{place}: {error}") from None
        except Exception as error:  # of arguments that the handler does not know
            raise ConversionError(f"{operation.where}: {first_line(error)}") from error

    def _standing_for(self, argument: Any) -> Any:
        return self.given[argument] if isinstance(argument, Value) else argument

    def _handler(self, step: Step) -> Callable[..., Any]:
        operation = step.operation
        if not any(isinstance(part, Traced) for part in step.given.values()):
            return _constant  # all that was of the images has been overwritten
        if isinstance(operation.module, nn.RNNBase):
            raise ConversionError(f"{operation.where} is not supported; the network must be feed-forward")
        handler = OPERATIONS.get(operation.packet)
        if handler is not None and (handler in OF_PAIRS or not operation.is_complex):
            return handler
        if is_affine(step):
            return probed
        if is_pointwise(step):
            return pointwise
        raise ConversionError(f"{operation.where} is not supported; {ADVICE.get(operation.packet, GENERAL_ADVICE)}")

    def _finish(self) -> tuple[tuple[str, Shape], ...]:
        """The readout: of one tensor, or with all elements of several."""
        given = self.recording.outputs
        parts = {name: self.given.get(value) for name, value in given.items() if isinstance(value, Value)}
        heads = {name: self._head(name, part) for name, part in parts.items() if isinstance(part, Traced)}
        for message in (part.message for part in parts.values() if isinstance(part, Refused)):
            raise ConversionError(f"output: {message}")
        if len(heads) < len(given) or not heads:
            found = _told(self.recording)
            reason = f"; {NO_SPIKES}" if "a constant" in found else ""
            raise ConversionError(f"output: expected tensors that depend on the images, found {found}{reason}")
        first = heads.get("")
        if first is None:
            self.lowering.heads(list(heads.values()), READOUT)
            return tuple((name, signal.view or (1,)) for name, signal in heads.items())
        if not self.lowering.layers and first.source == INPUT:
            raise ConversionError("output: found the images themselves; the model needs at least a Linear or Conv2d")
        self.lowering.readout(first, READOUT)
        return ()

    def _head(self, name: str, part: Traced) -> Signal:
        value = self.recording.outputs[name]
        operation = next((o for o in self.recording.operations if value in o.results), None)
        if operation is None:
            return part.signal
        step = Step(self.lowering, operation, value.tensor, self.batch, {})
        return leading(step, part)


NO_SPIKES = "what no image changes takes no network: leave it out of what forward() returns"


def _told(recording: Recording) -> str:
    """Outputs, as far as they are tensors by what makes them."""
    makers = {value: operation.name for operation in recording.operations for value in operation.results}
    told = {name: _told_one(makers.get(value, value)) for name, value in recording.outputs.items()}
    return told[""] if "" in told else ", ".join(f"{name}: {text}" for name, text in told.items()) or "nothing"


def _told_one(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a constant of shape {tuple(value.shape)}"
    return value if isinstance(value, str) else brief(value)


def _constant(step: Step, *_: Any, **__: Any) -> Any:
    return step.value


# What is said of operations that cannot be converted

GENERAL_ADVICE = "docs/conversion.md lists what is"

aten: Any = torch.ops.aten

ADVICE: dict[Any, str] = {
    **dict.fromkeys(
        (aten.argmax, aten.argmin, aten.argsort, aten.sort, aten.topk, aten.median, aten.kthvalue),
        "spikes add up to values, not to their places or order; leave it to what follows the network",
    ),
}


class Refusals:
    """Errors about operations, those that say the same of many as one."""

    def __init__(self) -> None:
        self.found: dict[str, list[tuple[str, str]]] = {}

    def add(self, operation: Operation, message: str) -> None:
        """What is wrong with an operation, in a sentence that begins with where it is."""
        kind = operation.name.rstrip("0123456789_") if operation.module is None else class_name(operation.module)
        place = operation.where
        self.found.setdefault(kind + message.removeprefix(place), []).append((place, message.removeprefix(place)))

    def __str__(self) -> str:
        lines = [self._line(same) for same in self.found.values()]
        total = sum(map(len, self.found.values()))
        return lines[0] if total == 1 else f"{total} operations cannot be converted:\n- " + "\n- ".join(lines)

    def _line(self, same: list[tuple[str, str]]) -> str:
        place, message = same[0]
        return f"{place}{f' and {len(same) - 1} more like it' if len(same) > 1 else ''}{message}"
