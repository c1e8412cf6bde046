"""A new network, tried on calibration images: how near it is to its model, and what overflows."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.conversion.calibration import as_intensity, evenly_spaced
from lava_aug.conversion.float_layers import FloatGraph
from lava_aug.core.errors import NetworkError, OverflowWarning
from lava_aug.core.fidelity import fidelity
from lava_aug.core.network import Network
from lava_aug.core.walks import batches, images_per_batch, that_fit
from lava_aug.simulation.planning import plan
from lava_aug.simulation.settling import settle
from lava_aug.simulation.simulator import simulate

MOST_IMAGES, NEURONS = 256, 1 << 26
"""Images that are tried: this number, or the number that makes this many neurons."""

SIMULATED_STEPS = 32
"""Total time steps, of one image or of several that take fewer, for which networks are tried that do not settle."""


def tried(net: Network, graph: FloatGraph, images: NDArray[Any]) -> tuple[Network, tuple[str, ...]]:
    """The network with its fidelity, and what overflows on some of the calibration images.

    Nothing overflows where a network settles; where it does not, it is simulated.
    """
    some = evenly_spaced(images, min(MOST_IMAGES, that_fit(net.shapes.values(), NEURONS)))
    problems: tuple[str, ...] = ()
    try:
        logits = settle(net, some).logits
    except NetworkError:
        some = evenly_spaced(some, SIMULATED_STEPS // min(net.num_steps, SIMULATED_STEPS))
        problems = () if net.is_float else plan(net, some).problems
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OverflowWarning)  # which are the problems
            logits = simulate(net, some, counts="sum", readouts="last").logits[-1]
    parts = batches(some, images_per_batch(net, None), None)
    wanted = np.concatenate([graph.readout(as_intensity(part)).double().numpy() for part in parts])
    predicts = not net.heads and logits.shape[1] > 1
    found = fidelity(logits, wanted.reshape(logits.shape), predicts=predicts)
    return net.replace(fidelity=found), tuple(f"on calibration images, {problem}" for problem in problems)
