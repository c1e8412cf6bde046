"""What real models have, on Lava: every layer, step and neuron as in the simulator."""

import pytest
import torch
from test_heads import IMAGES, converted
from torch import nn

import lava_aug as la


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "hierarchical"])
def test_several_heads(fused: bool) -> None:
    net = converted()
    found = la.run(net, IMAGES[:3], record=True, fused=fused)
    assert la.simulate(net, IMAGES[:3], record=True).differences(found) == []
    assert list(found.heads) == ["logits", "map", "pooled", "active"]


def test_functions() -> None:
    """Of which the neurons divide by the number of the step."""
    torch.manual_seed(0)
    parts = (nn.Conv2d(2, 4, 3), nn.GELU(), nn.Conv2d(4, 3, 3), nn.SiLU(), nn.Conv2d(3, 3, 2), nn.Sigmoid())
    model, images = nn.Sequential(*parts), torch.randint(0, 256, (8, 2, 9, 8), dtype=torch.uint8)
    net = la.convert(model, images, resolution=1 / 64, weight_scales="channel", num_steps=3)
    assert [layer.neuron.type_name for layer in net] == ["FUNCTION"] * 3 + ["READOUT"]
    assert la.verify(net, images[:2]).ok


def test_products() -> None:
    """Attention: of which the paths have many lengths, and neurons another shape than their inputs."""
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    model = nn.Sequential(nn.Linear(4, 4), encoder, nn.Linear(4, 2))
    images = torch.randint(0, 256, (8, 3, 4), dtype=torch.uint8)
    net = la.convert(model, images, resolution=1 / 64, num_steps=2)
    assert sum(layer.neuron.type_name == "PRODUCT" for layer in net) == 3 + 2 * 2
    expected = la.simulate(net, images[:2], record=True)
    for fused in (True, False):
        assert expected.differences(la.run(net, images[:2], record=True, fused=fused)) == []


@pytest.mark.slow
def test_resnet18() -> None:
    pytest.importorskip("torchvision")
    from test_torchvision import images_for, made

    images = images_for("resnet18")
    net = la.convert(made("resnet18"), images, resolution=1 / 64, num_steps=2, quality="fast")
    expected = la.simulate(net, images[:2], record=True)
    assert all(events.any() for events in expected.events.values())
    for fused in (True, False):
        assert expected.differences(la.run(net, images[:2], record=True, fused=fused)) == []
