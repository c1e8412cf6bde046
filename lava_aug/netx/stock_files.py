"""Files that lava-dl exports: reading, validating, summarising and running them as stock netx does.

This module reads what stock netx (lava-dl 0.6.0, ``lava/lib/dl/netx/hdf5.py``) understands of a file. Where stock netx
would silently drop something, clip it, or crash, an error names the layer. docs/file-format.md lists all datasets.
"""

import dataclasses
import math
import os
from collections.abc import Iterator
from typing import Any, ClassVar

import h5py
import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import FileError, InputError, NetworkError, SpecError
from lava_aug.core.network import MAX_NEURONS
from lava_aug.core.spec import Spec, integer, is_int
from lava_aug.core.texts import brief, counted, table
from lava_aug.netx.hdf5 import Reader, opened, parameters
from lava_aug.netx.hdf5_writing import put, put_spec, write_whole
from lava_aug.netx.stock_layers import NOT_RUN, STOCK_LAYERS, Shape, StockFlatten, StockInput, StockLayer
from lava_aug.netx.stock_neurons import STOCK_NEURONS, StockNeuron

SIGMA_DELTA = "netx-sdnn"
"""Attribute ``format`` of files that `lava_aug.export_sdnn` wrote; netx does not look at it."""


def load_netx(path: str | os.PathLike[str], num_layers: int | None = None) -> "StockNetwork":
    """Read a network that lava-dl exported; everything in it is checked, and nothing in it is executed.

    It supports layers of type input, dense, conv and flatten, with neurons CUBA, LOIHI and SDNN, including delays.

    Parameters
    ----------
    path : path
        An HDF5 file, as written by ``export_hdf5`` of lava-dl's slayer.
    num_layers : int, optional
        Read only the first ``num_layers`` groups of ``/layer``, like stock netx's option of that name; default all.

    Returns
    -------
    StockNetwork
        Its layers, and `StockNetwork.run`.

    Raises
    ------
    FileError
        If the file cannot be read, or holds something that stock netx would drop, clip or crash on: an unknown layer or
        neuron, non-integer weights, values out of range, something missing; the message names file and layer.

    Examples
    --------
    >>> net = load_netx("network.net")  # doctest: +SKIP
    >>> print(net.summary())  # doctest: +SKIP
    >>> out = net.run(x)  # doctest: +SKIP

    ``x`` are integers ``(num_steps, *net.input_shape)``, and ``out`` is ``(num_steps, *net.output_shape)``.
    """
    if num_layers is not None and (not is_int(num_layers) or num_layers < 1):
        raise InputError(f"num_layers: expected an integer of at least 1, found {num_layers!r}")
    with opened(path) as file:
        return _read(file, num_layers)


class StockNetwork(Spec):
    """A sequential network exported by lava-dl.

    Raises
    ------
    NetworkError
        If the layers do not match; the message names the layer by its number in the file.

    Attributes
    ----------
    layers : tuple of StockLayer
        As in the file.
    shapes : tuple of tuple of int
        The shape of what each of them sends, (C, H, W) or (features,).
    """

    shapes: ClassVar[tuple[Shape, ...]]

    layers: tuple[StockLayer, ...] = dataclasses.field()
    sample_steps: int | None = integer(
        low=1, optional=True, default=None, stored_as="tSample", doc="time steps of one sample in training"
    )
    step_size: int = integer(low=1, default=1, stored_as="Ts", doc="length of a time step in training")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "shapes", tuple(self._checked()))
        if not self.processing:
            raise NetworkError("expected at least one layer with neurons, found none")

    def _checked(self) -> Iterator[Shape]:
        """The layers' shapes, one after the other, checked against what the file says."""
        found: Shape = ()
        for index, layer in enumerate(self.layers):
            try:
                self._check_place(index, layer)
                found = layer.output_shape(found if index else self._input_shape(layer))
                if math.prod(found) > MAX_NEURONS:
                    raise SpecError(f"expected at most {MAX_NEURONS:,} neurons, found shape {found}")
                _check_shape(layer, found)
            except SpecError as error:
                raise NetworkError(f"{named(index, layer)}: {error}") from None
            yield found

    def _check_place(self, index: int, layer: StockLayer) -> None:
        behind = self.layers[index + 1] if index + 1 < len(self.layers) else None
        if isinstance(layer, StockInput) and index:
            raise SpecError("only the first layer can be of type 'input'")
        if isinstance(layer, StockFlatten) and (behind is None or behind.type_name != "dense"):
            raise SpecError("expected a dense layer behind it, the only one for which stock netx flattens")
        if layer.needs_neuron and layer.neuron is None:
            raise SpecError("'neuron' is missing")

    @staticmethod
    def _input_shape(layer: StockLayer) -> Shape:
        """What the first layer takes, if it says so."""
        if isinstance(layer, StockInput):
            return layer.shape
        if layer.type_name == "dense":
            return (layer.extras()["inFeatures"],)
        raise SpecError("expected a layer of type 'input' before it, which says what shape its input has")

    @property
    def processing(self) -> tuple[StockLayer, ...]:
        """The layers that become Lava Processes: all but those of type flatten, and input without a neuron."""
        bare = (StockFlatten, StockInput)
        return tuple(layer for layer in self.layers if layer.neuron is not None or not isinstance(layer, bare))

    @property
    def input_shape(self) -> Shape:
        """Shape of the input in one time step, (C, H, W) or (features,): what the first layer with neurons takes."""
        first = next(index for index, layer in enumerate(self.layers) if layer is self.processing[0])
        return self.shapes[first - 1] if first else self._input_shape(self.layers[0])

    @property
    def output_shape(self) -> Shape:
        """Shape of the output in one time step."""
        return self.shapes[-1]

    def summary(self) -> str:
        """A table of the layers as text."""
        rows = [("layer", "type", "neuron", "shape", "neurons", "vth", "weights")]
        rows += [self._row(index, layer) for index, layer in enumerate(self.layers)]
        weights = sum(layer.num_weights for layer in self.layers)
        sample = "" if self.sample_steps is None else f", {counted(self.sample_steps, 'time step')} per sample"
        neurons = sum(
            math.prod(shape)
            for shape, layer in zip(self.shapes, self.layers, strict=True)
            if any(layer is one for one in self.processing)
        )
        return "\n".join(
            [
                f"lava-dl network{sample}",
                table(rows, left=("type", "neuron", "shape")),
                f"total: {neurons:,} neurons, {weights:,} weights",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """What `summary` says, as plain values for JSON."""
        layers = [
            {
                "type": layer.type_name,
                "neuron": None if layer.neuron is None else layer.neuron.type_name,
                "shape": list(self.shapes[index]),
                "weights": layer.num_weights,
            }
            for index, layer in enumerate(self.layers)
        ]
        return {"sample_steps": self.sample_steps, "layers": layers}

    def _row(self, index: int, layer: StockLayer) -> tuple[str, ...]:
        neuron, size = layer.neuron, math.prod(self.shapes[index])
        counts = any(layer is one for one in self.processing)
        default = "CUBA, default" if layer.type_name == "dense" else "-"
        return (
            str(index),
            layer.describe(),
            default if neuron is None else neuron.describe(),
            "x".join(map(str, self.shapes[index])),
            f"{size:,}" if counts else "-",
            "-" if neuron is None else f"{neuron.vth:,}",
            f"{layer.num_weights:,}" if layer.num_weights else "-",
        )

    def run(self, inputs: Any, num_steps: int | None = None, **options: Any) -> NDArray[Any]:
        """Run it on Lava, with fast models; the same output as stock netx, bit for bit: see `netx.stock_runs`."""
        from lava_aug.netx.stock_runs import run_stock

        return run_stock(self, inputs, num_steps, **options)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write it in the layout that stock netx reads, atomically.

        Raises
        ------
        FileError
            If the file cannot be written.
        """

        def fill(file: h5py.File) -> None:
            for index, layer in enumerate(self.layers):
                _write_layer(file.create_group(f"layer/{index}"), layer)
            put_spec(file.create_group("simulation"), self)

        write_whole(path, fill)


def named(index: int, layer: StockLayer) -> str:
    """How errors call a layer."""
    return f"layer {index} ({layer.type_name})"


def _check_shape(layer: StockLayer, found: Shape) -> None:
    """``shape`` must be what follows from the rest; rows may be written with ones in any place."""
    same = layer.shape == found
    as_row = len(found) == 1 and tuple(size for size in layer.shape if size > 1) in (found, ())
    if not same and not (as_row and math.prod(layer.shape) == found[0]):
        raise SpecError(f"'shape' is {layer.shape}, but should be {found}")


def _write_layer(group: h5py.Group, layer: StockLayer) -> None:
    put(group, "type", layer.type_name)
    put_spec(group, layer)
    for name, value in layer.extras().items():
        put(group, name, value)
    if layer.neuron is not None:
        neuron = group.create_group("neuron")
        put(neuron, "type", layer.neuron.type_name)
        put_spec(neuron, layer.neuron)


# Reading


def _read(file: h5py.File, num_layers: int | None) -> StockNetwork:
    root = Reader(file, "file")
    found = root.attribute("format")
    if found not in (None, SIGMA_DELTA):
        raise FileError(f"not a file of lava-dl's: attribute 'format' is {brief(found)}; use lava_aug.load")
    groups = root.group("layer").numbered()[:num_layers]
    layers = tuple(_read_layer(group, index) for index, group in enumerate(groups))
    simulation = _read_simulation(root)
    root.finish()
    return StockNetwork(layers=layers, **simulation)


def _read_simulation(root: Reader) -> dict[str, Any]:
    if "simulation" not in root:
        return {}
    group = root.group("simulation")
    found = parameters(StockNetwork, group)
    group.finish()
    return found


def _read_layer(group: Reader, index: int) -> StockLayer:
    group.where = f"layer {index}"
    kind = group.text("type")
    group.where = f"layer {index} ({kind})"
    if kind in NOT_RUN:
        raise FileError(
            f"{group.where}: stock netx does not run layers of this type; leave it and what follows out with "
            f"num_layers={index}"
        )
    cls = _known(STOCK_LAYERS, kind, "layer", group.where)
    neuron = _read_neuron(group.group("neuron")) if "neuron" in group and cls is not StockFlatten else None
    if "weight" in group and group.is_group("weight"):
        raise FileError(f"{group.where}: complex weights (weight/real, weight/imag) are not supported")
    layer = _made(cls, group, neuron=neuron)
    for name, value in layer.extras().items():
        if name in group and not np.array_equal(found := group.value(name), value):
            raise FileError(f"{group.where}: {name!r} is {brief(found)}, but should be {brief(value)}")
    group.finish()
    return layer


def _read_neuron(group: Reader) -> StockNeuron:
    if "messageBits" in group:
        raise FileError(f"{group.where}: stock netx crashes on 'messageBits'; delete it, and it takes the default")
    cls = _known(STOCK_NEURONS, group.text("type"), "neuron", group.where)
    neuron = _made(cls, group)
    group.finish()
    return neuron


def _known(known: dict[str, Any], kind: str, what: str, where: str) -> Any:
    if kind not in known:
        raise FileError(f"{where}: unknown type {brief(kind)} of {what}; known are {sorted(known)}")
    return known[kind]


def _made(cls: Any, group: Reader, **more: Any) -> Any:
    try:
        return cls(**parameters(cls, group), **more)
    except SpecError as error:
        raise FileError(f"{group.where}: {error}") from None
