"""The user's model: copies that can be run without affecting it, its outputs, and how far others are from them.

Copies are in float32, on the CPU, in evaluation mode.
"""

# pyright: reportPrivateUsage=false
# Modules of torch keep privately what has to be copied.

import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.nn.utils import parametrize

from lava_aug.conversion.user_code import first_line, is_sequence
from lava_aug.core.errors import ConversionError
from lava_aug.core.inputs import Input, split

TIED = ("_modules", "_parameters", "_buffers")
"""What a module's dictionary holds of other modules and tensors."""


def evaluation_copy(model: nn.Module) -> nn.Module:
    """The model as it is in evaluation: parametrised weights computed, wrappers of compilers taken off.

    Raises
    ------
    ConversionError
        If it has no weights yet, or can't be copied.
    """
    model = _unwrapped(model)
    _check(model)
    try:
        copied = _copied(model, {id(tensor): _plain(tensor) for tensor in _tensors(model)})
        _unwrap_inside(copied)
        copied.eval()  # which may return anything, where train() is the user's
        _stop_observing(copied)
        _compute_weights(copied)
    except Exception as error:
        raise ConversionError(
            f"{type(model).__name__}: no copy in evaluation mode can be made of it "
            f"({type(error).__name__}: {first_line(error)}); convert a model that copy.deepcopy takes"
        ) from error
    for parameter in copied.parameters():
        if parameter.is_leaf:
            parameter.requires_grad_(False)
    return copied


def with_one_input(model: Any, inputs: Sequence[Input]) -> Any:
    """A model of several inputs that takes them as one; its parts are the same, under the same names.

    Raises
    ------
    ConversionError
        If its ``forward`` does not take inputs of these names.
    """
    model = _unwrapped(model)
    kind = cast(Any, type(model))
    signature = inspect.signature(cast("Callable[..., Any]", model.forward))
    try:
        signature.bind(**dict.fromkeys(name for name, _ in inputs))
    except TypeError as error:
        raise ConversionError(
            f"model: expected inputs by the names that forward() gives them, {', '.join(signature.parameters)}; "
            f"found {', '.join(name for name, _ in inputs)} ({error})"
        ) from None

    def forward(self: Any, x: torch.Tensor) -> Any:
        return kind.forward(self, **split(x, inputs))

    made: Any = copy.copy(model)
    made.__class__ = type(kind.__name__, (kind,), {"forward": forward, JOINT: tuple(inputs)})
    return made


def joint_inputs(model: Any) -> tuple[Input, ...]:
    """The inputs of what `with_one_input` made; of others none."""
    return getattr(model, JOINT, ())


JOINT = "_lava_aug_inputs"


def second_copy(model: nn.Module) -> nn.Module:
    """Another copy of a copy, which shares its tensors but nothing that forward() may set."""
    return _copied(model, {id(tensor): tensor for tensor in _tensors(model)})


def _check(model: nn.Module) -> None:
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if torch.nn.parameter.is_lazy(tensor):  # pyright: ignore[reportUnknownMemberType]: torch's
            raise ConversionError(
                f"{type(model).__name__}: {name!r} of a lazy module has no values yet; run the model once, and train it"
            )
        if tensor.is_meta:
            raise ConversionError(
                f"{type(model).__name__}: {name!r} is on device 'meta' and has no values; load the trained weights, "
                "with load_state_dict(weights, assign=True)"
            )


def _python_modules(model: nn.Module) -> list[nn.Module]:
    """Modules but those that TorchScript has compiled, which hold their parts elsewhere."""
    return [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]


def _tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    """Parameters, buffers, and tensors that are plain attributes, as hooks of weight normalisation leave them."""
    for module in _python_modules(model):
        known = vars(module)
        members = (*known["_parameters"].values(), *known["_buffers"].values(), *known.values())
        yield from (value for value in members if isinstance(value, torch.Tensor))


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """A copy without history; copy.deepcopy takes no tensors that have one."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    made = tensor.detach().to("cpu", dtype, copy=True)
    return nn.Parameter(made, requires_grad=False) if isinstance(tensor, nn.Parameter) else made


def _copied(model: nn.Module, made: Mapping[int, Any]) -> nn.Module:
    """A deep copy in which some things stand for others, and shares what can't be copied: locks, connections, files."""
    try:
        return copy.deepcopy(model, dict(made))
    except Exception:
        shared = {id(value): value for value in _attributes(model) if not _can_be_copied(value, made)}
        return copy.deepcopy(model, {**made, **shared})


def _attributes(model: nn.Module) -> Iterator[Any]:
    for module in _python_modules(model):
        yield from (value for name, value in vars(module).items() if name not in TIED)


def _can_be_copied(value: Any, made: Mapping[int, Any]) -> bool:
    try:
        copy.deepcopy(value, dict(made))
    except Exception:
        return False
    return True


def _unwrap_inside(model: nn.Module) -> None:
    """Take off what changes how a module is computed, but not what."""
    for module in _python_modules(model):
        vars(module)["_compiled_call_impl"] = None  # of module.compile()
        for name, child in list(vars(module)["_modules"].items()):
            setattr(module, name, _unwrapped(child))
        if isinstance(module, nn.DataParallel):
            module.device_ids = []


def _stop_observing(model: nn.Module) -> None:
    """Quantisers of torch.ao go on adapting their scales in evaluation too, until they are told not to."""
    for name, buffer in model.named_buffers():
        if name.rpartition(".")[2] == "observer_enabled":
            buffer.zero_()


def _compute_weights(model: nn.Module) -> None:
    """Parametrised weights as plain ones. What torch has for that changes the class, which is the original's, too."""
    for module in _python_modules(model):
        if parametrize.is_parametrized(module):
            names: Any = module.parametrizations
            weights = {name: nn.Parameter(_plain(getattr(module, name)), requires_grad=False) for name in names}
            module.__class__ = parametrize.type_before_parametrizations(module)
            del module.parametrizations
            for name, weight in weights.items():
                setattr(module, name, weight)


def _unwrapped(module: nn.Module) -> nn.Module:
    """What torch.compile was given."""
    compiled = type(module).__name__ == "OptimizedModule"
    return getattr(module, "_orig_mod", module) if compiled else module


# Outputs

FAITHFUL = 1e-3
"""Largest difference from the model, as a part of how far its output differs between images, and of a tenth of its
largest output, which may be a bias: above what rounding in float32 makes of some hundred layers, far below what any
mistake makes."""


def outputs(returned: Any, name: str = "") -> dict[str, Any]:
    """Everything that forward() returned, by name: fields, keys and places, joined by points; "" for a single tensor.

    What is None, as the auxiliary heads of some models in evaluation mode, is left out.
    """
    if returned is None:
        return {}
    parts = _parts(returned)
    if parts is None:
        return {name: returned}
    inside = {f"{name}.{key}" if name else str(key): value for key, value in parts.items()}
    return {key: value for at, part in inside.items() for key, value in outputs(part, at).items()}


def _parts(returned: Any) -> Mapping[Any, Any] | None:
    if isinstance(returned, Mapping):
        return cast("Mapping[Any, Any]", returned)
    if hasattr(returned, "_asdict"):
        return returned._asdict()
    if is_sequence(returned):
        return dict(enumerate(returned))
    if dataclasses.is_dataclass(returned):
        return {field.name: getattr(returned, field.name) for field in dataclasses.fields(returned)}
    return None


FAITHFUL_ROUNDED = 1e-2
"""The same of the mean difference of what rounds in between: there the last bits of float32 decide on whole steps."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far one output is from the model's.

    Attributes
    ----------
    name : str
        Of the output; "" if it is the only one.
    error, size, spread : float
        Largest difference, largest output of the model, and its largest difference from the mean over images.
    allowed : float
        `FAITHFUL`, or `FAITHFUL_ROUNDED`.
    """

    name: str
    error: float
    size: float
    spread: float

    allowed: float = FAITHFUL

    @property
    def excess(self) -> float:
        """How many times larger than what is allowed."""
        return self.error / (self.allowed * (self.spread + self.size / 10) or 1e-9)

    def __str__(self) -> str:
        output = f"output {self.name!r}" if self.name else "its output"
        return f"by up to {self.error:.3g} on calibration images, where {output} reaches {self.size:.3g}"


def difference(
    wanted: Mapping[str, torch.Tensor], actual: Mapping[str, torch.Tensor], *, rounds: bool = False
) -> Difference | None:
    """The output that is farthest from what the model gives, as a part of it; None if all are near enough.

    ``rounds``: whether values are rounded on the way, and means are compared.
    """
    apart = [_apart(name, value, actual[name], rounds) for name, value in wanted.items()]
    return max((one for one in apart if not one.excess <= 1), key=lambda one: one.excess, default=None)


def _apart(name: str, wanted: torch.Tensor, actual: torch.Tensor, rounds: bool) -> Difference:
    if actual.numel() != wanted.numel() or not actual.numel():
        return Difference(name, float("inf"), 0.0, 0.0)
    actual = actual.reshape(wanted.shape)
    either = torch.isfinite(wanted) | torch.isfinite(actual)  # what is not is told with the layer where it begins
    usual = torch.where(torch.isfinite(wanted), wanted, 0)
    around = usual - usual.mean(0) if len(usual) > 1 else usual
    size, spread = (v.abs().max().item() for v in (usual, around))
    errors = torch.where(either, actual - wanted, 0).abs()
    if rounds:
        return Difference(name, errors.mean().item(), size, spread, FAITHFUL_ROUNDED)
    return Difference(name, errors.max().item(), size, spread)
