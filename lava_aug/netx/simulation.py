"""What networks of stock netx take and send; and `simulate`, the exact arithmetic of those of Sigma-Delta neurons.

The arithmetic is that of lava-nc 0.10 under lava-dl 0.6's netx. Sources, in those wheels: ``lava/proc/sdn/models.py``
(neurons), ``lava/proc/conv/models.py`` and ``lava/proc/dense/models.py`` (synapses), ``lava/lib/dl/netx/hdf5.py``
(which parameters they get). With ``spike_exp = 6``, netx's default, and ``state_exp = 6``, which is fixed there, a time
step t of Lava, from 1, is::

    input      act = x << 12
    layer      a = W * (what the layer before sent in step t - 1)       convolutions: wrapped to 24 bits
               sigma = sigma + a
               act = max(0, sigma + (bias << 12))
    both       delta = act - (act of step t - 1) + residue
               sent = delta       if |delta| >= vThMant << 12,  0 otherwise
               residue = delta - sent
               send sent >> 6
    readout    sigma = sigma + a;  send sigma                           with sigma_output

Everything starts at 0, and nothing is ever reset. What ``>> 6`` rounds off is not kept in the residue: each message for
a change that is no multiple of 64 leaves the receiver's sum permanently up to 1 too small (`docs/sdnn.md`).
"""

import dataclasses
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import InputError, NetworkError
from lava_aug.core.layers import Conv, Dense
from lava_aug.core.network import INPUT_LEVELS
from lava_aug.core.results import check_labels
from lava_aug.core.spec import is_int
from lava_aug.core.streams import as_numpy
from lava_aug.kernels.batches import batch_form
from lava_aug.kernels.counting import per_image
from lava_aug.netx.foreign import NetxNetwork, load
from lava_aug.netx.layers import NetxDense, NetxInput, NetxWeighted, SigmaDelta
from lava_aug.netx.requantization import BIAS_EXP, SPIKE_EXP, STATE_EXP

INPUT = "input"
"""Name of the input layer's events."""

WRAPS: dict[type, bool] = {Conv: True, Dense: False}
"""Whether sums of a synapse wrap in 24 bits on Lava."""


@dataclasses.dataclass(frozen=True)
class NetxOutput:
    """The output of a network of stock netx. N inputs follow each other every ``num_steps`` time steps, without reset.

    Attributes
    ----------
    sent : numpy.ndarray
        What the last layer sent in each of Lava's steps, int64 ``(steps, *output_shape)``.
    events : dict of str to numpy.ndarray
        Non-zero messages in each of Lava's steps, int64 ``(steps,)``: of the neurons of the input, and of each layer by
        its number in the file, except those that send sums.
    num_inputs, num_steps, depth : int
        The last step of input i, from 0, reaches the output in step ``(i + 1) * num_steps + depth``, from 1.
    seconds : float
        The time that Lava took, including its start; 0 if it was not run.
    """

    sent: NDArray[Any]
    events: dict[str, NDArray[Any]]
    num_inputs: int
    num_steps: int
    depth: int
    seconds: float = 0.0

    @property
    def answers(self) -> NDArray[Any]:
        """What the last layer sent for each input, in the last step that belongs to it: ``(N, *output_shape)``."""
        return self.sent[self.depth + self.num_steps - 1 :: self.num_steps][: self.num_inputs]

    @property
    def predictions(self) -> NDArray[Any]:
        """The index of the largest answer, ``(N,)``."""
        return self.answers.reshape(self.num_inputs, -1).argmax(axis=1)

    @property
    def events_per_input(self) -> float:
        """Messages of all layers except the input, per input; those that turn off the last input are excluded."""
        steps = self.num_inputs * self.num_steps
        layers = [counts for name, counts in self.events.items() if name != INPUT]
        return float(sum(counts[: steps + late].sum() for late, counts in enumerate(layers, start=1))) / self.num_inputs

    def to_dict(self, labels: Any = None) -> dict[str, Any]:
        """Plain values, for JSON: accuracy, if there are labels, predictions, and events of every layer, in all."""
        summary: dict[str, Any] = {"num_inputs": self.num_inputs, "num_steps": self.num_steps}
        if labels is not None:
            summary["accuracy"] = float(np.equal(self.predictions, check_labels(labels, (self.num_inputs,))).mean())
        summary["predictions"] = self.predictions.tolist()
        summary["events"] = {name: int(events.sum()) for name, events in self.events.items()}
        return summary


# What goes in and out


def rows(net: NetxNetwork, inputs: Any, num_steps: int | None) -> tuple[NDArray[Any], int]:
    """Inputs as integers, with the constant channel, and the number of steps for which each is shown."""
    if num_steps is not None and (not is_int(num_steps) or num_steps < 1):
        raise InputError(f"num_steps: expected an integer of at least 1, found {num_steps!r}")
    x, shape = as_numpy(inputs, "inputs"), net.given_shape
    alone = x.shape == shape
    if not alone and (x.shape[1:] != shape or not len(x)):
        listed = ", ".join(map(str, shape))
        raise InputError(f"inputs: expected shape (N, {listed}), N at least 1, or {shape}, found {x.shape}")
    shown = num_steps or (net.sample_steps if alone else 1)
    if shown is None:
        raise InputError(f"inputs: one row of shape {shape} is for all time steps; say how many with num_steps")
    if x.dtype.kind not in "iufb":
        raise InputError(f"inputs: expected numbers, found {x.dtype}")
    if x.dtype.kind == "f" and not (np.rint(x) == x).all():
        advice = "give pixels from 0 to 255" if net.exported else "round them as the network was trained to expect"
        raise InputError(f"inputs: expected whole numbers; {advice}")
    x = (x[None] if alone else x).astype(np.int64)
    return (np.concatenate([x, np.full_like(x[:, :1], INPUT_LEVELS)], axis=1) if net.constant else x), int(shown)


def check_range(net: NetxNetwork, x: NDArray[Any], input_message_bits: int, spike_exp: int) -> None:
    """Lava wraps what does not fit, without a word."""
    neuron, advice = net.processing[min(net.processing)].neuron if takes_values(net) else None, ""
    if net.exported:
        low, high = 0, INPUT_LEVELS
    elif neuron is not None:
        low, high = -neuron.input_limit(spike_exp), neuron.input_limit(spike_exp)
    elif input_message_bits:
        low, high = -(1 << (input_message_bits - 1)), (1 << (input_message_bits - 1)) - 1
    else:
        low, high, advice = 0, 1, "; for graded spikes give input_message_bits"
    if x.min() < low or x.max() > high:
        raise InputError(f"inputs: expected {low} to {high}, found {x.min()} to {x.max()}{advice}")


def takes_values(net: NetxNetwork) -> bool:
    """Whether the first layer has neurons that encode what it gets."""
    return isinstance(net.processing[min(net.processing)], NetxInput)


def named(net: NetxNetwork, events: dict[int, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Events of layers, by their numbers, without those of layers that send sums, for which nearly all are not 0."""
    silent = {index for index, layer in net.processing.items() if layer.neuron is not None and layer.neuron.sends_sums}
    names = {index: str(index) if net.layers[index].synapse is not None else INPUT for index in events}
    return {names[index]: counts for index, counts in events.items() if index not in silent}


# The arithmetic


def simulate(network: NetxNetwork | str | os.PathLike[str], inputs: Any, num_steps: int | None = None) -> NetxOutput:
    """Compute what unmodified netx computes on Lava, bit for bit, for a network of Sigma-Delta neurons.

    Parameters
    ----------
    network, inputs, num_steps
        As of `run`.

    Returns
    -------
    NetxOutput
        Equal to that of `run`.

    Raises
    ------
    NetworkError
        If a layer has other neurons, or delays; the message names it.
    InputError
        If shape, type or range of the inputs do not fit.
    FileError
        If the file cannot be read.
    """
    net = network if isinstance(network, NetxNetwork) else load(network)
    rest = _sigma_delta(net)
    x, shown = rows(net, inputs, num_steps)
    check_range(net, x, 0, SPIKE_EXP)
    first, after = net.layers[0].neuron, np.zeros((net.depth, *net.input_shape), np.int64)
    s = np.concatenate([np.repeat(x, shown, axis=0), after]) << BIAS_EXP
    s = encoded(s, 0 if first is None else first.vth)
    events = {0: per_image(s != 0)}
    for index, (layer, neuron) in rest.items():
        sums = np.cumsum(currents(layer.synapse, s), axis=0)
        s = sums if neuron.sends_sums else encoded(_activations(sums, layer.bias), neuron.vth)
        events[index] = per_image(s != 0)
    return NetxOutput(s, named(net, events), len(x), shown, net.depth)


def _sigma_delta(net: NetxNetwork) -> dict[int, tuple[NetxWeighted, SigmaDelta]]:
    """The layers behind the input and their neurons, by number; NetworkError if they are not of that kind."""
    pairs: dict[int, tuple[NetxWeighted, SigmaDelta]] = {}
    for index, layer in net.processing.items():
        delayed = isinstance(layer, NetxDense) and layer.delay is not None
        if type(layer.neuron) is not SigmaDelta or delayed or not takes_values(net):
            raise NetworkError(
                f"layer {index} ({layer.type_name}): expected Sigma-Delta neurons, the input's among them, without "
                "delays; other networks only run on Lava: use lava_aug.netx.run, or lava-aug run"
            )
        if isinstance(layer, NetxWeighted):
            pairs[index] = layer, layer.neuron
    return pairs


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


def _activations(sums: NDArray[Any], bias: NDArray[Any] | None) -> NDArray[Any]:
    """``act`` in every step, for sums in every step."""
    if bias is not None:
        sums += (bias.astype(np.int64) << BIAS_EXP).reshape(-1, *[1] * (sums.ndim - 2))
    return np.maximum(sums, 0, out=sums)


def currents(synapse: Conv | Dense, s: NDArray[Any]) -> NDArray[Any]:
    """What a synapse forwards in every step: the sum over the previous step, int64."""
    import torch

    late = np.zeros_like(s)
    late[1:] = s[:-1]
    with torch.no_grad():  # in float64, where sums of 24-bit messages and 8-bit weights are exact
        sums = batch_form(synapse, torch.float64, "cpu")(torch.as_tensor(late).double())
    a = sums.numpy().astype(np.int64)
    return ((a + (1 << 23)) & ((1 << 24) - 1)) - (1 << 23) if WRAPS[type(synapse)] else a
