"""Scales are the largest that fit, by brute force; rounding at ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lava_aug.conversion.quantize import MAX_SCALE, check_scale, integer_scale, power_of_two, rounded
from lava_aug.core.errors import ConversionError

BIAS_LIMIT = 2**23 - 1

MAGNITUDES = st.floats(1e-7, 1e9) | st.sampled_from([1e-6, 0.5, 1.0, 127.0, 127.5, 128.0, 127 / MAX_SCALE, 1 / 3])


def fits(weight: np.ndarray, bias: np.ndarray | None, bits: int, scale: int) -> bool:
    """Whether integers at that scale stay within their limits, element by element."""
    weights_fit = all(abs(int(np.rint(w * scale))) <= 2 ** (bits - 1) - 1 for w in weight.ravel())
    return weights_fit and (bias is None or all(abs(int(np.rint(b * scale))) <= BIAS_LIMIT for b in bias.ravel()))


@settings(deadline=None)
@given(
    weights=st.lists(st.tuples(MAGNITUDES, st.sampled_from([-1.0, 0.0, 1.0])), min_size=1, max_size=5),
    biases=st.none() | st.lists(st.floats(-1e8, 1e8), min_size=1, max_size=3),
    bits=st.integers(2, 16),
)
def test_scale_is_the_largest_that_fits(
    weights: list[tuple[float, float]], biases: list[float] | None, bits: int
) -> None:
    weight = np.array([magnitude * sign for magnitude, sign in weights])
    bias = None if biases is None else np.array(biases)
    scale = integer_scale(weight, bias, bits)
    assert 0 <= scale <= MAX_SCALE
    assert scale == 0 or fits(weight, bias, bits, scale)
    assert scale == MAX_SCALE or not fits(weight, bias, bits, scale + 1)


@pytest.mark.parametrize(
    ("weight", "bias", "bits", "scale"),
    [
        ([0.5, -1.0], None, 8, 127),
        ([1.0], None, 2, 1),
        ([1.0], None, 16, 32767),
        ([-0.25], None, 8, 509),  # 127.25 rounds to 127; at 510, 127.5 is a tie and rounds to the even 128
        ([127.4], None, 8, 1),
        ([127.5], None, 8, 0),
        ([1.0], [BIAS_LIMIT / 100], 8, 100),
        ([1.0], [0.0, -BIAS_LIMIT / 100], 8, 100),
        ([1.0], [BIAS_LIMIT], 8, 1),
        ([1.0], [BIAS_LIMIT + 1], 8, 0),
        ([0.0, 0.0], None, 8, 2**20),
        ([0.0], [0.0], 8, MAX_SCALE),
        ([0.0], [10.0], 8, BIAS_LIMIT // 10),
        ([127 / MAX_SCALE], None, 8, MAX_SCALE),
        ([1e-30], None, 8, MAX_SCALE),
        ([1e300], None, 8, 0),
    ],
)
def test_scale_of(weight: list[float], bias: list[float] | None, bits: int, scale: int) -> None:
    assert integer_scale(np.array(weight), None if bias is None else np.array(bias), bits) == scale


@pytest.mark.parametrize(("largest", "scale"), [(1, 1), (508, 508), (509, 509), (510, 509), (MAX_SCALE, 509)])
def test_scale_is_at_most_the_largest_asked_for(largest: int, scale: int) -> None:
    assert integer_scale(np.array([0.25]), None, 8, largest) == scale
    assert integer_scale(np.array([0.0]), None, 8, largest) == largest


def test_rounded_is_to_the_nearest_with_ties_to_even() -> None:
    found = rounded(np.array([0.25, 0.75, 1.25, -0.25, -0.75, 0.3, -0.3]), 2)
    assert found.dtype == np.int64
    assert found.tolist() == [0, 2, 2, 0, -2, 1, -1]


@settings(deadline=None)
@given(st.integers(1, 2**24))
def test_power_of_two_is_the_largest_up_to_the_scale(scale: int) -> None:
    found = power_of_two(scale)
    assert found in {2**k for k in range(25)}
    assert found <= scale < 2 * found


def test_power_of_two_keeps_the_scale_that_does_not_exist() -> None:
    assert power_of_two(0) == 0


def test_check_scale() -> None:
    assert check_scale(1, "conv") == 1
    with pytest.raises(ConversionError) as caught:
        check_scale(0, "features.3")
    assert str(caught.value) == (
        "layer 'features.3': even a threshold of 1 makes its weights or biases too large for their bits; "
        "use more weight bits or a coarser (larger) resolution"
    )
