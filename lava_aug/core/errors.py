"""Public errors and warnings. Each message says where, what was expected, what was found, what to do."""

from typing import Any

from lava_aug.core.texts import printable


class _Printable:
    """Messages hold names from files and users: they can be printed as they are."""

    def __str__(self) -> str:
        return printable(super().__str__())


class LavaAugError(_Printable, Exception):
    """Base of every error that lava-aug raises deliberately."""


class SpecError(LavaAugError, ValueError):
    """A neuron, synapse or layer was given an invalid parameter."""


class NetworkError(LavaAugError, ValueError):
    """Layers do not form a valid network: shapes, names or number formats do not fit."""


class InputError(LavaAugError, ValueError):
    """Images, labels or run options of the wrong shape, type or range."""


class ConversionError(LavaAugError, ValueError):
    """A PyTorch model contains something that cannot be converted."""


class ExportError(LavaAugError, ValueError):
    """A network contains something that another tool's format cannot express."""


class FileError(LavaAugError, OSError):
    """A file cannot be read or written, or its contents are invalid."""


class BackendError(LavaAugError, RuntimeError):
    """Lava is not available, or a run on Lava failed."""


class RunInterruptedError(BackendError):
    """A run on Lava ended before its last image.

    Attributes
    ----------
    output : Output or None
        The output for the finished images; None if there are none.
    num_finished : int
        How many images were finished.
    """

    def __init__(self, message: str, output: Any, num_finished: int) -> None:
        super().__init__(message)
        self.output, self.num_finished = output, num_finished


class ConversionWarning(_Printable, UserWarning):
    """A conversion succeeded, but should be inspected."""


class OverflowWarning(_Printable, UserWarning):
    """A network ran, but potentials or spikes overflowed; `Output` says how often."""


class ExportWarning(_Printable, UserWarning):
    """A network was exported or imported, but other tools compute something different with it."""


class BackendWarning(_Printable, UserWarning):
    """A Lava network runs, but should be inspected."""
