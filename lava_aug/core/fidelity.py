"""How near a converted network is to its model."""

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.spec import Spec, integer, number
from lava_aug.core.texts import counted


class Fidelity(Spec):
    """How near a network's logits, after its own number of time steps, are to its model's, for the same images.

    `agreement` is the fraction of predictions that are the same, and None where there are none: with one output, or
    several heads. `correlation` is Pearson's, over all outputs ``y`` of all images, and the model's ``m``::

        sum((y - mean(y)) * (m - mean(m))) / sqrt(sum((y - mean(y))**2) * sum((m - mean(m))**2))
    """

    num_images: int = integer(low=1, high=1 << 30, stored_as="images", doc="calibration images that were compared")
    correlation: float = number(low=-1, high=1, stored_as="correlation", doc="of all outputs with the model's")
    agreement: float | None = number(
        low=0, high=1, optional=True, default=None, stored_as="agreement", doc="fraction of the model's predictions"
    )

    def describe(self) -> str:
        """One line."""
        agreement = "" if self.agreement is None else f"{self.agreement * 100:.1f} % of the model's predictions, "
        return f"on {counted(self.num_images, 'calibration image')}: {agreement}correlation {self.correlation:.4f}"


def fidelity(outputs: NDArray[np.float64], wanted: NDArray[np.float64], *, predicts: bool) -> Fidelity:
    """`Fidelity` of outputs ``(B, ...)`` to a model's; ``predicts``: whether their second axis is that of classes."""
    agreement = float((outputs.argmax(1) == wanted.argmax(1)).mean()) if predicts else None
    y, m = outputs - outputs.mean(), wanted - wanted.mean()
    norm = float(np.sqrt((y**2).sum() * (m**2).sum()))
    # What is constant correlates with nothing but what is constant, too.
    correlation = float((y * m).sum()) / norm if norm else float(not y.any() and not m.any())
    return Fidelity(num_images=len(y), correlation=min(1.0, max(-1.0, correlation)), agreement=agreement)
