"""Deploy trained PyTorch networks as augmented-spike networks on Intel's Lava.

The public names are imported when they are first used, so that importing this package pulls in neither torch nor Lava.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lava_aug.convert import convert
    from lava_aug.deploy import run
    from lava_aug.errors import (
        BackendError,
        ConversionError,
        ConversionWarning,
        FileError,
        InputError,
        LavaAugError,
        NetworkError,
        SpecError,
    )
    from lava_aug.network import Connection, Layer, Network
    from lava_aug.netx import load, save
    from lava_aug.results import Output
    from lava_aug.simulate import simulate

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "Connection",
    "ConversionError",
    "ConversionWarning",
    "FileError",
    "InputError",
    "LavaAugError",
    "Layer",
    "Network",
    "NetworkError",
    "Output",
    "SpecError",
    "convert",
    "load",
    "run",
    "save",
    "simulate",
]

_HOMES = {
    "convert": ("convert",),
    "deploy": ("run",),
    "errors": (
        "BackendError",
        "ConversionError",
        "ConversionWarning",
        "FileError",
        "InputError",
        "LavaAugError",
        "NetworkError",
        "SpecError",
    ),
    "netx": ("load", "save"),
    "network": ("Connection", "Layer", "Network"),
    "results": ("Output",),
    "simulate": ("simulate",),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'lava_aug' has no attribute {name!r}")
    value = getattr(import_module(f"lava_aug.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
