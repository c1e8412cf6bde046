"""The parts of an error add up, and each fault shows where it was planted."""

from typing import Any

import numpy as np
import pytest
import torch
from float_graph import Model, lively
from torch import nn

import lava_aug as la
from lava_aug.core.layers import Dense
from lava_aug.core.network import Connection

IMAGES = (torch.rand(40, 2, 7, 6, generator=torch.Generator().manual_seed(0)) * 255).round().to(torch.uint8)


def residual() -> nn.Module:
    """A pool, a residual sum, and a dense layer."""
    return lively(
        Model(
            lambda m, x: m.fc((m.pool(m.a(x)) + m.b(m.pool(m.a(x)))).relu().flatten(1)),
            a=nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU()),
            pool=nn.MaxPool2d(2),
            b=nn.Conv2d(4, 4, 3, padding=1),
            fc=nn.Linear(36, 5),
        ),
        seed=1,
    )


def converted(**options: Any) -> tuple[la.Network, nn.Module]:
    model = residual()
    return la.convert(model, IMAGES, **{"resolution": 1 / 64, "num_steps": 4, **options}), model


def test_every_layer_is_there_and_small_errors_are_small() -> None:
    net, model = converted(weight_scales="channel")
    found = la.diagnose(net, model, IMAGES)
    assert [layer.name for layer in found.layers] == [layer.name for layer in net]
    assert (found.num_steps, found.num_images) == (4, 40)
    assert all(layer.total < 0.03 for layer in found.layers)
    assert all(layer.clipping == 0 for layer in found.layers)


def test_the_readouts_error_is_that_of_the_logits() -> None:
    net, model = converted()
    with torch.no_grad():
        wanted = model(IMAGES / 255).numpy()
    error = la.simulate(net, IMAGES).logits[-1] - wanted
    readout = la.diagnose(net, model, IMAGES).layers[-1]
    assert readout.size == pytest.approx(np.sqrt((wanted**2).mean()), rel=1e-4)
    assert readout.total == pytest.approx(np.sqrt((error**2).mean() / (wanted**2).mean()), rel=1e-3)


def test_time_shrinks_with_steps_and_weights_do_not() -> None:
    net, model = converted(resolution=1 / 2)
    short, long = (la.diagnose(net, model, IMAGES, steps) for steps in (2, 64))
    for one, other in zip(short.layers[:-1], long.layers[:-1], strict=True):
        assert other.time < one.time / 8
        assert other.weights == one.weights


def test_floating_point_weights_make_no_error() -> None:
    net, model = converted(weight_bits=None)
    assert all(layer.weights < 1e-5 for layer in la.diagnose(net, model, IMAGES).layers)


def test_clipping_shows_where_neurons_cannot_follow() -> None:
    with pytest.warns(la.ConversionWarning, match="clips"):
        net, model = converted(method="termapping", resolution=0.25, quality="fast")
    found = la.diagnose(net, model, IMAGES, 256)
    assert all(layer.clipping > 0.1 for layer in found.layers)
    assert all(layer.clipping > 5 * max(layer.weights, layer.time) for layer in found.layers)


def test_a_planted_fault_is_found_in_its_layer() -> None:
    net, model = converted()
    broken = net["fc"]
    (source, synapse), *_ = broken.connections
    assert isinstance(synapse, Dense)
    weight = synapse.weight.copy()
    weight[2] = -weight[2]
    layers = (*net.layers[:-1], broken.replace(connections=(Connection(source, synapse.replace(weight=weight)),)))
    found = la.diagnose(net.replace(layers=layers), model, IMAGES)
    assert found.worst[0].name == "fc"
    assert found.worst[0].weights > 0.1
    assert str(found).splitlines()[3].split()[0] == "fc"


def test_batches_make_no_difference() -> None:
    net, model = converted()
    whole, parts = la.diagnose(net, model, IMAGES), la.diagnose(net, model, IMAGES, batch_size=7)
    for one, other in zip(whole.layers, parts.layers, strict=True):
        assert one.total == pytest.approx(other.total, rel=1e-6)


def test_normalised_images() -> None:
    model, normalize = residual(), ((0.4, 0.6), (0.3, 0.2))
    net = la.convert(model, IMAGES, resolution=1 / 64, normalize=normalize, weight_scales="channel")
    assert la.diagnose(net, model, IMAGES).layers[-1].total < 0.05
    assert la.diagnose(net.replace(normalize=None), model, IMAGES).layers[-1].total > 0.1


def test_another_models_network_is_refused() -> None:
    net, _ = converted()
    other = lively(nn.Sequential(nn.Flatten(), nn.Linear(84, 5)))
    with pytest.raises(la.InputError, match="the network was not converted from this model"):
        la.diagnose(net, other, IMAGES)
    with pytest.raises(la.InputError, match="expected a network from convert, found method 'custom'"):
        la.diagnose(net.replace(method="custom"), other, IMAGES)


def test_students_are_diagnosed_as_their_networks() -> None:
    model = residual()
    student = la.trainable(model, IMAGES, resolution=1 / 16)
    assert la.diagnose(student, model, IMAGES) == la.diagnose(student.network(), model, IMAGES)
