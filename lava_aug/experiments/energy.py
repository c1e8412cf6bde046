"""Estimates of energy, from counted operations and what single ones cost in 45 nm silicon.

Additions and multiplications are M. Horowitz's, "1.1 Computing's energy problem (and what we can do about it)", IEEE
ISSCC 2014, pp. 10-14, `doi 10.1109/ISSCC.2014.6757323 <https://doi.org/10.1109/ISSCC.2014.6757323>`_ (45 nm, 0.9 V):

=============  ==========  ===========
pJ             addition    product
=============  ==========  ===========
8-bit integer  0.03        0.2
32-bit         0.1         3.1
32-bit float   0.9         3.7
=============  ==========  ===========

A product of other widths, ``a`` by ``b`` bits, is priced as ``0.2 * a * b / 64``, by the size of an array multiplier;
for 32 by 32 bits that is 3.2 (our choice). All sums are priced as 32-bit ones, in ANN and spiking network alike.

What is counted:

- *ANN*, 8-bit integers: a product and an addition for every multiply-accumulate, an addition for every other sum
  (average pooling, residuals), and two for each neuron (bias, ReLU).
- *Synaptic operations*: an addition, and a product too where a spike can carry more than -1, 0 or 1 and the weights are
  other than -1, 0 and 1: input intensities, and everything that augmented neurons send. It has the widths of payload
  and weight, whatever the single payload is.
- *Neurons*, in every step, whether they fire or not: an addition for the bias, and a comparison, priced as an addition,
  for each threshold. Functions by a table take three products, one of them for a division by the number of steps.
  Products of two signals take one of 24 by 24 bits and an addition for each product of numbers, and two for each number
  that is sent.
- *Events*: an addition that resets the potential; for augmented spikes two products as well, 24 by 24 bits, for the
  division and for ``s * vth``, unless ``vth`` is a power of two.

What is left out: memory, which takes most of the energy in practice, routing of spikes, clocks, leakage, and the
reset between images. So these numbers compare the arithmetic of methods. They are not what a chip takes.
"""

import dataclasses
import math
from typing import Any

from lava_aug.conversion.calibration import as_intensity, labelled_images
from lava_aug.conversion.converter import checked_normalization
from lava_aug.conversion.onnx_files import Model, as_module
from lava_aug.conversion.signals import FloatLayer
from lava_aug.conversion.tracing import trace
from lava_aug.core.layers import Shape
from lava_aug.core.normalization import Normalization
from lava_aug.core.prices import ADDITION, product

ANN_BITS = 8


def ann_energy(macs: int, additions: int, neurons: int) -> float:
    """nJ of one pass of an ANN in 8-bit integers: multiply-accumulates, other additions, and neurons."""
    picojoules = macs * (product(ANN_BITS, ANN_BITS) + ADDITION) + (additions + 2 * neurons) * ADDITION
    return picojoules / 1000


@dataclasses.dataclass(frozen=True)
class AnnCost:
    """One pass of an ANN for one image, batch normalisation being part of the layer before it.

    Attributes
    ----------
    macs : int
        Multiply-accumulates; those on padding are left out.
    additions : int
        Other additions: average pooling, residual sums.
    neurons : int
        Elements of all layers' outputs.
    """

    macs: int
    additions: int
    neurons: int

    @property
    def energy(self) -> float:
        """nJ with 8-bit integers."""
        return ann_energy(self.macs, self.additions, self.neurons)


def ann_cost(model: Model, images: Any, *, normalize: tuple[Any, Any] | Normalization | None = None) -> AnnCost:
    """What one pass of a model costs.

    Parameters
    ----------
    model : torch.nn.Module or path
        As for `lava_aug.convert`.
    images : array or tensor, shape (B, *shape)
        Some images.
    normalize : (mean, std), optional
        As for `lava_aug.convert`.

    Raises
    ------
    ConversionError
        If the model holds something unsupported.
    """
    x, _, inputs = labelled_images(images)
    model = as_module(model, inputs)
    graph = trace(model, as_intensity(x[[0, -1]]), normalize=checked_normalization(normalize, x.shape[1]))
    costs = [_layer_cost(layer, graph.shapes) for layer in graph.layers]
    return AnnCost(
        macs=sum(macs for macs, _ in costs),
        additions=sum(additions for _, additions in costs),
        neurons=sum(math.prod(layer.current_shape) for layer in graph.layers),
    )


def _layer_cost(layer: FloatLayer, shapes: dict[str, Shape]) -> tuple[int, int]:
    """Multiply-accumulates and other additions: the first term of a sum needs none."""
    counts = [(t.synapse.multiplies, t.synapse.connectivity(shapes[t.source]).count) for t in layer.terms]
    macs = sum(count for is_product, count in counts if is_product)
    plain = sum(count for is_product, count in counts if not is_product)
    return macs, plain if macs else max(0, plain - math.prod(layer.current_shape))
