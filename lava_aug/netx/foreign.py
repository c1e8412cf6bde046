"""`NetxNetwork`: networks that stock netx runs, which lava-dl exports, and we do as Sigma-Delta networks.

This module reads what stock netx (lava-dl 0.6.0, ``lava/lib/dl/netx/hdf5.py``) understands of a file, and writes it as
lava-dl does. Where stock netx would silently drop something, clip it, or crash, an error names the layer.
docs/file-format.md lists all datasets.
"""

import dataclasses
import math
import os
from collections.abc import Iterator
from typing import Any, ClassVar

import h5py
import numpy as np

from lava_aug.core.errors import FileError, InputError, NetworkError, SpecError
from lava_aug.core.network import INPUT_LEVELS, MAX_NEURONS
from lava_aug.core.spec import Spec, integer, is_int
from lava_aug.core.tables import Table
from lava_aug.core.texts import brief, counted
from lava_aug.netx.hdf5 import Reader, check_derived, made, made_whole, opened, parameters, put, put_spec, stored
from lava_aug.netx.hdf5_bytes import write_whole
from lava_aug.netx.layers import NETX_LAYERS, NETX_NEURONS, NOT_RUN, NetxFlatten, NetxInput, NetxLayer, Shape

EXPORTED = "netx-sdnn"
"""Attribute ``format`` of files that we export; netx does not look at it."""

CONSTANT = "constant_channel"
"""Attribute of a file whose last input channel is the same everywhere: its value."""

FLOAT_BITS = 24
"""Integers of so many bits are the same in float32, which lava-dl stores weights in."""


class NetxNetwork(Spec):
    """A sequential network that stock netx runs.

    Raises
    ------
    NetworkError
        If the layers do not match; the message names the layer by its number in the file.

    Attributes
    ----------
    layers : tuple of NetxLayer
        As in the file.
    exported : bool
        Whether it is an export of ours, which takes pixels.
    constant : bool
        Whether the last input channel is 255 everywhere, and inputs come without it.
    shapes : tuple of tuple of int
        The shape of what each of the layers sends, (C, H, W) or (features,).
    """

    shapes: ClassVar[tuple[Shape, ...]]

    layers: tuple[NetxLayer, ...] = dataclasses.field()
    sample_steps: int | None = integer(
        low=1, optional=True, default=None, stored_as="tSample", doc="time steps of one sample in training"
    )
    step_size: int = integer(low=1, default=1, stored_as="Ts", doc="length of a time step in training")
    exported: bool = False
    constant: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "shapes", tuple(self._checked()))
        if not self.processing:
            raise NetworkError("expected at least one layer with neurons, found none")

    def _checked(self) -> Iterator[Shape]:
        """The layers' shapes, one after the other, checked against what the file says."""
        shape: Shape = ()
        for index, layer in enumerate(self.layers):
            try:
                self._check_place(index, layer)
                shape = layer.output_shape(shape if index else self._input_shape(layer))
                if math.prod(shape) > MAX_NEURONS:
                    raise SpecError(f"expected at most {MAX_NEURONS:,} neurons, found shape {shape}")
                _check_shape(layer, shape)
            except SpecError as error:
                raise NetworkError(f"layer {index} ({layer.type_name}): {error}") from None
            yield shape

    def _check_place(self, index: int, layer: NetxLayer) -> None:
        behind = self.layers[index + 1] if index + 1 < len(self.layers) else None
        if isinstance(layer, NetxInput) and index:
            raise SpecError("only the first layer can be of type 'input'")
        if isinstance(layer, NetxFlatten) and (behind is None or behind.type_name != "dense"):
            raise SpecError("expected a dense layer behind it, the only one for which stock netx flattens")
        if layer.needs_neuron and layer.neuron is None:
            raise SpecError("'neuron' is missing")

    @staticmethod
    def _input_shape(layer: NetxLayer) -> Shape:
        """What the first layer takes, if it says so."""
        if isinstance(layer, NetxInput):
            return layer.shape
        if layer.type_name == "dense":
            return (layer.extras()["inFeatures"],)
        raise SpecError("expected a layer of type 'input' before it, which says what shape its input has")

    @property
    def processing(self) -> dict[int, NetxLayer]:
        """The layers that become Lava Processes, by number: all but those of type flatten, and input without neuron."""
        pairs = enumerate(self.layers)
        return {index: layer for index, layer in pairs if layer.neuron is not None or layer.synapse is not None}

    @property
    def input_shape(self) -> Shape:
        """Shape of the input in one time step, (C, H, W) or (features,): what the first layer with neurons takes."""
        first = min(self.processing)
        return self.shapes[first - 1] if first else self._input_shape(self.layers[0])

    @property
    def given_shape(self) -> Shape:
        """The same without the constant channel, if there is one, which nobody has to give."""
        channels, *size = self.input_shape
        return (channels - self.constant, *size)

    @property
    def output_shape(self) -> Shape:
        """Shape of the output in one time step."""
        return self.shapes[-1]

    @property
    def depth(self) -> int:
        """The number of Lava's steps that the output lags behind the input."""
        return sum(layer.synapse is not None for layer in self.layers)

    @property
    def kind(self) -> str:
        """What it is, for messages and the summary."""
        return "Sigma-Delta network for netx" if self.exported else "lava-dl network"

    def summary(self) -> str:
        """A table of the layers as text."""
        head = ("layer", "type", "neuron", "shape", "neurons", "vth", "weights")
        rows = [self._row(index, layer) for index, layer in enumerate(self.layers)]
        sample = "" if self.sample_steps is None else f", {counted(self.sample_steps, 'time step')} per sample"
        constant = f", the last input channel {INPUT_LEVELS} everywhere" if self.constant else ""
        neurons = sum(math.prod(self.shapes[index]) for index in self.processing)
        weights = sum(layer.num_weights for layer in self.layers)
        note = f"total: {neurons:,} neurons, {weights:,} weights"
        return Table(head, rows, f"{self.kind}{sample}{constant}", note, left=("type", "neuron", "shape")).text()

    def to_dict(self) -> dict[str, Any]:
        """What `summary` says, as plain values for JSON."""
        layers = [
            {
                "type": layer.type_name,
                "neuron": None if layer.neuron is None else layer.neuron.type_name,
                "shape": list(shape),
                "vth": None if layer.neuron is None else layer.neuron.vth,
                "weights": layer.num_weights,
            }
            for layer, shape in zip(self.layers, self.shapes, strict=True)
        ]
        return {"sample_steps": self.sample_steps, "constant_channel": self.constant, "layers": layers}

    def _row(self, index: int, layer: NetxLayer) -> tuple[str, ...]:
        neuron, size = layer.neuron, math.prod(self.shapes[index])
        default = "CUBA, default" if layer.type_name == "dense" else "-"
        return (
            str(index),
            layer.describe(),
            default if neuron is None else neuron.describe(),
            "x".join(map(str, self.shapes[index])),
            f"{size:,}" if index in self.processing else "-",
            "-" if neuron is None else f"{neuron.vth:,}",
            f"{layer.num_weights:,}" if layer.num_weights else "-",
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write it as lava-dl does, atomically.

        Raises
        ------
        FileError
            If the file cannot be written.
        """
        write_whole(path, self._fill)

    def _fill(self, file: h5py.File) -> None:
        if self.exported:
            file.attrs["format"] = np.bytes_(EXPORTED.encode())
        if self.constant:
            file.attrs[CONSTANT] = INPUT_LEVELS
        if self.sample_steps is not None or self.step_size != 1:
            put_spec(file.create_group("simulation"), self)
        for index, layer in enumerate(self.layers):
            group = file.create_group(f"layer/{index}")
            group.create_dataset("type", (1,), "S10", [layer.type_name.encode()])
            _put_all(group, {**dict(stored(layer)), **layer.extras()})
            if layer.neuron is not None:
                _put_all(group.create_group("neuron"), {"type": layer.neuron.type_name, **dict(stored(layer.neuron))})


def _check_shape(layer: NetxLayer, implied: Shape) -> None:
    """``shape`` must be what follows from the rest; rows may be written with ones in any place."""
    same = layer.shape == implied
    as_row = len(implied) == 1 and tuple(size for size in layer.shape if size > 1) in (implied, ())
    if not same and not (as_row and math.prod(layer.shape) == implied[0]):
        raise SpecError(f"'shape' is {layer.shape}, but should be {implied}")


def _put_all(group: h5py.Group, values: dict[str, Any]) -> None:
    """Write datasets as lava-dl has them: one text is no array, and weights and their like are float32, if they can."""
    for name, value in values.items():
        if isinstance(value, str):
            value = np.bytes_(value.encode())
        elif name in ("weight", "bias", "delay") and not np.any(np.abs(value.astype(np.int64)) >> FLOAT_BITS):
            value = value.astype(np.float32)
        put(group, name, value)


# Reading


def load(path: str | os.PathLike[str], num_layers: int | None = None) -> NetxNetwork:
    """Read a network that lava-dl or `export` wrote; everything in it is checked, and nothing in it is executed.

    It supports layers of type input, dense, conv and flatten, with neurons CUBA, LOIHI and SDNN, including delays.

    Parameters
    ----------
    path : path
        An HDF5 file, as written by ``export_hdf5`` of lava-dl's slayer.
    num_layers : int, optional
        Read only the first ``num_layers`` groups of ``/layer``, like stock netx's option of that name; default all.

    Returns
    -------
    NetxNetwork
        For `run`, and, if all of its neurons are Sigma-Delta neurons, for `simulate`.

    Raises
    ------
    FileError
        If the file cannot be read, or holds something that stock netx would drop, clip or crash on: an unknown layer or
        neuron, non-integer weights, values out of range, something missing; the message names file and layer.

    Examples
    --------
    >>> net = load("network.net")  # doctest: +SKIP
    >>> print(net.summary())  # doctest: +SKIP
    >>> out = run(net, x)  # doctest: +SKIP

    ``x`` are integers ``(N, *net.input_shape)``, and ``out.sent`` is ``(N + net.depth, *net.output_shape)``.
    """
    with opened(path) as root:
        return read_file(root, num_layers)


def read_file(root: Reader, num_layers: int | None = None) -> NetxNetwork:
    """The network of an open file, as `load` gives it."""
    if num_layers is not None and (not is_int(num_layers) or num_layers < 1):
        raise InputError(f"num_layers: expected an integer of at least 1, found {num_layers!r}")
    file_format, constant = root.attribute("format"), root.attribute(CONSTANT)
    if file_format not in (None, EXPORTED):
        raise FileError(f"not a file of lava-dl's: attribute 'format' is {brief(file_format)}; use lava_aug.load")
    if constant not in (None, INPUT_LEVELS):
        raise FileError(f"attribute {CONSTANT!r} is {brief(constant)}, expected {INPUT_LEVELS}")
    groups = root.group("layer").numbered()[:num_layers]
    layers = tuple(_read_layer(group, index) for index, group in enumerate(groups))
    simulation: dict[str, Any] = {}
    if "simulation" in root:
        group = root.group("simulation")
        simulation = parameters(NetxNetwork, group)
        group.finish()
    root.finish()
    return NetxNetwork(layers=layers, exported=file_format is not None, constant=constant is not None, **simulation)


def _read_layer(group: Reader, index: int) -> NetxLayer:
    group.where = f"layer {index}"
    kind = group.text("type")
    group.where = f"layer {index} ({kind})"
    if kind in NOT_RUN:
        raise FileError(
            f"{group.where}: stock netx does not run layers of this type; leave it and what follows out with "
            f"num_layers={index}"
        )
    if "weight" in group and group.is_group("weight"):
        raise FileError(f"{group.where}: complex weights (weight/real, weight/imag) are not supported")
    neuron = group.group("neuron") if "neuron" in group and kind != NetxFlatten.type_name else None
    if neuron is not None and "messageBits" in neuron:
        raise FileError(f"{neuron.where}: stock netx crashes on 'messageBits'; delete it, and it takes the default")
    layer = made(NETX_LAYERS, kind, group, neuron=None if neuron is None else made_whole(NETX_NEURONS, neuron))
    check_derived(group, {name: value for name, value in layer.extras().items() if name in group})
    group.finish()
    return layer
