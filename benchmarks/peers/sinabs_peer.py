# /// script
# requires-python = "==3.11.*"
# dependencies = ["sinabs==3.1.3", "torch==2.13.0", "numpy>=2,<3"]
# ///
"""sinabs' from_torch: neurons that may send several spikes of one sign in a step, in place of ReLUs; constant input.

As its documentation says: the activations are normalised to the threshold with its ``normalize_weights`` (99th
percentile), the network is converted with its defaults, and the first layer is scaled up, by a factor of 2 to 10, for
accuracy at the price of spikes; here by 1 and by 10. ``normalize_weights`` is made for layers without biases and leaves
those of later layers as they are, which would change what the network computes; here they are scaled along.

Sources: docs/tutorials/weight_scaling.md, docs/tutorials/weight_transfer_mnist.ipynb and sinabs/utils.py in
github.com/synsense/sinabs; for the biases, Rueckauer et al., doi 10.3389/fnins.2017.00682, which it refers to.
"""

from typing import Any

import torch
from exchange import Task, to_input
from running import Converter, Spiking, main
from sinabs.from_torch import from_model  # pyright: ignore[reportMissingImports]
from sinabs.layers import StatefulLayer  # pyright: ignore[reportMissingImports]
from sinabs.utils import normalize_weights, reset_states  # pyright: ignore[reportMissingImports]
from torch import fx, nn


def is_chain(net: fx.GraphModule) -> bool:
    """Whether every layer feeds the next one and no other."""
    return all(len(node.all_input_nodes) <= 1 and len(node.users) <= 1 for node in net.graph.nodes)


def weighted(net: nn.Module) -> list[tuple[str, Any]]:
    """The layers with weights, in order."""
    return [(name, module) for name, module in net.named_children() if isinstance(module, (nn.Conv2d, nn.Linear))]


def normalize(net: fx.GraphModule, calibration: torch.Tensor) -> None:
    """Bring the activations of a chain to about 1, layer by layer; what it computes changes by a factor only."""
    names = [name for name, _ in net.named_children()]
    layers = weighted(net)
    for index, (name, module) in enumerate(layers[:-1]):
        activation = next(
            later for later in names[names.index(name) :] if isinstance(net.get_submodule(later), nn.ReLU)
        )
        before = module.weight.detach().clone()
        normalize_weights(net, calibration, [activation], [name])
        scale_biases(layers[index + 1 :], float(module.weight.abs().sum() / before.abs().sum()))


def scale_biases(layers: list[tuple[str, Any]], factor: float) -> None:
    """Multiply the biases of layers."""
    for _, module in layers:
        module.bias *= factor


def scale_up(net: fx.GraphModule, factor: float) -> None:
    """Multiply all activations: the weights of layers on the input, and all biases."""
    for node in net.graph.nodes:
        if node.op == "call_module" and any(source.op == "placeholder" for source in node.all_input_nodes):
            net.get_submodule(str(node.target)).weight *= factor
    scale_biases(weighted(net), factor)


def converter(factor: float) -> Converter:
    """A conversion with the first layer scaled up."""

    def convert(net: fx.GraphModule, task: Task) -> Spiking:
        chain = is_chain(net)
        if chain:
            normalize(net, to_input(task.calibration))
        scale_up(net, factor)
        snn = from_model(net, num_timesteps=1, add_spiking_output=False).spiking_model
        spiking = [module for module in snn.modules() if isinstance(module, StatefulLayer)]
        how = "normalised, biases too" if chain else "not normalised, as normalize_weights takes chains of layers only"
        return Spiking(snn, lambda: reset_states(snn), spiking, f"{how}; first layer times {factor:g}")

    return convert


MODES = {"sinabs": converter(1), "sinabs x10": converter(10)}

if __name__ == "__main__":
    main("sinabs", MODES)
