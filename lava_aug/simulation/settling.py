"""The readout of an AugMapping network after T steps, at the cost of one forward pass.

With ``vth_lo = -1``, without saturation and without caps, an augmented neuron's sum of spike coefficients after T steps
is ``n = max(0, floor((v0 + sum of (a + b)) / vth))``, whatever the order of its inputs (docs/arithmetic.md has the
proof). So the total that a layer has sent follows from the total that the previous layer has sent, and the images count
T times. Signed neurons omit the maximum, and ``n_max * T`` adds a minimum. Max pooling takes maxima of sums,
and functions by a table are those of the mean.
"""

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.core import fixed_point
from lava_aug.core.errors import NetworkError
from lava_aug.core.images import Images, Payloads, Progress, check_network, check_num_steps
from lava_aug.core.network import INPUT, Layer, Network
from lava_aug.core.results import check_labels, check_one_head, split_heads
from lava_aug.core.texts import brief, counted
from lava_aug.core.walks import images_per_batch, last, walk
from lava_aug.kernels.batches import exact_arithmetic, largest_magnitude, torch_kernels
from lava_aug.simulation.simulator import torch_device

MARGIN = 2
"""How far potentials must stay within 24 bits at the end for us to believe that they did on the way, and mean spike
coefficients below the payload's limit: on the way they differ from the mean by rounding, not by a factor."""


@dataclasses.dataclass(frozen=True, repr=False)
class Settled:
    """The readout after ``num_steps`` time steps.

    Attributes
    ----------
    network : Network
        The network.
    num_steps : int
        Time steps.
    v : numpy.ndarray
        Readout after the last step, ``(B, *readout shape)``, int64: ``simulate(...).v[-1]``, bit for bit.
    labels : numpy.ndarray or None
        True classes ``(B,)``, if the images came with them.
    """

    network: Network
    num_steps: int
    v: NDArray[Any]
    labels: NDArray[Any] | None = None

    def __repr__(self) -> str:
        images, steps = counted(len(self.v), "image"), counted(self.num_steps, "time step")
        return f"<Settled: {images}, {steps}, v {brief(self.v)}>"

    @property
    def logits(self) -> NDArray[Any]:
        """The readout in the ANN's units, float64, shape as ``v``."""
        return self.v * (self.network.readout.quantum / self.num_steps)

    @property
    def heads(self) -> dict[str, NDArray[Any]]:
        """`logits` of each head, if there are several: ``(B, *head's shape)`` by name."""
        return split_heads(self.network, self.logits)

    @property
    def predictions(self) -> NDArray[Any]:
        """Index of the largest readout, over the first axis of its shape: ``(B, ...)``; InputError if it has heads."""
        check_one_head(self.network)
        return self.v.argmax(axis=1)

    def accuracy(self, labels: Any = None) -> float:
        """Fraction of correct predictions, by default those of the labels that came with the images.

        Raises
        ------
        InputError
            If there is not one integer label per image.
        """
        expected = check_labels(labels, self.predictions.shape, self.labels)
        return float((self.predictions == expected).mean())


def settle(
    net: Network,
    images: Images,
    num_steps: int | None = None,
    *,
    batch_size: int | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Settled:
    """The readout of an AugMapping network after ``num_steps`` steps, in one forward pass instead of ``num_steps``.

    Parameters
    ----------
    net : Network
        Augmented neurons with ``vth_lo = -1``, max pooling and functions throughout; in fixed point.
    images : Images
        As for `simulate`.
    num_steps : int, optional
        Time steps per image; default ``net.num_steps``.
    batch_size : int, optional
        Images per batch; by default for about 8 million neurons in total. Images in a memory-mapped file are read batch
        by batch.
    device : str or torch.device
        Where to compute.
    progress : callable, optional
        Called after every batch with the number of finished images and their total.

    Returns
    -------
    Settled
        The same readout as ``simulate(net, images, num_steps).v[-1]``.

    Raises
    ------
    NetworkError
        If the theorem does not hold for the network, or potentials or spikes come so close to their limits on these
        images that some may have been clipped in between. The message names the layer and the reason; `simulate`
        accepts any network.
    InputError
        As `simulate`.
    """
    check_network(net)
    check_theorem(net)
    x, steps = Payloads(net, images), check_num_steps(net, num_steps)
    size = images_per_batch(net, batch_size)
    settler = _Settler(net, steps, torch_device(device))
    parts = [settler.run(batch) for batch in x.batches(size, progress)]
    return Settled(net, steps, np.concatenate(parts), x.labels)


def check_theorem(net: Network) -> None:
    """NetworkError if the theorem does not hold for a network, whatever the images."""
    if net.is_float:
        raise NetworkError("settle: the network computes in floating point, where the theorem does not hold exactly")
    for layer in net:
        if layer.neuron.no_total:
            raise NetworkError(f"settle: layer {layer.name!r} {layer.neuron.no_total}; simulate takes any network")


class _Settler:
    def __init__(self, net: Network, num_steps: int, device: torch.device) -> None:
        self.net, self.num_steps, self.device = net, num_steps, device
        self.kernels = torch_kernels(net, device)
        self.constants = {layer.name: self._constant(layer) for layer in net}

    def _constant(self, layer: Layer) -> torch.Tensor:
        """What comes in whatever the images: ``v0`` and the biases of all steps."""
        bias = np.zeros(()) if layer.bias is None else layer.bias.astype(np.float64)
        total = bias * self.num_steps + layer.neuron.initial()[0]
        return torch.tensor(total, dtype=torch.float64, device=self.device)

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """The readout for one batch of payloads."""
        with torch.no_grad(), exact_arithmetic(self.device):
            images = torch.tensor(x, device=self.device).to(torch.float32) * self.num_steps
            _, _, readout = last(walk(self.net, images, self._total, self._settled))
            return readout.to(torch.int64).cpu().numpy()

    def _total(self, layer: Layer, sent: list[torch.Tensor]) -> torch.Tensor:
        """``v0`` and everything that has come in: float32 if all of it is exact there."""
        constant = self.constants[layer.name]
        currents = [kernel(n) for (_, kernel), n in zip(self.kernels[layer.name], sent, strict=True)]
        bound = sum(map(largest_magnitude, currents)) + largest_magnitude(constant)
        dtype = torch.float32 if bound <= 1 << 24 else torch.float64
        total = currents[0].to(dtype) + constant.to(dtype)
        for current in currents[1:]:
            total += current.to(dtype)
        return total

    def _settled(self, layer: Layer, total: torch.Tensor) -> torch.Tensor:
        """The sum of the spike coefficients; of the readout, the potential."""
        n = layer.neuron.settled(total, self.num_steps)
        steady = set(layer.sources) == {INPUT}
        if layer.neuron.swing(total, n, self.num_steps, steady=steady) > (1 << (fixed_point.STATE_BITS - 1)) / MARGIN:
            raise NetworkError(
                f"settle: potentials of layer {layer.name!r} come close to the {fixed_point.STATE_BITS}-bit limit "
                f"within {counted(self.num_steps, 'step')}, so some may have been clipped; use fewer steps, or simulate"
            )
        largest = largest_magnitude(n)
        if layer.neuron.fires:
            self._check_payload(layer, largest / self.num_steps)
        return n.to(torch.float32) if largest <= 1 << 24 else n

    def _check_payload(self, layer: Layer, mean: float) -> None:
        limit = layer.neuron.coefficient_limit
        if mean > limit / MARGIN:
            raise NetworkError(
                f"settle: layer {layer.name!r} sends up to {mean:.0f} per step, and {layer.neuron.payload_bits}-bit "
                f"payloads hold up to {limit}: spikes may have been capped; "
                "use more message bits or a coarser resolution, or simulate"
            )
