"""`Network` <-> NIR, the Neuromorphic Intermediate Representation of https://neuroir.org.

::

    /version                    nir's
    /node/                      type "NIRGraph", nodes, edges: what every tool reads (`lava_aug.nir.nodes`)
    /node/metadata/lava_aug/    metadata_version, lost, format, format_version, method, resolution, and the groups of
                                one of our own files (`lava_aug.netx.networks`): what we read

So a network is restored exactly, whatever the nodes can express. When it is read, the nodes have to match the network
in the metadata: if you change the nodes, remove the metadata, or read with ``metadata=False``.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import ExportWarning, FileError, InputError
from lava_aug.core.files import check_output, whole_file
from lava_aug.core.images import check_network
from lava_aug.core.network import Layer, Network
from lava_aug.core.neurons import Neuron
from lava_aug.core.spec import is_number
from lava_aug.core.texts import brief
from lava_aug.netx.hdf5 import Reader, opened
from lava_aug.netx.hdf5_bytes import encoded_by
from lava_aug.netx.networks import header, read_network, write_network
from lava_aug.nir.foreign import network_of
from lava_aug.nir.nodes import FIRING, Graph, Node, graph_of

if TYPE_CHECKING:
    from nir import NIRGraph

METADATA = "lava_aug"
"""Our name among the graph's metadata."""

METADATA_VERSION = 1

_HEADER = ("format", "format_version", "method", "resolution")


def export(net: Network, path: str | os.PathLike[str] | None = None) -> "NIRGraph":
    """Export a network as a NIR graph, and, if a path is given, write it to a file, atomically.

    Rate networks become plain ``IF`` graphs, for which NIR leaves open only the reset and the initial potential (0 with
    ``convert(v0="zero")``). For other networks, the graph holds what NIR can express, and our metadata the rest.

    Parameters
    ----------
    net : Network
        What to export.
    path : path, optional
        The file; an existing one is replaced once the new one is complete.

    Returns
    -------
    nir.NIRGraph
        With the whole network in ``metadata["lava_aug"]``, for `load`.

    Warns
    -----
    ExportWarning
        What readers that ignore the metadata lose; `lava_aug.nir.files.losses` returns it as a list.

    Raises
    ------
    ExportError
        If NIR has no node for a layer, and a matrix would be too large; the message names the layer.
    FileError
        If the file cannot be written.
    """
    check_network(net)
    import nir

    if path is not None:
        check_output(path)
    graph = graph_of(net)
    exported = nir.NIRGraph(
        nodes={name: nir.dict2NIRNode({"type": node.kind, **node.fields}) for name, node in graph.nodes.items()},
        edges=list(graph.edges),
        metadata={METADATA: _metadata(net)},
        type_check=type_checks(graph),
    )
    if path is not None:
        with whole_file(path) as partial:
            partial.write_bytes(encoded_by(lambda buffer: nir.write(buffer, exported)))
    warnings.warn(f"lost in readers that ignore the metadata: {'; '.join(losses(net))}", ExportWarning, 2)
    return exported


def load(
    graph: "NIRGraph | str | os.PathLike[str]", *, metadata: bool = True, input_unit: float = 1.0, dt: float = 1.0
) -> Network:
    """Read a network from a NIR graph: exactly the one passed to `export`, or one from another tool.

    Graphs without our metadata become floating-point networks of `RateNeuron`: ``IF`` nodes, and ``Affine``,
    ``Linear``, ``Conv1d``, ``Conv2d``, ``SumPool2d``, ``AvgPool2d``, ``Scale`` and ``Flatten`` between them; an ``I``
    before the output is the readout. A warning lists the assumptions about them. Nothing in a file is executed.

    Parameters
    ----------
    graph : nir.NIRGraph or path
        A graph, or a file of one.
    metadata : bool
        False reads the nodes of our graphs like those of any other tool.
    input_unit : float
        For graphs without our metadata: the value of the graph's input that one unit of our input payload represents. 1
        if it takes spikes, or levels from 0 to 255; 1/255 if it takes intensities from 0 to 1.
    dt : float
        For graphs without our metadata: a time step, in the graph's unit of time. In each, ``r * dt`` times the input
        current is added to a neuron's potential. SpikingJelly writes ``r = 1 / dt`` (by default with a ``dt`` of 1e-4).

    Returns
    -------
    Network

    Warns
    -----
    ExportWarning
        The assumptions about a graph without our metadata.

    Raises
    ------
    InputError
        If ``input_unit`` or ``dt`` is not a positive number.
    FileError
        If the file cannot be read, if nodes and metadata disagree, or if a node has no counterpart here; the message
        names it.
    """
    for name, value in (("input_unit", input_unit), ("dt", dt)):
        if not is_number(value) or value <= 0:
            raise InputError(f"{name}: expected a positive number, found {value!r}")
    if isinstance(graph, (str, os.PathLike)):
        with opened(graph) as root:
            return read_file(root, metadata, input_unit, dt)
    import tempfile

    import nir

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.nir"
        try:
            nir.write(path, graph)
        except Exception as error:  # whatever h5py and nir make of nodes that cannot be stored
            raise FileError(f"not a graph that nir can store: {error}") from error
        with opened(path) as root:
            return read_file(root, metadata, input_unit, dt)


def read_file(root: Reader, metadata: bool = True, input_unit: float = 1.0, dt: float = 1.0) -> Network:
    """The network of an open file, as `load` gives it."""
    node = root.group("node")
    graph = _read_graph(node)
    known = node.group("metadata") if metadata and node.is_group("metadata") else None
    if known is not None and METADATA in known:
        net = _read_metadata(known.group(METADATA))
        _check_agreement(graph, graph_of(net))
        return net
    net, assumed = network_of(graph, input_unit, dt)
    warnings.warn(f"{'; '.join(assumed)}", ExportWarning, 3)
    return net


# What is lost without our metadata


def losses(net: Network) -> list[str]:
    """What readers that run the nodes and ignore our metadata lose, one line for each."""
    firing = [layer for layer in net if type(layer.neuron) in FIRING]
    lines = [f"{what}: {_names(layers)}" for what, has in _LOSSES if (layers := [a for a in firing if has(a.neuron)])]
    graph = graph_of(net)
    if not net.is_float:
        lines.append("v stays within 24 bits")
    lines.append("the readout sums its input over the time steps")
    if graph.nodes["input"].fields["shape"][0] > net.input_shape[0]:
        lines.append("the images have an additional last channel, which is 1 everywhere in every step")
    if net.heads:
        lines.append("the output is several tensors, one after the other")
    if not type_checks(graph):
        lines.append("nir assumes square windows: read it with nir.read(path, type_check=False)")
    return lines


def _names(layers: list[Layer]) -> str:
    return ", ".join(layer.name for layer in layers)


def _bounded(neuron: Neuron) -> bool:
    """Whether ``n_max`` matters: the mean coefficient of ordinary spikes of one sign is at most 1 anyway."""
    return "n_max" in neuron.numbers() and neuron.coefficient_range != (0, 1)


_LOSSES: tuple[tuple[str, Callable[[Neuron], bool]], ...] = (
    ("reset by subtraction, which NIR leaves open (norse sets v to 0)", lambda neuron: True),
    ("v starts from v0 instead of 0", lambda neuron: bool(np.any(neuron.initial()[0] != 0))),
    ("negative spikes at vth_lo", lambda neuron: neuron.negative),
    ("n may become negative (signed)", lambda neuron: not neuron.rectifies),
    ("graded spikes: several in one step", lambda neuron: neuron.graded),
    ("n_max, the bound on the mean coefficient", _bounded),
)


def type_checks(graph: Graph) -> bool:
    """Whether nir 1.0.8 can check the shapes: it takes the height of a window for its width (``nir/ir/conv.py``)."""
    windows = (node.fields["weight"].shape[2:] for node in graph.nodes.values() if node.kind == "Conv2d")
    return all(height == width for height, width in windows)


# Our metadata


def _metadata(net: Network) -> dict[str, Any]:
    """A network as nested dictionaries of what nir can write, in the layout of our own files."""
    with h5py.File("metadata", "w", driver="core", backing_store=False) as file:
        write_network(file, net)
        tree = _tree(file)
    texts = {name: _bytes([value]) if isinstance(value, str) else value for name, value in header(net).items()}
    return {"metadata_version": METADATA_VERSION, "lost": _bytes(losses(net)), **texts, **tree}


def _tree(group: h5py.Group) -> dict[str, Any]:
    items: dict[str, Any] = dict(group.items())
    return {name: _tree(item) if isinstance(item, h5py.Group) else item[()] for name, item in items.items()}


def _bytes(texts: list[str]) -> NDArray[Any]:
    return np.array([text.encode() for text in texts])


def _read_metadata(group: Reader) -> Network:
    version = group.value("metadata_version")
    if version != METADATA_VERSION:
        raise FileError(f"unknown metadata version {version!r}: this lava-aug reads version {METADATA_VERSION}")
    texts = {"format", "method"}
    return read_network(group, {name: group.text(name) if name in texts else group.value(name) for name in _HEADER})


def _check_agreement(graph: Graph, expected: Graph) -> None:
    """Whoever changed the nodes did not change the metadata, which then no longer says what the graph computes."""
    different = [name for name in {**expected.nodes, **graph.nodes} if not _agree(name, graph, expected)]
    if not different and set(graph.edges) != set(expected.edges):
        different = ["edges"]
    if different:
        raise FileError(
            f"nodes and metadata disagree: {sorted(different)} changed after the export; "
            "read the nodes alone with load(path, metadata=False)"
        )


def _agree(name: str, graph: Graph, expected: Graph) -> bool:
    if name not in graph.nodes or name not in expected.nodes:
        return False
    (kind, fields), (expected_kind, wanted) = graph.nodes[name], expected.nodes[name]
    return kind == expected_kind and all(np.array_equal(fields.get(key, ()), wanted[key]) for key in wanted)


# Graphs


def _read_graph(group: Reader) -> Graph:
    """The nodes and edges of a file, with all the datasets of every node."""
    kind = group.text("type")
    if kind != "NIRGraph":
        raise FileError(f"{group.where}: expected type 'NIRGraph', found {brief(kind)}")
    listed = group.group("nodes")
    nodes = {name: _read_node(listed.group(name)) for name in listed.names}
    edges = group.texts("edges")
    if edges.dtype != object or edges.ndim != 2 or edges.shape[1] != 2:
        raise FileError(f"{group.where}: expected 'edges' to be pairs of names, found {brief(edges)}")
    for name in edges.ravel():
        if name not in nodes:
            raise FileError(f"{group.where}: an edge names {name!r}, which is none of {sorted(nodes)}")
    return Graph(nodes, [(str(a), str(b)) for a, b in edges])


def _read_node(group: Reader) -> Node:
    kind = group.text("type")
    if group.is_group("nodes"):
        raise FileError(f"{group.where}: nested graphs are not supported; flatten it")
    names = [name for name in group.names if name != "type" and not group.is_group(name)]
    return Node(kind, {name: _field(group, name) for name in names})


def _field(group: Reader, name: str) -> Any:
    values = group.texts(name)
    return values.item() if values.dtype == object and values.size == 1 else values
