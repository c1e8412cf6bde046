"""The benchmark on a pretrained ImageNet network: its crops, its comparison, and torch.ao's int8, on small models."""

import argparse
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import lava_aug as la

pytest.importorskip("torchvision", reason="the benchmark of architectures, whose correlation it takes, uses it")

import imagenet
from imagenet import Row
from torch_int8 import WAYS, plain, run, with_plain_convolutions


class Padded(nn.Conv2d):
    """As in EfficientNet-Lite: the padding is a module of its own, and more on one side than on the other."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2, bias=False)
        self.static_padding = nn.ZeroPad2d((0, 1, 0, 1))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(self.static_padding(input))


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))
    return nn.Sequential(Padded(3, 6), nn.BatchNorm2d(6), nn.ReLU6(), *head).eval()


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (13, 3, 8, 8), dtype=np.uint8)


@pytest.fixture
def engine() -> Iterator[None]:
    """The engine of quantised operations as it was."""
    before = torch.backends.quantized.engine
    yield
    torch.backends.quantized.engine = before


def test_crops_are_squares_of_the_photograph() -> None:
    height, width = np.mgrid[:60, :90]
    photo = np.stack([height, width, np.full((60, 90), 7)], 2).astype(np.uint8)
    found = imagenet.crops(photo, 20, 30, np.random.default_rng(0))
    assert found.shape == (20, 3, 30, 30)
    assert found.dtype == np.uint8
    assert (found[:, 2] == 7).all()
    rows, columns = found[:, 0, :, 0].astype(int), found[:, 1, 0].astype(int)
    sides = rows[:, -1] - rows[:, 0]
    assert (abs(sides - (columns[:, -1] - columns[:, 0])) <= 2).all(), "not squares"
    assert sides.min() >= 28
    assert sides.max() <= 59
    assert len(np.unique(rows[:, 0])) > 5
    assert columns.max() > 60
    assert np.array_equal(found, imagenet.crops(photo, 20, 30, np.random.default_rng(0)))


def test_images_are_normalised_as_the_model_takes_them(images: np.ndarray) -> None:
    assert torch.allclose(imagenet.normalised(images), (torch.tensor(images).float() - 127) / 128, atol=1e-6)


def test_answers_do_not_depend_on_batches(model: nn.Module, images: np.ndarray) -> None:
    parts = imagenet.batches(images)
    assert [len(part) for part in parts] == [10, 10]
    with torch.no_grad():
        wanted = model(imagenet.normalised(images)).numpy()
    np.testing.assert_allclose(imagenet.answers(model, images), wanted, atol=1e-6)


def test_rows_compare_classes_and_what_differs_between_images() -> None:
    wanted = np.array([[1.0, 2.0], [3.0, 1.0], [0.0, 5.0], [2.0, 1.0]])
    same = imagenet.row("same", 1, wanted + np.array([9, 9]), wanted, 2.0)
    assert (same.title, same.steps, same.agreement, same.seconds) == ("same", 1, 1.0, 2.0)
    assert same.correlation == pytest.approx(1)
    other = wanted.copy()
    other[0] = 3, 2
    found = imagenet.row("one differs", None, other, wanted, 0.0)
    assert found.agreement == 0.75
    pair = (other - other.mean(0)).ravel(), (wanted - wanted.mean(0)).ravel()
    assert found.correlation == pytest.approx(np.corrcoef(*pair)[0, 1])


def test_the_table_and_what_falls_short() -> None:
    chosen = f"lava-aug, {imagenet.CHOSEN}"
    rows = [
        Row("the model, noise", None, 0.99, 0.999, 0.0),
        Row("torch.ao int8, FX", None, 0.5, 0.9, 3.0),
        Row(chosen, 1, 0.94, 0.9984, 14.26),
        Row(chosen, 2, 0.95, 0.9989, 14.26),
        Row(f"{chosen}, coarse", 1, 0.1, 0.5, 1.0),
    ]
    lines = imagenet.table(rows).splitlines()
    assert lines[2] == "| the model, noise | - | 99.0 | 0.9990 | - |"
    assert lines[4] == f"| {chosen} | 1 | 94.0 | 0.9984 | 14.3 |"
    assert imagenet.shortfalls(rows) == [f"{chosen}, T = 1: 94.0 % of the model's classes, expected 95.0 % or more"]
    better = [*rows, Row("torch.ao int8, other", None, 0.96, 0.99, 3.0)]
    assert [text.split(" = ")[1][:7] for text in imagenet.shortfalls(better)] == ["1: 94.0", "2: 95.0"]


def test_plain_convolutions_compute_the_same(model: nn.Module, images: np.ndarray) -> None:
    changed = with_plain_convolutions(model)
    assert not any(isinstance(module, Padded) for module in changed.modules())
    assert isinstance(next(model.children()), Padded), "the model was changed"
    assert np.array_equal(imagenet.answers(changed, images), imagenet.answers(model, images))
    old = nn.Conv2d(4, 6, (3, 2), stride=(1, 2), padding=1, dilation=(2, 1), groups=2)
    x = torch.rand(2, 4, 9, 9)
    assert torch.equal(plain(old)(nn.functional.pad(x, (1, 1, 1, 1))), old(x))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("engine")
def test_int8_models_are_near_the_model(way: str, model: nn.Module, images: np.ndarray) -> None:
    parts = imagenet.batches(images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao's own
        quantised, engine = WAYS[way](with_plain_convolutions(model), parts)
        found = run(quantised, parts).numpy()
    assert engine
    wanted = run(model, parts).numpy()
    assert not np.array_equal(found, wanted)
    assert imagenet.correlation(found, wanted) > 0.98


def test_details_name_what_was_found(model: nn.Module, images: np.ndarray) -> None:
    net = imagenet.convert(model, images, 1, {"resolution": 1 / 256})
    size, fidelity = 162 + 12 + 35, net.fidelity
    assert fidelity is not None
    assert fidelity.correlation > 0.99
    lines = list(imagenet.details(net, model, images))
    assert [line.split("`")[1] for line in lines] == [
        *("net.fidelity", "la.save", "la.plan", "la.check_loihi2", "la.diagnose")
    ]
    assert fidelity.describe() in lines[0]
    assert f"{size} parameters" in lines[1]
    assert lines[2] == "`la.plan` on 4 images: no problems"
    least, most = la.check_loihi2(net, images[:4]).cores
    assert f"{least:,} to {most:,} cores" in lines[3]
    worst = la.diagnose(net, model, images[::3][:4]).worst[0]
    assert f"{worst.name} {100 * worst.added:.2f} %" in lines[4]


@pytest.mark.lava
def test_an_image_on_lava_is_compared(model: nn.Module, images: np.ndarray) -> None:
    net = imagenet.convert(model, images, 1, {"resolution": 1 / 256})
    said = imagenet.on_lava(net, images[:1])
    assert said.startswith("Lava, 1 image of 8 x 8, T = 1: ")
    assert said.endswith(f"all spikes of the input and {len(net.layers) - 1} layers, and the readout, equal")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(imagenet, "PACKAGES", {"numpy": "numpy", "not_there": "not-there"})
    monkeypatch.setattr(sys, "argv", ["benchmarks/imagenet.py", "--crops", "2"])
    assert imagenet.missing() == ["not-there"]
    with pytest.raises(SystemExit):
        imagenet.main()
    said = " ".join(capsys.readouterr().err.split())
    assert "not installed: not-there; uv run --with numpy --with not-there python benchmarks/imagenet.py" in said
    assert said.endswith("--crops 2")


def test_the_report_and_its_exit_status(
    model: nn.Module, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagenet, "missing", list)
    monkeypatch.setattr(imagenet, "report", lambda arguments: (f"{arguments.size} pixels\n", ["too few"]))
    monkeypatch.setattr(sys, "argv", ["imagenet.py", "--size", "64", "-o", str(tmp_path / "found.md")])
    with pytest.raises(SystemExit, match="too few"):
        imagenet.main()
    assert (tmp_path / "found.md").read_text() == "64 pixels\n"


@pytest.mark.usefixtures("engine")
def test_everything_is_in_the_report(model: nn.Module, images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "pretrained", lambda: model)
    monkeypatch.setattr(imagenet, "images", lambda names, count, size: images)
    arguments = argparse.Namespace(size=8, crops=3, calibration_crops=3, skip_lava=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao's own
        text, _ = imagenet.report(arguments)
    assert "13 crops of 8 x 8 from 5 photographs, calibrated on 13 from 5 others" in text
    assert sum(line.startswith("| ") for line in text.splitlines()) == 2 + 1 + len(WAYS) + 2 * len(imagenet.OPTIONS)
    assert "Lava" not in text.split("T = 1:")[1]
