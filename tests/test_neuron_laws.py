"""Laws that hold for whole families of neurons: the loop of unit spikes, the theorem, the ledger, the carriers."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from examples import DEVICES, EXAMPLE_NEURONS, EXAMPLE_POPULATIONS
from hypothesis import given, settings
from hypothesis import strategies as st

from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import saturate, signed_range
from lava_aug.core.layers import Shape
from lava_aug.core.neurons import (
    AugmentedNeuron,
    Cost,
    DoubleThresholdNeuron,
    MaxPoolNeuron,
    Neuron,
    RateNeuron,
    ReadoutNeuron,
    State,
    initial_state,
)
from lava_aug.kernels.compiled import COMPILED

TOP = 2**23 - 1
BOTTOM = -(2**23)

quick = settings(deadline=None)
some = settings(deadline=None, max_examples=50)
"""For each of many neurons."""

each_neuron = pytest.mark.parametrize("neuron", EXAMPLE_NEURONS, ids=repr)

thresholds = st.integers(1, 50) | st.integers(1, 2**22)  # so that v and a few inputs stay within 24 bits
n_maxima = st.none() | st.integers(1, 30)
small_inputs = st.lists(st.integers(-500, 500), min_size=1, max_size=12)


def run(neuron: Neuron, inputs: list[int], bias: int = 0) -> list[tuple[int, State]]:
    """Spike coefficient and state after every step, as numpy int64 of shape (1,)."""
    state = initial_state(neuron, (1,))
    found = []
    for a in inputs:
        step = neuron.step(state, np.array([a]), bias)
        assert not step.saturated.any()
        assert step.capped is None or not step.capped.any()
        state = step.state
        found.append((int(step.s[0]), state))
    return found


def listed(mask: Any) -> Any:
    """The elements of a mask, where there is one."""
    return None if mask is None else mask.tolist()


def unit_spikes(neuron: AugmentedNeuron, v: int, n: int, t: int) -> tuple[int, int, int]:
    """``(s, v, n)`` in step ``t`` by firing ordinary double-threshold spikes, one by one, until none is due."""
    vth, low, s = int(neuron.vth), int(neuron.vth_lo or 0), 0
    while v >= vth and (neuron.n_max is None or n < neuron.n_max * t):
        s, v, n = s + 1, v - vth, n + 1
    while v <= low and (neuron.signed or n > 0):
        s, v, n = s - 1, v + vth, n - 1
    return s, v, n


@st.composite
def augmented_neurons(
    draw: st.DrawFn, vth_lo: st.SearchStrategy[int], vth: st.SearchStrategy[int] = thresholds
) -> AugmentedNeuron:
    return AugmentedNeuron(
        vth=draw(vth),
        v0=draw(st.integers(-100, 100)),
        vth_lo=draw(vth_lo),
        n_max=draw(n_maxima),
        signed=draw(st.booleans()),
        message_bits=24,
    )


@quick
@given(augmented_neurons(st.integers(-100, -1) | st.integers(BOTTOM, -1), thresholds | st.integers(1, TOP)), st.data())
def test_an_augmented_spike_is_a_loop_of_unit_spikes(neuron: AugmentedNeuron, data: st.DataObject) -> None:
    t = data.draw(st.integers(1, 9))
    n = data.draw(st.integers(-30 if neuron.signed else 0, 30 if neuron.n_max is None else int(neuron.n_max) * (t - 1)))
    reach = 200 * int(neuron.vth)
    v = data.draw(st.integers(max(BOTTOM, -reach), min(TOP, reach)))
    step = neuron.step(State(np.array([v]), np.array([n]), t - 1), np.array([0]), 0)
    assert (int(step.s[0]), int(step.state.v[0]), int(step.state.n[0])) == unit_spikes(neuron, v, n, t)
    assert step.state.t == t


@quick
@given(augmented_neurons(st.just(-1)), small_inputs, st.integers(-50, 50))
def test_the_theorem(neuron: AugmentedNeuron, inputs: list[int], bias: int) -> None:
    total = int(neuron.initial()[0])
    for t, (a, (_, state)) in enumerate(zip(inputs, run(neuron, inputs, bias), strict=True), start=1):
        total += a + bias
        floored = total // int(neuron.vth)
        bounded = floored if neuron.n_max is None else min(neuron.n_max * t, floored)
        assert state.n[0] == (bounded if neuron.signed else max(0, bounded))


@quick
@given(augmented_neurons(st.just(-1)), small_inputs, st.randoms(use_true_random=False))
def test_the_order_of_inputs_does_not_matter(neuron: AugmentedNeuron, inputs: list[int], random: object) -> None:
    shuffled = list(inputs)
    random.shuffle(shuffled)  # pyright: ignore[reportAttributeAccessIssue]
    (_, one), (_, other) = run(neuron, inputs)[-1], run(neuron, shuffled)[-1]
    assert (one.n.tolist(), one.v.tolist()) == (other.n.tolist(), other.v.tolist())


@quick
@given(thresholds, st.integers(-100, -1), st.booleans(), n_maxima, small_inputs)
def test_an_augmented_neuron_with_unit_payload_is_a_double_threshold_neuron(
    vth: int, vth_lo: int, signed: bool, n_max: int | None, inputs: list[int]
) -> None:
    options = {"vth": vth, "vth_lo": vth_lo, "signed": signed, "n_max": n_max}
    one, other = AugmentedNeuron(**options, message_bits=2), DoubleThresholdNeuron(**options)
    state, same = initial_state(one, (1,)), initial_state(other, (1,))
    for a in inputs:
        step, expected = one.step(state, np.array([a]), 0), other.step(same, np.array([a]), 0)
        state, same = step.state, expected.state
        assert (step.s.tolist(), state.v.tolist()) == (expected.s.tolist(), same.v.tolist())


@quick
@given(thresholds, st.integers(-100, -1), n_maxima, small_inputs)
def test_n_stays_within_its_bounds(vth: int, vth_lo: int, n_max: int | None, inputs: list[int]) -> None:
    for neuron in (
        RateNeuron(vth=vth, n_max=n_max),
        DoubleThresholdNeuron(vth=vth, vth_lo=vth_lo, n_max=n_max),
        AugmentedNeuron(vth=vth, vth_lo=vth_lo, n_max=n_max),
    ):
        n = [int(state.n[0]) for _, state in run(neuron, inputs)]
        assert min(n) >= 0
        assert n_max is None or all(found <= n_max * t for t, found in enumerate(n, start=1))


@pytest.mark.parametrize("neuron", [n for n in EXAMPLE_NEURONS if type(n).integrate is Neuron.integrate], ids=repr)
@some
@given(st.data())
def test_the_ledger_of_v_balances(neuron: Neuron, data: st.DataObject) -> None:
    """``v0 + sum of inputs == v + n * vth`` whatever was sent, if nothing leaks; ``n`` is the sum of it."""
    vth = neuron.threshold or 0
    unit = 1 / 16 if neuron.is_float else 1  # dyadic, so that floating point is exact too
    inputs = data.draw(st.lists(st.integers(-400, 400), min_size=1, max_size=10))
    state, total, sent = initial_state(neuron, (1,)), neuron.initial()[0], 0
    for a in inputs:
        step = neuron.step(state, np.array([a * unit]).astype(state.v.dtype), 3 * unit)
        clipped = step.saturated.any()
        total, sent, state = total + a * unit + 3 * unit, sent + step.s[0], step.state
        if clipped:
            return
        assert state.n[0] == sent
        assert state.v[0] + state.n[0] * vth == total


@pytest.mark.parametrize(("neuron", "shape"), EXAMPLE_POPULATIONS, ids=repr)
def test_batched_equals_one_by_one(neuron: Neuron, shape: Shape) -> None:
    rng = np.random.default_rng(1)
    v, n, _ = initial_state(neuron, shape)
    state = State(np.stack([v] * 4), np.stack([n] * 4))
    bias = rng.integers(-5, 5, shape[-2:]).astype(state.v.dtype)
    spikes = 0
    for _ in range(8):
        a = rng.integers(-40, 60, (4, *shape)).astype(state.v.dtype)
        together = neuron.step(state, a, bias)
        for i in range(4):
            alone = neuron.step(State(state.v[i], state.n[i], state.t), a[i], bias)
            assert np.array_equal(alone.s, together.s[i])
            assert np.array_equal(alone.state.v, together.state.v[i])
            assert np.array_equal(alone.state.n, together.state.n[i])
            assert np.array_equal(alone.saturated, together.saturated[i])
            assert listed(alone.capped) == (None if together.capped is None else listed(together.capped[i]))
        state = together.state
        spikes += np.count_nonzero(together.s)
    assert spikes > 0 or not neuron.fires or np.max(getattr(neuron, "vth", 0)) > 1000


def carriers(neuron: Neuron, device: str) -> list[Callable[[list[int]], Any]]:
    """Integers of torch; and, for neurons that are computed in them, floating-point numbers of numpy and torch."""
    whole, single = (functools.partial(torch.tensor, dtype=x, device=device) for x in (torch.int64, torch.float32))
    return [whole, *([single, functools.partial(np.array, dtype=np.float64)] if type(neuron) in COMPILED else [])]


@pytest.mark.parametrize("neuron", [n for n in EXAMPLE_NEURONS if not n.is_float], ids=repr)
@pytest.mark.parametrize("device", DEVICES)
@some
@given(data=st.data())
def test_all_carriers_agree(neuron: Neuron, device: str, data: st.DataObject) -> None:
    largest = data.draw(st.sampled_from([20, 3000, 2**22, 2**24]))
    currents = st.lists(st.integers(-largest, largest), min_size=6, max_size=6)
    bias = data.draw(st.lists(st.integers(max(BOTTOM, -largest), min(TOP, largest)), min_size=6, max_size=6))
    integer, made = initial_state(neuron, (6,)), carriers(neuron, device)
    states = [State(make(integer.v.tolist()), make(integer.n.tolist())) for make in made]
    for a in data.draw(st.lists(currents, min_size=1, max_size=6)):
        expected = neuron.step(integer, np.array(a), np.array(bias))
        integer = expected.state
        for index, make in enumerate(made):
            found = neuron.step(states[index], make(a), make(bias))
            assert found.s.tolist() == expected.s.tolist()
            assert found.state.v.tolist() == expected.state.v.tolist()
            assert found.state.n.tolist() == expected.state.n.tolist()
            assert found.saturated.tolist() == expected.saturated.tolist()
            assert listed(found.capped) == listed(expected.capped)
            assert found.s.dtype == found.state.v.dtype == make([0]).dtype
            states[index] = found.state


# What neurons say of themselves

each_population = pytest.mark.parametrize(
    ("neuron", "shape"), [(n, shape) for n, shape in EXAMPLE_POPULATIONS if not n.is_float], ids=repr
)


def population_course(neuron: Neuron, shape: Shape, seed: int, size: int, steps: int = 12) -> Iterator[tuple[Any, Any]]:
    """``(sum of the currents so far, Step)`` after each of some steps."""
    generator, state = np.random.default_rng(seed), initial_state(neuron, shape)
    total = np.zeros(shape, np.int64)
    for _ in range(steps):
        a = generator.integers(-size, size + 1, shape)
        step = neuron.step(state, a, 0)
        total, state = total + a, step.state
        yield total.copy(), step


@each_population
@pytest.mark.parametrize("size", [20, 2**24])
def test_coefficients_stay_within_the_range_of_the_payload(neuron: Neuron, shape: Shape, size: int) -> None:
    low, high = neuron.coefficient_range
    sent = np.stack([step.s for _, step in population_course(neuron, shape, 1, size)])
    assert low <= sent.min() <= sent.max() <= high
    assert neuron.payload_bits == high.bit_length() + (low < 0)
    assert sent.any() or not neuron.fires or size == 20
    assert sent.min() < 0 or not neuron.negative or not neuron.fires or size == 20
    n: Any = sum(sent)
    assert n.min() >= 0 or not neuron.rectifies


@each_population
def test_the_state_starts_as_declared_and_keeps_its_width(neuron: Neuron, shape: Shape) -> None:
    potential = neuron.variables[0]
    assert (potential.name, potential.count) == ("v", neuron.inputs)
    assert [(other.name, other.count) for other in neuron.variables[1:]] == [("n", neuron.keeps_n)] * neuron.fires
    assert np.array_equal(np.broadcast_to(potential.initial, shape), initial_state(neuron, shape).v)
    low, high = signed_range(potential.bits)
    for _, step in population_course(neuron, shape, 2, 2**24):
        assert low <= step.state.v.min() <= step.state.v.max() <= high


@each_population
def test_the_peak_is_what_was_compared_with_the_thresholds(neuron: Neuron, shape: Shape) -> None:
    state, generator = initial_state(neuron, shape), np.random.default_rng(3)
    for _ in range(9):
        a = generator.integers(-99, 100, shape)
        step = neuron.step(state, a, 0)
        expected = saturate(neuron.integrate(state.v, a, np.array(0)))
        np.testing.assert_array_equal(neuron.peak(step.state.v, step.s), expected)
        state = step.state


@each_population
@pytest.mark.parametrize("size", [30, 4000])
def test_totals_are_what_was_sent_whatever_the_order(neuron: Neuron, shape: Shape, size: int) -> None:
    clipped = False
    for t, (x, step) in enumerate(population_course(neuron, shape, 4, size), start=1):
        clipped |= bool(step.saturated.any() or (step.capped is not None and step.capped.any()))
        total = neuron.total(x, t)
        assert (total is None) == (neuron.no_total is not None)
        if total is not None and not clipped:
            np.testing.assert_array_equal(total, step.state.n if neuron.fires else step.state.v)
            in_torch: Any = neuron.total(torch.tensor(x), t)
            np.testing.assert_array_equal(in_torch.numpy(), total)


def test_which_neurons_have_totals() -> None:
    assert AugmentedNeuron(vth=10).no_total is None
    assert AugmentedNeuron(vth=10).total(np.array([35, -40]), 3).tolist() == [4, 0]  # pyright: ignore
    assert AugmentedNeuron(vth=10, signed=True, n_max=1).total(np.array([35, -40]), 3).tolist() == [3, -4]  # pyright: ignore
    assert MaxPoolNeuron(kernel_size=(1, 2)).total(np.array([[3, -4]]), 2).tolist() == [[3]]  # pyright: ignore
    assert ReadoutNeuron().total(np.array([7]), 2).tolist() == [7]  # pyright: ignore
    for neuron in (RateNeuron(vth=10), DoubleThresholdNeuron(vth=10), AugmentedNeuron(vth=10, vth_lo=-2)):
        assert neuron.total(np.array([7]), 2) is None
    with pytest.raises(SpecError, match=r"RateNeuron.settled: has IF neurons, whose spikes depend on the order"):
        RateNeuron(vth=10).settled(np.array([7]), 2)


def test_whoever_writes_a_part_of_the_step_anew_says_what_it_costs() -> None:
    def leak(self: Any, v: Any, a: Any, bias: Any) -> Any:
        return v // 2 + a + bias

    with pytest.raises(SpecError, match=r"Leaky has its own integrate: say what it costs, as integrate_cost ="):
        type("Leaky", (AugmentedNeuron,), {"integrate": leak})
    with pytest.raises(SpecError, match=r"say what it costs, as fire_cost = Cost\(...\)"):
        type("Strict", (RateNeuron,), {"fire": lambda self, v, n: n})


def test_what_follows_from_a_step_is_not_inherited_by_another() -> None:
    def leak(self: Any, v: Any, a: Any, bias: Any) -> Any:
        return v // 2 + a + bias

    leaky: Any = type("Leaky", (AugmentedNeuron,), {"integrate": leak, "integrate_cost": Cost(additions=2)})(vth=10)
    assert leaky.total(np.array([35]), 3) is None
    assert leaky.step_cost == Cost(additions=4)
    with pytest.raises(SpecError, match=r"Leaky: its mean activation is not known; write Leaky.mean"):
        leaky.mean(np.array([1.0]), clip=False)


def test_costs_by_hand() -> None:
    division = ((24, 24), (24, 24))
    for neuron, step, event in (
        (RateNeuron(vth=10), Cost(2), Cost(1)),
        (DoubleThresholdNeuron(vth=10), Cost(3), Cost(1)),
        (AugmentedNeuron(vth=10), Cost(3), Cost(1, division)),
        (AugmentedNeuron(vth=16), Cost(3), Cost(1)),
        (AugmentedNeuron(vth=16.0), Cost(3), Cost(1, division)),
        (MaxPoolNeuron(kernel_size=(2, 2)), Cost(2), Cost()),
        (ReadoutNeuron(), Cost(1), Cost()),
    ):
        assert (neuron.step_cost, neuron.event_cost) == (step, event)


def test_the_mean_is_what_many_steps_come_to() -> None:
    for neuron in (RateNeuron(vth=40), DoubleThresholdNeuron(vth=40), AugmentedNeuron(vth=7, n_max=3)):
        currents = np.array([-9, 3, 17, 39, 50])
        state = initial_state(neuron, (5,))
        for _ in range(2000):
            state = neuron.step(state, currents, 0).state
        np.testing.assert_allclose(state.n / 2000, neuron.mean(currents * 1.0, clip=True), atol=1e-3)


@each_neuron
def test_a_step_changes_nothing_in_place(neuron: Neuron) -> None:
    for convert in (np.array, torch.tensor):
        v, n = neuron.initial()
        given_arrays = [convert([x] * 4) for x in ([v, v, 90, -90], [n, n, 0, 3], [50, -3, 0, 9], [1, 2, 3, 4])]
        v_now, n_now, a, bias = (x * 1.0 if neuron.is_float else x * 1 for x in given_arrays)
        before = [x.tolist() for x in (v_now, n_now, a, bias)]
        step = neuron.step(State(v_now, n_now), a, bias)
        assert [x.tolist() for x in (v_now, n_now, a, bias)] == before
        assert step.state.v.tolist() != before[0]


@pytest.mark.parametrize("kind", [RateNeuron, DoubleThresholdNeuron, AugmentedNeuron, ReadoutNeuron])
def test_without_input_nothing_happens(kind: type[Neuron]) -> None:
    neuron = ReadoutNeuron() if kind is ReadoutNeuron else kind(vth=10)  # pyright: ignore[reportCallIssue]
    before = initial_state(neuron, (3,))
    step = neuron.step(before, np.zeros(3, np.int64), 0)
    assert step.s.tolist() == [0, 0, 0]
    assert step.state.v.tolist() == before.v.tolist()
    assert step.state.n.tolist() == [0, 0, 0]
