"""Parameters of the neurons: defaults, limits, and every error by its message."""

from typing import Any

import pytest

from lava_aug.core.errors import SpecError
from lava_aug.core.neurons import NEURONS, AugmentedNeuron, DoubleThresholdNeuron, RateNeuron, ReadoutNeuron

TOP = 2**23 - 1
BOTTOM = -(2**23)
THRESHOLD_NEURONS = [RateNeuron, DoubleThresholdNeuron, AugmentedNeuron]


@pytest.mark.parametrize("kind", THRESHOLD_NEURONS)
def test_defaults(kind: Any) -> None:
    for vth, v0 in [(1, 0), (2, 1), (9, 4), (10, 5), (TOP, TOP // 2)]:
        assert kind(vth=vth).initial() == (v0, 0)
    neuron = kind(vth=10)
    assert (neuron.n_max, neuron.is_float, neuron.fires) == (None, False, True)
    assert getattr(neuron, "vth_lo", -1) == -1
    assert getattr(neuron, "signed", False) is False
    assert kind(vth=10, v0=0).initial() == (0, 0)
    assert kind(vth=3.0).initial() == (1.5, 0)


def test_limits() -> None:
    assert [RateNeuron(vth=1).coefficient_limit, DoubleThresholdNeuron(vth=1).coefficient_limit] == [1, 1]
    assert [AugmentedNeuron(vth=1, message_bits=b).coefficient_limit for b in (2, 16, 24)] == [1, 32767, TOP]
    assert ReadoutNeuron().coefficient_limit == 0
    graded = {name for name, kind in NEURONS.items() if kind.graded}
    assert {"AUGIF", "MAXPOOL"} <= graded <= set(NEURONS) - {"IF", "DTIF", "READOUT"}
    assert not ReadoutNeuron.fires


def test_integer_parameters_of_floating_point_neurons_become_floats() -> None:
    neuron = DoubleThresholdNeuron(vth=2.0, v0=1, vth_lo=-2)
    assert neuron == DoubleThresholdNeuron(vth=2.0, v0=1.0, vth_lo=-2.0)
    assert (type(neuron.v0), type(neuron.vth_lo)) == (float, float)


@pytest.mark.parametrize("kind", THRESHOLD_NEURONS)
@pytest.mark.parametrize("vth", [0, -1, TOP + 1, 0.0, -0.5])
def test_impossible_thresholds(kind: Any, vth: float) -> None:
    expected = f"expected an integer from 1 to {TOP} or a positive float, found {vth!r}"
    with pytest.raises(SpecError) as caught:
        kind(vth=vth)
    assert str(caught.value) == f"{kind.__name__}.vth: {expected}"


BITS_24 = f"expected an integer from {BOTTOM} to {TOP}, as vth is an integer, found "


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (RateNeuron, {"vth": "a"}, "vth: expected a finite number, found 'a'"),
        (RateNeuron, {"vth": True}, "vth: expected a finite number, found True"),
        (RateNeuron, {"vth": 5, "v0": 2.5}, f"v0: {BITS_24}2.5"),
        (RateNeuron, {"vth": 5, "v0": TOP + 1}, f"v0: {BITS_24}8388608"),
        (RateNeuron, {"vth": 5, "v0": BOTTOM - 1}, f"v0: {BITS_24}-8388609"),
        (RateNeuron, {"vth": 5, "n_max": 0}, "n_max: expected an integer from 1 to 2147483647, found 0"),
        (RateNeuron, {"vth": 5, "n_max": 1.5}, "n_max: expected an integer from 1 to 2147483647, found 1.5"),
        (AugmentedNeuron, {"vth": 5, "vth_lo": BOTTOM - 1}, f"vth_lo: {BITS_24}-8388609"),
        (AugmentedNeuron, {"vth": 5, "vth_lo": -0.5}, f"vth_lo: {BITS_24}-0.5"),
        (AugmentedNeuron, {"vth": 5, "vth_lo": 0}, "vth_lo: expected a negative number, found 0"),
        (DoubleThresholdNeuron, {"vth": 5.0, "vth_lo": 1}, "vth_lo: expected a negative number, found 1.0"),
        (DoubleThresholdNeuron, {"vth": 5, "signed": 1}, "signed: expected True or False, found 1"),
        (AugmentedNeuron, {"vth": 5, "message_bits": 1}, "message_bits: expected an integer from 2 to 24, found 1"),
        (AugmentedNeuron, {"vth": 5, "message_bits": 25}, "message_bits: expected an integer from 2 to 24, found 25"),
        (ReadoutNeuron, {"floating": 0}, "floating: expected True or False, found 0"),
    ],
)
def test_impossible_parameters(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        kind(**options)
    assert str(caught.value) == f"{kind.__name__}.{message}"


@pytest.mark.parametrize("kind", NEURONS.values())
def test_misspelt_parameters(kind: Any) -> None:
    with pytest.raises(TypeError, match="treshold"):
        kind(treshold=3)
