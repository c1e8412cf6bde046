"""A small ResNet with max pooling on Fashion-MNIST: trained, converted, and compared with the ANN after every step.

    uv run python benchmarks/fashion_resnet.py --data ROOT --weights fashion_resnet.pt --epochs 12

If the weights are there already, they are read instead of trained.
"""

import argparse
import time
from pathlib import Path
from typing import Literal

import torch
from lenet import NUM_TRAIN, accuracy, load_mnist, train
from torch import Tensor, nn
from torch.nn import functional as F

import lava_aug as la
from lava_aug.conversion import Method

STEPS = (1, 2, 4, 8)

CONVERSIONS: tuple[tuple[Method, float, Literal["layer", "channel"]], ...] = (
    ("augmapping", 1 / 8, "layer"),
    ("augmapping", 1 / 8, "channel"),
    ("augmapping", 1 / 4, "channel"),
    ("termapping", 1.0, "channel"),
    ("rate", 1.0, "channel"),
)
"""Method, resolution, and whether weight scales are a layer's or a channel's."""


class Block(nn.Module):
    """Two convolutions beside the identity, or beside a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.shortcut(x))


class SmallResNet(nn.Module):
    """For inputs ``(B, 1, 28, 28)`` in [0, 1]; returns logits ``(B, 10)``."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 24, 3, 1, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.blocks = nn.Sequential(Block(24, 24), Block(24, 48, 2), Block(48, 96, 2))
        self.head = nn.Linear(96, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.pool(self.stem(x)))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def augment(x: Tensor) -> Tensor:
    """Mirror half of the images, and shift all of them by up to two pixels."""
    mirrored = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(-1), x)
    dy, dx = torch.randint(0, 5, (2,)).tolist()
    return F.pad(mirrored, (2, 2, 2, 2))[..., dy : dy + x.shape[-2], dx : dx + x.shape[-1]]


def trained(path: Path, data: Path, epochs: int) -> SmallResNet:
    """The model with the weights of a file, which is made if it is not there."""
    model = SmallResNet()
    if path.is_file():
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    start = time.perf_counter()
    best = train(model, *load_mnist(data, True, "FashionMNIST"), epochs, augment)
    torch.save(model.state_dict(), path)
    print(f"trained in {time.perf_counter() - start:.0f} s, validation {best:.2%}")
    return model.eval()


def main() -> None:
    """Train if need be, convert, simulate the whole test set, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds FashionMNIST/raw")
    parser.add_argument("--weights", type=Path, default=Path("fashion_resnet.pt"), help="read, or made (%(default)s)")
    parser.add_argument("--epochs", type=int, default=12, help="if it has to be trained (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model = trained(args.weights, args.data, args.epochs)
    calibration = load_mnist(args.data, True, "FashionMNIST")[0][:NUM_TRAIN][:1000]
    images, labels = load_mnist(args.data, False, "FashionMNIST")
    ann = accuracy(model, images, labels)
    print(
        f"ANN {ann:.2%} on {len(images)} test images; 8-bit weights; accuracy after {STEPS} steps, distance at the last"
    )
    for method, resolution, scales in CONVERSIONS:
        net = la.convert(model, calibration, method, resolution, STEPS[-1], weight_scales=scales)
        out = la.simulate(net, images)
        found = [out.accuracy(labels)[step - 1] for step in STEPS]
        events = out.events_per_image()[-1]
        shown = "  ".join(f"{a:.2%}" for a in found)
        print(
            f"{method:10} 1/{1 / resolution:g} {scales:7} {shown}  {100 * (found[-1] - ann):+.2f}  {events:,.0f} events"
        )


if __name__ == "__main__":
    main()
