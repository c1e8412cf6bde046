"""What each layer of a network asks of Loihi 2: counts, widths, and estimates of memory and cores.

Estimates follow these formulas, with ``b`` the bits of a weight and 4 bytes for each variable of a neuron's state::

    memory, at least   neurons * state_bytes + stored weights * b / 8      (convolutions share their weights)
    memory, at most    neurons * state_bytes + synapses * b / 8
    cores              max(neurons / neurons_per_core, memory / memory_per_core), each rounded up

A core holds neurons of one layer only. What a synapse, an axon or microcode really takes is not public
(`lava_aug.loihi2.limits.NOT_PUBLIC`), and the images are not counted: how they reach the chip depends on the board.
"""

import dataclasses
import math

import numpy as np

from lava_aug.core.network import Layer, Network
from lava_aug.loihi2.limits import LIMITS
from lava_aug.simulation.planning import LayerPlan

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
