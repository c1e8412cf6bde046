"""Copies of a model that can be run and changed without affecting it: in float32, on the CPU, in evaluation mode."""

# pyright: reportPrivateUsage=false
# Modules of torch keep privately what has to be copied.

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from lava_aug.conversion.nodes import first_line
from lava_aug.core.errors import ConversionError

TIED = ("_modules", "_parameters", "_buffers")
"""What a module's dictionary holds of other modules and tensors."""


def evaluation_copy(model: nn.Module) -> nn.Module:
    """The model as it is in evaluation: parametrised weights computed, wrappers of compilers taken off.

    Raises
    ------
    ConversionError
        If it has no weights yet, is compiled by TorchScript, or can't be copied.
    """
    model = _unwrapped(model)
    _check(model)
    try:
        copied = _copied(model, {id(tensor): _plain(tensor) for tensor in _tensors(model)})
        _unwrap_inside(copied)
        copied.eval()  # which may return anything, where train() is the user's
        _compute_weights(copied)
    except Exception as error:
        raise ConversionError(
            f"{type(model).__name__}: no copy in evaluation mode can be made of it "
            f"({type(error).__name__}: {first_line(error)}); convert a model that copy.deepcopy takes"
        ) from error
    return copied.requires_grad_(False)


def second_copy(model: nn.Module) -> nn.Module:
    """Another copy of a copy, which shares its tensors but nothing that forward() may set."""
    return _copied(model, {id(tensor): tensor for tensor in _tensors(model)})


def _check(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ConversionError(
                f"{_called(name, module)} is compiled by TorchScript (script or trace), which hides its operations; "
                "convert the module that it was made from"
            )
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if torch.nn.parameter.is_lazy(tensor):
            raise ConversionError(
                f"{type(model).__name__}: {name!r} of a lazy module has no values yet; run the model once, and train it"
            )
        if tensor.is_meta:
            raise ConversionError(
                f"{type(model).__name__}: {name!r} is on device 'meta' and has no values; load the trained weights, "
                "with load_state_dict(weights, assign=True)"
            )


def _called(name: str, module: nn.Module) -> str:
    return f"module {name!r} ({type(module).__name__})" if name else f"the model ({type(module).__name__})"


def _tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    """Parameters, buffers, and tensors that are plain attributes, as hooks of weight normalisation leave them."""
    for module in model.modules():
        found = (*module._parameters.values(), *module._buffers.values(), *vars(module).values())
        yield from (value for value in found if isinstance(value, torch.Tensor))


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
    for module in model.modules():
        yield from (value for name, value in vars(module).items() if name not in TIED)


def _can_be_copied(value: Any, made: Mapping[int, Any]) -> bool:
    try:
        copy.deepcopy(value, dict(made))
    except Exception:
        return False
    return True


def _unwrap_inside(model: nn.Module) -> None:
    """Take off what changes how a module is computed, but not what."""
    for module in list(model.modules()):
        module._compiled_call_impl = None  # of module.compile()
        if isinstance(module, nn.DataParallel):
            module.device_ids = []
        for name, child in list(module.named_children()):
            setattr(module, name, _unwrapped(child))


def _compute_weights(model: nn.Module) -> None:
    """Parametrised weights as plain ones. What torch has for that changes the class, which is the original's, too."""
    for module in list(model.modules()):
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
