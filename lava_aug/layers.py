"""The synapses of a `Network` built by hand: what a layer does with the spikes that it takes."""

from lava_aug.core.layers import Conv, ConvTranspose, Dense, Relay, Scale, Sparse, SumPool, Synapse

__all__ = ["Conv", "ConvTranspose", "Dense", "Relay", "Scale", "Sparse", "SumPool", "Synapse"]
