"""Which architectures of torchvision and timm convert, and how near the converted network is.

    uv run --with timm python benchmarks/architectures.py -o docs/coverage.md

Weights are random, batch statistics as training would leave them: what counts is whether the converted network
computes what the model does. Every result is kept in a file of lines (``--keep``), where an interrupted run goes on.
"""

import argparse
import json
import re
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]: of one to three dimensions

import lava_aug as la
from lava_aug.conversion.models import outputs

HEAD = """Which architectures convert as they are, by `uv run --with timm python benchmarks/architectures.py -o
docs/coverage.md`, which also writes this page: all models of torchvision but quantised ones, and {timm} of timm. Of
detectors, backbone and heads, without the selection of boxes. What is refused is [below](#refused), with the reason.

- Weights are random, batch statistics as training would leave them, with most neurons active: random layers of which
  half are off make noise of whatever differs between images, in floating point, too.
- `noise`: how sensitive the model itself still is: the correlation of its outputs with those for images with noise of
  half a grey level. All correlations are of what differs between {images} images, which are not among the {calibration}
  of the calibration.
- `float`: float weights, resolution 1/2048, one time step: the conversion as such. `8 bit`: as `la.convert` does it by
  default, but with one time step and the first `resolution` of {resolutions} that gives more than {enough}, or else the
  one that gives more.
- `equal`: `settle` equals `simulate`, bit for bit."""

IMAGES = 6
CALIBRATION = 12
"""Images that are converted with, and from which batch statistics are."""

ENOUGH = 0.99
RESOLUTIONS = (512, 2048)
"""Quanta per threshold of the 8-bit networks."""

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

Made = tuple[str, str, Callable[[], nn.Module], list[tuple[int, ...]]]


def models() -> Iterator[Made]:
    """Package, name, what makes it, and the shapes of images to try."""
    vision = torchvision.models
    for name in vision.list_models(vision):
        yield "torchvision", name, lambda name=name: vision.get_model(name, weights=None), _squares(name)
    for name in vision.list_models(vision.segmentation):
        yield "torchvision", name, lambda name=name: _without_weights(name), _squares(name)
    for name in vision.list_models(vision.detection):
        yield "torchvision", name, lambda name=name: _Detector(_without_weights(name)), _squares(name)
    for name in vision.list_models(vision.video):
        yield "torchvision", name, lambda name=name: vision.get_model(name, weights=None), [(8, 64, 64), (16, 224, 224)]
    try:
        import timm  # pyright: ignore[reportMissingImports]: only for those who have it
    except ImportError:
        return
    for name in TIMM:
        yield "timm", name, lambda name=name: timm.create_model(name, pretrained=False, num_classes=10), _squares(name)


def _without_weights(name: str) -> nn.Module:
    return torchvision.models.get_model(name, weights=None, weights_backbone=None)


def _squares(name: str) -> list[tuple[int, ...]]:
    return [(size, size) for size in (SIZES.get(name, 64), 224, 256)]


class _Detector(nn.Module):
    """Backbone and heads of a detector; what selects boxes depends on them, and gives another number for each image."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone = detector.backbone
        self.head = detector.rpn.head if hasattr(detector, "rpn") else detector.head

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(list(self.backbone(x).values()))


def lively(model: nn.Module, x: torch.Tensor) -> nn.Module:
    """Statistics, gains and offsets as training would leave them, with most neurons active."""
    norms = [module for module in model.eval().modules() if isinstance(module, _BatchNorm)]
    for parameter in model.parameters():
        if parameter.ndim == 1 and 0 < float(parameter.abs().max()) < 1e-3:  # gains of layers and blocks
            nn.init.uniform_(parameter, 0.05, 0.15)
        elif parameter.ndim > 1 and not parameter.any():  # heads that begin with zeros
            nn.init.normal_(parameter, std=0.02)
    for module in norms:
        module.momentum = 1.0
        if module.affine:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, 0.5, 1.5)
        module.train()
    with torch.no_grad():
        model(x)
    return model.eval()


def images(size: tuple[int, ...], count: int) -> torch.Tensor:
    """Smooth ones of different colours; averages over noise would all be alike."""
    generator = torch.Generator().manual_seed(size[-1])
    colours = torch.rand(count, 3, *[1] * len(size), generator=generator)
    coarse = torch.rand(count, 3, *[8] * len(size), generator=generator) * colours
    fine = nn.functional.interpolate(coarse, size, mode="bilinear" if len(size) == 2 else "trilinear")
    return (255 * fine).round().to(torch.uint8)


def correlation(found: np.ndarray, wanted: np.ndarray) -> float:
    """Of what differs between images."""
    found, wanted = (values - values.mean(0) for values in (found, wanted))
    return float(np.corrcoef(found.ravel(), wanted.ravel())[0, 1])


def measured(make: Callable[[], nn.Module], sizes: list[tuple[int, ...]]) -> dict[str, Any]:
    """One row of the table."""
    torch.manual_seed(0)
    model, size = _that_runs(make().eval(), sizes)
    calibration, x = images(size, CALIBRATION + IMAGES).split([CALIBRATION, IMAGES])
    model = lively(model, calibration / 255)
    wanted = _answers(model, x / 255)
    row: dict[str, Any] = {"size": size, "noise": correlation(_answers(model, _noisy(x)), wanted)}
    start = time.perf_counter()
    try:
        net = la.convert(model, calibration, resolution=1 / 2048, weight_bits=None, num_steps=1)
        row |= {"layers": len(net.layers), "float": correlation(_logits(la.simulate(net, x, 1)), wanted)}
        for quanta in RESOLUTIONS:
            row |= _eight_bit(la.convert(model, calibration, resolution=1 / quanta, num_steps=1), x, wanted, row)
            if row["eight"] > ENOUGH:
                break
    except la.ConversionError as error:
        return row | {"refused": str(error)}
    return row | {"seconds": time.perf_counter() - start}


def _eight_bit(net: la.Network, x: torch.Tensor, wanted: np.ndarray, row: dict[str, Any]) -> dict[str, Any]:
    """What an 8-bit network adds to the row, if it is nearer than the one there."""
    simulated = la.simulate(net, x, 1)
    found: dict[str, Any] = {"eight": correlation(_logits(simulated), wanted), "quanta": round(1 / net.resolution)}
    if found["eight"] <= row.get("eight", -1.0):
        return {}
    try:
        return found | {"equal": np.array_equal(la.settle(net, x, 1).v, simulated.v[-1])}
    except la.LavaAugError as error:
        return found | {"equal": False, "overflows": str(error)}


def _noisy(x: torch.Tensor) -> torch.Tensor:
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) - 0.5
    return (x + noise) / 255


def _answers(model: nn.Module, x: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([part.reshape(len(x), -1) for part in outputs(model(x)).values()], 1).numpy()


def _logits(output: la.Output) -> np.ndarray:
    parts = [found[-1] for found in (output.heads or {"": output.logits}).values()]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], 1)


def _that_runs(model: nn.Module, sizes: list[tuple[int, ...]]) -> tuple[nn.Module, tuple[int, ...]]:
    errors: list[Exception] = []
    for size in sizes:
        try:
            with torch.no_grad():
                model(torch.rand(2, 3, *size))
            return model, size
        except Exception as error:
            errors.append(error)
    raise errors[-1]


def page(rows: dict[str, dict[str, Any]], missing: list[str]) -> str:
    """The table as Markdown."""
    converted = {name: row for name, row in rows.items() if "eight" in row and "refused" not in row}
    told = HEAD.format(
        timm=len(TIMM),
        images=IMAGES,
        calibration=CALIBRATION,
        resolutions=" and ".join(f"1/{quanta}" for quanta in RESOLUTIONS),
        enough=ENOUGH,
    )
    lines = ["# Coverage", "", told, ""]
    for package in dict.fromkeys(name.split(" ")[0] for name in rows):
        mine = [name for name in rows if name.startswith(f"{package} ")]
        lines.append(
            f"- {package}: {sum(name in converted for name in mine)} of {len(mine)} that were measured convert"
        )
    lines += [
        "",
        "| package | architecture | image | layers | noise | float | 8 bit | resolution | equal |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in converted.items():
        equal = row.get("overflows") or ("yes" if row["equal"] else "no")
        figures = " | ".join(f"{row[key]:.4f}" for key in ("noise", "float", "eight"))
        size = "x".join(map(str, row["size"]))
        told = f"{size} | {row['layers']} | {figures} | 1/{row['quanta']} | {equal}"
        lines.append(f"| {name.replace(' ', ' | ')} | {told} |")
    refused = {name: _kinds(row["refused"]) for name, row in rows.items() if "refused" in row}
    lines += ["", "## Refused", "", "Nothing else was refused." if refused else "Nothing was refused."]
    lines += ["", "| package | architecture | why |", "|---|---|---|"] if refused else []
    lines += [f"| {name.replace(' ', ' | ')} | {why} |" for name, why in refused.items()]
    if missing:
        lines += ["", "## Not measured", "", "These take longer, and have not been measured:", ""]
        lines += [f"- {name}" for name in missing]
    return "\n".join([*lines, ""])


def _kinds(message: str) -> str:
    """The operations that a refusal is about, or what it says."""
    found = [line.removeprefix("- ") for line in message.splitlines() if not line.endswith("cannot be converted:")]
    if not found[0].startswith(("module ", "operation ")):
        return found[0].replace("|", "\\|")
    kinds = [line.split("(")[1].split(")")[0] if line.startswith("module") else line.split(" ")[1] for line in found]
    return ", ".join(dict.fromkeys(kinds))


def _too_long(*_: Any) -> None:
    raise TimeoutError("takes longer than --at-most")


def main() -> None:
    """Measure, keep, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="the page")
    parser.add_argument("--keep", type=Path, default=Path("architectures.jsonl"), help="what has been measured")
    parser.add_argument("--only", default="", help="names that match this")
    parser.add_argument("--skip", default="^$", help="names that do not match this")
    parser.add_argument("--at-most", type=int, default=0, help="seconds for one model; 0: any")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _too_long)
    kept = options.keep.read_text().splitlines() if options.keep.exists() else []
    rows = dict(map(json.loads, kept))
    wanted = {f"{package} {name}": (make, sizes) for package, name, make, sizes in models()}
    for key, (make, sizes) in wanted.items():
        if key in rows or not re.search(options.only, key) or re.search(options.skip, key):
            continue
        signal.alarm(options.at_most)
        try:
            rows[key] = measured(make, sizes)
        except TimeoutError:
            print(key, "takes too long", flush=True)
            continue
        except Exception as error:
            rows[key] = {"size": sizes[0], "refused": f"error {type(error).__name__}: {error}"}
        finally:
            signal.alarm(0)
        print(key, {k: v if not isinstance(v, str) else v[:100] for k, v in rows[key].items()}, flush=True)
        with options.keep.open("a") as file:
            file.write(json.dumps([key, rows[key]]) + "\n")
    if options.output:
        measured_ = {key: rows[key] for key in wanted if key in rows}
        options.output.write_text(page(measured_, [key for key in wanted if key not in rows]))


if __name__ == "__main__":
    main()
