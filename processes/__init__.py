"""Lava Processes and ProcessModels: one sub-package each, and the tables that join them to the specifications.

Lava finds ProcessModels by executing every file in a Process's folder, again for every instance. So each folder holds
``process.py`` and ``models.py`` and nothing else, and whatever they share stands beside the folders.
"""

from lava_aug.processes.augmented_if.process import AugmentedIF
from lava_aug.processes.double_threshold_if.process import DoubleThresholdIF
from lava_aug.processes.image_source.process import ImageSource
from lava_aug.processes.integrate_fire.process import IntegrateFire
from lava_aug.processes.layer_processes import PROCESSES, LayerProcesses
from lava_aug.processes.max_pool.process import MaxPool
from lava_aug.processes.neuron_process import NeuronProcess
from lava_aug.processes.probe.process import Probe
from lava_aug.processes.readout.process import Readout
from lava_aug.processes.recorder.process import Recorder
from lava_aug.processes.spiking_network.process import SpikingNetwork
from lava_aug.processes.synapses.process import Synapses

__all__ = [
    "PROCESSES",
    "AugmentedIF",
    "DoubleThresholdIF",
    "ImageSource",
    "IntegrateFire",
    "LayerProcesses",
    "MaxPool",
    "NeuronProcess",
    "Probe",
    "Readout",
    "Recorder",
    "SpikingNetwork",
    "Synapses",
]
