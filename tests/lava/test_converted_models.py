"""What real models have, on Lava: every layer, step and neuron as in the simulator."""

import pytest
from test_heads import IMAGES, converted

import lava_aug as la


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "hierarchical"])
def test_several_heads(fused: bool) -> None:
    net = converted()
    found = la.run(net, IMAGES[:3], record=True, fused=fused)
    assert la.simulate(net, IMAGES[:3], record=True).differences(found) == []
    assert list(found.heads) == ["logits", "map", "pooled", "active"]


@pytest.mark.slow
def test_resnet18() -> None:
    pytest.importorskip("torchvision")
    from test_torchvision import images_for, made

    images = images_for("resnet18")
    net = la.convert(made("resnet18"), images, resolution=1 / 64, num_steps=2, weight_scales="channel")
    expected = la.simulate(net, images[:2], record=True)
    assert all(events.any() for events in expected.events.values())
    for fused in (True, False):
        assert expected.differences(la.run(net, images[:2], record=True, fused=fused)) == []
