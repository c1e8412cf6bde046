"""Integrate-and-fire neurons with soft reset."""

from lava_aug.core.neurons import RateNeuron
from lava_aug.processes.neuron_process import SpikingProcess


class IntegrateFire(SpikingProcess):
    """Fires +1 at ``v >= vth`` and takes ``vth`` off ``v``.

    Parameters are those of `lava_aug.core.neurons.RateNeuron` and of `NeuronProcess`; ports and Vars those of
    `SpikingProcess`.
    """

    spec = RateNeuron
