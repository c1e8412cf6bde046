"""Prices by hand: which operations are products, of which widths, and what an ANN's pass costs."""

import numpy as np
import pytest
import torch
from nets import layer, skip_net
from torch import nn

from lava_aug.core.layers import Conv, Dense, Relay, Scale, SumPool, Synapse
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, MaxPoolNeuron, RateNeuron
from lava_aug.core.prices import FLOAT_ADDITION, FLOAT_PRODUCT, payload_limits, prices, product
from lava_aug.experiments.energy import ann_cost, ann_energy
from lava_aug.experiments.running import ann_logits


def test_products_agree_with_the_source_where_it_has_them() -> None:
    assert product(8, 8) == 0.2
    assert product(32, 32) == pytest.approx(3.1, rel=0.05)


def test_an_ann() -> None:
    assert ann_energy(macs=1000, additions=30, neurons=10) == pytest.approx((1000 * 0.3 + 30 * 0.1 + 20 * 0.1) / 1000)


@pytest.mark.parametrize(
    ("synapse", "expected"),
    [
        (Relay(), False),
        (SumPool(kernel_size=(2, 2)), False),
        (Scale(weight=np.array([1, -1, 0])), False),
        (Scale(weight=np.array([1, 2])), True),
        (Dense(weight=np.array([[0.5]])), True),
    ],
)
def test_weights_of_one_need_no_product(synapse: Synapse, expected: bool) -> None:
    assert synapse.multiplies is expected


WEIGHT = np.array([[127, -3, 0, 5]] * 4)
"""8 bits."""


def chain(neuron: object, **readout: object) -> Network:
    """Four inputs, four neurons, four outputs."""
    hidden = layer("hidden", INPUT, Dense(weight=WEIGHT), neuron)  # pyright: ignore[reportArgumentType]
    return Network(input_shape=(4,), layers=(hidden, layer("out", "hidden", Dense(weight=WEIGHT))))


def test_ordinary_spikes_are_added() -> None:
    found = prices(chain(RateNeuron(vth=10)))
    assert found.operations.tolist() == pytest.approx([0.1 + 0.2, 0.1])  # intensities are multiplied
    assert found.events == {"hidden": 0.1}
    assert found.step == pytest.approx(4 * 0.2 + 4 * 0.1)
    assert prices(chain(DoubleThresholdNeuron(vth=10))).step == pytest.approx(4 * 0.3 + 4 * 0.1)


def test_augmented_spikes_are_multiplied_and_divided() -> None:
    found = prices(chain(AugmentedNeuron(vth=10)))
    assert found.operations.tolist() == pytest.approx([0.3, 0.1 + 0.4])  # 16-bit payload, 8-bit weight
    assert found.events == {"hidden": pytest.approx(0.1 + 2 * 0.2 * 24 * 24 / 64)}
    assert prices(chain(AugmentedNeuron(vth=16))).events == {"hidden": 0.1}
    assert prices(chain(AugmentedNeuron(vth=10, message_bits=2))).operations.tolist() == pytest.approx([0.3, 0.1])


def test_the_input_at_once_is_wider() -> None:
    assert prices(chain(RateNeuron(vth=10)), 255 * 64).operations[0] == pytest.approx(0.1 + 0.2 * 14 / 8)


def test_floats() -> None:
    hidden = layer("hidden", INPUT, Dense(weight=WEIGHT.astype(np.float32)), AugmentedNeuron(vth=1.0))
    out = layer("out", "hidden", Dense(weight=WEIGHT.astype(np.float32)), quantum=1.0)
    net = Network(input_shape=(4,), layers=(hidden, out.replace(neuron=out.neuron.replace(floating=True))))
    found = prices(net)
    assert found.operations.tolist() == pytest.approx([FLOAT_ADDITION + FLOAT_PRODUCT] * 2)
    assert found.events == {"hidden": pytest.approx(FLOAT_ADDITION + 2 * FLOAT_PRODUCT)}


def test_prices_are_those_of_each_connection() -> None:
    """A layer that takes intensities and ordinary spikes multiplies the first and adds the second."""
    net = skip_net({"b": (INPUT,), "c": (INPUT,)}, "ter")
    found = prices(net).operations
    names = [(each.name, c.source) for each in net for c in each.connections]
    assert found[names.index(("c", "b"))] == pytest.approx(0.1)
    assert found[names.index(("c", INPUT))] == pytest.approx(0.1 + 0.2 * 8 * 5 / 64)  # weights 9 and -5: five bits
    assert found[names.index(("b", INPUT))] == pytest.approx(0.1)  # elements moved: weights 1


@pytest.mark.parametrize(("before", "limit"), [(RateNeuron(vth=9), 1), (AugmentedNeuron(vth=9), 2**15 - 1)])
def test_max_pooling_passes_on_what_it_takes(before: object, limit: int) -> None:
    conv = Conv(weight=np.full((1, 1, 1, 1), 7))
    net = Network(
        input_shape=(1, 4, 4),
        layers=(
            layer("conv", INPUT, conv, before),  # pyright: ignore[reportArgumentType]
            layer("pool", "conv", Relay(), MaxPoolNeuron(kernel_size=(2, 2))),
            layer("out", "pool", Dense(weight=WEIGHT)),
        ),
    )
    assert payload_limits(net)["pool"] == limit
    assert prices(net).step == pytest.approx(0.1 * (16 * (2 if limit == 1 else 3) + 16 * 2 + 4))
    assert "pool" not in prices(net).events


def test_energy_adds_up() -> None:
    found = prices(chain(RateNeuron(vth=10)))
    operations, events = np.array([[10.0, 0.0], [0.0, 20.0]]), {"hidden": np.array([5.0, 0.0])}
    assert found.energy(operations, events).tolist() == pytest.approx(
        [(10 * 0.3 + 5 * 0.1 + 1.2) / 1000, (20 * 0.1 + 1.2) / 1000]
    )


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.inner = nn.Conv2d(2, 2, 1)
        self.pool = nn.AvgPool2d(2)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv(x))
        x = torch.relu(self.inner(x) + x)
        return self.fc(self.pool(x).flatten(1))


def test_the_cost_of_an_ann_by_hand() -> None:
    torch.manual_seed(0)
    cost = ann_cost(Residual(), np.random.default_rng(0).random((2, 1, 4, 4)).astype(np.float32))
    conv = 2 * (4 * 4 + 8 * 6 + 4 * 9)  # corners, edges and the middle of a 4x4 map see 4, 6 and 9 pixels
    assert cost.macs == conv + 2 * 2 * 16 + 3 * 8
    assert cost.additions == 32 + 3 * 8  # the residual sum; pooling
    assert cost.neurons == 32 + 32 + 8 + 3


def test_logits_of_normalised_images() -> None:
    torch.manual_seed(0)
    model, images = Residual(), np.random.default_rng(0).integers(0, 256, (7, 1, 4, 4)).astype(np.uint8)
    seen: list[tuple[int, int]] = []
    found = ann_logits(model, images, 3, normalize=(0.2, 0.5), progress=lambda done, total: seen.append((done, total)))
    with torch.no_grad():
        expected = model.eval()((torch.tensor(images) / 255 - 0.2) / 0.5).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert seen == [(3, 7), (6, 7), (7, 7)]
