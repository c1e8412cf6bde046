"""The layout of stock Sigma-Delta netx files.

As in the pilotnet_sdnn that lava-dl's wheel brings along: ``/layer/<i>/`` with type (10 bytes), shape, weight
and bias (float32 that hold integers), inFeatures, outFeatures or inChannels, outChannels, kernelSize, stride, padding,
dilation, groups; ``/layer/<i>/neuron/`` with type "SDNN", activation "relu", vThMant, and sigma_output for the last.
"""

import math

import h5py
import numpy as np

from lava_aug.formats.hdf5_writing import put
from lava_aug.layers import Conv, Dense
from lava_aug.sdnn.sigma_delta import SigmaDeltaNetwork

FORMAT = "netx-sdnn"
"""Attribute ``format`` of the file, which netx does not look at."""


def write_file(file: h5py.File, network: SigmaDeltaNetwork) -> None:
    """Fill an empty file."""
    file.attrs["format"] = np.bytes_(FORMAT.encode())
    _start(file, 0, "input", network.input_shape)
    _neuron(file, 0, 0)
    index, before = 1, network.input_shape
    for layer in network.layers:
        if isinstance(layer.synapse, Dense) and len(before) > 1:
            _start(file, index, "flatten", (math.prod(before), 1, 1))
            index += 1
        group = _start(file, index, layer.synapse.type_name, layer.shape)
        for name, value in layer.synapse.stored_extras(before).items():
            put(group, name, value)
        put(group, "weight", layer.synapse.weight.astype(np.float32))
        if layer.bias is not None:
            put(group, "bias", layer.bias.astype(np.float32))
        if isinstance(layer.synapse, Conv):
            _put_geometry(group, layer.synapse)
        _neuron(file, index, layer.threshold, last=layer is network.layers[-1])
        index, before = index + 1, layer.shape


def _start(file: h5py.File, index: int, kind: str, shape: tuple[int, ...]) -> h5py.Group:
    group = file.create_group(f"layer/{index}")
    group.create_dataset("type", (1,), "S10", [kind.encode()])
    put(group, "shape", np.array(shape))
    return group


def _put_geometry(group: h5py.Group, synapse: Conv) -> None:
    for name in ("stride", "padding", "dilation"):
        put(group, name, np.array(getattr(synapse, name)))
    put(group, "groups", synapse.groups)


def _neuron(file: h5py.File, index: int, threshold: int, *, last: bool = False) -> None:
    group = file.create_group(f"layer/{index}/neuron")
    group["type"], group["activation"] = b"SDNN", b"relu"
    put(group, "vThMant", threshold)
    if last:
        put(group, "sigma_output", True)
