"""The networks that come along: they load, are what they say, and bad names and files end in a message."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lava_aug as la
from lava_aug.examples import zoo

HERE = sorted(path.stem for path in zoo.WEIGHTS.glob("*.pt"))


def test_every_name_has_its_weights_and_they_are_small() -> None:
    assert sorted(zoo.ZOO) == HERE
    assert {"mnist-lenet", "fashion-lenet"} <= set(HERE)
    assert sum(path.stat().st_size for path in zoo.WEIGHTS.glob("*.pt")) < 10e6


@pytest.mark.parametrize("name", HERE)
def test_pretrained(name: str) -> None:
    found = la.pretrained(name)
    assert (found.name, found.data, found.shape) == (name, zoo.ZOO[name].data, zoo.ZOO[name].shape)
    assert found.normalize is None
    assert not found.model.training
    images = torch.rand(2, *found.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = found.model(images)
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()
    fresh = zoo.ZOO[name].make().state_dict()
    stored = found.model.state_dict()
    trained = [key for key, value in fresh.items() if value.dim() > 1 and not torch.equal(value, stored[key])]
    assert trained == [key for key, value in fresh.items() if value.dim() > 1]


@pytest.mark.parametrize("name", HERE)
def test_they_convert_and_settle_as_they_simulate(name: str) -> None:
    found = la.pretrained(name)
    images = torch.rand(4, *found.shape, generator=torch.Generator().manual_seed(0))
    net = la.convert(found.model, images, num_steps=2)
    assert (la.settle(net, images).v == la.simulate(net, images).v[-1]).all()


@pytest.mark.parametrize("name", zoo.FINETUNED)
def test_finetuned(name: str) -> None:
    net, entry = la.finetuned(name), zoo.ZOO[name]
    assert (net.input_shape, net.num_steps, net.method) == (entry.shape, 1, "augmapping")
    images = torch.rand(4, *entry.shape, generator=torch.Generator().manual_seed(0))
    assert (la.settle(net, images).v == la.simulate(net, images).v[-1]).all()


def test_there_are_no_other_finetuned_networks() -> None:
    assert sorted(path.stem for path in zoo.WEIGHTS.glob("*.net")) == sorted(zoo.FINETUNED)
    with pytest.raises(la.InputError, match="fine-tuned network 'cifar10': expected one of mnist-lenet"):
        la.finetuned("cifar10")


@pytest.mark.parametrize(("name", "parameters"), [("cifar10-vgg", 1_973_000), ("cifar10-resnet", 2_157_000)])
def test_sizes_are_what_the_docstrings_say(name: str, parameters: int) -> None:
    model: nn.Module = zoo.ZOO[name].make()
    assert sum(weights.numel() for weights in model.parameters()) == pytest.approx(parameters, rel=0.01)
    products = []

    def count(module: Any, _: Any, y: Any) -> None:
        products.append(y.numel() * module.weight[0].numel())

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    model.eval()(torch.zeros(1, *zoo.ZOO[name].shape))
    assert f"{sum(products) / 1e6:.0f} million multiplications" in str(type(model).__doc__)


def test_no_such_network() -> None:
    with pytest.raises(la.InputError, match="'resnet': expected one of mnist-lenet, fashion-lenet"):
        la.pretrained("resnet")


@pytest.mark.parametrize("content", [None, b"no weights", "other"])
def test_weights_that_cannot_be_read(content: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path)
    path = tmp_path / "mnist-lenet.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(la.FileError, match=r"weights of 'mnist-lenet': .* cannot be read; install the package again"):
        la.pretrained("mnist-lenet")
