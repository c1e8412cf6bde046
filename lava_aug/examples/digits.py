"""A small network on scikit-learn's digits: 1,797 real 8x8 scans that need no download."""

import contextlib
import threading
from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

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
        super().__init__()
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
    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DigitsNet().train()
        images = torch.tensor(digits.train_images).float() / 255
        labels = torch.tensor(digits.train_labels)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(epochs):
            for batch in torch.randperm(len(images)).split(64):
                optimizer.zero_grad()
                F.cross_entropy(model(images[batch]), labels[batch]).backward()
                optimizer.step()
    return model.eval()


_alone = threading.Lock()


@contextlib.contextmanager
def _one_thread() -> Generator[None, None, None]:
    """One trains at a time: the number of torch's threads, and its random numbers, are the process's."""
    with _alone:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
