"""Declared parameters: one declaration is a field's validation, its name in files and its row in the docs.

A `Spec` is a frozen, keyword-only dataclass. Its fields are made with `integer`, `number`, `numbers`, `boolean`,
`text`, `pair`, `shape` and `array`; each checks and normalises its value when the object is made, so that an object,
once made, is valid. Files (`lava_aug.netx.networks`) walk the same declarations and have no code per type.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, dataclass_transform

from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import is_array, is_list
from lava_aug.core.texts import SHOWN, brief

Check = Callable[[Any], Any]

Numbers = int | float | NDArray[Any]
"""One number for all, or an array of numbers that broadcasts to what they are for."""

MAX_TEXT_BYTES = 1 << 12
"""Longest text, in UTF-8: it goes into messages, tables and files."""

MAX_AXES = 64
"""Most numbers in a shape or a pair, which is as many axes as an array can have."""

SpecType = TypeVar("SpecType", bound=type)
Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class Declaration:
    """What is known about one parameter: its check, its dataset, and one line for the docs."""

    check: Check
    holds: str
    stored_as: str | None
    doc: str


def _field(check: Check, holds: str, stored_as: str | None, doc: str, default: Any) -> Any:
    declaration = Declaration(check, holds, stored_as, doc)
    return dataclasses.field(default=default, metadata={"declaration": declaration})


def _optional(check: Check, optional: bool) -> Check:
    return (lambda value: None if value is None else check(value)) if optional else check


def is_int(value: Any) -> bool:
    """Whether a value is an integer of Python or numpy, and not a boolean."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number of Python or numpy, and not a boolean."""
    return is_int(value) or (isinstance(value, (float, np.floating)) and bool(np.isfinite(cast(float, value))))


def is_a(value: object, kind: type | tuple[type, ...]) -> bool:
    """`isinstance` of what always is one for those who call with a type checker: others call, too."""
    return isinstance(value, kind)


def _bounds(low: float | None, high: float | None) -> str:
    if low is not None and low == high:
        return f" equal to {low}"
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return f" of at most {high}" if high is not None else ""


def _items(value: Any) -> tuple[Any, ...]:
    """The elements of a tuple, list or array of one axis, a few at most; none of anything else."""
    listed = is_list(value) or (is_array(value) and value.ndim == 1)
    return tuple(value) if listed and len(value) <= MAX_AXES else ()


def _within(value: Any, low: float | None, high: float | None) -> Any:
    """For numbers and, element by element, for arrays."""
    return (True if low is None else value >= low) & (True if high is None else value <= high)


def integer(
    *,
    low: int | None = None,
    high: int | None = None,
    optional: bool = False,
    stored_as: str,
    doc: str,
    default: Any = dataclasses.MISSING,
) -> Any:
    """A Python int within bounds (None too, if optional)."""

    def check(value: Any) -> int:
        if not is_int(value) or not _within(value, low, high):
            raise SpecError(f"expected an integer{_bounds(low, high)}, found {brief(value)}")
        return int(value)

    return _field(_optional(check, optional), f"integer{_bounds(low, high)}", stored_as, doc, default)


def number(
    *,
    low: float | None = None,
    high: float | None = None,
    optional: bool = False,
    stored_as: str,
    doc: str,
    default: Any = dataclasses.MISSING,
) -> Any:
    """A finite int or float within bounds; which of the two it is, is kept (None too, if optional)."""

    def check(value: Any) -> int | float:
        if not is_number(value) or not _within(value, low, high):
            raise SpecError(f"expected a finite number{_bounds(low, high)}, found {brief(value)}")
        return int(value) if is_int(value) else float(value)

    return _field(_optional(check, optional), f"number{_bounds(low, high)}", stored_as, doc, default)


def numbers(
    *,
    low: float | None = None,
    high: float | None = None,
    whole: bool = False,
    optional: bool = False,
    stored_as: str,
    doc: str,
    default: Any = dataclasses.MISSING,
) -> Any:
    """A finite number (integer, if ``whole``) within bounds, or an array of such, kept as `array` keeps it."""
    kind = "an integer" if whole else "a finite number"

    def possible(value: Any) -> Any:
        if not is_array(value):
            return (is_int(value) if whole else is_number(value)) and _within(value, low, high)
        return np.isfinite(value) & (value.dtype.kind in ("iu" if whole else "iuf")) & _within(value, low, high)

    def check(value: Any) -> Numbers:
        parameter = _rectangular(value) if isinstance(value, (tuple, list, np.ndarray)) else value
        parameter = parameter.item() if is_array(parameter) and parameter.ndim == 0 else parameter
        if not every(possible, parameter):
            raise SpecError(f"expected {kind}{_bounds(low, high)}, found {offending(possible, parameter)}")
        if is_array(parameter):
            return frozen(parameter)
        return int(parameter) if is_int(parameter) else float(parameter)

    holds = f"{'integer' if whole else 'number'}{_bounds(low, high)}, or array of such"
    return _field(_optional(check, optional), holds, stored_as, doc, default)


def every(check: Callable[[Any], Any], value: Any) -> bool:
    """Whether a number, or every element of an array, passes a check, which takes either."""
    return bool(np.all(check(value)))


def offending(check: Callable[[Any], Any], value: Any) -> str:
    """A number, or the first element of an array, that does not pass a check, for messages."""
    if not is_array(value):
        return brief(value)
    index = np.unravel_index(np.argmin(check(value)), value.shape)
    return f"{value[index].item()!r} at {tuple(map(int, index))}"


def boolean(*, stored_as: str, doc: str, optional: bool = False, default: Any = dataclasses.MISSING) -> Any:
    """True or False (None too, if optional)."""

    def check(value: Any) -> bool:
        if not isinstance(value, (bool, np.bool_)):
            raise SpecError(f"expected True or False, found {brief(value)}")
        return bool(value)

    return _field(_optional(check, optional), "True or False", stored_as, doc, default)


def text(*, stored_as: str, doc: str, optional: bool = False, default: Any = dataclasses.MISSING) -> Any:
    """A non-empty string that `check_text` lets pass (None too, if optional)."""
    return _field(_optional(check_text, optional), "text", stored_as, doc, default)


def check_text(value: Any) -> str:
    """A text that files can hold: SpecError if it is none, is empty or too long, or has characters that UTF-8 has not.

    Files keep texts with a fixed length, and end them at NUL.
    """
    if not isinstance(value, str) or not value:
        raise SpecError(f"expected a non-empty text, found {brief(value)}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise SpecError(f"expected a text that UTF-8 can write, found {brief(value)}") from None
    if size > MAX_TEXT_BYTES or "\0" in value:
        raise SpecError(
            f"expected a text of at most {MAX_TEXT_BYTES:,} bytes without NUL, found {size:,} bytes: {brief(value)}"
        )
    return value


def pair(*, low: int, optional: bool = False, stored_as: str, doc: str, default: Any = dataclasses.MISSING) -> Any:
    """Two integers (height, width), each at least ``low``; one integer stands for both (None too, if optional)."""

    def check(value: Any) -> tuple[int, int]:
        values = (value, value) if is_int(value) else _items(value)
        if len(values) != 2 or not all(is_int(item) and item >= low for item in values):
            raise SpecError(f"expected one or two integers of at least {low}, found {brief(value)}")
        return int(values[0]), int(values[1])

    return _field(_optional(check, optional), f"two integers of at least {low}", stored_as, doc, default)


def shape(*, optional: bool = False, stored_as: str | None, doc: str, default: Any = dataclasses.MISSING) -> Any:
    """A tuple of one or more positive integers (None too, if optional)."""

    def check(value: Any) -> tuple[int, ...]:
        values = _items(value)
        if not values or not all(is_int(item) and item >= 1 for item in values):
            raise SpecError(f"expected a tuple of positive integers, found {brief(value)}")
        return tuple(int(item) for item in values)

    return _field(_optional(check, optional), "positive integers", stored_as, doc, default)


def array(
    *,
    ndim: int | None = None,
    whole: bool = False,
    optional: bool = False,
    stored_as: str | None,
    doc: str,
    default: Any = dataclasses.MISSING,
) -> Any:
    """A finite numeric array, kept read-only: integers in the narrowest type that holds them, floats as float32.

    If ``whole``, floats must be whole numbers, and are kept as integers.
    """

    def check(value: Any) -> NDArray[Any]:
        elements = _rectangular(value)
        if ndim is not None and elements.ndim != ndim:
            raise SpecError(f"expected {ndim} dimensions, found shape {elements.shape}")
        return frozen(_as_integers(elements) if whole and elements.dtype.kind == "f" else elements)

    axes = {None: "", 1: " of one axis"}.get(ndim, f" of {ndim} axes")
    return _field(_optional(check, optional), f"array{axes}" + ", whole numbers" * whole, stored_as, doc, default)


def _as_integers(values: NDArray[Any]) -> NDArray[Any]:
    """Floats as the integers that they are; a block at a time, since files can be large."""
    from lava_aug.core.fixed_point import exact_integers

    try:
        return exact_integers(values)
    except ValueError as error:
        raise SpecError(str(error)) from None


def _rectangular(value: Any) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise SpecError(f"expected a rectangular array of numbers: {error}") from error
    if array.dtype.kind not in "iuf" or array.size == 0:
        raise SpecError(f"expected a non-empty array of numbers, found {array.dtype} of shape {array.shape}")
    return array


def frozen(values: NDArray[Any]) -> NDArray[Any]:
    """Read-only, integers in the narrowest type that holds them, floats as float32; SpecError if they do not fit."""
    from lava_aug.core.fixed_point import smallest_int

    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise SpecError(
                f"expected finite numbers in float32, found {int((~np.isfinite(values)).sum())} NaN or infinite ones"
            )
    else:
        try:
            values = smallest_int(values)
        except OverflowError as error:
            raise SpecError(f"expected 64-bit integers: {error}") from None
    values = np.ascontiguousarray(values) if values.ndim else values
    values.setflags(write=False)
    return values


@dataclass_transform(
    frozen_default=True,
    kw_only_default=True,
    eq_default=False,
    field_specifiers=(integer, number, numbers, boolean, text, pair, shape, array, dataclasses.field),
)
class Spec:
    """Base of everything that is described by declared parameters. Equal when type and all parameters are equal."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]  # its subclasses are data classes

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)(cls)

    def __post_init__(self) -> None:
        for name, declaration in self.declarations():
            try:
                value = declaration.check(getattr(self, name))
            except SpecError as error:
                raise SpecError(f"{type(self).__name__}.{name}: {error}") from None
            object.__setattr__(self, name, value)

    @classmethod
    def declarations(cls) -> Iterator[tuple[str, Declaration]]:
        """Name and declaration of every declared parameter, in order."""
        for field in dataclasses.fields(cls):
            if "declaration" in field.metadata:
                yield field.name, field.metadata["declaration"]

    def replace(self, **changes: Any) -> Self:
        """A copy with some parameters changed, checked like a new object."""
        return dataclasses.replace(self, **changes)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(_same(getattr(self, field.name), getattr(other, field.name)) for field in dataclasses.fields(self))

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # arrays inside

    def __repr__(self) -> str:
        """Parameters that are not the default, arrays as type and shape."""
        shown = (
            f"{field.name}={_brief(getattr(self, field.name))}"
            for field in dataclasses.fields(self)
            if not _same(getattr(self, field.name), field.default)
        )
        return f"{type(self).__name__}({', '.join(shown)})"


def _same(one: Any, other: Any) -> bool:
    if is_array(one) or is_array(other):
        both = is_array(one) and is_array(other)
        return both and one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and bool(one == other)


def _brief(value: Any) -> str:
    if is_array(value):
        return f"<{value.dtype} {value.shape}>"
    return brief(value) if isinstance(value, str) or (is_list(value) and len(value) > SHOWN) else repr(value)


def entered(table: dict[Key, Value], key: Key) -> Callable[[Value], Value]:
    """Decorator: enter a function into ``table`` under ``key``."""

    def enter(value: Value) -> Value:
        table[key] = value
        return value

    return enter


def registered(table: dict[str, Any]) -> Callable[[SpecType], SpecType]:
    """Class decorator: enter the class into ``table`` under its ``type_name``."""

    def enter(cls: SpecType) -> SpecType:
        name = vars(cls)["type_name"]
        if name in table:
            raise SpecError(f"type name {name!r} is taken by {table[name].__name__}")
        table[name] = cls
        return cls

    return enter
