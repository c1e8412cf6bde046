"""Neurons that compute functions: by hand, their total in any window, and how far they are from the real function."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from examples import table
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import layer

import lava_aug as la
from lava_aug.core.errors import SpecError
from lava_aug.core.function_tables import function_table
from lava_aug.core.layers import Dense, Scale
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neuron import MAX_STEPS
from lava_aug.core.neurons import Cost, FunctionNeuron, State, initial_state
from lava_aug.core.prices import prices
from lava_aug.loihi2.preflight import check_loihi2

MAGNITUDE = table([8, 0, 8], vth=10, low=-8, step_bits=3)


def one_step(neuron: FunctionNeuron, v: float, n: int = 0, t: int = 0) -> tuple[float, float, int]:
    """``(s, v, n)`` after one step from ``v`` and ``n`` after ``t`` steps."""
    state = State(np.array([v]), np.array([n]), t)
    step = neuron.step(state, np.array([0]), 0)
    return step.s[0], step.state.v[0], step.state.n[0]


@pytest.mark.parametrize(
    ("v", "n", "t", "expected"),
    [
        (30, 0, 0, 3),
        (39, 0, 0, 3),  # the mean is rounded down
        (-30, 0, 0, 3),
        (-31, 0, 0, 4),  # -4
        (80, 0, 0, 8),  # at the last node
        (95, 0, 0, 9),  # the last line goes on
        (-200, 0, 0, 20),  # and so does the first
        (30, 0, 2, 3),  # the mean of three steps is 1, three times
        (29, 0, 2, 0),
        (30, 5, 2, -2),
        (-31, 1, 2, 5),  # -2 * 3
    ],
)
def test_a_step_by_hand(v: int, n: int, t: int, expected: int) -> None:
    assert one_step(MAGNITUDE, v, n, t) == (expected, v, n + expected)


def test_fraction_bits_and_shift_by_hand() -> None:
    neuron = table([0, 5, 4], vth=3, low=-2, step_bits=2, fraction_bits=2, shift=1)
    # v = 2: m = floor(8 / 3) = 2, the second entry, 5 / 2 + 1 / 2
    assert one_step(neuron, 2) == (3, 2, 3)
    # v = 4: m = 5, r = 3 on the line from 5 to 4: 5 + floor(-3 / 4) = 4, 2
    assert one_step(neuron, 4) == (2, 4, 2)
    # v = -2: m = -3, r = -1 on the line from 0 to 5: floor(-5 / 4) = -2, floor(-1 + 1 / 2) = -1
    assert one_step(neuron, -2) == (-1, -2, -1)


def test_what_exceeds_the_payload_follows() -> None:
    neuron = table([0, 1], vth=1, low=0, step_bits=0, message_bits=3)
    state, sent = initial_state(neuron, (1,)), []
    for a in (7, 0, 0, 0, 0):
        step = neuron.step(state, np.array([a]), 0)
        state = step.state
        assert step.capped is not None
        sent.append((int(step.s[0]), bool(step.capped[0])))
    # totals 7, 2 * 3, 3 * 2, 4 * 1, 5 * 1
    assert sent == [(3, True), (3, False), (0, False), (-2, False), (1, False)]


def exact(neuron: FunctionNeuron, x: int, t: int) -> int:
    """What was sent in all, in Python's integers, as docs/arithmetic.md has it."""
    entries = neuron.table.tolist()
    m = x * 2**neuron.fraction_bits // (t * int(neuron.vth))
    i = min(max((m - neuron.low) // 2**neuron.step_bits, 0), len(entries) - 2)
    r = m - neuron.low - i * 2**neuron.step_bits
    value = entries[i] + (entries[i + 1] - entries[i]) * r // 2**neuron.step_bits
    return (t * value + 2**neuron.shift // 2) // 2**neuron.shift


@st.composite
def functions(draw: st.DrawFn) -> FunctionNeuron:
    """Any that is possible."""
    largest = draw(st.sampled_from([10, 1000, 2**20, 2**40]))
    parameters = {
        "vth": draw(st.integers(1, 50) | st.integers(1, 2**23 - 1)),
        "table": np.array(draw(st.lists(st.integers(-largest, largest), min_size=2, max_size=9))),
        "low": draw(st.integers(-99, 99) | st.integers(-(2**20), 2**20)),
        "step_bits": draw(st.integers(0, 12)),
        "fraction_bits": draw(st.integers(0, 16)),
        "shift": draw(st.integers(0, 12)),
    }
    try:
        return FunctionNeuron(**parameters, message_bits=24)
    except SpecError:
        return FunctionNeuron(**{**parameters, "table": np.clip(parameters["table"], -1000, 1000)}, message_bits=24)


@settings(deadline=None, max_examples=300)
@given(functions(), st.data())
def test_the_total_after_every_step(neuron: FunctionNeuron, data: st.DataObject) -> None:
    largest = data.draw(st.sampled_from([40, 4000, 2**22]))
    state, x, far = initial_state(neuron, (1,)), 0, False
    for t, a in enumerate(data.draw(st.lists(st.integers(-largest, largest), min_size=1, max_size=9)), start=1):
        step = neuron.step(state, np.array([a + 3]), -3)
        x, state = min(max(x + a, -(2**23)), 2**23 - 1), step.state
        far |= bool(step.saturated[0])
        assert step.capped is not None
        total: Any = neuron.total(np.array([x]), t)
        assert total.tolist() == [exact(neuron, x, t)]
        assert step.capped[0] or state.n.tolist() == total.tolist()
        assert far or abs(x) < 2**24


@pytest.mark.parametrize("t", [1, 7, MAX_STEPS])
@pytest.mark.parametrize("v", [-(2**23), -1, 0, 2**23 - 1])
def test_nothing_overflows_where_products_are_largest(v: int, t: int) -> None:
    for entries, fraction_bits, step_bits in (([-(2**36), 2**36], 0, 4), ([-(2**29), 2**29, 2**28], 8, 0)):
        neuron = table(entries, low=-9, step_bits=step_bits, fraction_bits=fraction_bits)
        assert neuron.total(np.array([v]), t).tolist() == [exact(neuron, v, t)]  # pyright: ignore[reportOptionalMemberAccess]


def test_totals_in_floats_are_as_exact_as_in_integers() -> None:
    neuron = table([0, 2**20], vth=1, low=0, step_bits=0)
    found: Any = neuron.total(torch.tensor([1.0, 2.0**20 + 1]), 2)
    assert found.dtype == torch.float64
    assert found.tolist() == [0, (2**19) * 2**21]
    assert neuron.total(np.array([3.0]), 1).tolist() == [3 * 2**20]  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vth": 0}, "vth: expected an integer from 1 to 8388607 or a positive float, found 0"),
        ({"vth": np.array([3, 2**23])}, "vth: expected an integer from 1 to 8388607 .* found 8388608 at"),
        ({"vth": -0.5}, "vth: expected .* a positive float, found -0.5"),
        ({"table": [3]}, "table: expected 2 to 65537 entries, found 1"),
        ({"table": np.zeros(65538, int)}, "table: expected 2 to 65537 entries, found 65538"),
        ({"table": [3, 0.5]}, "table: expected whole numbers, found 0.5"),
        (
            {"table": [0, 2**45]},
            "table: expected products below 2..62 in windows of up to 65,536 steps, found one of 69",
        ),
        ({"step_bits": 32}, "step_bits: expected an integer from 0 to 31, found 32"),
        ({"function": ""}, "function: expected a non-empty text"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=f"FunctionNeuron.{message}"):
        FunctionNeuron(**{"vth": 1, "table": [0, 1], "low": 0, "step_bits": 0, **changes})


def test_windows_end() -> None:
    state = State(np.array([0]), np.array([0]), MAX_STEPS)
    with pytest.raises(SpecError, match="expected windows of at most 65,536 steps, found step 65,537"):
        MAGNITUDE.step(state, np.array([0]), 0)


# What it says of itself


def test_what_it_says_of_itself() -> None:
    neuron = MAGNITUDE.replace(function="abs", vth=np.array([[[10]], [[7]]]))
    assert (neuron.describe(), MAGNITUDE.describe()) == ("FUNCTION abs", "FUNCTION")
    assert neuron.output_shape((2, 3, 4)) == (2, 3, 4)
    assert set(neuron.numbers()) == {"vth", "low", "step_bits", "fraction_bits", "shift", "message_bits"}
    assert neuron.threshold is None
    before = State(np.array([5]), np.array([2]), 4)
    assert MAGNITUDE.told(before, np.array([9]), np.array(1), (0,)) == {"v": 5, "n": 2, "a": 9, "bias": 1, "t": 4}
    assert MAGNITUDE.reach(30, 4) == 120
    assert MAGNITUDE.wanted(35) == 8 + 2 * 4 + 1
    assert MAGNITUDE.wanted(200) == 8 + 12 + 2 * 20 + 1
    assert MAGNITUDE.step_cost == Cost(additions=9, products=((24, 24), (5, 4), (5, 17)))


def test_the_mean_is_what_many_steps_come_to() -> None:
    neuron = table([-90, 0, 7, 500], vth=40, low=-8, step_bits=4, fraction_bits=3, shift=6)
    currents = np.array([-9, 3, 17, 39, 50])
    state = initial_state(neuron, (5,))
    for _ in range(2000):
        state = neuron.step(state, currents, 0).state
    expected = neuron.mean(currents * 1.0, clip=True)
    np.testing.assert_allclose(state.n / 2000, expected, atol=0.5)  # a unit of the mean input is 31 / 64
    floating = neuron.replace(vth=40.0)
    state = initial_state(floating, (5,))
    for _ in range(200):
        state = floating.step(state, currents * 1.0, 0.0).state
    np.testing.assert_allclose(state.n / 200, expected, atol=0.5 / 200)
    np.testing.assert_allclose(neuron.mean(torch.tensor(currents * 1.0), clip=True), expected)
    assert MAGNITUDE.replace(message_bits=2).mean(np.array([99.0]), clip=True).tolist() == [1]


def test_floating_point_rounds_coefficients_alone() -> None:
    neuron = table([0, 5, 4], vth=0.5, low=-2, step_bits=2, fraction_bits=2, shift=1)
    # m = 4 * v / 0.5
    assert one_step(neuron, 0.25) == (3, 0.25, 3)  # m = 2, the second entry: floor(5 / 2 + 1 / 2)
    assert one_step(neuron, 0.1875) == (2, 0.1875, 2)  # 1.5, 4.375: floor(2.69)
    assert one_step(neuron, 2.0**30)[1] == 2.0**30
    assert neuron.total(np.array([0.25]), 1) is None


def network(neuron: FunctionNeuron) -> Network:
    hidden = layer("hidden", INPUT, Scale(weight=np.array([3, -2])), neuron, bias=[[5], [-7]])
    return Network(
        input_shape=(2, 3), layers=(hidden, layer("out", "hidden", Dense(weight=np.arange(-6, 6).reshape(2, 6))))
    )


@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_settled_networks(num_steps: int) -> None:
    net = network(function_table(silu, 8, quantum_in=0.1, quantum_out=0.05, low=-8, high=8, name="silu").neuron)
    images = np.random.default_rng(0).integers(0, 256, (5, 2, 3)).astype(np.uint8)
    settled = la.settle(net, images, num_steps).v
    assert settled.tolist() == la.simulate(net, images, num_steps).v[-1].tolist()
    first = la.simulate(net, images, num_steps, presentation="first").v[-1]
    assert settled.tolist() == first.tolist()


def test_summary_plan_and_preflight() -> None:
    net = network(MAGNITUDE.replace(function="abs"))
    assert "FUNCTION abs" in net.summary()
    assert "vth 10" in net.summary().splitlines()[-1]
    assert la.plan(net).layers[0].worst_v == 4 * (3 * 255 + 7)
    assert prices(net).step > 0
    problems = [finding.problem for finding in check_loihi2(net).findings]
    assert any("divides by the number of steps, and computes with integers of up to" in text for text in problems)


# Tables of real functions


def silu(x: Any) -> Any:
    return x / (1 + np.exp(-x))


def gelu(x: Any) -> Any:
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def mish(x: Any) -> Any:
    return x * np.tanh(np.log1p(np.exp(x)))


REAL: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "silu": (silu, -8, 8),
    "gelu": (gelu, -5.5, 6),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -9, 9),
    "tanh": (np.tanh, -4, 3.3),
    "exp": (np.exp, -6, 4),
    "sqrt": (np.sqrt, 0, 9),
    "reciprocal": (lambda x: 1 / x, 0.13, 10),
    "hardswish": (lambda x: x * np.clip(x + 3, 0, 6) / 6, -7, 8),
    "mish": (mish, -8, 8),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(x)), -5, 7),
}
"""Functions, and their ranges."""


@pytest.mark.parametrize("name", REAL)
@settings(deadline=None, max_examples=60)
@given(
    fractions=st.lists(st.floats(0, 1), min_size=1, max_size=40),
    t=st.integers(1, 64),
    vth=st.integers(1, 400),
    levels=st.sampled_from([12, 60, 250]),
    coarseness=st.sampled_from([10, 100, 3000]),
    segments=st.sampled_from([2, 17, 256]),
)
def test_the_bound_holds(
    name: str, fractions: list[float], t: int, vth: int, levels: int, coarseness: int, segments: int
) -> None:
    function, low, high = REAL[name]
    quantum_in = (high - low) / levels
    quantum_out = float(np.abs(function(np.linspace(low, high, 99))).max()) / coarseness
    made = function_table(
        function, vth, quantum_in=quantum_in, quantum_out=quantum_out, low=low, high=high, segments=segments
    )
    assert len(made.neuron.table) <= segments + 1
    wanted = low + np.array([0.0, *fractions, 1.0]) * (high - low)
    x = np.rint(wanted / quantum_in * t * vth).astype(np.int64)
    mean = x * quantum_in / (t * vth)
    within = (low <= mean) & (mean <= high) & (np.abs(x) < 2**23)
    n: Any = made.neuron.total(x[within], t)
    error = np.abs(quantum_out * n / t - function(mean[within]))
    assert (error <= made.lasting + quantum_out / (2 * t)).all()
    assert made.error == made.lasting + quantum_out / 2


@pytest.mark.parametrize("vth", [1.5, np.array([1.5, 40.0])])
def test_the_bound_holds_in_floating_point_too(vth: Any) -> None:
    made = function_table(mish, vth, quantum_in=0.2, quantum_out=0.01, low=-6, high=6)
    mean = np.linspace(-6, 6, 999).reshape(-1, 1)
    for t in (1, 5, 64):
        n = made.neuron.settled(mean / 0.2 * t * vth, t)
        assert np.abs(0.01 * n / t - mish(mean)).max() <= made.lasting + 0.01 / (2 * t)


@pytest.mark.parametrize("name", sorted(set(REAL) - {"sqrt", "reciprocal"}))
def test_little_is_lost_beside_the_rounding_of_coefficients(name: str) -> None:
    function, low, high = REAL[name]
    quantum_out = float(np.abs(function(np.linspace(low, high, 99))).max()) / 128
    made = function_table(function, 127, quantum_in=0.1, quantum_out=quantum_out, low=low, high=high, name=name)
    assert made.lasting < quantum_out / 8
    assert made.neuron.function == name
    assert (made.neuron.total(np.array([0]), 9)[0] == 0) == (function(np.zeros(1))[0] == 0)  # pyright: ignore[reportOptionalSubscript]


def test_a_function_is_asked_within_its_range_only() -> None:
    asked: list[Any] = []

    def root(x: Any) -> Any:
        asked.extend([x.min(), x.max()])
        return np.sqrt(x - 0.3)

    made = function_table(root, 5, quantum_in=0.07, quantum_out=0.01, low=0.3, high=4.1)
    assert (min(asked), max(asked)) == (0.3, 4.1)
    assert made.error < 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantum_in": 0.0}, "expected quantum_in to be a positive number, found 0.0"),
        ({"quantum_out": math.inf}, "expected quantum_out to be a positive number, found inf"),
        ({"segments": 1}, "expected segments to be an integer of at least 2, found 1"),
        ({"low": 3}, r"expected low and high to be finite numbers, the first the smaller one, found \(3, 3\)"),
        ({"low": -1}, "expected finite values of shape .* from -1 to 3, found nan"),
        ({"message_bits": 3}, "the function reaches 1.73205, coefficients of 3 bits reach 0.03; use more message_bits"),
        ({"vth": 2**23}, "FunctionNeuron.vth: expected an integer from 1 to 8388607"),
    ],
)
def test_tables_that_cannot_be_made(changes: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {"vth": 1, "quantum_in": 0.1, "quantum_out": 0.01, "low": 0, "high": 3, **changes}
    with pytest.raises(SpecError, match=message):
        function_table(np.sqrt, **options)


def test_functions_of_whole_arrays() -> None:
    with pytest.raises(SpecError, match=r"expected finite values of shape \(8193,\) from 0 to 3, found shape \(\)"):
        function_table(lambda x: 1.0, 1, quantum_in=0.1, quantum_out=0.01, low=0, high=3)
