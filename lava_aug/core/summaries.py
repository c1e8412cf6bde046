"""Summaries of a network: as a table, and as plain values."""

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from lava_aug.core import fixed_point
from lava_aug.core.layers import INPUT, INPUT_LEVELS, Shape
from lava_aug.core.spec import Numbers
from lava_aug.core.tables import Table
from lava_aug.core.texts import counted, printable

if TYPE_CHECKING:
    from lava_aug.core.network import Layer, Network

EITHER = "0 = vth/2"
"""A start that is both, as that of relays of ``vth = 1``: told only if there is no other."""


def layers_table(net: "Network") -> Table:
    """The layers, with the network's own figures above and below: see `Network.summary`."""
    head = ("layer", "type", "neuron", "shape", "neurons", "vth", "weights", "synapses", "inputs")
    neurons = sum(math.prod(net.shapes[layer.name]) for layer in net)
    weights = sum(layer.num_weights for layer in net)
    synapses = sum(net.num_synapses(layer.name) for layer in net)
    method = printable(net.method, keep="")
    arithmetic = "floating point" if net.is_float else f"fixed point, {fixed_point.STATE_BITS}-bit state"
    caption = [
        f"{method}, resolution {net.resolution:g}, {counted(net.num_steps, 'time step')}, {arithmetic}",
        f"input {INPUT}: shape {_by(net.input_shape)}, graded spikes 0 .. {INPUT_LEVELS}",
        *_named("inputs", net.inputs),
        *([f"normalised in the first layer: {net.normalize.describe()}"] if net.normalize else []),
        *([net.fidelity.describe()] if net.fidelity else []),
    ]
    note = [
        *_named("heads", net.heads),
        f"total: {neurons:,} neurons, {weights:,} weights, {synapses:,} synapses, depth {net.depth}",
        *_options(net),
    ]
    left = ("type", "neuron", "shape", "inputs")
    return Table(head, [_row(net, layer) for layer in net], "\n".join(caption), "\n".join(note), left=left)


def _named(kind: str, tensors: Iterable[tuple[str, Shape]]) -> list[str]:
    told = ", ".join(f"{printable(name, keep='')} {_by(shape)}" for name, shape in tensors)
    return [f"{kind}: {told}"] if told else []


def described(net: "Network") -> dict[str, Any]:
    """What `summary` says, as plain values: see `Network.to_dict`."""
    return {
        "method": net.method,
        "resolution": net.resolution,
        "num_steps": net.num_steps,
        "is_float": net.is_float,
        "input_shape": list(net.input_shape),
        "normalize": net.normalize and {name: getattr(net.normalize, name).tolist() for name in ("mean", "std")},
        "fidelity": net.fidelity and {name: getattr(net.fidelity, name) for name, _ in net.fidelity.declarations()},
        "depth": net.depth,
        "layers": [_described(net, layer) for layer in net],
        "inputs": [{"name": name, "shape": list(shape)} for name, shape in net.inputs],
        "heads": [{"name": head.name, "shape": list(head.shape)} for head in net.heads],
    }


def _described(net: "Network", layer: "Layer") -> dict[str, Any]:
    vth = layer.neuron.threshold
    return {
        "name": layer.name,
        "types": [c.synapse.type_name for c in layer.connections],
        "inputs": list(layer.sources),
        "neuron": layer.neuron.type_name,
        "shape": list(net.shapes[layer.name]),
        "vth": None if vth is None else np.asarray(vth).tolist(),
        "weights": layer.num_weights,
        "synapses": net.num_synapses(layer.name),
    }


def _row(net: "Network", layer: "Layer") -> tuple[str, ...]:
    vth = layer.neuron.threshold
    shape = net.shapes[layer.name]
    return (
        layer.name,
        " + ".join(c.synapse.describe() for c in layer.connections) + (f" ({layer.note})" if layer.note else ""),
        layer.neuron.describe(),
        _by(shape),
        f"{math.prod(shape):,}",
        "-" if vth is None else _range(vth),
        f"{layer.num_weights:,}",
        f"{net.num_synapses(layer.name):,}",
        ", ".join(_inputs(net, layer)),
    )


def _inputs(net: "Network", layer: "Layer") -> Iterator[str]:
    for connection, delay in zip(layer.connections, net.delays(layer.name), strict=True):
        yield connection.source + (f" (delay {delay})" if delay else "")


def _options(net: "Network") -> list[str]:
    """Which of the neurons' numbers beside the threshold are in force, where layers differ all of them."""
    values_by_name: dict[str, set[str]] = {}
    for layer in net:
        vth, columns = layer.neuron.threshold, list(layer.neuron.thresholds)[:1]
        for name, value in layer.neuron.numbers().items():
            if name not in columns:
                values_by_name.setdefault(name, set()).add(_option(name, value, vth))
    texts = [f"{name} {' / '.join(sorted(values - {EITHER} or values))}" for name, values in values_by_name.items()]
    return [f"options: {', '.join(texts)}"] if texts else []


def _option(name: str, value: Numbers, vth: Numbers | None) -> str:
    if vth is not None and name == "vth_lo" and np.all(value == -vth) and np.any(vth != 1):
        return "-vth"
    if vth is not None and name == "v0" and np.all(value == (vth / 2 if _is_float(vth) else vth // 2)):
        return "vth/2" if np.any(value != 0) else EITHER
    return _range(value)


def _is_float(value: Numbers) -> bool:
    return np.asarray(value).dtype.kind == "f"


def _range(value: Numbers) -> str:
    """A number, or the smallest and the largest element of an array."""
    low, high = (_number(extreme.item()) for extreme in (np.min(value), np.max(value)))
    return low if low == high else f"{low}..{high}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _by(shape: Shape) -> str:
    return "x".join(map(str, shape))
