"""A small network on scikit-learn's digits, 1,797 real 8x8 scans that need no download; and the demo."""

import contextlib
import dataclasses
import io
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from lava_aug.conversion.converter import convert
from lava_aug.core.errors import BackendError, FileError
from lava_aug.core.files import write_arrays, write_bytes, write_figure
from lava_aug.core.results import Output
from lava_aug.experiments.cases import TITLES, default_cases
from lava_aug.experiments.comparison import STEPS, Comparison
from lava_aug.experiments.running import compare
from lava_aug.netx.networks import load, save
from lava_aug.plot.comparisons import accuracy_and_events
from lava_aug.simulation.simulator import simulate

NUM_TRAIN = 1297
"""Digits to train on; the other 500 are for testing."""


class Digits(NamedTuple):
    """uint8 images ``(N, 1, 8, 8)`` and int64 labels ``(N,)``, for training and testing."""

    train_images: NDArray[Any]
    train_labels: NDArray[Any]
    test_images: NDArray[Any]
    test_labels: NDArray[Any]


def load_digits(seed: int = 0) -> Digits:
    """The digits, shuffled by ``seed`` and split; their 17 grey levels are scaled to 0 .. 255.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
    as `sklearn.datasets.load_digits` ships it.
    """
    from sklearn import datasets

    images, labels = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    pixels = np.rint(np.asarray(images)[order] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    labels = np.asarray(labels)[order].astype(np.int64)
    return Digits(pixels[:NUM_TRAIN], labels[:NUM_TRAIN], pixels[NUM_TRAIN:], labels[NUM_TRAIN:])


class DigitsNet(nn.Module):
    """Two convolutions and two dense layers for ``(B, 1, 8, 8)`` in [0, 1]; returns logits ``(B, 10)``."""

    def __init__(self) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]: torch's
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16)
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(32)
        self.pool2 = nn.AvgPool2d(2)
        self.fc1 = nn.Linear(128, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x = self.pool1(F.relu(self.bn1(self.conv1(x))))
        x = self.pool2(F.relu(self.bn2(self.conv2(x))))
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


def train(digits: Digits, *, epochs: int = 20, seed: int = 0) -> DigitsNet:
    """A trained `DigitsNet`, in evaluation mode: Adam, batches of 64, a few seconds.

    It always uses one thread: more threads are slower for such a small network, and would make the sums, and so the
    weights, depend on their number.
    """
    with _alone(seed):
        model = DigitsNet().train()
        images = torch.tensor(digits.train_images).float() / 255
        labels = torch.tensor(digits.train_labels)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(epochs):
            for batch in torch.split(torch.randperm(len(images)), 64):
                optimizer.zero_grad()
                torch.autograd.backward(F.cross_entropy(model(images[batch]), labels[batch]))
                optimizer.step()
    return model.eval()


_LOCK = threading.Lock()


@contextlib.contextmanager
def _alone(seed: int) -> Generator[None, None, None]:
    """One trains at a time: the number of torch's threads, and its random numbers, are the process's."""
    with _LOCK:
        threads, numbers = torch.get_num_threads(), torch.get_rng_state()
        torch.set_num_threads(1)
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_rng_state(numbers)


LAVA_IMAGES = 100
LAVA_STEPS = 4


@dataclasses.dataclass(frozen=True)
class LavaCheck:
    """How a run on Lava compares with the simulator.

    Attributes
    ----------
    num_images, num_steps : int
        What ran.
    num_spikes : int
        Events that were compared, of all layers and the input.
    accuracy : float
        After the last step.
    differences : list of str
        Where the two differ; empty if every spike of every layer, every readout and every count is equal.
    """

    num_images: int
    num_steps: int
    num_spikes: int
    accuracy: float
    differences: list[str]


@dataclasses.dataclass(frozen=True)
class Demo:
    """What the demo found, and the files that it wrote.

    Attributes
    ----------
    comparison : Comparison
        ANN, rate, TerMapping and AugMapping on 500 test digits.
    lava : LavaCheck or None
        None where Lava is not available.
    lava_missing : str
        Why, there.
    network, figure, weights, data : Path
        The AugMapping network, the figure, the trained model's state_dict, and images and labels as ``.npz``.
    """

    comparison: Comparison
    lava: LavaCheck | None
    lava_missing: str
    network: Path
    figure: Path
    weights: Path
    data: Path


def demo(directory: str | Path = ".", *, say: Callable[[str], None] = lambda text: None) -> Demo:
    """Train a small network on digits, convert it with all three methods, save it, and run 100 test digits on Lava.

    Parameters
    ----------
    directory : path
        Where ``digits.net``, ``digits.png``, ``digits.pt`` and ``digits.npz`` are written.
    say : callable
        Told what is going on, one line at a time.

    Returns
    -------
    Demo
        The results.

    Raises
    ------
    FileError
        If the directory cannot be written to.
    """
    target = Path(directory)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot write to {str(target)!r}: {error}") from error
    say("training a small CNN on 1,297 digits")
    data = load_digits()
    model = train(data)
    say(f"converting it with {', '.join(TITLES.values())} and simulating {STEPS[-1]} time steps of 500 test digits")
    cases = default_cases(STEPS[-1])
    comparison = compare(model, data.train_images, data.test_images, data.test_labels, cases)
    paths = {suffix: target / f"digits.{suffix}" for suffix in ("net", "png", "pt", "npz")}
    say(f"writing {paths['net']}")
    save(convert(model, data.train_images, num_steps=LAVA_STEPS), paths["net"])
    weights = io.BytesIO()
    cast(Any, torch).save(model.state_dict(), weights)
    write_bytes(paths["pt"], weights.getvalue())
    write_arrays(paths["npz"], {"images": data.test_images, "labels": data.test_labels})
    title = f"scikit-learn digits, {comparison.num_images} test images, 8-bit weights"
    write_figure(accuracy_and_events(comparison, title), paths["png"], dpi=120)
    say(f"running {LAVA_IMAGES} test digits on Lava, {LAVA_STEPS} time steps each")
    lava, missing = _on_lava(paths["net"], data)
    return Demo(comparison, lava, missing, paths["net"], paths["png"], paths["pt"], paths["npz"])


def _on_lava(path: Path, data: Digits) -> tuple[LavaCheck | None, str]:
    """Run the saved file on Lava and compare every number with the simulator's."""
    try:
        from lava_aug.lava.deploy import run
    except BackendError as error:
        return None, str(error)
    images, labels = data.test_images[:LAVA_IMAGES], data.test_labels[:LAVA_IMAGES]
    network = load(path)
    out: Output = run(network, images, record=True)
    differences = simulate(network, images, record=True).differences(out)
    spikes = sum(int(events.sum()) for events in out.events.values())
    return LavaCheck(len(images), out.num_steps, spikes, float(out.accuracy(labels)[-1]), differences), ""
