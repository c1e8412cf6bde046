"""Augmented neurons: graded spikes that represent several double-threshold spikes of one time step."""

from lava_aug.core.neurons import AugmentedNeuron
from lava_aug.processes.neuron_process import SpikingProcess


class AugmentedIF(SpikingProcess):
    """Fires, in one graded spike, as many double-threshold spikes as fit into the step.

    Parameters are those of `lava_aug.core.neurons.AugmentedNeuron` and of `NeuronProcess`; ports and Vars those of
    `SpikingProcess`.
    """

    spec = AugmentedNeuron
