"""Models with several outputs: one readout, split again by name, in files and on Lava alike."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from float_graph import Model, images_of, lively
from torch import Tensor, nn
from torch.nn import functional as F

import lava_aug as la
from lava_aug.core.network import Head

SHAPE = (2, 7, 6)
IMAGES = (images_of(SHAPE, 12) * 255).round().to(torch.uint8)


def parts(m: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Dense logits, a map, a pooled vector, and activations."""
    y = F.relu(m.body(x))
    return m.fc(y.flatten(1)), m.map(y), F.adaptive_avg_pool2d(y, 1).flatten(1), F.relu(m.other(y))


def model_of(forward: Any) -> nn.Module:
    return lively(
        Model(
            forward,
            body=nn.Conv2d(2, 4, 3),
            fc=nn.Linear(80, 3),
            map=nn.Conv2d(4, 2, 3, padding=1),
            other=nn.Conv2d(4, 3, (2, 1)),
        ),
        seed=4,
    )


NAMES = ("logits", "map", "pooled", "active")
FORMS = {
    "tuple": (lambda m, x: parts(m, x), ("0", "1", "2", "3")),
    "list": (lambda m, x: list(parts(m, x)), ("0", "1", "2", "3")),
    "dictionary": (lambda m, x: dict(zip(NAMES, parts(m, x), strict=True)), NAMES),
}


@pytest.mark.parametrize("method", ["augmapping", "termapping", "rate"])
@pytest.mark.parametrize("form", FORMS)
def test_every_head_decodes_to_the_models(form: str, method: Any) -> None:
    forward, names = FORMS[form]
    model = model_of(forward)
    options: dict[str, Any] = {"resolution": 1 / 1024} if method == "augmapping" else {}
    net = la.convert(model, IMAGES, method, num_steps=4, weight_bits=None, percentile=100, **options)
    assert net.heads == tuple(map(Head, names, ((3,), (2, 5, 4), (4,), (3, 4, 4))))
    steps = 4 if method == "augmapping" else 400
    found = la.simulate(net, IMAGES, steps).heads
    with torch.no_grad():
        wanted = dict(zip(names, parts(model, IMAGES / 255), strict=True))
    for name in names:
        assert found[name].shape[2:] == tuple(wanted[name].shape[1:])
        error = np.abs(found[name][-1] - wanted[name].numpy()).max() / wanted[name].numpy().std()
        assert error < (0.02 if method == "augmapping" else 0.1), name


def converted() -> la.Network:
    return la.convert(model_of(FORMS["dictionary"][0]), IMAGES, resolution=1 / 16, num_steps=3)


def test_file_and_settle(tmp_path: Path) -> None:
    net = converted()
    la.save(net, tmp_path / "heads.net")
    assert la.load(tmp_path / "heads.net") == net
    assert "heads: logits 3, map 2x5x4, pooled 4, active 3x4x4" in net.summary()
    out, settled = la.simulate(net, IMAGES), la.settle(net, IMAGES)
    for name in NAMES:
        np.testing.assert_array_equal(settled.heads[name], out.heads[name][-1])


def test_there_is_no_single_prediction() -> None:
    net = converted()
    for found in (la.simulate(net, IMAGES), la.settle(net, IMAGES)):
        with pytest.raises(la.InputError, match=r"the network has the heads \['logits', 'map', 'pooled', 'active'\]"):
            _ = found.predictions
    single = la.convert(lively(nn.Sequential(nn.Flatten(), nn.Linear(84, 3))), IMAGES)
    assert la.simulate(single, IMAGES).heads == {}


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ((("a", (3,)), ("b", (2,))), r"heads of \[3, 2\] elements do not make up the readout's shape \(3,\)"),
        ((("a", (2,)), ("a", (1,))), r"heads: names are used twice: \['a', 'a'\]"),
    ],
)
def test_heads_must_fit_the_readout(heads: Any, message: str) -> None:
    single = la.convert(lively(nn.Sequential(nn.Flatten(), nn.Linear(84, 3))), IMAGES)
    with pytest.raises(la.NetworkError, match=message):
        single.replace(heads=heads)
