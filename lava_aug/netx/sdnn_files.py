"""The layout of stock Sigma-Delta netx files.

As in the pilotnet_sdnn that lava-dl's wheel contains: ``/layer/<i>/`` with type (10 bytes), shape, weight and bias
(float32 that hold integers), inFeatures, outFeatures or inChannels, outChannels, kernelSize, stride, padding, dilation,
groups; ``/layer/<i>/neuron/`` with type "SDNN", activation "relu", vThMant, and sigma_output for the last.
"""

import math
import os
from collections.abc import Iterator

import h5py
import numpy as np

from lava_aug.core.errors import FileError
from lava_aug.core.layers import Conv, Dense
from lava_aug.core.network import INPUT_LEVELS
from lava_aug.netx.hdf5 import opened
from lava_aug.netx.hdf5_writing import put
from lava_aug.netx.sigma_delta import SigmaDeltaLayer, SigmaDeltaNetwork
from lava_aug.netx.stock_files import SIGMA_DELTA, StockNetwork, load_netx
from lava_aug.netx.stock_layers import StockConv, StockDense
from lava_aug.netx.stock_neurons import SigmaDelta

CONSTANT = "constant_channel"
"""Attribute of a file whose last input channel is the same everywhere: its value."""

GEOMETRY: dict[type, tuple[str, ...]] = {Conv: ("stride", "padding", "dilation", "groups"), Dense: ()}
"""What a synapse has besides weights."""


def write_file(file: h5py.File, network: SigmaDeltaNetwork) -> None:
    """Fill an empty file."""
    file.attrs["format"] = np.bytes_(SIGMA_DELTA.encode())
    if network.constant:
        file.attrs[CONSTANT] = INPUT_LEVELS
    _start(file, 0, "input", network.input_shape)
    _neuron(file, 0, 0)
    index, before = 1, network.input_shape
    for layer in network.layers:
        if layer.synapse.flattens and len(before) > 1:
            _start(file, index, "flatten", (math.prod(before), 1, 1))
            index += 1
        group = _start(file, index, layer.synapse.type_name, layer.shape)
        for name, value in layer.synapse.stored_extras(before).items():
            put(group, name, value)
        put(group, "weight", layer.synapse.weight.astype(np.float32))
        if layer.bias is not None:
            put(group, "bias", layer.bias.astype(np.float32))
        for name in GEOMETRY[type(layer.synapse)]:
            put(group, name, np.array(getattr(layer.synapse, name)))
        _neuron(file, index, layer.threshold, last=layer is network.layers[-1])
        index, before = index + 1, layer.shape


def _start(file: h5py.File, index: int, kind: str, shape: tuple[int, ...]) -> h5py.Group:
    group = file.create_group(f"layer/{index}")
    group.create_dataset("type", (1,), "S10", [kind.encode()])
    put(group, "shape", np.array(shape))
    return group


def _neuron(file: h5py.File, index: int, threshold: int, *, last: bool = False) -> None:
    group = file.create_group(f"layer/{index}/neuron")
    group["type"], group["activation"] = b"SDNN", b"relu"
    put(group, "vThMant", threshold)
    if last:
        put(group, "sigma_output", True)


def read_sdnn(path: str | os.PathLike[str]) -> SigmaDeltaNetwork:
    """The network of a file that `lava_aug.export_sdnn` wrote; layers are named "1", "2", ….

    Raises
    ------
    FileError
        If the file cannot be read, or holds something else.
    """
    with opened(path) as file:
        constant = CONSTANT in file.attrs
    net = load_netx(path)
    return SigmaDeltaNetwork(net.input_shape, tuple(_layers(net)), constant)


def _layers(net: StockNetwork) -> Iterator[SigmaDeltaLayer]:
    """Those behind the input layer, without those that flatten."""
    behind = [(layer, shape) for layer, shape in zip(net.layers, net.shapes, strict=True) if layer.neuron is not None][
        1:
    ]
    for index, (layer, shape) in enumerate(behind, start=1):
        if type(layer.neuron) is not SigmaDelta or not isinstance(layer, (StockConv, StockDense)):
            raise FileError(f"layer {index}: expected a layer of Sigma-Delta neurons, found {layer.describe()}")
        bias = None if layer.bias is None else layer.bias.astype(np.int64)
        yield SigmaDeltaLayer(str(index), _synapse(layer), bias, layer.neuron.vth, shape)


def _synapse(layer: StockConv | StockDense) -> Conv | Dense:
    weight = layer.weight.astype(np.int64)
    if isinstance(layer, StockDense):
        return Dense(weight=weight)
    return Conv(weight=weight, **{name: getattr(layer, name) for name in GEOMETRY[Conv]})
