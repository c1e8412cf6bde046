"""Named sets of cases for comparisons, each a conversion and its simulation."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from lava_aug.core.errors import InputError
from lava_aug.core.network import POSSIBLE_STEPS, is_steps
from lava_aug.core.texts import brief
from lava_aug.experiments.comparison import STEPS

NUM_STEPS = 64
AUGMAPPING_STEPS = 16
"""AugMapping is there after few steps; more of them cost time and show nothing."""

RESOLUTIONS = (1.0, 1 / 2, 1 / 4, 1 / 8)

TITLES = {"rate": "rate", "termapping": "TerMapping", "augmapping": "AugMapping"}
"""The methods, in the order of tables."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of a comparison.

    Attributes
    ----------
    title : str
        Its name, unique in a comparison.
    num_steps : int
        Time steps per image.
    convert : mapping
        Arguments of `lava_aug.convert`, representable in JSON.
    simulate : mapping
        Arguments of `lava_aug.simulate`, likewise.
    """

    title: str
    num_steps: int
    convert: Mapping[str, Any]
    simulate: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])

    @property
    def options(self) -> dict[str, Any]:
        """All arguments."""
        return {**self.convert, **self.simulate}


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which cases of a set to include.

    Attributes
    ----------
    methods : sequence of str
        Conversion methods.
    resolutions : sequence of float
        Of AugMapping; the other methods use 1.
    num_steps, augmapping_steps : int
        Time steps; AugMapping uses the smaller of the two.
    weight_scales : "layer" or "channel"
        As for `lava_aug.convert`, but with a different default: comparisons show what 8 bits can achieve.

    Raises
    ------
    InputError
        If a method or a kind of scales is unknown, or there is no method.
    """

    methods: Sequence[str] = tuple(TITLES)
    resolutions: Sequence[float] = RESOLUTIONS
    num_steps: int = NUM_STEPS
    augmapping_steps: int = AUGMAPPING_STEPS
    weight_scales: str = "channel"

    def __post_init__(self) -> None:
        unknown = [method for method in self.methods if method not in TITLES]
        if unknown or not self.methods:
            given = ", ".join(self.methods) or "none"
            raise InputError(f"methods: expected some of {', '.join(TITLES)}, found {given}")
        if "augmapping" in self.methods and not self.resolutions:
            raise InputError("resolutions: expected at least one number, found none")
        for name, steps in (("num_steps", self.num_steps), ("augmapping_steps", self.augmapping_steps)):
            if not is_steps(steps):
                raise InputError(f"{name}: expected {POSSIBLE_STEPS}, found {brief(steps)}")
        if self.weight_scales not in ("layer", "channel"):
            raise InputError(f"weight_scales: expected 'layer' or 'channel', found {self.weight_scales!r}")

    def steps(self, method: str) -> int:
        """Time steps of a method."""
        return min(self.num_steps, self.augmapping_steps) if method == "augmapping" else self.num_steps


def default_cases(num_steps: int = STEPS[-1]) -> list[Case]:
    """Each method with the default resolution of `lava_aug.convert`, all for the same number of steps."""
    return [Case(title, num_steps, {"method": method}) for method, title in TITLES.items()]


def method_cases(choice: Choice) -> list[Case]:
    """All methods; AugMapping at every resolution."""
    cases: list[Case] = []
    for method in (method for method in TITLES if method in choice.methods):
        for resolution in choice.resolutions if method == "augmapping" else (1.0,):
            title = f"{TITLES[method]} {_fraction(resolution)}" if method == "augmapping" else TITLES[method]
            options = {"method": method, "resolution": resolution, "weight_scales": choice.weight_scales}
            cases.append(Case(title, choice.steps(method), options))
    return cases


ABLATIONS: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("vth_lo = -vth", {"symmetric": True}, {}),
    ("v0 = 0", {"v0": "zero"}, {}),
    ("maximum", {"percentile": 100.0}, {}),
    ("scales per layer", {"weight_scales": "layer"}, {}),
    ("rounded to nearest", {"quality": "fast"}, {}),
    ("float", {"weight_bits": None}, {}),
    ("input first", {}, {"presentation": "first"}),
)
"""What the paper's abstract leaves open: a name, and the arguments of `convert` and of `simulate` that differ."""


def ablation_cases(choice: Choice) -> list[Case]:
    """Every case of `method_cases` with the finest resolution, unchanged and with one option changed at a time."""
    finest = dataclasses.replace(choice, resolutions=[min(choice.resolutions)])
    cases: list[Case] = []
    for case in method_cases(finest):
        cases.append(case)
        for name, converted, simulated in ABLATIONS:
            if case.convert["method"] == "rate" and "symmetric" in converted:
                continue  # a rate neuron has no lower threshold
            if converted and converted.items() <= case.convert.items():
                continue  # it is so in all cases
            cases.append(Case(f"{case.title}, {name}", case.num_steps, {**case.convert, **converted}, simulated))
    return cases


CASES: dict[str, Callable[[Choice], list[Case]]] = {"methods": method_cases, "ablations": ablation_cases}
"""Sets of cases by name."""


def cases_named(name: str, choice: Choice | None = None) -> list[Case]:
    """A set of cases.

    Raises
    ------
    InputError
        If the name is unknown.
    """
    if name not in CASES:
        raise InputError(f"cases: expected one of {', '.join(CASES)}, found {name!r}")
    return CASES[name](choice or Choice())


def _fraction(number: float) -> str:
    """0.125 as 1/8, where it is one.

    >>> _fraction(0.125), _fraction(2.0), _fraction(0.3712)
    ('1/8', '2', '0.3712')
    """
    fraction = Fraction(number).limit_denominator(64)
    return str(fraction) if abs(float(fraction) - number) < 1e-12 else f"{number:g}"
