# /// script
# requires-python = "==3.11.*"
# dependencies = ["spikingjelly==2.0.0", "torch==2.13.0", "numpy>=2,<3"]
# ///
"""SpikingJelly's ann2snn: integrate-and-fire neurons with soft reset in place of ReLUs, constant input.

The modes are those of its documentation: MaxNorm and RobustNorm, and its newer local threshold balancing.

Sources: docs/source/tutorials/en/ann2snn.rst and activation_based/ann2snn/examples/cnn_mnist.py in
github.com/fangwei123456/spikingjelly; the method of the last, Bu, Li, Yu, arXiv 2409.03368.
"""

from collections.abc import Callable
from typing import Any

from exchange import Task, to_input
from running import Spiking, main
from spikingjelly.activation_based import ann2snn, functional, neuron  # pyright: ignore[reportMissingImports]
from torch import Tensor, fx

BATCH_SIZE = 25
UPDATES = 600
"""Batches for local threshold balancing, which moves its thresholds a little with every one: as many as in the
documentation's example, which has 60,000 images of them in batches of 100. Here the same images come round again."""


def converter(recipe: Callable[[list[Tensor]], Any], updates: int | None = None) -> Any:
    """A conversion by a recipe, with the calibration images once, or again and again."""

    def convert(net: fx.GraphModule, task: Task) -> Spiking:
        batches = list(to_input(task.calibration).split(BATCH_SIZE))
        rounds = 1 if updates is None else -(-updates // len(batches))
        snn = ann2snn.FXConverter(recipe=recipe(batches * rounds)).convert(net).eval()
        spiking = [module for module in snn.modules() if isinstance(module, neuron.BaseNode)]
        note = f"{len(task.calibration)} calibration images" + (f", {rounds} times" if rounds > 1 else "")
        return Spiking(snn, lambda: functional.reset_net(snn), spiking, note)

    return convert


MODES = {
    "SpikingJelly max": converter(lambda batches: ann2snn.RateCodingRecipe(dataloader=batches, mode="max")),
    "SpikingJelly 99.9%": converter(lambda batches: ann2snn.RateCodingRecipe(dataloader=batches, mode="99.9%")),
    "SpikingJelly LTB": converter(
        lambda batches: ann2snn.LocalThresholdBalancingRecipe(dataloader=batches), updates=UPDATES
    ),
}

if __name__ == "__main__":
    main("spikingjelly", MODES)
