"""Fine-tuning: it saves, stays accurate, can be interrupted, and says what is wrong."""

import json
import math
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pytest
import torch
from command_line import run
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lava_aug as la
from lava_aug.examples.digits import DigitsNet, load_digits, train
from lava_aug.experiments import AUGMENTATIONS, Epoch
from lava_aug.experiments.training_data import flipped, shifted
from lava_aug.experiments.training_run import TEMPERATURE, best_of, distillation

DIGITS = load_digits()
QUICK: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 64,
    "learning_rate": 0.01,
    "validation": (DIGITS.test_images, DIGITS.test_labels),
}


@pytest.fixture(scope="module")
def model() -> DigitsNet:
    return train(DIGITS)


def tuned(model: nn.Module, **options: Any) -> la.Finetuned:
    return la.finetune(model, (DIGITS.train_images, DIGITS.train_labels), **QUICK | options)


@pytest.fixture(scope="module")
def found(model: DigitsNet) -> la.Finetuned:
    return tuned(model, max_loss=1.5, resolution=1 / 8, epochs=4)


def test_it_saves_and_stays_accurate(found: la.Finetuned) -> None:
    assert found.reached
    converted = found.history[0]
    assert found.best.events < converted.events
    assert found.saved == converted.energy / found.best.energy > 1.15
    assert [epoch.epoch for epoch in found.history] == [0, 1, 2, 3, 4]
    assert converted.loss is None


def test_the_network_is_what_was_measured(found: la.Finetuned) -> None:
    out = la.simulate(found.network, DIGITS.test_images)
    assert out.accuracy(DIGITS.test_labels)[-1] == found.best.accuracy
    assert out.events_per_image()[-1] == pytest.approx(found.best.events, rel=1e-12)
    np.testing.assert_array_equal(out.v[-1], la.settle(found.network, DIGITS.test_images).v)
    assert la.plan(found.network, DIGITS.test_images).problems == ()


def test_payloads_are_as_narrow_as_the_images_need(found: la.Finetuned) -> None:
    planned = la.plan(found.network, DIGITS.test_images).layers
    for layer, needs in zip(found.network.layers[:-1], planned[:-1], strict=True):
        assert needs.payload is not None
        largest = max(abs(value) for value in needs.payload)
        limit = layer.neuron.coefficient_limit
        assert limit >= 4 * largest or limit < 2 * 4 * largest


def test_the_model_stays_as_it_is(model: DigitsNet) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.zero_grad()
    tuned(model, epochs=1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_interrupted_run_goes_on(model: DigitsNet, tmp_path: Path) -> None:
    wanted = tuned(model, augment=flipped)
    file = tmp_path / "run.pt"

    def stop(text: str, done: int, total: int) -> None:
        if text.startswith("epoch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(model, augment=flipped, checkpoint=file, progress=stop)
    steps: list[int] = []
    found = tuned(model, augment=flipped, checkpoint=file, progress=lambda _, done, total: steps.append(done))
    assert found.history == wanted.history
    assert found.network == wanted.network
    assert steps[0] > 1  # of the first epoch, nothing is done again
    assert tuned(model, augment=flipped, checkpoint=file).network == wanted.network  # and then nothing at all


def test_a_checkpoint_of_another_run_is_refused(model: DigitsNet, tmp_path: Path) -> None:
    file = tmp_path / "run.pt"
    tuned(model, epochs=1, checkpoint=file)
    with pytest.raises(la.FileError, match="is of a run with another epochs, seed; delete it to start anew"):
        tuned(model, epochs=2, seed=1, checkpoint=file)
    other = DIGITS.train_images[:40]
    with pytest.raises(la.FileError, match="is of another network; delete it to start anew"):
        tuned(model, epochs=1, checkpoint=file, calibration=other, v0="zero")
    file.write_bytes(b"no checkpoint")
    with pytest.raises(la.FileError, match="cannot be read"):
        tuned(model, epochs=1, checkpoint=file)


def test_a_checkpoint_that_cannot_be_written_is_told_at_once(model: DigitsNet, tmp_path: Path) -> None:
    with pytest.raises(la.FileError, match="there is no folder"):
        tuned(model, checkpoint=tmp_path / "nowhere" / "run.pt", progress=lambda *_: pytest.fail("trained"))


def test_the_price_follows_a_budget(model: DigitsNet) -> None:
    found = tuned(model, objective="events", budget=250.0, epochs=6, max_loss=100)
    assert found.history[0].events > 500
    assert found.history[-1].events == pytest.approx(250, rel=0.2)


def test_a_loader_is_read_in_every_epoch(model: DigitsNet) -> None:
    read = 0

    class Counting(TensorDataset):
        def __getitem__(self, index: int) -> Any:
            nonlocal read
            read += 1
            return super().__getitem__(index)

    data = Counting(torch.tensor(DIGITS.train_images[:256]), torch.tensor(DIGITS.train_labels[:256]))
    calibration = DIGITS.train_images[:64]
    found = la.finetune(model, DataLoader(data, batch_size=64, shuffle=True), calibration, **QUICK)
    assert len(found.history) == 3
    assert read == 2 * 256


def test_without_images_for_validation_some_are_held_out(model: DigitsNet) -> None:
    found = la.finetune(model, (DIGITS.train_images, DIGITS.train_labels), epochs=1)
    shares = {epoch.accuracy * (len(DIGITS.train_images) // 10) for epoch in found.history}
    assert all(share == pytest.approx(round(share)) for share in shares)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs: expected an integer of at least 1, found 0"),
        ({"batch_size": 0.5}, "batch_size: expected an integer of at least 1"),
        ({"max_loss": -1}, "max_loss: expected percentage points from 0 to 100, found -1"),
        ({"objective": "spikes"}, "objective: expected one of events, operations, energy, found 'spikes'"),
        ({"budget": 0}, "budget: expected a positive number, found 0"),
        ({"learning_rate": math.inf}, "learning_rate: expected a positive number"),
        ({"validation": DIGITS.test_images}, "validation: expected images with integer labels, found no labels"),
    ],
)
def test_wrong_options(model: DigitsNet, options: dict[str, Any], message: str) -> None:
    with pytest.raises(la.InputError, match=message):
        tuned(model, **options)


def test_wrong_data(model: DigitsNet) -> None:
    images, labels = DIGITS.train_images[:50], DIGITS.train_labels[:50]
    with pytest.raises(la.InputError, match="labels: expected the true classes"):
        la.finetune(model, images)
    with pytest.raises(la.InputError, match="expected 10 images or more, found 5"):
        la.finetune(model, (images[:5], labels[:5]))
    loader = DataLoader(TensorDataset(torch.tensor(images), torch.tensor(labels)), batch_size=10)
    with pytest.raises(la.InputError, match="validation: expected labelled images, as train_data is a stream"):
        la.finetune(model, loader)
    with pytest.raises(la.InputError, match="a generator gives them only once"):
        la.finetune(model, iter([(images, labels)]), images, **QUICK)
    with pytest.raises(la.InputError, match="train_data: expected"):
        la.finetune(model, (images.astype(np.int32), labels))
    maps = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    with pytest.raises(la.InputError, match=r"model: expected class logits \(B, classes\), found outputs of shape"):
        la.finetune(maps, (DIGITS.train_images, DIGITS.train_labels), **QUICK)


def test_the_best_epoch() -> None:
    def epoch(number: int, accuracy: float, energy: float) -> Epoch:
        return Epoch(number, None, accuracy, events=10 - number, operations=1, energy=energy, price=1)

    history = (epoch(0, 0.9, 100), epoch(1, 0.95, 50), epoch(2, 0.94, 20), epoch(3, 0.8, 1))
    assert best_of(history, 0.93, "energy").epoch == 2
    assert best_of(history, 0.99, "energy").epoch == 1
    assert best_of(history, 0.5, "events").epoch == 3


def test_distillation_by_hand() -> None:
    found, wanted = torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, 0.0]])
    p, q = ((logits / TEMPERATURE).softmax(1)[0] for logits in (wanted, found))
    by_hand = TEMPERATURE**2 * sum(float(a * (a / b).log()) for a, b in zip(p, q, strict=True))
    assert distillation(found, wanted).item() == pytest.approx(by_hand, rel=1e-5)
    assert distillation(wanted, wanted).item() == pytest.approx(0, abs=1e-6)


def test_augmentations() -> None:
    torch.manual_seed(0)
    x = torch.zeros(200, 1, 7, 5)
    x[:, :, 3, 2] = 1
    moved = {tuple(place) for place in shifted(x)[:, 0].nonzero()[:, 1:].tolist()}
    assert moved == {(y, x) for y in range(1, 6) for x in range(5)}
    assert shifted(torch.ones(3, 2, 4, 4)).eq(1).all()  # edges are repeated
    ramp = torch.arange(5.0).expand(100, 1, 7, 5) / 5
    rising = flipped(ramp)[:, 0, 0].diff(dim=1).sum(1) > 0
    assert 20 < int(rising.sum()) < 80
    assert AUGMENTATIONS["none"] is None


def test_tables_and_figure(found: la.Finetuned) -> None:
    text = str(found)
    assert "at most 1.5 points less, least energy" in text
    assert text.count("best") == 1
    assert len(found.to_dict()["history"]) == 5
    assert "4 epochs" in repr(found)
    ax = la.plot.training(found, matplotlib.figure.Figure().add_subplot())
    assert ax.get_xlabel() == "estimated energy per image (nJ)"
    assert [text.get_text() for text in ax.texts[:3]] == ["converted", "1", "2"]


def test_the_command(model: DigitsNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(model.state_dict(), tmp_path / "digits.pt")
    np.savez(tmp_path / "train.npz", images=DIGITS.train_images, labels=DIGITS.train_labels)
    np.savez(tmp_path / "test.npz", images=DIGITS.test_images, labels=DIGITS.test_labels)
    files = ("--data", str(tmp_path / "train.npz"), "--validation", str(tmp_path / "test.npz"))
    written = ("-o", str(tmp_path / "sparse.net"), "--figure", str(tmp_path / "way.png"), "--json")
    options = (
        "--epochs",
        "1",
        "--max-loss",
        "1.5",
        "--objective",
        "events",
        "-r",
        "1/4",
        "--augment",
        "shift",
        "--learning-rate",
        "0.01",
    )
    name = ("lava_aug.examples.digits:DigitsNet", "-w", str(tmp_path / "digits.pt"))
    assert run("finetune", *name, *files, *options, *written) == 0
    told = json.loads(capsys.readouterr().out)
    wanted = tuned(model, epochs=1, batch_size=128, max_loss=1.5, objective="events", resolution=1 / 4, augment=shifted)
    assert la.load(tmp_path / "sparse.net") == wanted.network
    assert told == json.loads(json.dumps(wanted.to_dict()))
    assert (tmp_path / "way.png").read_bytes().startswith(b"\x89PNG")
