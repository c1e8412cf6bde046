"""Lava Processes and ProcessModels.

Lava finds ProcessModels by executing every other file in a Process's folder, again for every object. So Processes are
in the ``__init__.py`` of folders that hold nothing else, and whatever they share stands beside the folders.
"""

from lava_aug.processes.io import ImageSource, Probe, Recorder
from lava_aug.processes.neurons import Neurons
from lava_aug.processes.other_neurons import MaxPool, Readout
from lava_aug.processes.spiking_network import LayerProcesses, SpikingNetwork
from lava_aug.processes.synapses import Synapses
from lava_aug.processes.threshold_neurons import AugmentedIF, DoubleThresholdIF, IntegrateFire

__all__ = [
    "AugmentedIF",
    "DoubleThresholdIF",
    "ImageSource",
    "IntegrateFire",
    "LayerProcesses",
    "MaxPool",
    "Neurons",
    "Probe",
    "Readout",
    "Recorder",
    "SpikingNetwork",
    "Synapses",
]
