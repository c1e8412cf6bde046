"""Several inputs of a model, which a network takes as one: maps of one size along their channels, others as one row."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import InputError
from lava_aug.core.layers import INPUT_LEVELS, Shape


class Input(NamedTuple):
    """One of several inputs of a model.

    Attributes
    ----------
    name : str
        Of the parameter of ``forward``.
    shape : tuple of int
        Of one sample.
    """

    name: str
    shape: Shape


def joint_shape(inputs: Sequence[Input]) -> Shape:
    """Shape of all inputs together."""
    sizes = {shape[1:] for _, shape in inputs}
    total = sum(math.prod(shape) for _, shape in inputs)
    (rest,) = sizes if len(sizes) == 1 and all(shape for _, shape in inputs) else ((),)
    return (total // math.prod(rest), *rest)


def split(x: Any, inputs: Sequence[Input]) -> dict[str, Any]:
    """The inputs, by name, in a tensor of all of them."""
    rest = math.prod(joint_shape(inputs)[1:])
    parts = x.split([math.prod(shape) // rest for _, shape in inputs], 1)
    return {name: part.reshape(-1, *shape) for (name, shape), part in zip(inputs, parts, strict=True)}


def inputs_of(parts: Mapping[str, NDArray[Any]]) -> tuple[Input, ...]:
    """Names and shapes of batches, in their order."""
    return tuple(Input(name, part.shape[1:]) for name, part in parts.items())


def joined(parts: Mapping[str, NDArray[Any]], inputs: Sequence[Input], where: str) -> NDArray[Any]:
    """Batches of several inputs as one array; uint8 becomes floating point in [0, 1] where another one is.

    Raises
    ------
    InputError
        If names, shapes or numbers of samples differ from what they should be.
    """
    if not parts or not all(part.ndim for part in parts.values()):
        raise InputError(f"{where}: expected a batch for every input, found numbers")
    if sorted(parts) != sorted(name for name, _ in inputs):
        raise InputError(f"{where}: expected the inputs {[name for name, _ in inputs]}, found {list(parts)}")
    counts = {name: len(part) for name, part in parts.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"{where}: expected inputs of the same number of samples, found {counts}")
    for name, shape in inputs:
        if parts[name].shape[1:] != shape:
            raise InputError(
                f"{where}[{name!r}]: expected shape (B, {', '.join(map(str, shape))}), found {parts[name].shape}"
            )
    ordered = [parts[name] for name, _ in inputs]
    if len({part.dtype for part in ordered}) > 1:
        ordered = [part / np.float32(INPUT_LEVELS) if part.dtype == np.uint8 else part for part in ordered]
    rest = joint_shape(inputs)[1:]
    return np.concatenate([part.reshape(len(part), -1, *rest) for part in ordered], axis=1)
