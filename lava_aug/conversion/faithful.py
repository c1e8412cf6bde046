"""Checking whether a converted graph computes the same as the model."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
import torch.fx

FAITHFUL = 1e-3
"""Largest difference from the model, as a part of how far its output differs between images, and of a tenth of its
largest output, which may be a bias: above what rounding in float32 makes of some hundred layers, far below what any
mistake makes."""


def outputs(found: Any, name: str = "") -> dict[str, Any]:
    """Everything that forward() returned, by name: fields, keys and places, joined by points; "" for a single tensor.

    What is None, as the auxiliary heads of some models in evaluation mode, is left out.
    """
    if found is None:
        return {}
    parts = _parts(found)
    if parts is None:
        return {name: found}
    inside = {f"{name}.{key}" if name else str(key): value for key, value in parts.items()}
    return {key: value for at, part in inside.items() for key, value in outputs(part, at).items()}


def _parts(found: Any) -> Mapping[Any, Any] | None:
    if isinstance(found, torch.fx.Proxy):  # which has a value: it stands for a tensor, or several
        return None if isinstance(found.value, torch.Tensor) else dict(enumerate(found))  # pyright: ignore
    if isinstance(found, Mapping):
        return found
    if hasattr(found, "_asdict"):
        return found._asdict()
    if isinstance(found, (tuple, list)):
        return dict(enumerate(found))
    if dataclasses.is_dataclass(found):
        return {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    return None


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far one output is from the model's.

    Attributes
    ----------
    name : str
        Of the output; "" if it is the only one.
    error, size, spread : float
        Largest difference, largest output of the model, and its largest difference from the mean over images.
    """

    name: str
    error: float
    size: float
    spread: float

    @property
    def excess(self) -> float:
        """How many times larger than what is allowed."""
        return self.error / (FAITHFUL * (self.spread + self.size / 10) or 1e-9)

    def __str__(self) -> str:
        output = f"output {self.name!r}" if self.name else "its output"
        return f"by up to {self.error:.3g} on calibration images, where {output} reaches {self.size:.3g}"


def difference(wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> Difference | None:
    """The output that is farthest from what the model gives, as a part of it; None if all are near enough."""
    apart = [_apart(name, value, found[name]) for name, value in wanted.items()]
    return max((one for one in apart if not one.excess <= 1), key=lambda one: one.excess, default=None)


def _apart(name: str, wanted: torch.Tensor, found: torch.Tensor) -> Difference:
    if found.numel() != wanted.numel() or not found.numel():
        return Difference(name, float("inf"), 0.0, 0.0)
    found = found.reshape(wanted.shape)
    either = torch.isfinite(wanted) | torch.isfinite(found)  # what is not is told with the layer where it begins
    usual = torch.where(torch.isfinite(wanted), wanted, 0)
    around = usual - usual.mean(0) if len(usual) > 1 else usual
    error, size, spread = (v.abs().max().item() for v in (torch.where(either, found - wanted, 0), usual, around))
    return Difference(name, error, size, spread)
