"""`Network`: the integer intermediate representation from which files, simulator and Lava Processes are derived."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lava_aug.core import fixed_point, summaries
from lava_aug.core.errors import NetworkError, SpecError
from lava_aug.core.fidelity import Fidelity
from lava_aug.core.fixed_point import is_array
from lava_aug.core.inputs import Input, joint_shape
from lava_aug.core.layers import INPUT, INPUT_LEVELS, Shape, Synapse
from lava_aug.core.neuron import MAX_STEPS, Neuron, broadcasts
from lava_aug.core.normalization import Normalization
from lava_aug.core.spec import (
    Numbers,
    Spec,
    array,
    check_text,
    every,
    frozen,
    integer,
    is_a,
    is_int,
    number,
    numbers,
    offending,
    shape,
    text,
)
from lava_aug.core.tables import Table, Tabular
from lava_aug.core.texts import brief, counted

MAX_NEURONS = 1 << 25
"""Most neurons of a layer. Larger ones are mistakes, or files that claim what no machine has room for."""


def is_steps(value: Any) -> bool:
    """Whether a value is a possible number of time steps per image."""
    return is_int(value) and 1 <= value <= MAX_STEPS


POSSIBLE_STEPS = f"an integer from 1 to {MAX_STEPS}"
"""What a number of time steps per image has to be, in words."""


class Connection(NamedTuple):
    """A synapse and its source.

    Attributes
    ----------
    source : str
        Name of the layer, or `INPUT`.
    synapse : Synapse
        The synapse that sums its spikes.
    """

    source: str
    synapse: Synapse


class Head(NamedTuple):
    """One of several outputs of a model.

    Attributes
    ----------
    name : str
        The model's name for it: a dictionary key, or a position.
    shape : tuple of int
        Of one sample.
    """

    name: str
    shape: Shape


class Layer(Spec):
    """Synapses, a bias and a neuron.

    Attributes
    ----------
    connections : tuple of Connection
        Source layers and synapses; their input currents are summed.
    neuron : Neuron
        Specification shared by all neurons of the layer.
    """

    name: str = text(stored_as="name", doc="unique name, as in the PyTorch model")
    connections: tuple[Connection, ...] = dataclasses.field()
    neuron: Neuron = dataclasses.field()
    quantum: Numbers = numbers(
        low=0,
        stored_as="quantum",
        doc="ANN value of one unit of coefficient (readout: of v) in one time step; an array broadcasts to the shape",
    )
    bias: NDArray[Any] | None = array(
        optional=True, default=None, stored_as="bias", doc="added to v in every step; broadcasts to the current's shape"
    )
    note: str | None = text(
        optional=True, default=None, stored_as="note", doc="what the conversion did to the layer, for the summary"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        connections = tuple(Connection(*connection) for connection in self.connections)
        if not connections or not all(is_a(c.synapse, Synapse) for c in connections):
            raise SpecError(f"layer {self.name!r}: expected one or more (source, synapse) pairs, found {connections!r}")
        if not is_a(self.neuron, Neuron):
            raise SpecError(f"layer {self.name!r}: expected a Neuron, found {self.neuron!r}")
        if self.name == INPUT:
            raise SpecError(f"a layer cannot be named {INPUT!r}: that is the name of the images")
        object.__setattr__(self, "connections", connections)
        self._check_quantum()
        self._check_bias()

    def _check_quantum(self) -> None:
        if not every(_is_positive, self.quantum):
            offender = offending(_is_positive, self.quantum)
            raise SpecError(f"layer {self.name!r}: quantum must be positive, found {offender}")
        if not is_array(self.quantum):
            object.__setattr__(self, "quantum", float(self.quantum))
            return
        if not self.neuron.fires:
            raise SpecError(f"layer {self.name!r}: the quantum of a readout must be one number, found an array")
        object.__setattr__(self, "quantum", frozen(self.quantum.astype(np.float32)))

    def _check_bias(self) -> None:
        if self.bias is not None and not self.neuron.takes_bias:
            raise SpecError(f"layer {self.name!r}: {self.neuron.type_name} neurons take no bias; leave it out")
        if self.bias is None or self.neuron.is_float:
            return
        low, high = fixed_point.signed_range(fixed_point.STATE_BITS)
        if self.bias.dtype.kind == "f" or self.bias.min() < low or self.bias.max() > high:
            raise SpecError(
                f"layer {self.name!r}: bias must be integers from {low} to {high}, found {self.bias.dtype} "
                f"from {self.bias.min()} to {self.bias.max()}"
            )

    @property
    def sources(self) -> tuple[str, ...]:
        """Where each connection comes from."""
        return tuple(connection.source for connection in self.connections)

    @property
    def num_weights(self) -> int:
        """Stored weights of all synapses, shared ones counted once."""
        return sum(connection.synapse.num_weights for connection in self.connections)


class Network(Tabular, Spec):
    """Input shape and layers in topological order; the last one is the readout.

    Raises
    ------
    NetworkError
        If the layers do not form a network; the message names the layer.

    Attributes
    ----------
    shapes : dict
        Shape of the input and of what every layer sends (readout: of its ``v``), by name.
    current_shapes : dict
        Shape of every layer's input current, by name; different from ``shapes`` for neurons that pool.
    inputs : tuple of Input
        If the model takes several tensors: their names and shapes, in the order in which the images hold them, maps of
        one size along their channels, others as one row. A dictionary of them by name stands for the images, then.
    heads : tuple of Head
        If the model returns several tensors: their names and shapes, in the order in which the readout, which then has
        one axis, holds their elements.
    normalize : Normalization or None
        The normalisation of the original model's images. It is already folded into the first layer's weights and
        biases: the network itself takes raw images. Functions that also run the model need it.
    fidelity : Fidelity or None
        How near a converted network was to its model on calibration images.
    depths : dict
        Synapses between the images and each layer, on the longest path: the number of steps that it lags behind on
        Lava.
    """

    shapes: ClassVar[dict[str, Shape]]
    current_shapes: ClassVar[dict[str, Shape]]
    depths: ClassVar[dict[str, int]]

    input_shape: Shape = shape(stored_as="shape", doc="shape of one image, (channels, height, width) or (features,)")
    layers: tuple[Layer, ...] = dataclasses.field()
    num_steps: int = integer(
        low=1, high=MAX_STEPS, default=4, stored_as="Ts", doc="time steps per image unless told otherwise"
    )
    method: str = text(default="custom", stored_as="method", doc="how the network was converted")
    resolution: float = number(
        low=0, default=1.0, stored_as="resolution", doc="threshold / balanced threshold of the conversion"
    )

    inputs: tuple[Input, ...] = dataclasses.field(default=())
    heads: tuple[Head, ...] = dataclasses.field(default=())
    normalize: Normalization | None = dataclasses.field(default=None)
    fidelity: Fidelity | None = dataclasses.field(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "heads", tuple(Head(str(name), tuple(shape)) for name, shape in self.heads))
        object.__setattr__(self, "inputs", tuple(Input(str(name), tuple(shape)) for name, shape in self.inputs))
        if not self.layers:
            raise NetworkError("a network needs at least one layer, the readout")
        if (size := math.prod(self.input_shape)) > MAX_NEURONS:
            raise NetworkError(f"input: expected at most {MAX_NEURONS:,} values, found {size:,}")
        object.__setattr__(self, "shapes", {INPUT: self.input_shape})
        object.__setattr__(self, "current_shapes", {})
        object.__setattr__(self, "depths", {INPUT: 0})
        for layer in self.layers:
            try:
                self._enter(layer)
            except SpecError as error:
                raise NetworkError(f"layer {layer.name!r}: {error}") from None
        self._check_use()
        self._check_inputs()
        self._check_heads()
        self._check_normalize()

    def _enter(self, layer: Layer) -> None:
        """Check one layer against those before it, and note its shape and depth."""
        if layer.name in self.shapes:
            raise SpecError("name is used twice")
        for source in layer.sources:
            if source not in self.shapes:
                raise SpecError(f"takes spikes of {source!r}, which is none of {list(self.shapes)}")
        shape, depth = self._current_shape_of(layer), 1 + max(self.depths[source] for source in layer.sources)
        _check_size(shape)
        self._check_format(layer)
        self.current_shapes[layer.name], self.depths[layer.name] = shape, depth
        self.shapes[layer.name] = layer.neuron.output_shape(shape)
        _check_fits(layer, "bias", shape)
        _check_fits(layer, "quantum", self.shapes[layer.name])

    def _current_shape_of(self, layer: Layer) -> Shape:
        shapes = {c.synapse.output_shape(self.shapes[c.source]) for c in layer.connections}
        if len(shapes) > 1:
            raise SpecError(f"its connections give different shapes: {sorted(shapes)}")
        (shape,) = shapes
        return shape

    def _check_format(self, layer: Layer) -> None:
        weights = {c.synapse.is_float for c in layer.connections} - {None}
        if layer.neuron.is_float != self.is_float or not weights <= {self.is_float}:
            raise SpecError("mixes integer and floating-point layers; use one of them throughout")
        bound = sum(synapse.weight_sum * self.coefficient_limit(source) for source, synapse in layer.connections)
        if not self.is_float and fixed_point.exact_bits(math.ceil(bound)) is None:
            raise SpecError(f"input current may reach {bound:.3g}, beyond exact arithmetic (2**53); use fewer bits")

    def _check_use(self) -> None:
        used = {source for layer in self.layers for source in layer.sources}
        for layer in self.layers[:-1]:
            if not layer.neuron.fires:
                raise NetworkError(f"layer {layer.name!r}: only the last layer can be a readout")
            if layer.name not in used:
                raise NetworkError(f"layer {layer.name!r}: no layer takes its spikes")
        if self.layers[-1].neuron.fires:
            raise NetworkError(f"layer {self.layers[-1].name!r}: the last layer must have a ReadoutNeuron")

    def _check_heads(self) -> None:
        sizes = [math.prod(head.shape) for head in self.heads]
        shape = self.shapes[self.readout.name]
        if self.heads and shape != (sum(sizes),):
            raise NetworkError(f"heads of {sizes} elements do not make up the readout's shape {shape}")
        _check_names("heads", [head.name for head in self.heads])

    def _check_inputs(self) -> None:
        if self.inputs and joint_shape(self.inputs) != self.input_shape:
            shapes = [shape for _, shape in self.inputs]
            raise NetworkError(f"inputs of shapes {shapes} do not make up the input's shape {self.input_shape}")
        _check_names("inputs", [name for name, _ in self.inputs])

    def _check_normalize(self) -> None:
        if self.normalize is None:
            return
        if not is_a(self.normalize, Normalization):
            raise NetworkError(f"normalize: expected a Normalization, found {self.normalize!r}")
        try:
            self.normalize.check_channels(self.input_shape[0])
        except SpecError as error:
            raise NetworkError(f"normalize: {error}") from None

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"no layer {name!r}; there are {[layer.name for layer in self.layers]}")

    @property
    def readout(self) -> Layer:
        """The last layer, whose ``v`` is the network's output."""
        return self.layers[-1]

    @property
    def is_float(self) -> bool:
        """Whether the network computes in floating point."""
        return self.layers[0].neuron.is_float

    @property
    def depth(self) -> int:
        """Synapses between the images and the readout, on the longest path."""
        return self.depths[self.readout.name]

    def delays(self, name: str) -> tuple[int, ...]:
        """Time steps that each connection of a layer waits on Lava for the longest path to it::

            delay = depth(layer) - 1 - depth(source)

        It follows from the connections and is not a parameter: the simulator, in which spikes arrive at once, has none.
        """
        return tuple(self.depths[name] - 1 - self.depths[source] for source in self[name].sources)

    def coefficient_limit(self, source: str) -> int:
        """Largest magnitude of the spikes of a layer, or of the input."""
        return INPUT_LEVELS if source == INPUT else self[source].neuron.coefficient_limit

    def consumers(self, source: str) -> Iterator[tuple[Layer, Synapse]]:
        """The layers, and the synapses, that take the spikes of a layer or of the input."""
        for layer in self.layers:
            for connection in layer.connections:
                if connection.source == source:
                    yield layer, connection.synapse

    def fan_outs(self, source: str) -> dict[str, NDArray[Any]]:
        """By layer: the synapses that lead there from each neuron of a layer, or of the input."""
        counts: dict[str, NDArray[Any]] = {}
        for layer, synapse in self.consumers(source):
            counts[layer.name] = counts.get(layer.name, 0) + synapse.connectivity(self.shapes[source]).fan_out
        return counts

    def num_synapses(self, name: str) -> int:
        """Synapses into a layer, shared weights counted as often as they are used."""
        return sum(c.synapse.connectivity(self.shapes[c.source]).count for c in self[name].connections)

    def summary(self) -> str:
        """A table of the layers as text: type, shape, neurons, threshold, weights, synapses and inputs."""
        return str(self)

    def _facts(self) -> str:
        shapes = ["x".join(map(str, self.shapes[name])) for name in (INPUT, self.readout.name)]
        return (
            f"{brief(self.method)}, resolution {self.resolution:g}, {counted(self.num_steps, 'time step')}, "
            f"{counted(len(self), 'layer')} from {shapes[0]} to {shapes[1]}"
        )

    def tables(self) -> tuple[Table]:
        """The layers, as `summary` shows them."""
        return (summaries.layers_table(self),)

    def to_dict(self) -> dict[str, Any]:
        """What `summary` says, as plain values for JSON."""
        return summaries.described(self)


def _check_size(shape: Shape) -> None:
    if math.prod(shape) > MAX_NEURONS:
        raise SpecError(f"expected at most {MAX_NEURONS:,} neurons in a layer, found shape {shape}")


def _check_fits(layer: Layer, name: str, shape: Shape) -> None:
    value = getattr(layer, name)
    if is_array(value) and not broadcasts(value.shape, shape):
        raise SpecError(f"{name} of shape {value.shape} does not fit the layer's shape {shape}")


def _is_positive(value: float) -> bool:
    return value > 0


def _check_names(where: str, names: list[str]) -> None:
    for name in names:
        try:
            check_text(name)
        except SpecError as error:
            raise NetworkError(f"{where}: name: {error}") from None
    if len(set(names)) < len(names):
        raise NetworkError(f"{where}: names are used twice: {names}")
