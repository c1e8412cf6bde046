"""Train the networks that come with the package, and others for CIFAR-10.

    uv run python benchmarks/train.py mnist-lenet --data ROOT

They see ``uint8 / 255`` without further normalisation, so that a pixel can be a graded spike, and they learn from all
training images but the last of every class, which are for choosing: thresholds, resolution, time steps. The schedule is
fixed, and the weights are those of the last epoch; the test set is looked at once, at the end.
"""

import argparse
import dataclasses
import math
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lava_aug.datasets import load_images, split
from lava_aug.errors import InputError
from lava_aug.zoo import RECIPES, WEIGHTS

BATCH_SIZE = 128
WEIGHT_DECAY = 5e-4


def deform(x: Tensor) -> Tensor:
    """Rotate, scale and shift each image at random: up to 10 degrees, 10 % and 7 % of the side; zeros move in."""
    angle, scale, dx, dy = torch.rand(4, len(x), device=x.device) * 2 - 1
    angle, scale = angle * math.radians(10), 1 + 0.1 * scale
    cos, sin = scale * angle.cos(), scale * angle.sin()
    shift = 2 * 2 / 28  # 2 of 28 pixels; grid coordinates run from -1 to 1
    theta = torch.stack([cos, -sin, shift * dx, sin, cos, shift * dy], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def crop(x: Tensor, margin: int = 2) -> Tensor:
    """Mirror half of the images, and shift each by up to `margin` pixels; edges are reflected."""
    size = x.shape[-1]
    x = torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5, x.flip(-1), x)
    windows = F.pad(x, [margin] * 4, mode="reflect").unfold(2, size, 1).unfold(3, size, 1)  # (B, C, 5, 5, H, W)
    dy, dx = torch.randint(0, 2 * margin + 1, (2, len(x)), device=x.device)
    return windows[torch.arange(len(x), device=x.device), :, dy, dx]


def crop_and_cut(x: Tensor, size: int = 8) -> Tensor:
    """`crop` by up to 4 pixels, and a grey square at a random place.

    Source: DeVries, Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, arXiv 1708.04552.
    """
    x = crop(x, 4)
    pixels = torch.arange(x.shape[-1], device=x.device)
    top, left = torch.randint(0, x.shape[-1], (2, len(x), 1), device=x.device)
    rows, columns = ((pixels >= start - size // 2) & (pixels < start + size // 2) for start in (top, left))
    return x.masked_fill((rows[:, :, None] & columns[:, None, :]).unsqueeze(1), 0.5)


@dataclasses.dataclass(frozen=True)
class Training:
    """How a network is trained: passes over the images, peak learning rate, augmentation, smoothing of the labels."""

    epochs: int
    max_lr: float
    augment: Callable[[Tensor], Tensor]
    per_class: int
    smoothing: float = 0.0


TRAININGS = {
    "mnist-lenet": Training(20, 0.1, deform, 1000),
    "fashion-lenet": Training(30, 0.1, crop, 1000),
    "cifar10-vgg": Training(30, 0.1, crop_and_cut, 500, 0.1),
    "cifar10-resnet": Training(30, 0.1, crop_and_cut, 500, 0.1),
}


def to_input(images: Tensor) -> Tensor:
    """uint8 images as the networks see them: float32 in [0, 1]."""
    return images.float() / 255


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Fraction of uint8 `images` that `model`, put into evaluation mode, classifies as in `labels`."""
    model.eval()
    batches = zip(images.split(1000), labels.split(1000), strict=True)
    return sum(int((model(to_input(x)).argmax(1) == y).sum()) for x, y in batches) / len(labels)


def train(
    model: nn.Module, learned: Sequence[Tensor], chosen: Sequence[Tensor], how: Training, half: bool = False
) -> None:
    """Train a classifier in place: SGD with Nesterov momentum, one cycle of the learning rate, cross-entropy.

    Parameters
    ----------
    model : torch.nn.Module
        For inputs in [0, 1].
    learned : images and labels
        uint8 images ``(N, C, H, W)`` to learn from, and their classes.
    chosen : images and labels
        Those whose accuracy is printed after every epoch.
    how : Training
        The schedule.
    half : bool
        Compute in bfloat16 where PyTorch's autocast sees fit.
    """
    images, labels = learned
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), how.max_lr, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY)
    steps = how.epochs * math.ceil(len(images) / BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, how.max_lr, total_steps=steps, pct_start=0.25)
    for epoch in range(1, how.epochs + 1):
        model.train()
        start, total_loss = time.perf_counter(), 0.0
        for index in torch.randperm(len(images)).split(BATCH_SIZE):
            x = how.augment(to_input(images[index])).contiguous(memory_format=torch.channels_last)
            with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
                logits = model(x)
            loss = F.cross_entropy(logits.float(), labels[index], label_smoothing=how.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total_loss += loss.item() * len(index)
        seconds = time.perf_counter() - start
        text = f"loss {total_loss / len(images):.4f}  held out {accuracy(model, *chosen):.2%}"
        print(f"epoch {epoch:3}/{how.epochs}  {text}  {seconds:.1f} s", flush=True)


def main() -> None:
    """Train, save the weights, report."""
    parser = argparse.ArgumentParser(description="Train a network that comes with the package.")
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--data", type=Path, required=True, help="folder with the data, torchvision's root")
    parser.add_argument("--out", type=Path, help="where the weights go; default: into the package")
    parser.add_argument("--epochs", type=int, help="passes over the training images; default: the network's own")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation (%(default)s)")
    parser.add_argument("--device", default="cpu", help="torch device (%(default)s)")
    parser.add_argument("--bfloat16", action="store_true", help="autocast, twice as fast on hardware that has it")
    args = parser.parse_args()
    out = args.out or WEIGHTS / f"{args.name}.pt"
    if not out.parent.is_dir():
        parser.error(f"--out: there is no folder {str(out.parent)!r}")  # now, not after training
    how = TRAININGS[args.name]
    if args.epochs is not None:
        how = dataclasses.replace(how, epochs=args.epochs)
    entry = RECIPES[args.name]
    try:
        learned, chosen = split(load_images(entry.data, args.data, train=True), how.per_class)
        test = load_images(entry.data, args.data)
    except InputError as error:
        parser.error(str(error))

    print(f"command    python {shlex.join(sys.argv)}", f"seed       {args.seed}", sep="\n", flush=True)
    torch.manual_seed(args.seed)
    start = time.perf_counter()
    model = entry.make().to(args.device)
    learned, chosen, test = (
        [torch.as_tensor(part).to(args.device) for part in data] for data in (learned, chosen, test)
    )
    train(model, learned, chosen, how, args.bfloat16)
    # Half precision halves the files; from here on the model is as they have it.
    state = {n: x.half() if x.is_floating_point() else x for n, x in model.cpu().state_dict().items()}
    torch.save({n: x.contiguous() for n, x in state.items()}, out)
    model.to(args.device).load_state_dict(state)
    print(f"duration   {time.perf_counter() - start:.0f} s on {torch.get_num_threads()} threads")
    print(f"held out   {accuracy(model, *chosen):.2%}", f"test       {accuracy(model, *test):.2%}", sep="\n")


if __name__ == "__main__":
    main()
