"""Pretrained networks, and the architectures that the benchmarks train."""

import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lava_aug.core.errors import FileError, InputError
from lava_aug.core.network import Network
from lava_aug.netx.networks import load

WEIGHTS = Path(__file__).with_name("weights")
"""Where the weights lie: a ``state_dict`` for each name, made by ``benchmarks/train.py``."""


class LeNet(nn.Module):
    """Two convolutions and two dense layers, for inputs ``(B, 1, 28, 28)`` in [0, 1]; returns logits ``(B, 10)``.

    Parameters
    ----------
    channels1, channels2 : int
        Widths of the convolutions.
    """

    def __init__(self, channels1: int = 16, channels2: int = 32) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]: torch's
        self.conv1 = _convolution(1, channels1, 5)
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = _convolution(channels1, channels2, 5)
        self.pool2 = nn.AvgPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Sequential(nn.Linear(channels2 * 7 * 7, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU())
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.pool2(self.conv2(self.pool1(self.conv1(x))))
        return self.fc2(self.fc1(self.flatten(x)))


class VGG(nn.Sequential):
    """Six 3x3 convolutions with max pooling, after a whitening of 2x2 patches; logits ``(B, 10)``.

    For ``(B, 3, 32, 32)`` in [0, 1]; 118 million multiplications per image, 2.0 million parameters.

    References
    ----------
    Jordan: 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv 2404.00498, which describes the network; here with
    ReLU instead of GELU, and batch normalisation before the pooling.
    """

    def __init__(self) -> None:
        super().__init__(
            _whitening(),
            _convolution(24, 64),
            nn.MaxPool2d(2),
            _convolution(64, 64),
            _convolution(64, 256),
            nn.MaxPool2d(2),
            _convolution(256, 256),
            _convolution(256, 256),
            nn.MaxPool2d(2),
            _convolution(256, 256),
            nn.MaxPool2d(3),
            nn.Flatten(),
            nn.Linear(256, 10, bias=False),
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with an identity skip connection.

    Parameters
    ----------
    channels : int
        Of its input and output.

    References
    ----------
    He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016, arXiv 1512.03385.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]: torch's
        self.conv1 = _convolution(channels, channels)
        self.conv2 = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return self.relu(self.conv2(self.conv1(x)) + x)


class ResNet(nn.Sequential):
    """Three residual blocks, each after a convolution and max pooling; logits ``(B, 10)``.

    For ``(B, 3, 32, 32)`` in [0, 1]; 115 million multiplications per image, 2.2 million parameters. The input is
    whitened as in `VGG`.
    """

    def __init__(self) -> None:
        super().__init__(
            _whitening(),
            _convolution(24, 64),
            nn.MaxPool2d(2),
            ResidualBlock(64),
            _convolution(64, 192),
            nn.MaxPool2d(2),
            ResidualBlock(192),
            _convolution(192, 224),
            nn.MaxPool2d(2),
            ResidualBlock(224),
            nn.MaxPool2d(3),
            nn.Flatten(),
            nn.Linear(224, 10, bias=False),
        )


def _whitening() -> nn.Sequential:
    """12 decorrelated channels of 2x2 patches and their negatives, so that the ReLU loses nothing; set by training."""
    return nn.Sequential(nn.Conv2d(3, 24, 2), nn.ReLU())


def _convolution(inputs: int, outputs: int, size: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A trained network.

    Attributes
    ----------
    name : str
        Its name in `pretrained`.
    model : torch.nn.Module
        In evaluation mode.
    data : str
        The name of the data set that it was trained for, as `lava_aug.examples.datasets.load_images` takes it.
    shape : tuple of int
        Of one image, (channels, height, width).
    normalize : tuple of mean and std, or None
        As for `convert`: the normalisation of intensities in [0, 1]; None if there is none.
    """

    name: str
    model: nn.Module
    data: str
    shape: tuple[int, ...]
    normalize: tuple[list[float], list[float]] | None = None


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What an entry of the zoo is made of."""

    make: Callable[[], nn.Module]
    data: str
    shape: tuple[int, ...]


ZOO: dict[str, Recipe] = {
    "mnist-lenet": Recipe(LeNet, "MNIST", (1, 28, 28)),
    "fashion-lenet": Recipe(lambda: LeNet(32, 64), "FashionMNIST", (1, 28, 28)),
    "cifar10-vgg": Recipe(VGG, "CIFAR10", (3, 32, 32)),
    "cifar10-resnet": Recipe(ResNet, "CIFAR10", (3, 32, 32)),
}
"""The pretrained networks, trained by ``benchmarks/train.py``."""


def pretrained(name: str) -> Pretrained:
    """A pretrained network.

    Parameters
    ----------
    name : str
        "mnist-lenet", "fashion-lenet", "cifar10-vgg" or "cifar10-resnet".

    Returns
    -------
    Pretrained
        Model, normalisation, and the name of its data.

    Raises
    ------
    InputError
        If there is no such network.
    FileError
        If its weights cannot be read.

    Notes
    -----
    The weights were trained by ``benchmarks/train.py``. Accuracy on 10,000 test images: MNIST 99.53 %, Fashion-MNIST
    93.60 %, CIFAR-10 90.33 % (VGG) and 90.06 % (ResNet) on a copy of about 1 kB per image in JPEG, which they were also
    trained on.
    """
    if name not in ZOO:
        raise InputError(f"pretrained network {name!r}: expected one of {', '.join(ZOO)}")
    entry = ZOO[name]
    path = WEIGHTS / f"{name}.pt"
    model = entry.make()
    try:
        model.load_state_dict(cast(Any, torch).load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise FileError(f"weights of {name!r}: {str(path)!r} cannot be read; install the package again") from error
    return Pretrained(name, model.eval(), entry.data, entry.shape)


FINETUNED = ("mnist-lenet",)
"""Pretrained networks of which there are fine-tuned ones, each the output of the command in docs/how-to/train.md."""


def finetuned(name: str) -> Network:
    """A pretrained network, converted and fine-tuned to send less (`lava_aug.finetune`), for one time step.

    Parameters
    ----------
    name : str
        "mnist-lenet".

    Returns
    -------
    Network
        In fixed point; docs/how-to/train.md says how it was trained, and what it costs.

    Raises
    ------
    InputError
        If there is no such network.
    FileError
        If it cannot be read.
    """
    if name not in FINETUNED:
        raise InputError(f"fine-tuned network {name!r}: expected one of {', '.join(FINETUNED)}")
    return load(WEIGHTS / f"{name}.net")
