"""The compiled step equals `Neuron.step`, bit for bit; so do the compiled synapses and `Synapse.accumulate`."""

from typing import Any

import numpy as np
import pytest
import torch
from examples import EXAMPLE_NEURONS, INTEGER_SYNAPSES, name_of
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lava_aug.core.errors import SpecError
from lava_aug.core.layers import Shape, Synapse
from lava_aug.core.neurons import (
    MAX_N_MAX,
    NEURONS,
    AugmentedNeuron,
    DoubleThresholdNeuron,
    FunctionNeuron,
    MaxPoolNeuron,
    Neuron,
    RateNeuron,
    State,
    initial_state,
)
from lava_aug.kernels import samples
from lava_aug.kernels.compiled import (
    COMPILED,
    CompiledPopulation,
    compiled_population,
    is_compiled,
)
from lava_aug.kernels.counting import CAPPED, EVENTS, LARGEST, SATURATED, SPIKE_SUM, count, fan_out_of
from lava_aug.kernels.samples import SampleKernel

INTEGER_NEURONS = [neuron for neuron in EXAMPLE_NEURONS if not neuron.is_float and type(neuron) in COMPILED]
BATCH, SIZE = 2, 16


def maybe_each(values: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    """One for all neurons, or one for each."""
    return values | st.lists(values, min_size=SIZE, max_size=SIZE).map(np.array)


@st.composite
def neurons(draw: st.DrawFn) -> Neuron:
    """Any threshold neuron with any options, extreme ones among them."""
    kind = draw(st.sampled_from([RateNeuron, DoubleThresholdNeuron, AugmentedNeuron]))
    vth = draw(maybe_each(st.sampled_from([1, 2, 3, 7, 100, 5000, 2**22, 2**23 - 1])))
    options: dict[str, object] = {"vth": vth, "v0": draw(st.none() | maybe_each(st.integers(-(2**23), 2**23 - 1)))}
    options["n_max"] = draw(st.none() | maybe_each(st.integers(1, 50) | st.integers(1, MAX_N_MAX)))
    if kind is not RateNeuron:
        options["vth_lo"] = draw(st.just(-vth) | maybe_each(st.sampled_from([-1, -5])))
        options["signed"] = draw(st.booleans())
    if kind is AugmentedNeuron:
        options["message_bits"] = draw(st.integers(2, 16))
    return kind(**options)  # pyright: ignore[reportArgumentType]


def courses(neuron: Neuron, scale: int, bias_scale: int, seed: int, shape: Shape = (SIZE,), num_steps: int = 8) -> None:
    """Let both run side by side and compare everything in every step."""
    rng = np.random.default_rng(seed)
    bias = rng.integers(-bias_scale, bias_scale, shape) if neuron.takes_bias else np.zeros(shape, int)
    fast = compiled_population(neuron, shape, BATCH, bias if neuron.takes_bias else None)
    start = initial_state(neuron, shape)
    state = State(np.stack([start.v] * BATCH), np.stack([start.n] * BATCH))
    for t in range(1, num_steps + 1):
        a = rng.integers(-scale, scale + 1, (BATCH, *shape))
        if hasattr(neuron, "vth"):
            a[0] = neuron.vth * rng.integers(-2, 4, shape) - state.v[0] - bias  # pyright: ignore  # on the thresholds
            a[0] += rng.integers(-1, 2, shape)
        step = neuron.step(state, a, bias)
        rows = a.reshape(BATCH, -1).astype(np.float32 if np.abs(a).max() <= 2**24 else np.float64)
        for part in (slice(0, 1), slice(1, BATCH)):
            fast.step(rows, t, part)
        state = step.state
        capped = np.zeros((BATCH, 1)) if step.capped is None else step.capped
        s, saturated, capped = (np.asarray(found).reshape(BATCH, -1) for found in (step.s, step.saturated, capped))
        expected = {
            EVENTS: (s != 0).sum(1),
            SPIKE_SUM: np.abs(s).sum(1),
            SATURATED: saturated.sum(1),
            CAPPED: capped.sum(1),
            LARGEST: np.abs(s).max(1),
        }
        np.testing.assert_array_equal(fast.v, state.v.reshape(BATCH, -1))
        np.testing.assert_array_equal(fast.n, state.n.reshape(BATCH, -1))
        np.testing.assert_array_equal(fast.s, s)
        for column, counts in expected.items():
            np.testing.assert_array_equal(fast.counts[:, column], counts)


@settings(max_examples=400, deadline=None)
@given(neurons(), st.sampled_from([5, 300, 10**6, 2**24, 2**31]), st.sampled_from([9, 2**23]), st.integers(0, 10**6))
@example(AugmentedNeuron(vth=2**23 - 1, vth_lo=-(2**23)), 2**24, 2**23, 0)
def test_the_compiled_step_is_the_step(neuron: Neuron, scale: int, bias_scale: int, seed: int) -> None:
    courses(neuron, scale, bias_scale, seed)


@pytest.mark.parametrize("neuron", INTEGER_NEURONS, ids=name_of)
def test_every_example_has_a_compiled_step(neuron: Neuron) -> None:
    for scale in (20, 2**23):
        courses(neuron, scale, 9, seed=scale)


@settings(max_examples=200, deadline=None)
@given(
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.none() | st.tuples(st.integers(1, 4), st.integers(1, 4)),
    half=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    ceil_mode=st.booleans(),
    message_bits=st.integers(2, 16),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)),
    scale=st.sampled_from([1, 300, 2**24, 2**31]),
    seed=st.integers(0, 10**6),
)
def test_compiled_max_pooling_is_max_pooling(
    size: Any, stride: Any, half: Any, dilation: Any, shape: Any, scale: int, seed: int, **options: Any
) -> None:
    padding = tuple(min(p, (d * (k - 1) + 1) // 2) for p, k, d in zip(half, size, dilation, strict=True))
    neuron = MaxPoolNeuron(kernel_size=size, stride=stride, padding=padding, dilation=dilation, **options)
    try:
        neuron.output_shape(shape)
    except SpecError:
        assume(False)
    courses(neuron, scale, 1, seed, shape)


def test_max_pooling_in_floating_point_has_no_limits() -> None:
    fast = compiled_population(MaxPoolNeuron(kernel_size=(1, 2), floating=True), (1, 4), 1, None)
    fast.step(np.array([[2.0**25, -0.5, -3.25, -7.0]], np.float32), 1)
    assert fast.v.tolist() == [[2.0**25, -0.5, -3.25, -7.0]]
    assert fast.n.tolist() == [[32767.0, -3.25]]


@settings(max_examples=150, deadline=None)
@given(
    vth=maybe_each(st.sampled_from([1, 3, 40, 5000, 2**23 - 1])),
    entries=st.lists(st.integers(-900, 900) | st.integers(-(2**30), 2**30), min_size=2, max_size=6),
    low=st.integers(-(2**12), 2**12),
    bits=st.tuples(st.integers(0, 12), st.integers(0, 7), st.integers(0, 12)),
    message_bits=st.integers(2, 16),
    scale=st.sampled_from([5, 300, 10**6, 2**24, 2**31]),
    seed=st.integers(0, 10**6),
)
def test_compiled_functions_are_functions(
    vth: Any, entries: list[int], low: int, bits: tuple[int, int, int], message_bits: int, scale: int, seed: int
) -> None:
    step_bits, fraction_bits, shift = bits
    try:
        neuron = FunctionNeuron(
            vth=vth,
            table=np.array(entries),
            low=low,
            step_bits=step_bits,
            fraction_bits=fraction_bits,
            shift=shift,
            message_bits=message_bits,
        )
    except SpecError:
        assume(False)
        return
    courses(neuron, scale, 9, seed)


def test_compiled_functions_in_floating_point() -> None:
    """Of numbers that float32 holds exactly."""
    neuron = FunctionNeuron(vth=0.5, table=np.array([-40, 0, 40, 56]), low=-16, step_bits=4, fraction_bits=2, shift=3)
    fast, state = compiled_population(neuron, (5,), 1, None), initial_state(neuron, (5,))
    for t in (1, 2, 4):
        a = np.array([[-3.25, 0.5, 2.0**20, 7.75, -0.25]]) * t
        state = neuron.step(state._replace(t=t - 1), a[0], 0).state
        fast.step(a.astype(np.float32), t)
        assert (fast.v[0].tolist(), fast.n[0].tolist()) == (state.v.tolist(), state.n.tolist())


def test_what_may_be_compiled() -> None:
    assert set(COMPILED) <= set(NEURONS.values())
    assert {RateNeuron, DoubleThresholdNeuron, AugmentedNeuron, MaxPoolNeuron, FunctionNeuron} < set(COMPILED)


def test_long_windows_are_left_to_the_step() -> None:
    neuron = AugmentedNeuron(vth=3, message_bits=16)
    assert is_compiled(neuron, 512)
    assert not is_compiled(neuron, 513)


def test_reset_starts_a_window() -> None:
    fast = CompiledPopulation(AugmentedNeuron(vth=10), (2,), 1, None)
    fast.step(np.array([[37, -4]], np.float32), 1)
    assert (fast.v.tolist(), fast.n.tolist(), fast.s.tolist()) == ([[2, 1]], [[4, 0]], [[4, 0]])
    fast.reset()
    assert (fast.v.tolist(), fast.n.tolist()) == ([[5, 5]], [[0, 0]])


@pytest.mark.parametrize("make", [np.array, torch.tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("dtype", ["int64", "float32", "float64"])
def test_counts_by_hand(make: Any, dtype: str) -> None:
    module = {np.array: np, torch.tensor: torch}[make]
    s = make([[[0, -3], [1, 0]], [[0, 0], [0, 0]], [[1, 1], [-1, 1]]], dtype=getattr(module, dtype))
    saturated, capped = make([[True, True], [False, True], [False, False]]), make([[True], [False], [True]])
    found = count(s, saturated, capped)
    assert found.dtype == np.int64
    assert {column: found[:, column].tolist() for column in range(5)} == {
        EVENTS: [2, 0, 4],
        SPIKE_SUM: [4, 0, 4],
        SATURATED: [2, 1, 0],
        CAPPED: [1, 0, 1],
        LARGEST: [3, 3, 3],
    }
    assert count(s)[:, [SATURATED, CAPPED]].tolist() == [[0, 0]] * 3
    for weights, uniform, expected in (([7, 7, 7, 7], 7, [14, 0, 28]), ([1000, 100, 20, 3], None, [120, 0, 1123])):
        out = fan_out_of(np.array(weights).reshape(2, 2))
        assert out.uniform == uniform
        assert out._replace(weights=make(out.weights)).operations(s, found[:, EVENTS]).tolist() == expected


def test_sums_beyond_float32_are_exact() -> None:
    s = torch.full((1, 3, 5001), float(2**15 - 1))
    assert count(s)[0, SPIKE_SUM] == count(s.numpy())[0, SPIKE_SUM] == 3 * 5001 * (2**15 - 1)


@pytest.mark.parametrize(("synapse", "shape"), INTEGER_SYNAPSES, ids=name_of)
@pytest.mark.parametrize("activity", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("largest", [1, 200, 2**20])
def test_kernels_are_exact(synapse: Synapse, shape: Shape, activity: float, largest: int) -> None:
    """Event by event or by BLAS, in float32 or float64: whichever the kernel picks."""
    rng = np.random.default_rng(0)
    kernel = SampleKernel(synapse, shape)
    for _ in range(3):
        s = rng.integers(-largest, largest + 1, shape) * (rng.random(shape) < activity)
        np.testing.assert_array_equal(kernel(s), synapse.accumulate(s[None])[0])
        np.testing.assert_array_equal(kernel(s.astype(np.float32)), synapse.accumulate(s[None])[0])


def test_few_events_take_the_event_kernel_and_many_do_not() -> None:
    synapse, shape = next(
        (synapse, shape) for synapse, shape in INTEGER_SYNAPSES if samples.event_form(synapse, shape) is not None
    )
    kernel, size = SampleKernel(synapse, shape), int(np.prod(shape))
    assert kernel.by_event is not None
    s = np.ones(shape, np.float32)
    kernel(s, 1, int(kernel.by_event.break_even * size) - 1 if kernel.by_event.break_even * size >= 1 else 0)
    assert kernel.dense == {}
    kernel(s, 1, size)
    assert set(kernel.dense) == {32}
