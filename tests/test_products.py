"""Neurons that multiply two signals: by hand, their total in any window, and how far they are from the real product."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from examples import gather
from float_graph import Model, images_of, lively
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import layer
from torch import nn

import lava_aug as la
from lava_aug.core.errors import ConversionError, SpecError
from lava_aug.core.layers import Dense, Shape
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neuron import MAX_STEPS
from lava_aug.core.neurons import Cost, ProductNeuron, State, initial_state
from lava_aug.core.prices import prices
from lava_aug.core.products import most_factor
from lava_aug.loihi2.preflight import check_loihi2

LOW, HIGH = -(2**23), 2**23 - 1


@pytest.mark.parametrize(
    ("x", "y", "n", "t", "expected"),
    [
        (3, 5, 0, 0, 6),  # 2 * 15 / 4 = 7.5, and the remainder: 6 with factor 3 / 8
        (-3, 5, 0, 0, -6),  # -5.6
        (0, 9, 4, 0, -4),
        (6, 10, 6, 1, 5),  # the sums of two steps are twice, and so is the product
        (6, 10, 11, 2, -3),  # of three steps: 60 / 3 * 3 / 8 = 7.5
    ],
)
def test_a_step_by_hand(x: int, y: int, n: int, t: int, expected: int) -> None:
    neuron = ProductNeuron(factor=3, shift=3, sent=(1,))
    step = neuron.step(State(np.array([x, y]), np.array([n]), t), np.array([0, 0]), 0)
    assert (step.s.tolist(), step.state.v.tolist(), step.state.n.tolist()) == ([expected], [x, y], [n + expected])


def test_matrices_by_hand() -> None:
    """Two products of 2x3 with 3x1."""
    neuron = ProductNeuron(batch=2, rows=2, inner=3, columns=1)
    x = [[[1, 2, 3], [4, 5, 6]], [[0, 1, 0], [-1, 0, 2]]]
    y = [[[1], [-1], [2]], [[7], [8], [9]]]
    v = np.concatenate([np.ravel(x), np.ravel(y)])
    assert neuron.products(v).tolist() == [[[5], [11]], [[8], [11]]]
    assert neuron.describe() == "PRODUCT 2x3x1"
    assert ProductNeuron(batch=7).describe() == "PRODUCT"


def test_the_payload_ends_and_the_rest_follows() -> None:
    neuron = ProductNeuron(sent=(1,), message_bits=4)
    state, sent = initial_state(neuron, (2,)), []
    for a in ([3, 4], [0, 0], [-3, 0], [0, 0]):
        step = neuron.step(state, np.array(a), 0)
        state = step.state
        assert step.capped is not None
        sent.append((int(step.s[0]), bool(step.capped[0])))
    # totals 12, 12 / 2, 0, 0
    assert sent == [(7, True), (-1, False), (-6, False), (0, False)]


def exact(neuron: ProductNeuron, x: list[list[int]], y: list[list[int]], t: int) -> list[list[int]]:
    """What was sent in all, in Python's integers, as docs/arithmetic.md has it."""
    divisor = t * 2**neuron.shift
    sums = [[sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*y, strict=True)] for row in x]
    return [[(2 * neuron.factor * p + divisor) // (2 * divisor) for p in row] for row in sums]


@st.composite
def neurons(draw: st.DrawFn) -> ProductNeuron:
    """Any that is possible."""
    rows, inner, columns = (draw(st.integers(1, 4)) for _ in range(3))
    factor = draw(st.integers(1, most_factor(inner)))
    return ProductNeuron(
        rows=rows, inner=inner, columns=columns, factor=factor, shift=draw(st.integers(0, 45)), message_bits=24
    )


@settings(deadline=None, max_examples=200)
@given(neurons(), st.data())
def test_the_total_after_every_step(neuron: ProductNeuron, data: st.DataObject) -> None:
    size = sum(neuron.operands)
    limit = data.draw(st.sampled_from([5, 4000, 2**23]))
    state = initial_state(neuron, (size,))
    for t in range(1, 1 + data.draw(st.integers(1, 6))):
        a = data.draw(st.lists(st.integers(-limit, limit), min_size=size, max_size=size))
        step = neuron.step(state, np.array(a), 0)
        state = step.state
        x, y = np.split(state.v, [neuron.operands[0]])
        wanted = exact(neuron, x.reshape(neuron.rows, -1).tolist(), y.reshape(neuron.inner, -1).tolist(), t)
        total: Any = neuron.total(state.v, t)
        assert total.tolist() == [wanted]
        assert step.capped is not None
        assert (step.capped | (state.n == total)).all()
        for like in (torch.tensor(state.v), torch.tensor(state.v).double(), torch.tensor(state.v).float()):
            in_torch: Any = neuron.total(like, t)
            assert in_torch.tolist() == [wanted] or np.abs(np.array(wanted, dtype=object)).max() > 2**53


@pytest.mark.parametrize("t", [1, 7, MAX_STEPS])
@pytest.mark.parametrize("inner", [1, 2, 300, 1 << 15])
@pytest.mark.parametrize(("x", "y"), [(LOW, LOW), (LOW, HIGH), (HIGH, HIGH)])
def test_nothing_overflows_where_products_are_largest(x: int, y: int, inner: int, t: int) -> None:
    for shift in (0, 45):
        neuron = ProductNeuron(inner=inner, factor=most_factor(inner), shift=shift)
        v = np.repeat([x, y], inner)
        wanted = exact(neuron, [[x] * inner], [[y]] * inner, t)
        for found in (neuron.total(v, t), neuron.total(torch.tensor(v), t)):
            assert found is not None
            assert found.tolist() == [wanted]


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_sums_of_large_products_are_exact(inner: int, seed: int) -> None:
    """Of more than 53 bits, too."""
    rng = np.random.default_rng(seed)
    neuron = ProductNeuron(batch=2, rows=3, inner=inner, columns=2)
    v = rng.integers(LOW, HIGH + 1, (4, sum(neuron.operands)))
    x = v[:, : neuron.operands[0]].reshape(4, 2, 3, inner).astype(object)
    y = v[:, neuron.operands[0] :].reshape(4, 2, inner, 2).astype(object)
    assert (neuron.products(v) == (x[..., None] * y[:, :, None]).sum(-2)).all()
    assert (neuron.products(torch.tensor(v)).numpy() == neuron.products(v)).all()


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 20), st.integers(-999, 999), st.integers(-999, 999), st.data())
def test_how_far_it_is_from_the_product(t: int, x: int, y: int, data: st.DataObject) -> None:
    """Half a unit at most, in all steps together: of the product of the means, it is a part of 1 / (2 * t)."""
    neuron = ProductNeuron(factor=data.draw(st.integers(1, 99)), shift=data.draw(st.integers(0, 20)), message_bits=24)
    total: Any = neuron.total(np.array([x, y]), t)
    real = neuron.factor / 2**neuron.shift * (x / t) * (y / t)
    assert abs(total.item() / t - real) <= (1 / (2 * t)) * (1 + 1e-9) + 1e-9 * abs(real)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=12))
def test_no_coefficient_is_larger_than_wanted(inputs: list[tuple[int, int]]) -> None:
    neuron = ProductNeuron(message_bits=24, sent=(1,))
    state = initial_state(neuron, (2,))
    for a in inputs:
        step = neuron.step(state, np.array(a), 0)
        state = step.state
        assert abs(step.s[0]) <= neuron.wanted(9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sent": (2, 2)}, r"sent: expected a shape of 1 elements, found \(2, 2\)"),
        (
            {"inner": 300, "factor": 110},
            "factor: expected at most 109, so that sums of 300 products are within 63 bits",
        ),
        ({"shift": 46}, "shift: expected an integer from 0 to 45, found 46"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=f"ProductNeuron.{message}"):
        ProductNeuron(**options)


def test_input_that_does_not_fit() -> None:
    with pytest.raises(
        SpecError, match=r"ProductNeuron: expected input current of shape \(5,\), the 2 elements of one"
    ):
        ProductNeuron(rows=2, columns=3).output_shape((6,))
    with pytest.raises(SpecError, match="ProductNeuron: expected windows of at most 65,536 steps, found step 65,537"):
        ProductNeuron().total(np.array([1, 1]), MAX_STEPS + 1)


def network(neuron: ProductNeuron, shape: Shape) -> Network:
    """Both operands are elements of the images."""
    (inputs,) = shape
    outputs = math.prod(neuron.output_shape(shape))
    return Network(
        input_shape=shape,
        layers=(
            layer("both", INPUT, gather(np.arange(inputs)), neuron),
            layer("out", "both", Dense(weight=np.eye(outputs, dtype=int))),
        ),
    )


def test_what_it_costs() -> None:
    """2x3 with 3x4 numbers: 24 products of 24 by 24 bits, and two for each of 8 sums, which have 48 bits."""
    neuron = ProductNeuron(rows=2, inner=3, columns=4, factor=5, shift=2)
    each = Cost(additions=4, products=((49, 3), (49, 17)))
    assert neuron.costs((18,)) == ((Cost(additions=1), 18), (Cost(products=((24, 24),)), 24), (each, 8))
    net = network(neuron, (18,))
    without_readout = 0.1 * 18 + 24 * 0.2 * 9 + 8 * (0.4 + 0.2 * 49 * 20 / 64)
    assert prices(net).step == pytest.approx(without_readout + 0.1 * 8)
    assert neuron.inputs == 6


def test_it_is_doubted_on_loihi() -> None:
    findings = check_loihi2(network(ProductNeuron(inner=3), (6,))).findings
    assert any("multiplies two signals (3 products for each number" in finding.problem for finding in findings)


def test_what_is_told_of_a_mismatch() -> None:
    neuron = ProductNeuron(batch=2, sent=(2,))
    before = State(np.array([2, 3, 5, 7]), np.array([10, 21]), 1)
    told = neuron.told(before, np.array([0, 1, 0, 1]), np.zeros(()), (1,))
    assert told == {"product": 21, "product with a": 32, "n": 21, "t": 1}


# Conversion


def converted(model: nn.Module, shape: Shape, **options: Any) -> tuple[la.Network, float]:
    """The network, and how the readouts of its images, settled, correlate with the model's."""
    torch.manual_seed(0)
    model, images = lively(model), (images_of(shape, 8) * 255).round().to(torch.uint8)
    given: dict[str, Any] = {"weight_scales": "channel", "message_bits": 24, "num_steps": 1, **options}
    net = la.convert(model, images, **given)
    found = la.simulate(net, images).logits[-1].reshape(8, -1)
    if not net.is_float:
        assert np.array_equal(la.settle(net, images).v, la.simulate(net, images).v[-1])
    wanted = model(images / 255).detach().numpy().reshape(8, -1)
    return net, float(np.corrcoef((found - found.mean(0)).ravel(), (wanted - wanted.mean(0)).ravel())[0, 1])


class Attention(nn.Module):
    """Of a whole image as tokens, in two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.it = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.up(x)
        return self.last(self.it(tokens, tokens, tokens, need_weights=False)[0])


def test_attention_has_one_layer_for_each_product() -> None:
    net, correlation = converted(Attention(), (5, 6), resolution=1 / 256)
    products = [one.neuron for one in net if one.neuron.type_name == "PRODUCT"]
    assert [neuron.describe() for neuron in products] == ["PRODUCT 5x4x5", "PRODUCT 5x1x1", "PRODUCT 5x5x4"]
    assert correlation > 0.99


def test_attention_in_floats() -> None:
    assert converted(Attention(), (5, 6), weight_bits=None, resolution=1 / 512)[1] > 0.999


def test_layer_norm_sums_up_squares_in_one_neuron() -> None:
    net, correlation = converted(
        nn.Sequential(nn.Linear(6, 9), nn.LayerNorm(9), nn.Linear(9, 4)), (5, 6), resolution=1 / 256
    )
    sent = {one.neuron.describe(): net.shapes[one.name] for one in net if one.neuron.type_name == "PRODUCT"}
    assert sent == {"PRODUCT 1x9x1": (5, 1, 1), "PRODUCT 9x1x1": (5, 9)}
    assert correlation > 0.99


def products_of(of: Any) -> Model:
    """Of what two convolutions give, ``(B, 4, 3, 4)``."""
    size = of(*torch.zeros(2, 1, 4, 3, 4)).numel()
    return Model(
        lambda m, x: m.last(of(m.one(x), m.other(x)).flatten(1)),
        **{"one": nn.Conv2d(2, 4, 3), "other": nn.Conv2d(2, 4, 3), "last": nn.Linear(size, 3)},
    )


KINDS: list[tuple[Callable[[Any, Any], Any], str]] = [
    (lambda x, y: x * y, "PRODUCT"),
    (lambda x, y: x * -y, "PRODUCT"),
    (lambda x, y: x * y.mean((2, 3), keepdim=True), "PRODUCT 12x1x1"),
    (lambda x, y: y.mean((2, 3), keepdim=True) * x, "PRODUCT 1x1x12"),
    (lambda x, y: x * y.mean(1, keepdim=True), "PRODUCT"),  # each is repeated, to keep the order of maps
    (lambda x, y: x.permute(0, 2, 3, 1) * y.mean((2, 3))[:, None, None], "PRODUCT"),
    (lambda x, y: x.mean((2, 3))[:, :, None] * y.mean((1, 3))[:, None], "PRODUCT 4x1x3"),
    (lambda x, y: x.flatten(2) @ y.flatten(2).transpose(1, 2), "PRODUCT 4x12x4"),
    (lambda x, y: torch.baddbmm(x[:, 0, :, :3], x[:, 1], y[:, 2].transpose(1, 2)), "PRODUCT 3x4x3"),
    (lambda x, y: torch.einsum("bcij,bdij->bdc", x, y), "PRODUCT 4x12x4"),
    (lambda x, y: (x[:, :, :, None] * y[:, :, None]).sum((2, 3)), "PRODUCT 3x1x3"),
]


@pytest.mark.parametrize(("of", "described"), KINDS)
def test_every_kind_of_product(of: Any, described: str) -> None:
    net, correlation = converted(products_of(of), (2, 5, 6), resolution=1 / 256)
    assert [one.neuron.describe() for one in net if one.neuron.type_name == "PRODUCT"] == [described]
    assert correlation > 0.99


def test_products_of_different_images_are_refused() -> None:
    model = Model(lambda m, x: m.it(x) @ m.it(x).transpose(0, 1), it=nn.Linear(6, 4))
    with pytest.raises(ConversionError, match="mixes images"):
        la.convert(model, images_of((6,), 4))


@pytest.mark.parametrize("method", ["termapping", "rate"])
def test_ordinary_spikes_carry_no_products(method: Any) -> None:
    message = "multiplies two values that depend on the image, which takes graded spikes; use augmapping"
    with pytest.raises(ConversionError, match=message):
        la.convert(Attention(), images_of((5, 6), 4), method=method)


def test_thresholds_by_channel() -> None:
    """Operands have one quantum then, whatever else."""
    net, correlation = converted(products_of_maps(), (2, 5, 6), resolution=1 / 256, thresholds="channel")
    assert {np.ndim(one.quantum) for one in net} == {0, 3}
    assert correlation > 0.99


def products_of_maps() -> nn.Module:
    model = Model(
        lambda m, x: m.last((m.one(m.first(x).relu()) * m.other(x)).flatten(1)),
        **{
            "first": nn.Conv2d(2, 3, 1),
            "one": nn.Conv2d(3, 4, 3),
            "other": nn.Conv2d(2, 4, 3),
            "last": nn.Linear(48, 3),
        },
    )
    return model


def test_long_rows_of_squares_are_summed_up_in_parts() -> None:
    model = Model(lambda m, x: m.it(x.std((1, 2))[:, None]), it=nn.Linear(1, 2))
    x = images_of((80, 90), 6) * torch.linspace(0.2, 1, 6)[:, None, None]  # of different contrast
    net = la.convert(model, x, resolution=1 / 64, num_steps=1, message_bits=24)
    assert "PRODUCT 1x3600x1" in {one.neuron.describe() for one in net}
    found, wanted = la.settle(net, x).logits, model(x).detach().numpy()
    assert np.corrcoef((found - found.mean(0)).ravel(), (wanted - wanted.mean(0)).ravel())[0, 1] > 0.99


def test_files_and_plans_take_it(tmp_path: Any) -> None:
    net, _ = converted(Attention(), (5, 6), resolution=1 / 64)
    la.save(net, tmp_path / "a.net")
    assert la.load(tmp_path / "a.net") == net
    assert la.plan(net, (images_of((5, 6), 4) * 255).to(torch.uint8)).problems == ()
