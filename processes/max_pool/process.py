"""Max pooling: the total that it has sent is the maximum, over each window, of the inputs' running sums."""

from lava_aug.core.neurons import MaxPoolNeuron
from lava_aug.processes.neuron_process import SpikingProcess


class MaxPool(SpikingProcess):
    """The maximum over the running sums; parameters are those of `lava_aug.core.neurons.MaxPoolNeuron`.

    Ports and Vars are those of `SpikingProcess`, without thresholds. ``s_out`` and ``n`` have the shape of the pooled
    map, ``a_in`` and ``v`` that of the map. A bias is refused.
    """

    spec = MaxPoolNeuron
