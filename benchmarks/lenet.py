"""LeNet on MNIST: the small network that the benchmarks convert, its data, and its training.

    python benchmarks/lenet.py --data ROOT --out lenet.pt --epochs 20 --seed 0

The network sees ``uint8 / 255`` without further normalisation, so that a pixel can be a graded spike. It learns from
the first 50,000 training images; the last 10,000 choose the epoch; the test set is looked at once, at the end.
"""

import argparse
import math
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NUM_TRAIN = 50_000
"""Training images to learn from; those behind them are for choosing."""

BATCH_SIZE = 128
MAX_LR = 0.1
WEIGHT_DECAY = 5e-4


class LeNet(nn.Module):
    """Two convolutions and two dense layers, for inputs ``(B, 1, 28, 28)`` in [0, 1]; returns logits ``(B, 10)``.

    Everything in it has a spiking counterpart: batch norms can be folded, pooling averages. Each module is used once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5, padding=2, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(16, 32, 5, padding=2, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.AvgPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(32 * 7 * 7, 128, bias=False)
        self.bn3 = nn.BatchNorm1d(128)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.relu1(self.bn1(self.conv1(x))))
        x = self.pool2(self.relu2(self.bn2(self.conv2(x))))
        x = self.relu3(self.bn3(self.fc1(self.flatten(x))))
        return self.fc2(x)


def load_mnist(root: str | Path, train: bool, name: str = "MNIST") -> tuple[Tensor, Tensor]:
    """Load MNIST, or a data set in its format, from disk; nothing is downloaded.

    Parameters
    ----------
    root : str or Path
        The folder that holds ``MNIST/raw``, torchvision's ``root``.
    train : bool
        The 60,000 training images, or else the 10,000 test images.
    name : str
        "MNIST" or "FashionMNIST".

    Returns
    -------
    images : torch.Tensor
        uint8, ``(N, 1, 28, 28)``.
    labels : torch.Tensor
        int64, ``(N,)``.

    Raises
    ------
    FileNotFoundError
        If the files are not there.
    """
    from torchvision import datasets  # here, so that the network alone does not need torchvision

    try:
        data = getattr(datasets, name)(str(root), train=train, download=False)
    except RuntimeError as error:
        raise FileNotFoundError(
            f"No {name} in {str(root)!r}: expected the four unpacked idx files in {str(Path(root, name, 'raw'))!r}. "
            f'To get them: python -c "from torchvision.datasets import {name}; {name}({str(root)!r}, download=True)"'
        ) from error
    return data.data.unsqueeze(1), data.targets


def to_input(images: Tensor) -> Tensor:
    """uint8 images as the network sees them: float32 in [0, 1]."""
    return images.float() / 255


def augment(x: Tensor) -> Tensor:
    """Rotate, scale and shift each image at random, the whole batch in one go.

    Parameters
    ----------
    x : torch.Tensor
        Float images ``(B, C, H, W)``.

    Returns
    -------
    torch.Tensor
        Images of the same shape: up to 10 degrees, 10 % and 7 % of the side (2 of 28 pixels) off, zeros moved in.
    """
    angle, scale, dx, dy = torch.rand(4, len(x), device=x.device) * 2 - 1
    angle, scale = angle * math.radians(10), 1 + 0.1 * scale
    cos, sin = scale * angle.cos(), scale * angle.sin()
    shift = 2 * 2 / 28  # grid coordinates run from -1 to 1
    theta = torch.stack([cos, -sin, shift * dx, sin, cos, shift * dy], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Fraction of uint8 `images` that `model`, put into evaluation mode, classifies as in `labels`."""
    model.eval()
    batches = zip(images.split(1000), labels.split(1000), strict=True)
    return sum(int((model(to_input(x)).argmax(1) == y).sum()) for x, y in batches) / len(labels)


def train(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    augment: Callable[[Tensor], Tensor] = augment,
) -> float:
    """Train `model` in place and leave it with the weights of its best epoch.

    Parameters
    ----------
    model : torch.nn.Module
        Classifier for inputs in [0, 1].
    images, labels : torch.Tensor
        The whole training set; images after the first ``NUM_TRAIN`` choose the epoch, the later one of equals.
    epochs : int
        Passes over the training images.
    augment : callable
        Changes a batch of float images at random.

    Returns
    -------
    float
        Accuracy of the best epoch on the choosing images.
    """
    optimizer = torch.optim.SGD(model.parameters(), MAX_LR, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY)
    steps = epochs * math.ceil(NUM_TRAIN / BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, MAX_LR, total_steps=steps)
    best, best_state = -1.0, {}
    for epoch in range(1, epochs + 1):
        model.train()
        start, total_loss = time.perf_counter(), 0.0
        for index in torch.randperm(NUM_TRAIN).split(BATCH_SIZE):
            loss = F.cross_entropy(model(augment(to_input(images[index]))), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total_loss += loss.item() * len(index)
        chosen_on = accuracy(model, images[NUM_TRAIN:], labels[NUM_TRAIN:])
        seconds = time.perf_counter() - start
        loss_text = f"loss {total_loss / NUM_TRAIN:.4f}"
        print(f"epoch {epoch:3}/{epochs}  {loss_text}  validation {chosen_on:.2%}  {seconds:.1f} s", flush=True)
        if chosen_on >= best:
            best, best_state = chosen_on, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best_state)
    return best


def main() -> None:
    """Train, save the weights, report."""
    parser = argparse.ArgumentParser(description="Train LeNet on MNIST and save its state_dict.")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--out", type=Path, default=Path("lenet.pt"), help="where the weights go (%(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training images (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation (%(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads (PyTorch's default)")
    args = parser.parse_args()
    if args.epochs < 1 or (args.threads is not None and args.threads < 1):
        parser.error("--epochs and --threads must be at least 1")
    if not args.out.parent.is_dir():
        parser.error(f"--out: there is no folder {str(args.out.parent)!r}")  # now, not after training
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    try:
        images, labels = load_mnist(args.data, train=True)
        test = load_mnist(args.data, train=False)
    except FileNotFoundError as error:
        parser.error(str(error))

    print(f"command    python {shlex.join(sys.argv)}", f"seed       {args.seed}", sep="\n", flush=True)
    torch.manual_seed(args.seed)
    start = time.perf_counter()
    model = LeNet()
    best = train(model, images, labels, args.epochs)
    torch.save(model.state_dict(), args.out)
    print(f"duration   {time.perf_counter() - start:.0f} s on {torch.get_num_threads()} threads")
    print(f"validation {best:.2%}", f"test       {accuracy(model, *test):.2%}", sep="\n")


if __name__ == "__main__":
    main()
