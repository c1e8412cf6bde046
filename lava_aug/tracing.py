"""PyTorch model -> a chain of float layers: traced with torch.fx, one handler for each operation.

Handlers stand in three tables (`MODULES`, `FUNCTIONS`, `METHODS`). What is in none of them is a `ConversionError` that
names the module and the operation. The model itself is never touched: a copy in eval mode is traced.
"""

import copy
import dataclasses
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.fx
import torch.nn.functional as F
from torch import nn

from lava_aug.errors import ConversionError, SpecError
from lava_aug.layers import Conv, Dense, Relay, Shape, SumPool, Synapse
from lava_aug.network import INPUT

READOUT = "readout"
"""Name of the layer that is added when a model ends in an activation."""


@dataclasses.dataclass
class FloatLayer:
    """A linear operation of the model, in floats, with what follows it.

    Attributes
    ----------
    name, source : str
        Its name, and that of the layer (or `INPUT`) it takes.
    synapse : Synapse
        The operation, with float weights.
    bias : numpy.ndarray or None
        Float64, broadcastable to `shape`.
    shape : tuple of int
        Shape of its output.
    divisor : int
        The model's value is the synapse's sum divided by this (average pooling).
    relu : bool
        Whether a ReLU follows.
    node : str
        Name of the fx node whose output is the layer's output.
    folded : tuple of str
        Names of the pooling layers that have been folded into it.
    """

    name: str
    source: str
    synapse: Synapse
    bias: np.ndarray | None
    shape: Shape
    divisor: int = 1
    relu: bool = False
    node: str = ""
    folded: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Signal:
    """What an fx node stands for: the output of a layer, in C order, seen with a shape."""

    layer: str
    shape: Shape


@dataclasses.dataclass
class FloatGraph:
    """The layers in topological order, the last one being the model's output, and the traced copy of the model."""

    layers: list[FloatLayer]
    module: torch.fx.GraphModule


def trace(model: nn.Module, example: torch.Tensor) -> FloatGraph:
    """Trace a model with an example batch, float in [0, 1].

    Raises
    ------
    ConversionError
        If the model cannot be traced, does not take the example, or holds an unsupported operation.
    """
    if not isinstance(model, nn.Module):
        raise ConversionError(f"model: expected a torch.nn.Module, found {type(model).__name__}")
    module = _graph(model)
    return _Builder(module, _values(module, example), tuple(example.shape[1:])).build()


def _graph(model: nn.Module) -> torch.fx.GraphModule:
    frozen = copy.deepcopy(model).to("cpu", torch.float32).eval().requires_grad_(False)
    try:
        module = torch.fx.symbolic_trace(frozen)
    except Exception as error:
        raise ConversionError(
            f"{type(model).__name__}: torch.fx cannot trace it ({_first_line(error)}); "
            "remove control flow that depends on the data from forward()"
        ) from error
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    if len([node for node in inputs if not node.args]) != 1:
        raise ConversionError(f"{type(model).__name__}: expected a forward() with one input, found {len(inputs)}")
    _check_in_place(module)
    module.graph.eliminate_dead_code()
    return module


def _check_in_place(module: torch.fx.GraphModule) -> None:
    """``x.relu_()`` alone on a line is no dead code, though nothing in the graph uses its result."""
    for node in module.graph.nodes:
        if not node.users and _in_place(node, module):
            raise ConversionError(
                f"{_where(node, module)}: changes its input in place and its result is not used; "
                "assign it, as in x = relu(x)"
            )


def _in_place(node: torch.fx.Node, module: torch.fx.GraphModule) -> bool:
    if node.op == "call_module":
        return bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op.startswith("call") and (name.endswith("_") or bool(node.kwargs.get("inplace")))


class _Values(torch.fx.Interpreter):
    """Runs the graph and keeps what every node gave."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.extra_traceback = False  # in our messages
        self.found: dict[str, Any] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        try:
            value = super().run_node(n)
        except ConversionError:
            raise
        except Exception as error:
            raise ConversionError(f"{_where(n, self.module)}: {_first_line(error)}") from error
        self.found[n.name] = value
        return value


def _values(module: torch.fx.GraphModule, example: torch.Tensor) -> dict[str, Any]:
    interpreter = _Values(module)
    try:
        with torch.no_grad():
            interpreter.run(example)
    except ConversionError as error:
        raise ConversionError(
            f"the model does not take calibration images of shape {tuple(example.shape[1:])}: {error}"
        ) from None
    return interpreter.found


class _Builder:
    """Walks the graph once and makes the layers."""

    def __init__(self, module: torch.fx.GraphModule, values: dict[str, Any], input_shape: Shape) -> None:
        self.module, self.values = module, values
        self.layers: dict[str, FloatLayer] = {}
        self.shapes: dict[str, Shape] = {INPUT: input_shape}
        self.signals: dict[str, Signal] = {}

    def build(self) -> FloatGraph:
        for node in self.module.graph.nodes:
            if node.op == "output":
                return self._finished(node)
            if node.op == "placeholder":
                self.signals[node.name] = Signal(INPUT, self.shapes[INPUT])
            elif node.op != "get_attr" and _holds_tensor(self.values[node.name]):
                self.signals[node.name] = self._signal(node)
        raise ConversionError("the model has no output")

    def _finished(self, node: torch.fx.Node) -> FloatGraph:
        found = node.args[0]
        signal = self.signals.get(found.name) if isinstance(found, torch.fx.Node) else None
        if signal is None:
            raise ConversionError(f"output: expected one tensor, found {found!r}; return the logits alone")
        if signal.layer == INPUT:
            raise ConversionError("output: found the images themselves; the model needs at least a Linear or Conv2d")
        layers = list(self.layers.values())
        last = self.layers[signal.layer]
        if last is not layers[-1]:
            raise ConversionError(f"output: layer {last.name!r} is not the last; branches are not supported")
        if last.relu:
            name = READOUT
            while name in self.shapes:
                name += "_"
            layers.append(FloatLayer(name, last.name, Relay(), None, last.shape, node=last.node))
        return FloatGraph(layers, self.module)

    def _signal(self, node: torch.fx.Node) -> Signal:
        where = _where(node, self.module)
        handler, arguments = self._handler(node, where)
        tensors = [a for a in node.all_input_nodes if a.name in self.signals]
        if len(tensors) != 1:
            raise ConversionError(f"{where}: expected one input that depends on the image, found {len(tensors)}")
        step = _Step(self, node, where, self.signals[tensors[0].name], tensors[0])
        try:
            return handler(step, *arguments[0], **arguments[1])
        except (SpecError, TypeError) as error:
            raise ConversionError(f"{where}: {error}") from error

    def _handler(self, node: torch.fx.Node, where: str) -> tuple[Callable[..., Signal], tuple[list[Any], dict]]:
        if node.op == "call_module":
            module = self.module.get_submodule(str(node.target))
            key, table, arguments = type(module), MODULES, ([module], {})
        else:
            key, table = node.target, FUNCTIONS if node.op == "call_function" else METHODS
            rest = {name: self._constant(a) for name, a in node.kwargs.items() if name != "input"}
            skip = 0 if "input" in node.kwargs else 1
            arguments = ([self._constant(a) for a in node.args[skip:]], rest)
        if key not in table:
            raise ConversionError(f"{where} is not supported; {ADVICE.get(key, GENERAL_ADVICE)}")
        return table[key], arguments

    def _constant(self, argument: Any) -> Any:
        """An argument with fx nodes replaced by what they gave."""
        return torch.fx.node.map_arg(argument, lambda node: self.values.get(node.name))


@dataclasses.dataclass
class _Step:
    """One operation on its way to becoming a layer."""

    builder: _Builder
    node: torch.fx.Node
    where: str
    signal: Signal
    input_node: torch.fx.Node

    def fail(self, message: str) -> ConversionError:
        return ConversionError(f"{self.where}: {message}")

    def add(self, synapse: Synapse, bias: Any = None, divisor: int = 1) -> Signal:
        """A new layer on top of the signal."""
        layers, shapes = self.builder.layers, self.builder.shapes
        flat = isinstance(synapse, Dense)
        if not flat and self.signal.shape != shapes[self.signal.layer]:
            raise self.fail(
                f"input was reshaped from {shapes[self.signal.layer]} to {self.signal.shape}; do not reshape"
            )
        name = str(self.node.target) if self.node.op == "call_module" else self.node.name
        name = name if name not in shapes else self.node.name
        shape = synapse.output_shape(shapes[self.signal.layer])
        layers[name] = FloatLayer(name, self.signal.layer, synapse, bias, shape, divisor, node=self.node.name)
        shapes[name] = shape
        return Signal(name, shape)

    def own_layer(self, what: str) -> FloatLayer:
        """The layer that this operation becomes part of: no other operation may look at it before."""
        layer, values = self.builder.layers[self.signal.layer], self.builder.values
        if sum(_holds_tensor(values[user.name]) for user in self.input_node.users) > 1:
            raise self.fail(f"what it takes is used elsewhere too; branches before {what} are not supported")
        return layer


def _numpy(tensor: torch.Tensor | None) -> Any:
    return None if tensor is None else tensor.detach().double().numpy()


def linear(step: _Step, module: nn.Linear) -> Signal:
    """A new layer with the module's weights."""
    if step.signal.shape != (module.in_features,):
        raise step.fail(f"expected input ({module.in_features},), found {step.signal.shape}; flatten it first")
    return step.add(Dense(weight=_numpy(module.weight)), _numpy(module.bias))


def conv2d(step: _Step, module: nn.Conv2d) -> Signal:
    """A new layer with the module's kernel."""
    if isinstance(module.padding, str) or module.padding_mode != "zeros":
        raise step.fail(f"padding={module.padding!r}, padding_mode={module.padding_mode!r}; use numbers and 'zeros'")
    bias = _numpy(module.bias)
    windows: dict[str, Any] = {name: getattr(module, name) for name in ("stride", "padding", "dilation")}
    synapse = Conv(weight=_numpy(module.weight), groups=module.groups, **windows)
    return step.add(synapse, None if bias is None else bias.reshape(-1, 1, 1))


def batch_norm(step: _Step, module: nn.BatchNorm1d | nn.BatchNorm2d) -> Signal:
    """Folded: ``weight * scale`` and ``(bias - mean) * scale + shift`` with ``scale = gamma / sqrt(var + eps)``."""
    mean, variance = _numpy(module.running_mean), _numpy(module.running_var)
    if mean is None or variance is None:
        raise step.fail("has no running statistics; train it with track_running_stats=True")
    if step.signal.layer == INPUT:
        raise step.fail("expected a Conv2d or Linear before it, found the input")
    layer = step.own_layer("batch normalisation")
    weighted = isinstance(layer.synapse, (Conv, Dense))
    if not weighted or layer.relu or step.signal.shape != layer.shape or len(mean) != layer.shape[0]:
        raise step.fail("can only be folded directly after Conv2d or Linear; move it there")
    scale = 1 / np.sqrt(variance + module.eps)
    if module.affine:
        scale = scale * _numpy(module.weight)
    shift = (_numpy(module.bias) if module.affine else 0) - mean * scale
    column = (-1, *[1] * (len(layer.shape) - 1))
    assert isinstance(layer.synapse, (Conv, Dense))
    weight = layer.synapse.weight.astype(np.float64)
    layer.synapse = layer.synapse.replace(weight=weight * scale.reshape(-1, *[1] * (weight.ndim - 1)))
    old = 0 if layer.bias is None else layer.bias
    layer.bias = old * scale.reshape(column) + shift.reshape(column)
    layer.node = step.node.name
    return step.signal


def relu(step: _Step, *_: Any, **__: Any) -> Signal:
    """Marks the layer as followed by a ReLU."""
    if step.signal.layer == INPUT:
        return step.signal  # intensities are not negative
    if not step.builder.layers[step.signal.layer].relu:
        layer = step.own_layer("ReLU")
        layer.relu, layer.node = True, step.node.name
    return step.signal


def avg_pool2d(
    step: _Step,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Signal:
    """A new layer that sums, and the divisor."""
    if ceil_mode:
        raise step.fail("ceil_mode=True is not supported; set ceil_mode=False")
    synapse = SumPool(kernel_size=kernel_size, stride=stride or kernel_size, padding=padding)
    if max(synapse.padding) and not count_include_pad:
        raise step.fail("padding with count_include_pad=False is not supported; set count_include_pad=True")
    return step.add(synapse, divisor=divisor_override or math.prod(synapse.kernel_size))


def adaptive_avg_pool2d(step: _Step, output_size: Any) -> Signal:
    """Average over the whole map."""
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    if tuple(sizes) != (1, 1):
        raise step.fail(f"output size {output_size} is not supported; use 1, or AvgPool2d")
    return avg_pool2d(step, step.signal.shape[1:])


def reshape(step: _Step, *_: Any, **__: Any) -> Signal:
    """Any view that keeps the order of the elements of each image; nothing happens to the spikes."""
    found = tuple(step.builder.values[step.node.name].shape)
    batch = len(step.builder.values[step.input_node.name])
    if found[0] != batch or math.prod(found[1:]) != math.prod(step.signal.shape):
        raise step.fail(f"mixes images: shape {found} for a batch of {batch}; keep the first axis")
    return Signal(step.signal.layer, found[1:])


def identity(step: _Step, *_: Any, **__: Any) -> Signal:
    """Nothing happens at inference."""
    return step.signal


def dropout(step: _Step, p: float = 0.5, training: bool = True, **_: Any) -> Signal:
    """Nothing happens at inference, if the function is told when that is."""
    if training and p:
        raise step.fail("drops at random in evaluation too; pass training=self.training, or use nn.Dropout")
    return step.signal


Handler = Callable[..., Signal]

MODULES: dict[Any, Handler] = {
    nn.Linear: linear,
    nn.Conv2d: conv2d,
    nn.BatchNorm1d: batch_norm,
    nn.BatchNorm2d: batch_norm,
    nn.ReLU: relu,
    nn.AvgPool2d: lambda step, m: avg_pool2d(
        step, m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad, m.divisor_override
    ),
    nn.AdaptiveAvgPool2d: lambda step, m: adaptive_avg_pool2d(step, m.output_size),
    nn.Flatten: reshape,
    nn.Unflatten: reshape,
    nn.Dropout: identity,
    nn.Dropout1d: identity,
    nn.Dropout2d: identity,
    nn.Identity: identity,
}

FUNCTIONS: dict[Any, Handler] = {
    F.relu: relu,
    F.relu_: relu,
    torch.relu: relu,
    torch.relu_: relu,
    F.avg_pool2d: avg_pool2d,
    F.adaptive_avg_pool2d: adaptive_avg_pool2d,
    torch.flatten: reshape,
    torch.reshape: reshape,
    F.dropout: dropout,
    F.dropout2d: dropout,
}

METHODS: dict[Any, Handler] = {
    "relu": relu,
    "relu_": relu,
    "flatten": reshape,
    "view": reshape,
    "reshape": reshape,
    "contiguous": identity,
}

GENERAL_ADVICE = (
    "supported are Linear, Conv2d, BatchNorm, ReLU, AvgPool2d, AdaptiveAvgPool2d(1), Flatten, Dropout, Identity"
)

_USE_RELU = "train the network with ReLU instead"
_NO_BRANCHES = "branches (sums, concatenation) are not supported; use a network that is one chain"
_DROP_SOFTMAX = "remove it: the argmax of the logits is the same"
_USE_AVERAGE = "train the network with AvgPool2d, or with stride in a convolution"

ADVICE: dict[Any, str] = {
    **dict.fromkeys((nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.ELU, nn.LeakyReLU, nn.PReLU, nn.ReLU6), _USE_RELU),
    **dict.fromkeys((F.gelu, F.silu, F.leaky_relu, F.relu6, torch.sigmoid, torch.tanh, "sigmoid", "tanh"), _USE_RELU),
    **dict.fromkeys((nn.Softmax, nn.LogSoftmax, F.softmax, F.log_softmax, torch.softmax, "softmax"), _DROP_SOFTMAX),
    **dict.fromkeys((nn.MaxPool2d, F.max_pool2d, torch.max_pool2d, nn.AdaptiveMaxPool2d), _USE_AVERAGE),
    **dict.fromkeys((torch.add, torch.cat, "add", "add_", operator.add, operator.iadd), _NO_BRANCHES),
}


def _holds_tensor(value: Any) -> bool:
    """Whether a node computes with images; others ask for sizes."""
    return isinstance(value, torch.Tensor) or (isinstance(value, (tuple, list)) and any(map(_holds_tensor, value)))


def _where(node: torch.fx.Node, module: nn.Module) -> str:
    if node.op == "call_module":
        return f"module {str(node.target)!r} ({type(module.get_submodule(str(node.target))).__name__})"
    stack = node.meta.get("nn_module_stack") or {}
    inside = f" in module {list(stack)[-1]!r}" if stack and list(stack)[-1] else ""
    target = f".{node.target}()" if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))
    return f"operation {target} (node {node.name!r}{inside})"


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
