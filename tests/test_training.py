"""A student is a network whose weights still move: the same numbers, at any moment of training."""

import copy
import functools
import io
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from convert_models import IMAGES, MODELS, made
from examples import DEVICES, INTEGER_SYNAPSES, name_of, weights
from float_graph import Model, images_of, lively
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nets import images_for, layer, networks, small_net
from operation_models import CASES
from torch import nn

import lava_aug as la
from lava_aug import Network, Student, settle, simulate, trainable
from lava_aug.core.errors import ConversionError, InputError, NetworkError
from lava_aug.core.layers import Dense, Shape
from lava_aug.core.network import INPUT
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, ReadoutNeuron
from lava_aug.core.prices import prices
from lava_aug.core.synapse import Connectivity, Synapse, listed
from lava_aug.training.gradients import floored, quotient
from lava_aug.training.sums import sum_of


def residual() -> nn.Module:
    """Convolutions with a sum around one of them."""
    parts = {"first": nn.Conv2d(2, 4, 3), "second": nn.Conv2d(4, 4, 3, padding=1), "last": nn.Linear(168, 5)}
    return lively(Model(lambda m, x: m.last(F.relu(m.second(y := F.relu(m.first(x))) + y).flatten(1)), **parts))


OBJECTIVES = ("events", "operations", "energy")


def whole(logits: Any) -> torch.Tensor:
    """All logits, of several heads side by side."""
    parts = logits.values() if isinstance(logits, dict) else [logits]
    return torch.cat([part.flatten(1) for part in parts], 1)


def learn(student: Student, images: Any, steps: int = 2, rate: float = 0.02) -> None:
    """Some steps away from where the student is, in all of its parameters."""
    optimizer = torch.optim.Adam(student.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(whole(student(images)).square().mean() + 1e-3 * student.cost("events"))
        optimizer.step()


def check_equal(student: Student, images: Any) -> None:
    """Student, `settle` and `simulate` agree, where the latter do."""
    logits, net = student(images), student.network()
    try:
        settled = settle(net, images)
    except NetworkError:  # close to the limits of the bits
        return
    np.testing.assert_array_equal(student.v.numpy(), settled.v)
    found = {"": logits} if not net.heads else logits
    expected = settled.heads if net.heads else {"": settled.logits}
    for name, part in found.items():
        np.testing.assert_array_equal(part.detach().numpy(), expected[name].astype(np.float32))
    stepped = simulate(net, images)
    np.testing.assert_array_equal(stepped.v[-1], settled.v)
    assert student.cost("events").item() == pytest.approx(stepped.per_image("events").sum(), rel=1e-12)
    assert student.cost("operations").item() == pytest.approx(stepped.per_image("synops").sum(), rel=1e-12)


# Equality


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 4))
def test_it_equals_its_network_before_and_after_learning(data: st.DataObject, num_steps: int) -> None:
    net = data.draw(networks("aug", within_theorem=True, every_type=True)).replace(num_steps=num_steps)
    images = torch.tensor(images_for(net, 3))
    student = trainable(net, num_steps=num_steps)
    assert student.network() == net
    check_equal(student, images)
    learn(student, images, rate=data.draw(st.sampled_from([1e-3, 0.3])))
    check_equal(student, images)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(CASES)),
    st.integers(2, 8),
    st.integers(1, 4),
    st.sampled_from([1.0, 1 / 8, 1 / 100]),
    st.sampled_from(["layer", "channel"]),
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_model_as_a_student(name: str, bits: int, num_steps: int, resolution: float, thresholds: str) -> None:
    case = CASES[name]
    images = images_of(case.shape)
    options: dict[str, Any] = {"quality": "fast", "thresholds": thresholds}
    try:
        student = trainable(case.model(), images, num_steps, resolution, bits, **options)
    except ConversionError:
        assume(False)
        return
    net = la.convert(case.model(), images, resolution=resolution, num_steps=num_steps, weight_bits=bits, **options)  # pyright: ignore
    assert student.network() == net
    check_equal(student, images)
    learn(student, images)
    check_equal(student, images)
    weights = [c.synapse for each in student.network() for c in each.connections if c.synapse.learned]
    assert all(synapse.mantissa_bits <= bits for synapse in weights)


@pytest.mark.parametrize("name", MODELS)
def test_models_with_all_defaults(name: str) -> None:
    student = trainable(made(name), IMAGES)
    assert student.network() == la.convert(made(name), IMAGES, resolution=1 / 8, num_steps=1)
    learn(student, IMAGES)
    check_equal(student, IMAGES)


class Attention(nn.Module):
    """Functions by tables, and products of two signals."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.last = nn.LayerNorm(8), nn.Linear(48, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x + self.attend(x, x, x, need_weights=False)[0])
        return self.last(F.gelu(y).flatten(1))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_attention() -> None:
    images = images_of((6, 8), 16)
    student = trainable(lively(Attention()), images, resolution=1 / 256)
    check_equal(student, images)
    learn(student, images, rate=1e-3)
    check_equal(student, images)
    missing = [name for name, p in student.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert missing == []


def test_several_inputs_and_heads() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.head, self.other = (nn.Linear(*s) for s in ((4, 5), (3, 5), (5, 2), (5, 3)))

        def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
            y = F.relu(self.left(left) + self.right(right))
            return {"a": self.head(y), "b": self.other(y)}

    images = {"left": images_of((4,), 12), "right": images_of((3,), 12, seed=2)}
    student = trainable(lively(Two()), images, num_steps=2)
    check_equal(student, images)
    learn(student, images)
    check_equal(student, images)
    assert {name: tuple(part.shape) for name, part in student(images).items()} == {"a": (12, 2), "b": (12, 3)}


def test_through_a_file_after_learning(tmp_path: Path) -> None:
    student = trainable(made("pooled"), IMAGES, num_steps=2)
    learn(student, IMAGES)
    la.save(student.network(), tmp_path / "student.net")
    student(IMAGES)
    np.testing.assert_array_equal(settle(la.load(tmp_path / "student.net"), IMAGES).v, student.v.numpy())


@pytest.mark.lava
def test_on_lava_after_learning() -> None:
    student = trainable(made("pooled"), IMAGES, num_steps=2)
    learn(student, IMAGES)
    student(IMAGES[:4])
    np.testing.assert_array_equal(la.run(student.network(), IMAGES[:4]).v[-1], student.v.numpy())


@pytest.mark.parametrize("device", DEVICES)
def test_devices_precisions_and_kinds_of_images(device: str) -> None:
    student = trainable(made("pooled"), IMAGES).to(device)
    learn(student, IMAGES.to(device))
    expected = settle(student.network(), IMAGES).logits.astype(np.float32)
    for images in (IMAGES, IMAGES / 255, IMAGES.double() / 255):
        with torch.autocast(device, dtype=torch.bfloat16):
            np.testing.assert_array_equal(student(images.to(device)).detach().cpu().numpy(), expected)


def test_large_sums_leave_float32_and_stay_exact() -> None:
    net = small_net()
    net = net.replace(layers=(net.layers[0].replace(neuron=AugmentedNeuron(vth=3000)), net.layers[1]))
    images = torch.full((2, 6), 255, dtype=torch.uint8)
    assert 200 * 255 * net.layers[0].connections[0].synapse.weight_sum > 2**24
    check_equal(trainable(net, num_steps=200), images)


def test_layers_of_ceilings_keep_them() -> None:
    relu6 = Model(lambda m, x: m.last(F.relu6(8 * m.first(x))), first=nn.Linear(4, 8), last=nn.Linear(8, 2))
    images = images_of((4,), 32)
    student = trainable(lively(relu6), images)
    before = student.network().layers[0]
    learn(student, images, steps=3, rate=0.1)
    after = student.network().layers[0]
    assert before.neuron.numbers()["n_max"] * before.quantum == pytest.approx(6)
    assert (after.quantum, after.neuron.numbers()["n_max"]) == (before.quantum, before.neuron.numbers()["n_max"])
    assert not np.array_equal(after.neuron.numbers()["vth"], before.neuron.numbers()["vth"])
    check_equal(student, images)


def test_weights_that_are_shared_by_different_quanta() -> None:
    """A dense layer along the last axis, whose spikes have a quantum, and whose potentials a unit, for each row."""
    rows = np.array([[1.0], [2.0]])
    first = layer("rows", INPUT, Dense(weight=np.eye(3, dtype=np.int64) * 9), AugmentedNeuron(vth=9), quantum=rows)
    mixed = layer("mixed", "rows", Dense(weight=np.ones((2, 3), np.int64)), AugmentedNeuron(vth=np.array([[2], [3]])))
    net = Network(input_shape=(2, 3), layers=(first, mixed, layer("out", "mixed", Dense(weight=np.ones((2, 4), int)))))
    student = trainable(net)
    assert student.network() == net.replace(num_steps=1)
    learn(student, torch.tensor(images_for(net)), rate=0.1)
    check_equal(student, torch.tensor(images_for(net)))
    np.testing.assert_array_equal(student.network()["rows"].quantum, rows)


@pytest.mark.parametrize(("synapse", "shape"), INTEGER_SYNAPSES, ids=name_of)
def test_sums_are_those_of_the_definition(synapse: Synapse, shape: Shape) -> None:
    s = np.random.default_rng(5).integers(-9, 10, (3, *shape))
    made, weight = sum_of(synapse, shape)
    spikes, weight = torch.tensor(s, dtype=torch.float64, requires_grad=True), weight.requires_grad_()
    a = made(spikes, weight)
    np.testing.assert_array_equal(a.detach().numpy(), synapse.accumulate(s))
    assert made.largest(weight).item() >= synapse.weight_sum
    back = np.random.default_rng(6).integers(-9, 10, a.shape)
    torch.autograd.backward(a, torch.tensor(back, dtype=torch.float64))
    assert spikes.grad is not None
    expected = back.reshape(3, -1) @ synapse.matrix(shape).toarray()
    np.testing.assert_array_equal(spikes.grad.reshape(3, -1).numpy(), expected)
    if synapse.num_weights:  # the sum is linear in them
        assert weight.grad is not None
        assert (weight.grad * weight).sum().item() == (back * synapse.accumulate(s)).sum()


class Mirrored(Synapse):
    """A type without a form of its own: every spike to its place counted from the end, and twice to the first one."""

    type_name = "mirrored"

    @property
    def weights(self) -> np.ndarray:
        return np.array([1, 2])

    @property
    def weight_sum(self) -> float:
        return 3.0

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def accumulate(self, s: np.ndarray) -> np.ndarray:
        a = s[:, ::-1].astype(np.int64 if s.dtype.kind in "iu" else s.dtype)
        a[:, 0] += 2 * s[:, 0]
        return a

    def connectivity(self, input_shape: Shape) -> Connectivity:
        (size,) = input_shape
        rows, columns = np.nonzero(self.accumulate(np.eye(size, dtype=np.int64)).T)
        return Connectivity(input_shape, input_shape, listed(rows, columns, size, size))


class Own(AugmentedNeuron):
    """A type without a form of its own."""

    type_name = "OWN"


def test_types_without_a_form_of_their_own() -> None:
    net = Network(
        input_shape=(6,),
        layers=(
            layer("hidden", INPUT, Dense(weight=weights(4, 6)), Own(vth=300)),
            layer("mirrored", "hidden", Mirrored(), AugmentedNeuron(vth=2)),
            layer("out", "mirrored", Dense(weight=weights(3, 4)), bias=[1, -2, 3]),
        ),
    )
    images = torch.tensor(images_for(net))
    student = trainable(net, num_steps=3)
    assert student.network() == net.replace(num_steps=3)
    learn(student, images, rate=0.1)
    check_equal(student, images)
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in student.parameters())


# Costs


def counted(net: Network, images: Any, objective: str) -> float:
    """What `simulate` counts per image, without the input's events, as everywhere."""
    out = simulate(net, images)
    if objective != "energy":
        return float(out.per_image({"events": "events", "operations": "synops"}[objective]).sum())
    recorded = simulate(net, images, record=True).spikes
    operations = []
    for each in net:
        for source, synapse in each.connections:
            fan_out = synapse.connectivity(net.shapes[source]).fan_out
            operations.append([((spikes != 0) * fan_out).sum() / len(images) for spikes in recorded[source]])
    events = {each.name: out.totals("events")[each.name] / len(images) for each in net if each.neuron.fires}
    return float(prices(net).energy(np.array(operations), events).sum())


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("num_steps", [1, 3])
@pytest.mark.parametrize(
    "make", [residual, functools.partial(made, "pooled"), functools.partial(made, "ending_in_relu")]
)
def test_costs_are_those_of_simulate(make: Callable[[], nn.Module], num_steps: int, objective: Any) -> None:
    student = trainable(make(), IMAGES, num_steps=num_steps)
    for _ in range(2):
        student(IMAGES)
        cost, costs = student.cost(objective), student.costs(objective)
        expected = counted(student.network(), IMAGES, objective)
        assert cost.item() == pytest.approx(expected, rel=1e-12)
        assert sum(part.item() for part in costs.values()) == pytest.approx(expected)
        assert (INPUT in costs) == (objective != "events")
        learn(student, IMAGES)


def test_costs_are_told_by_who_causes_them() -> None:
    net = small_net()
    student = trainable(net)
    images = torch.tensor(images_for(net))
    student(images)
    out = simulate(net, images, 1)
    costs = student.costs("operations")
    assert {name: cost.item() for name, cost in costs.items()} == {
        INPUT: out.totals("synops")["hidden"].sum() / 5,
        "hidden": out.totals("synops")["out"].sum() / 5,
    }
    assert student.costs("events")["hidden"].item() == out.totals("events")["hidden"].sum() / 5


def test_the_gradient_of_a_cost_is_the_surrogate() -> None:
    """One neuron that sends ``n`` to three others: ``3 * dn / (1 + n)``."""
    first = layer("hidden", INPUT, Dense(weight=np.array([[5, 3]])), AugmentedNeuron(vth=100))
    net = Network(input_shape=(2,), layers=(first, layer("out", "hidden", Dense(weight=np.array([[1], [2], [3]])))))
    student = trainable(net)
    student(torch.tensor([[100, 10], [0, 0]], dtype=torch.uint8))
    student.cost("operations").backward()
    (weight,) = [p for name, p in student.named_parameters() if name == "layers.0.connections.0.weight"]
    n, theta_in, unit = (50 + 530) // 100, 1 / 255, 1 / 100
    per_weight = 3 / 2 / (1 + n) / 100 * theta_in / unit  # of two images; n changes by 1 / vth
    assert weight.grad is not None
    np.testing.assert_allclose(weight.grad.numpy(), [[per_weight * 100, per_weight * 10]], rtol=1e-5)


# Gradients


def gated(m: Any, x: Any) -> Any:
    y = m.first(x)
    return m.last((y * torch.sigmoid(m.gate(x))).flatten(1))


SMOOTH: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 2)),
    "silu": lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.SiLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2)),
    "gate": lambda: Model(gated, first=nn.Conv2d(1, 3, 3), gate=nn.Conv2d(1, 3, 3), last=nn.Linear(48, 2)),
}


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_gradients_are_those_of_the_function_where_it_is_smooth(name: str) -> None:
    images = images_of((1, 6, 6), 32)
    student = trainable(lively(SMOOTH[name]()), images, resolution=1 / 2000, weight_bits=16, quality="fast")
    for parameter_name, parameter in student.named_parameters():
        parameter.requires_grad_(parameter_name.endswith(("weight", "bias")))

    def loss() -> torch.Tensor:
        return whole(student(images)).double().square().sum()

    torch.autograd.backward(loss())
    generator = torch.Generator().manual_seed(3)
    for parameter in student.parameters():
        if parameter.grad is None:
            continue
        direction = torch.randn(parameter.shape, generator=generator)
        slope, values = float((parameter.grad * direction).sum()), []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * 0.02 * direction
                values.append(loss().item())
                parameter -= sign * 0.02 * direction
        assert (values[0] - values[1]) / 0.04 == pytest.approx(slope, rel=0.03, abs=0.1)


def test_thresholds_have_the_gradients_of_lsq() -> None:
    """One neuron: ``d(n * theta) / d(theta) = n - x / theta`` inside, 0 where it is silent, and ``n`` at its bound."""
    hidden = layer("hidden", INPUT, Dense(weight=np.array([[100, -100]])), AugmentedNeuron(vth=1000), quantum=0.5)
    readout = layer("out", "hidden", Dense(weight=np.array([[64]])), quantum=0.5 / 64)
    student = trainable(Network(input_shape=(2,), layers=(hidden, readout)), learn=("thresholds", "scales"))
    (threshold,) = [p for name, p in student.named_parameters() if name == "layers.0.threshold"]
    for plus, minus, inside in ((17, 0, 1), (14, 0, 1), (0, 100, 0), (255, 3, 1)):
        student.zero_grad()
        student(torch.tensor([[plus, minus]], dtype=torch.uint8)).sum().backward()
        x = (plus - minus) * 100 / 1000  # in thetas
        n = max(0, math.floor(x + 0.5))
        share = 1 / math.sqrt(1)
        assert threshold.grad is not None
        assert threshold.grad.item() == pytest.approx(inside * 0.5 * (n - x) * share, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([None, 3.0, [[2.0], [5.0]]]), st.booleans())
def test_quotients_are_what_they_are_made_of(seed: int, signed: bool, high: Any, by_channel: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    u = torch.randint(-50, 90, (4, 2, 5), generator=generator).float().requires_grad_()
    vth = torch.randint(3, 20, (2, 1) if by_channel else (), generator=generator).float().requires_grad_()
    bound, weights = None if high is None else torch.tensor(high), torch.rand(4, 2, 5, generator=generator)
    n = floored(u / vth)
    n = n if signed else n.clamp(min=0)
    n = n if bound is None else n.clamp(max=bound)
    found = quotient(u, vth, None if signed else 0.0, bound)
    assert (found == n).all()
    expected, gradients = (torch.autograd.grad((weights * each).sum(), (u, vth)) for each in (n, found))
    for one, other in zip(expected, gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_scales_have_the_gradients_of_lsq() -> None:
    """Of weights: ``d(W_int * unit) / d(unit) = W_int - W / unit`` inside, and the limit where they are clipped."""
    out = layer("out", INPUT, Dense(weight=np.array([[3, -5, 7, 2]])), quantum=0.25)
    student = trainable(Network(input_shape=(4,), layers=(out,)))
    scale, weight = (
        next(p for name, p in student.named_parameters() if name.endswith(end)) for end in ("scale", "weight")
    )
    wanted = torch.tensor([[3.3, -5.4, 9.0, -7.0]])  # in units, of which 4 bits have 7
    with torch.no_grad():
        weight.copy_(wanted * 0.25 * 255)  # a unit of the input is 1 / 255
    payloads = torch.tensor([10, 20, 30, 40], dtype=torch.uint8)
    torch.autograd.backward(student(payloads[None]).sum())
    lsq = torch.tensor([3 - 3.3, -5 + 5.4, 7.0, 0.0])
    assert scale.grad is not None
    share = 1 / math.sqrt(4 * 7)
    assert scale.grad.item() == pytest.approx(share * 0.25 * float((lsq * payloads).sum()), rel=1e-4)
    assert weight.grad is not None
    np.testing.assert_allclose(weight.grad.numpy() * 255, [[10, 20, 0, 40]], rtol=1e-5)


def test_what_is_not_learned_stays() -> None:
    student = trainable(made("pooled"), IMAGES, learn=("weights",))
    kept = {name: p.clone() for name, p in student.named_parameters() if not p.requires_grad}
    assert {name.rpartition(".")[2] for name in kept} == {"threshold", "scale"}
    learn(student, IMAGES)
    assert all((p == kept[name]).all() for name, p in student.named_parameters() if name in kept)


# Learning


def toy() -> tuple[torch.Tensor, torch.Tensor]:
    """Images that are brighter on one side, and which side that is."""
    images = images_of((1, 6, 6), 128) * 0.6
    labels = torch.arange(128) % 2
    images[labels == 0, :, :, :3] += 0.4
    images[labels == 1, :, :, 3:] += 0.4
    return images, labels


def fresh() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 2)
    )


@pytest.mark.parametrize("bits", [2, 8])
def test_a_fresh_model_learns(bits: int) -> None:
    images, labels = toy()
    student = trainable(fresh(), images, weight_bits=bits)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.02)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        loss = F.cross_entropy(student(images), labels)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]
    assert simulate(student.network(), images).accuracy(labels)[-1] > 0.95
    check_equal(student, images)


def test_spikes_that_cost_become_fewer() -> None:
    images, labels = toy()
    found = []
    for weight in (0.0, 3e-3):
        student = trainable(fresh(), images)
        optimizer = torch.optim.Adam(student.parameters(), lr=0.02)
        for _ in range(40):
            optimizer.zero_grad()
            loss = F.cross_entropy(student(images), labels)
            (loss + weight * student.cost("events")).backward()
            optimizer.step()
        found.append(simulate(student.network(), images))
    without, with_cost = (out.events_per_image()[-1] for out in found)
    assert with_cost < 0.7 * without
    assert found[1].accuracy(labels)[-1] > 0.95


# A module like any other


def test_states_copies_and_modes() -> None:
    student = trainable(residual(), IMAGES)
    other = trainable(residual(), IMAGES)
    learn(student, IMAGES)
    other.load_state_dict(student.state_dict())
    buffer = io.BytesIO()
    torch.save(student, buffer)
    buffer.seek(0)
    for copied in (other, copy.deepcopy(student), torch.load(buffer, weights_only=False), student.eval()):
        assert copied.network() == student.network()
        np.testing.assert_array_equal(copied(IMAGES).detach().numpy(), student.train()(IMAGES).detach().numpy())


def test_states_of_other_networks_are_refused() -> None:
    """Ceilings, tables and sums of whole numbers are the network's, and not in the state."""
    images = images_of((4,), 32)
    make = functools.partial(lively, nn.Sequential(nn.Linear(4, 8), nn.ReLU6(), nn.Linear(8, 2)))
    student, other = trainable(make(), images), trainable(make(), images, resolution=1 / 7)
    with pytest.raises(InputError, match="state: expected that of a student of the same converted network"):
        other.load_state_dict(student.state_dict())
    with pytest.raises(InputError, match="state: expected"):
        trainable(make(), images, weight_bits=4).load_state_dict(student.state_dict())
    trainable(make(), images).load_state_dict(student.state_dict())


def test_networks_that_have_learned_are_no_copies_of_their_model() -> None:
    student = trainable(made("pooled"), IMAGES)
    assert student.network().fidelity is not None
    learn(student, IMAGES)
    assert student.network().fidelity is None


def test_a_network_keeps_the_bits_of_its_weights() -> None:
    net = la.convert(made("pooled"), IMAGES, weight_bits=4)
    student = trainable(net, num_steps=4)
    assert student.network() == net
    learn(student, IMAGES, rate=0.3)
    assert max(c.synapse.mantissa_bits for each in student.network() for c in each.connections) == 4


# Refusals

DTIF = small_net().replace(
    layers=(small_net().layers[0].replace(neuron=DoubleThresholdNeuron(vth=300)), small_net().layers[1])
)
SYMMETRIC = small_net().replace(
    layers=(small_net().layers[0].replace(neuron=AugmentedNeuron(vth=300, vth_lo=-300)), small_net().layers[1])
)
FLOATS = Network(
    input_shape=(2,),
    layers=(
        layer("hidden", INPUT, Dense(weight=np.array([[0.5, 1.5]])), AugmentedNeuron(vth=1.0)),
        layer("out", "hidden", Dense(weight=np.array([[1.0]])), ReadoutNeuron(floating=True)),
    ),
)

REFUSED: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "termapping": (DTIF, {}, NetworkError, "trainable: layer 'hidden' has DTIF neurons, whose spikes depend"),
    "symmetric": (SYMMETRIC, {}, NetworkError, "convert with method='augmapping', not symmetric=True"),
    "floats": (FLOATS, {}, NetworkError, "layer 'hidden' computes in floating point"),
    "no images": (fresh(), {}, InputError, "calibration: expected images for converting the model"),
    "images": (small_net(), {"calibration": np.zeros((2, 6))}, InputError, "calibration: expected none for a network"),
    "options": (
        small_net(),
        {"resolution": 1 / 8, "quality": "fast"},
        InputError,
        "resolution, quality: expected none",
    ),
    "steps": (small_net(), {"num_steps": 0}, InputError, "num_steps: expected an integer from 1 to 65536, found 0"),
    "bits": (small_net(), {"weight_bits": 1}, InputError, "weight_bits: expected an integer from 2 to 16, found 1"),
    "learn": (small_net(), {"learn": ("weight",)}, InputError, "expected some of weights, thresholds, scales"),
    "learn, a text": (small_net(), {"learn": "weights"}, InputError, "learn: expected some of"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_say_why(case: str) -> None:
    model, options, error, message = REFUSED[case]
    with pytest.raises(error, match=re.escape(message)):
        trainable(model, **options)


IMAGE_ERRORS: dict[str, tuple[Any, str]] = {
    "shape": (torch.zeros(2, 5), "images: expected shape (B, 6), found (2, 5)"),
    "one": (torch.zeros(6), "a single image is a batch of one"),
    "none": (torch.zeros(0, 6), "found (0, 6)"),
    "range": (torch.full((1, 6), 1.5), "floating-point images must be in [0, 1], found 1.5 to 1.5"),
    "nan": (torch.full((1, 6), math.nan), "found NaN"),
    "type": (torch.zeros(2, 6, dtype=torch.int64), "expected uint8 or floating point in [0, 1], found torch.int64"),
    "array": (np.zeros((2, 6)), "images: expected a tensor, found ndarray"),
    "names": ({"left": torch.zeros(2, 6)}, "images: expected the inputs [], found ['left']"),
}


@pytest.mark.parametrize("case", IMAGE_ERRORS)
def test_wrong_images_are_refused(case: str) -> None:
    images, message = IMAGE_ERRORS[case]
    with pytest.raises(InputError, match=re.escape(message)):
        trainable(small_net())(images)


def test_costs_need_a_forward_pass_and_a_name() -> None:
    student = trainable(small_net())
    with pytest.raises(InputError, match="cost: expected a forward pass before, found none; call the student"):
        student.cost("events")
    student(torch.zeros(1, 6))
    with pytest.raises(InputError, match="objective: expected one of events, operations, energy, found 'joules'"):
        student.cost("joules")  # pyright: ignore[reportArgumentType]
