"""The errors that users meet. Each message says where, what was expected, what was found, what to do."""


class LavaAugError(Exception):
    """Base of every error that lava-aug raises on purpose."""


class SpecError(LavaAugError, ValueError):
    """A neuron, synapse or layer was given a parameter that it cannot have."""


class NetworkError(LavaAugError, ValueError):
    """Layers do not form a network: shapes, names, number formats or path lengths do not fit."""


class InputError(LavaAugError, ValueError):
    """Images, labels or run options of the wrong shape, type or range."""


class ConversionError(LavaAugError, ValueError):
    """A PyTorch model holds something that has no spiking counterpart here."""


class FileError(LavaAugError, OSError):
    """A network file cannot be read or written."""


class BackendError(LavaAugError, RuntimeError):
    """Lava is not available, or a run on Lava failed."""


class ConversionWarning(UserWarning):
    """A conversion went through, but something in it deserves a look."""
