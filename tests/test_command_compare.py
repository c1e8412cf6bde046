"""The command `compare`: what it prints and writes, how it goes on, and what it says about wrong input."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import run

import lava_aug as la
from lava_aug.commands import experiments, inputs
from lava_aug.examples.digits import DigitsNet, load_digits
from lava_aug.experiments.comparison import Comparison

MODEL = "lava_aug.examples.digits:DigitsNet"
GOOD = ("-w", "d.pt", "--data", "d.npz", "-c", "c.npy", "-o", "out")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, images and labels, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    torch.manual_seed(0)
    torch.save(DigitsNet().state_dict(), "d.pt")
    digits = load_digits()
    np.savez("d.npz", images=digits.test_images[:60], labels=digits.test_labels[:60])
    np.save("c.npy", digits.train_images[:90])
    return tmp_path


def test_prints_and_writes_and_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--num-steps", "5", "--augmapping-steps", "3", "--resolutions", "1,1/4", "--methods", "augmapping,rate")
    arguments = (MODEL, *GOOD, *options, "--num-images", "20", "--num-calibration", "30")
    assert run("compare", *arguments) == 0
    printed = capsys.readouterr().out
    found = Comparison.from_dict(json.loads((folder / "out" / "lava_aug.examples.digits-DigitsNet.json").read_text()))
    assert [(row.title, row.num_steps) for row in found.rows] == [
        ("rate", 5),
        ("AugMapping 1", 3),
        ("AugMapping 1/4", 3),
    ]
    for line in (*found.accuracies((1, 2, 4, 5)).rows, *found.costs().rows):
        assert all(cell in printed for cell in line)
    assert found.configuration["command"] == "lava-aug compare " + " ".join(arguments)
    assert (found.num_images, found.configuration["calibration images"], found.data) == (20, 30, "d.npz")
    digits = load_digits()
    torch.manual_seed(0)
    net = la.convert(DigitsNet(), digits.train_images[:90:3], "augmapping", 1 / 4, 3)
    expected = la.simulate(net, digits.test_images[:60:3]).accuracy(digits.test_labels[:60:3])
    assert found.rows[2].accuracy.tolist() == expected.tolist()
    parts = {path: path.stat().st_mtime_ns for path in (folder / "out" / "parts").iterdir()}
    assert len(parts) == 3
    assert run("compare", *arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in (folder / "out" / "parts").iterdir()} == parts


def test_ablations_have_a_file_of_their_own(folder: Path) -> None:
    options = ("--cases", "ablations", "--methods", "termapping", "--num-steps", "2", "--num-images", "5")
    assert run("compare", MODEL, *GOOD, *options) == 0
    found = json.loads((folder / "out" / "lava_aug.examples.digits-DigitsNet-ablations.json").read_text())
    titles = [row["title"] for row in found["rows"]]
    assert titles[:2] == ["TerMapping", "TerMapping, vth_lo = -vth"]
    assert "TerMapping, float" in titles


def test_an_interrupt_says_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(la.experiments, "compare", interrupted)
    assert run("compare", MODEL, *GOOD) != 0
    assert "Finished parts are in out/parts; run the same command to resume." in capsys.readouterr().err


def test_images_are_spread_over_all() -> None:
    assert experiments._evenly(10, 4).tolist() == [0, 2, 5, 7]
    assert experiments._evenly(3, None).tolist() == [0, 1, 2]
    assert experiments._evenly(3, 9).tolist() == [0, 1, 2]


def test_networks_of_the_zoo_know_their_data() -> None:
    assert inputs.source_of("mnist-lenet", "data") == "MNIST:data"
    assert inputs.source_of("mnist-lenet", "FashionMNIST:data") == "FashionMNIST:data"
    assert inputs.source_of(MODEL, "MNIST:data") == "MNIST:data"


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "no data": ((MODEL, "--data", "nowhere"), "--data 'nowhere': expected a file, or one of MNIST"),
    "no such data": (("mnist-lenet", "--data", "nowhere"), "MNIST"),
    "nothing to calibrate with": ((MODEL, "--data", "d.npz"), "--calibration: expected calibration images"),
    "no labels": ((MODEL, "--data", "c.npy", "-c", "c.npy"), "expected labels with the images"),
    "no method": ((MODEL, *GOOD, "--methods", "magic"), "methods: expected some of rate, termapping, augmapping"),
    "no number": ((MODEL, *GOOD, "--resolutions", "1,fine"), "--resolutions: expected comma-separated numbers"),
    "by zero": ((MODEL, *GOOD, "--resolutions", "1/0"), "--resolutions: expected comma-separated numbers"),
    "negative": ((MODEL, *GOOD, "--resolutions", "-1"), "resolution: expected a positive number"),
    "no images": ((MODEL, *GOOD, "--num-images", "0"), "Invalid value"),
    "no engine": ((MODEL, *GOOD, "--engine", "abacus"), "Invalid value"),
    "no scheduler needed": ((MODEL, *GOOD, "--engine", "loky", "--scheduler", "x"), "expected no scheduler"),
    "no device": ((MODEL, *GOOD, "--device", "abacus"), "device 'abacus' cannot be used"),
    "unwritable": ((MODEL, *GOOD[:-1], "d.pt/x"), "cannot write to"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_input_ends_in_a_message(case: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = BAD[case]
    assert run("compare", *arguments) == 2
    captured = capsys.readouterr()
    assert message in " ".join(captured.err.split())
    assert "Traceback" not in captured.err
