"""`Network` <-> HDF5, in the layout of lava-dl's netx.

::

    /                   attributes: format, format_version, method, resolution
    /layer/0/           type "input", shape; mean and std of the model's normalisation, if it has one
    /layer/<i>/         type, shape, name, inputs, quantum, bias and the synapse's parameters under netx's names
    /layer/<i>/neuron/  type, vThMant, ... : the neuron's parameters
    /inputs/<k>/        name, shape: only if the model takes several tensors
    /heads/<k>/         name, shape: only if the model gives several tensors
    /simulation/        Ts, tSample

A layer with several connections has type "sum" and its synapses in ``synapse/<k>/``. A dense layer on a map is preceded
by a layer of type "flatten", as netx's readers expect; it contains no new information, and is only checked. So is
``delay``, the delay of each input, in time steps, where paths of different lengths meet. Which dataset belongs to which
parameter is declared with the parameter (`lava_aug.core.spec`); there is no code per type.
"""

import math
import os
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from lava_aug.core.errors import FileError
from lava_aug.core.fidelity import Fidelity
from lava_aug.core.files import whole_file
from lava_aug.core.fixed_point import is_list
from lava_aug.core.images import check_network
from lava_aug.core.inputs import Input
from lava_aug.core.layers import SYNAPSES, Dense, Shape
from lava_aug.core.network import Connection, Head, Layer, Network
from lava_aug.core.neurons import NEURONS
from lava_aug.core.normalization import Normalization
from lava_aug.core.texts import brief
from lava_aug.netx.hdf5 import (
    Reader,
    array_bytes,
    check_count,
    check_derived,
    made,
    made_whole,
    opened,
    parameters,
    put,
    put_spec,
)
from lava_aug.netx.hdf5_bytes import encoded as encoded_file

FORMAT = "lava-aug"
FORMAT_VERSION = 1


def save(net: Network, path: str | os.PathLike[str]) -> None:
    """Write a network to an HDF5 file, atomically.

    Parameters
    ----------
    net : Network
        What to write.
    path : path
        The file; an existing one is replaced once the new one is complete.

    Raises
    ------
    InputError
        If it is no network.
    FileError
        If the file cannot be written.
    """
    check_network(net)
    with whole_file(path) as partial:
        partial.write_bytes(encoded(net))


def load(path: str | os.PathLike[str]) -> Network:
    """Read a network that `save` wrote; everything in it is checked, and nothing in it is executed.

    Parameters
    ----------
    path : path
        An HDF5 file.

    Returns
    -------
    Network
        Equal to the one that was saved.

    Raises
    ------
    FileError
        If the file cannot be read, is of another format or version, or holds something missing, unknown, of the wrong
        type or shape; the message names the file and the layer.
    """
    with opened(path) as root:
        return read_file(root)


def encoded(net: Network) -> bytes:
    """The file that `save` writes, as bytes: equal for equal networks."""
    synapses = (connection.synapse for layer in net for connection in layer.connections)
    claimed = sum(map(array_bytes, (*net, *synapses, *(layer.neuron for layer in net))))
    return encoded_file(lambda file: write_file(file, net), claimed)


# Writing


def write_file(file: h5py.Group, net: Network) -> None:
    """Fill an empty file, or a group of one, as `save` does."""
    for name, value in header(net).items():
        # Texts of fixed length: of others nobody can ask how long they claim to be.
        file.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
    write_network(file, net)


def header(net: Network) -> dict[str, Any]:
    """What says that this is a network of ours, and what it holds beside its groups: a file's attributes."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "method": net.method,
        "resolution": net.resolution,
    }


def write_network(target: h5py.Group, net: Network) -> None:
    """Write the groups of a network, all but its `header`."""
    put(target, "simulation/Ts", net.num_steps)
    put(target, "simulation/tSample", net.num_steps)
    for kind, named in (("inputs", net.inputs), ("heads", net.heads)):
        check_count(len(named), kind)
        for index, (name, shape) in enumerate(named):
            put(target, f"{kind}/{index}/name", name)
            put(target, f"{kind}/{index}/shape", shape)
    entries = list(_entries(net))
    check_count(len(entries), "layers, the input and 'flatten' included")
    for index, (kind, shape, layer) in enumerate(entries):
        group = target.create_group(f"layer/{index}")
        put(group, "type", kind)
        put(group, "shape", shape)
        if layer is not None:
            _write_layer(group, layer, net)
    if net.normalize is not None:
        put_spec(target.require_group("layer/0"), net.normalize)
    if net.fidelity is not None:
        put_spec(target.create_group("fidelity"), net.fidelity)


_BEHIND_FLATTEN = {Dense}
"""Types of which stock netx wants to be told that they flatten what they take."""


def _entries(net: Network) -> Iterator[tuple[str, tuple[int, ...], Layer | None]]:
    """Type, shape and layer of every group in the file, in order."""
    yield "input", net.input_shape, None
    for layer in net:
        source, synapse = layer.connections[0]
        single = len(layer.connections) == 1
        if single and type(synapse) in _BEHIND_FLATTEN and len(net.shapes[source]) > len(net.shapes[layer.name]):
            yield "flatten", (math.prod(net.shapes[source]),), None
        yield synapse.type_name if single else "sum", net.shapes[layer.name], layer


def _write_layer(group: h5py.Group, layer: Layer, net: Network) -> None:
    check_count(len(layer.connections), f"synapses of a layer, as {layer.name!r}")
    put_spec(group, layer)
    put(group, "inputs", list(layer.sources))
    for name, value in _delay(layer, net).items():
        put(group, name, value)
    for target, (source, synapse) in zip(_synapse_groups(group, layer), layer.connections, strict=True):
        put_spec(target, synapse)
        extras = synapse.stored_extras(net.shapes[source]) if target is group else {}
        for name, value in extras.items():
            put(target, name, value)
    neuron = group.create_group("neuron")
    put(neuron, "type", layer.neuron.type_name)
    put_spec(neuron, layer.neuron)


def _delay(layer: Layer, net: Network) -> dict[str, tuple[int, ...]]:
    """The dataset ``delay`` of a layer where paths of different length meet: what each of its inputs waits."""
    delays = net.delays(layer.name)
    return {"delay": delays} if any(delays) else {}


def _synapse_groups(group: h5py.Group, layer: Layer) -> Iterator[h5py.Group]:
    """Where the synapses of a layer go: a single one into the layer's own group, as in netx."""
    if len(layer.connections) == 1:
        yield group
        return
    for index, connection in enumerate(layer.connections):
        target = group.create_group(f"synapse/{index}")
        put(target, "type", connection.synapse.type_name)
        yield target


# Reading


def read_file(root: Reader) -> Network:
    """The network of an open file, as `load` gives it."""
    names = ("format", "format_version", "method", "resolution")
    return read_network(root, {name: root.attribute(name) for name in names})


def read_network(root: Reader, attributes: dict[str, Any]) -> Network:
    """The network of some groups that `write_network` wrote, and of the `header` that was found with them.

    Raises
    ------
    LavaAugError
        If something is missing, unknown, contradictory, or of the wrong type or shape.
    """
    kind, version = attributes["format"], attributes["format_version"]
    if kind != FORMAT:
        advice = "; if lava-dl wrote it, use lava_aug.netx.load" if kind is None and "layer" in root else ""
        raise FileError(f"not a lava-aug network: attribute 'format' is {brief(kind)}, expected {FORMAT!r}{advice}")
    if version != FORMAT_VERSION:
        raise FileError(f"unknown format version {brief(version)}: this lava-aug reads version {FORMAT_VERSION}")
    groups = root.group("layer").numbered()
    entries = [(group, group.text("type")) for group in groups]
    if entries[0][1] != "input":
        raise FileError(f"{groups[0].where}: expected type 'input', found {brief(entries[0][1])}")
    net = Network(
        input_shape=groups[0].value("shape"),
        layers=tuple(_read_layer(group, kind) for group, kind in entries[1:] if kind != "flatten"),
        num_steps=root.group("simulation").value("Ts"),
        method=attributes["method"],
        resolution=attributes["resolution"],
        inputs=tuple(Input(*named) for named in _read_named(root, "inputs")),
        heads=tuple(Head(*named) for named in _read_named(root, "heads")),
        normalize=Normalization(**parameters(Normalization, groups[0])) if "mean" in groups[0] else None,
        fidelity=_read_fidelity(root),
    )
    _check_entries(net, entries)
    return net


def _read_named(root: Reader, kind: str) -> Iterator[tuple[str, Shape]]:
    """Names and shapes of the network's inputs or heads; the only one of a network has no name, and no group."""
    for group in root.group(kind).numbered() if kind in root else ():
        yield group.text("name"), tuple(np.ravel(group.value("shape")).tolist())
        group.finish()


def _read_fidelity(root: Reader) -> Fidelity | None:
    if "fidelity" not in root:
        return None
    group = root.group("fidelity")
    found = made({"fidelity": Fidelity}, "fidelity", group)
    group.finish()
    return found


def _read_layer(group: Reader, kind: str) -> Layer:
    name = group.text("name")
    group.where = f"layer {name!r}"
    sources = group.value("inputs")
    if kind == "sum":
        synapses = [made_whole(SYNAPSES, part) for part in group.group("synapse").numbered()]
    else:
        synapses = [made(SYNAPSES, kind, group)]
    if not is_list(sources) or len(sources) != len(synapses):
        raise FileError(f"{group.where}: expected {len(synapses)} names in 'inputs', found {brief(sources)}")
    return Layer(
        **parameters(Layer, group),
        connections=tuple(map(Connection, sources, synapses)),
        neuron=made_whole(NEURONS, group.group("neuron")),
    )


def _check_entries(net: Network, entries: list[tuple[Reader, str]]) -> None:
    """Datasets that follow from others must agree with them, and nothing may be left over."""
    expected = list(_entries(net))
    if len(expected) != len(entries):
        raise FileError(f"file: expected {len(expected)} layers, 'flatten' included, found {len(entries)}")
    for (group, kind), (expected_kind, shape, layer) in zip(entries, expected, strict=True):
        derived: dict[str, Any] = {"shape": shape, **({} if layer is None else _delay(layer, net))}
        if layer is not None and len(layer.connections) == 1:
            source, synapse = layer.connections[0]
            derived.update(synapse.stored_extras(net.shapes[source]))
        if kind != expected_kind:
            raise FileError(f"{group.where}: expected type {expected_kind!r}, found {brief(kind)}")
        check_derived(group, derived)
        group.finish()
