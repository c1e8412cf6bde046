"""Each neuron by hand: at its thresholds, at its bounds, at saturation."""

import numpy as np
import pytest
from examples import EXAMPLE_NEURONS, EXAMPLE_POPULATIONS

from lava_aug.core.neurons import (
    NEURONS,
    AugmentedNeuron,
    DoubleThresholdNeuron,
    Neuron,
    RateNeuron,
    ReadoutNeuron,
    State,
    Step,
    initial_state,
)

TOP = 2**23 - 1
BOTTOM = -(2**23)


def one_step(neuron: Neuron, v: float, n: int, a: float = 0, bias: float = 0, t: int = 0) -> tuple[float, float, int]:
    """``(s, v, n)`` after one step from the state ``(v, n)`` after ``t`` steps."""
    dtype = np.float64 if neuron.is_float else np.int64
    step = neuron.step(State(np.array([v], dtype), np.array([n], dtype), t), np.array([a], dtype), bias)
    return step.s[0], step.state.v[0], step.state.n[0]


def trace(neuron: Neuron, currents: list[float], bias: float = 0) -> list[tuple[float, float, int]]:
    """``(s, v, n)`` after every step from the start of a window."""
    state = initial_state(neuron, ())
    v, n, found = state.v.item(), state.n.item(), []
    for t, a in enumerate(currents):
        s, v, n = one_step(neuron, v, n, a, bias, t)
        found.append((s, v, n))
    return found


def test_every_registered_neuron_has_an_example() -> None:
    assert {type(neuron) for neuron, _ in EXAMPLE_POPULATIONS} == set(NEURONS.values())
    assert {"IF", "DTIF", "AUGIF", "READOUT", "MAXPOOL"} <= set(NEURONS)  # files have these names


@pytest.mark.parametrize(
    ("v", "n", "expected"),
    [
        (10, 0, (1, 0, 1)),
        (9, 0, (0, 9, 0)),
        (35, 4, (1, 25, 5)),
        (0, 0, (0, 0, 0)),
        (-1, 3, (0, -1, 3)),
        (-50, 3, (0, -50, 3)),
    ],
)
def test_rate_neuron(v: int, n: int, expected: tuple[int, int, int]) -> None:
    assert one_step(RateNeuron(vth=10), v, n) == expected


@pytest.mark.parametrize(
    ("v", "n", "expected"),
    [
        (10, 0, (1, 0, 1)),  # v == vth
        (9, 0, (0, 9, 0)),
        (35, 0, (1, 25, 1)),
        (-1, 1, (-1, 9, 0)),  # v == vth_lo
        (0, 1, (0, 0, 1)),  # v == vth_lo + 1
        (-1, 0, (0, -1, 0)),  # nothing to take back
        (-25, 2, (-1, -15, 1)),
    ],
)
def test_double_threshold_neuron(v: int, n: int, expected: tuple[int, int, int]) -> None:
    assert one_step(DoubleThresholdNeuron(vth=10), v, n) == expected


@pytest.mark.parametrize(
    ("v", "n", "expected"),
    [
        (10, 0, (1, 0, 1)),
        (9, 0, (0, 9, 0)),
        (19, 0, (1, 9, 1)),
        (20, 0, (2, 0, 2)),
        (35, 4, (3, 5, 7)),
        (-1, 1, (-1, 9, 0)),
        (0, 1, (0, 0, 1)),
        (-1, 0, (0, -1, 0)),
        (-10, 9, (-1, 0, 8)),
        (-11, 9, (-2, 9, 7)),
        (-25, 2, (-2, -5, 0)),  # no more than was sent
        (-25, 3, (-3, 5, 0)),
        (-25, 9, (-3, 5, 6)),
    ],
)
def test_augmented_neuron(v: int, n: int, expected: tuple[int, int, int]) -> None:
    assert one_step(AugmentedNeuron(vth=10), v, n) == expected


@pytest.mark.parametrize(
    ("v", "n", "expected"),
    [(-9, 5, (0, -9, 5)), (-10, 5, (-1, 0, 4)), (-19, 5, (-1, -9, 4)), (-20, 5, (-2, 0, 3)), (10, 5, (1, 0, 6))],
)
def test_symmetric_pair_augmented(v: int, n: int, expected: tuple[int, int, int]) -> None:
    assert one_step(AugmentedNeuron(vth=10, vth_lo=-10), v, n) == expected


@pytest.mark.parametrize(
    ("v", "n", "expected"), [(-9, 5, (0, -9, 5)), (-10, 5, (-1, 0, 4)), (-20, 5, (-1, -10, 4)), (-10, 0, (0, -10, 0))]
)
def test_symmetric_pair_double_threshold(v: int, n: int, expected: tuple[int, int, int]) -> None:
    assert one_step(DoubleThresholdNeuron(vth=10, vth_lo=-10), v, n) == expected


def test_signed_neurons_take_back_what_they_never_sent() -> None:
    assert one_step(DoubleThresholdNeuron(vth=10, signed=True), -25, 0) == (-1, -15, -1)
    assert one_step(AugmentedNeuron(vth=10, signed=True), -25, 0) == (-3, 5, -3)
    assert one_step(AugmentedNeuron(vth=1, signed=True), -25, 0) == (-25, 0, -25)
    assert one_step(AugmentedNeuron(vth=1, signed=True), 25, -3) == (25, 0, 22)


@pytest.mark.parametrize(
    ("neuron", "expected"),
    [
        (RateNeuron(vth=10, n_max=1), [(1, 50, 1), (1, 40, 2), (1, 30, 3)]),
        (DoubleThresholdNeuron(vth=10, n_max=1), [(1, 50, 1), (1, 40, 2), (1, 30, 3)]),
        (AugmentedNeuron(vth=10, n_max=1), [(1, 50, 1), (1, 40, 2), (1, 30, 3)]),
        (AugmentedNeuron(vth=10, n_max=2), [(2, 40, 2), (2, 20, 4), (2, 0, 6)]),
        (AugmentedNeuron(vth=10, n_max=4), [(4, 20, 4), (2, 0, 6), (0, 0, 6)]),
    ],
)
def test_n_max_bounds_the_mean(neuron: Neuron, expected: list[tuple[int, int, int]]) -> None:
    assert trace(neuron, [55, 0, 0]) == expected


def test_steps_without_input_make_room_below_n_max() -> None:
    assert trace(AugmentedNeuron(vth=10, n_max=2), [0, 0, 95]) == [(0, 5, 0), (0, 5, 0), (6, 40, 6)]


def test_above_n_max_the_excess_is_paid_back_first() -> None:
    assert trace(AugmentedNeuron(vth=10, n_max=2), [55, -41, -1]) == [(2, 40, 2), (-1, 9, 1), (0, 8, 1)]
    assert trace(AugmentedNeuron(vth=10, n_max=2), [55, -20, -21]) == [(2, 40, 2), (2, 0, 4), (-3, 9, 1)]


def test_time_is_counted_from_the_start_of_the_window() -> None:
    neuron = AugmentedNeuron(vth=10, n_max=2)
    state = initial_state(neuron, (1,))
    assert state.t == 0
    for t in range(1, 4):
        state = neuron.step(state, np.array([99]), 0).state
        assert (state.t, state.n.tolist()) == (t, [2 * t])


def test_windows_by_hand() -> None:
    assert trace(RateNeuron(vth=10), [4, 4, -9, 20], bias=1) == [(1, 0, 1), (0, 5, 1), (0, -3, 1), (1, 8, 2)]
    assert trace(DoubleThresholdNeuron(vth=10), [14, 4, -29, 0], bias=1) == [
        (1, 10, 1),
        (1, 5, 2),
        (-1, -13, 1),
        (-1, -2, 0),
    ]
    assert trace(AugmentedNeuron(vth=10), [34, 4, -39, 50], bias=1) == [(4, 0, 4), (0, 5, 4), (-4, 7, 0), (5, 8, 5)]
    assert trace(ReadoutNeuron(), [5, -9, 3], bias=2) == [(0, 7, 0), (0, 0, 0), (0, 5, 0)]


@pytest.mark.parametrize(
    ("neuron", "v", "expected", "capped"),
    [
        (AugmentedNeuron(vth=1, message_bits=4), 7, (7, 0, 7), False),
        (AugmentedNeuron(vth=1, message_bits=4), 8, (7, 1, 7), True),
        (AugmentedNeuron(vth=1, message_bits=4, signed=True), -7, (-7, 0, -7), False),
        (AugmentedNeuron(vth=1, message_bits=4, signed=True), -8, (-7, -1, -7), True),
        (AugmentedNeuron(vth=1, message_bits=2), 3, (1, 2, 1), True),
        (AugmentedNeuron(vth=1, message_bits=4, n_max=7), 8, (7, 1, 7), False),  # n_max came first
        (AugmentedNeuron(vth=1), 32767, (32767, 0, 32767), False),
        (AugmentedNeuron(vth=1), 32768, (32767, 1, 32767), True),
        (AugmentedNeuron(vth=1, message_bits=24), TOP, (TOP, 0, TOP), False),
        (AugmentedNeuron(vth=1, message_bits=24, signed=True), BOTTOM, (-TOP, -1, -TOP), True),
    ],
)
def test_payload_width(neuron: Neuron, v: int, expected: tuple[int, int, int], capped: bool) -> None:
    assert one_step(neuron, v, 0) == expected
    step = neuron.step(State(np.array([v]), np.array([0])), np.array([0]), 0)
    assert step.capped is not None
    assert step.capped.tolist() == [capped]


def test_what_exceeds_the_payload_follows_in_the_next_step() -> None:
    assert trace(AugmentedNeuron(vth=1, v0=0, message_bits=3), [7, 0, 0]) == [(3, 4, 3), (3, 1, 6), (1, 0, 7)]


def test_capped_is_counted_for_each_neuron() -> None:
    step = AugmentedNeuron(vth=1, message_bits=3).step(
        State(np.array([3, 4, 9]), np.zeros(3, int)), np.zeros(3, int), 0
    )
    assert step.capped is not None
    assert step.capped.tolist() == [False, True, True]
    assert step.s.tolist() == [3, 3, 3]


@pytest.mark.parametrize("neuron", [RateNeuron(vth=10), DoubleThresholdNeuron(vth=10), ReadoutNeuron()])
def test_neurons_without_payload_cannot_be_capped(neuron: Neuron) -> None:
    assert neuron.step(initial_state(neuron, (2,)), np.array([500, 500]), 0).capped is None


@pytest.mark.parametrize(
    ("v", "a", "bias", "clipped", "saturated"),
    [
        (TOP - 1, 1, 0, TOP, False),
        (TOP - 1, 1, 1, TOP, True),
        (TOP, 2**30, 5, TOP, True),
        (BOTTOM + 1, -1, 0, BOTTOM, False),
        (BOTTOM + 1, -1, -1, BOTTOM, True),
        (BOTTOM, -(2**30), -5, BOTTOM, True),
        (TOP, 5, -5, TOP, False),  # only the sum counts
    ],
)
def test_saturation_at_24_bits(v: int, a: int, bias: int, clipped: int, saturated: bool) -> None:
    state = State(np.array([v]), np.array([0]))
    quiet = ReadoutNeuron().step(state, np.array([a]), bias)
    assert (quiet.state.v.tolist(), quiet.saturated.tolist()) == ([clipped], [saturated])
    for neuron in (RateNeuron(vth=TOP), DoubleThresholdNeuron(vth=TOP), AugmentedNeuron(vth=TOP)):
        step = neuron.step(state, np.array([a]), bias)
        fired = int(clipped == TOP)
        assert step.saturated.tolist() == [saturated]
        assert (step.s.tolist(), step.state.v.tolist()) == ([fired], [clipped - fired * TOP])


def test_largest_parameters_do_not_overflow() -> None:
    neuron = AugmentedNeuron(vth=TOP, vth_lo=BOTTOM, v0=TOP, signed=True)
    assert trace(neuron, [0, BOTTOM, 0]) == [(1, 0, 1), (-1, -1, 0), (0, -1, 0)]


def test_floating_point_neurons() -> None:
    neuron = AugmentedNeuron(vth=0.5)
    assert neuron.vth_lo == -(2.0**-17)
    assert neuron.initial() == (0.25, 0)
    assert trace(neuron, [1.5, -2.0]) == [(3, 0.25, 3), (-3, -0.25, 0)]
    assert trace(neuron, [0.25, -(2.0**-18)]) == [(1, 0.0, 1), (0, -(2.0**-18), 1)]  # above vth_lo
    assert trace(neuron, [0.25, -(2.0**-17)]) == [(1, 0.0, 1), (-1, 0.5 - 2.0**-17, 0)]  # at vth_lo
    assert trace(RateNeuron(vth=0.5, v0=0), [0.25, 0.25, 2.0]) == [(0, 0.25, 0), (1, 0.0, 1), (1, 1.5, 2)]
    assert trace(DoubleThresholdNeuron(vth=0.5, vth_lo=-0.5), [0.25, -0.25, -0.25]) == [
        (1, 0.0, 1),
        (0, -0.25, 1),
        (-1, 0.0, 0),
    ]


def test_floating_point_does_not_saturate() -> None:
    for neuron in (RateNeuron(vth=1.0), ReadoutNeuron(floating=True)):
        step: Step = neuron.step(initial_state(neuron, (1,)), np.array([2.0**30]), 0.0)
        assert step.saturated.tolist() == [False]
        assert step.state.v[0] + step.s[0] == 2.0**30 + neuron.initial()[0]


@pytest.mark.parametrize("neuron", EXAMPLE_NEURONS)
def test_initial_state(neuron: Neuron) -> None:
    v0, n0 = neuron.initial()
    state = initial_state(neuron, (2, 3))
    dtype = np.float64 if neuron.is_float else np.int64
    assert (state.v.tolist(), state.n.tolist()) == ([[v0] * 3] * 2, [[n0] * 3] * 2)
    assert (state.v.dtype, state.n.dtype) == (dtype, dtype)


def test_one_neuron_without_axes() -> None:
    neuron = AugmentedNeuron(vth=10)
    step = neuron.step(initial_state(neuron, ()), np.array(37), 0)
    assert (step.s, step.state.v, step.state.n) == (4, 2, 4)
