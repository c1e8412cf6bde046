"""The theorem: what an AugMapping network computes in all, which fast implementations are held against."""

from typing import Any

import numpy as np
import torch

from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import MaxPoolNeuron


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
