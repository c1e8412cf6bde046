"""The conversion methods, and the options of a conversion."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

from lava_aug.core import fixed_point
from lava_aug.core.errors import ConversionError
from lava_aug.core.network import POSSIBLE_STEPS, is_steps
from lava_aug.core.neurons import AugmentedNeuron, DoubleThresholdNeuron, Neuron, RateNeuron
from lava_aug.core.spec import is_int, is_number
from lava_aug.core.texts import brief

_CHOICES = {
    "thresholds": ("layer", "channel"),
    "weight_scales": ("layer", "channel"),
    "balance": ("percentile", "search"),
    "quality": ("best", "fast"),
    "v0": ("half", "zero"),
}


def check(fine: bool, name: str, expected: str, value: Any) -> None:
    """ConversionError about an option unless it is fine."""
    if not fine:
        raise ConversionError(f"{name}: expected {expected}, found {brief(value)}")


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


@dataclasses.dataclass(frozen=True)
class Options:
    """What `lava_aug.convert` was asked for, checked; see there.

    Raises
    ------
    ConversionError
        If an option is not usable.
    """

    method: str
    resolution: float | None
    num_steps: int
    thresholds: Literal["layer", "channel"]
    weight_scales: Literal["layer", "channel"]
    balance: Literal["percentile", "search"]
    quality: Literal["best", "fast"]
    weight_bits: int | None
    message_bits: int | None
    symmetric: bool
    v0: Literal["half", "zero"]
    power_of_two_vth: bool
    layer_resolutions: Mapping[str, float] = dataclasses.field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        check(self.method in METHODS, "method", f"one of {sorted(METHODS)}", self.method)
        if self.resolution is None:
            object.__setattr__(self, "resolution", METHODS[self.method].resolution)
        check(_is_positive(self.resolution), "resolution", "a positive number", self.resolution)
        check(is_steps(self.num_steps), "num_steps", POSSIBLE_STEPS, self.num_steps)
        for name, allowed in _CHOICES.items():
            expected = " or ".join(map(repr, allowed))
            check(getattr(self, name) in allowed, name, expected, getattr(self, name))
        bits = self.weight_bits
        fine = bits is None or (is_int(bits) and 2 <= bits <= 16)
        check(fine, "weight_bits", "None or an integer from 2 to 16", bits)
        for layer, resolution in self.layer_resolutions.items():
            check(_is_positive(resolution), f"layer_resolutions[{layer!r}]", "a positive number", resolution)

    def resolution_of(self, layer: str) -> float:
        """Resolution of a layer."""
        assert self.resolution is not None  # set in __post_init__
        return float(self.layer_resolutions.get(layer, self.resolution))

    @property
    def most_message_bits(self) -> int:
        """The widest payload that layers may have."""
        return fixed_point.MAX_MESSAGE_BITS if self.message_bits is None else self.message_bits

    @property
    def clips(self) -> bool:
        """Whether neurons that fire at most once per step are to stand for less than the balanced threshold."""
        assert self.resolution is not None  # set in __post_init__
        return self.resolution < 1 and not METHODS[self.method].needs.graded

    @property
    def search(self) -> bool:
        """Whether thresholds and scales are searched for."""
        return self.balance == "search"

    @property
    def is_float(self) -> bool:
        return self.weight_bits is None

    @property
    def corrects(self) -> bool:
        """Whether there are weights to round in view of calibration images."""
        return self.quality == "best" and not self.is_float

    @property
    def start(self) -> dict[str, Any]:
        """``v0``, if it is not the default."""
        return {"v0": 0} if self.v0 == "zero" else {}


@dataclasses.dataclass(frozen=True)
class Needs:
    """What the spikes of a conversion method can carry.

    Attributes
    ----------
    signed : bool
        Whether neurons can send negative sums. If not, signed values travel as a pair of layers, one for each sign.
    graded : bool
        Whether spikes carry numbers, so that pooling can be a layer of exact sums. If not, it is folded into the next
        synapse where that is cheap enough.
    """

    signed: bool = True
    graded: bool = True


@dataclasses.dataclass(frozen=True)
class Method:
    """A conversion method: its neuron, its resolution unless told otherwise, and what its spikes can carry."""

    neuron: Callable[[dict[str, Any], bool, Options], Neuron]
    resolution: float
    needs: Needs


def _double_threshold(parameters: dict[str, Any], signed: bool, options: Options) -> dict[str, Any]:
    vth_lo = -parameters["vth"] if options.symmetric else None
    return {**options.start, "vth_lo": vth_lo, "signed": signed, **parameters}


METHODS: dict[str, Method] = {
    "augmapping": Method(
        lambda parameters, signed, options: AugmentedNeuron(**_double_threshold(parameters, signed, options)),
        resolution=1 / 8,
        needs=Needs(signed=True, graded=True),
    ),
    "termapping": Method(
        lambda parameters, signed, options: DoubleThresholdNeuron(**_double_threshold(parameters, signed, options)),
        resolution=1.0,
        needs=Needs(signed=True, graded=False),
    ),
    "rate": Method(
        lambda parameters, signed, options: RateNeuron(**{**options.start, **parameters}),
        resolution=1.0,
        needs=Needs(signed=False, graded=False),
    ),
}
"""Every conversion method by name."""
