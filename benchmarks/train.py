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
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lava_aug.core.errors import InputError
from lava_aug.examples.datasets import load_images, split
from lava_aug.examples.zoo import WEIGHTS, ZOO


def deform(x: Tensor, _: Tensor) -> Tensor:
    """Rotate, scale and shift each image at random: up to 10 degrees, 10 % and 7 % of the side; zeros move in."""
    angle, scale, dx, dy = torch.rand(4, len(x), device=x.device) * 2 - 1
    angle, scale = angle * math.radians(10), 1 + 0.1 * scale
    cos, sin = scale * angle.cos(), scale * angle.sin()
    shift = 2 * 2 / 28  # 2 of 28 pixels; grid coordinates run from -1 to 1
    theta = torch.stack([cos, -sin, shift * dx, sin, cos, shift * dy], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def crop(x: Tensor, _: Tensor) -> Tensor:
    """Mirror half of the images, and shift each by up to 2 pixels; edges are reflected."""
    x = torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5, x.flip(-1), x)
    return _shifted(x, 2)


def _shifted(x: Tensor, margin: int) -> Tensor:
    size = x.shape[-1]
    windows = F.pad(x, [margin] * 4, mode="reflect").unfold(2, size, 1).unfold(3, size, 1)  # (B, C, 5, 5, H, W)
    dy, dx = torch.randint(0, 2 * margin + 1, (2, len(x)), device=x.device)
    return windows[torch.arange(len(x), device=x.device), :, dy, dx]


def shift(x: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror the images that are named, and shift each by up to 2 pixels; edges are reflected."""
    return _shifted(torch.where(mirrored.view(-1, 1, 1, 1), x.flip(-1), x), 2)


def whiten(model: nn.Module, images: Tensor) -> None:
    """Start as Jordan does: a fixed layer that whitens patches, identities in convolutions, unit scales.

    The first convolution becomes the 12 principal directions of 2x2 patches, divided by their standard deviations, and
    the negatives of these; it is not trained, but for its biases.
    """
    first, last = model[0][0], model[-1]  # type: ignore[index]
    patches = to_input(images[:5000]).unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)
    mean = patches.mean(0)
    centred = (patches - mean).double()
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
    rows = (directions / (variances + 5e-4).sqrt()).T.float()
    rows = torch.cat([rows, -rows])
    with torch.no_grad():
        first.weight.copy_(rows.view_as(first.weight))
        first.bias.copy_(-(rows @ mean))
        last.weight.mul_(1 / 9)
        for module in model.modules():
            if isinstance(module, nn.Conv2d) and module is not first:
                nn.init.dirac_(module.weight[: module.in_channels])
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.requires_grad_(False)
                module.momentum = 0.4
    first.weight.requires_grad_(False)


Schedule = tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]


def one_cycle(model: nn.Module, how: "Training", steps: int) -> Schedule:
    """SGD with Nesterov momentum 0.9, weight decay 5e-4, one cycle of the learning rate."""
    optimizer = torch.optim.SGD(model.parameters(), how.max_lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, how.max_lr, total_steps=steps, pct_start=0.25)


def triangle(model: nn.Module, how: "Training", steps: int) -> Schedule:
    """SGD as Jordan has it: momentum 0.85, biases of normalisations 64 times as fast, up for 23 % and down to 7 %."""
    decay = 0.0153 / 11.5
    biases = [module.bias for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    others = [p for p in model.parameters() if p.requires_grad and all(p is not bias for bias in biases)]
    groups: list[dict[str, Any]] = [
        {"params": biases, "lr": 64 * how.max_lr, "weight_decay": decay / 64},
        {"params": others, "weight_decay": decay},
    ]
    optimizer = torch.optim.SGD(groups, how.max_lr, momentum=0.85, nesterov=True)
    peak = 0.23 * steps

    def factor(step: int) -> float:
        return 0.2 + 0.8 * step / peak if step < peak else 1 - 0.93 * (step - peak) / (steps - peak)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


class Lookahead:
    """Slow weights that follow the fast ones, and take their place from time to time, as Jordan has it.

    Zhang, Lucas, Hinton, Ba: Lookahead Optimizer: k steps forward, 1 step back, arXiv 1907.08610.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.slow = {name: value.clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Slow weights keep this part of themselves; the fast ones become the slow ones."""
        for name, fast in self.model.state_dict().items():
            if fast.is_floating_point():
                fast.copy_(self.slow[name].lerp_(fast, 1 - decay))


@dataclasses.dataclass(frozen=True)
class Training:
    """How a network is trained: passes over the images, peak learning rate, augmentation, and the rest."""

    epochs: int
    max_lr: float
    augment: Callable[[Tensor, Tensor], Tensor]
    per_class: int
    smoothing: float = 0.0
    batch_size: int = 128
    schedule: Callable[[nn.Module, "Training", int], Schedule] = one_cycle
    prepare: Callable[[nn.Module, Tensor], None] | None = None
    lookahead: int | None = None


CIFAR10 = Training(24, 0.375, shift, 100, 0.2, 256, triangle, whiten, 20)
"""Jordan: 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv 2404.00498: its method, for longer and in smaller
batches. ``max_lr`` is its 11.5 "per 1,024 examples and unit of momentum" in PyTorch's terms, for 256."""

TRAININGS = {
    "mnist-lenet": Training(20, 0.1, deform, 1000),
    "fashion-lenet": Training(30, 0.1, crop, 1000),
    "cifar10-vgg": CIFAR10,
    "cifar10-resnet": CIFAR10,
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
    """Train a classifier in place, with cross-entropy.

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
    if how.prepare is not None:
        how.prepare(model, images)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = how.epochs * math.ceil(len(images) / how.batch_size)
    optimizer, schedule = how.schedule(model, how, steps)
    slow = Lookahead(model) if how.lookahead else None
    # Every image is mirrored in every second epoch; a generator of its own leaves the order of images as it is.
    mirrored = torch.rand(len(images), generator=torch.Generator().manual_seed(0)).to(images.device) < 0.5
    step = 0
    for epoch in range(1, how.epochs + 1):
        model.train()
        start, total_loss = time.perf_counter(), 0.0
        for index in torch.randperm(len(images)).split(how.batch_size):
            x = how.augment(to_input(images[index]), mirrored[index] ^ bool(epoch % 2))
            with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
                logits = model(x.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits.float(), labels[index], label_smoothing=how.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            if slow is not None and how.lookahead and (step % how.lookahead == 0 or step == steps):
                slow.update(0.95**5 * (step / steps) ** 3 if step < steps else 1.0)
            total_loss += loss.item() * len(index)
        seconds = time.perf_counter() - start
        text = f"loss {total_loss / len(images):.4f}  held out {accuracy(model, *chosen):.2%}"
        print(f"epoch {epoch:3}/{how.epochs}  {text}  {seconds:.1f} s", flush=True)


def main() -> None:
    """Train, save the weights, report."""
    parser = argparse.ArgumentParser(description="Train a network that comes with the package.")
    parser.add_argument("name", choices=ZOO)
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
    entry = ZOO[args.name]
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
