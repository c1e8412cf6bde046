"""The neurons of a `Network` built by hand."""

from lava_aug.core.neurons import (
    AugmentedNeuron,
    DoubleThresholdNeuron,
    FunctionNeuron,
    MaxPoolNeuron,
    Neuron,
    ProductNeuron,
    RateNeuron,
    ReadoutNeuron,
)

__all__ = [
    "AugmentedNeuron",
    "DoubleThresholdNeuron",
    "FunctionNeuron",
    "MaxPoolNeuron",
    "Neuron",
    "ProductNeuron",
    "RateNeuron",
    "ReadoutNeuron",
]
