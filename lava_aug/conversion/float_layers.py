"""A PyTorch model as float layers: the result of tracing, which conversion scales and rounds.

Between layers travel `Signal` objects: sums of linear maps of what layers send, plus a bias. An operation of the model
that is linear changes the signal and makes no layer; a layer is made where something has to happen to its neurons (an
activation, pooling by maximum), or where two maps cannot be one.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from lava_aug.conversion.faithful import outputs
from lava_aug.conversion.nodes import first_line, place_of_error
from lava_aug.core.errors import ConversionError
from lava_aug.core.layers import Shape, Synapse
from lava_aug.core.walks import last, walk
from lava_aug.kernels.batches import batch_form


@dataclasses.dataclass(frozen=True)
class Term:
    """``gain * synapse(source)``.

    Attributes
    ----------
    source : str
        Layer (or `INPUT`) whose spikes it takes.
    synapse : Synapse
        The map, with float weights, if it has weights.
    gain : float
        For maps without weights: the division of average pooling, and signs.
    name : str
        Of the operation that a map without weights stands for.
    folded : tuple of str
        Names of pooling layers that have been folded into the synapse.
    """

    source: str
    synapse: Synapse
    gain: float = 1.0
    name: str = ""
    folded: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Signal:
    """What a node of the traced model stands for: ``sum of terms + bias``.

    Attributes
    ----------
    terms : tuple of Term
        Linear maps; none of them depends on what is not in it.
    bias : numpy.ndarray or None
        Float64, broadcastable to ``shape``.
    shape : tuple of int
        Shape that the terms give.
    view : tuple of int
        Shape that the model sees, of the same elements in C order.
    name : str
        Name that a layer made of it gets.
    node : str
        Name of the fx node whose output it is.
    """

    terms: tuple[Term, ...]
    bias: NDArray[Any] | None
    shape: Shape
    view: Shape
    name: str
    node: str

    @property
    def source(self) -> str | None:
        """The layer that it is the plain output of, if it is."""
        term = self.terms[0]
        plain = len(self.terms) == 1 and term.synapse.is_identity and term.gain == 1 and self.bias is None
        return term.source if plain else None


@dataclasses.dataclass(frozen=True)
class Activation:
    """What the neurons of a layer do to ``x``: ``min(max(x, 0), ceiling)``, nothing, or pooling by maximum.

    Attributes
    ----------
    relu : bool
        Whether negative values become zero.
    ceiling : float or None
        Upper limit (ReLU6).
    max_pool : dict or None
        Parameters of the pooling, as `lava_aug.core.neurons.MaxPoolNeuron` takes them.
    """

    relu: bool = False
    ceiling: float | None = None
    max_pool: dict[str, Any] | None = None


SIGNED = Activation()
RELU = Activation(relu=True)


@dataclasses.dataclass(frozen=True)
class FloatLayer:
    """A layer of neurons, in floats: ``activation(sum of terms + bias)``.

    Attributes
    ----------
    name : str
        Unique name.
    terms : tuple of Term
        What arrives.
    bias : numpy.ndarray or None
        Float64, broadcastable to the input current's shape.
    current_shape, shape : tuple of int
        Of the input current and of the output; they differ for max pooling only.
    activation : Activation
        What the neurons do.
    """

    name: str
    terms: tuple[Term, ...]
    bias: NDArray[Any] | None
    current_shape: Shape
    shape: Shape
    activation: Activation

    @property
    def sources(self) -> tuple[str, ...]:
        """Where each term comes from."""
        return tuple(term.source for term in self.terms)

    @property
    def folded(self) -> tuple[str, ...]:
        """Names of the pooling layers that have been folded into it."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.folded))

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        """What the layer gives for ``x = sum of terms + bias``, ``(B, *current_shape)``."""
        x = x.clamp(min=0) if self.activation.relu else x
        x = x if self.activation.ceiling is None else x.clamp(max=self.activation.ceiling)
        options = self.activation.max_pool
        return x if options is None else torch.nn.functional.max_pool2d(x, **options)


COLOURS = (1, 3, 4)
"""Sizes of a last axis that look as if it were that of channels."""


@dataclasses.dataclass
class FloatGraph:
    """The layers in topological order, the last one being the readout.

    Attributes
    ----------
    input_shape : tuple of int
        Shape of the images.
    layers : list of FloatLayer
        The layers.
    module : torch.nn.Module
        The model itself, as a copy in evaluation mode, hooks and all.
    normalize : callable or None
        What is done to a batch of images before the model, but not the layers, sees them.
    heads : tuple of (str, tuple of int)
        Names and shapes of the model's outputs, if it gives several.
    noted : (tensor, dict of str to tensor)
        Some images, and what the model's operations gave for them when they were noted.
    """

    input_shape: Shape
    layers: list[FloatLayer]
    module: nn.Module
    normalize: Callable[[torch.Tensor], torch.Tensor] | None = None
    heads: tuple[tuple[str, Shape], ...] = ()
    noted: tuple[torch.Tensor, dict[str, torch.Tensor]] = (torch.empty(0), {})

    def __post_init__(self) -> None:
        self.kernels = {
            layer.name: [(t.gain, batch_form(t.synapse, torch.float32, "cpu")) for t in layer.terms]
            for layer in self.layers
        }

    @torch.no_grad()
    def run(self, images: torch.Tensor) -> Iterator[tuple[FloatLayer, torch.Tensor, torch.Tensor]]:
        """All layers on images.

        Parameters
        ----------
        images : tensor, float32 in [0, 1], shape (B, *shape)
            As they come, not normalised.

        Yields
        ------
        (FloatLayer, tensor, tensor)
            Each layer with what arrives (``sum of terms + bias``) and what it gives.
        """
        yield from walk(self.layers, images, self._arriving, FloatLayer.activate)

    def _arriving(self, layer: FloatLayer, given: list[torch.Tensor]) -> torch.Tensor:
        x = torch.zeros(())
        for (gain, kernel), values in zip(self.kernels[layer.name], given, strict=True):
            x = x + gain * kernel(values)
        return x if layer.bias is None else x + torch.tensor(layer.bias, dtype=torch.float32)

    def readout(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer gives for images, as `run` takes them."""
        return last(self.run(images))[2]

    @torch.no_grad()
    def answers(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the model itself gives for images in [0, 1], by name; "" if it is one tensor.

        Raises
        ------
        ConversionError
            If it raises an error.
        """
        try:
            return outputs(self.module(images.clone() if self.normalize is None else self.normalize(images)))
        except Exception as error:
            shape = tuple(images.shape[1:])
            hint = "; channels come first, images are (B, C, H, W)" if len(shape) == 3 and shape[-1] in COLOURS else ""
            raise ConversionError(
                f"the model does not take calibration images of shape {shape}: "
                f"{place_of_error(error, self.module)}{first_line(error)}{hint}"
            ) from error

    def expected(self, images: torch.Tensor) -> torch.Tensor:
        """What the model itself gives for images in [0, 1]; several heads as one axis."""
        found = self.answers(images)
        return found[""] if "" in found else torch.cat([part.flatten(1) for part in found.values()], 1)

    def by_name(self, readout: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the readout gives, ``(B, ...)``, as the model's outputs."""
        if not self.heads:
            return {"": readout}
        parts = readout.split([math.prod(shape) for _, shape in self.heads], 1)
        return {name: part for (name, _), part in zip(self.heads, parts, strict=True)}


@dataclasses.dataclass(frozen=True)
class Needs:
    """What the spikes of a conversion method can carry.

    Attributes
    ----------
    signed : bool
        Whether neurons can send negative sums. If not, signed values travel as a pair of layers, one for each sign.
    graded : bool
        Whether spikes carry numbers, so that pooling can be a layer of exact sums. If not, it is folded into the next
        synapse where that is cheap enough.
    """

    signed: bool = True
    graded: bool = True
