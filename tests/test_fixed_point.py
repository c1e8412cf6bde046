"""Integer primitives at every boundary, against Python ints, in every carrier."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from examples import DEVICES
from hypothesis import given
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode

from lava_aug.core.fixed_point import (
    MAX_MESSAGE_BITS,
    MESSAGE_BITS,
    PORT_BITS,
    STATE_BITS,
    WEIGHT_BITS,
    carried,
    cast_like,
    exact_bits,
    floor_div,
    saturate,
    signed_range,
    smallest_int,
    symmetric_limit,
)

TOP = 2**23 - 1
BOTTOM = -(2**23)

Carrier = Callable[[list[int]], Any]

CARRIERS: dict[str, Carrier] = {
    "numpy int32": lambda x: np.array(x, np.int32),
    "numpy int64": lambda x: np.array(x, np.int64),
    "numpy float32": lambda x: np.array(x, np.float32),
    "numpy float64": lambda x: np.array(x, np.float64),
    "torch int32": lambda x: torch.tensor(x, dtype=torch.int32),
    "torch int64": lambda x: torch.tensor(x, dtype=torch.int64),
    **{f"torch float32 {d}": lambda x, d=d: torch.tensor(x, dtype=torch.float32, device=d) for d in DEVICES},
    **{f"torch float64 {d}": lambda x, d=d: torch.tensor(x, dtype=torch.float64, device=d) for d in DEVICES},
}

each_carrier = pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS.keys())

DIVISORS = [1, 2, 3, 7, 10, 41, 47, 55, 127, 255, 4095, 4096, 4097, 2**22 - 1, 2**22 + 1, TOP - 1, TOP]
DIVIDENDS = [BOTTOM, BOTTOM + 1, -(2**22), -4097, -42, -41, -2, -1, 0, 1, 2, 40, 41, 42, 82, 4097, 2**22, TOP, 2**23]


def values(x: Any) -> list[int]:
    """The elements as Python ints; fails on any that is none."""
    found = x.tolist()
    assert all(item == int(item) for item in found)
    return [int(item) for item in found]


def keeps_format(found: Any, x: Any) -> bool:
    """Same kind of array and number format; numpy 1.26 widens float32 next to an int of more than 16 bits."""
    return type(found) is type(x) and found.dtype in (
        {x.dtype, np.dtype(np.float64)} if x.dtype == np.float32 else {x.dtype}
    )


@pytest.mark.parametrize(
    ("bits", "low", "high"),
    [(2, -2, 1), (4, -8, 7), (8, -128, 127), (16, -32768, 32767), (24, -8388608, 8388607), (32, -(2**31), 2**31 - 1)],
)
def test_ranges(bits: int, low: int, high: int) -> None:
    assert signed_range(bits) == (low, high)
    assert symmetric_limit(bits) == high


def test_widths() -> None:
    assert (STATE_BITS, MESSAGE_BITS, MAX_MESSAGE_BITS, WEIGHT_BITS, PORT_BITS) == (24, 16, 24, 8, 32)


@each_carrier
def test_saturate_clips_to_24_bits(carrier: Carrier) -> None:
    x = [-(2**24), BOTTOM - 1, BOTTOM, BOTTOM + 1, -1, 0, 1, TOP - 1, TOP, TOP + 1, 2**24]
    given_x = carrier(x)
    found = saturate(given_x)
    assert values(found) == [BOTTOM, BOTTOM, BOTTOM, BOTTOM + 1, -1, 0, 1, TOP - 1, TOP, TOP, TOP]
    assert keeps_format(found, given_x)
    assert values(given_x) == x  # not in place


@each_carrier
def test_saturate_clips_to_other_widths(carrier: Carrier) -> None:
    assert values(saturate(carrier([-9, -8, -7, 0, 6, 7, 8]), bits=4)) == [-8, -8, -7, 0, 6, 7, 7]


@each_carrier
@pytest.mark.parametrize("y", DIVISORS)
def test_floor_div_at_boundaries(carrier: Carrier, y: int) -> None:
    x = carrier(DIVIDENDS)
    found = floor_div(x, y)
    assert values(found) == [item // y for item in DIVIDENDS]
    assert keeps_format(found, x)


@each_carrier
@pytest.mark.parametrize("y", DIVISORS)
def test_floor_div_next_to_multiples(carrier: Carrier, y: int) -> None:
    most = 2**23 // y
    factors = sorted({f for near in (0, 1, 2, most // 3, most // 2, most - 1, most) for f in (near, -near)})
    x = [f * y + offset for f in factors for offset in (-1, 0, 1) if abs(f * y + offset) <= 2**23]
    assert values(floor_div(carrier(x), y)) == [item // y for item in x]


@given(st.data(), st.integers(1, TOP - 1))
def test_floor_div_in_float32_is_exact(data: st.DataObject, y: int) -> None:
    near = st.builds(
        lambda k, offset: k * y + offset, st.integers(-(2**23) // y, 2**23 // y), st.sampled_from([-1, 0, 1])
    )
    anywhere = st.integers(-(2**23), 2**23)
    x = [max(-(2**23), min(2**23, item)) for item in data.draw(st.lists(near | anywhere, min_size=1, max_size=30))]
    expected = [item // y for item in x]
    assert values(floor_div(np.array(x, np.float32), y)) == expected
    assert values(floor_div(torch.tensor(x, dtype=torch.float32), y)) == expected
    assert values(floor_div(np.array(x, np.float64), y)) == expected


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("y", [3, 41, 47, 1000, TOP])
def test_floor_div_of_all_multiples(device: str, y: int) -> None:
    k = torch.arange(-(2**23) // y + 1, 2**23 // y + 1)
    x = (k * y).to(device, torch.float32)
    assert torch.equal(floor_div(x, y).cpu().to(torch.int64), k)
    assert torch.equal(floor_div(x - 1, y).cpu().to(torch.int64), k - 1)


class ReciprocalDivision(TorchFunctionMode):
    """Divides a tensor by a Python number as torch's CUDA kernel does: times the rounded reciprocal."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.div, torch.Tensor.__truediv__, torch.div) and isinstance(args[1], (int, float)):
            return args[0] * (1 / torch.tensor(float(args[1]), dtype=args[0].dtype))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("y", [41, 47, 55])
def test_floor_div_where_numbers_divide_by_their_reciprocal(y: int) -> None:
    k = torch.arange(1000)
    x = (k * y).to(torch.float32)
    with ReciprocalDivision():
        assert not torch.equal((x / y).floor(), k.to(torch.float32))  # the trap is there
        assert torch.equal(floor_div(x, y), k.to(torch.float32))


def test_floor_div_by_a_tensor() -> None:
    x, y = torch.tensor([-7.0, 7.0, 8.0]), torch.tensor([2.0, 7.0, 9.0])
    assert values(floor_div(x, y)) == [-4, 1, 0]


def test_floor_div_of_numpy_scalars() -> None:
    assert floor_div(np.int64(-7), 2) == -4
    assert floor_div(np.float64(7.5), 0.5) == 15.0


@each_carrier
def test_cast_like_gives_zeros_and_ones(carrier: Carrier) -> None:
    like = carrier([-3, 0, 7])
    found = cast_like(like >= 0, like)
    assert values(found) == [0, 1, 1]
    assert found.dtype == like.dtype


def test_cast_like_of_numpy_scalars() -> None:
    one = np.int64(3)
    found = cast_like(one > 2, one)
    assert (found, found.dtype) == (1, np.int64)


@pytest.mark.parametrize(
    ("bound", "bits"),
    [(0, 32), (1, 32), (2**24 - 1, 32), (2**24, 32), (2**24 + 1, 64), (2**53, 64), (2**53 + 1, None), (2**70, None)],
)
def test_exact_bits(bound: int, bits: int | None) -> None:
    assert exact_bits(bound) == bits


@pytest.mark.parametrize(("bits", "dtype"), [(32, np.float32), (64, np.float64)])
def test_exact_bits_are_the_significands(bits: int, dtype: type) -> None:
    largest = 2**24 if bits == 32 else 2**53
    assert exact_bits(largest) == bits
    assert int(dtype(largest - 1)) == largest - 1
    assert int(dtype(largest + 1)) != largest + 1


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 0, np.int8),
        (-128, 127, np.int8),
        (-129, 0, np.int16),
        (0, 128, np.int16),
        (-(2**15), 2**15 - 1, np.int16),
        (-(2**15) - 1, 0, np.int32),
        (0, 2**15, np.int32),
        (-(2**31), 2**31 - 1, np.int32),
        (-(2**31) - 1, 0, np.int64),
        (0, 2**31, np.int64),
        (-(2**63), 2**63 - 1, np.int64),
    ],
)
def test_smallest_int(low: int, high: int, dtype: type) -> None:
    found = smallest_int(np.array([low, high]))
    assert found.dtype == dtype
    assert found.tolist() == [low, high]


def test_smallest_int_of_nothing() -> None:
    assert smallest_int(np.zeros((0, 3), np.int64)).dtype == np.int8


def test_smallest_int_never_wraps() -> None:
    assert smallest_int(np.array([2**63 - 1], np.uint64)).tolist() == [2**63 - 1]
    with pytest.raises(OverflowError, match="integers from 0 to 9223372036854775808 do not fit into 64 bits"):
        smallest_int(np.array([0, 2**63], np.uint64))


@pytest.mark.parametrize("name", CARRIERS)
def test_parameters_are_carried_as_the_state_is(name: str) -> None:
    state = CARRIERS[name]([1, 2, 3])
    found = carried(np.array([100, TOP, -1], np.int32), state)
    assert (type(found), found.dtype, found.tolist()) == (type(state), state.dtype, [100, TOP, -1])
    assert carried(7, state) == 7
