"""Every command, with good input and with bad: a message, exit code 2, and no traceback."""

import io
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import run
from fuzz import stock_network
from nets import small_net
from rich.console import Console

import lava_aug as la
from lava_aug.commands import console
from lava_aug.commands.console import print_table
from lava_aug.core.tables import Table
from lava_aug.examples.digits import DigitsNet, load_digits
from lava_aug.netx.layers import Cuba
from lava_aug.simulation.courses import margins


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network, images and labels, in which the command runs."""
    la.save(small_net(), tmp_path / "small.net")
    images = np.random.default_rng(0).integers(0, 256, (5, 6)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=np.array([0, 1, 2, 0, 1]))
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "labels.npy", np.array([0, 1, 2, 0, 1]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_info_prints_the_summary(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", "small.net") == 0
    assert small_net().summary() in capsys.readouterr().out


def test_simulate_reports_and_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("simulate", "small.net", "--images", "data.npz", "-T", "3", "-o", "out.npz") == 0
    printed = capsys.readouterr().out
    out = la.simulate(small_net(), np.load("images.npy"), 3)
    for step, accuracy in enumerate(out.accuracy(np.load("labels.npy"))):
        assert f"{step + 1}" in printed
        assert f"{100 * accuracy:.2f}" in printed
    with np.load("out.npz") as written:
        np.testing.assert_array_equal(written["v"], out.v)
        np.testing.assert_array_equal(written["events/hidden"], out.events["hidden"])
    assert not list(folder.glob(".*partial*"))


def test_the_version_and_examples_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"lava-aug {la.__version__}\n"
    assert run("verify", "--help") == 0
    assert "Example: lava-aug verify lenet.net --num-images 2" in capsys.readouterr().out


def test_quiet_prints_errors_and_json_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-q", "simulate", "small.net", "--images", "data.npz", "-o", "out.npz") == 0
    assert capsys.readouterr() == ("", "")
    assert Path("out.npz").exists()
    assert run("--quiet", "info", "small.net", "--json") == 0
    assert json.loads(capsys.readouterr().out)["layers"][0]["name"] == "hidden"
    assert run("--quiet", "info", "gone.net") == 2
    assert "no such file" in capsys.readouterr().err
    assert run("info", "small.net") == 0
    assert capsys.readouterr().out


def test_json_of_networks_and_results(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = small_net()
    assert run("info", "small.net", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == net.to_dict()
    assert [(layer["name"], layer["inputs"], layer["vth"], layer["synapses"]) for layer in found["layers"]] == [
        ("hidden", ["input"], 300, 24),
        ("out", ["hidden"], None, 12),
    ]
    assert run("simulate", "small.net", "--images", "data.npz", "-T", "3", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    out = la.simulate(net, np.load("images.npy"), 3)
    assert found == out.to_dict(np.load("labels.npy"))
    assert found["accuracy"] == out.accuracy(np.load("labels.npy")).tolist()
    assert found["predictions"] == out.predictions[-1].tolist()
    assert found["events"]["hidden"] == out.events["hidden"].mean(axis=1).tolist()
    assert "accuracy" not in out.to_dict()


def test_json_of_searches_and_diagnoses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digits = load_digits()
    np.savez("calibration.npz", images=digits.train_images[:60], labels=digits.train_labels[:60])
    torch.manual_seed(0)
    model = DigitsNet()
    torch.save(model.state_dict(), "digits.pt")
    named = ("lava_aug.examples.digits:DigitsNet", "-w", "digits.pt")
    assert run("tune", *named, "-c", "calibration.npz", "-o", "best.net", "-T", "2", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    tuned = la.tune(model, digits.train_images[:60], digits.train_labels[:60], num_steps=2)
    assert found == tuned.to_dict()
    assert found["best"] == tuned.best.to_dict()
    assert found["front"] == [point.to_dict() for point in tuned.front]
    assert la.load("best.net").resolution == found["best"]["resolution"]
    assert run("diagnose", "best.net", *named, "--images", "calibration.npz", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == la.diagnose(tuned.network, model, digits.train_images[:60]).to_dict()
    assert found["layers"][0].keys() == {"name", "size", "total", "added", "clipping", "weights", "time"}


def test_simulate_stops_early(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    margin = float(np.median(margins(la.simulate(small_net(), np.load("images.npy"), 6).logits[1])))
    found = la.simulate(small_net(), np.load("images.npy"), 6, stop_when=margin)
    assert len(set(found.steps)) > 1
    assert (
        run("simulate", "small.net", "--images", "images.npy", "-T", "6", "--stop-when", str(margin), "-o", "out.npz")
        == 0
    )
    assert f"{found.steps.mean():.2f} time steps per image on average" in capsys.readouterr().out
    with np.load("out.npz") as written:
        np.testing.assert_array_equal(written["steps"], found.steps)


def test_labels_of_their_own_and_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("simulate", "small.net", "--images", "images.npy", "--labels", "labels.npy") == 0
    accuracy = la.simulate(small_net(), np.load("images.npy")).accuracy(np.load("labels.npy"))[-1]
    assert f"{100 * accuracy:.2f}" in capsys.readouterr().out
    assert run("simulate", "small.net", "--images", "images.npy") == 0
    assert " -" in capsys.readouterr().out


def test_convert_writes_the_network_of_the_public_function(folder: Path) -> None:
    digits = load_digits()
    np.save("calibration.npy", digits.train_images[:100])
    torch.manual_seed(0)
    model = DigitsNet()
    torch.save(model.state_dict(), "digits.pt")
    options = ("--weights", "digits.pt", "-c", "calibration.npy", "-o", "d.net", "-m", "termapping", "-T", "7")
    assert (
        run("convert", "lava_aug.examples.digits:DigitsNet", *options, "--percentile", "99", "--weight-bits", "6") == 0
    )
    images = digits.train_images[:100]
    assert la.load("d.net") == la.convert(model, images, "termapping", None, 7, percentile=99, weight_bits=6)


def test_convert_for_the_chip(folder: Path) -> None:
    images = load_digits().train_images[:100]
    np.save("calibration.npy", images)
    torch.manual_seed(0)
    model = DigitsNet()
    torch.save(model.state_dict(), "digits.pt")
    options = ("-w", "digits.pt", "-c", "calibration.npy", "-o", "d.net", "--power-of-two-vth", "--message-bits", "12")
    assert run("convert", "lava_aug.examples.digits:DigitsNet", *options) == 0
    net = la.load("d.net")
    assert net == la.convert(model, images, power_of_two_vth=True, message_bits=12)
    vths = [layer.neuron.vth for layer in net.layers[:-1]]  # pyright: ignore[reportAttributeAccessIssue]
    assert all(vth & (vth - 1) == 0 for vth in vths)
    assert max(vths) > 1


def digits_files() -> tuple[DigitsNet, np.ndarray, np.ndarray]:
    """A model, its weights in a file, and labelled images in another."""
    digits = load_digits()
    torch.manual_seed(0)
    model = DigitsNet()
    torch.save(model.state_dict(), "digits.pt")
    images, labels = digits.train_images[:60], digits.train_labels[:60]
    np.savez("digits.npz", images=images, labels=labels)
    return model, images, labels


def test_convert_takes_every_option(folder: Path) -> None:
    model, images, _ = digits_files()
    arguments = (
        "-w",
        "digits.pt",
        "-c",
        "digits.npz",
        "-o",
        "d.net",
        "--mean",
        "0.3",
        "--std",
        "0.5",
        "--quality",
        "fast",
    )
    scales = ("--weight-scales", "layer", "--thresholds", "channel", "--balance", "search", "--weight-bits", "12")
    assert run("convert", "lava_aug.examples.digits:DigitsNet", *arguments, *scales) == 0
    assert la.load("d.net") == la.convert(
        model,
        images,
        normalize=(0.3, 0.5),
        weight_scales="layer",
        thresholds="channel",
        balance="search",
        weight_bits=12,
        quality="fast",
    )


def test_plan_as_table_and_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", "small.net", "--plan", "--images", "images.npy") == 0
    plan = la.plan(small_net(), np.load("images.npy"))
    assert str(plan) in capsys.readouterr().out
    assert run("info", "small.net", "--plan", "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(la.plan(small_net()).to_dict()))


def test_tune_writes_the_best_network(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, images, labels = digits_files()
    options = ("-w", "digits.pt", "-c", "digits.npz", "-o", "t.net", "--max-loss", "5", "-T", "2", "--figure", "p.png")
    assert run("tune", "lava_aug.examples.digits:DigitsNet", *options) == 0
    tuned = la.tune(model, images, labels, max_loss=5, num_steps=2)
    assert la.load("t.net") == tuned.network
    assert f"{100 * tuned.best.accuracy:.2f}" in capsys.readouterr().out
    assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")
    assert run("tune", "lava_aug.examples.digits:DigitsNet", "-c", "images.npy", "-o", "t.net") == 2
    assert "expected labels with the images" in capsys.readouterr().err


def test_diagnose_names_the_layers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, images, _ = digits_files()
    net = la.convert(model, images)
    la.save(net, "d.net")
    options = ("-w", "digits.pt", "--images", "digits.npz", "--figure", "e.svg")
    assert run("diagnose", "d.net", "lava_aug.examples.digits:DigitsNet", *options) == 0
    printed = capsys.readouterr().out
    for layer in la.diagnose(net, model, images).layers:
        assert f"{100 * layer.total:.2f}" in printed
    assert "<svg" in (folder / "e.svg").read_text()
    assert run("diagnose", "d.net", "lava_aug.examples.digits:DigitsNet", *options[:-1], "no/e.png") == 2
    assert "cannot write 'no/e.png'" in capsys.readouterr().err


GOOD = ("convert", "lava_aug.examples.digits:DigitsNet", "-c", "images.npy", "-o", "x.net")

BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "mean is no number": ((*GOOD, "--mean", "grey"), "--mean, --std: expected comma-separated numbers"),
    "no command": (("nonsense",), "No such command"),
    "no file": (("info", "none.net"), "no such file"),
    "not a network": (("info", "images.npy"), "damaged, or not an HDF5 file"),
    "no images": (("simulate", "small.net", "--images", "none.npy"), "cannot be read as .npy or .npz"),
    "images of another kind": (("simulate", "small.net", "--images", "small.net"), "cannot be read as .npy or .npz"),
    "no array of that name": (("simulate", "small.net", "--images", "other.npz"), "expected an array named 'images'"),
    "wrong shape": (("simulate", "small.net", "--images", "labels.npy"), "images: expected shape (B, 6), found (5,)"),
    "wrong labels": (("simulate", "small.net", "--images", "data.npz", "--labels", "images.npy"), "labels: expected"),
    "zero steps": (("simulate", "small.net", "--images", "data.npz", "-T", "0"), "num_steps: expected an integer"),
    "no number": (("simulate", "small.net", "--images", "data.npz", "-T", "many"), "Invalid value"),
    "no device": (("simulate", "small.net", "--images", "data.npz", "--device", "abacus"), "device 'abacus' cannot"),
    "unwritable": (("simulate", "small.net", "--images", "data.npz", "-o", "no/such/out.npz"), "cannot write"),
    "no such network": (("convert", "digits", *GOOD[2:]), "expected one of mnist-lenet, fashion-lenet"),
    "no factory": (("convert", "digits:", *GOOD[2:]), "expected module:factory"),
    "no such data": (
        ("simulate", "small.net", "--images", "MNIST:nowhere"),
        "MNIST",
    ),
    "no module": (("convert", "no_such_module:Net", *GOOD[2:]), "No module named 'no_such_module'"),
    "no such factory": (("convert", "lava_aug.examples.digits:Nope", *GOOD[2:]), "has no attribute 'Nope'"),
    "no weights": ((*GOOD, "-w", "none.pt"), "weights 'none.pt'"),
    "no such weights": ((*GOOD, "-w", "images.npy"), "weights 'images.npy'"),
    "wrong calibration": (GOOD, "does not take calibration images of shape (6,)"),
    "wrong method": ((*GOOD, "-m", "magic"), "Invalid value"),
    "wrong resolution": ((*GOOD, "-r", "-1"), "resolution: expected a positive number, found -1.0"),
    "a figure of no format": (
        ("tune", *GOOD[1:], "--figure", "front.doc"),
        "cannot write 'front.doc': no format of figures ends in .doc; known are ['",
    ),
    "no resolution": ((*GOOD, "-r", "1/0"), "expected a number such as 0.125 or 1/8, found '1/0'"),
    "spiking neurons of lava-dl's to simulate": (
        ("simulate", "stock.net", "--images", "images.npy"),
        "layer 0 (input): expected Sigma-Delta neurons",
    ),
    "lava-dl's network to check": (
        ("check", "stock.net"),
        "expected a network of lava-aug, found a lava-dl network; use info, simulate or run",
    ),
    "a Sigma-Delta network to verify": (("verify", "sdnn.net"), "found a Sigma-Delta network for netx; use info"),
    "wrong images for a Sigma-Delta network": (
        ("simulate", "sdnn.net", "--images", "labels.npy"),
        "inputs: expected shape (N, 6), N at least 1, or (6,), found (5,)",
    ),
    "demo nowhere": (("demo", "-o", "labels.npy/x"), "cannot write to"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_input_ends_in_a_message(case: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = BAD[case]
    np.savez("other.npz", x=np.zeros(3))
    la.netx.export(small_net(), "sdnn.net")
    stock_network(Cuba).write(Path("stock.net"))
    capsys.readouterr()
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert message in " ".join(captured.err.split())
    assert "Traceback" not in captured.err
    assert not Path("x.net").exists()


def test_weights_are_data_and_never_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pickle that would write a file if it were executed."""

    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (Path("attacked"),)

    torch.save({"conv1.weight": Attack()}, "evil.pt")
    assert run(*GOOD, "-w", "evil.pt") == 2
    assert "weights 'evil.pt'" in capsys.readouterr().err
    assert not Path("attacked").exists()


def test_what_export_wrote_is_read_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", "small.net", "--to", "nir", "-o", "small.nir") == 0
    assert run("export", "small.net", "--to", "netx-sdnn", "-o", "sdnn.net") == 0
    capsys.readouterr()
    results = []
    for name in ("small.net", "small.nir"):
        assert run("info", name) == 0
        assert run("simulate", name, "--images", "data.npz", "--json") == 0
        assert run("check", name) == 0
        results.append(capsys.readouterr().out)
    assert results[0] == results[1]
    assert run("info", "sdnn.net") == 0
    assert la.read_network("sdnn.net").summary() in capsys.readouterr().out
    assert run("simulate", "sdnn.net", "--images", "data.npz", "--json", "-o", "out.npz") == 0
    found = json.loads(capsys.readouterr().out)
    network = la.read_network("sdnn.net")
    assert isinstance(network, la.netx.NetxNetwork)
    expected = la.netx.simulate(network, np.load("images.npy"))
    assert found["predictions"] == expected.predictions.tolist()
    assert found["accuracy"] == (expected.predictions == np.load("labels.npy")).mean()
    assert found["events"] == {name: int(events.sum()) for name, events in expected.events.items()}
    with np.load("out.npz") as written:
        np.testing.assert_array_equal(written["sent"], expected.sent)


def test_events_are_those_so_far_as_everywhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("simulate", "small.net", "--images", "data.npz", "-T", "3") == 0
    lines = capsys.readouterr().out.splitlines()
    expected = la.simulate(small_net(), np.load("images.npy"), 3).events_per_image()
    assert [line.split()[2] for line in lines if line[1:2] in tuple("123")] == [f"{count:,.1f}" for count in expected]
    assert "* per image, over all layers, up to that step" in lines


def test_resolutions_as_the_docs_write_them(folder: Path) -> None:
    digits_files()
    named = ("convert", "lava_aug.examples.digits:DigitsNet", "-w", "digits.pt", "-c", "digits.npz", "-o", "d.net")
    for text, value in (("1/8", 0.125), ("0.25", 0.25), ("1", 1.0)):
        assert run(*named, "-r", text) == 0
        assert la.load("d.net").resolution == value


def test_random_weights_are_not_taken_in_silence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digits_files()
    named = ("convert", "lava_aug.examples.digits:DigitsNet", "-c", "digits.npz", "-o", "d.net")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run(*named) == 0
    assert "'lava_aug.examples.digits:DigitsNet' has random weights; give trained ones" in capsys.readouterr().err
    assert run(*named, "-w", "digits.pt") == 0  # where warnings are errors, in tests
    seeded = (named[0], f"{Path(__file__).stem}:seeded", *named[2:])
    assert run(*seeded) == 0


def seeded() -> DigitsNet:
    """A factory that always gives the same weights, as those that load theirs do."""
    torch.manual_seed(3)
    return DigitsNet()


def test_warnings_are_a_line_and_others_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_warning("[/b] is no markup", la.ConversionWarning, "file.py", 3)
    console.show_warning("of some library", DeprecationWarning, "file.py", 3)
    assert capsys.readouterr().err == "Warning: [/b] is no markup\n"


def test_ctrl_c_ends_in_130(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise la.RunInterruptedError("run ended after 0 of 5 images: interrupted", None, 0) from KeyboardInterrupt()

    monkeypatch.setattr(la, "simulate", interrupted)
    assert run("simulate", "small.net", "--images", "data.npz") == 130
    assert "run ended after 0 of 5 images" in capsys.readouterr().err


def test_saturation_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = small_net()
    readout = net.layers[-1].replace(bias=np.array([2**22, 0, 0]))
    la.save(net.replace(layers=(net.layers[0], readout)), "big.net")
    assert run("simulate", "big.net", "--images", "images.npy", "-T", "5") == 0
    assert "Warning: layer 'out': saturated" in capsys.readouterr().out


@pytest.mark.parametrize("width", [76, 40, 10])
def test_tables_keep_their_numbers_where_there_is_little_room(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [str(2**k) for k in range(7)]
    cells = [
        ["accuracy (%)", *steps],
        ["AugMapping 1/8, with a long name", *["100.00"] * 7],
        ["ANN", *["9.50"] * 7],
    ]
    file = io.StringIO()
    monkeypatch.setattr(console, "out", Console(width=width, file=file))
    print_table(Table(cells[0], cells[1:], "title"))
    lines = file.getvalue().splitlines()
    assert "\n".join(lines).count("100.00") == 7
    assert "…" not in "\n".join(lines)
    assert (max(map(len, lines)) <= width) == (width > 40)
