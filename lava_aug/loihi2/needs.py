"""The public limits of Intel's Loihi 2, each with its source, and what each layer of a network asks of it.

No number here was measured: nothing has been run on the chip itself. Intel shares the full documentation with members
of its research community (INRC) only, so the limits come from publications and from Lava's open-source code.

Estimates follow these formulas, with ``b`` the bits of a weight and 4 bytes for each variable of a neuron's state::

    memory, at least   neurons * state_bytes + stored weights * b / 8      (convolutions share their weights)
    memory, at most    neurons * state_bytes + synapses * b / 8
    cores              max(neurons / neurons_per_core, memory / memory_per_core), each rounded up

A core holds neurons of one layer only. What a synapse, an axon or microcode really takes is not public
(`NOT_PUBLIC`), and the images are not counted: how they reach the chip depends on the board.
"""

import dataclasses
import math

import numpy as np

from lava_aug.core.network import Layer, Network
from lava_aug.simulation.planning import LayerPlan

SOURCES = {
    "brief": 'Intel Labs, "Taking Neuromorphic Computing to the Next Level with Loihi 2", technology brief, 2021',
    "WikiChip": "WikiChip, Loihi 2 - Intel, https://en.wikichip.org/wiki/intel/loihi_2, 2021",
    "Open Neuromorphic": "Open Neuromorphic, Loihi 2 - Intel, "
    "https://open-neuromorphic.org/neuromorphic-computing/hardware/loihi-2-intel/",
    "Tom's Hardware": "A. Shilov, Intel Reveals 4nm Loihi 2 Neuromorphic Research Chip, Tom's Hardware, 2021",
    "Lava Dense": "lava-nc 0.10.0, lava/proc/dense/models.py, PyDelayDenseModelBitAcc",
    "Lava GradedVec": "lava-nc 0.10.0, lava/proc/graded/models.py, PyGradedVecModelFixed",
    "Lava LIF": "lava-nc 0.10.0, lava/proc/lif/models.py, PyLifModelBitAcc",
    "netx": "lava-dl 0.6.0, lava/lib/dl/netx/utils.py, num_delay_bits",
    "nengo-loihi": "nengo-loihi 1.1.0, nengo_loihi/block.py, of the first Loihi",
}
"""Who says what, by a short name."""


@dataclasses.dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes
    ----------
    what : str
        What is limited.
    value : int
        The largest that fits.
    unit : str
        Unit of the value; empty for plain counts.
    sources : tuple of str
        Who says so, names in `SOURCES`.
    loihi1 : int or None
        The same of the first Loihi, for comparison, where it is known.
    """

    what: str
    value: int
    unit: str
    sources: tuple[str, ...]
    loihi1: int | None = None

    def __str__(self) -> str:
        return f"{self.value:,} {self.unit}".rstrip()


LIMITS = {
    "cores": Limit("neuromorphic cores per chip", 128, "", ("brief", "WikiChip"), 128),
    "neurons": Limit("neurons per chip", 1_000_000, "", ("brief", "Open Neuromorphic"), 131_072),
    "synapses": Limit("synapses per chip", 120_000_000, "", ("brief", "Open Neuromorphic"), 130_000_000),
    "neurons_per_core": Limit("neurons per core", 8192, "", ("WikiChip",), 1024),
    "memory": Limit("memory per core, for all purposes", 192 * 1024, "bytes", ("brief", "Tom's Hardware")),
    "neuron_state": Limit("state per neuron", 4096, "bytes", ("brief", "Tom's Hardware"), 24),
    "payload": Limit("payload of a graded spike", 32, "bits", ("brief", "Open Neuromorphic"), 1),
    "lava_payload": Limit("payload of a graded spike in Lava", 24, "bits", ("Lava GradedVec",)),
    "weight": Limit("signed weight in Lava, besides its exponent", 8, "bits", ("Lava Dense",)),
    "state": Limit("membrane potential in Lava", 24, "bits", ("Lava LIF",), 24),
    "delay": Limit("synaptic delay (6 bits; netx reserves one value)", 62, "time steps", ("Lava Dense", "netx")),
    "axons": Limit("axons into, or out of, a core (first Loihi)", 4096, "", ("nengo-loihi",), 4096),
}
"""Every limit by name. Memory is counted in units of 1,024 bytes, on which the sources are silent."""

NOT_PUBLIC = (
    "how synapses are stored: estimates count the bits of the weights alone, with each weight stored once for the "
    "minimum (convolutions share their weights), and once per synapse for the maximum",
    "how much memory a neuron's state takes: estimates count 4 bytes per variable",
    "how much memory axons, routing tables and microcode take: estimates leave them out",
    "how many axons a core has: the first Loihi's number is used instead",
    "which instructions microcode has, beyond arithmetic, comparison and control flow: a division may need a loop",
    "how a neuron could keep its inputs separate, which max pooling and products need",
    "how wide integers of microcode may be: functions by a table and products need up to 63 bits on the way",
)
"""What is not public, and what the estimates do instead."""


WORD_BYTES = 4
"""Assumed: a variable of up to 32 bits in a word of its own, a wider one in several."""


@dataclasses.dataclass(frozen=True)
class LayerNeeds:
    """What one layer asks of the chip.

    Attributes
    ----------
    name : str
        The layer.
    neurons, synapses : int
        How many; synapses that share a weight are counted each.
    fan_in, fan_out : int
        Most synapses into, and out of, one neuron.
    weight_bits, payload_bits, state_bits : int
        Widths of a weight (without a power of two that all share), of a spike, and of the state's widest variable.
    variables : tuple of str
        What a neuron has to keep.
    axons_in, axons_out : int
        Neurons and images' elements that send to the layer; and what its neurons send to, layer by layer.
    delay : int
        Most time steps that one of its connections waits.
    bytes_least, bytes_most : int
        Estimated memory, with shared weights and without.
    cores_least, cores_most : int
        Estimated cores, for these.
    """

    name: str
    neurons: int
    fan_in: int
    fan_out: int
    synapses: int
    weight_bits: int
    payload_bits: int
    state_bits: int
    variables: tuple[str, ...]
    axons_in: int
    axons_out: int
    delay: int
    bytes_least: int
    bytes_most: int
    cores_least: int
    cores_most: int

    @property
    def state_bytes(self) -> int:
        """Estimated memory of one neuron's state."""
        return _state_bytes(self.variables, self.state_bits)


def needs(net: Network, layer: Layer, widths: LayerPlan) -> LayerNeeds:
    """What a layer asks for, given the widths that `lava_aug.simulation.planning.plan` found."""
    neurons = math.prod(net.shapes[layer.name])
    synapses = net.num_synapses(layer.name)
    bits = widths.weight_bits or 1  # relays and sums have weights 1
    variables = _variables(layer)
    state_bits = max(variable.bits for variable in layer.neuron.variables if variable.count)
    state = neurons * _state_bytes(variables, state_bits)
    least, most = (state + math.ceil(count * bits / 8) for count in (layer.num_weights, synapses))
    return LayerNeeds(
        name=layer.name,
        neurons=neurons,
        fan_in=_fan_in(net, layer),
        fan_out=_fan_out(net, layer),
        synapses=synapses,
        weight_bits=bits,
        payload_bits=layer.neuron.payload_bits,
        state_bits=state_bits,
        variables=variables,
        axons_in=sum(math.prod(net.shapes[source]) for source in set(layer.sources)),
        axons_out=neurons * len({consumer.name for consumer, _ in net.consumers(layer.name)}),
        delay=max(net.delays(layer.name)),
        bytes_least=least,
        bytes_most=most,
        cores_least=_cores(neurons, least),
        cores_most=_cores(neurons, most),
    )


def _cores(neurons: int, memory: int) -> int:
    return max(math.ceil(neurons / LIMITS["neurons_per_core"].value), math.ceil(memory / LIMITS["memory"].value))


def _state_bytes(variables: tuple[str, ...], bits: int) -> int:
    return WORD_BYTES * math.ceil(bits / (8 * WORD_BYTES)) * len(variables)


def _variables(layer: Layer) -> tuple[str, ...]:
    """What a neuron keeps: its state, and a bias of its own."""
    own_bias = layer.bias is not None and layer.bias.size > 1
    names = [name for variable in layer.neuron.variables for name in _numbered(variable.name, variable.count)]
    return (*names, *(["bias"] if own_bias else []))


def _numbered(name: str, count: int) -> list[str]:
    """A name for each of several variables: ``v``, or ``v0``, ``v1``, …"""
    return [name] * count if count < 2 else [f"{name}{k}" for k in range(count)]


def _fan_in(net: Network, layer: Layer) -> int:
    """Most synapses into one neuron, over all connections."""
    total = np.sum([c.synapse.connectivity(net.shapes[c.source]).fan_in for c in layer.connections], axis=0)
    return int(total.max()) * layer.neuron.inputs


def _fan_out(net: Network, layer: Layer) -> int:
    return int(np.max(sum(net.fan_outs(layer.name).values())))
