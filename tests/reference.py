"""What the fast implementations are held against: a slow simulator in plain integers, and the theorem."""

from typing import Any

import numpy as np
import torch

from lava_aug.layers import Synapse
from lava_aug.network import INPUT, Layer, Network
from lava_aug.neurons import MaxPoolNeuron, initial_state
from lava_aug.results import COUNTS, Output


def current(layer: Layer, spikes: dict[str, np.ndarray]) -> np.ndarray:
    """Input current of a layer for the spikes of one image."""
    return np.sum([c.synapse.accumulate(spikes[c.source][None])[0] for c in layer.connections], axis=0)


def unit_weights(synapse: Synapse) -> Synapse:
    """The same synapses, each of weight 1, so that `accumulate` counts them."""
    weight = getattr(synapse, "weight", None)
    return synapse if weight is None else synapse.replace(weight=np.ones(weight.shape, np.int8))


def operations(layer: Layer, spikes: dict[str, np.ndarray]) -> int:
    """Events through the synapses into a layer, counted one by one."""
    fired = {source: (s != 0).astype(np.int64)[None] for source, s in spikes.items()}
    return sum(int(unit_weights(c.synapse).accumulate(fired[c.source]).sum()) for c in layer.connections)


def reference(net: Network, payloads: np.ndarray, num_steps: int) -> Output:
    """`simulate` with every spike recorded: one image, one step and one layer at a time, in int64 (or float64)."""
    size = (num_steps, len(payloads))
    firing = [INPUT, *(layer.name for layer in net if layer.neuron.fires)]
    named = [layer.name for layer in net]
    keys = dict(zip(COUNTS, (firing, firing, named, named, named), strict=True))
    counts: dict[str, Any] = {
        field: {name: np.zeros(size, np.int64) for name in names} for field, names in keys.items()
    }
    kept = {name: np.zeros((*size, *net.shapes[name]), np.int64) for name in firing}
    v = np.zeros((*size, *net.shapes[net.readout.name]), np.float64 if net.is_float else np.int64)
    for image, x in enumerate(payloads):
        spikes = {INPUT: x.astype(v.dtype)}
        states = {layer.name: initial_state(layer.neuron, net.current_shapes[layer.name]) for layer in net}
        for t in range(num_steps):
            for layer in net:
                counts["synops"][layer.name][t, image] = operations(layer, spikes)
                bias = 0 if layer.bias is None else layer.bias.astype(v.dtype)
                step = layer.neuron.step(states[layer.name], current(layer, spikes), bias)
                states[layer.name], spikes[layer.name] = step.state, step.s
                counts["saturated"][layer.name][t, image] = np.count_nonzero(step.saturated)
                counts["capped"][layer.name][t, image] = 0 if step.capped is None else np.count_nonzero(step.capped)
            for name in firing:
                kept[name][t, image] = spikes[name]
                counts["events"][name][t, image] = np.count_nonzero(spikes[name])
                counts["spike_sum"][name][t, image] = np.abs(spikes[name]).sum()
            v[t, image] = states[net.readout.name].v
    return Output(network=net, v=v, spikes=kept, **counts)


def _max_pooled(neuron: MaxPoolNeuron, total: np.ndarray) -> np.ndarray:
    options = (neuron.kernel_size, neuron.stride, neuron.padding, neuron.dilation, neuron.ceil_mode)
    return torch.nn.functional.max_pool2d(torch.tensor(total, dtype=torch.float64), *options).numpy().astype(np.int64)


def theorem(net: Network, payloads: np.ndarray, num_steps: int) -> dict[str, np.ndarray]:
    """The ANN that an AugMapping network equals: ``n`` of every layer, and ``v`` of the readout, after all steps.

    Integer weights and floor activations, one forward pass with ``num_steps`` times the input and the biases.
    """
    n = {INPUT: payloads.astype(np.int64) * num_steps}
    for layer in net:
        total = np.sum([c.synapse.accumulate(n[c.source]) for c in layer.connections], axis=0)
        total = total + num_steps * (0 if layer.bias is None else layer.bias.astype(np.int64))
        neuron: Any = layer.neuron
        if isinstance(neuron, MaxPoolNeuron):
            total = _max_pooled(neuron, total)
        elif neuron.fires:
            total = (total + neuron.v0) // neuron.vth
            total = total if neuron.n_max is None else np.minimum(total, num_steps * np.int64(neuron.n_max))
            total = total if neuron.signed else np.maximum(total, 0)
        n[layer.name] = total
    return n
