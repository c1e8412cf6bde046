"""Double-threshold neurons: spikes of both signs."""

from lava_aug.core.neurons import DoubleThresholdNeuron
from lava_aug.processes.neuron_process import SpikingProcess


class DoubleThresholdIF(SpikingProcess):
    """Fires +1 at ``v >= vth``, and -1 at ``v <= vth_lo`` while ``n > 0``.

    Parameters are those of `lava_aug.core.neurons.DoubleThresholdNeuron` and of `NeuronProcess`; ports and Vars those
    of `SpikingProcess`.
    """

    spec = DoubleThresholdNeuron
