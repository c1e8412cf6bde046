"""What stock Sigma-Delta networks compute: the fixed-point arithmetic of lava-nc 0.10 under lava-dl 0.6's netx.

Sources, in those wheels: ``lava/proc/sdn/models.py`` (neurons), ``lava/proc/conv/models.py`` and
``lava/proc/dense/models.py`` (synapses), ``lava/lib/dl/netx/hdf5.py`` (which parameters they get). With
``spike_exp = 6``, netx's default, and ``state_exp = 6``, which is fixed there, a time step t of Lava, from 1, is::

    input      act = x << 12
    layer      a = W * (what the layer before sent in step t - 1)       convolutions: wrapped to 24 bits
               sigma = sigma + a
               act = max(0, sigma + (bias << 12))
    both       delta = act - (act of step t - 1) + residue
               sent = delta       if |delta| >= vThMant << 12,  0 otherwise
               residue = delta - sent
               send sent >> 6
    readout    sigma = sigma + a;  send sigma

Everything starts at 0, and nothing is ever reset. What ``>> 6`` rounds off is not kept in the residue: each message for
a change that is no multiple of 64 leaves the receiver's sum permanently up to 1 too small (`docs/sdnn.md`).
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import InputError
from lava_aug.core.images import as_numpy
from lava_aug.core.layers import Conv, Dense, Shape
from lava_aug.core.network import INPUT_LEVELS
from lava_aug.core.spec import is_int
from lava_aug.core.texts import table
from lava_aug.kernels.batches import batch_form
from lava_aug.kernels.counting import per_image

SPIKE_EXP = 6
"""Binary places of a message: netx's default, and no file can change it."""

STATE_EXP = 6
"""Binary places that an activation has more than a message."""

BIAS_EXP = SPIKE_EXP + STATE_EXP
"""Binary places of an activation: those that files' integer biases and thresholds are shifted by."""


@dataclasses.dataclass(frozen=True)
class SigmaDeltaLayer:
    """One layer of a stock network.

    Attributes
    ----------
    name : str
        For reports; the file does not hold it.
    synapse : Conv or Dense
        Integer weights in our axes.
    bias : numpy.ndarray or None
        Integers, one for each output channel.
    threshold : int
        ``vThMant``.
    shape : tuple of int
        The shape of what it sends, in our axes.
    """

    name: str
    synapse: Conv | Dense
    bias: NDArray[Any] | None
    threshold: int
    shape: Shape


@dataclasses.dataclass(frozen=True)
class SigmaDeltaOutput:
    """The output of a stock network. N images follow each other every ``steps_per_image`` time steps.

    Attributes
    ----------
    readout : numpy.ndarray
        What the last layer sent in each of Lava's steps, int64 ``(steps, outputs)``.
    events : dict of str to numpy.ndarray
        Non-zero messages of the input and of each layer except the last, in order, in each of Lava's steps, int64
        ``(steps,)``.
    num_images, steps_per_image, depth : int
        The last step of image i, from 0, reaches the readout in step ``(i + 1) * steps_per_image + depth``, from 1.
    seconds : float
        Its run time; 0 if that was not measured.
    """

    readout: NDArray[Any]
    events: dict[str, NDArray[Any]]
    num_images: int
    steps_per_image: int
    depth: int
    seconds: float = 0.0

    @property
    def answers(self) -> NDArray[Any]:
        """The readout for each image, in the last step that belongs to it: ``(N, outputs)``."""
        return self.readout[self.depth + self.steps_per_image - 1 :: self.steps_per_image][: self.num_images]

    @property
    def predictions(self) -> NDArray[Any]:
        """The index of the largest readout, ``(N,)``."""
        return self.answers.argmax(axis=1)

    @property
    def events_per_image(self) -> float:
        """Messages of all layers except the input, per image; those that turn off the last image are excluded."""
        steps = self.num_images * self.steps_per_image
        counts = [found[: steps + depth].sum() for depth, found in enumerate(self.events.values()) if depth]
        return float(sum(counts)) / self.num_images


@dataclasses.dataclass(frozen=True)
class SigmaDeltaNetwork:
    """A sequential stock network whose last layer is a readout.

    Attributes
    ----------
    input_shape : tuple of int
        Shape of the input, in our axes, including a constant channel.
    layers : tuple of SigmaDeltaLayer
        In order.
    constant : bool
        Whether the last input channel is 255 everywhere, and images come without it.
    """

    input_shape: Shape
    layers: tuple[SigmaDeltaLayer, ...]
    constant: bool = False

    def cells(self) -> list[list[str]]:
        """The layers as a table of texts, the first line being its head."""
        rows = [["layer", "type", "shape", "weights", "vThMant"]]
        for layer in self.layers:
            shape, count = "x".join(map(str, layer.shape)), f"{layer.synapse.num_weights:,}"
            rows.append([layer.name, layer.synapse.describe(), shape, count, str(layer.threshold)])
        return rows

    def summary(self) -> str:
        """A table of the layers as text."""
        constant = f", the last channel {INPUT_LEVELS} everywhere" if self.constant else ""
        shape = "x".join(map(str, self.input_shape))
        return f"Sigma-Delta network for netx, input {shape}{constant}\n{table(self.cells(), left=('type', 'shape'))}"

    def to_dict(self) -> dict[str, Any]:
        """What `summary` says, as plain values for JSON."""
        head, *rows = self.cells()
        layers = [dict(zip(head, row, strict=True)) for row in rows]
        return {"input_shape": list(self.input_shape), "constant_channel": self.constant, "layers": layers}

    def pixels(self, images: Any, steps_per_image: Any = 1) -> NDArray[Any]:
        """Images as the input takes them, int64, with the constant channel, if any; InputError if they cannot be."""
        shape = (self.input_shape[0] - self.constant, *self.input_shape[1:])
        x = as_numpy(images, "images")
        if x.dtype != np.uint8 or x.shape[1:] != shape or not len(x):
            expected = f"uint8 of shape (N, {', '.join(map(str, shape))}), at least one"
            raise InputError(f"images: expected {expected}, found {x.dtype} {x.shape}")
        if not is_int(steps_per_image) or steps_per_image < 1:
            raise InputError(f"steps_per_image: expected an integer of at least 1, found {steps_per_image!r}")
        x = x.astype(np.int64)
        return np.concatenate([x, np.full_like(x[:, :1], INPUT_LEVELS)], axis=1) if self.constant else x

    @property
    def depth(self) -> int:
        """The number of Lava's steps that the readout lags behind the input."""
        return len(self.layers)

    def simulate(self, images: Any, steps_per_image: int = 1) -> SigmaDeltaOutput:
        """Compute what unmodified netx computes on Lava, bit for bit, for images that follow each other without reset.

        Parameters
        ----------
        images : array of uint8, shape (N, *input_shape)
            Pixels, without the constant channel.
        steps_per_image : int
            Time steps for which each is shown.

        Returns
        -------
        SigmaDeltaOutput
            ``N * steps_per_image + depth`` steps; after the last image the input is 0.

        Raises
        ------
        InputError
            If images or the number of steps are invalid.
        """
        x = np.repeat(self.pixels(images, steps_per_image), steps_per_image, axis=0)
        x = np.concatenate([x, np.zeros((self.depth, *self.input_shape), np.int64)])
        s = encoded(x << BIAS_EXP, 0)
        events = {"input": per_image(s != 0)}
        for layer in self.layers[:-1]:
            s = encoded(activations(layer, s), layer.threshold)
            events[layer.name] = per_image(s != 0)
        readout = np.cumsum(currents(self.layers[-1].synapse, s), axis=0)
        return SigmaDeltaOutput(readout, events, len(images), steps_per_image, self.depth)


def activations(layer: SigmaDeltaLayer, s: NDArray[Any]) -> NDArray[Any]:
    """``act`` in every step, for messages in every step: ``(steps, *input) -> (steps, *shape)``, int64."""
    sigma = np.cumsum(currents(layer.synapse, s), axis=0)
    if layer.bias is not None:
        bias = layer.bias.astype(np.int64) << BIAS_EXP
        sigma += bias.reshape(-1, *[1] * (len(layer.shape) - 1))
    return np.maximum(sigma, 0, out=sigma)


def encoded(act: NDArray[Any], threshold: int) -> NDArray[Any]:
    """Messages in every step, for activations in every step."""
    sent = np.diff(act, axis=0, prepend=0)
    if threshold:
        residue, limit = np.zeros(act.shape[1:], np.int64), threshold << BIAS_EXP
        for step in sent:  # rows are changed in place
            step += residue
            residue = np.where(np.abs(step) >= limit, 0, step)
            step -= residue
    return sent >> STATE_EXP


def currents(synapse: Conv | Dense, s: NDArray[Any]) -> NDArray[Any]:
    """What a synapse forwards in every step: the sum over the previous step, int64."""
    import torch

    late = np.zeros_like(s)
    late[1:] = s[:-1]
    with torch.no_grad():  # in float64, where sums of 24-bit messages and 8-bit weights are exact
        found = batch_form(synapse, torch.float64, "cpu")(torch.from_numpy(late).double())
    a = found.numpy().astype(np.int64)
    return ((a + (1 << 23)) & ((1 << 24) - 1)) - (1 << 23) if WRAPS[type(synapse)] else a


WRAPS: dict[type, bool] = {Conv: True, Dense: False}
"""Whether sums of a synapse wrap in 24 bits on Lava."""
