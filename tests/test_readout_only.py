"""Networks without hidden layers: one matrix from the images to the readout. Everything takes them."""

import json
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from command_line import run

import lava_aug as la
from lava_aug.core.network import INPUT
from lava_aug.verification.reference import interpret

METHODS = ("augmapping", "termapping", "rate")

IMAGES = np.random.default_rng(1).integers(0, 256, (12, 1, 3, 4), np.uint8)


class Matrix(torch.nn.Module):
    """Twelve pixels, three classes."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = torch.nn.Linear(12, 3, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.flatten(1))


LABELS = Matrix()(torch.tensor(IMAGES) / 255).argmax(1).numpy()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands run, with a network and images."""
    np.savez(tmp_path / "data.npz", images=IMAGES, labels=LABELS)
    la.save(la.convert(Matrix(), IMAGES), tmp_path / "my.net")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("method", METHODS)
def test_the_readout_is_the_matrix_product(method: Any) -> None:
    net = la.convert(Matrix(), IMAGES, method=method)
    (layer,) = net.layers
    weight, bias = layer.connections[0].synapse.weight.astype(np.int64), layer.bias  # pyright: ignore
    out = la.simulate(net, IMAGES, 3)
    product = IMAGES.reshape(12, 12).astype(np.int64) @ weight.T + bias
    assert np.array_equal(out.v, [product, 2 * product, 3 * product])
    assert np.array_equal(la.settle(net, IMAGES, 3).v, 3 * product)
    assert out.accuracy(LABELS).tolist() == [1.0] * 3
    assert out.events_per_image().tolist() == [0.0] * 3
    assert out.per_image("events").tolist() == out.per_image("spike_sum").tolist() == [0.0] * 3
    operations = 3 * np.count_nonzero(IMAGES) / 12
    assert out.per_image("synops").tolist() == [operations] * 3
    assert la.simulate(net, IMAGES, 3, record=True).differences(interpret(net, IMAGES, 3)) == []
    assert la.simulate(net, IMAGES, 3, stop_when=1e-9).steps.tolist() == [1] * 12


@pytest.mark.parametrize("method", METHODS)
def test_all_that_looks_at_networks(method: Any, tmp_path: Path) -> None:
    model, options = Matrix(), {"method": method}
    net = la.convert(model, IMAGES, **options)
    assert la.diagnose(net, model, IMAGES).layers[0].total < 0.02
    tuned = la.tune(model, IMAGES, LABELS, num_steps=2, per_layer=True, **options)
    assert (tuned.best.accuracy, tuned.best.events, tuned.best.num_steps) == (1.0, 0.0, 1)
    assert "READOUT" in net.summary()
    assert la.plan(net, IMAGES).layers[0].payload == (0, 0)
    assert la.verify(net, IMAGES, lava=False, model=model).ok
    assert [layer.name for layer in la.check_loihi2(net, IMAGES).layers] == ["fc"]
    la.save(net, tmp_path / "my.net")
    assert la.simulate(la.load(tmp_path / "my.net"), IMAGES).differences(la.simulate(net, IMAGES)) == []
    with pytest.warns(la.ExportWarning, match="v stays within 24 bits"):
        graph = la.nir.export(net)
    assert la.simulate(la.nir.load(graph), IMAGES).differences(la.simulate(net, IMAGES)) == []


def test_export_to_netx(tmp_path: Path) -> None:
    """Whose files have no room for the bias of a first layer."""
    net = la.convert(Matrix(bias=False), IMAGES, quality="fast")
    assert la.netx.export(net, tmp_path / "stock.net").network.depth == 1
    with pytest.raises(la.NetworkError, match="layer 'fc': it has a bias, which takes a layer with weights before it"):
        la.netx.export(la.convert(Matrix(), IMAGES), tmp_path / "stock.net")


def test_comparison_figures_and_report(tmp_path: Path) -> None:
    matplotlib.use("Agg")
    found = la.experiments.compare(
        Matrix(),
        IMAGES,
        IMAGES,
        LABELS,
        [
            la.experiments.Case("aug", num_steps=3, convert={}),
            la.experiments.Case("ter", num_steps=3, convert={"method": "termapping"}),
        ],
    )
    assert [row.accuracy.tolist() for row in found.rows] == [[1.0] * 3] * 2
    assert [row.events.tolist() for row in found.rows] == [[0.0] * 3] * 2
    for draw in (la.plot.accuracy_over_steps, la.plot.accuracy_over_events, la.plot.pareto, la.plot.early_exit):
        draw(found)
    la.plot.network_graph(la.convert(Matrix(), IMAGES))
    plt.close("all")
    page = found.write_report(tmp_path / "report").read_text()
    assert "100.00" in page


def test_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("simulate", "my.net", "--images", "data.npz", "-T", "2") == 0
    shown = capsys.readouterr().out.split()
    operations = f"{3 * np.count_nonzero(IMAGES) / 12:,.1f}"
    assert shown[shown.index("100.00") - 1 :][:5] == ["1", "100.00", "0.0", "0.0", operations]
    assert run("simulate", "my.net", "--images", "data.npz", "--json", "-o", "out.npz") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == [1.0] * 4
    assert list(found["events"]) == [INPUT]
    with np.load("out.npz") as stored:
        assert np.array_equal(stored["v"], la.simulate(la.load("my.net"), IMAGES).v)
        assert stored["synops/fc"].shape == (4, 12)
    for command in (
        "info my.net --plan --images data.npz",
        "check my.net --images data.npz",
        "verify my.net --no-lava",
    ):
        assert run(*command.split()) == 0
        assert "fc" in capsys.readouterr().out or command.startswith("verify")


@pytest.mark.lava
@pytest.mark.parametrize("fused", [True, False])
def test_on_lava(fused: bool) -> None:
    net = la.convert(Matrix(), IMAGES)
    out = la.run(net, IMAGES, record=True, fused=fused)
    assert out.differences(la.simulate(net, IMAGES, record=True)) == []


@pytest.mark.lava
def test_command_on_lava(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run", "my.net", "--images", "data.npz", "--num-steps", "2", "-o", "out.npz") == 0
    assert "100.00" in capsys.readouterr().out
    with np.load("out.npz") as stored:
        assert np.array_equal(stored["v"], la.simulate(la.load("my.net"), IMAGES, 2).v)
