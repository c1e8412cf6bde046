"""What models and graphs are lowered to: signals, and the float layers that are made of them.

Between layers travel `Signal` objects: sums of linear maps of what layers send, plus a bias. A linear operation changes
the signal and makes no layer; a layer is made where something has to happen to its neurons (an activation, pooling by
maximum), or where two maps cannot be one.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lava_aug.core.layers import Shape, Synapse
from lava_aug.core.neurons import ProductNeuron

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch


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
    """What a tensor of the model stands for: ``sum of terms + bias``.

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
        Name of the operation whose output it is.
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
class Pointwise:
    """A function of one value.

    Attributes
    ----------
    name : str
        For people.
    apply : callable
        From tensors to tensors of the same shape.
    """

    name: str
    apply: "Callable[[torch.Tensor], torch.Tensor]"


@dataclasses.dataclass(frozen=True)
class Activation:
    """What neurons do to ``x``: ``min(max(x, 0), ceiling)``, a function, nothing, pooling by maximum, or products.

    Attributes
    ----------
    relu : bool
        Whether negative values become zero.
    ceiling : float or None
        Upper limit (ReLU6).
    levels : int or None
        Of how many equal steps the ceiling is, to which values are rounded: the quantum is the model's own.
    max_pool : dict or None
        Parameters of the pooling, as `lava_aug.core.neurons.MaxPoolNeuron` takes them.
    function : Pointwise or None
        Any other function.
    product : dict or None
        Sizes of the matrices that are multiplied, as `lava_aug.core.neurons.ProductNeuron` takes them.
    """

    relu: bool = False
    ceiling: float | None = None
    levels: int | None = None
    max_pool: dict[str, Any] | None = None
    function: Pointwise | None = None
    product: dict[str, Any] | None = None

    @property
    def step(self) -> float:
        """The quantum that the model has itself, of an activation with ``levels``."""
        assert self.ceiling is not None
        assert self.levels is not None
        return self.ceiling / self.levels


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
        Of the input current and of the output; they differ for max pooling and products only.
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

    def activate(self, x: "torch.Tensor") -> "torch.Tensor":
        """What the layer gives for ``x = sum of terms + bias``, ``(B, *current_shape)``."""
        if self.activation.function is not None:
            return self.activation.function.apply(x)
        if self.activation.product is not None:
            return ProductNeuron(**self.activation.product, floating=True).products(x)
        if self.activation.levels is not None:
            step = self.activation.step
            return (x / step + 0.5).floor().clamp(0, self.activation.levels) * step
        x = x.clamp(min=0) if self.activation.relu else x
        x = x if self.activation.ceiling is None else x.clamp(max=self.activation.ceiling)
        options = self.activation.max_pool
        if options is None:
            return x
        from torch import max_pool2d

        return max_pool2d(x, **options)
