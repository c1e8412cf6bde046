"""`Output`: what a network gave, from the simulator and from Lava alike."""

import dataclasses
import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lava_aug import fixed_point
from lava_aug.errors import InputError, OverflowWarning
from lava_aug.network import INPUT, Layer, Network

COUNTS = ("events", "spike_sum", "synops", "saturated", "capped")


def firing_layers(net: Network) -> list[str]:
    """The input, and the layers that send spikes."""
    return [INPUT, *(layer.name for layer in net if layer.neuron.fires)]


def no_counts(net: Network, num_steps: int, num_images: int) -> dict[str, dict[str, np.ndarray]]:
    """The counts of an `Output`, all zero: int64 ``(T, B)`` for each name."""
    firing, layers = firing_layers(net), [layer.name for layer in net]
    names = zip(COUNTS, (firing, firing, layers, layers, layers), strict=True)
    return {field: {name: np.zeros((num_steps, num_images), np.int64) for name in found} for field, found in names}


def check_labels(labels: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Labels as integers of the shape of the predictions, or InputError."""
    found = np.asarray(labels)
    if found.ndim == 1 and shape == (*found.shape, *[1] * (len(shape) - 1)):
        found = found.reshape(shape)  # heads such as global pooling leave axes of size 1
    if found.shape != shape or found.dtype.kind not in "iu":
        raise InputError(
            f"labels: expected integers of shape {shape}, one per image, found {found.dtype} of shape {found.shape}"
        )
    return found


def split_heads(net: Network, logits: np.ndarray) -> dict[str, np.ndarray]:
    """The parts of a readout ``(..., elements)`` that belong to each head, in its shape."""
    ends = np.cumsum([math.prod(head.shape) for head in net.heads])
    return {
        head.name: logits[..., end - math.prod(head.shape) : end].reshape(*logits.shape[:-1], *head.shape)
        for head, end in zip(net.heads, ends, strict=True)
    }


def check_one_head(net: Network) -> None:
    """InputError if a network has several heads, among which there is no largest readout."""
    if net.heads:
        raise InputError(f"predictions: the network has the heads {[h.name for h in net.heads]}; look at .heads[name]")


@dataclasses.dataclass(frozen=True)
class Output:
    """Readout, spike statistics and, on request, every spike.

    Shapes: T time steps, B images. The statistics are dictionaries from layer name to an int64 array ``(T, B)``.

    Attributes
    ----------
    network : Network
        The network that ran.
    v : numpy.ndarray
        Readout after every step, ``(T, B, *readout shape)``: int64, or float32 from floating-point networks.
    events : dict
        Non-zero spikes, per layer and for the input (``"input"``).
    spike_sum : dict
        Summed magnitude of the spike coefficients, per layer and for the input.
    synops : dict
        Synaptic operations into each layer: events through its synapses, padding left out.
    saturated : dict
        Neurons per layer whose ``v`` was clipped to 24 bits.
    capped : dict
        Neurons per layer whose spike coefficient was cut to the payload's width.
    spikes : dict
        For the recorded layers, coefficients ``(T, B, *shape)``, int32.
    stops : numpy.ndarray or None
        After how many steps each image was done, int64 ``(B,)``, if some were before the last; see `steps`. From then
        on ``v`` stays as it is, and the other arrays are 0.
    """

    network: Network
    v: np.ndarray
    events: Mapping[str, np.ndarray]
    spike_sum: Mapping[str, np.ndarray]
    synops: Mapping[str, np.ndarray]
    saturated: Mapping[str, np.ndarray]
    capped: Mapping[str, np.ndarray]
    spikes: Mapping[str, np.ndarray]
    stops: np.ndarray | None = None

    @property
    def num_steps(self) -> int:
        """Time steps per image."""
        return self.v.shape[0]

    @property
    def num_images(self) -> int:
        """Images that were presented."""
        return self.v.shape[1]

    @property
    def steps(self) -> np.ndarray:
        """Time steps that each image took, int64 ``(B,)``: ``num_steps``, or less with ``simulate(stop_when=...)``."""
        return np.full(self.num_images, self.num_steps) if self.stops is None else self.stops

    @property
    def logits(self) -> np.ndarray:
        """The readout in the ANN's units, float64: ``v * quantum / t`` after ``t`` steps, shape as ``v``."""
        t = np.minimum(np.arange(1, self.num_steps + 1)[:, None], self.steps)
        return self.v * (self.network.readout.quantum / t.reshape(*t.shape, *[1] * (self.v.ndim - 2)))

    @property
    def heads(self) -> dict[str, np.ndarray]:
        """`logits` of each head of a network with several: ``(T, B, *head's shape)`` by name."""
        return split_heads(self.network, self.logits)

    @property
    def predictions(self) -> np.ndarray:
        """Index of the largest readout after every step, over the first axis of its shape: ``(T, B, ...)``.

        Raises
        ------
        InputError
            If the network has several heads.
        """
        check_one_head(self.network)
        return self.v.argmax(axis=2)

    def accuracy(self, labels: Any) -> np.ndarray:
        """Fraction of right predictions after every step, shape ``(T,)``.

        Parameters
        ----------
        labels : array, shape (B,)
            True classes, integers.

        Raises
        ------
        InputError
            If there is not one integer label per image.
        """
        right = self.predictions == check_labels(labels, self.predictions.shape[1:])
        return right.mean(axis=tuple(range(1, right.ndim)))

    def events_per_image(self) -> np.ndarray:
        """Mean number of events up to and including every step, input left out, shape ``(T,)``."""
        total = sum((self.events[name].sum(axis=1) for name in self.events if name != INPUT), np.zeros(self.num_steps))
        return np.cumsum(total) / self.num_images

    def to_dict(self, labels: Any = None) -> dict[str, Any]:
        """Plain values, for JSON: predictions, and by layer the mean counts per image of every step.

        Parameters
        ----------
        labels : array, shape (B,), optional
            True classes; with them it has the accuracy after every step, too.
        """
        found: dict[str, Any] = {"num_images": self.num_images, "num_steps": self.num_steps}
        if labels is not None:
            found["accuracy"] = self.accuracy(labels).tolist()
        if not self.network.heads:
            found["predictions"] = self.predictions[-1].tolist()
        found["steps_per_image"] = float(np.mean(self.steps))
        for field in COUNTS:
            found[field] = {name: counts.mean(axis=1).tolist() for name, counts in getattr(self, field).items()}
        return found

    def differences(self, other: "Output") -> list[str]:
        """Where two outputs of the same network differ: one text for each field and layer, none if they are equal."""
        pairs: list[tuple[str, Any, Any]] = [("v", self.v, other.v)]
        if self.num_steps == other.num_steps:
            pairs.append(("steps", self.steps, other.steps))
        for field in (*COUNTS, "spikes"):
            mine, theirs = getattr(self, field), getattr(other, field)
            pairs += [(f"{field}[{name!r}]", mine.get(name), theirs.get(name)) for name in {**mine, **theirs}]
        return [text for text in (_difference(*pair) for pair in pairs) if text]


def _difference(where: str, one: np.ndarray | None, other: np.ndarray | None) -> str | None:
    if one is None or other is None:
        return f"{where}: only one of the two has it"
    if one.shape != other.shape:
        return f"{where}: shapes {one.shape} and {other.shape}"
    unequal = np.argwhere(one != other)
    if not len(unequal):
        return None
    first = tuple(int(i) for i in unequal[0])
    return f"{where}: {len(unequal)} of {one.size} differ, first at {first}: {one[first]} and {other[first]}"


CLIPPED, CUT = f"potentials clipped to {fixed_point.STATE_BITS} bits in", "spikes cut to their payload in"


def warn_of_overflows(out: Output) -> Output:
    """Say which layers left their bits, if any did, to the caller's caller; gives the output itself."""
    net = out.network
    clipped = [name for name, counts in out.saturated.items() if counts.any() and not only_sinks(net[name])]
    cut = [name for name, counts in out.capped.items() if counts.any()]
    texts = [f"{what} {', '.join(map(repr, names))}" for what, names in ((CLIPPED, clipped), (CUT, cut)) if names]
    if texts:
        longer = f"convert with num_steps={out.num_steps}, not {net.num_steps}; or "
        cure = f"{longer if out.num_steps > net.num_steps else ''}use a coarser (larger) resolution or fewer time steps"
        text = f"{'; '.join(texts)}: {cure}. Output.saturated and Output.capped have how often"
        warnings.warn(text, OverflowWarning, stacklevel=3)
    return out


def only_sinks(layer: Layer) -> bool:
    """Whether a potential at the lower limit stays there: silent neurons that a steady input pushes down, for good."""
    steady = all(connection.source == INPUT for connection in layer.connections)
    return steady and hasattr(layer.neuron, "vth") and not getattr(layer.neuron, "signed", False)


def joined(parts: Iterable[Output]) -> Output:
    """Outputs of the same network for successive images, as one."""
    parts = list(parts)
    first = parts[0]
    if len(parts) == 1:
        return first

    def concatenated(field: str) -> dict[str, np.ndarray]:
        return {
            name: np.concatenate([getattr(part, field)[name] for part in parts], axis=1)
            for name in getattr(first, field)
        }

    fields = {field: concatenated(field) for field in (*COUNTS, "spikes")}
    stops = np.concatenate([part.steps for part in parts]) if any(part.stops is not None for part in parts) else None
    return Output(network=first.network, v=np.concatenate([part.v for part in parts], axis=1), stops=stops, **fields)
