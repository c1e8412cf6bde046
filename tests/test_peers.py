"""The comparison with peers: what is exchanged, what is counted, who is marked, and what becomes of failures."""

import importlib
import json
import math
import operator
import sys
from pathlib import Path
from typing import Any

import exchange
import numpy as np
import peer_results
import peers
import pytest
import torch
from exchange import ExchangeError, Task, read_network, read_task, write_network, write_task
from peer_results import Found, Result, merged, report
from torch import nn
from torch.nn import functional as F

from lava_aug.examples.digits import DigitsNet
from lava_aug.examples.zoo import LeNet, ResNet

BENCHMARKS = Path(peers.__file__).parent

FACTORY = f"{Path(__file__).stem}:seeded"


def seeded() -> DigitsNet:
    """The same weights every time, as those of a factory that loads trained ones."""
    torch.manual_seed(0)
    return DigitsNet()


def result(title: str, accuracy: list[float], events: list[float], ms: list[float] | None = None) -> Result:
    times = ms or [float(step) for step in range(1, len(accuracy) + 1)]
    return Result(title, np.array(accuracy), np.array(events), np.array(times), "float32", "as documented")


OURS = result("ours", [0.9, 0.95, 0.95, 0.95], [100, 200, 300, 400])
THEIRS = result("theirs", [0.8, 0.95, 0.97, 0.9], [50, 90, 160, 210])


# The exchange


def statistics(model: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """A model whose batch normalisations have something to normalise by."""
    torch.manual_seed(0)
    with torch.no_grad():
        model.train()(torch.rand(16, *shape))
    return model.eval()


@pytest.mark.parametrize(
    ("make", "shape"), [(DigitsNet, (1, 8, 8)), (lambda: LeNet(4, 6), (1, 28, 28)), (ResNet, (3, 32, 32))]
)
def test_a_network_computes_the_same_behind_the_exchange(make: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    model = statistics(make(), shape)
    write_network(model, tmp_path)
    net = read_network(tmp_path)
    x = torch.rand(5, *shape)
    torch.testing.assert_close(net(x), model(x), rtol=1e-4, atol=1e-5)
    kinds = {type(module) for module in net.children()}
    assert nn.ReLU in kinds
    assert kinds <= {module for module, _ in exchange.KINDS.values()}  # batch normalisation is gone
    sums = [node for node in net.graph.nodes if node.target is operator.add]
    assert len(sums) == (3 if make is ResNet else 0)


class Calls(nn.Module):
    """A convolution, and what a function makes of it."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(1, 2, 3), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.conv(x))


@pytest.mark.parametrize("function", [F.relu, torch.relu, lambda x: x.relu(), lambda x: torch.flatten(x, start_dim=1)])
def test_functions_become_layers(function: Any, tmp_path: Path) -> None:
    model = Calls(function).eval()
    write_network(model, tmp_path)
    x = torch.randn(3, 1, 5, 6)
    torch.testing.assert_close(read_network(tmp_path)(x), model(x))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Sigmoid()), "layer '1': Sigmoid cannot be written; expected Conv2d, Linear"),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm1d(2)), "layer '1': batch normalisation has to follow a convolution"),
        (Calls(torch.sigmoid), "operation 'sigmoid' cannot be written; expected .*, or a sum"),
        (Calls(lambda x: x + 1), "operation 'add' cannot be written"),
        (Calls(lambda x: torch.add(x, x, alpha=2)), "operation 'add' cannot be written"),
        (Calls(lambda x: x.flatten(2)), "operation 'flatten' cannot be written"),
        (Calls(lambda x: x if x.sum() > 0 else -x), "the model cannot be traced: "),
    ],
)
def test_networks_that_cannot_be_written(model: nn.Module, message: str, tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match=message):
        write_network(model.eval(), tmp_path)


def task(images: int = 5, steps: int = 3) -> Task:
    x = np.arange(images * 4, dtype=np.uint8).reshape(images, 1, 2, 2)
    return Task(x[:2], x, np.arange(images) % 2, np.zeros((images, 2), np.float32), steps, 2, 1)


def test_a_task_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_task(task(), tmp_path)
    found, expected = read_task(tmp_path), task()
    for name, value in vars(expected).items():
        assert type(getattr(found, name)) is type(value)
        assert np.array_equal(getattr(found, name), value), name
    assert [len(labels) for _, labels in found.batches()] == [2, 2, 1]
    assert next(found.batches())[0].max() == torch.tensor(7 / 255)


def test_fast_work_is_timed_more_often() -> None:
    assert len(list(exchange.repeats(2, 9, seconds=0))) == 2
    assert len(list(exchange.repeats(2, 9, seconds=100))) == 9


# What the peers' scripts share


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))
    yield importlib.import_module("running")
    sys.modules.pop("running")


class Every(nn.Module):
    """Sends one spike per image, with magnitude 3, in every second step; the answer is 0 at first, 1 later."""

    def __init__(self) -> None:
        super().__init__()
        self.t, self.spikes = 0, nn.Identity()

    def step(self, x: torch.Tensor) -> torch.Tensor:
        self.spikes(torch.full((len(x), 2), 3.0) * torch.tensor([self.t % 2, 0]))
        self.t += 1
        return torch.tensor([[1.0, 0.0], [0.0, 0.5], [0.0, 0.6]])[self.t - 1].expand(len(x), 2)

    def reset(self) -> None:
        self.t = 0


def test_events_and_accuracy_are_cumulative(running: Any) -> None:
    model = Every()
    accuracy, events = running.events_and_accuracy(running.Spiking(model.step, model.reset, [model.spikes]), task())
    assert accuracy == pytest.approx([3 / 5, 3 / 5, 2 / 5])  # sums are 1:0, 1:0.5, 1:1.1
    assert list(events) == [0, 1, 1]  # one non-zero spike in the second step, whatever its magnitude
    assert not model.spikes._forward_hooks


def test_times_grow_with_the_steps(running: Any) -> None:
    model = Every()
    found = running.milliseconds(running.Spiking(model.step, model.reset, []), task())
    assert found.shape == (3,)
    assert 0 < found[0] <= found[1] <= found[2]


def test_another_network_is_refused(running: Any) -> None:
    expected = task()
    right = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    x, _ = next(expected.batches())
    with torch.no_grad():
        logits = np.concatenate([right(x).numpy(), np.zeros((3, 2), np.float32)])
        same = Task(**{**vars(expected), "logits": logits})
        running.check_network(right, same)
        with pytest.raises(ValueError, match="differs from the one that was written by"):
            running.check_network(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), same)


# Tables


@pytest.mark.parametrize(
    ("values", "best", "expected"),
    [
        ([0.9, 0.8, 0.9], max, ["a*", "b ", "c*"]),
        ([0.9, 0.8, None], min, ["a ", "b*", "c "]),
        ([0.1 + 0.2, 0.3, 0.2], max, ["a*", "b*", "c "]),  # the same up to rounding
        ([None, None, None], max, ["a ", "b ", "c "]),
    ],
)
def test_the_best_are_marked_and_so_are_ties(values: list[float | None], best: Any, expected: list[str]) -> None:
    assert peer_results.mark(values, "abc", best) == expected


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if set(line) != {"-"}]


def test_whoever_is_better_is_marked_as_better() -> None:
    assert lines(peer_results.accuracy_table([OURS, THEIRS], [1, 2, 3, 4])) == [
        ["1", "2", "3", "4"],
        ["ours", "90.00*", "95.00*", "95.00", "95.00*"],
        ["theirs", "80.00", "95.00*", "97.00*", "90.00"],
    ]
    assert peer_results.best_at([OURS, THEIRS], 1) == "    1 step   90.00 %  ours"
    assert peer_results.best_at([OURS, THEIRS], 2) == "    2 steps  95.00 %  all"
    assert peer_results.best_at([OURS, THEIRS], 3) == "    3 steps  97.00 %  theirs"


def test_accuracy_by_events() -> None:
    found = lines(peer_results.budget_table([OURS, THEIRS]))
    assert found[0] == ["100", "200", "500"]
    assert found[1:] == [["ours", "90.00", "95.00", "95.00*"], ["theirs", "95.00*", "97.00*", "90.00"]]
    assert THEIRS.best_within(49) is None


def test_what_it_takes_to_stay_near_the_ann() -> None:
    assert lines(peer_results.goal_table([OURS, THEIRS], 0.94)) == [
        ["steps", "events", "ms"],
        ["ours", "2*", "200*", "2.00*"],
        ["theirs", "never", "never", "never"],  # it falls below again
    ]


def test_a_goal_is_reached_by_one_image_exactly() -> None:
    reached = result("theirs", [0.98], [10])
    assert "  1*" in report(Found((reached,)), 0.985, 200, [1])  # 0.985 - 0.005 > 0.98 in floats


def test_a_report_tells_results_and_failures() -> None:
    written: dict[str, Any] = {
        "versions": {"theirs": "1.2", "torch": "2.13.0"},
        "rows": [
            {"title": "theirs a", "accuracy": [0.5], "events": [7.0], "milliseconds": [0.25]}
            | {"arithmetic": "float32", "note": "99 %"},
            {"title": "theirs b", "error": "ValueError: no"},
        ],
    }
    found = Found((result("ours", [0.25], [8]),), {"other": "left out"}, {"ours": {"torch": "2.13.0"}})
    found += merged("theirs", written)
    text = report(found, 0.5, 4, [1])
    assert text.startswith("4 test images, one is 25.00 points; ANN 50.00 %")
    assert "1 step   50.00 %  theirs a" in text
    assert "theirs a: float32; 99 %" in text
    assert "Versions: torch 2.13.0, theirs 1.2\n" in text
    assert text.endswith("Not compared: other: left out\n\nNot compared: theirs b: ValueError: no")
    assert report(Found(errors={"x": "gone"}), 0.5, 4, [1]) == "Not compared: x: gone"
    told = json.loads(peer_results.as_json(found, {"num_images": 4}))
    assert [row["accuracy"] for row in told["results"]] == [[0.25], [0.5]]
    assert (told["num_images"], told["errors"]["theirs b"]) == (4, "ValueError: no")


# Running peers


def with_peer(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str | None, own_environment: bool = False) -> None:
    """Put a script among the peers, under the name "fake"."""
    (folder / "peers").mkdir()
    if code is not None:
        (folder / "peers" / "fake.py").write_text(code)
    monkeypatch.setattr(peers, "HERE", folder)
    monkeypatch.setitem(peers.PEERS, "fake", peers.Peer("fake.py", own_environment))


@pytest.mark.parametrize(
    ("code", "timeout", "message"),
    [
        (None, 60, "fake.py', which is not there"),
        ("print('before'); raise KeyError('gone')", 60, "KeyError: 'gone'"),
        ("raise SystemExit(3)", 60, "exit status 3"),
        ("print('nothing written')", 60, "nothing written"),
        ("import time; time.sleep(100)", 0.5, "not finished after 0.5 s; --timeout gives it more"),
    ],
)
def test_a_failing_peer_is_reported(
    code: str | None, timeout: float, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_peer(monkeypatch, tmp_path, code)
    found = peers.run_peer("fake", tmp_path, timeout)
    assert not found.results
    assert found.errors["fake"].endswith(message)


def test_without_uv_there_is_no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_peer(monkeypatch, tmp_path, "", own_environment=True)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert peers.run_peer("fake", tmp_path, 60).errors["fake"].endswith("pip install uv")


FAKE = """
import json, sys
row = {"title": "fake", "accuracy": [0.5, 1.0], "events": [1, 2], "milliseconds": [3, 4]}
row |= {"arithmetic": "none", "note": "made up"}
json.dump({"versions": {"fake": "0"}, "rows": [row]}, open(sys.argv[2], "w"))
"""


def test_everything_in_one_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_peer(monkeypatch, tmp_path, FAKE)
    monkeypatch.setitem(peers.PEERS, "gone", peers.Peer("gone.py"))
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (8, 1, 8, 8)).astype(np.uint8), rng.integers(0, 10, 8)
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    data, output = str(tmp_path / "data.npz"), tmp_path / "found.json"
    np.save(tmp_path / "train.npy", images[::-1])
    options = [
        "--calibration",
        str(tmp_path / "train.npy"),
        "--steps",
        "1",
        "2",
        "--images",
        "6",
        "--calibration-images",
        "5",
        "--json",
        str(output),
    ]
    names = ["--only", "rate", "fake", "gone", "--figure", str(tmp_path / "found.png")]
    monkeypatch.setattr("sys.argv", ["peers.py", FACTORY, "--data", data, *options, *names])
    torch.manual_seed(0)
    peers.main()
    printed = capsys.readouterr().out
    assert printed.startswith("6 test images")
    assert "2 steps  100.00 %  fake" in printed
    assert "Not compared: gone: left out: needs " in printed
    assert (tmp_path / "found.png").stat().st_size > 10_000
    found = json.loads(output.read_text())
    assert [row["title"] for row in found["results"]] == ["rate", "fake"]
    assert (found["num_images"], found["calibration_images"]) == (6, 5)
    ours = found["results"][0]
    assert len(ours["accuracy"]) == len(ours["events"]) == len(ours["milliseconds"]) == 2
    assert all(math.isclose(6 * value, round(6 * value)) for value in ours["accuracy"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "expected numbers of at least 1"),
        (["no-such"], "model 'no-such': expected one of mnist-lenet"),
        ([FACTORY], "--data: expected test images, as in MNIST:ROOT"),
        (["--only", "them"], "invalid choice: 'them'"),
        ([FACTORY, "--data", __file__], "--calibration: expected training images, which a file"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["peers.py", *arguments])
    with pytest.raises(SystemExit):
        peers.main()
    assert message in capsys.readouterr().err


def test_inputs_become_what_everybody_gets() -> None:
    assert list(peers.as_uint8(np.array([0.0, 0.5, 1.0]))) == [0, 128, 255]
    assert sorted(peers.sample(5, 9)) == [0, 1, 2, 3, 4]
    assert list(peers.sample(100, 3)) == list(peers.sample(100, 3))
