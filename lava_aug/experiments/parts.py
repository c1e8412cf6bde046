"""Parts of an experiment: one network on some of the images, computed anywhere and checkpointed in a folder.

A part is known by a hash of all that it depends on, its key, which it holds, too. So a part that is found is the one
that is wanted, whatever its file is called, and a part that came twice is there once.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import platform
import threading
import time
import zipfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.core.errors import BackendError, FileError, InputError
from lava_aug.core.files import write_bytes
from lava_aug.core.images import payloads
from lava_aug.core.network import INPUT, Layer, Network
from lava_aug.core.results import Output
from lava_aug.core.walks import images_per_batch
from lava_aug.kernels.counting import FanOut, coefficient_counts, fan_out_of, per_image
from lava_aug.netx.networks import encoded
from lava_aug.simulation.courses import margins
from lava_aug.simulation.simulator import simulate

_ONE_AT_A_TIME = threading.Lock()

VERSION = metadata.version("lava-aug")
"""Of this package."""


def versions() -> dict[str, str]:
    """What takes part in computing, here or on a worker."""
    return {
        "lava-aug": VERSION,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torch": str(torch.__version__).partition("+")[0],  # not for which devices
        "numpy": np.__version__,
    }


PART_VERSION = 2
"""Of what parts hold."""

KEY = "key"
"""What a part's key is called in its file."""

MOST_IMAGES = 200
"""Images in a part, unless a network's neurons allow fewer."""

Part = dict[str, NDArray[Any]]
"""What a unit gives. T steps, B images, F layers that fire and the input before them, C connections.

predictions : int32 (T, B)
margins : float32 (T, B)
    `lava_aug.simulation.courses.margins` of the logits.
events, spike_sum : int64 (F, T)
    Summed over the images.
operations : int64 (C, T)
    Synaptic operations over each connection, summed over the images.
coefficients : int64 (K, 3)
    Which of the F layers, coefficient, number of spikes.
overflows : int64 ()
seconds : float64 ()
"""


@dataclasses.dataclass(frozen=True)
class Unit:
    """One network on some of the images.

    Attributes
    ----------
    key : str
        Hash of everything that the result depends on.
    network : Network
        What runs.
    images : numpy.ndarray
        Some of the images.
    num_steps : int
        Time steps per image.
    options : mapping
        More arguments of `lava_aug.simulate`.
    versions : mapping
        Of lava-aug and of what it computes with, where the unit was made.
    """

    key: str
    network: Network
    images: NDArray[Any]
    num_steps: int
    options: Mapping[str, Any]
    versions: Mapping[str, str] = dataclasses.field(default_factory=versions)

    @property
    def work(self) -> int:
        """Images times steps."""
        return len(self.images) * self.num_steps


def units(net: Network, images: NDArray[Any], num_steps: int, options: Mapping[str, Any]) -> list[Unit]:
    """A network on all images, cut into parts that fit into memory."""
    size = min(MOST_IMAGES, images_per_batch(net, None))
    # Sums of floats depend on who adds them up; integers do not.
    known = versions() if net.is_float else {"lava-aug": VERSION}
    common = (encoded(net), json.dumps([PART_VERSION, known, num_steps, dict(options)], sort_keys=True))
    shards = [images[start : start + size] for start in range(0, len(images), size)]
    return [Unit(_key(*common, shard), net, shard, num_steps, options) for shard in shards]


def _key(network: bytes, options: str, images: NDArray[Any]) -> str:
    header = f"{options}\n{images.dtype.str} {images.shape}\n{len(network)}\n".encode()
    return hashlib.sha256(header + network + np.ascontiguousarray(images).tobytes()).hexdigest()


def run_unit(unit: Unit) -> Part:
    """Simulate a unit.

    Raises
    ------
    BackendError
        If the unit was made with other versions of lava-aug, Python, torch or numpy.
    InputError
        If the network's readout is not one vector of at least two classes, or as `lava_aug.simulate`.
    """
    _check_versions(unit.versions)
    start = time.perf_counter()
    tally = Tally(unit.network, unit.num_steps)
    # One batch: the tally counts the steps.
    options: dict[str, Any] = {**unit.options, "batch_size": len(unit.images), "look": tally.look}
    # Threads of a worker share torch's switches for exact sums, which a CPU does not depend on.
    with contextlib.nullcontext() if options.get("device", "cpu") == "cpu" else _ONE_AT_A_TIME:
        out = simulate(unit.network, unit.images, unit.num_steps, **options)
    logits = _class_logits(out)
    return {
        "predictions": logits.argmax(axis=-1).astype(np.int32),
        "margins": margins(logits).astype(np.float32),
        **{field: np.stack([*out.totals(field).values()]) for field in ("events", "spike_sum")},
        "operations": tally.operations(out, unit.images),
        "coefficients": tally.coefficients(tuple(out.events)),
        "overflows": np.array(sum(int(counts.sum()) for p in (out.saturated, out.capped) for counts in p.values())),
        "seconds": np.array(time.perf_counter() - start),
    }


def _check_versions(expected: Mapping[str, str]) -> None:
    different = {name: version for name, version in versions().items() if version != expected.get(name)}
    if different:
        here = ", ".join(f"{name} {version}" for name, version in different.items())
        there = ", ".join(f"{name} {expected.get(name)}" for name in different)
        raise BackendError(
            f"a worker has {here}, but the experiment was started with {there}; install the same versions everywhere"
        )


def _class_logits(out: Output) -> NDArray[Any]:
    """Logits ``(T, B, classes)``."""
    logits = out.logits
    classes, *rest = logits.shape[2:]
    if out.network.heads or classes < 2 or any(size != 1 for size in rest):
        outputs = [head.name for head in out.network.heads] or tuple(logits.shape[2:])
        raise InputError(
            f"comparison: expected a model with one logit for each of two or more classes, found {outputs}"
        )
    return logits.reshape(*logits.shape[:2], -1)


class Tally:
    """Counts, while a batch is simulated, what an `Output` does not hold: coefficients, and operations by connection.

    Parameters
    ----------
    net : Network
        What is simulated.
    num_steps : int
        Time steps per image.
    """

    def __init__(self, net: Network, num_steps: int) -> None:
        self.net = net
        self.counts: dict[str, dict[int, int]] = {layer.name: {} for layer in net}
        self.steps = dict.fromkeys(self.counts, 0)
        connections = [(layer, c) for layer in net for c in layer.connections]
        self.through = np.zeros((len(connections), num_steps), np.int64)
        # Where several connections end, an `Output` only has their sum: all but one are counted here.
        self.fan_outs: dict[str, list[tuple[int, FanOut]]] = {}
        for index, (layer, connection) in enumerate(connections):
            if connection is not layer.connections[-1]:
                fan_out = fan_out_of(connection.synapse.connectivity(net.shapes[connection.source]).fan_out)
                self.fan_outs.setdefault(connection.source, []).append((index, fan_out))

    def look(self, layer: Layer, a: torch.Tensor, s: torch.Tensor, v: NDArray[Any]) -> None:
        """Take in one step of a layer; see `lava_aug.simulation.simulator.Look`."""
        del a, v
        if not layer.neuron.fires:
            return
        counts = self.counts[layer.name]
        spikes = s.cpu().numpy()
        for value, number in coefficient_counts(spikes).items():
            counts[value] = counts.get(value, 0) + number
        for index, fan_out in self.fan_outs.get(layer.name, ()):
            self.through[index, self.steps[layer.name]] = _operations(fan_out, spikes).sum()
        self.steps[layer.name] += 1

    def operations(self, out: Output, images: NDArray[Any]) -> NDArray[Any]:
        """Over each connection in every step, ``(C, T)``."""
        shown = (out.events[INPUT] > 0).astype(np.int64)  # images may be absent in some steps
        x = payloads(self.net, images)
        for index, fan_out in self.fan_outs.get(INPUT, ()):
            self.through[index] = shown @ _operations(fan_out, x)
        index = 0
        for layer in self.net:
            last = index + len(layer.connections) - 1
            self.through[last] = out.synops[layer.name].sum(axis=1) - self.through[index:last].sum(axis=0)
            index = last + 1
        return self.through

    def coefficients(self, names: Sequence[str]) -> NDArray[Any]:
        """Index of the layer, coefficient and number of spikes, ``(K, 3)``."""
        rows = [
            (index, value, count)
            for index, name in enumerate(names)
            for value, count in sorted(self.counts.get(name, {}).items())
        ]
        return np.array(rows, np.int64).reshape(-1, 3)


def _operations(fan_out: FanOut, s: NDArray[Any]) -> NDArray[Any]:
    return fan_out.operations(s, per_image(s != 0))


class Store:
    """Finished parts in a folder, a file each, written whole or not at all.

    Parameters
    ----------
    folder : Path
        Made if it is not there.

    Raises
    ------
    FileError
        If it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot write to {str(folder)!r}: {error}") from error

    def read(self, key: str) -> Part | None:
        """The part of that key; None if it is not there, is damaged, or is that of another key."""
        try:
            data = self._path(key).read_bytes()
            digest, content = data[:32], data[32:]
            if hashlib.sha256(content).digest() != digest:
                return None
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                part = {name: archive[name] for name in archive.files}
        except (OSError, ValueError, zipfile.BadZipFile):
            return None
        return part if str(part.pop(KEY, "")) == key else None

    def write(self, key: str, part: Part) -> None:
        """Keep a part."""
        buffer = io.BytesIO()
        np.savez(buffer, **{KEY: np.array(key)}, **part)
        content = buffer.getvalue()
        write_bytes(self._path(key), hashlib.sha256(content).digest() + content)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.part"
