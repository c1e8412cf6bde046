"""PyTorch model -> float layers: traced with torch.fx, one handler for each operation (see `operations`).

The model itself is never touched: a copy in eval mode is traced. Everything that cannot be converted is reported at
once.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.fx
from torch import nn

from lava_aug.conversion.float_layers import FloatGraph, Needs, Signal
from lava_aug.conversion.lowering import Lowering
from lava_aug.conversion.operations import ADVICE, FUNCTIONS, GENERAL_ADVICE, METHODS, MODULES
from lava_aug.conversion.steps import Step
from lava_aug.errors import ConversionError, SpecError
from lava_aug.layers import Shape
from lava_aug.network import INPUT
from lava_aug.normalization import Normalization

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
        If the model cannot be traced, does not take the example, or holds unsupported operations: all of them.
    """
    if not isinstance(model, nn.Module):
        raise ConversionError(f"model: expected a torch.nn.Module, found {type(model).__name__}")
    module = _graph(model)
    values = _values(module, example if normalize is None else normalize(example))
    lowering = Lowering(tuple(example.shape[1:]), needs or Needs())
    return _Builder(module, values, lowering, len(example), normalize).build()


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
    """``x.relu_()`` alone on a line is no dead code, though nothing in the graph uses its result.

    Nor may what was changed in place be used again under its old name: the graph would not show the change.
    """
    order = {node: place for place, node in enumerate(module.graph.nodes)}
    for node in module.graph.nodes:
        if not _in_place(node, module):
            continue
        if not node.users:
            raise ConversionError(
                f"{_where(node, module)}: changes its input in place and its result is not used; "
                "assign it, as in x = relu(x)"
            )
        later = [user for taken in node.all_input_nodes[:1] for user in taken.users if order[user] > order[node]]
        if later:
            raise ConversionError(
                f"{_where(node, module)}: changes its input in place, which {_where(later[0], module)} uses afterwards "
                "under its old name; assign the result, as in x = relu(x)"
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
            interpreter.run(example.clone())  # operations in place may reach it
    except ConversionError as error:
        raise ConversionError(
            f"the model does not take calibration images of shape {tuple(example.shape[1:])}: {error}"
        ) from None
    return interpreter.found


class _Failed:
    """Stands for what an operation that cannot be converted would have given."""


class _Builder:
    """Walks the graph once and makes the layers."""

    def __init__(
        self,
        module: torch.fx.GraphModule,
        values: dict[str, Any],
        lowering: Lowering,
        batch: int,
        normalize: Normalization | None,
    ) -> None:
        self.module, self.values, self.lowering, self.batch = module, values, lowering, batch
        self.normalize = normalize
        self.signals: dict[str, Any] = {}
        self.errors: list[str] = []
        self.heads: tuple[tuple[str, Shape], ...] = ()

    def build(self) -> FloatGraph:
        output: Any = None
        for node in self.module.graph.nodes:
            if node.op == "placeholder" and not node.args:
                self.signals[node.name] = self._images(node.name)
            elif node.op == "output":
                output = node
            elif any(a.name in self.signals for a in node.all_input_nodes):
                self._enter(node)
        if self.errors:
            raise ConversionError(_listed(self.errors))
        self._finish(output)
        layers = list(self.lowering.layers.values())
        return FloatGraph(self.lowering.shapes[INPUT], layers, self.module, self.normalize, self.heads)

    def _images(self, node: str) -> Signal:
        signal = self.lowering.images(node)
        if self.normalize is None:
            return signal
        column = (-1, *[1] * (len(signal.view) - 1))
        factors, offset = 1 / self.normalize.std, -self.normalize.mean / self.normalize.std
        scaled = self.lowering.scaled(signal, factors.reshape(column), "normalize", node)
        return self.lowering.shifted(scaled, offset.reshape(column), "normalize", node)

    def _enter(self, node: torch.fx.Node) -> None:
        """The signal of one node; what only asks for sizes has none."""
        value = self.values[node.name]
        if not _holds_tensor(value):
            return
        if any(isinstance(self.signals.get(a.name), _Failed) for a in node.all_input_nodes):
            self.signals[node.name] = _Failed()
            self._check_supported(node)
            return
        try:
            signal = self._signal(node)
            shared = isinstance(signal, Signal) and self._num_users(node) > 1 and not self.lowering.is_light(signal)
            self.signals[node.name] = self.lowering.settled(signal) if shared else signal
        except ConversionError as error:
            self.errors.append(str(error))
            self.signals[node.name] = _Failed()

    def _check_supported(self, node: torch.fx.Node) -> None:
        """What comes after something unsupported may be unsupported itself."""
        try:
            self._handler(node, _where(node, self.module))
        except ConversionError as error:
            self.errors.append(str(error))

    def _num_users(self, node: torch.fx.Node) -> int:
        return sum(user.op == "output" or _holds_tensor(self.values[user.name]) for user in node.users)

    def _signal(self, node: torch.fx.Node) -> Any:
        where = _where(node, self.module)
        handler, module = self._handler(node, where)
        arguments: Any = torch.fx.node.map_arg(node.args, self._argument)
        options: Any = torch.fx.node.map_arg(node.kwargs, self._argument)
        options = dict(options)
        arguments = (options.pop("input"), *arguments) if "input" in options else arguments
        taken = {a.name: self._argument(a) for a in node.all_input_nodes}
        name, value = self._name(node), self.values[node.name]
        step = Step(self.lowering, node, where, name, value, self.batch, self.module, taken)
        try:
            return handler(step, *module, *arguments, **options)
        except ConversionError as error:
            raise ConversionError(str(error) if str(error).startswith(where) else f"{where}: {error}") from None
        except (SpecError, TypeError) as error:
            raise ConversionError(f"{where}: {error}") from error

    def _handler(self, node: torch.fx.Node, where: str) -> tuple[Callable[..., Any], list[Any]]:
        if node.op == "call_module":
            module = self.module.get_submodule(str(node.target))
            key, table, arguments = type(module), MODULES, [module]
        else:
            key, table, arguments = node.target, FUNCTIONS if node.op == "call_function" else METHODS, []
        if key not in table:
            raise ConversionError(f"{where} is not supported; {ADVICE.get(key, GENERAL_ADVICE)}")
        return table[key], arguments

    def _argument(self, node: torch.fx.Node) -> Any:
        """A signal where the node depends on the images, what it gave otherwise."""
        return self.signals.get(node.name, self.values.get(node.name))

    def _name(self, node: torch.fx.Node) -> str:
        if node.op == "call_module":
            return str(node.target)
        inside = _enclosing(node)
        return f"{inside}.{node.name}" if inside else node.name

    def _finish(self, node: torch.fx.Node) -> None:
        found = node.args[0]
        if isinstance(found, (tuple, list, dict)):
            self._finish_heads(found)
            return
        signal = self.signals.get(found.name) if isinstance(found, torch.fx.Node) else None
        if not isinstance(signal, Signal):
            raise ConversionError(f"output: expected tensors that depend on the images, found {found!r}")
        if not self.lowering.layers and signal.source == INPUT:
            raise ConversionError("output: found the images themselves; the model needs at least a Linear or Conv2d")
        self.lowering.readout(signal, READOUT)

    def _finish_heads(self, found: Any) -> None:
        """Several tensors: one readout with all of their elements."""
        named = found if isinstance(found, dict) else {str(index): value for index, value in enumerate(found)}
        given = [self.signals.get(getattr(node, "name", "")) for node in named.values()]
        signals = [signal for signal in given if isinstance(signal, Signal)]
        if len(signals) < len(given) or not signals:
            raise ConversionError(f"output: expected tensors that depend on the images, found {found!r}")
        self.heads = tuple((str(name), signal.view) for name, signal in zip(named, signals, strict=True))
        self.lowering.heads(signals, READOUT)


def _listed(errors: list[str]) -> str:
    errors = list(dict.fromkeys(errors))
    return errors[0] if len(errors) == 1 else f"{len(errors)} operations cannot be converted:\n- " + "\n- ".join(errors)


def _holds_tensor(value: Any) -> bool:
    """Whether a node computes with images; others ask for sizes."""
    if isinstance(value, torch.Size):
        return False
    return isinstance(value, torch.Tensor) or (isinstance(value, (tuple, list)) and any(map(_holds_tensor, value)))


def _enclosing(node: torch.fx.Node) -> str:
    """Path of the module whose forward() calls the operation."""
    stack = node.meta.get("nn_module_stack") or {}
    return list(stack)[-1] if stack else ""


def _where(node: torch.fx.Node, module: nn.Module) -> str:
    if node.op == "call_module":
        return f"module {str(node.target)!r} ({type(module.get_submodule(str(node.target))).__name__})"
    inside = f" in module {_enclosing(node)!r}" if _enclosing(node) else ""
    target = f".{node.target}()" if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))
    return f"operation {target} (node {node.name!r}{inside})"


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
