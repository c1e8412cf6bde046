"""A PyTorch model as float layers: the result of tracing, which conversion scales and rounds."""

import dataclasses
import math
from collections.abc import Callable, Iterator

import torch
from torch import nn

from lava_aug.conversion.models import outputs
from lava_aug.conversion.signals import FloatLayer
from lava_aug.conversion.user_code import first_line, place_of_error
from lava_aug.core.errors import ConversionError
from lava_aug.core.layers import Shape
from lava_aug.core.network import INPUT
from lava_aug.core.walks import last, walk
from lava_aug.kernels.batches import batch_form

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

    @property
    def shapes(self) -> dict[str, Shape]:
        """Of the images and of what every layer gives."""
        return {INPUT: self.input_shape} | {layer.name: layer.shape for layer in self.layers}

    @property
    def rounds(self) -> bool:
        """Whether the model rounds values itself."""
        return any(layer.activation.levels is not None for layer in self.layers)

    @torch.no_grad()  # pyright: ignore[reportUntypedFunctionDecorator]: torch's
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
        yield from walk(self.layers, images, self.arriving, FloatLayer.activate)

    def arriving(self, layer: FloatLayer, given: list[torch.Tensor]) -> torch.Tensor:
        """``sum of terms + bias`` of a layer, for what its sources gave."""
        x = torch.zeros(())
        for (gain, kernel), values in zip(self.kernels[layer.name], given, strict=True):
            x = x + gain * kernel(values)
        return x if layer.bias is None else x + torch.tensor(layer.bias, dtype=torch.float32)

    def readout(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer gives for images, as `run` takes them."""
        return last(self.run(images))[2]

    @torch.no_grad()  # pyright: ignore[reportUntypedFunctionDecorator]: torch's
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
        answers = self.answers(images)
        return answers[""] if "" in answers else torch.cat([part.flatten(1) for part in answers.values()], 1)

    def by_name(self, readout: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the readout gives, ``(B, ...)``, as the model's outputs."""
        if not self.heads:
            return {"": readout}
        parts = torch.split(readout, [math.prod(shape) for _, shape in self.heads], 1)
        return {name: part for (name, _), part in zip(self.heads, parts, strict=True)}
