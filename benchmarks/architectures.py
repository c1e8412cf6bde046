"""Which architectures of torchvision and timm convert, and how near the converted network is.

    uv run --with timm python benchmarks/architectures.py -o coverage.md

Weights are random, batch statistics as training would leave them: what counts is whether the converted network
computes what the model does. Every result is kept in a file of lines (``--keep``), where an interrupted run goes on.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import nn

import lava_aug as la

HEAD = """Which architectures convert as they are, by `benchmarks/architectures.py`: random weights, 6 images, 8-bit
weights with a scale for each channel, resolution {resolution:g}, one time step. Every conversion checks that its
layers, in floating point, are the model. `correlation`: of what differs between images, after rounding, with the
model's own outputs. `equal`: `settle` equals `simulate`, bit for bit."""

SIZES = {"inception_v3": 96, "inception_resnet_v2": 96}
"""Of the images, where 64 is too small; transformers with fixed positions have 224."""

TIMM = " ".join(
    (
        "resnet18 resnet26d resnet10t resnetblur18 resnetv2_50 seresnet18 ecaresnet26t resnest14d regnetx_002",
        "regnetz_b16 repvgg_a0 vgg11 vgg11_bn dla34 dla46_c res2net50_14w_8s resnest26d skresnet18",
        "densenet121 dpn48b dpn68 efficientnet_lite0 tf_efficientnet_lite0 efficientnet_es",
        "gc_efficientnetv2_rw_t mobilenetv2_050 mobilenetv2_100 mobilenetv4_conv_small mixnet_s ghostnet_050",
        "ghostnetv2_100 convnext_atto convnextv2_atto vit_tiny_patch16_224 deit_tiny_patch16_224",
        "swin_tiny_patch4_window7_224 levit_128s poolformer_s12 poolformerv2_s12 nf_resnet26 dm_nfnet_f0",
        "tresnet_m xception41 legacy_xception inception_v3 inception_resnet_v2 hardcorenas_a fbnetc_100",
        "fbnetv3_b mnasnet_small mnasnet_100 spnasnet_100 tinynet_e selecsls42 selecsls42b cspresnet50",
        "cspdarknet53 darknet21 vovnet39a ese_vovnet19b_dw lcnet_050 rexnet_100 cs3darknet_s mobileone_s0",
        "starnet_s1 fasternet_t0 edgenext_xx_small efficientformer_l1 gernet_s gmixer_12_224 coat_tiny",
        "pit_ti_224 bat_resnext26ts lambda_resnet26t botnet26t_256 visformer_tiny wide_resnet50_2",
        "resnext50_32x4d resnetrs50 hgnet_tiny hgnetv2_b0 fastvit_t8 tiny_vit_5m_224 xcit_nano_12_p16_224",
        "inception_next_atto rdnet_tiny mambaout_femto",
    )
).split()


def models() -> Iterator[tuple[str, str, Callable[[], nn.Module], tuple[int, ...]]]:
    """Package, name, what makes it, and the sizes of images to try."""
    for name in torchvision.models.list_models(torchvision.models):
        yield "torchvision", name, lambda name=name: torchvision.models.get_model(name, weights=None), _sizes(name)
    for name in torchvision.models.list_models(torchvision.models.segmentation):
        yield "torchvision", name, lambda name=name: _segmentation(name), (64,)
    try:
        import timm  # pyright: ignore[reportMissingImports]: only for those who have it
    except ImportError:
        return
    for name in TIMM:
        yield "timm", name, lambda name=name: timm.create_model(name, pretrained=False, num_classes=10), _sizes(name)


def _segmentation(name: str) -> nn.Module:
    return torchvision.models.get_model(name, weights=None, weights_backbone=None)


def _sizes(name: str) -> tuple[int, ...]:
    return (SIZES.get(name, 64), 224, 256)


def lively(model: nn.Module) -> nn.Module:
    """With batch statistics as training would leave them, so that images make a difference."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and module.running_mean is not None:
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def images(size: int, count: int) -> torch.Tensor:
    """Smooth ones of different colours; averages over noise would all be alike."""
    generator = torch.Generator().manual_seed(size)
    coarse = torch.rand(count, 3, 8, 8, generator=generator) * torch.rand(count, 3, 1, 1, generator=generator)
    fine = nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    return (255 * fine).round().to(torch.uint8)


def correlation(found: np.ndarray, wanted: np.ndarray) -> float:
    """Of what differs between images."""
    found, wanted = (values - values.mean(0) for values in (found, wanted))
    return float(np.corrcoef(found.ravel(), wanted.ravel())[0, 1])


def measured(make: Callable[[], nn.Module], sizes: tuple[int, ...], resolution: float) -> dict[str, Any]:
    """One row of the table."""
    torch.manual_seed(0)
    model, size = _that_runs(lively(make()), sizes)
    x = images(size, 6)
    with torch.no_grad():
        answer = model(x / 255)
        wanted = (answer["out"] if isinstance(answer, dict) else answer).reshape(len(x), -1).numpy()
    row: dict[str, Any] = {"size": size}
    try:
        start = time.perf_counter()
        net = la.convert(model, x, resolution=resolution, weight_scales="channel", num_steps=1)
        row |= {"layers": len(net.layers), "seconds": time.perf_counter() - start}
    except la.ConversionError as error:
        return row | {"refused": str(error)}
    simulated = la.simulate(net, x, 1)
    row["eight"] = correlation(_logits(simulated), wanted)
    try:
        row["equal"] = np.array_equal(la.settle(net, x, 1).v, simulated.v[-1])
    except la.LavaAugError as error:
        row["overflows"] = str(error)
    return row


def _logits(output: la.Output) -> np.ndarray:
    found = output.heads["out"] if output.heads else output.logits
    return found[-1].reshape(len(found[-1]), -1)


def _that_runs(model: nn.Module, sizes: tuple[int, ...]) -> tuple[nn.Module, int]:
    errors: list[Exception] = []
    for size in sizes:
        try:
            with torch.no_grad():
                model(torch.rand(2, 3, size, size))
            return model, size
        except Exception as error:
            errors.append(error)
    raise errors[-1]


def page(rows: dict[str, dict[str, Any]], resolution: float) -> str:
    """The table as Markdown."""
    converted = {name: row for name, row in rows.items() if "layers" in row}
    lines = ["# Coverage", "", HEAD.format(resolution=resolution), ""]
    for package in dict.fromkeys(name.split(" ")[0] for name in rows):
        mine = [name for name in rows if name.startswith(f"{package} ")]
        lines.append(f"- {package}: {sum(name in converted for name in mine)} of {len(mine)} convert")
    lines += [
        "",
        "| package | architecture | image | layers | float | 8 bit | equal |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in converted.items():
        package, architecture = name.split(" ")
        equal = row.get("overflows") or ("yes" if row["equal"] else "no")
        lines.append(f"| {package} | {architecture} | {row['size']} | {row['layers']} | {row['eight']:.4f} | {equal} |")
    lines += ["", "## Refused", "", "| package | architecture | why |", "|---|---|---|"]
    for name, row in rows.items():
        if "refused" in row:
            package, architecture = name.split(" ")
            lines.append(f"| {package} | {architecture} | {_kinds(row['refused'])} |")
    return "\n".join([*lines, ""])


def _kinds(message: str) -> str:
    """The operations that a refusal is about."""
    found = [line.removeprefix("- ") for line in message.splitlines() if not line.endswith("cannot be converted:")]
    kinds = [line.split("(")[1].split(")")[0] if line.startswith("module") else line.split(" ")[1] for line in found]
    return ", ".join(dict.fromkeys(kinds))


def main() -> None:
    """Measure, keep, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="the page")
    parser.add_argument("--keep", type=Path, default=Path("architectures.jsonl"), help="what has been measured")
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--resolution", type=float, default=1 / 128)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    kept = options.keep.read_text().splitlines() if options.keep.exists() else []
    rows = dict(map(json.loads, kept))
    for package, name, make, sizes in models():
        key = f"{package} {name}"
        if key in rows or options.only not in name:
            continue
        try:
            rows[key] = measured(make, sizes, options.resolution)
        except Exception as error:
            rows[key] = {"size": sizes[0], "refused": f"error {type(error).__name__}: {error}"}
        print(key, {k: v if not isinstance(v, str) else v[:100] for k, v in rows[key].items()}, flush=True)
        with options.keep.open("a") as file:
            file.write(json.dumps([key, rows[key]]) + "\n")
    if options.output:
        options.output.write_text(page(rows, options.resolution))


if __name__ == "__main__":
    main()
