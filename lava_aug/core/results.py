"""`Output`: the result of running a network, in the simulator or on Lava."""

import dataclasses
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lava_aug.core import fixed_point
from lava_aug.core.errors import InputError, OverflowWarning
from lava_aug.core.network import INPUT, Layer, Network
from lava_aug.core.streams import as_numpy
from lava_aug.core.tables import FRAMES, Table, Tabular
from lava_aug.core.texts import counted

if TYPE_CHECKING:
    from pandas import DataFrame

COUNTS = ("events", "spike_sum", "synops", "saturated", "capped")


def firing_layers(net: Network) -> list[str]:
    """The input, and the layers that send spikes."""
    return [INPUT, *(layer.name for layer in net if layer.neuron.fires)]


def no_counts(net: Network, *size: int) -> dict[str, dict[str, NDArray[Any]]]:
    """The counts of an `Output`, all zero: int64 of the size ``(T, B)``, or ``(T,)``, for each name."""
    firing, layers = firing_layers(net), [layer.name for layer in net]
    names = zip(COUNTS, (firing, firing, layers, layers, layers), strict=True)
    return {field: {name: np.zeros(size, np.int64) for name in names_of_field} for field, names_of_field in names}


def check_labels(labels: Any, shape: tuple[int, ...], own: NDArray[Any] | None = None) -> NDArray[Any]:
    """Labels as integers of the shape of the predictions, or InputError; if None, the images' own."""
    known = own if labels is None else labels
    if known is None:
        raise InputError("labels: expected the true classes, as the images came without; or images with labels")
    array = as_numpy(known, "labels")
    if array.ndim == 1 and shape == (*array.shape, *[1] * (len(shape) - 1)):
        array = array.reshape(shape)  # heads such as global pooling leave axes of size 1
    if array.shape != shape or array.dtype.kind not in "iu":
        raise InputError(
            f"labels: expected integers of shape {shape}, one per image, found {array.dtype} of shape {array.shape}"
        )
    return array


def split_heads(net: Network, logits: NDArray[Any]) -> dict[str, NDArray[Any]]:
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


@dataclasses.dataclass(frozen=True, repr=False)
class Output(Tabular):
    """Readout, spike statistics and, on request, every spike.

    Shapes: T time steps, B images. The statistics are dictionaries from layer name to an int64 array ``(T, B)``, or
    ``(T,)``, summed over the images, from ``simulate(counts="sum")``. With ``simulate(readouts=...)`` there are fewer
    readouts than steps: R instead of T, in ``v`` and everything derived from it.

    Attributes
    ----------
    network : Network
        The network that ran.
    v : numpy.ndarray
        Readout after every step, ``(T, B, *readout shape)``: int64, or float32 from floating-point networks; or after
        those of `readout_steps`.
    events : dict
        Non-zero spikes, per layer and for the input (``"input"``).
    spike_sum : dict
        Sum of the magnitudes of the spike coefficients, per layer and for the input.
    synops : dict
        Synaptic operations into each layer: events through its synapses, excluding padding.
    saturated : dict
        Neurons per layer whose ``v`` was clipped to 24 bits.
    capped : dict
        Neurons per layer whose spike coefficient was capped to the payload's width.
    spikes : dict
        Spike coefficients of the recorded layers, ``(T, B, *shape)``, int32.
    stops : numpy.ndarray or None
        The number of steps after which each image stopped, int64 ``(B,)``, if some stopped early; see `steps`. From
        then on ``v`` is constant, and the other arrays are 0.
    read_after : numpy.ndarray or None
        The steps after which ``v`` was kept, int64 ``(R,)``, counted from 1, if not all; see `readout_steps`.
    labels : numpy.ndarray or None
        True classes ``(B,)``, if the images came with them.
    """

    network: Network
    v: NDArray[Any]
    events: Mapping[str, NDArray[Any]]
    spike_sum: Mapping[str, NDArray[Any]]
    synops: Mapping[str, NDArray[Any]]
    saturated: Mapping[str, NDArray[Any]]
    capped: Mapping[str, NDArray[Any]]
    spikes: Mapping[str, NDArray[Any]]
    stops: NDArray[Any] | None = None
    read_after: NDArray[Any] | None = None
    labels: NDArray[Any] | None = None

    def _facts(self) -> str:
        layers = counted(len(self.network), "layer")
        images, steps = counted(self.num_images, "image"), counted(self.num_steps, "time step")
        events = float(self.events_per_image()[-1])
        recorded = f", spikes of {len(self.spikes)} recorded" if self.spikes else ""
        return f"{images}, {steps}, {layers}, {events:,.1f} events per image, v {self.v.dtype} {self.v.shape}{recorded}"

    def tables(self) -> tuple[Table]:
        """Counts of every layer, per image, over all steps."""
        totals = {field: self.totals(field) for field in COUNTS}
        rows = [
            [name, *(_mean(totals[field].get(name), self.num_images) for field in COUNTS)]
            for name in self.network.shapes
        ]
        images, steps = counted(self.num_images, "image"), counted(self.num_steps, "time step")
        head = ["layer", "events", "sum of |s|", "synaptic operations", "saturated", "capped"]
        return (Table(head, rows, f"{images}, {steps}; means per image"),)

    @property
    def num_steps(self) -> int:
        """Time steps per image."""
        return len(self.events[INPUT])

    @property
    def readout_steps(self) -> NDArray[Any]:
        """The steps after which ``v`` was kept, counted from 1: int64 ``(T,)``, or ``(R,)``."""
        return np.arange(1, self.num_steps + 1) if self.read_after is None else self.read_after

    @property
    def is_summed(self) -> bool:
        """Whether counts are summed over the images."""
        return self.events[INPUT].ndim == 1

    @property
    def num_images(self) -> int:
        """Images that were presented."""
        return self.v.shape[1]

    @property
    def steps(self) -> NDArray[Any]:
        """Time steps per image, int64 ``(B,)``: ``num_steps``, or fewer with ``simulate(stop_when=...)``."""
        return np.full(self.num_images, self.num_steps) if self.stops is None else self.stops

    @property
    def logits(self) -> NDArray[Any]:
        """The readout in the ANN's units, float64: ``v * quantum / t`` after ``t`` steps, shape as ``v``."""
        t = np.minimum(self.readout_steps[:, None], self.steps)
        return self.v * (self.network.readout.quantum / t.reshape(*t.shape, *[1] * (self.v.ndim - 2)))

    @property
    def heads(self) -> dict[str, NDArray[Any]]:
        """`logits` of each head, if there are several: ``(T, B, *head's shape)`` by name."""
        return split_heads(self.network, self.logits)

    @property
    def predictions(self) -> NDArray[Any]:
        """Index of the largest readout after every step, over the first axis of its shape: ``(T, B, ...)``.

        Raises
        ------
        InputError
            If the network has several heads.
        """
        check_one_head(self.network)
        return self.v.argmax(axis=2)

    def accuracy(self, labels: Any = None) -> NDArray[Any]:
        """Fraction of correct predictions after every step that was kept, shape ``(T,)``.

        Parameters
        ----------
        labels : array, shape (B,), optional
            True classes, integers; default those that came with the images.

        Raises
        ------
        InputError
            If there is not one integer label per image.
        """
        right = self.predictions == check_labels(labels, self.predictions.shape[1:], self.labels)
        return right.mean(axis=tuple(range(1, right.ndim)))

    def totals(self, field: str) -> dict[str, NDArray[Any]]:
        """Counts of all images together in every step, by layer: int64 ``(T,)`` each.

        Parameters
        ----------
        field : str
            ``"events"``, ``"spike_sum"``, ``"synops"``, ``"saturated"`` or ``"capped"``.
        """
        counts_by_layer: Mapping[str, NDArray[Any]] = getattr(self, field)
        return {name: counts if self.is_summed else counts.sum(axis=1) for name, counts in counts_by_layer.items()}

    def per_image(self, field: str) -> NDArray[Any]:
        """Mean count per image in every step, over all layers except the input: shape ``(T,)``."""
        layers = (total for name, total in self.totals(field).items() if name != INPUT)
        return sum(layers, np.zeros(self.num_steps)) / self.num_images

    def events_per_image(self) -> NDArray[Any]:
        """Mean number of events up to and including every step, excluding the input, shape ``(T,)``."""
        return np.cumsum(self.per_image("events"))

    def to_dict(self, labels: Any = None) -> dict[str, Any]:
        """Plain values, for JSON: predictions, and by layer the mean counts per image of every step.

        Parameters
        ----------
        labels : array, shape (B,), optional
            True classes, by default those that came with the images; if there are any, the accuracy after every step is
            included.
        """
        values: dict[str, Any] = {"num_images": self.num_images, "num_steps": self.num_steps}
        if labels is not None or self.labels is not None:
            values["accuracy"] = self.accuracy(labels).tolist()
        if self.read_after is not None:
            values["readout_steps"] = self.read_after.tolist()
        if not self.network.heads:
            values["predictions"] = self.predictions[-1].tolist()
        values["steps_per_image"] = float(np.mean(self.steps))
        for field in COUNTS:
            values[field] = {name: (total / self.num_images).tolist() for name, total in self.totals(field).items()}
        return values

    def to_dataframe(self, by: Literal["layer", "step", "image"] = "layer", labels: Any = None) -> "DataFrame":
        """Counts as a data frame of pandas: events, spike sums, synaptic operations, saturated and capped neurons.

        Parameters
        ----------
        by : {"layer", "step", "image"}
            What a row is. ``"layer"``: the input or a layer, with its number of neurons and the mean counts per image,
            over all steps; the input is saturated never, and a readout sends nothing, which is NaN. ``"step"``: a time
            step, with the mean counts per image in it, over all layers except the input, and the accuracy after it.
            ``"image"``: an image, with its steps, its prediction after the last step, its label, and its counts over
            all steps and all layers except the input.
        labels : array, shape (B,), optional
            True classes, for accuracy and labels; default those that came with the images, if any.

        Returns
        -------
        pandas.DataFrame
            Its index is the layer, the step (from 1) or the image (from 0).

        Raises
        ------
        InputError
            If rows are unknown, labels do not fit, or counts by image are wanted that were summed over the images.
        BackendError
            If pandas is not installed.
        """
        if by not in FRAMES:
            raise InputError(f"by: expected one of {', '.join(FRAMES)}, found {by!r}")
        known = self.labels if labels is None and not self.network.heads else labels
        known = None if known is None else check_labels(known, self.predictions.shape[1:])
        return FRAMES[by](self, COUNTS, known)

    def differences(self, other: "Output") -> list[str]:
        """Where two outputs of the same network differ: one line per field and layer; empty if they are equal."""
        pairs: list[tuple[str, Any, Any]] = [("v", self.v, other.v)]
        if self.num_steps == other.num_steps:
            pairs += [("steps", self.steps, other.steps), ("readout_steps", self.readout_steps, other.readout_steps)]
        for field in (*COUNTS, "spikes"):
            mine, theirs = getattr(self, field), getattr(other, field)
            pairs += [(f"{field}[{name!r}]", mine.get(name), theirs.get(name)) for name in {**mine, **theirs}]
        return [text for text in (_difference(*pair) for pair in pairs) if text]


def _mean(total: NDArray[Any] | None, num_images: int) -> str:
    return "-" if total is None else f"{float(total.sum()) / num_images:,.1f}"


def _difference(where: str, one: NDArray[Any] | None, other: NDArray[Any] | None) -> str | None:
    if one is None or other is None:
        return f"{where}: only one of the two has it"
    if one.shape != other.shape:
        return f"{where}: shapes {one.shape} and {other.shape}"
    unequal = np.argwhere(one != other)
    if not len(unequal):
        return None
    first = tuple(int(i) for i in unequal[0])
    return f"{where}: {len(unequal)} of {one.size} differ, first at {first}: {one[first]} and {other[first]}"


CLIPPED, CUT = f"potentials clipped to {fixed_point.STATE_BITS} bits in", "spikes capped to their payload in"


def warn_of_overflows(out: Output) -> Output:
    """Say which layers left their bits, if any did, to the caller's caller; gives the output itself."""
    net = out.network
    clipped = [name for name, counts in out.saturated.items() if counts.any() and not only_sinks(net[name])]
    cut = [name for name, counts in out.capped.items() if counts.any()]
    texts = [f"{what} {', '.join(map(repr, names))}" for what, names in ((CLIPPED, clipped), (CUT, cut)) if names]
    if texts:
        longer = f"convert with num_steps={out.num_steps}, not {net.num_steps}; or "
        cure = f"{longer if out.num_steps > net.num_steps else ''}use a coarser (larger) resolution or fewer time steps"
        text = f"{'; '.join(texts)}: {cure}. Output.saturated and Output.capped count how often"
        warnings.warn(text, OverflowWarning, stacklevel=3)
    return out


def only_sinks(layer: Layer) -> bool:
    """Whether a potential stays at the lower limit: silent neurons with a steadily negative input."""
    return set(layer.sources) == {INPUT} and layer.neuron.rectifies


def joined(parts: Iterable[Output]) -> Output:
    """Outputs of the same network for successive images, as one; of counts that are summed only the sums are kept."""
    pieces: dict[str, dict[str, list[NDArray[Any]]]] = {"spikes": {}}
    first, stopped = None, False
    for part in parts:
        first, stopped = first or part, stopped or part.stops is not None
        for field, name, array, is_sum in _arrays(part):
            held = pieces.setdefault(field, {}).setdefault(name, [])
            if is_sum and held:
                held[0] = held[0] + array
            else:
                held.append(array)
    if first is None:
        raise InputError("joined: expected at least one output, found none")
    whole = {
        field: {name: held[0] if len(held) == 1 else np.concatenate(held, axis=1) for name, held in by_name.items()}
        for field, by_name in pieces.items()
    }
    v, steps = whole.pop("v")[""], whole.pop("steps")[""][0]
    if len(pieces["v"][""]) == 1:
        return first
    return dataclasses.replace(first, v=v, stops=steps if stopped else None, **whole)


def _arrays(part: Output) -> Iterator[tuple[str, str, NDArray[Any], bool]]:
    """All of an output: field, name, the array, whose second axis is images, and whether it is a sum over them."""
    yield "v", "", part.v, False
    yield "steps", "", part.steps[None], False
    for field in (*COUNTS, "spikes"):
        for name, array in getattr(part, field).items():
            yield field, name, array, part.is_summed and field in COUNTS
