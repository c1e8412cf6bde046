"""What NIR nodes cannot express of a network."""

from collections.abc import Callable

import numpy as np

from lava_aug.core.network import Layer, Network
from lava_aug.core.neurons import Neuron
from lava_aug.nir.nodes import FIRING, Graph, graph_of


def losses(net: Network) -> list[str]:
    """What readers that run the nodes and ignore our metadata lose, one line for each."""
    firing = [layer for layer in net if type(layer.neuron) in FIRING]
    found = [f"{what}: {_names(layers)}" for what, has in _LOSSES if (layers := [a for a in firing if has(a.neuron)])]
    graph = graph_of(net)
    if not net.is_float:
        found.append("v stays within 24 bits")
    found.append("the readout sums its input over the time steps")
    if graph.nodes["input"].fields["shape"][0] > net.input_shape[0]:
        found.append("the images have an additional last channel, which is 1 everywhere in every step")
    if net.heads:
        found.append("the output is several tensors, one after the other")
    if not type_checks(graph):
        found.append("nir assumes square windows: read it with nir.read(path, type_check=False)")
    return found


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
